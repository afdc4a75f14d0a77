//! Workers that can be told from dead ones: each holds an advisory lock for as long as its connection lasts.
//!
//! What a worker claims carries its number. A claim whose number nobody holds is orphaned, and can be taken over at
//! once, however the worker ended.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::{Db, StoreError, budget::LOCK_OF_WORKERS};

/// A connection that has not answered for so long is no sign of life.
const PATIENCE: Duration = Duration::from_secs(2);

/// A worker's sign of life.
#[derive(Debug)]
pub struct Worker {
    id: i32,
    connection: PgConnection,
}

impl Worker {
    /// Takes a number that nobody else has, on a connection of its own.
    pub async fn start(db: &Db) -> Result<Self, StoreError> {
        let mut connection = db.pool().get().await?.keep();
        loop {
            let id = rand::random_range(1..=i32::MAX);
            let is_free = sqlx::query_scalar!(
                r#"SELECT pg_try_advisory_lock($1, $2) AS "is_free!""#,
                LOCK_OF_WORKERS,
                id,
            )
            .fetch_one(&mut connection)
            .await?;
            if is_free {
                return Ok(Self { id, connection });
            }
        }
    }

    /// The number of a worker that is there: this one's, or a new one's that takes its place.
    pub async fn ensure(worker: &mut Option<Self>, db: &Db) -> Result<i32, StoreError> {
        if let Some(worker) = worker
            && worker.is_alive().await
        {
            return Ok(worker.id);
        }
        let started = timeout(PATIENCE, Self::start(db)).await;
        let started = started.unwrap_or(Err(StoreError::TimedOut))?;
        Ok(worker.insert(started).id)
    }

    /// Its number.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Is the connection still there, and with it the number?
    pub async fn is_alive(&mut self) -> bool {
        let answer = timeout(PATIENCE, self.connection.ping()).await;
        matches!(answer, Ok(Ok(())))
    }
}
