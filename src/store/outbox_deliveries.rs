//! Messages on their way to endpoints: claimed in order, finished, tried again, or given up.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Db, StoreError,
    outbox::{Message, MessageRow},
};

/// Whoever has so many that were given up need not know how many more.
const MOST_COUNTED: i64 = 100_000;

/// A message that a worker has claimed for an endpoint.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// Where it goes.
    pub endpoint: String,
    /// How often it was tried in vain.
    pub tries: i32,
    /// What is told.
    pub message: Message,
}

/// A message that an endpoint has yet to take.
#[derive(Clone, Debug)]
pub struct WaitingDelivery {
    /// Where it goes.
    pub endpoint: String,
    /// The message.
    pub message: Uuid,
    /// What it is about.
    pub kind: String,
    /// How often it was tried in vain.
    pub tries: i32,
    /// How the last try failed.
    pub failure: Option<String>,
    /// It was given up.
    pub dead: bool,
}

/// Claims what is due at these endpoints: of each person's messages the first that waits, unless a worker that is
/// there has it already.
pub async fn claim_deliveries(
    db: &Db,
    worker: i32,
    endpoints: &[String],
    limit: i64,
    hold: Duration,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let rows = sqlx::query!(
        r#"WITH head AS (
               SELECT h.endpoint, h.user_id, h.sequence FROM outbox_deliveries h
               WHERE h.dead_at IS NULL AND h.due_at <= now() AND h.endpoint = ANY($2)
                 AND (h.claimed_by IS NULL OR h.claimed_until < now() OR NOT worker_is_there(h.claimed_by))
                 AND NOT EXISTS (
                     SELECT FROM outbox_deliveries e
                     WHERE e.endpoint = h.endpoint AND e.user_id = h.user_id AND e.sequence < h.sequence
                       AND e.dead_at IS NULL)
               ORDER BY h.due_at LIMIT $3 FOR UPDATE SKIP LOCKED),
           claimed AS (
               UPDATE outbox_deliveries d
               SET claimed_by = $1, claimed_until = now() + make_interval(secs => $4)
               FROM head
               WHERE d.endpoint = head.endpoint AND d.user_id = head.user_id AND d.sequence = head.sequence
               RETURNING d.endpoint, d.tries, d.message_id)
           SELECT c.endpoint, c.tries, o.id, o.transaction::text::bigint AS "transaction!", o.sequence, o.livemode,
                  o.type AS kind, o.data, o.created_at
           FROM claimed c JOIN outbox o ON o.id = c.message_id"#,
        worker,
        endpoints,
        limit,
        hold.as_secs_f64(),
    )
    .fetch_all(db.pool())
    .await?;
    let claimed = rows.into_iter().map(|row| {
        let message = MessageRow {
            id: row.id,
            transaction: row.transaction,
            sequence: row.sequence,
            livemode: row.livemode,
            kind: row.kind,
            data: row.data,
            created_at: row.created_at,
        };
        Ok(ClaimedDelivery {
            endpoint: row.endpoint,
            tries: row.tries,
            message: message.try_into()?,
        })
    });
    claimed.collect()
}

/// The endpoint has it: the row goes, and the person's next message can be delivered.
pub async fn finish_delivery(
    db: &Db,
    worker: i32,
    delivery: &ClaimedDelivery,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"DELETE FROM outbox_deliveries WHERE endpoint = $1 AND message_id = $2 AND claimed_by = $3"#,
        delivery.endpoint,
        delivery.message.position.id,
        worker,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// It is tried again `after` a while; never again without one.
pub async fn fail_delivery(
    db: &Db,
    worker: i32,
    delivery: &ClaimedDelivery,
    failure: &str,
    after: Option<Duration>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE outbox_deliveries
           SET tries = tries + 1, failure = $4, claimed_by = NULL, claimed_until = NULL,
               due_at = now() + make_interval(secs => COALESCE($5::float8, 0)),
               dead_at = CASE WHEN $5::float8 IS NULL THEN now() END
           WHERE endpoint = $1 AND message_id = $2 AND claimed_by = $3"#,
        delivery.endpoint,
        delivery.message.position.id,
        worker,
        failure,
        after.map(|after| after.as_secs_f64()),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// What waits or was given up, the oldest first.
pub async fn list_deliveries_under_way(
    db: &Db,
    endpoint: Option<&str>,
    limit: i64,
) -> Result<Vec<WaitingDelivery>, StoreError> {
    let mut tx = db.begin_planned().await?;
    let rows = sqlx::query_as!(
        WaitingDelivery,
        r#"SELECT d.endpoint, d.message_id AS message, o.type AS kind, d.tries, d.failure,
                  d.dead_at IS NOT NULL AS "dead!"
           FROM outbox_deliveries d JOIN outbox o ON o.id = d.message_id
           WHERE $1::text IS NULL OR d.endpoint = $1
           ORDER BY d.created_at, d.endpoint, d.user_id, d.sequence LIMIT $2"#,
        endpoint,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows)
}

/// Delivers messages to an endpoint once more, whether it has them or not: those from one to another, both included, in
/// the order in which they are fetched. Gives how many.
pub async fn replay_deliveries(
    db: &Db,
    endpoint: &str,
    first: Uuid,
    last: Uuid,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id)
           SELECT $1, o.user_id, o.sequence, o.id FROM outbox o
           WHERE (o.transaction, o.id) >= (SELECT f.transaction, f.id FROM outbox f WHERE f.id = $2)
             AND (o.transaction, o.id) <= (SELECT l.transaction, l.id FROM outbox l WHERE l.id = $3)
           ON CONFLICT (endpoint, user_id, sequence) DO UPDATE
           SET tries = 0, due_at = now(), dead_at = NULL, failure = NULL"#,
        endpoint,
        first,
        last,
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected())
}

/// Age in seconds of the oldest message that waits for an endpoint, and how many were given up, as far as that is counted.
pub async fn measure_deliveries(db: &Db) -> Result<(f64, i64), StoreError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8
                   FROM outbox_deliveries WHERE dead_at IS NULL) AS "age!",
                  (SELECT count(*) FROM (SELECT FROM outbox_deliveries WHERE dead_at IS NOT NULL LIMIT $1) dead)
                      AS "dead!""#,
        MOST_COUNTED,
    )
    .fetch_one(db.pool())
    .await?;
    Ok((row.age, row.dead))
}
