//! Creating calls by their keys, so that a repeated call makes nothing twice.

use uuid::Uuid;

use super::{Db, StoreError, Tx};

/// Longer than any creating call may take; a call that died leaves its key for this long.
const LEASE_SECONDS: f64 = 30.0;

/// A call, as its key tells it from others.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whose.
    pub api_key: Uuid,
    /// SHA-256 of the key.
    pub key: &'a [u8; 32],
    /// SHA-256 of what is asked.
    pub request: &'a [u8; 32],
    /// The request that works on it.
    pub holder: Uuid,
}

/// What a key says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is the first of its key, or the ones before died: to be done now.
    First,
    /// It was done, and made this.
    Done(Uuid),
    /// Another request is at it.
    Running,
    /// The key belongs to another call.
    Other,
}

/// Takes a key for a call, unless it is taken. A key is forgotten after a day.
pub async fn claim_call(db: &Db, call: Call<'_>) -> Result<Repeat, StoreError> {
    let claimed = sqlx::query_scalar!(
        r#"INSERT INTO idempotency_keys (api_key_id, key_hash, request_hash, holder, lease_until)
           VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
           ON CONFLICT (api_key_id, key_hash) DO UPDATE
           SET holder = EXCLUDED.holder, lease_until = EXCLUDED.lease_until,
               request_hash = EXCLUDED.request_hash, resource_id = NULL,
               created_at = CASE WHEN idempotency_keys.created_at < now() - interval '1 day'
                   THEN now() ELSE idempotency_keys.created_at END
           WHERE idempotency_keys.created_at < now() - interval '1 day'
              OR (idempotency_keys.resource_id IS NULL AND idempotency_keys.lease_until <= now()
                  AND idempotency_keys.request_hash = EXCLUDED.request_hash)
           RETURNING holder"#,
        call.api_key,
        &call.key[..],
        &call.request[..],
        call.holder,
        LEASE_SECONDS,
    )
    .fetch_optional(db.pool())
    .await?;
    if claimed.is_some() {
        return Ok(Repeat::First);
    }
    let row = sqlx::query!(
        r#"SELECT request_hash = $3 AS "same!", resource_id FROM idempotency_keys
           WHERE api_key_id = $1 AND key_hash = $2"#,
        call.api_key,
        &call.key[..],
        &call.request[..],
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(match row {
        Some(row) if !row.same => Repeat::Other,
        Some(row) => row.resource_id.map_or(Repeat::Running, Repeat::Done),
        // Given back this very moment: the next try finds it free.
        None => Repeat::Running,
    })
}

/// Notes what a call made, in the transaction that makes it: a call without a note has made nothing.
pub async fn note_call(tx: &mut Tx, call: Call<'_>, made: Uuid) -> Result<(), StoreError> {
    let noted = sqlx::query!(
        r#"UPDATE idempotency_keys SET resource_id = $4
           WHERE api_key_id = $1 AND key_hash = $2 AND holder = $3 AND resource_id IS NULL"#,
        call.api_key,
        &call.key[..],
        call.holder,
        made,
    )
    .execute(&mut **tx)
    .await?;
    match noted.rows_affected() {
        // Another request does it.
        0 => Err(StoreError::moved()),
        _ => Ok(()),
    }
}

/// Gives the key of a call back that came to nothing.
pub async fn release_call(db: &Db, call: Call<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"DELETE FROM idempotency_keys
           WHERE api_key_id = $1 AND key_hash = $2 AND holder = $3 AND resource_id IS NULL"#,
        call.api_key,
        &call.key[..],
        call.holder,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}
