//! Hand-offs: an application's requests to have a person verified, each with a link that works once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, StoreError, Tx};
use crate::domain::{TokenHash, UserId};

/// A hand-off to be kept.
#[derive(Clone, Copy, Debug)]
pub struct HandOffToKeep<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose key asked for it.
    pub api_key: Uuid,
    /// Who is to be verified.
    pub user: UserId,
    /// For live keys of Stripe's, or for test ones.
    pub livemode: bool,
    /// Of the token in the link.
    pub token: &'a TokenHash,
    /// Name of the set of checks.
    pub policy: &'a str,
    /// The application's word for the person.
    pub label: Option<&'a str>,
    /// Where the person goes afterwards; checked.
    pub return_url: Option<&'a str>,
    /// How long the link works.
    pub valid: Duration,
}

/// A hand-off as whoever holds its link may know it.
#[derive(Clone, Debug)]
pub struct HandOffRecord {
    /// Its id.
    pub id: Uuid,
    /// A browser was signed in by it.
    pub spent: bool,
    /// Its time is over, or the key that asked for it was revoked.
    pub expired: bool,
    /// The application's word for the person.
    pub label: Option<String>,
    /// The person's e-mail address.
    pub email: Option<String>,
    /// Where the person goes afterwards.
    pub return_url: Option<String>,
}

/// Keeps a hand-off, and says until when its link works.
pub async fn insert_hand_off(
    tx: &mut Tx,
    new: &HandOffToKeep<'_>,
) -> Result<DateTime<Utc>, StoreError> {
    let expires_at = sqlx::query_scalar!(
        r#"INSERT INTO hand_offs
               (id, api_key_id, user_id, livemode, token_hash, policy, label, return_url, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9))
           RETURNING expires_at"#,
        new.id,
        new.api_key,
        new.user.0,
        new.livemode,
        new.token.as_bytes(),
        new.policy,
        new.label,
        new.return_url,
        new.valid.as_secs_f64(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(expires_at)
}

/// Gives an unspent hand-off another token and a fresh term; none if it is spent, or not there.
pub async fn renew_hand_off(
    db: &Db,
    id: Uuid,
    livemode: bool,
    token: &TokenHash,
    valid: Duration,
) -> Result<Option<(UserId, DateTime<Utc>)>, StoreError> {
    let row = sqlx::query!(
        r#"UPDATE hand_offs
           SET token_hash = $3, expires_at = now() + make_interval(secs => $4)
           WHERE id = $1 AND livemode = $2 AND spent_at IS NULL
           RETURNING user_id, expires_at"#,
        id,
        livemode,
        token.as_bytes(),
        valid.as_secs_f64(),
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| (UserId(row.user_id), row.expires_at)))
}

/// Spends the token, once however many ask at the same time: the row's lock lets one through, and the others then find
/// it spent. The person's row is locked before it, as it is by whoever forgets them.
pub async fn spend_hand_off(
    tx: &mut Tx,
    token: &TokenHash,
    livemode: bool,
) -> Result<Option<(Uuid, UserId)>, StoreError> {
    let row = sqlx::query!(
        r#"WITH whose AS MATERIALIZED (
               SELECT id FROM users
               WHERE id = (SELECT user_id FROM hand_offs WHERE token_hash = $1 AND livemode = $2)
               FOR KEY SHARE)
           UPDATE hand_offs SET spent_at = now()
           FROM whose, api_keys
           WHERE hand_offs.token_hash = $1 AND hand_offs.livemode = $2 AND spent_at IS NULL
             AND hand_offs.user_id = whose.id AND hand_offs.expires_at > now()
             AND api_keys.id = api_key_id AND api_keys.revoked_at IS NULL
           RETURNING hand_offs.id, hand_offs.user_id"#,
        token.as_bytes(),
        livemode,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| (row.id, UserId(row.user_id))))
}

/// The hand-off that a link belongs to.
pub async fn find_hand_off(
    db: &Db,
    token: &TokenHash,
    livemode: bool,
) -> Result<Option<HandOffRecord>, StoreError> {
    let record = sqlx::query_as!(
        HandOffRecord,
        r#"SELECT h.id, h.spent_at IS NOT NULL AS "spent!",
                  h.expires_at <= now() OR k.revoked_at IS NOT NULL AS "expired!",
                  h.label, u.email, h.return_url
           FROM hand_offs h
           JOIN users u ON u.id = h.user_id
           JOIN api_keys k ON k.id = h.api_key_id
           WHERE h.token_hash = $1 AND h.livemode = $2"#,
        token.as_bytes(),
        livemode,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(record)
}
