//! What people are shown: read without locks.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, StoreError, Tx, users::parse_status};
use crate::domain::{
    AttemptFacts, AttemptId, AttemptUnder, Person, Standing, UserId, UserStatus, derive_standing,
};

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
    /// We know an e-mail address of theirs.
    pub has_email: bool,
    /// The attempt that decides the status.
    pub verification_id: Option<AttemptId>,
    /// Its `last_error.code`.
    pub error_code: Option<String>,
    /// Stripe no longer has the newest session.
    pub gone: bool,
}

struct AttemptRow {
    id: Uuid,
    status: Option<String>,
    verdict_second: Option<i64>,
    gone: bool,
    created_at: DateTime<Utc>,
    policy: String,
    policies_asked: Vec<String>,
    error_code: Option<String>,
}

impl AttemptRow {
    /// Only of attempts with a session, of the mode that was asked for.
    fn under(&self) -> Result<AttemptUnder, StoreError> {
        let mut policies = vec![self.policy.clone()];
        policies.extend(self.policies_asked.iter().cloned());
        Ok(AttemptUnder {
            facts: AttemptFacts {
                status: parse_status(self.id, self.status.as_deref())?,
                second: self.verdict_second,
                gone: self.gone,
                created_order: (self.created_at, AttemptId(self.id)),
                has_session: true,
                livemode_matches: true,
            },
            policies,
        })
    }
}

/// How a person stands in one mode under the policy that these satisfy; none if we have not met them.
pub async fn find_person_view(
    db: &Db,
    person: &Person,
    livemode: bool,
    satisfied_by: &BTreeSet<String>,
) -> Result<Option<PersonView>, StoreError> {
    // One statement, so that it is all of one moment.
    let mut found = sqlx::query!(
        r#"SELECT u.id AS user_id, u.updated_at, u.email IS NOT NULL AS "has_email!", v.id AS "id?", v.status,
                  v.verdict_second, v.gone_at IS NOT NULL AS "gone!", v.created_at AS "created_at?",
                  v.policy AS "policy?", v.policies_asked AS "policies_asked?", v.error_code
           FROM users u
           LEFT JOIN verifications v
             ON v.user_id = u.id AND v.livemode = $3 AND v.session_id IS NOT NULL
           WHERE u.realm = $1 AND u.external_id = $2"#,
        person.realm,
        person.external_id,
        livemode,
    )
    .fetch_all(db.pool())
    .await?
    .into_iter()
    .peekable();
    let person = found.peek();
    let person = person.map(|row| (row.user_id, row.updated_at, row.has_email));
    let Some((user, updated_at, has_email)) = person else {
        return Ok(None);
    };
    let rows = found.filter_map(|row| {
        Some(AttemptRow {
            id: row.id?,
            status: row.status,
            verdict_second: row.verdict_second,
            gone: row.gone,
            created_at: row.created_at?,
            policy: row.policy?,
            policies_asked: row.policies_asked?,
            error_code: row.error_code,
        })
    });
    let rows: Vec<_> = rows.collect();
    let standing = stand(&rows, satisfied_by)?;
    let shown = rows
        .into_iter()
        .find(|row| Some(AttemptId(row.id)) == standing.decided_by);
    let verified_at = standing.state.verified_at_second;
    Ok(Some(PersonView {
        user: UserId(user),
        status: standing.state.status,
        verified_at: verified_at.and_then(|second| DateTime::from_timestamp(second, 0)),
        updated_at,
        has_email,
        verification_id: standing.decided_by,
        error_code: shown.and_then(|row| row.error_code),
        gone: standing.gone,
    }))
}

/// How a locked person stands in one mode under the policy that these satisfy.
pub async fn find_standing(
    tx: &mut Tx,
    user: UserId,
    livemode: bool,
    satisfied_by: &BTreeSet<String>,
) -> Result<Standing, StoreError> {
    let rows = list_attempts(tx, user, livemode).await?;
    stand(&rows, satisfied_by)
}

async fn list_attempts(
    tx: &mut Tx,
    user: UserId,
    livemode: bool,
) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = sqlx::query_as!(
        AttemptRow,
        r#"SELECT id, status, verdict_second, gone_at IS NOT NULL AS "gone!", created_at,
                  policy, policies_asked, error_code
           FROM verifications
           WHERE user_id = $1 AND livemode = $2 AND session_id IS NOT NULL"#,
        user.0,
        livemode,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

fn stand(rows: &[AttemptRow], satisfied_by: &BTreeSet<String>) -> Result<Standing, StoreError> {
    let attempts = rows
        .iter()
        .map(AttemptRow::under)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(derive_standing(&attempts, satisfied_by))
}
