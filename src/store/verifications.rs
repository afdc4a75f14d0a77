//! Attempts: found, locked, merged and saved. The derived columns are computed here, so that they cannot differ from the maxima.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{Db, StoreError, Tx, users::parse_status};
use crate::domain::{
    AttemptId, EventMaximum, Knowledge, ReadMaximum, Redaction, SessionId, Status, UserId,
};

/// An attempt's row, locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The attempt.
    pub id: AttemptId,
    /// Whose it is; none while unclaimed.
    pub user_id: Option<UserId>,
    /// The create parameters, frozen.
    pub parameters: Value,
    /// The policy it is under.
    pub policy: String,
    /// Those that Stripe was asked to change it to, without an answer.
    pub policies_asked: Vec<String>,
    /// Which of the person's details Stripe was given.
    pub details_version: i32,
    /// Stripe's session, once there is one.
    pub session_id: Option<SessionId>,
    /// The status as saved.
    pub status: Option<Status>,
    /// All we were told.
    pub knowledge: Knowledge,
    /// A status this version does not know, as last read.
    pub unknown_status: Option<String>,
    /// Deliveries that only said "look".
    pub hinted: i32,
    /// Those of them that a retrieval has answered.
    pub answered: i32,
    /// Retrievals since doubt began.
    pub refresh_tries: i32,
    /// Stripe does not have it (any more).
    pub gone: bool,
    /// Is it the attempt `start` hands out?
    pub current: bool,
    /// Older than Stripe keeps an idempotency key with certainty.
    pub key_may_have_expired: bool,
}

struct VerificationRow {
    id: Uuid,
    user_id: Option<Uuid>,
    parameters: Value,
    policy: String,
    policies_asked: Vec<String>,
    details_version: i32,
    session_id: Option<String>,
    status: Option<String>,
    redaction: String,
    event_second: Option<i64>,
    events_told: Option<Value>,
    verified_second: Option<i64>,
    read_as_of: Option<i64>,
    read_until: Option<i64>,
    reads_told: Option<Value>,
    unknown_status: Option<String>,
    hinted: i32,
    answered: i32,
    refresh_tries: i32,
    gone_at: Option<DateTime<Utc>>,
    current: bool,
    key_may_have_expired: bool,
}

impl TryFrom<VerificationRow> for Verification {
    type Error = StoreError;

    fn try_from(row: VerificationRow) -> Result<Self, StoreError> {
        let session_id = parse_session(row.id, row.session_id.as_deref())?;
        let maxima = Maxima {
            redaction: row.redaction,
            event_second: row.event_second,
            events_told: row.events_told,
            verified_second: row.verified_second,
            read_as_of: row.read_as_of,
            read_until: row.read_until,
            reads_told: row.reads_told,
        };
        Ok(Self {
            id: AttemptId(row.id),
            user_id: row.user_id.map(UserId),
            parameters: row.parameters,
            policy: row.policy,
            policies_asked: row.policies_asked,
            details_version: row.details_version,
            session_id,
            status: parse_status(row.id, row.status.as_deref())?,
            knowledge: maxima.knowledge(row.id)?,
            unknown_status: row.unknown_status,
            hinted: row.hinted,
            answered: row.answered,
            refresh_tries: row.refresh_tries,
            gone: row.gone_at.is_some(),
            current: row.current,
            key_may_have_expired: row.key_may_have_expired,
        })
    }
}

/// The columns that hold what we were told.
#[derive(Debug)]
pub(super) struct Maxima {
    pub(super) redaction: String,
    pub(super) event_second: Option<i64>,
    pub(super) events_told: Option<Value>,
    pub(super) verified_second: Option<i64>,
    pub(super) read_as_of: Option<i64>,
    pub(super) read_until: Option<i64>,
    pub(super) reads_told: Option<Value>,
}

impl Maxima {
    /// Reads them back; each maximum is whole or not there.
    pub(super) fn knowledge(self, id: Uuid) -> Result<Knowledge, StoreError> {
        let bad = |column| inconsistent(id, column);
        let events = match (self.event_second, self.events_told) {
            (None, None) => None,
            (Some(second), Some(told)) => Some(EventMaximum {
                second,
                told: decode(told).ok_or_else(|| bad("events_told"))?,
            }),
            _ => return Err(bad("event_second")),
        };
        let reads = match (self.read_as_of, self.read_until, self.reads_told) {
            (None, None, None) => None,
            (Some(as_of), Some(until), Some(read)) => Some(ReadMaximum {
                as_of,
                until,
                read: decode(read).ok_or_else(|| bad("reads_told"))?,
            }),
            _ => return Err(bad("read_as_of")),
        };
        Ok(Knowledge {
            events,
            verified_second: self.verified_second,
            reads,
            redaction: Redaction::parse(&self.redaction).ok_or_else(|| bad("redaction"))?,
            ..Knowledge::default()
        })
    }
}

pub(super) fn inconsistent(id: Uuid, column: &'static str) -> StoreError {
    StoreError::Inconsistent {
        table: "verifications",
        column,
        id,
    }
}

pub(super) fn parse_session(id: Uuid, text: Option<&str>) -> Result<Option<SessionId>, StoreError> {
    text.map(|text| SessionId::parse(text).ok_or_else(|| inconsistent(id, "session_id")))
        .transpose()
}

fn decode<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Data(sqlx::Error::Encode(error.into())))
}

/// Locks these attempts, by ascending key so that two transactions cannot wait for each other.
pub async fn lock_verifications(
    tx: &mut Tx,
    ids: &[AttemptId],
) -> Result<Vec<Verification>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        VerificationRow,
        r#"SELECT id, user_id, parameters, policy, policies_asked, details_version, session_id,
                  status, redaction, event_second, events_told, verified_second, read_as_of, read_until, reads_told, unknown_status,
                  hinted, answered, refresh_tries, gone_at, current,
                  created_at < now() - interval '20 hours' AS "key_may_have_expired!"
           FROM verifications WHERE id = ANY($1) ORDER BY id FOR UPDATE"#,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(Verification::try_from).collect()
}

/// The attempt that has this session, and whose it is.
pub async fn find_by_session(
    tx: &mut Tx,
    session: &SessionId,
) -> Result<Option<(AttemptId, Option<UserId>)>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT id, user_id FROM verifications WHERE session_id = $1"#,
        session.as_str(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| (AttemptId(row.id), row.user_id.map(UserId))))
}

/// Whose attempt this is, if it is one of ours in this mode that has no session yet.
pub async fn find_unlinked(
    tx: &mut Tx,
    attempt: AttemptId,
    livemode: bool,
) -> Result<Option<UserId>, StoreError> {
    let user = sqlx::query_scalar!(
        r#"SELECT user_id AS "user_id!" FROM verifications
           WHERE id = $1 AND livemode = $2 AND session_id IS NULL AND user_id IS NOT NULL"#,
        attempt.0,
        livemode,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(user.map(UserId))
}

/// Does any attempt of ours have this id?
pub async fn is_attempt(tx: &mut Tx, attempt: AttemptId) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM verifications WHERE id = $1 AND user_id IS NOT NULL) AS "found!""#,
        attempt.0,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(found)
}

/// Makes a row for a session we never made. Nothing happens if the session has a row by now.
pub async fn insert_unclaimed(
    tx: &mut Tx,
    session: &SessionId,
    livemode: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO verifications (id, livemode, session_id) VALUES ($1, $2, $3)
           ON CONFLICT (session_id) DO NOTHING"#,
        Uuid::now_v7(),
        livemode,
        session.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives the attempt its session. False if it has one already, or is of the other mode.
pub async fn link_session(
    tx: &mut Tx,
    attempt: AttemptId,
    session: &SessionId,
    livemode: bool,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"UPDATE verifications SET session_id = $2, updated_at = now()
           WHERE id = $1 AND session_id IS NULL AND livemode = $3"#,
        attempt.0,
        session.as_str(),
        livemode,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| {
        match error
            .as_database_error()
            .and_then(|error| error.constraint())
        {
            // Its row was made since we looked for it.
            Some("verifications_session_id_key") => StoreError::moved(),
            _ => error.into(),
        }
    })?;
    Ok(done.rows_affected() == 1)
}

/// Moves an unclaimed row's reports and history to `attempt` and removes the row; its knowledge is the caller's to merge.
/// What was reserved for such a report is spent.
pub async fn absorb_unclaimed(
    tx: &mut Tx,
    unclaimed: AttemptId,
    attempt: AttemptId,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE verification_reports SET verification_id = $2 WHERE verification_id = $1"#,
        unclaimed.0,
        attempt.0,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        r#"UPDATE verification_history SET verification_id = $2 WHERE verification_id = $1"#,
        unclaimed.0,
        attempt.0,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        r#"DELETE FROM verifications WHERE id = $1 AND user_id IS NULL"#,
        unclaimed.0
    )
    .execute(&mut **tx)
    .await?;
    super::spend_reservations(tx, attempt).await
}

/// Saves what is known of a locked attempt, and all that follows from it. `refresh_in` is when Stripe is asked next; none clears it.
pub async fn save_verification(
    tx: &mut Tx,
    verification: &Verification,
    refresh_in: Option<Duration>,
) -> Result<(), StoreError> {
    let known = &verification.knowledge;
    let verdict = known.verdict();
    let events = known.events.as_ref();
    let reads = known.reads.as_ref();
    sqlx::query!(
        r#"UPDATE verifications SET
               status = $2, error_code = $3, report_id = $4, redaction = $6,
               -- A look that finds what the last one found does not move the time: only events carry their own.
               verdict_second = CASE WHEN status = $2 AND $5::bigint IS DISTINCT FROM $7
                   THEN COALESCE(verdict_second, $5::bigint) ELSE $5::bigint END,
               event_second = $7, events_told = $8, verified_second = $9,
               read_as_of = $10, read_until = $11, reads_told = $12, unknown_status = $13,
               hinted = $14, answered = $15,
               doubt_since = CASE WHEN $16 THEN COALESCE(doubt_since, now()) END,
               refresh_due_at = now() + make_interval(secs => $17), refresh_tries = $18,
               gone_at = CASE WHEN $19 THEN COALESCE(gone_at, now()) END,
               current = $20, updated_at = now()
           WHERE id = $1"#,
        verification.id.0,
        verdict.as_ref().map(|verdict| verdict.status.as_str()),
        verdict
            .as_ref()
            .and_then(|verdict| verdict.error.as_deref()),
        verdict
            .as_ref()
            .and_then(|verdict| verdict.report.as_deref()),
        verdict.as_ref().map(|verdict| verdict.second),
        known.redaction.as_str(),
        events.map(|events| events.second),
        events.map(|events| encode(&events.told)).transpose()?,
        known.verified_second,
        reads.map(|reads| reads.as_of),
        reads.map(|reads| reads.until),
        reads.map(|reads| encode(&reads.read)).transpose()?,
        verification.unknown_status,
        verification.hinted,
        verification.answered,
        known.doubt().is_some() && !verification.gone,
        refresh_in.map(|delay| delay.as_secs_f64()),
        verification.refresh_tries,
        verification.gone,
        verification.current,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Age of the oldest doubt in seconds; zero when there is none.
pub async fn oldest_doubt_seconds(db: &Db) -> Result<f64, StoreError> {
    let age = sqlx::query_scalar!(
        r#"SELECT COALESCE(EXTRACT(EPOCH FROM now() - min(doubt_since)), 0)::float8 AS "age!"
           FROM verifications WHERE doubt_since IS NOT NULL"#
    )
    .fetch_one(db.pool())
    .await?;
    Ok(age)
}
