//! Pools, time-outs, migrations and notifications.

use std::{borrow::Cow, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection as _, PgPool, Postgres, Transaction,
    migrate::{Migrate, Migrator},
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::StoreError;

/// The migrations, compiled in; one static, so that tests share its build.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How long a caller waits for a free connection.
const ACQUIRE: Duration = Duration::from_secs(1);
/// How long Postgres may work on one statement. Both together keep an answer under two seconds.
const STATEMENT_MS: &str = "1500";
/// A connection that was used so lately is still there. To ask each one first would double the way of a short query.
const TRUSTED: Duration = Duration::from_millis(500);
/// A transaction that a vanished process left open must not hold its locks for long.
const IDLE_IN_TRANSACTION_MS: &str = "10000";

/// A transaction; rolled back when dropped.
pub type Tx = Transaction<'static, Postgres>;

/// The database: a pool of connections.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
}

/// Opens a pool of at most `connections`, without connecting yet.
///
/// # Errors
/// When `url` is not a Postgres address.
pub fn connect(url: &SecretString, connections: u32) -> Result<Db, StoreError> {
    Ok(connect_with(url.expose_secret().parse()?, connections))
}

/// The same for deliveries, whose few statements look rows up by their keys: Postgres plans them once, instead of every
/// time, and not by how small a table was then.
///
/// # Errors
/// When `url` is not a Postgres address.
pub fn connect_intake(url: &SecretString, connections: u32) -> Result<Db, StoreError> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    let plans = [
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
    ];
    Ok(connect_with(options.options(plans), connections))
}

fn connect_with(options: PgConnectOptions, connections: u32) -> Db {
    let options = options.application_name("verigate").options([
        ("statement_timeout", STATEMENT_MS),
        (
            "idle_in_transaction_session_timeout",
            IDLE_IN_TRANSACTION_MS,
        ),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Db { pool }
}

impl Db {
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// Applies the pending migrations, under Postgres' advisory lock, on a connection without our statement time-out.
    /// A database with later ones than ours is left as it is: while a new version is rolled out, or back, the one before
    /// must start beside it.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        let mut connection = self.pool.acquire().await?.detach();
        sqlx::raw_sql("SET statement_timeout = 0")
            .execute(&mut connection)
            .await?;
        let ours = Migrator {
            migrations: Cow::Borrowed(&MIGRATOR.migrations),
            ignore_missing: true,
            ..Migrator::DEFAULT
        };
        ours.run(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        Ok(())
    }

    /// Is the database reachable, and does it have exactly the migrations this binary needs (or newer ones)?
    pub async fn is_ready(&self) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let applied = connection
            .list_applied_migrations("_sqlx_migrations")
            .await
            .map_err(|error| StoreError::Unexpected(sqlx::Error::Migrate(Box::new(error))))?;
        Ok(MIGRATOR
            .iter()
            .all(|ours| applied.iter().any(|theirs| theirs.version == ours.version)))
    }

    /// Closes every connection, after those in use came back.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection that hears notifications.
#[derive(Debug)]
pub struct Listener(PgListener);

/// Listens on `channel` with a connection of its own, outside the pool's limit on waiting.
pub async fn listen(db: &Db, channel: &str) -> Result<Listener, StoreError> {
    let mut listener = PgListener::connect_with(&db.pool).await?;
    listener.listen(channel).await?;
    Ok(Listener(listener))
}

impl Listener {
    /// The next payload. `None` says that the connection was lost and is back: what was sent meanwhile was missed.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self
            .0
            .try_recv()
            .await?
            .map(|notification| notification.payload().to_owned()))
    }
}

/// Does the database hold tables, but none of our migrations?
pub async fn has_foreign_tables(db: &Db) -> Result<bool, StoreError> {
    let foreign = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))
              AND to_regclass('public.verifications') IS NULL AS "foreign!""#
    )
    .fetch_one(&db.pool)
    .await?;
    Ok(foreign)
}
