//! Connections that are used again and again.
//!
//! A connection comes back the moment its last statement has come to its end. One that may still be in the middle of
//! something, since somebody stopped waiting or Postgres refused, is first brought to rest, out of everybody's way.
#![expect(
    clippy::expect_used,
    reason = "what is lent is there until it is dropped, and only then can it be moved to where it comes to rest"
)]

use std::{
    fmt::{self, Debug, Formatter},
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::managed::{
    Metrics, Object, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult,
};
use futures_util::{
    FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _,
    future::{BoxFuture, join_all},
    stream::{self, BoxStream},
};
use sqlx::{
    Connection as _, Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::StoreError;

/// How long a caller waits for a free connection. With the time a statement may take, an answer stays under two seconds.
pub(super) const ACQUIRE: Duration = Duration::from_secs(1);
/// A connection that was used so lately is still there. To ask each one first would double the way of a short query.
const TRUSTED: Duration = Duration::from_millis(500);
/// How long one is given to come to rest; Postgres ends its statement before.
const REST: Duration = Duration::from_secs(3);
/// What a connection gathers in Postgres' memory goes with it, and so does a server that was replaced behind its name.
const OLDEST: Duration = Duration::from_mins(30);
/// What a rush needed is given back.
const IDLE: Duration = Duration::from_mins(10);
const REAP_EVERY: Duration = Duration::from_mins(1);
const LENT: &str = "a connection is lent until it is dropped";

/// A bounded number of connections, made when they are needed.
#[derive(Clone)]
pub(super) struct Pool(deadpool::managed::Pool<Manager>);

impl Pool {
    pub(super) fn new(options: PgConnectOptions, connections: usize) -> Self {
        let config = PoolConfig {
            // What is not needed stays idle, and ends.
            queue_mode: QueueMode::Lifo,
            ..PoolConfig::new(connections)
        };
        let pool = deadpool::managed::Pool::builder(Manager(options)).config(config);
        let pool = pool
            .build()
            .expect("only time-outs of its own would need a runtime");
        let reaped = pool.weak();
        tokio::spawn(async move {
            loop {
                sleep(REAP_EVERY).await;
                let Some(pool) = reaped.upgrade() else { return };
                pool.retain(|_, metrics| metrics.last_used() < IDLE);
            }
        });
        Self(pool)
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.0.manager().0
    }

    /// A connection, as soon as one is free.
    pub(super) async fn get(&self) -> Result<Held, Error> {
        let object = timeout(ACQUIRE, self.0.get()).await;
        let object = object
            .map_err(|_| Error::PoolTimedOut)?
            .map_err(|error| match error {
                PoolError::Backend(error) => error,
                PoolError::Closed => Error::PoolClosed,
                PoolError::Timeout(_)
                | PoolError::NoRuntimeSpecified
                | PoolError::PostCreateHook(_) => Error::PoolTimedOut,
            })?;
        Ok(Held {
            object: Some(object),
            in_transaction: false,
            rests: false,
        })
    }

    /// Hands out nothing more, and takes leave of what nobody uses.
    pub(super) async fn close(&self) {
        let idle = self.0.retain(|_, _| false).removed;
        self.0.close();
        join_all(idle.into_iter().map(PgConnection::close)).await;
    }
}

/// Its settings hold a password.
impl Debug for Pool {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.status()).finish()
    }
}

/// Makes connections, and tells whether one can be used again.
struct Manager(PgConnectOptions);

impl deadpool::managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection, Error> {
        PgConnection::connect_with(&self.0).await
    }

    async fn recycle(
        &self,
        connection: &mut PgConnection,
        metrics: &Metrics,
    ) -> RecycleResult<Error> {
        if metrics.age() > OLDEST {
            return Err(RecycleError::message("it is old"));
        }
        if metrics.last_used() > TRUSTED {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// A connection, lent until this is dropped.
pub(super) struct Held {
    /// Taken only when this is dropped.
    object: Option<Object<Manager>>,
    /// One was begun, or may have been.
    in_transaction: bool,
    /// Nothing is under way on it.
    rests: bool,
}

impl Held {
    /// Notes whether what was begun came to its end.
    fn rest_if_done<T>(&mut self, ended: Result<T, Error>) -> Result<T, Error> {
        self.rests = ended.is_ok();
        ended
    }

    /// Never gives it back.
    pub(super) fn keep(mut self) -> PgConnection {
        Object::take(self.object.take().expect(LENT))
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.object.as_ref().expect(LENT)
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.object.as_mut().expect(LENT)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (in_transaction, rests) = (self.in_transaction, self.rests);
        let Some(mut object) = self.object.take().filter(|_| !rests) else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            drop(Object::take(object));
            return;
        };
        runtime.spawn(async move {
            let resting = async {
                if in_transaction {
                    object.execute("ROLLBACK").await.map(drop)
                } else {
                    object.ping().await
                }
            };
            if !matches!(timeout(REST, resting).await, Ok(Ok(()))) {
                // Closed, rather than handed to somebody else.
                drop(Object::take(object));
            }
        });
    }
}

/// A transaction; rolled back when dropped.
pub struct Tx(Held);

impl Debug for Tx {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

impl Tx {
    /// Begins by this statement, or these.
    pub(super) async fn begin(pool: &Pool, begin: &'static str) -> Result<Self, Error> {
        let mut held = pool.get().await?;
        held.in_transaction = true;
        held.execute(begin).await?;
        Ok(Self(held))
    }

    /// Commits what was done.
    ///
    /// # Errors
    /// When Postgres did not say that it is committed, which it may be nevertheless.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let ended = self.0.execute("COMMIT").await;
        self.0.rest_if_done(ended)?;
        Ok(())
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// One statement, on a connection that is lent for no longer than it takes.
impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let all = async move {
            let mut held = pool.get().await?;
            let all: Result<Vec<_>, Error> = held.fetch_many(query).try_collect().await;
            let all = held.rest_if_done(all)?;
            Ok(stream::iter(all).map(Ok))
        };
        all.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let one = async move {
            let mut held = pool.get().await?;
            let one = held.fetch_optional(query).await;
            held.rest_if_done(one)
        };
        one.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        let prepared = async move {
            let mut held = pool.get().await?;
            let prepared = held.prepare_with(sql, parameters).await;
            held.rest_if_done(prepared)
        };
        prepared.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        let described = async move {
            let mut held = pool.get().await?;
            let described = held.describe(sql).await;
            held.rest_if_done(described)
        };
        described.boxed()
    }
}
