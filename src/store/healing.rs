//! Where the healer stands: claimed by one worker at a time, and moved on only by it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Db, StoreError, Tx};
use crate::domain::AttemptId;

/// Who wants to heal, in which mode.
#[derive(Clone, Copy, Debug)]
pub struct Healer {
    /// Of live or test mode.
    pub livemode: bool,
    /// Its worker's number.
    pub worker: i32,
}

/// When a round is due.
#[derive(Clone, Copy, Debug)]
pub struct HealTimes {
    /// After a round, the next one is due so much later.
    pub every: Duration,
    /// How far the database's now is ahead of itself.
    pub ahead: Duration,
    /// Due or not.
    pub by_hand: bool,
}

/// Where a claimed healer is to go on.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The database's now, as a Unix second.
    pub now: i64,
    /// A whole round is due; else only the long sweep goes on.
    pub round_due: bool,
    /// The long sweep is due, or under way.
    pub all_due: bool,
    /// Every event up to this second was heard.
    pub events_until: Option<i64>,
    /// When the recent sessions were last read to the end, as a Unix second.
    pub recent_swept: Option<i64>,
    /// How far the long sweep has come.
    pub all_down_to: Option<i64>,
    /// Rounds that failed in a row.
    pub failed_tries: i32,
}

/// How a round ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Everything was read.
    Finished {
        /// What was found.
        report: Value,
        /// It was a whole round.
        of_round: bool,
    },
    /// It is to be tried again.
    Failed {
        /// When.
        after: Duration,
    },
    /// The process stops; another may go on at once.
    Interrupted,
}

/// The healer as somebody else sees it.
#[derive(Clone, Debug)]
pub struct HealingRecord {
    /// The last report.
    pub report: Option<Value>,
    /// When the last whole round ended.
    pub round_ended_at: Option<DateTime<Utc>>,
    /// How long ago that is, in seconds.
    pub round_ended_ago: Option<f64>,
    /// Who is at it.
    pub holder: Option<Holder>,
}

/// A worker that is at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub worker: i32,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
}

/// Asks for a round now: a server that starts does not know what it has missed.
pub async fn ask_for_healing(db: &Db, livemode: bool) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE healing SET due_at = now() WHERE livemode = $1 AND due_at > now()"#,
        livemode,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Claims what is due, unless a worker that is there is at it. One that is gone has left it at once.
pub async fn claim_healing(
    db: &Db,
    healer: Healer,
    times: HealTimes,
) -> Result<Option<Standing>, StoreError> {
    let standing = sqlx::query_as!(
        Standing,
        r#"WITH free AS (
               SELECT livemode, $4 OR claimed_by IS NOT NULL OR due_at <= now() + make_interval(secs => $5) AS round_due
               FROM healing
               WHERE livemode = $1
                 AND (claimed_by IS NULL OR claimed_by = $2 OR NOT worker_is_there(claimed_by))
                 AND ($4 OR claimed_by IS NOT NULL OR due_at <= now() + make_interval(secs => $5)
                      OR (all_down_to IS NOT NULL AND failed_tries = 0))
               FOR UPDATE SKIP LOCKED)
           UPDATE healing h SET
               claimed_by = $2, claimed_at = now(),
               due_at = CASE WHEN free.round_due THEN now() + make_interval(secs => $3) ELSE h.due_at END
           FROM free WHERE h.livemode = free.livemode
           RETURNING EXTRACT(EPOCH FROM now() + make_interval(secs => $5))::bigint AS "now!",
               free.round_due AS "round_due!",
               $4 OR h.all_down_to IS NOT NULL OR h.all_swept_at IS NULL
                   OR h.all_swept_at <= now() + make_interval(secs => $5) - interval '1 day' AS "all_due!",
               h.events_until, EXTRACT(EPOCH FROM h.recent_swept_at)::bigint AS recent_swept,
               CASE WHEN NOT $4 THEN h.all_down_to END AS all_down_to, h.failed_tries"#,
        healer.livemode,
        healer.worker,
        times.every.as_secs_f64(),
        times.by_hand,
        times.ahead.as_secs_f64(),
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(standing)
}

/// Every event up to this second was heard. False if somebody else has taken over.
pub async fn note_events_heard(db: &Db, healer: Healer, until: i64) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"UPDATE healing SET events_until = greatest(events_until, $3) WHERE livemode = $1 AND claimed_by = $2"#,
        healer.livemode,
        healer.worker,
        until,
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The recent sessions were read to the end, beginning now. False if somebody else has taken over.
pub async fn note_recent_swept(db: &Db, healer: Healer, begun: i64) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"UPDATE healing SET recent_swept_at = to_timestamp($3::bigint)
           WHERE livemode = $1 AND claimed_by = $2"#,
        healer.livemode,
        healer.worker,
        begun,
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The long sweep has come down to this second, or to its end. False if somebody else has taken over.
pub async fn note_all_swept(
    db: &Db,
    healer: Healer,
    down_to: Option<i64>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"UPDATE healing SET
               all_down_to = $3, all_swept_at = CASE WHEN $3::bigint IS NULL THEN now() ELSE all_swept_at END
           WHERE livemode = $1 AND claimed_by = $2"#,
        healer.livemode,
        healer.worker,
        down_to,
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the claim back.
pub async fn end_healing(db: &Db, healer: Healer, ending: Ending) -> Result<(), StoreError> {
    let (report, of_round, again, failed) = match ending {
        Ending::Finished { report, of_round } => (Some(report), of_round, None, Some(false)),
        Ending::Failed { after } => (None, false, Some(after), Some(true)),
        Ending::Interrupted => (None, false, Some(Duration::ZERO), None),
    };
    sqlx::query!(
        r#"UPDATE healing SET
               claimed_by = NULL, claimed_at = NULL,
               due_at = COALESCE(now() + make_interval(secs => $5), due_at),
               failed_tries = CASE WHEN $6 THEN failed_tries + 1 WHEN NOT $6 THEN 0 ELSE failed_tries END,
               report = COALESCE($3, report),
               round_ended_at = CASE WHEN $4 THEN now() ELSE round_ended_at END
           WHERE livemode = $1 AND claimed_by = $2"#,
        healer.livemode,
        healer.worker,
        report,
        of_round,
        again.map(|again| again.as_secs_f64()),
        failed,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// How the healer stands, and who is at it.
pub async fn find_healing(db: &Db, livemode: bool) -> Result<HealingRecord, StoreError> {
    let row = sqlx::query!(
        r#"SELECT report, round_ended_at, EXTRACT(EPOCH FROM now() - round_ended_at)::float8 AS round_ended_ago,
                  CASE WHEN claimed_by IS NOT NULL AND worker_is_there(claimed_by) THEN claimed_by END AS holder,
                  claimed_at
           FROM healing WHERE livemode = $1"#,
        livemode,
    )
    .fetch_one(db.pool())
    .await?;
    Ok(HealingRecord {
        report: row.report,
        round_ended_at: row.round_ended_at,
        round_ended_ago: row.round_ended_ago,
        holder: row.holder.map(|worker| Holder {
            worker,
            since: row.claimed_at,
        }),
    })
}

/// Attempts without a session that nobody is at and that were not searched for since somebody was, the oldest first; and
/// the time now.
pub async fn list_unsearched(
    db: &Db,
    livemode: bool,
    limit: i64,
    ahead: Duration,
) -> Result<Vec<(AttemptId, DateTime<Utc>)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, now() AS "now!" FROM verifications v
           WHERE session_id IS NULL AND searched_at IS NULL AND user_id IS NOT NULL AND livemode = $1
             AND COALESCE(lease_until,
                     (SELECT max(handed_out_at) FROM reservations r WHERE r.verification_id = v.id), created_at)
                 <= now() + make_interval(secs => $3) - interval '1 minute'
           ORDER BY created_at LIMIT $2"#,
        livemode,
        limit,
        ahead.as_secs_f64(),
    )
    .fetch_all(db.pool())
    .await?;
    let waiting = rows.into_iter().map(|row| (AttemptId(row.id), row.now));
    Ok(waiting.collect())
}

/// Stripe was asked for a session of this attempt.
pub async fn note_searched(tx: &mut Tx, attempt: AttemptId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE verifications SET searched_at = now() WHERE id = $1"#,
        attempt.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which of these events are not kept here.
pub async fn find_unknown_events(db: &Db, ids: &[&str]) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT asked.id AS "id!" FROM UNNEST($1::text[]) AS asked (id)
           WHERE NOT EXISTS (SELECT FROM stripe_events e WHERE e.id = asked.id)"#,
        ids as &[&str],
    )
    .fetch_all(db.pool())
    .await?;
    Ok(ids)
}

/// What is shown of a session, without locking it.
#[derive(Clone, Debug)]
pub struct ShownSession {
    /// The session.
    pub session_id: String,
    /// It is somebody's.
    pub claimed: bool,
    /// Its status, in Stripe's word.
    pub status: Option<String>,
    /// Why its last try failed.
    pub error_code: Option<String>,
    /// Its last report.
    pub report_id: Option<String>,
    /// How far a redaction is.
    pub redaction: String,
    /// A status this version does not know.
    pub unknown_status: Option<String>,
    /// What we were told does not settle it.
    pub doubtful: bool,
    /// Stripe did not have it.
    pub gone: bool,
    /// When it last changed, as a Unix second.
    pub updated: i64,
}

/// What is shown of those of these sessions that have a row.
pub async fn list_shown(db: &Db, sessions: &[String]) -> Result<Vec<ShownSession>, StoreError> {
    let rows = sqlx::query_as!(
        ShownSession,
        r#"SELECT session_id AS "session_id!", user_id IS NOT NULL AS "claimed!", status, error_code,
                  report_id, redaction, unknown_status, doubt_since IS NOT NULL AS "doubtful!",
                  gone_at IS NOT NULL AS "gone!", EXTRACT(EPOCH FROM updated_at)::bigint AS "updated!"
           FROM verifications WHERE session_id = ANY($1)"#,
        sessions,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows)
}
