//! What an application's backend is told of its people's verifications: read without locks, page by page.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Db, StoreError,
    users::parse_status,
    verifications::{inconsistent, parse_session},
};
use crate::domain::{AttemptId, Redaction, SessionId, Status};

/// Whose verifications an application may see.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Who vouches for the people.
    pub realm: &'a str,
    /// Of live or test mode.
    pub livemode: bool,
}

/// Which of them it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Only this person's, by the application's own id.
    pub external_id: Option<&'a str>,
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only older ones than this.
    pub before: Option<AttemptId>,
    /// At most so many.
    pub limit: i64,
}

/// A verification, as an application is told of it.
#[derive(Clone, Debug)]
pub struct VerificationView {
    /// Ours.
    pub id: AttemptId,
    /// The application's own id of the person.
    pub external_id: String,
    /// Stripe's session, once there is one.
    pub session_id: Option<SessionId>,
    /// Which set of checks.
    pub policy: String,
    /// Where it stands; none while nothing is known.
    pub status: Option<Status>,
    /// `last_error.code`.
    pub error_code: Option<String>,
    /// How far a redaction is.
    pub redaction: Redaction,
    /// When somebody asked for one, or when we learnt of it.
    pub redaction_requested_at: Option<DateTime<Utc>>,
    /// Stripe does not have it any more.
    pub gone: bool,
    /// Finished checks, each of which is billed.
    pub reports: i64,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When we last learnt something.
    pub updated_at: DateTime<Utc>,
}

struct ViewRow {
    id: Uuid,
    external_id: String,
    session_id: Option<String>,
    policy: String,
    status: Option<String>,
    error_code: Option<String>,
    redaction: String,
    redaction_requested_at: Option<DateTime<Utc>>,
    gone: bool,
    reports: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<ViewRow> for VerificationView {
    type Error = StoreError;

    fn try_from(row: ViewRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: AttemptId(row.id),
            external_id: row.external_id,
            session_id: parse_session(row.id, row.session_id.as_deref())?,
            policy: row.policy,
            status: parse_status(row.id, row.status.as_deref())?,
            error_code: row.error_code,
            redaction: Redaction::parse(&row.redaction)
                .ok_or_else(|| inconsistent(row.id, "redaction"))?,
            redaction_requested_at: row.redaction_requested_at,
            gone: row.gone,
            reports: row.reports,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// An application's verifications, newest first.
pub async fn list_verifications(
    db: &Db,
    owner: Owner<'_>,
    listing: Listing<'_>,
) -> Result<Vec<VerificationView>, StoreError> {
    let mut tx = db.begin_planned().await?;
    let rows = sqlx::query_as!(
        ViewRow,
        r#"SELECT v.id, u.external_id, v.session_id, v.policy, v.status, v.error_code, v.redaction,
                  (SELECT d.requested_at FROM redactions d WHERE d.verification_id = v.id) AS redaction_requested_at,
                  v.gone_at IS NOT NULL AS "gone!",
                  (SELECT count(*) FROM verification_reports r WHERE r.verification_id = v.id) AS "reports!",
                  v.created_at, v.updated_at
           FROM verifications v JOIN users u ON u.id = v.user_id
           WHERE u.realm = $1 AND v.livemode = $2
             AND ($3::text IS NULL OR u.external_id = $3)
             AND ($4::text IS NULL OR v.status = $4)
             AND ($5::uuid IS NULL OR v.id < $5)
           ORDER BY v.id DESC LIMIT $6"#,
        owner.realm,
        owner.livemode,
        listing.external_id,
        listing.status.map(Status::as_str),
        listing.before.map(|before| before.0),
        listing.limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    rows.into_iter().map(VerificationView::try_from).collect()
}

/// One of an application's verifications.
pub async fn find_verification(
    db: &Db,
    owner: Owner<'_>,
    id: AttemptId,
) -> Result<Option<VerificationView>, StoreError> {
    let row = sqlx::query_as!(
        ViewRow,
        r#"SELECT v.id, u.external_id, v.session_id, v.policy, v.status, v.error_code, v.redaction,
                  (SELECT d.requested_at FROM redactions d WHERE d.verification_id = v.id) AS redaction_requested_at,
                  v.gone_at IS NOT NULL AS "gone!",
                  (SELECT count(*) FROM verification_reports r WHERE r.verification_id = v.id) AS "reports!",
                  v.created_at, v.updated_at
           FROM verifications v JOIN users u ON u.id = v.user_id
           WHERE u.realm = $1 AND v.livemode = $2 AND v.id = $3"#,
        owner.realm,
        owner.livemode,
        id.0,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(VerificationView::try_from).transpose()
}
