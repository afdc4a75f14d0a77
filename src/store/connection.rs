//! Settings of connections, migrations and notifications.

use std::{borrow::Cow, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection as _,
    error::DatabaseError,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::sleep;

use super::{
    StoreError, Tx, outbox,
    pool::{self, Pool},
};

/// The migrations, compiled in; one static, so that tests share its build.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How long Postgres may work on one statement.
const STATEMENT_MS: &str = "1500";
/// A transaction that a vanished process left open must not hold its locks for long.
const IDLE_IN_TRANSACTION_MS: &str = "10000";

/// A migration may take long, but waits for a lock, with others behind it, only so many milliseconds; then it lets them go
/// on before it tries again.
const LOCK_TURNS: &str = "SET statement_timeout = 0; SET lock_timeout = 500";
/// A lock was not to be had in time.
const LOCKED: &str = "55P03";
const NO_SUCH_TABLE: &str = "42P01";
const LOCK_PAUSE: Duration = Duration::from_secs(2);

/// The database: a pool of connections.
#[derive(Clone, Debug)]
pub struct Db {
    pool: Pool,
}

/// Opens a pool of at most `connections`, without connecting yet.
///
/// # Errors
/// When `url` is not a Postgres address.
pub fn connect(url: &SecretString, connections: usize) -> Result<Db, StoreError> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    let options = options.application_name("verigate").options([
        ("statement_timeout", STATEMENT_MS),
        (
            "idle_in_transaction_session_timeout",
            IDLE_IN_TRANSACTION_MS,
        ),
        // A machine that vanishes says no farewell, and with its connections Postgres would keep its workers' locks, for two
        // hours by itself. Where the connection is a socket of the machine's this does nothing.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
        // Rows are looked up by their keys, also in a table that was small when Postgres last counted it, or when it
        // made a plan that it keeps. To compile such a plan takes longer than to run it.
        ("enable_seqscan", "off"),
        ("jit", "off"),
        // So there is one good plan for each statement. By itself Postgres would plan those with lists of ids each time,
        // which takes longer than to run them.
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    Ok(Db {
        pool: Pool::new(options, connections),
    })
}

/// Whether a database that answers can be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has the migrations this binary needs, or newer ones too.
    Ready,
    /// It lacks some of them.
    MigrationsPending,
    /// It takes nothing that is new: a standby, or a server whose disk is full.
    ReadOnly,
}

impl Db {
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx::begin(&self.pool, "BEGIN").await?)
    }

    /// Begins a transaction whose statements are planned for the very filters they are given: where some may be left out, no
    /// plan is good for all.
    pub(super) async fn begin_planned(&self) -> Result<Tx, StoreError> {
        let begin = "BEGIN; SET LOCAL plan_cache_mode = force_custom_plan";
        Ok(Tx::begin(&self.pool, begin).await?)
    }

    /// Applies the pending migrations, under Postgres' advisory lock, on a connection without our statement time-out.
    /// A database with later ones than ours is left as it is: while a new version is rolled out, or back, the one before
    /// must start beside it.
    ///
    /// A table that somebody reads, a backup say, is waited for in short turns: behind one that waits to change it
    /// everybody else would have to wait too.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let mut connection = self.pool.get().await?.keep();
        sqlx::raw_sql(LOCK_TURNS).execute(&mut connection).await?;
        let ours = Migrator {
            migrations: Cow::Borrowed(&MIGRATOR.migrations),
            ignore_missing: true,
            ..Migrator::DEFAULT
        };
        let mut waiting = false;
        while let Err(error) = ours.run(&mut connection).await {
            if code_of(&error).as_deref() != Some(LOCKED) {
                return Err(error);
            }
            if !waiting {
                tracing::warn!(
                    "a migration waits for whoever uses the tables it changes, or for another process that migrates"
                );
            }
            waiting = true;
            sleep(LOCK_PAUSE).await;
        }
        outbox::continue_feed(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Makes up for what a restored database has lost, which migrating does too; to be called before anything is written.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.get().await?.keep();
        outbox::continue_feed(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Can the database be reached, and worked with?
    pub async fn readiness(&self) -> Result<Readiness, StoreError> {
        let mut connection = self.pool.get().await?;
        let applied = connection.list_applied_migrations("_sqlx_migrations").await;
        let applied = match applied {
            Err(error) if code_of(&error).as_deref() == Some(NO_SUCH_TABLE) => Vec::new(),
            applied => applied
                .map_err(|error| StoreError::Unexpected(sqlx::Error::Migrate(Box::new(error))))?,
        };
        let is_current = MIGRATOR
            .iter()
            .all(|ours| applied.iter().any(|theirs| theirs.version == ours.version));
        if !is_current {
            return Ok(Readiness::MigrationsPending);
        }
        let only_reads = sqlx::query_scalar!(
            r#"SELECT current_setting('transaction_read_only') = 'on' AS "only_reads!""#
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(if only_reads {
            Readiness::ReadOnly
        } else {
            Readiness::Ready
        })
    }

    /// Closes every connection, those in use as they come back.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What Postgres said is wrong, by its code.
fn code_of(error: &MigrateError) -> Option<Cow<'_, str>> {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return None;
    };
    error.as_database_error().and_then(DatabaseError::code)
}

/// A connection that hears notifications.
#[derive(Debug)]
pub struct Listener(PgListener);

/// Listens on `channel` with a connection of its own, which is made anew when it is lost.
pub async fn listen(db: &Db, channel: &str) -> Result<Listener, StoreError> {
    let own = PgPoolOptions::new().max_connections(1);
    let own = own.max_lifetime(None).idle_timeout(None);
    // It tries again ever more seldom, by how long it may try.
    let own = own.acquire_timeout(pool::ACQUIRE);
    let own = own.connect_lazy_with(db.pool.options().clone());
    let mut listener = PgListener::connect_with(&own).await?;
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
