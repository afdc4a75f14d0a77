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
/// about them, on its way or not.
pub async fn delete_belongings(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"WITH calls AS (
               DELETE FROM idempotency_keys
               WHERE resource_id = $1 OR resource_id IN (SELECT id FROM hand_offs WHERE user_id = $1)),
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

/// Has all of a locked person's sessions erased that are not, and looks for those that Stripe may have made unseen.
pub async fn demand_redactions_of(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO redactions (verification_id)
           SELECT id FROM verifications
           WHERE user_id = $1 AND gone_at IS NULL AND redaction <> 'redacted'
           ON CONFLICT (verification_id) DO NOTHING"#,
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a person is forgotten, by whose key, and how many of their verifications are still to be erased.
pub async fn insert_erasure(
    tx: &mut Tx,
    id: Uuid,
    user: UserId,
    api_key: Option<Uuid>,
) -> Result<i64, StoreError> {
    let waiting = sqlx::query_scalar!(
        r#"WITH waiting AS (
               SELECT count(*) AS verifications
               FROM redactions r JOIN verifications v ON v.id = r.verification_id
               WHERE v.user_id = $2 AND r.ended_at IS NULL)
           INSERT INTO erasures (id, user_id, api_key_id, finished_at)
           SELECT $1, $2, $3, CASE WHEN verifications = 0 THEN now() END FROM waiting
           RETURNING (SELECT verifications FROM waiting) AS "waiting!""#,
        id,
        user.0,
        api_key,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(waiting)
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
    .fetch_all(db.pool())
    .await?;
    Ok(finished)
}
