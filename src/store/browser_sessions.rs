//! Browsers that are signed in.

use std::time::Duration;

use uuid::Uuid;

use super::{Db, StoreError, Tx};
use crate::domain::{Person, TokenHash, UserId};

/// A session to be kept.
#[derive(Clone, Copy, Debug)]
pub struct SessionToKeep<'a> {
    /// Of the cookie's value.
    pub token: &'a TokenHash,
    /// Who is signed in.
    pub user: UserId,
    /// On a server with live keys of Stripe's, or with test ones.
    pub livemode: bool,
    /// By what.
    pub source: SessionSource,
    /// The end, however busy.
    pub longest: Duration,
}

/// What signed a browser in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionSource {
    /// A one-time link of the application's.
    HandOff(Uuid),
    /// An identity provider.
    Oidc,
}

impl SessionSource {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HandOff(_) => "hand_off",
            Self::Oidc => "oidc",
        }
    }

    const fn hand_off(self) -> Option<Uuid> {
        match self {
            Self::HandOff(id) => Some(id),
            Self::Oidc => None,
        }
    }
}

/// A browser that is signed in.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    /// Its id.
    pub id: Uuid,
    /// Who is signed in.
    pub user: UserId,
    /// The same, as their row says it now.
    pub person: Person,
    /// The hand-off that signed it in.
    pub hand_off: Option<Uuid>,
    /// The hand-off's policy.
    pub policy: Option<String>,
    /// The hand-off's return address.
    pub return_url: Option<String>,
    /// Its last use is noted as longer ago than a minute.
    pub due: bool,
}

/// Keeps a session.
pub async fn insert_browser_session(
    tx: &mut Tx,
    new: &SessionToKeep<'_>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO browser_sessions
               (id, token_hash, user_id, livemode, source, hand_off_id, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))"#,
        Uuid::now_v7(),
        new.token.as_bytes(),
        new.user.0,
        new.livemode,
        new.source.as_str(),
        new.source.hand_off(),
        new.longest.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The session a cookie belongs to, unless its time is over, it was idle for longer than `idle`, or it came of a hand-off
/// whose key is revoked.
pub async fn find_browser_session(
    db: &Db,
    token: &TokenHash,
    livemode: bool,
    idle: Duration,
) -> Result<Option<BrowserSession>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT s.id, s.user_id, u.realm, u.external_id, u.email, s.hand_off_id,
                  h.policy AS "policy?", h.return_url AS "return_url?",
                  s.seen_at < now() - interval '1 minute' AS "due!"
           FROM browser_sessions s
           JOIN users u ON u.id = s.user_id
           LEFT JOIN hand_offs h ON h.id = s.hand_off_id
           LEFT JOIN api_keys k ON k.id = h.api_key_id
           WHERE s.token_hash = $1 AND s.livemode = $2 AND k.revoked_at IS NULL
             AND s.expires_at > now() AND s.seen_at > now() - make_interval(secs => $3)"#,
        token.as_bytes(),
        livemode,
        idle.as_secs_f64(),
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| BrowserSession {
        id: row.id,
        user: UserId(row.user_id),
        person: Person {
            realm: row.realm,
            external_id: row.external_id,
            email: row.email,
        },
        hand_off: row.hand_off_id,
        policy: row.policy,
        return_url: row.return_url,
        due: row.due,
    }))
}

/// Is the browser still signed in?
pub async fn is_signed_in(db: &Db, session: Uuid) -> Result<bool, StoreError> {
    let is_there = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM browser_sessions s
               LEFT JOIN hand_offs h ON h.id = s.hand_off_id
               LEFT JOIN api_keys k ON k.id = h.api_key_id
               WHERE s.id = $1 AND s.expires_at > now() AND k.revoked_at IS NULL) AS "is_there!""#,
        session,
    )
    .fetch_one(db.pool())
    .await?;
    Ok(is_there)
}

/// Notes that a session is in use, at most once a minute.
pub async fn touch_browser_session(db: &Db, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE browser_sessions SET seen_at = now()
           WHERE id = $1 AND seen_at < now() - interval '1 minute'"#,
        id,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Signs a browser out.
pub async fn delete_browser_session(db: &Db, token: &TokenHash) -> Result<(), StoreError> {
    sqlx::query!(
        r#"DELETE FROM browser_sessions WHERE token_hash = $1"#,
        token.as_bytes(),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Makes room for a browser's new session: its present one goes, and whatever of this person's is over.
pub async fn clear_browser_sessions(
    tx: &mut Tx,
    present: Option<&TokenHash>,
    user: UserId,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"DELETE FROM browser_sessions
           WHERE token_hash = $1 OR (user_id = $2 AND expires_at <= now())"#,
        present.map(TokenHash::as_bytes),
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
