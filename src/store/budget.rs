//! The budget's books: what is spent is read from the reports, what may yet be spent from the reservations.
//!
//! Nothing is added up in a row of its own, so that nothing can drift and no delivery waits for another: a report and
//! the end of its reservation are committed together, and any single statement sees both or neither. Only who takes a
//! new reservation needs the others to wait, by an advisory lock that is taken last of all.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, StoreError, Tx, limits::seconds};
use crate::domain::{AttemptId, Period, Tally, Usage};

/// The first key of all our advisory locks, which tells them from each other.
pub(super) const LOCK_OF_NETWORKS: i32 = 1;
const LOCK_OF_BUDGETS: i32 = 2;
pub(super) const LOCK_OF_WORKERS: i32 = 3;
pub(super) const LOCK_OF_RETENTION: i32 = 13;

/// The books at one moment, and when the periods under way began.
#[derive(Clone, Copy, Debug)]
pub struct Books {
    /// What is used.
    pub usage: Usage,
    /// Midnight, UTC.
    pub day: DateTime<Utc>,
    /// The first of the month, UTC.
    pub month: DateTime<Utc>,
}

impl Books {
    /// When a period began.
    pub fn begins_at(&self, period: Period) -> DateTime<Utc> {
        match period {
            Period::Day => self.day,
            Period::Month => self.month,
        }
    }
}

struct BooksRow {
    day: DateTime<Utc>,
    month: DateTime<Utc>,
    day_ends_in: f64,
    month_ends_in: f64,
    checks_today: i64,
    money_today: i64,
    checks_this_month: i64,
    money_this_month: i64,
    checks_reserved: i64,
    money_reserved: i64,
}

impl From<BooksRow> for Books {
    fn from(row: BooksRow) -> Self {
        let tally = |checks: i64, money: i64| Tally {
            checks: checks.unsigned_abs(),
            money: money.unsigned_abs(),
        };
        Self {
            usage: Usage {
                today: tally(row.checks_today, row.money_today),
                this_month: tally(row.checks_this_month, row.money_this_month),
                reserved: tally(row.checks_reserved, row.money_reserved),
                day_ends_in: seconds(row.day_ends_in),
                month_ends_in: seconds(row.month_ends_in),
            },
            day: row.day,
            month: row.month,
        }
    }
}

/// Lets nobody else take a reservation until the transaction ends. Every other lock comes before it.
pub async fn lock_budget(tx: &mut Tx, livemode: bool) -> Result<(), StoreError> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock($1, $2)"#,
        LOCK_OF_BUDGETS,
        i32::from(livemode),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reads the books, at the second of this statement and not of the transaction: it may have waited for the lock.
pub async fn read_books(tx: &mut Tx, livemode: bool) -> Result<Books, StoreError> {
    let row = sqlx::query_as!(
        BooksRow,
        r#"WITH began AS (
               SELECT date_trunc('day', statement_timestamp() AT TIME ZONE 'UTC') AS day,
                      date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC') AS month)
           SELECT began.day AT TIME ZONE 'UTC' AS "day!", began.month AT TIME ZONE 'UTC' AS "month!",
                  EXTRACT(EPOCH FROM (began.day + interval '1 day') AT TIME ZONE 'UTC'
                      - statement_timestamp())::float8 AS "day_ends_in!",
                  EXTRACT(EPOCH FROM (began.month + interval '1 month') AT TIME ZONE 'UTC'
                      - statement_timestamp())::float8 AS "month_ends_in!",
                  spent.checks_today AS "checks_today!", spent.money_today AS "money_today!",
                  spent.checks_this_month AS "checks_this_month!", spent.money_this_month AS "money_this_month!",
                  held.checks AS "checks_reserved!", held.money AS "money_reserved!"
           FROM began,
           LATERAL (
               SELECT count(*) FILTER (WHERE first_seen_at >= began.day AT TIME ZONE 'UTC') AS checks_today,
                      COALESCE(sum(cost) FILTER (WHERE first_seen_at >= began.day AT TIME ZONE 'UTC'), 0)::bigint
                          AS money_today,
                      count(*) AS checks_this_month, COALESCE(sum(cost), 0)::bigint AS money_this_month
               FROM verification_reports
               WHERE livemode = $1 AND first_seen_at >= began.month AT TIME ZONE 'UTC') spent,
           LATERAL (
               SELECT count(*) AS checks, COALESCE(sum(cost), 0)::bigint AS money FROM reservations
               WHERE livemode = $1 AND spent_at IS NULL AND released_at IS NULL
                 AND handed_out_at > statement_timestamp() - interval '48 hours') held"#,
        livemode,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(row.into())
}

/// A reservation to be taken.
#[derive(Clone, Copy, Debug)]
pub struct NewReservation {
    /// For whose next report.
    pub attempt: AttemptId,
    /// How many it has: both together are the key.
    pub reports: i32,
    /// In live or test mode.
    pub livemode: bool,
    /// What a check costs.
    pub cost: u64,
    /// It stands on an attempt that the operator allowed.
    pub extra: bool,
}

/// Takes a reservation, or takes it up again: the same key never weighs twice.
pub async fn put_reservation(tx: &mut Tx, new: &NewReservation) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO reservations (verification_id, reports, livemode, cost, extra, handed_out_at)
           VALUES ($1, $2, $3, $4, $5, statement_timestamp())
           ON CONFLICT (verification_id, reports) DO UPDATE SET
               cost = EXCLUDED.cost, extra = EXCLUDED.extra, released_at = NULL,
               handed_out_at = GREATEST(reservations.handed_out_at, EXCLUDED.handed_out_at)"#,
        new.attempt.0,
        new.reports,
        new.livemode,
        i64::try_from(new.cost).unwrap_or(i64::MAX),
        new.extra,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Turns the reservations of locked attempts that their reports have caught up with into spend.
pub async fn spend_reservations(tx: &mut Tx, attempts: &[AttemptId]) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    sqlx::query!(
        r#"UPDATE reservations r SET spent_at = now()
           WHERE r.verification_id = ANY($1) AND COALESCE(r.spent_at, r.released_at) IS NULL
             AND r.reports < (SELECT count(*) FROM verification_reports WHERE verification_id = r.verification_id)"#,
        &attempts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Is an attempt without a session, and was nobody at it since? The person must be locked.
pub async fn is_unused(
    tx: &mut Tx,
    attempt: AttemptId,
    since: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let unused = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM verifications v
               WHERE v.id = $1 AND v.session_id IS NULL
                 AND (v.lease_until IS NULL OR v.lease_until <= clock_timestamp())
                 AND NOT EXISTS (
                     SELECT FROM reservations r
                     WHERE r.verification_id = v.id AND r.handed_out_at >= $2)) AS "unused!""#,
        attempt.0,
        since,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(unused)
}

/// Gives back what a locked attempt has reserved, and the attempt the operator allowed if it stood on one. The person
/// must be locked.
pub async fn release_reservations(tx: &mut Tx, attempt: AttemptId) -> Result<(), StoreError> {
    release_all_reservations(tx, &[attempt]).await
}

/// The same for any number of attempts.
pub async fn release_all_reservations(
    tx: &mut Tx,
    attempts: &[AttemptId],
) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    sqlx::query!(
        r#"WITH released AS (
               UPDATE reservations SET released_at = now()
               WHERE verification_id = ANY($1) AND COALESCE(spent_at, released_at) IS NULL
               RETURNING verification_id, extra),
           allowed AS (
               SELECT v.user_id, count(DISTINCT v.id)::integer AS attempts
               FROM released JOIN verifications v ON v.id = released.verification_id
               WHERE released.extra GROUP BY v.user_id)
           UPDATE users SET extra_attempts = extra_attempts + allowed.attempts
           FROM allowed WHERE users.id = allowed.user_id"#,
        &attempts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that somebody is to be warned. False if it was noted before, by whichever process.
pub async fn note_warning(
    db: &Db,
    livemode: bool,
    period: Period,
    begins_at: DateTime<Utc>,
    percent: u8,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"INSERT INTO budget_warnings (livemode, period, begins_at, percent) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING"#,
        livemode,
        period.as_str(),
        begins_at,
        i16::from(percent),
    )
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}
