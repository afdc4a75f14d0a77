//! Browsers that are away at the identity provider.

use std::time::Duration;

use super::{Db, StoreError};
use crate::domain::TokenHash;

/// Remembers a sign-in that begins. Those that nobody finishes go when what is old goes.
pub async fn insert_oidc_login(
    db: &Db,
    token: &TokenHash,
    return_path: &str,
    longest: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO oidc_logins (token_hash, return_path, expires_at)
           VALUES ($1, $2, now() + make_interval(secs => $3))"#,
        token.as_bytes(),
        return_path,
        longest.as_secs_f64(),
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Where a sign-in began, once; `None` if it never did, was taken already, or took too long.
pub async fn take_oidc_login(db: &Db, token: &TokenHash) -> Result<Option<String>, StoreError> {
    let row = sqlx::query!(
        r#"DELETE FROM oidc_logins
           WHERE token_hash = $1
           RETURNING return_path, expires_at > now() AS "in_time!""#,
        token.as_bytes(),
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.filter(|row| row.in_time).map(|row| row.return_path))
}
