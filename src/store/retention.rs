//! What is old goes, a bounded number of rows at a time, and whichever process is at it is so alone.

use uuid::Uuid;

use super::{StoreError, Tx, budget::LOCK_OF_RETENTION};

/// Takes the turn until the transaction ends; false if another process has it.
pub async fn take_turn_to_clear(tx: &mut Tx) -> Result<bool, StoreError> {
    let taken = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock($1, 0) AS "taken!""#,
        LOCK_OF_RETENTION,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(taken)
}

/// Removes events that came longer ago than `days`.
pub async fn clear_events(tx: &mut Tx, days: i32, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM stripe_events WHERE id IN (
               SELECT id FROM stripe_events WHERE received_at < now() - make_interval(days => $1)
               ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)"#,
        days,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes lines of history older than `days`. Their numbers ascend with time: only the first are looked at.
pub async fn clear_history(tx: &mut Tx, days: i32, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM verification_history WHERE id IN (
               SELECT first.id
               FROM (SELECT id, at FROM verification_history ORDER BY id LIMIT $2) AS first
               WHERE first.at < now() - make_interval(days => $1))"#,
        days,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Old messages that nobody waits for, from one on.
#[derive(Clone, Debug)]
pub struct OldMessages {
    /// Those that may go; locked, so that nobody can put one on its way again.
    pub ids: Vec<Uuid>,
    /// Where to go on; none when no older ones follow.
    pub last: Option<Uuid>,
}

/// Locks messages written longer ago than `days`, after this one. Their ids ascend with time.
pub async fn lock_old_messages(
    tx: &mut Tx,
    after: Option<Uuid>,
    days: i32,
    limit: i64,
) -> Result<OldMessages, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT o.id, o.created_at < now() - make_interval(days => $2) AS "old!"
           FROM outbox o WHERE o.id > $1
           ORDER BY o.id LIMIT $3"#,
        after.unwrap_or_default(),
        days,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    let seen: Vec<Uuid> = rows
        .iter()
        .filter(|row| row.old)
        .map(|row| row.id)
        .collect();
    let is_full = !rows.is_empty() && seen.len() == rows.len();
    let ids = sqlx::query_scalar!(
        r#"SELECT id FROM outbox WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED"#,
        &seen,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(OldMessages {
        ids,
        last: seen.last().copied().filter(|_| is_full),
    })
}

/// Removes those of these locked messages that no endpoint waits for, nor has given up within `dead_days`.
pub async fn delete_messages(tx: &mut Tx, ids: &[Uuid], dead_days: i32) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM outbox o WHERE o.id = ANY($1) AND NOT EXISTS (
               SELECT FROM outbox_deliveries d
               WHERE d.message_id = o.id
                 AND (d.dead_at IS NULL OR d.dead_at > now() - make_interval(days => $2)))"#,
        ids,
        dead_days,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes links that work no longer and whose browsers are gone. A repeated call may ask for one again for a day.
pub async fn clear_hand_offs(tx: &mut Tx, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM hand_offs h WHERE h.id IN (
               SELECT first.id
               FROM (SELECT id, created_at, expires_at FROM hand_offs ORDER BY id LIMIT $1) AS first
               WHERE first.created_at < now() - interval '2 days' AND first.expires_at < now() - interval '1 day')
             AND NOT EXISTS (SELECT FROM browser_sessions s WHERE s.hand_off_id = h.id)"#,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes browsers' sessions that are over.
pub async fn clear_sessions(tx: &mut Tx, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM browser_sessions WHERE id IN (
               SELECT id FROM browser_sessions WHERE expires_at <= now()
               ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)"#,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes sign-ins that nobody finished.
pub async fn clear_oidc_logins(tx: &mut Tx, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM oidc_logins WHERE token_hash IN (
               SELECT token_hash FROM oidc_logins WHERE expires_at <= now()
               ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)"#,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes the keys of calls that are forgotten by now, and of those that died and made nothing.
pub async fn clear_calls(tx: &mut Tx, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM idempotency_keys WHERE (api_key_id, key_hash) IN (
               SELECT api_key_id, key_hash FROM idempotency_keys
               WHERE created_at < now() - interval '1 day' OR (resource_id IS NULL AND lease_until <= now())
               ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED)"#,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
