//! Forgetting people: everything that leads to one goes in one transaction, and what stays names nobody.

use uuid::Uuid;

use super::{Db, StoreError, Tx};
use crate::domain::UserId;

/// Takes their names from a locked person's row. No application's realm is empty, so that nobody finds it any more, and
/// whoever comes by the same id is a new person.
pub async fn anonymise_user(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE users SET realm = '', external_id = id::text, email = NULL, extra_attempts = 0, forgotten_at = now()
           WHERE id = $1"#,
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes what was kept of a locked person: their links, their browsers, the calls that made them, and every message
/// about them, on its way or not. With them go calls that died: nobody can tell whom they named.
pub async fn delete_belongings(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"WITH calls AS (
               DELETE FROM idempotency_keys
               WHERE resource_id = $1 OR resource_id IN (SELECT id FROM hand_offs WHERE user_id = $1)
                  OR (resource_id IS NULL AND lease_until <= now())),
           browsers AS (DELETE FROM browser_sessions WHERE user_id = $1),
           links AS (DELETE FROM hand_offs WHERE user_id = $1)
           DELETE FROM outbox WHERE user_id = $1"#,
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes from a locked person's attempts what is not needed to know their sessions again, and closes them.
pub async fn bare_attempts(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"WITH history AS (
               DELETE FROM verification_history
               WHERE verification_id IN (SELECT id FROM verifications WHERE user_id = $1))
           UPDATE verifications SET parameters = '{}', policies_asked = '{}', current = false, updated_at = now()
           WHERE user_id = $1"#,
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has all of a locked person's sessions erased that are not, and looks for those that Stripe may have made unseen. What it
/// refused before is asked for once more.
pub async fn demand_redactions_of(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO redactions (verification_id)
           SELECT id FROM verifications
           WHERE user_id = $1 AND gone_at IS NULL AND redaction <> 'redacted'
           ON CONFLICT (verification_id) DO UPDATE
           SET due_at = now(), tries = 0, ended_at = NULL, outcome = NULL, requested_at = now(), overdue_at = NULL
           WHERE redactions.outcome = 'refused'"#,
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is left to do of an erasure.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// How many sessions Stripe has yet to erase.
    pub waiting: i64,
    /// How many sessions Stripe said it does not have.
    pub gone: i64,
}

/// Notes that a person is forgotten, by whose key; gives what is left to do.
pub async fn insert_erasure(
    tx: &mut Tx,
    id: Uuid,
    user: UserId,
    api_key: Option<Uuid>,
) -> Result<Left, StoreError> {
    let left = sqlx::query_as!(
        Left,
        r#"WITH theirs AS (
               SELECT count(*) FILTER (WHERE r.verification_id IS NOT NULL AND r.ended_at IS NULL) AS waiting,
                      count(*) FILTER (WHERE v.gone_at IS NOT NULL) AS gone
               FROM verifications v LEFT JOIN redactions r ON r.verification_id = v.id
               WHERE v.user_id = $2)
           INSERT INTO erasures (id, user_id, api_key_id, finished_at)
           SELECT $1, $2, $3, CASE WHEN waiting = 0 THEN now() END FROM theirs
           RETURNING (SELECT waiting FROM theirs) AS "waiting!", (SELECT gone FROM theirs) AS "gone!""#,
        id,
        user.0,
        api_key,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(left)
}

/// The end of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedErasure {
    /// Its reference.
    pub id: Uuid,
    /// How many sessions Stripe refused to erase.
    pub refused: i64,
}

/// Notes the end of erasures that wait for nothing any more, in either mode; each is given once.
pub async fn finish_erasures(db: &Db) -> Result<Vec<FinishedErasure>, StoreError> {
    let mut tx = db.begin().await?;
    // A session that turns up makes its erasure wait again. Only a statement that begins behind the lock sees it.
    sqlx::query!(r#"SELECT id FROM erasures WHERE finished_at IS NULL ORDER BY id FOR UPDATE"#)
        .fetch_all(&mut *tx)
        .await?;
    let finished = sqlx::query_as!(
        FinishedErasure,
        r#"UPDATE erasures e SET finished_at = now()
           WHERE e.finished_at IS NULL AND NOT EXISTS (
               SELECT FROM verifications v JOIN redactions r ON r.verification_id = v.id
               WHERE v.user_id = e.user_id AND r.ended_at IS NULL)
           RETURNING e.id, (
               SELECT count(*) FROM verifications v JOIN redactions r ON r.verification_id = v.id
               WHERE v.user_id = e.user_id AND r.outcome = 'refused') AS "refused!""#,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(finished)
}
