//! People: found by the host application's name, locked before their verifications.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, StoreError, Tx};
use crate::domain::{AttemptId, Person, Status, UserId, UserStatus};

/// A person's row, locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct LockedUser {
    /// Its id.
    pub id: UserId,
    /// Who it is.
    pub person: Person,
    /// The status before whatever the transaction is about to change.
    pub status: UserStatus,
    /// What `verified_at` holds, as a Unix second.
    pub verified_second: Option<i64>,
    /// Counts the changes of what Stripe is told of them.
    pub details_version: i32,
    /// Counts the messages about them.
    pub sequence: i64,
    /// The row names nobody any more.
    pub forgotten: bool,
    /// This very transaction has made the row: nothing refers to it yet.
    pub is_new: bool,
}

pub(super) struct UserRow {
    pub(super) id: Uuid,
    pub(super) realm: String,
    pub(super) external_id: String,
    pub(super) email: Option<String>,
    pub(super) status: String,
    pub(super) verified_at: Option<DateTime<Utc>>,
    pub(super) details_version: i32,
    pub(super) sequence: i64,
    pub(super) forgotten: bool,
}

impl TryFrom<UserRow> for LockedUser {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        let status = UserStatus::parse(&row.status).ok_or(StoreError::Inconsistent {
            table: "users",
            column: "status",
            id: row.id,
        })?;
        Ok(Self {
            id: UserId(row.id),
            person: Person {
                realm: row.realm,
                external_id: row.external_id,
                email: row.email,
            },
            status,
            verified_second: row.verified_at.map(|at| at.timestamp()),
            details_version: row.details_version,
            sequence: row.sequence,
            forgotten: row.forgotten,
            is_new: false,
        })
    }
}

/// Makes the person's row if there is none, keeps its e-mail address current, and locks it.
pub async fn lock_person(tx: &mut Tx, person: &Person) -> Result<LockedUser, StoreError> {
    let id = Uuid::now_v7();
    let made = sqlx::query_as!(
        UserRow,
        r#"INSERT INTO users (id, realm, external_id, email) VALUES ($1, $2, $3, $4)
           ON CONFLICT (realm, external_id) DO UPDATE
           SET email = EXCLUDED.email, details_version = users.details_version + 1
           WHERE EXCLUDED.email IS NOT NULL AND users.email IS DISTINCT FROM EXCLUDED.email
           RETURNING id, realm, external_id, email, status, verified_at, details_version, sequence,
                     forgotten_at IS NOT NULL AS "forgotten!""#,
        id,
        person.realm,
        person.external_id,
        person.email,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = made else {
        let known = lock_known(tx, person).await?;
        return known.ok_or_else(StoreError::moved);
    };
    Ok(LockedUser {
        is_new: row.id == id,
        ..row.try_into()?
    })
}

/// Locks the row of a person, if we have met them.
pub async fn lock_known(tx: &mut Tx, person: &Person) -> Result<Option<LockedUser>, StoreError> {
    let row = sqlx::query_as!(
        UserRow,
        r#"SELECT id, realm, external_id, email, status, verified_at, details_version, sequence,
                  forgotten_at IS NOT NULL AS "forgotten!" FROM users
           WHERE realm = $1 AND external_id = $2 FOR UPDATE"#,
        person.realm,
        person.external_id,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(LockedUser::try_from).transpose()
}

/// Locks the row of a person we have met.
pub async fn lock_user(tx: &mut Tx, user: UserId) -> Result<LockedUser, StoreError> {
    let row = sqlx::query_as!(
        UserRow,
        r#"SELECT id, realm, external_id, email, status, verified_at, details_version, sequence,
                  forgotten_at IS NOT NULL AS "forgotten!" FROM users
           WHERE id = $1 FOR UPDATE"#,
        user.0,
    )
    .fetch_one(&mut **tx)
    .await?;
    row.try_into()
}

/// Locks the person whose attempt it is; false if it is nobody's.
pub async fn lock_owner(tx: &mut Tx, attempt: AttemptId) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT u.id FROM users u JOIN verifications v ON v.user_id = u.id WHERE v.id = $1 FOR UPDATE OF u"#,
        attempt.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// The id of a person, if we have met them.
pub async fn find_user(db: &Db, person: &Person) -> Result<Option<UserId>, StoreError> {
    let id = sqlx::query_scalar!(
        r#"SELECT id FROM users WHERE realm = $1 AND external_id = $2"#,
        person.realm,
        person.external_id,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(id.map(UserId))
}

pub(super) fn parse_status(id: Uuid, text: Option<&str>) -> Result<Option<Status>, StoreError> {
    text.map(|text| {
        Status::parse(text).ok_or(StoreError::Inconsistent {
            table: "verifications",
            column: "status",
            id,
        })
    })
    .transpose()
}
