//! The open attempt: made, leased and closed by `start`, claimed by whoever asks Stripe about it.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{Db, StoreError, Tx};
use crate::domain::{AttemptId, Client, Person, SessionId, UserId};

/// How long one request alone may create or fetch a session; longer than two calls to Stripe may take with
/// their retries.
const LEASE_SECONDS: f64 = 20.0;

/// An attempt to be made.
#[derive(Debug)]
pub struct NewAttempt<'a> {
    /// Its id, named in the parameters too.
    pub id: AttemptId,
    /// For whom.
    pub user: UserId,
    /// In live or test mode.
    pub livemode: bool,
    /// What asks for it.
    pub client: Client,
    /// Under which policy.
    pub policy: &'a str,
    /// Which of the person's details Stripe is given.
    pub details_version: i32,
    /// The create parameters to freeze.
    pub parameters: &'a Value,
    /// Who holds the lease from the start.
    pub holder: Uuid,
    /// The first line of its history.
    pub cause: &'a str,
}

/// The attempt `start` hands out for this person, if one is open.
pub async fn find_current(
    tx: &mut Tx,
    user: UserId,
    livemode: bool,
) -> Result<Option<AttemptId>, StoreError> {
    let id = sqlx::query_scalar!(
        r#"SELECT id FROM verifications WHERE user_id = $1 AND livemode = $2 AND current"#,
        user.0,
        livemode,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(AttemptId))
}

/// Is this session the one that `start` hands out to this person?
pub async fn is_open_session(
    db: &Db,
    person: &Person,
    livemode: bool,
    session: &str,
) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM verifications v JOIN users u ON u.id = v.user_id
               WHERE u.realm = $1 AND u.external_id = $2 AND v.livemode = $3
                 AND v.session_id = $4 AND v.current) AS "found!""#,
        person.realm,
        person.external_id,
        livemode,
        session,
    )
    .fetch_one(db.pool())
    .await?;
    Ok(found)
}

/// Makes the open attempt of a locked user, its lease taken.
pub async fn insert_attempt(tx: &mut Tx, new: &NewAttempt<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"WITH made AS (
               INSERT INTO verifications
                   (id, user_id, livemode, client, policy, details_version, parameters, current,
                    lease_holder, lease_until, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, true,
                       $8, now() + make_interval(secs => $9), clock_timestamp()))
           INSERT INTO verification_history (verification_id, cause, at) VALUES ($1, $10, clock_timestamp())"#,
        new.id.0,
        new.user.0,
        new.livemode,
        new.client.as_str(),
        new.policy,
        new.details_version,
        new.parameters,
        new.holder,
        LEASE_SECONDS,
        new.cause,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes, before Stripe is asked, which policies the session may be under from now on.
pub async fn note_asked_policies(
    tx: &mut Tx,
    attempt: AttemptId,
    asked: &[String],
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE verifications SET policies_asked = $2 WHERE id = $1"#,
        attempt.0,
        asked,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes what Stripe has confirmed: the session is under this policy and no other.
pub async fn save_policy(
    tx: &mut Tx,
    attempt: AttemptId,
    policy: &str,
    parameters: &Value,
    details_version: i32,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE verifications
           SET policy = $2, policies_asked = '{}', parameters = $3, details_version = $4,
               updated_at = now()
           WHERE id = $1"#,
        attempt.0,
        policy,
        parameters,
        details_version,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes the lease of an attempt if it is free or has run out. What comes of that is to be searched for anew.
pub async fn claim_lease(
    tx: &mut Tx,
    attempt: AttemptId,
    holder: Uuid,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"UPDATE verifications
           SET lease_holder = $2, lease_until = clock_timestamp() + make_interval(secs => $3), searched_at = NULL
           WHERE id = $1 AND (lease_until IS NULL OR lease_until <= clock_timestamp())"#,
        attempt.0,
        holder,
        LEASE_SECONDS,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Is the lease of an attempt still ours? The person must be locked: nobody takes it then.
pub async fn holds_lease(
    tx: &mut Tx,
    attempt: AttemptId,
    holder: Uuid,
) -> Result<bool, StoreError> {
    let held = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM verifications WHERE id = $1 AND lease_holder = $2) AS "held!""#,
        attempt.0,
        holder,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(held)
}

/// Ends a lease that is still ours. Says whether Stripe is asked to erase the attempt's session.
pub async fn end_lease(tx: &mut Tx, attempt: AttemptId, holder: Uuid) -> Result<bool, StoreError> {
    let kept = sqlx::query_scalar!(
        r#"WITH ended AS (
               UPDATE verifications SET lease_holder = NULL, lease_until = NULL
               WHERE id = $1 AND lease_holder = $2)
           SELECT EXISTS (SELECT FROM redactions WHERE verification_id = $1 AND ended_at IS NULL) AS "kept!""#,
        attempt.0,
        holder,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(kept)
}

/// Ends the attempt: the next click makes a new one.
pub async fn close_attempt(tx: &mut Tx, attempt: AttemptId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE verifications
           SET current = false, lease_holder = NULL, lease_until = NULL, updated_at = now()
           WHERE id = $1"#,
        attempt.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A session that one caller alone may now ask Stripe about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its attempt.
    pub attempt: AttemptId,
    /// The session.
    pub session: SessionId,
    /// How many hints a retrieval begun now answers.
    pub hinted: i32,
    /// Refreshes tried before this one.
    pub refresh_tries: i32,
}

struct ClaimRow {
    id: Uuid,
    session_id: String,
    hinted: i32,
    refresh_tries: i32,
}

impl TryFrom<ClaimRow> for Claim {
    type Error = StoreError;

    fn try_from(row: ClaimRow) -> Result<Self, StoreError> {
        let session = SessionId::parse(&row.session_id).ok_or(StoreError::Inconsistent {
            table: "verifications",
            column: "session_id",
            id: row.id,
        })?;
        Ok(Self {
            attempt: AttemptId(row.id),
            session,
            hinted: row.hinted,
            refresh_tries: row.refresh_tries,
        })
    }
}

/// Which refreshes a worker takes, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RefreshClaim {
    /// Its number.
    pub worker: i32,
    /// Of live or test mode: keys of the one mode do not see sessions of the other.
    pub livemode: bool,
    /// At most so many.
    pub limit: i64,
    /// Due so much later than the database's now.
    pub ahead: Duration,
    /// Longer than any call may take.
    pub hold: Duration,
}

/// Claims refreshes that are due. What a worker claimed that is gone is due at once.
pub async fn claim_refreshes(db: &Db, claim: RefreshClaim) -> Result<Vec<Claim>, StoreError> {
    // A claim is never due later than its hold, so only those are looked at that could be one.
    let rows = sqlx::query_as!(
        ClaimRow,
        r#"UPDATE verifications SET
               refresh_claimed_by = $1,
               refresh_due_at = now() + make_interval(secs => $3) + make_interval(secs => $4)
           WHERE id IN (
               SELECT id FROM verifications
               WHERE session_id IS NOT NULL AND livemode = $5
                 AND refresh_due_at <= now() + make_interval(secs => $3) + make_interval(secs => $4)
                 AND (refresh_due_at <= now() + make_interval(secs => $3)
                      OR (refresh_claimed_by IS NOT NULL AND NOT worker_is_there(refresh_claimed_by)))
               ORDER BY refresh_due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING id, session_id AS "session_id!", hinted, refresh_tries"#,
        claim.worker,
        claim.limit,
        claim.ahead.as_secs_f64(),
        claim.hold.as_secs_f64(),
        claim.livemode,
    )
    .fetch_all(db.pool())
    .await?;
    rows.into_iter().map(Claim::try_from).collect()
}

/// Puts a claimed refresh off by `delay`, because Stripe could not be asked.
pub async fn defer_refresh(db: &Db, attempt: AttemptId, delay: Duration) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE verifications SET
               refresh_claimed_by = NULL,
               refresh_due_at = now() + make_interval(secs => $2), refresh_tries = refresh_tries + 1
           WHERE id = $1 AND refresh_due_at IS NOT NULL"#,
        attempt.0,
        delay.as_secs_f64(),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Claims the person's newest open session for one look at Stripe: at most one in three seconds and twenty an hour.
pub async fn claim_look(
    db: &Db,
    user: UserId,
    livemode: bool,
) -> Result<Option<Claim>, StoreError> {
    let row = sqlx::query_as!(
        ClaimRow,
        r#"UPDATE verifications SET
               looked_at = now(),
               looks = CASE WHEN looks_since > now() - interval '1 hour' THEN looks + 1 ELSE 1 END,
               looks_since =
                   CASE WHEN looks_since > now() - interval '1 hour' THEN looks_since ELSE now() END
           WHERE id = (
               SELECT id FROM verifications
               WHERE user_id = $1 AND livemode = $2 AND session_id IS NOT NULL AND gone_at IS NULL
               ORDER BY created_at DESC, id DESC LIMIT 1)
             AND (status IS NULL OR status IN ('requires_input', 'processing'))
             AND (looked_at IS NULL OR looked_at <= now() - interval '3 seconds')
             AND (looks_since IS NULL OR looks_since <= now() - interval '1 hour' OR looks < 20)
           RETURNING id, session_id AS "session_id!", hinted, refresh_tries"#,
        user.0,
        livemode,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(Claim::try_from).transpose()
}
