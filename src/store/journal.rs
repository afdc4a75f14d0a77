//! What is only ever added: deliveries, with the people they are about locked, and history.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{LockedUser, StoreError, Tx, batch::all, users::UserRow};
use crate::domain::{AttemptId, SessionId, Status};

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

/// A session that something is told of.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The delivery that tells it: if that is not new, it tells nothing. None if we have asked.
    pub event: Option<&'a str>,
    /// Which session.
    pub session: &'a SessionId,
    /// The attempt that it names as its own.
    pub attempt: Option<AttemptId>,
}

/// Records deliveries, each with its outcome and no two with one id, and then locks the people of the sessions that are
/// told of, and of the attempts named that wait for a session. Both by ascending key, so that two transactions cannot wait
/// for each other; in one statement, for each one is a way to Postgres and back. Gives the ids of the deliveries that are
/// new, and the people.
pub async fn record_and_lock(
    tx: &mut Tx,
    events: &BTreeMap<&str, (&EventRecord, Outcome)>,
    about: &[About<'_>],
    livemode: bool,
) -> Result<(HashSet<String>, Vec<LockedUser>), StoreError> {
    let events: Vec<(&EventRecord, Outcome)> = events.values().copied().collect();
    let rows = sqlx::query_as!(
        Recorded,
        r#"WITH new AS (
               INSERT INTO stripe_events (id, type, created, livemode, api_version, account, session_id, outcome)
               SELECT UNNEST($1::text[]), UNNEST($2::text[]), UNNEST($3::bigint[]), UNNEST($4::boolean[]),
                      UNNEST($5::text[]), UNNEST($6::text[]), UNNEST($7::text[]), UNNEST($8::text[])
               ON CONFLICT (id) DO NOTHING RETURNING id),
           about AS (
               SELECT a.session, a.attempt
               FROM (SELECT UNNEST($9::text[]) AS event, UNNEST($10::text[]) AS session,
                            UNNEST($11::uuid[]) AS attempt) AS a
               WHERE a.event IS NULL OR a.event IN (SELECT id FROM new)),
           owned AS (
               SELECT session_id, user_id FROM verifications
               WHERE session_id = ANY(ARRAY(SELECT session FROM about)) AND user_id IS NOT NULL),
           waiting AS (
               SELECT attempt FROM about WHERE session NOT IN (SELECT session_id FROM owned)),
           owners AS (
               SELECT id, realm, external_id, email, status, verified_at, details_version, sequence, forgotten_at
               FROM users
               WHERE id IN (SELECT user_id FROM owned
                            UNION SELECT user_id FROM verifications
                            WHERE id = ANY(ARRAY(SELECT attempt FROM waiting))
                              AND COALESCE(session_id, '') = '' AND livemode = $12)
               ORDER BY id FOR UPDATE)
           SELECT id AS "event?", NULL::uuid AS "id?", NULL AS "realm?", NULL AS "external_id?", NULL AS "email?",
                  NULL AS "status?", NULL::timestamptz AS "verified_at?", 0 AS "details_version!",
                  0::bigint AS "sequence!", false AS "forgotten!" FROM new
           UNION ALL
           SELECT NULL, id, realm, external_id, email, status, verified_at, details_version, sequence,
                  forgotten_at IS NOT NULL FROM owners"#,
        &all(&events, |(event, _)| event.id.as_str()) as &[&str],
        &all(&events, |(event, _)| event.kind.as_str()) as &[&str],
        &all(&events, |(event, _)| event.created) as &[Option<i64>],
        &all(&events, |(event, _)| event.livemode) as &[Option<bool>],
        &all(&events, |(event, _)| event.api_version.as_deref()) as &[Option<&str>],
        &all(&events, |(event, _)| event.account.as_deref()) as &[Option<&str>],
        &all(&events, |(event, _)| event.session_id.as_deref()) as &[Option<&str>],
        &all(&events, |(_, outcome)| outcome.as_str()) as &[&str],
        &all(about, |it| it.event) as &[Option<&str>],
        &all(about, |it| it.session.as_str()) as &[&str],
        &all(about, |it| it.attempt.map(|attempt| attempt.0)) as &[Option<Uuid>],
        livemode,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut new = HashSet::with_capacity(events.len());
    let mut owners = Vec::new();
    for mut row in rows {
        new.extend(row.event.take());
        if let Some(owner) = row.owner() {
            owners.push(owner.try_into()?);
        }
    }
    Ok((new, owners))
}

/// Either a delivery that is new, or somebody.
struct Recorded {
    event: Option<String>,
    id: Option<Uuid>,
    realm: Option<String>,
    external_id: Option<String>,
    email: Option<String>,
    status: Option<String>,
    verified_at: Option<DateTime<Utc>>,
    details_version: i32,
    sequence: i64,
    forgotten: bool,
}

impl Recorded {
    fn owner(self) -> Option<UserRow> {
        Some(UserRow {
            id: self.id?,
            realm: self.realm?,
            external_id: self.external_id?,
            email: self.email,
            status: self.status?,
            verified_at: self.verified_at,
            details_version: self.details_version,
            sequence: self.sequence,
            forgotten: self.forgotten,
        })
    }
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
