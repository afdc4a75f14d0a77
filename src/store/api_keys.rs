//! Keys of applications, by their hashes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::{KeyText, Scope};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// What the operator calls it.
    pub name: &'a str,
    /// The key itself, of which only the hash is kept.
    pub key: &'a KeyText,
    /// What it may do.
    pub scopes: &'a [Scope],
    /// Where people may be sent back to.
    pub return_to: &'a [String],
    /// How long it works; none is for ever.
    pub lifetime: Option<Duration>,
}

/// A key, as kept.
#[derive(Clone, Debug)]
pub struct ApiKeyRecord {
    /// Its name in lists, hand-offs and logs.
    pub id: Uuid,
    /// What the operator calls it.
    pub name: String,
    /// Of live or test mode.
    pub livemode: bool,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Where people may be sent back to.
    pub return_to: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Does it work now?
    pub active: bool,
    /// Has it been used without that being written down yet?
    pub use_is_news: bool,
}

struct ApiKeyRow {
    id: Uuid,
    name: String,
    livemode: bool,
    scopes: Vec<String>,
    return_to: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    active: bool,
    use_is_news: bool,
}

impl TryFrom<ApiKeyRow> for ApiKeyRecord {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let scopes: Option<Vec<Scope>> = row.scopes.iter().map(|text| Scope::parse(text)).collect();
        Ok(Self {
            id: row.id,
            name: row.name,
            livemode: row.livemode,
            scopes: scopes.ok_or(StoreError::Inconsistent {
                table: "api_keys",
                column: "scopes",
                id: row.id,
            })?,
            return_to: row.return_to,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            active: row.active,
            use_is_news: row.use_is_news,
        })
    }
}

/// Keeps a new key, and gives its id.
pub async fn insert_api_key(db: &Db, new: &NewApiKey<'_>) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    let scopes: Vec<String> = new.scopes.iter().map(|it| it.as_str().to_owned()).collect();
    sqlx::query!(
        r#"INSERT INTO api_keys (id, name, token_hash, livemode, scopes, return_to, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))"#,
        id,
        new.name,
        &new.key.hash()[..],
        new.key.livemode(),
        &scopes,
        new.return_to,
        new.lifetime.map(|lifetime| lifetime.as_secs_f64()),
    )
    .execute(db.pool())
    .await?;
    Ok(id)
}

/// The key that somebody shows, if it works now: known, neither revoked nor expired, and of this mode.
pub async fn find_api_key(
    db: &Db,
    key: &KeyText,
    livemode: bool,
) -> Result<Option<ApiKeyRecord>, StoreError> {
    let row = sqlx::query_as!(
        ApiKeyRow,
        r#"SELECT id, name, livemode, scopes, return_to, created_at, expires_at, revoked_at, last_used_at,
                  true AS "active!",
                  last_used_at IS DISTINCT FROM date_trunc('minute', now()) AS "use_is_news!"
           FROM api_keys
           WHERE token_hash = $1 AND livemode = $2 AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > now())"#,
        &key.hash()[..],
        livemode,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(ApiKeyRecord::try_from).transpose()
}

/// Notes that a key was used this minute.
pub async fn record_api_key_use(db: &Db, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        r#"UPDATE api_keys SET last_used_at = date_trunc('minute', now())
           WHERE id = $1 AND last_used_at IS DISTINCT FROM date_trunc('minute', now())"#,
        id,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Every key there ever was, newest first.
pub async fn list_api_keys(db: &Db) -> Result<Vec<ApiKeyRecord>, StoreError> {
    let rows = sqlx::query_as!(
        ApiKeyRow,
        r#"SELECT id, name, livemode, scopes, return_to, created_at, expires_at, revoked_at, last_used_at,
                  (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())) AS "active!",
                  last_used_at IS DISTINCT FROM date_trunc('minute', now()) AS "use_is_news!"
           FROM api_keys ORDER BY created_at DESC, id DESC"#
    )
    .fetch_all(db.pool())
    .await?;
    rows.into_iter().map(ApiKeyRecord::try_from).collect()
}

/// Ends a key for good. False if there is no such key; one that is revoked stays so.
pub async fn revoke_api_key(db: &Db, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"UPDATE api_keys SET revoked_at = COALESCE(revoked_at, now()) WHERE id = $1"#,
        id,
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}
