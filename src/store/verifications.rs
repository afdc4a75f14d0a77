//! Attempts: found, locked and merged. The derived columns are computed here, so that they cannot differ from the maxima.

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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column, and they vary independently"
)]
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
    /// Of live or test mode.
    pub livemode: bool,
    /// The status as saved.
    pub status: Option<Status>,
    /// The second of the verdict.
    pub verdict_second: Option<i64>,
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
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Older than Stripe keeps an idempotency key with certainty.
    pub key_may_have_expired: bool,
}

pub(super) struct VerificationRow {
    pub(super) id: Uuid,
    pub(super) user_id: Option<Uuid>,
    pub(super) parameters: Value,
    pub(super) policy: String,
    pub(super) policies_asked: Vec<String>,
    pub(super) details_version: i32,
    pub(super) session_id: Option<String>,
    pub(super) livemode: bool,
    pub(super) status: Option<String>,
    pub(super) verdict_second: Option<i64>,
    pub(super) redaction: String,
    pub(super) event_second: Option<i64>,
    pub(super) events_told: Option<Value>,
    pub(super) verified_second: Option<i64>,
    pub(super) read_as_of: Option<i64>,
    pub(super) read_until: Option<i64>,
    pub(super) reads_told: Option<Value>,
    pub(super) unknown_status: Option<String>,
    pub(super) hinted: i32,
    pub(super) answered: i32,
    pub(super) refresh_tries: i32,
    pub(super) gone_at: Option<DateTime<Utc>>,
    pub(super) current: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) key_may_have_expired: bool,
}

/// Reads whole rows from somewhere, after whatever comes first.
macro_rules! select_attempts {
    ($first:literal, $from:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            VerificationRow,
            $first
                + r#" SELECT id, user_id, parameters, policy, policies_asked, details_version, session_id, livemode,
                      status, verdict_second, redaction, event_second, events_told, verified_second, read_as_of,
                      read_until, reads_told, unknown_status, hinted, answered, refresh_tries, gone_at, current,
                      created_at, created_at < now() - interval '20 hours' AS "key_may_have_expired!" "#
                + $from,
            $($argument),+
        )
    };
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
            livemode: row.livemode,
            verdict_second: row.verdict_second,
            created_at: row.created_at,
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

/// Every attempt of these people. They are locked, and what is read here changes under its person's lock alone, so the
/// rows need no locks of their own. (Only the refreshes count their tries without it: at worst one is made more.)
pub async fn read_attempts(tx: &mut Tx, users: &[UserId]) -> Result<Vec<Verification>, StoreError> {
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    let rows = select_attempts!("", "FROM verifications WHERE user_id = ANY($1)", &users)
        .fetch_all(&mut **tx)
        .await?;
    rows.into_iter().map(Verification::try_from).collect()
}

/// Locks these attempts, and the rows of these sessions, by ascending key so that two transactions cannot wait for each
/// other.
pub async fn lock_verifications(
    tx: &mut Tx,
    ids: &[AttemptId],
    sessions: &[SessionId],
) -> Result<Vec<Verification>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let sessions = texts(sessions);
    let rows = select_attempts!(
        "",
        "FROM verifications WHERE id = ANY($1) OR session_id = ANY($2) ORDER BY id FOR UPDATE",
        &ids,
        &sessions,
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

/// Makes a row for each of these sessions that we never made, in the order given: by ascending session, so that two
/// transactions cannot wait for each other. Nothing happens to a session that has a row by now.
pub async fn insert_unclaimed(
    tx: &mut Tx,
    sessions: &[SessionId],
    livemode: bool,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = sessions.iter().map(|_| Uuid::now_v7()).collect();
    let sessions = texts(sessions);
    sqlx::query!(
        r#"INSERT INTO verifications (id, livemode, session_id)
           SELECT new.id, $2, new.session FROM UNNEST($1::uuid[], $3::text[]) AS new (id, session)
           ON CONFLICT (session_id) DO NOTHING"#,
        &ids,
        livemode,
        &sessions,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) fn texts(sessions: &[SessionId]) -> Vec<String> {
    let texts = sessions.iter().map(|session| session.as_str().to_owned());
    texts.collect()
}

/// Gives the attempt its session, and notes that in its history. `None`, and nothing is done, if it has one already or is of
/// the other mode, or if the session has a row.
pub async fn link_session(
    tx: &mut Tx,
    attempt: AttemptId,
    session: &SessionId,
    livemode: bool,
) -> Result<Option<Verification>, StoreError> {
    let row = select_attempts!(
        r#"WITH linked AS (
               UPDATE verifications SET session_id = $2, updated_at = now()
               WHERE id = $1 AND COALESCE(session_id, '') = '' AND livemode = $3
                 AND NOT EXISTS (SELECT FROM verifications WHERE session_id = $2)
               RETURNING *),
           noted AS (
               INSERT INTO verification_history (verification_id, cause, at)
               SELECT id, 'linked to ' || $2, clock_timestamp() FROM linked)"#,
        "FROM linked",
        attempt.0,
        session.as_str(),
        livemode,
    )
    .fetch_optional(&mut **tx)
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
    row.map(Verification::try_from).transpose()
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
    super::spend_reservations(tx, &[attempt]).await
}

/// Age in seconds of this mode's oldest doubt, zero when there is none, and how many sessions were asked about so often in
/// vain that somebody should look.
pub async fn measure_doubts(
    db: &Db,
    livemode: bool,
    tries_before_alarm: u32,
) -> Result<(f64, i64), StoreError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT COALESCE(EXTRACT(EPOCH FROM now() - min(doubt_since)), 0)::float8
                   FROM verifications WHERE doubt_since IS NOT NULL AND livemode = $2) AS "age!",
                  (SELECT count(*) FROM verifications
                   WHERE refresh_due_at IS NOT NULL AND refresh_tries >= $1 AND livemode = $2) AS "unsettled!""#,
        i32::try_from(tries_before_alarm).unwrap_or(i32::MAX),
        livemode,
    )
    .fetch_one(db.pool())
    .await?;
    Ok((row.age, row.unsettled))
}
