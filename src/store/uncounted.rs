//! Who counted as somebody under earlier settings, and does not under those of now.

use super::{Db, StoreError};

/// So many rows share a name that the settings do not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncounted {
    /// A policy, or a realm.
    pub name: String,
    /// How many, of those that were looked at.
    pub many: i64,
}

/// Verifications of people who would be verified in this mode, were their policy among these. Of the newest hundred
/// thousand rows, which are the first to be under a policy that was in use until now.
pub async fn count_unknown_policies(
    db: &Db,
    livemode: bool,
    known: &[String],
) -> Result<Vec<Uncounted>, StoreError> {
    let found = sqlx::query_as!(
        Uncounted,
        r#"SELECT v.policy AS name, count(*) AS "many!"
           FROM (SELECT user_id, policy, status, livemode FROM verifications ORDER BY id DESC LIMIT 100000) v
           JOIN users u ON u.id = v.user_id
           WHERE v.status = 'verified' AND v.livemode = $1 AND v.policy <> ALL ($2) AND u.forgotten_at IS NULL
           GROUP BY v.policy ORDER BY v.policy"#,
        livemode,
        known,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(found)
}

/// People by realm, of a hundred thousand, if none of all people is of one of these realms.
pub async fn count_unknown_realms(db: &Db, known: &[String]) -> Result<Vec<Uncounted>, StoreError> {
    let found = sqlx::query_as!(
        Uncounted,
        r#"SELECT u.realm AS name, count(*) AS "many!"
           FROM (SELECT realm FROM users WHERE forgotten_at IS NULL LIMIT 100000) u
           WHERE NOT EXISTS (SELECT FROM users WHERE realm = ANY ($1))
           GROUP BY u.realm ORDER BY u.realm"#,
        known,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(found)
}
