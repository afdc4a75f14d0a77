//! The line in which the jobs of all servers wait for Stripe: one row a mode, and the database's clock.

use std::time::Duration;

use super::{Db, StoreError};

/// Takes the next place, `apart` after the one before it, and gives how long it is until its turn; none is taken if that
/// is longer than `patience`.
pub async fn take_place(
    db: &Db,
    livemode: bool,
    apart: Duration,
    patience: Duration,
) -> Result<Option<Duration>, StoreError> {
    // Not now(): that is when the statement began, and it may have waited for others.
    let wait = sqlx::query_scalar!(
        r#"INSERT INTO stripe_line AS line (livemode, next_at)
           VALUES ($1, clock_timestamp() + make_interval(secs => $2))
           ON CONFLICT (livemode) DO UPDATE
           SET next_at = greatest(line.next_at, clock_timestamp()) + make_interval(secs => $2)
           WHERE line.next_at <= clock_timestamp() + make_interval(secs => $3)
           RETURNING EXTRACT(EPOCH FROM next_at - make_interval(secs => $2) - clock_timestamp())::float8 AS "wait!""#,
        livemode,
        apart.as_secs_f64(),
        patience.as_secs_f64(),
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(wait.map(|wait| Duration::try_from_secs_f64(wait).unwrap_or_default()))
}
