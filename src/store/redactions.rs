//! Redactions: asked of Stripe, and followed until it has erased.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Db, StoreError, Tx,
    users::parse_status,
    verifications::{inconsistent, parse_session},
};
use crate::domain::{AttemptId, Redaction, SessionId, Status};

/// A redaction that a worker has claimed.
#[derive(Clone, Debug)]
pub struct ClaimedRedaction {
    /// Of this attempt.
    pub attempt: AttemptId,
    /// Its session, if it ever got one.
    pub session: Option<SessionId>,
    /// Where it stands.
    pub status: Option<Status>,
    /// How far the redaction is known to be.
    pub redaction: Redaction,
    /// Stripe does not have it.
    pub gone: bool,
    /// A start is under way that may yet make its session.
    pub leased: bool,
    /// How often Stripe was asked without anything new.
    pub tries: u32,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
}

/// How a redaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedactionOutcome {
    /// Stripe has erased it.
    Redacted,
    /// Stripe has no such session.
    Gone,
    /// Stripe does not erase a canceled one.
    Refused,
    /// Stripe never made a session.
    NoSession,
}

impl RedactionOutcome {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redacted => "redacted",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::NoSession => "no_session",
        }
    }
}

struct ClaimRow {
    id: Uuid,
    session_id: Option<String>,
    status: Option<String>,
    redaction: String,
    gone: bool,
    leased: bool,
    tries: i32,
    claimed_at: DateTime<Utc>,
}

impl TryFrom<ClaimRow> for ClaimedRedaction {
    type Error = StoreError;

    fn try_from(row: ClaimRow) -> Result<Self, StoreError> {
        let redaction = Redaction::parse(&row.redaction);
        Ok(Self {
            attempt: AttemptId(row.id),
            session: parse_session(row.id, row.session_id.as_deref())?,
            status: parse_status(row.id, row.status.as_deref())?,
            redaction: redaction.ok_or_else(|| inconsistent(row.id, "redaction"))?,
            gone: row.gone,
            leased: row.leased,
            tries: u32::try_from(row.tries).unwrap_or(0),
            claimed_at: row.claimed_at,
        })
    }
}

/// Which redactions a worker takes, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RedactionClaim {
    /// Its number.
    pub worker: i32,
    /// Of live or test mode.
    pub livemode: bool,
    /// At most so many.
    pub limit: i64,
    /// Due so much later than the database's now.
    pub ahead: Duration,
    /// Longer than any call may take.
    pub hold: Duration,
}

/// Claims what is due, unless a worker that is there has it already.
pub async fn claim_redactions(
    db: &Db,
    claim: RedactionClaim,
) -> Result<Vec<ClaimedRedaction>, StoreError> {
    let rows = sqlx::query_as!(
        ClaimRow,
        r#"WITH due AS (
               SELECT r.verification_id FROM redactions r JOIN verifications v ON v.id = r.verification_id
               WHERE r.ended_at IS NULL AND r.due_at <= now() + make_interval(secs => $4) AND v.livemode = $2
                 AND (r.claimed_by IS NULL OR r.claimed_until < now() OR NOT worker_is_there(r.claimed_by))
               ORDER BY r.due_at LIMIT $3 FOR UPDATE OF r SKIP LOCKED),
           claimed AS (
               UPDATE redactions r SET claimed_by = $1, claimed_until = now() + make_interval(secs => $5)
               FROM due WHERE r.verification_id = due.verification_id
               RETURNING r.verification_id, r.tries)
           SELECT v.id, v.session_id, v.status, v.redaction, v.gone_at IS NOT NULL AS "gone!",
                  COALESCE(v.lease_until > now(), false) AS "leased!", c.tries, now() AS "claimed_at!"
           FROM claimed c JOIN verifications v ON v.id = c.verification_id"#,
        claim.worker,
        claim.livemode,
        claim.limit,
        claim.ahead.as_secs_f64(),
        claim.hold.as_secs_f64(),
    )
    .fetch_all(db.pool())
    .await?;
    rows.into_iter().map(ClaimedRedaction::try_from).collect()
}

/// Keeps a request until Stripe can be asked; an earlier one that has not ended stays as it is.
pub async fn keep_redaction(
    db: &Db,
    attempt: AttemptId,
    first: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO redactions (verification_id, due_at, tried_at)
           VALUES ($1, now() + make_interval(secs => $2), now())
           ON CONFLICT (verification_id) DO UPDATE
           SET due_at = EXCLUDED.due_at, tries = 0, tried_at = EXCLUDED.tried_at, ended_at = NULL, outcome = NULL,
               requested_at = now(), overdue_at = NULL
           WHERE redactions.ended_at IS NOT NULL"#,
        attempt.0,
        first.as_secs_f64(),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Was it asked for, and has it not ended? Then nothing of the attempt is handed out any more.
pub async fn is_redaction_kept(tx: &mut Tx, attempt: AttemptId) -> Result<bool, StoreError> {
    let kept = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM redactions WHERE verification_id = $1 AND ended_at IS NULL) AS "kept!""#,
        attempt.0,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(kept)
}

/// Follows what Stripe is known to erase by now, whoever asked for it. The first look is due `first` from now.
pub async fn follow_redactions(
    tx: &mut Tx,
    attempts: &[AttemptId],
    first: Duration,
) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    sqlx::query!(
        r#"INSERT INTO redactions (verification_id, begun_at, due_at)
           SELECT id, now(), now() + make_interval(secs => $2) FROM UNNEST($1::uuid[]) AS begun (id)
           ON CONFLICT (verification_id) DO UPDATE
           SET begun_at = EXCLUDED.begun_at, due_at = EXCLUDED.due_at, tries = 0, ended_at = NULL, outcome = NULL,
               claimed_by = NULL, claimed_until = NULL
           WHERE redactions.begun_at IS NULL"#,
        &attempts,
        first.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has the sessions of forgotten people erased that turned up only now; the erasures that they belong to go on.
pub async fn demand_redactions(tx: &mut Tx, attempts: &[AttemptId]) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    sqlx::query!(
        r#"WITH demanded AS (
               INSERT INTO redactions (verification_id) SELECT * FROM UNNEST($1::uuid[])
               ON CONFLICT (verification_id) DO UPDATE
               SET due_at = now(), tries = 0, ended_at = NULL, outcome = NULL, requested_at = now(), overdue_at = NULL
               WHERE redactions.outcome = 'no_session'
               RETURNING verification_id)
           UPDATE erasures SET finished_at = NULL
           WHERE user_id IN (SELECT user_id FROM verifications
                             WHERE id IN (SELECT verification_id FROM demanded))"#,
        &attempts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Goes on with those that ended because Stripe did not have the session, which it has after all; with them go on the
/// erasures that they belong to.
pub async fn reopen_redactions(tx: &mut Tx, attempts: &[AttemptId]) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    sqlx::query!(
        r#"WITH reopened AS (
               UPDATE redactions
               SET due_at = now(), tries = 0, ended_at = NULL, outcome = NULL, requested_at = now(), begun_at = NULL,
                   overdue_at = NULL
               WHERE verification_id = ANY($1) AND outcome = 'gone'
               RETURNING verification_id)
           UPDATE erasures SET finished_at = NULL
           WHERE user_id IN (SELECT user_id FROM verifications
                             WHERE id IN (SELECT verification_id FROM reopened))"#,
        &attempts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stripe has erased these.
pub async fn end_redactions(tx: &mut Tx, attempts: &[AttemptId]) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    sqlx::query!(
        r#"UPDATE redactions SET ended_at = now(), outcome = 'redacted', claimed_by = NULL, claimed_until = NULL
           WHERE verification_id = ANY($1) AND ended_at IS NULL"#,
        &attempts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A claimed redaction is over, one way or another.
pub async fn end_redaction(
    db: &Db,
    worker: i32,
    attempt: AttemptId,
    outcome: RedactionOutcome,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE redactions SET ended_at = now(), outcome = $3, claimed_by = NULL, claimed_until = NULL
           WHERE verification_id = $1 AND claimed_by = $2 AND ended_at IS NULL"#,
        attempt.0,
        worker,
        outcome.as_str(),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// A claimed redaction is looked at again `after` a while. Nothing happens to one that went on by itself meanwhile.
pub async fn defer_redaction(
    db: &Db,
    worker: i32,
    attempt: AttemptId,
    after: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE redactions SET tries = tries + 1, tried_at = now(), due_at = now() + make_interval(secs => $3),
                  claimed_by = NULL, claimed_until = NULL
           WHERE verification_id = $1 AND claimed_by = $2"#,
        attempt.0,
        worker,
        after.as_secs_f64(),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Makes due what waited for the end of a check that is over, as far as anything was learnt since Stripe was asked.
pub async fn hasten_redactions(db: &Db, livemode: bool) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE redactions r SET due_at = now() FROM verifications v
           WHERE v.id = r.verification_id AND v.livemode = $1 AND r.ended_at IS NULL AND r.begun_at IS NULL
             AND r.due_at > now() AND v.updated_at > r.tried_at AND v.status IS DISTINCT FROM 'processing'"#,
        livemode,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Notes those that take longer than Stripe says they may; each is given once, to whichever process notes it.
pub async fn note_overdue_redactions(
    db: &Db,
    livemode: bool,
    longest: Duration,
) -> Result<Vec<(AttemptId, Option<SessionId>)>, StoreError> {
    let rows = sqlx::query!(
        r#"UPDATE redactions r SET overdue_at = now() FROM verifications v
           WHERE v.id = r.verification_id AND v.livemode = $1 AND r.ended_at IS NULL AND r.overdue_at IS NULL
             AND COALESCE(r.begun_at, r.requested_at) < now() - make_interval(secs => $2)
           RETURNING v.id, v.session_id"#,
        livemode,
        longest.as_secs_f64(),
    )
    .fetch_all(db.pool())
    .await?;
    let overdue = rows.into_iter().map(|row| {
        let session = parse_session(row.id, row.session_id.as_deref())?;
        Ok((AttemptId(row.id), session))
    });
    overdue.collect()
}

/// How many take too long.
pub async fn count_overdue_redactions(db: &Db, livemode: bool) -> Result<i64, StoreError> {
    let overdue = sqlx::query_scalar!(
        r#"SELECT count(*) AS "overdue!" FROM redactions r JOIN verifications v ON v.id = r.verification_id
           WHERE r.ended_at IS NULL AND r.overdue_at IS NOT NULL AND v.livemode = $1"#,
        livemode,
    )
    .fetch_one(db.pool())
    .await?;
    Ok(overdue)
}
