//! Who is to be told by e-mail, and how things stand for them by now.

use uuid::Uuid;

use super::{Db, StoreError, users::parse_status};
use crate::domain::{AttemptId, Person, Status};

/// Whom a message is about, and what has become of what it tells.
#[derive(Clone, Debug)]
pub struct Addressee {
    /// Who it is, with the e-mail address if there is one.
    pub person: Person,
    /// The verification it tells of.
    pub attempt: AttemptId,
    /// Its policy.
    pub policy: String,
    /// Its status now.
    pub status: Option<Status>,
    /// Why the last try failed, if that is its status.
    pub error_code: Option<String>,
    /// What was collected is erased, or being erased.
    pub is_redacted: bool,
    /// Whether the status is right is being asked.
    pub is_doubtful: bool,
    /// A later message tells the same of it.
    pub is_told_again: bool,
}

/// Whom this message is about; none if they were deleted.
pub async fn find_addressee(db: &Db, message: Uuid) -> Result<Option<Addressee>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT u.realm, u.external_id, u.email, v.id, v.policy, v.status, v.error_code,
                  v.redaction IN ('processing', 'redacted') AS "is_redacted!", v.doubt_since IS NOT NULL AS "is_doubtful!",
                  EXISTS (SELECT FROM outbox later
                          WHERE later.user_id = o.user_id AND later.sequence > o.sequence AND later.type = o.type
                            AND later.data #>> '{verification,id}' = o.data #>> '{verification,id}')
                      AS "is_told_again!"
           FROM outbox o
           JOIN users u ON u.id = o.user_id
           JOIN verifications v ON v.id::text = o.data #>> '{verification,id}' AND v.user_id = u.id
           WHERE o.id = $1"#,
        message,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| {
        Ok(Addressee {
            person: Person {
                realm: row.realm,
                external_id: row.external_id,
                email: row.email,
            },
            attempt: AttemptId(row.id),
            policy: row.policy,
            status: parse_status(row.id, row.status.as_deref())?,
            error_code: row.error_code,
            is_redacted: row.is_redacted,
            is_doubtful: row.is_doubtful,
            is_told_again: row.is_told_again,
        })
    })
    .transpose()
}
