//! What is only ever added: deliveries, reports and history.

use std::collections::{BTreeMap, HashSet};

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

/// Records deliveries, each with its outcome and no two with one id, by ascending id so that two transactions cannot wait
/// for each other. Gives the ids of those that are new.
pub async fn record_events(
    tx: &mut Tx,
    events: &BTreeMap<&str, (&EventRecord, Outcome)>,
) -> Result<HashSet<String>, StoreError> {
    let column = |read: fn(&EventRecord) -> &Option<String>| -> Vec<Option<&str>> {
        let values = events.values();
        values.map(|(event, _)| read(event).as_deref()).collect()
    };
    let records = || events.values().map(|(event, _)| *event);
    let ids: Vec<String> = records().map(|event| event.id.clone()).collect();
    let kinds: Vec<String> = records().map(|event| event.kind.clone()).collect();
    let created: Vec<Option<i64>> = records().map(|event| event.created).collect();
    let modes: Vec<Option<bool>> = records().map(|event| event.livemode).collect();
    let outcomes = events.values().map(|(_, outcome)| outcome.as_str());
    let outcomes: Vec<String> = outcomes.map(str::to_owned).collect();
    let new = sqlx::query_scalar!(
        r#"INSERT INTO stripe_events (id, type, created, livemode, api_version, account, session_id, outcome)
           SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::boolean[],
                                $5::text[], $6::text[], $7::text[], $8::text[])
           ON CONFLICT (id) DO NOTHING RETURNING id"#,
        &ids,
        &kinds,
        &created as &[Option<i64>],
        &modes as &[Option<bool>],
        &column(|event| &event.api_version) as &[Option<&str>],
        &column(|event| &event.account) as &[Option<&str>],
        &column(|event| &event.session_id) as &[Option<&str>],
        &outcomes,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(new.into_iter().collect())
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
