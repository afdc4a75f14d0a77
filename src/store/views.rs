//! What people are shown: read without locks.

use chrono::{DateTime, Utc};

use super::{Db, StoreError};
use crate::domain::{AttemptId, Person, UserId, UserStatus};

/// A person's state as the pages and `/status` tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonView {
    /// Whose.
    pub user: UserId,
    /// The derived status.
    pub status: UserStatus,
    /// When they were verified, while they are.
    pub verified_at: Option<DateTime<Utc>>,
    /// When the status last changed.
    pub updated_at: DateTime<Utc>,
    /// The attempt that decides the status.
    pub verification_id: Option<AttemptId>,
    /// Its `last_error.code`.
    pub error_code: Option<String>,
    /// Stripe no longer has the newest session.
    pub gone: bool,
}

/// The state of a person in one mode; none if we have not met them.
pub async fn find_person_view(
    db: &Db,
    person: &Person,
    livemode: bool,
) -> Result<Option<PersonView>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT u.id, u.status, u.verified_at, u.updated_at,
                  shown.id AS "verification_id?", shown.error_code AS "error_code?",
                  COALESCE(newest.gone, false) AS "gone!"
           FROM users u
           LEFT JOIN LATERAL (
               SELECT v.id, v.error_code FROM verifications v
               WHERE v.user_id = u.id AND v.livemode = $3 AND v.session_id IS NOT NULL
                 AND (v.gone_at IS NULL OR v.status = 'verified')
               ORDER BY (v.status IS NOT DISTINCT FROM 'verified') DESC, v.created_at DESC, v.id DESC
               LIMIT 1) shown ON true
           LEFT JOIN LATERAL (
               SELECT v.gone_at IS NOT NULL AS gone FROM verifications v
               WHERE v.user_id = u.id AND v.livemode = $3 AND v.session_id IS NOT NULL
               ORDER BY v.created_at DESC, v.id DESC LIMIT 1) newest ON true
           WHERE u.realm = $1 AND u.external_id = $2"#,
        person.realm,
        person.external_id,
        livemode,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| {
        Ok(PersonView {
            user: UserId(row.id),
            status: UserStatus::parse(&row.status).ok_or(StoreError::Inconsistent {
                table: "users",
                column: "status",
                id: row.id,
            })?,
            verified_at: row.verified_at,
            updated_at: row.updated_at,
            verification_id: row.verification_id.map(AttemptId),
            error_code: row.error_code,
            gone: row.gone,
        })
    })
    .transpose()
}
