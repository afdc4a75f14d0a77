//! What is only ever added: deliveries, reports and history.

use std::collections::BTreeSet;

use super::{StoreError, Tx};
use crate::domain::{AttemptId, Status};

/// What became of an authentic delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Merged into its session's row.
    Applied,
    /// No observation, only a reason to ask Stripe.
    Hint,
    /// Nothing of ours.
    Ignored,
    /// Of the mode this server does not serve.
    WrongMode,
    /// Of a connected account.
    ForeignAccount,
    /// The database refused its data.
    Quarantined,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Applied,
        Self::Hint,
        Self::Ignored,
        Self::WrongMode,
        Self::ForeignAccount,
        Self::Quarantined,
    ];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Hint => "hint",
            Self::Ignored => "ignored",
            Self::WrongMode => "wrong_mode",
            Self::ForeignAccount => "foreign_account",
            Self::Quarantined => "quarantined",
        }
    }
}

/// An authentic delivery, as kept: never its body.
#[derive(Clone, Debug)]
pub struct EventRecord {
    /// `evt_…`, or a hash of an id of another form.
    pub id: String,
    /// Stripe's type.
    pub kind: String,
    /// Stripe's second.
    pub created: Option<i64>,
    /// Stripe's mode.
    pub livemode: Option<bool>,
    /// The version it was rendered in.
    pub api_version: Option<String>,
    /// The connected account, if any.
    pub account: Option<String>,
    /// The session it speaks of.
    pub session_id: Option<String>,
}

/// Records a delivery. False if it is known already.
pub async fn record_event(
    tx: &mut Tx,
    event: &EventRecord,
    outcome: Outcome,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"INSERT INTO stripe_events
               (id, type, created, livemode, api_version, account, session_id, outcome)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING"#,
        event.id,
        event.kind,
        event.created,
        event.livemode,
        event.api_version,
        event.account,
        event.session_id,
        outcome.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records the reports of a locked attempt, each a check at this cost; those known already stay as they are. What was
/// reserved for a new one is spent. Gives how many are new.
pub async fn record_reports(
    tx: &mut Tx,
    attempt: AttemptId,
    reports: &BTreeSet<String>,
    cost: u64,
) -> Result<u64, StoreError> {
    if reports.is_empty() {
        return Ok(0);
    }
    let reports: Vec<String> = reports.iter().cloned().collect();
    let done = sqlx::query!(
        r#"INSERT INTO verification_reports (report_id, verification_id, livemode, cost)
           SELECT named.report, v.id, v.livemode, $3 FROM UNNEST($1::text[]) AS named (report), verifications v
           WHERE v.id = $2
           ON CONFLICT (report_id) DO NOTHING"#,
        &reports,
        attempt.0,
        i64::try_from(cost).unwrap_or(i64::MAX),
    )
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() > 0 {
        super::spend_reservations(tx, attempt).await?;
    }
    Ok(done.rows_affected())
}

/// Appends one line to an attempt's history.
pub async fn record_history(
    tx: &mut Tx,
    attempt: AttemptId,
    from: Option<Status>,
    to: Option<Status>,
    cause: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO verification_history (verification_id, from_status, to_status, cause, at)
           VALUES ($1, $2, $3, $4, clock_timestamp())"#,
        attempt.0,
        from.map(Status::as_str),
        to.map(Status::as_str),
        cause,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
