//! Everything kept of a person or a session, for whoever has to explain it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Db, StoreError,
    users::parse_status,
    verifications::{Maxima, parse_session},
};
use crate::domain::{AttemptId, Knowledge, SessionId, Status, UserId};

/// A person, as kept.
#[derive(Clone, Debug)]
pub struct PersonRecord {
    /// Our id.
    pub id: UserId,
    /// Who vouches for the external id.
    pub realm: String,
    /// The host application's name for them.
    pub external_id: String,
    /// When the status last changed.
    pub updated_at: DateTime<Utc>,
    /// When they were forgotten: then the names are none.
    pub forgotten_at: Option<DateTime<Utc>>,
}

/// An attempt, as kept.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Our id.
    pub id: AttemptId,
    /// Stripe's session.
    pub session_id: Option<SessionId>,
    /// Of live or test mode.
    pub livemode: bool,
    /// What asked for it; none while unclaimed.
    pub client: Option<String>,
    /// The policy it is under.
    pub policy: String,
    /// What Stripe was asked to change that to, and has not answered.
    pub policies_asked: Vec<String>,
    /// The status shown.
    pub status: Option<Status>,
    /// All we were told, but for the reports.
    pub knowledge: Knowledge,
    /// The reports Stripe named; each is a billed check.
    pub reports: Vec<String>,
    /// A status this version does not know.
    pub unknown_status: Option<String>,
    /// Hints not yet answered by a retrieval.
    pub open_hints: i32,
    /// Since when it is in doubt.
    pub doubt_since: Option<DateTime<Utc>>,
    /// When Stripe is asked next.
    pub refresh_due_at: Option<DateTime<Utc>>,
    /// How often it was asked in vain.
    pub refresh_tries: i32,
    /// Is it the one `start` hands out?
    pub current: bool,
    /// Until when a start is under way.
    pub lease_until: Option<DateTime<Utc>>,
    /// Since when Stripe does not have it.
    pub gone_at: Option<DateTime<Utc>>,
    /// When it was asked for that Stripe erases it.
    pub redaction_requested_at: Option<DateTime<Utc>>,
    /// Since when that takes too long; none once it is over.
    pub redaction_overdue_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub redaction_outcome: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// One line of an attempt's history.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// When it was committed.
    pub at: DateTime<Utc>,
    /// The status before.
    pub from: Option<String>,
    /// The status after.
    pub to: Option<String>,
    /// Why.
    pub cause: String,
}

/// A delivery about a session.
#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    /// `evt_…`
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Stripe's second.
    pub created: Option<i64>,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// What became of it.
    pub outcome: String,
}

/// The people of this name, in every realm.
pub async fn list_people(db: &Db, external_id: &str) -> Result<Vec<PersonRecord>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id FROM users WHERE external_id = $1 AND forgotten_at IS NULL ORDER BY realm"#,
        external_id,
    )
    .fetch_all(db.pool())
    .await?;
    let mut people = Vec::with_capacity(ids.len());
    for id in ids {
        people.push(find_person(db, UserId(id)).await?);
    }
    Ok(people)
}

/// One person by our id.
pub async fn find_person(db: &Db, user: UserId) -> Result<PersonRecord, StoreError> {
    let row = sqlx::query!(
        r#"SELECT realm, external_id, updated_at, forgotten_at FROM users WHERE id = $1"#,
        user.0,
    )
    .fetch_one(db.pool())
    .await?;
    Ok(PersonRecord {
        id: user,
        realm: row.realm,
        external_id: row.external_id,
        updated_at: row.updated_at,
        forgotten_at: row.forgotten_at,
    })
}

/// Whose session it is, if it has a row at all: the attempt, and the person unless it is unclaimed.
pub async fn find_session_owner(
    db: &Db,
    session: &SessionId,
) -> Result<Option<(AttemptId, Option<UserId>)>, StoreError> {
    let mut tx = db.begin().await?;
    super::find_by_session(&mut tx, session).await
}

/// Whose this id of ours is, if it is a person's or an attempt's: the person, unless the attempt is unclaimed.
pub async fn find_owner(db: &Db, id: Uuid) -> Result<Option<Option<UserId>>, StoreError> {
    let owner = sqlx::query_scalar!(
        r#"SELECT user_id FROM verifications WHERE id = $1 UNION ALL SELECT id FROM users WHERE id = $1"#,
        id,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(owner.map(|owner| owner.map(UserId)))
}

struct AttemptRow {
    id: Uuid,
    session_id: Option<String>,
    livemode: bool,
    client: Option<String>,
    policy: String,
    policies_asked: Vec<String>,
    status: Option<String>,
    redaction: String,
    event_second: Option<i64>,
    events_told: Option<Value>,
    verified_second: Option<i64>,
    read_as_of: Option<i64>,
    read_until: Option<i64>,
    reads_told: Option<Value>,
    reports: Vec<String>,
    unknown_status: Option<String>,
    open_hints: i32,
    doubt_since: Option<DateTime<Utc>>,
    refresh_due_at: Option<DateTime<Utc>>,
    refresh_tries: i32,
    current: bool,
    lease_until: Option<DateTime<Utc>>,
    gone_at: Option<DateTime<Utc>>,
    redaction_requested_at: Option<DateTime<Utc>>,
    redaction_overdue_at: Option<DateTime<Utc>>,
    redaction_outcome: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<AttemptRow> for AttemptRecord {
    type Error = StoreError;

    fn try_from(row: AttemptRow) -> Result<Self, StoreError> {
        let maxima = Maxima {
            redaction: row.redaction,
            event_second: row.event_second,
            events_told: row.events_told,
            verified_second: row.verified_second,
            read_as_of: row.read_as_of,
            read_until: row.read_until,
            reads_told: row.reads_told,
        };
        Ok(Self {
            id: AttemptId(row.id),
            session_id: parse_session(row.id, row.session_id.as_deref())?,
            livemode: row.livemode,
            client: row.client,
            policy: row.policy,
            policies_asked: row.policies_asked,
            status: parse_status(row.id, row.status.as_deref())?,
            knowledge: maxima.knowledge(row.id)?,
            reports: row.reports,
            unknown_status: row.unknown_status,
            open_hints: row.open_hints,
            doubt_since: row.doubt_since,
            refresh_due_at: row.refresh_due_at,
            refresh_tries: row.refresh_tries,
            current: row.current,
            lease_until: row.lease_until,
            gone_at: row.gone_at,
            redaction_requested_at: row.redaction_requested_at,
            redaction_overdue_at: row.redaction_overdue_at,
            redaction_outcome: row.redaction_outcome,
            created_at: row.created_at,
        })
    }
}

/// A person's attempts, or the one attempt asked for; newest first.
pub async fn list_attempts(
    db: &Db,
    user: Option<UserId>,
    attempt: Option<AttemptId>,
) -> Result<Vec<AttemptRecord>, StoreError> {
    let rows = sqlx::query_as!(
        AttemptRow,
        r#"SELECT v.id, v.session_id, v.livemode, v.client, v.policy, v.policies_asked, v.status, v.redaction,
                  v.event_second, v.events_told, v.verified_second,
                  v.read_as_of, v.read_until, v.reads_told,
                  ARRAY(SELECT r.report_id FROM verification_reports r
                        WHERE r.verification_id = v.id ORDER BY r.first_seen_at) AS "reports!",
                  v.unknown_status, v.hinted - v.answered AS "open_hints!", v.doubt_since,
                  v.refresh_due_at, v.refresh_tries, v.current,
                  CASE WHEN v.lease_until > now() THEN v.lease_until END AS lease_until,
                  v.gone_at, d.requested_at AS "redaction_requested_at?",
                  CASE WHEN d.ended_at IS NULL THEN d.overdue_at END AS redaction_overdue_at,
                  d.outcome AS redaction_outcome, v.created_at
           FROM verifications v LEFT JOIN redactions d ON d.verification_id = v.id
           WHERE v.user_id = $1 OR v.id = $2
           ORDER BY v.created_at DESC, v.id DESC"#,
        user.map(|user| user.0),
        attempt.map(|attempt| attempt.0),
    )
    .fetch_all(db.pool())
    .await?;
    rows.into_iter().map(AttemptRecord::try_from).collect()
}

/// An attempt's history in the order it was committed.
pub async fn list_history(db: &Db, attempt: AttemptId) -> Result<Vec<HistoryRecord>, StoreError> {
    let rows = sqlx::query_as!(
        HistoryRecord,
        r#"SELECT at, from_status AS "from", to_status AS "to", cause
           FROM verification_history WHERE verification_id = $1 ORDER BY id"#,
        attempt.0,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows)
}

/// A session's deliveries in Stripe's order.
pub async fn list_deliveries(
    db: &Db,
    session: &SessionId,
) -> Result<Vec<DeliveryRecord>, StoreError> {
    let rows = sqlx::query_as!(
        DeliveryRecord,
        r#"SELECT id, type AS kind, created, received_at, outcome FROM stripe_events
           WHERE session_id = $1 ORDER BY created NULLS FIRST, received_at"#,
        session.as_str(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows)
}
