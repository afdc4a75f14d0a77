//! How often people may try and begin: counted from what is kept anyway, on the database's clock.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Call, Db, StoreError, Tx, budget::LOCK_OF_NETWORKS};
use crate::domain::{AttemptId, Network, Person, UserId};

/// What counts against a person, and what stands for their attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Checks billed today, UTC.
    pub today: u64,
    /// Checks billed ever.
    pub ever: u64,
    /// Attempts the operator allowed beyond the limits, not yet used.
    pub extra_attempts: u64,
    /// Reports of the attempt in question so far.
    pub reports: i32,
    /// A reservation for its next report is open.
    pub reserved: bool,
    /// That reservation stands, or stood, on an attempt the operator allowed.
    pub by_extra: bool,
    /// Until midnight, UTC.
    pub day_ends_in: Duration,
}

struct UsageRow {
    today: i64,
    ever: i64,
    extra_attempts: i32,
    reports: i64,
    reserved: bool,
    by_extra: bool,
    day_ends_in: f64,
}

impl From<UsageRow> for Usage {
    fn from(row: UsageRow) -> Self {
        Self {
            today: row.today.unsigned_abs(),
            ever: row.ever.unsigned_abs(),
            extra_attempts: row.extra_attempts.unsigned_abs().into(),
            reports: i32::try_from(row.reports).unwrap_or(i32::MAX),
            reserved: row.reserved,
            by_extra: row.by_extra,
            day_ends_in: seconds(row.day_ends_in),
        }
    }
}

/// Where a locked person stands, and this attempt of theirs if there is one.
pub async fn find_usage(
    tx: &mut Tx,
    user: UserId,
    attempt: Option<AttemptId>,
    livemode: bool,
) -> Result<Usage, StoreError> {
    let row = sqlx::query_as!(
        UsageRow,
        r#"WITH period AS (SELECT date_trunc('day', statement_timestamp() AT TIME ZONE 'UTC') AS day),
               billed AS (
                   SELECT r.verification_id, r.first_seen_at FROM verification_reports r
                   JOIN verifications v ON v.id = r.verification_id
                   WHERE v.user_id = $1 AND v.livemode = $3),
               held AS (
                   SELECT v.extra, v.spent_at IS NULL
                          AND v.handed_out_at > statement_timestamp() - interval '48 hours' AS open
                   FROM reservations v
                   WHERE v.verification_id = $2 AND v.released_at IS NULL
                     AND v.reports = (SELECT count(*) FROM billed WHERE billed.verification_id = $2))
           SELECT (SELECT count(*) FROM billed
                   WHERE first_seen_at >= (SELECT day AT TIME ZONE 'UTC' FROM period)) AS "today!",
                  (SELECT count(*) FROM billed) AS "ever!",
                  u.extra_attempts,
                  (SELECT count(*) FROM billed WHERE billed.verification_id = $2) AS "reports!",
                  COALESCE((SELECT open FROM held), false) AS "reserved!",
                  COALESCE((SELECT extra FROM held), false) AS "by_extra!",
                  (SELECT EXTRACT(EPOCH FROM (day + interval '1 day') AT TIME ZONE 'UTC'
                       - statement_timestamp())::float8 FROM period) AS "day_ends_in!"
           FROM users u WHERE u.id = $1"#,
        user.0,
        attempt.map(|attempt| attempt.0),
        livemode,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(row.into())
}

/// The same for somebody who only looks, and for their open attempt.
pub async fn view_usage(tx: &mut Tx, user: UserId, livemode: bool) -> Result<Usage, StoreError> {
    let attempt = super::find_current(tx, user, livemode).await?;
    find_usage(tx, user, attempt, livemode).await
}

/// Allows a person one attempt beyond the limits, and notes with it that this call did so. None if we have not met them.
pub async fn allow_attempt(
    db: &Db,
    person: &Person,
    call: Option<Call<'_>>,
) -> Result<Option<UserId>, StoreError> {
    let row = sqlx::query!(
        r#"WITH known AS (
               SELECT id FROM users WHERE realm = $1 AND external_id = $2),
           noted AS (
               UPDATE idempotency_keys SET resource_id = known.id FROM known
               WHERE api_key_id = $3 AND key_hash = $4 AND holder = $5 AND resource_id IS NULL RETURNING 1),
           allowed AS (
               UPDATE users SET extra_attempts = extra_attempts + 1
               WHERE id IN (SELECT id FROM known) AND ($3::uuid IS NULL OR EXISTS (SELECT FROM noted))
               RETURNING id)
           SELECT known.id, EXISTS (SELECT FROM allowed) AS "allowed!" FROM known"#,
        person.realm,
        person.external_id,
        call.map(|call| call.api_key),
        call.map(|call| &call.key[..]),
        call.map(|call| call.holder),
    )
    .fetch_optional(db.pool())
    .await?;
    match row {
        // Another request does it.
        Some(row) if !row.allowed => Err(StoreError::moved()),
        row => Ok(row.map(|row| UserId(row.id))),
    }
}

/// Uses one attempt that the operator allowed a locked person.
pub async fn take_extra_attempt(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    let done = sqlx::query!(
        r#"UPDATE users SET extra_attempts = extra_attempts - 1
           WHERE id = $1 AND extra_attempts > 0"#,
        user.0,
    )
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::moved())
    }
}

/// How long a locked person has to wait until fewer than `most` of their sessions were made within an hour; `None` if
/// that is so now.
pub async fn wait_of_person(
    tx: &mut Tx,
    user: UserId,
    livemode: bool,
    most: u32,
) -> Result<Option<Duration>, StoreError> {
    let wait = sqlx::query_scalar!(
        r#"SELECT EXTRACT(EPOCH FROM created_at + interval '1 hour' - statement_timestamp())::float8 AS "wait!"
           FROM verifications
           WHERE user_id = $1 AND livemode = $2
             AND created_at > statement_timestamp() - interval '1 hour'
           ORDER BY created_at DESC OFFSET $3 LIMIT 1"#,
        user.0,
        livemode,
        i64::from(most.saturating_sub(1)),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(wait.map(seconds))
}

/// The same for a client network. Counts nothing.
pub async fn wait_of_network(
    tx: &mut Tx,
    network: &NetworkHash,
    most: u32,
) -> Result<Option<Duration>, StoreError> {
    let wait = sqlx::query_scalar!(
        r#"SELECT EXTRACT(EPOCH FROM created_at + interval '1 hour' - statement_timestamp())::float8 AS "wait!"
           FROM creations
           WHERE network = $1 AND created_at > statement_timestamp() - interval '1 hour'
           ORDER BY created_at DESC OFFSET $2 LIMIT 1"#,
        &network.0[..],
        i64::from(most.saturating_sub(1)),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(wait.map(seconds))
}

/// Counts a session that is about to be made against its network, which no other transaction may count until this one ends;
/// or gives how long to wait, if `most` of the network's were made within an hour.
pub async fn count_creation(
    tx: &mut Tx,
    network: &NetworkHash,
    most: u32,
) -> Result<Option<Duration>, StoreError> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock($1, $2)"#,
        LOCK_OF_NETWORKS,
        network.lock_key(),
    )
    .execute(&mut **tx)
    .await?;
    let wait = sqlx::query_scalar!(
        r#"WITH first AS (
               SELECT created_at FROM creations
               WHERE network = $1 AND created_at > statement_timestamp() - interval '1 hour'
               ORDER BY created_at DESC OFFSET $2 LIMIT 1),
           counted AS (
               INSERT INTO creations (network) SELECT $1 WHERE NOT EXISTS (SELECT FROM first))
           SELECT EXTRACT(EPOCH FROM created_at + interval '1 hour' - statement_timestamp())::float8 AS "wait!"
           FROM first"#,
        &network.0[..],
        i64::from(most.saturating_sub(1)),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(wait.map(seconds))
}

/// Forgets creations that no limit counts any more, some at a time; gives how many.
pub async fn forget_creations(db: &Db) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"DELETE FROM creations WHERE id IN (
               SELECT id FROM creations WHERE created_at <= now() - interval '1 hour'
               ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"#
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected())
}

/// Makes of a network what tells nobody its address who has not the key.
#[derive(Clone)]
pub struct NetworkKey([u8; 32]);

/// A network, told apart from others and from nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkHash([u8; 16]);

impl NetworkKey {
    /// Derived from a secret that every server has and the database has not.
    pub fn derive(secret: &[u8]) -> Self {
        let derived = Sha256::new()
            .chain_update(b"verigate: networks of creations\0")
            .chain_update(secret)
            .finalize();
        Self(derived.into())
    }

    /// Key and network are of fixed length, so that no other pair has the same bytes.
    pub fn hash(&self, network: Network) -> NetworkHash {
        let whole: [u8; 32] = Sha256::new()
            .chain_update(self.0)
            .chain_update(network.to_bytes())
            .finalize()
            .into();
        let mut hash = [0; 16];
        hash.copy_from_slice(&whole[..16]);
        NetworkHash(hash)
    }
}

impl std::fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetworkKey")
    }
}

impl NetworkHash {
    /// Two networks that share it only wait for each other.
    fn lock_key(&self) -> i32 {
        let [a, b, c, d, ..] = self.0;
        i32::from_be_bytes([a, b, c, d])
    }
}

/// Postgres gives no negative wait here, but for one that is over by the time it is told.
pub(super) fn seconds(wait: f64) -> Duration {
    Duration::try_from_secs_f64(wait).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tells_networks_apart_and_needs_its_key() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        let key = NetworkKey::derive(b"sk_test_1");
        let one = key.hash(network("192.0.2.1"));
        assert_eq!(
            one,
            NetworkKey::derive(b"sk_test_1").hash(network("192.0.2.1"))
        );
        assert_ne!(one, key.hash(network("192.0.2.2")));
        assert_ne!(
            one,
            NetworkKey::derive(b"sk_test_2").hash(network("192.0.2.1"))
        );
        assert_eq!(format!("{key:?}"), "NetworkKey");
    }
}
