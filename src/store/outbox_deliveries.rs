//! Messages on their way to endpoints: claimed in order, finished, tried again, or given up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Db, StoreError,
    outbox::{Message, MessageRow},
};

/// Whoever has so many that were given up need not know how many more.
const MOST_COUNTED: i64 = 100_000;

/// However many there are, a statement takes no more than this.
const AT_ONCE: i64 = 1000;
/// How long a message that waits behind another is put off, where there are many of them.
const PUT_OFF: Duration = Duration::from_secs(5);

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

/// What came of looking for deliveries that are due.
#[derive(Debug)]
pub struct Claimed {
    /// Those that can be delivered now.
    pub deliveries: Vec<ClaimedDelivery>,
    /// Not everything that is due was looked at.
    pub may_be_more: bool,
}

/// How a delivery failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// In a word.
    pub word: &'a str,
    /// When it is tried again; none is never.
    pub after: Option<Duration>,
}

/// Claims at most so many of what is due at an endpoint: of each person's messages the first that waits, unless a worker
/// that is there has it already.
///
/// However many are due, only the first of them are looked at. Where most of those wait behind others, as after days
/// without the endpoint, they are put off, so that the next look finds others. The end of the one before makes each due.
#[expect(clippy::too_many_lines, reason = "most of it is one statement")]
pub async fn claim_deliveries(
    db: &Db,
    worker: i32,
    endpoint: &str,
    room: usize,
    hold: Duration,
) -> Result<Claimed, StoreError> {
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let looked_at = room.saturating_mul(4).saturating_add(32);
    let rows = sqlx::query_as!(
        ClaimedRow,
        r#"WITH due AS MATERIALIZED (
               SELECT user_id, sequence, due_at FROM outbox_deliveries
               WHERE endpoint = $2 AND dead_at IS NULL AND due_at <= now()
                 AND (claimed_by IS NULL OR claimed_until < now() OR NOT worker_is_there(claimed_by))
               ORDER BY due_at LIMIT $5),
           placed AS MATERIALIZED (
               SELECT due.user_id, due.sequence, due.due_at, head.sequence = due.sequence AS is_head,
                      head.due_at AS head_due_at
               FROM due CROSS JOIN LATERAL (
                   SELECT sequence, due_at FROM outbox_deliveries
                   WHERE endpoint = $2 AND user_id = due.user_id AND dead_at IS NULL
                   ORDER BY sequence LIMIT 1) head),
           head AS (
               SELECT h.user_id, h.sequence
               FROM placed p JOIN outbox_deliveries h
                    ON h.endpoint = $2 AND h.user_id = p.user_id AND h.sequence = p.sequence
               WHERE p.is_head AND h.dead_at IS NULL AND h.due_at <= now()
                 AND (h.claimed_by IS NULL OR h.claimed_until < now() OR NOT worker_is_there(h.claimed_by))
               ORDER BY p.due_at LIMIT $3 FOR UPDATE OF h SKIP LOCKED),
           claimed AS (
               UPDATE outbox_deliveries d
               SET claimed_by = $1, claimed_until = now() + make_interval(secs => $4)
               FROM head
               WHERE d.endpoint = $2 AND d.user_id = head.user_id AND d.sequence = head.sequence
               RETURNING d.endpoint, d.tries, d.message_id),
           looked AS (
               SELECT count(*) AS at FROM placed),
           blocked AS (
               SELECT b.user_id, b.sequence, p.head_due_at
               FROM placed p JOIN outbox_deliveries b
                    ON b.endpoint = $2 AND b.user_id = p.user_id AND b.sequence = p.sequence
               WHERE NOT p.is_head AND (SELECT at FROM looked) = $5
               FOR UPDATE OF b SKIP LOCKED),
           put_off AS (
               UPDATE outbox_deliveries d
               SET due_at = GREATEST(blocked.head_due_at, now() + make_interval(secs => $6))
               FROM blocked
               WHERE d.endpoint = $2 AND d.user_id = blocked.user_id AND d.sequence = blocked.sequence)
           SELECT looked.at AS "looked_at!", c.endpoint AS "endpoint?", c.tries AS "tries?", o.id AS "id?",
                  o.transaction::text::bigint AS transaction, o.sequence AS "sequence?", o.livemode AS "livemode?",
                  o.type AS "kind?", o.data AS "data?", o.created_at AS "created_at?"
           FROM looked LEFT JOIN claimed c ON true LEFT JOIN outbox o ON o.id = c.message_id"#,
        worker,
        endpoint,
        room,
        hold.as_secs_f64(),
        looked_at,
        PUT_OFF.as_secs_f64(),
    )
    .fetch_all(db.pool())
    .await?;
    let may_be_more = rows.first().is_some_and(|row| row.looked_at == looked_at);
    let claimed = rows.into_iter().filter_map(ClaimedRow::claimed);
    Ok(Claimed {
        deliveries: claimed.collect::<Result<_, _>>()?,
        may_be_more,
    })
}

/// How many were looked at, and one that is claimed, if any is.
struct ClaimedRow {
    looked_at: i64,
    endpoint: Option<String>,
    tries: Option<i32>,
    id: Option<Uuid>,
    transaction: Option<i64>,
    sequence: Option<i64>,
    livemode: Option<bool>,
    kind: Option<String>,
    data: Option<Value>,
    created_at: Option<DateTime<Utc>>,
}

impl ClaimedRow {
    fn claimed(self) -> Option<Result<ClaimedDelivery, StoreError>> {
        let (endpoint, tries) = (self.endpoint?, self.tries?);
        let message = MessageRow {
            id: self.id?,
            transaction: self.transaction?,
            sequence: self.sequence?,
            livemode: self.livemode?,
            kind: self.kind?,
            data: self.data?,
            created_at: self.created_at?,
        };
        Some(message.try_into().map(|message| ClaimedDelivery {
            endpoint,
            tries,
            message,
        }))
    }
}

/// What came of a delivery. If the endpoint has it the row goes; else it is tried again, or given up. Where it is over, the
/// person's next message can be delivered.
pub async fn settle_delivery(
    db: &Db,
    worker: i32,
    delivery: &ClaimedDelivery,
    failed: Option<Failed<'_>>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"WITH taken AS (
               DELETE FROM outbox_deliveries
               WHERE endpoint = $1 AND message_id = $2 AND claimed_by = $3 AND $4::text IS NULL
               RETURNING user_id, sequence),
           failed AS (
               UPDATE outbox_deliveries
               SET tries = tries + 1, failure = $4, claimed_by = NULL, claimed_until = NULL,
                   due_at = now() + make_interval(secs => COALESCE($5::float8, 0)),
                   dead_at = CASE WHEN $5::float8 IS NULL THEN now() END
               WHERE endpoint = $1 AND message_id = $2 AND claimed_by = $3 AND $4 IS NOT NULL
               RETURNING user_id, sequence, dead_at),
           over AS (
               SELECT user_id, sequence FROM taken
               UNION ALL SELECT user_id, sequence FROM failed WHERE dead_at IS NOT NULL)
           UPDATE outbox_deliveries d SET due_at = now()
           FROM over
           WHERE d.endpoint = $1 AND d.user_id = over.user_id AND d.due_at > now() AND d.tries = 0
             AND d.sequence = (
                 SELECT min(n.sequence) FROM outbox_deliveries n
                 WHERE n.endpoint = $1 AND n.user_id = over.user_id AND n.sequence > over.sequence
                   AND n.dead_at IS NULL)"#,
        delivery.endpoint,
        delivery.message.position.id,
        worker,
        failed.map(|failed| failed.word),
        failed
            .and_then(|failed| failed.after)
            .map(|after| after.as_secs_f64()),
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
        r#"WITH waiting AS MATERIALIZED (
               SELECT * FROM outbox_deliveries
               WHERE dead_at IS NULL AND ($1::text IS NULL OR endpoint = $1) ORDER BY created_at LIMIT $2),
           dead AS MATERIALIZED (
               SELECT * FROM outbox_deliveries
               WHERE dead_at IS NOT NULL AND ($1::text IS NULL OR endpoint = $1) ORDER BY created_at LIMIT $2)
           SELECT d.endpoint AS "endpoint!", d.message_id AS "message!", o.type AS kind, d.tries AS "tries!", d.failure,
                  d.dead_at IS NOT NULL AS "dead!"
           FROM (SELECT * FROM waiting UNION ALL SELECT * FROM dead) d JOIN outbox o ON o.id = d.message_id
           ORDER BY d.created_at, d.endpoint, d.user_id, d.sequence LIMIT $2"#,
        endpoint,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows)
}

/// Which messages are delivered once more.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// Where.
    pub endpoint: &'a str,
    /// From this one on, in the order in which they are fetched.
    pub first: Uuid,
    /// To this one.
    pub last: Uuid,
    /// Only those of these types.
    pub kinds: Option<&'a [String]>,
}

/// Delivers messages to an endpoint once more, whether it has them or not. Gives how many.
pub async fn replay_deliveries(db: &Db, replay: Replay<'_>) -> Result<u64, StoreError> {
    let (mut done, mut after) = (0, None::<(i64, Uuid)>);
    loop {
        let step = sqlx::query!(
            r#"WITH these AS MATERIALIZED (
                   SELECT o.transaction, o.id, o.user_id, o.sequence, o.type FROM outbox o
                   WHERE (o.transaction, o.id) >= (SELECT f.transaction, f.id FROM outbox f WHERE f.id = $2)
                     AND (o.transaction, o.id) <= (SELECT l.transaction, l.id FROM outbox l WHERE l.id = $3)
                     AND ($4::bigint IS NULL OR (o.transaction, o.id) > ($4::bigint::text::xid8, $5::uuid))
                   ORDER BY o.transaction, o.id LIMIT $7),
               due AS (
                   INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id)
                   SELECT $1, user_id, sequence, id FROM these
                   WHERE $6::text[] IS NULL OR type = ANY($6)
                   ON CONFLICT (endpoint, user_id, sequence) DO UPDATE
                   SET tries = 0, due_at = now(), dead_at = NULL, failure = NULL
                   RETURNING 1)
               SELECT transaction::text::bigint AS "transaction!", id, (SELECT count(*) FROM due) AS "due!"
               FROM these ORDER BY transaction DESC, id DESC LIMIT 1"#,
            replay.endpoint,
            replay.first,
            replay.last,
            after.map(|after| after.0),
            after.map(|after| after.1),
            replay.kinds,
            AT_ONCE,
        )
        .fetch_optional(db.pool())
        .await?;
        let Some(step) = step else {
            return Ok(done);
        };
        done += u64::try_from(step.due).unwrap_or(0);
        after = Some((step.transaction, step.id));
    }
}

/// Leaves untold what an endpoint has not taken, also what was given up. Gives how much that was.
pub async fn drop_deliveries(db: &Db, endpoint: &str) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        let dropped = sqlx::query!(
            r#"DELETE FROM outbox_deliveries WHERE (endpoint, user_id, sequence) IN (
                   SELECT endpoint, user_id, sequence FROM outbox_deliveries WHERE endpoint = $1 LIMIT $2)"#,
            endpoint,
            AT_ONCE,
        )
        .execute(db.pool())
        .await?;
        if dropped.rows_affected() == 0 {
            return Ok(all);
        }
        all += dropped.rows_affected();
    }
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
