//! What the deliveries came to, as one hash a table: the same for everything that must not depend on order, copies or
//! crashes.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, PgConnection, query_scalar};

/// Receipt times, outcomes, history, messages and what is asked next are no part of it: they tell how it came about.
const TABLES: [(&str, &str); 4] = [
    (
        "people",
        "SELECT external_id AS key, status, verified_at FROM users",
    ),
    (
        "verifications",
        "SELECT v.session_id AS key, u.external_id, v.status, v.error_code, v.report_id, v.verdict_second, v.redaction,
                v.event_second, v.events_told, v.verified_second, v.read_as_of, v.read_until, v.reads_told,
                v.unknown_status, v.hinted, v.gone_at IS NOT NULL
         FROM verifications v LEFT JOIN users u ON u.id = v.user_id",
    ),
    (
        "reports",
        "SELECT r.report_id AS key, v.session_id, r.livemode, r.cost
         FROM verification_reports r JOIN verifications v ON v.id = r.verification_id",
    ),
    (
        "events",
        "SELECT id AS key, type, created, livemode, session_id FROM stripe_events",
    ),
];

/// A table's name, how many rows it has, and their hash.
pub(crate) type Hash = (&'static str, i64, String);

/// Every table's.
pub(crate) async fn hashes(db: &mut PgConnection) -> Vec<Hash> {
    let mut hashes = Vec::new();
    for (name, rows) in TABLES {
        let hash = format!(
            "SELECT (count(*), COALESCE(md5(string_agg(r::text, E'\\n' ORDER BY key COLLATE \"C\")), ''))::text
             FROM ({rows}) r"
        );
        let found: String = query_scalar(AssertSqlSafe(hash))
            .fetch_one(&mut *db)
            .await
            .unwrap();
        let (count, hash) = found.trim_matches(['(', ')']).split_once(',').unwrap();
        hashes.push((name, count.parse().unwrap(), hash.to_owned()));
    }
    hashes
}

/// The id of every event that is kept.
pub(crate) async fn events(db: &mut PgConnection) -> Vec<String> {
    let ids = query_scalar("SELECT id FROM stripe_events");
    ids.fetch_all(db).await.unwrap()
}

/// Some of the rows that only one of them has.
pub(crate) async fn differences(one: &mut PgConnection, other: &mut PgConnection) -> Vec<String> {
    let mut found = Vec::new();
    for (_, rows) in TABLES {
        let all = format!("SELECT r::text FROM ({rows}) r ORDER BY 1");
        let here: Vec<String> = fetch(one, &all).await;
        let there: Vec<String> = fetch(other, &all).await;
        let only = |these: &[String], those: &[String], sign: char| -> Vec<String> {
            let those: HashSet<&String> = those.iter().collect();
            let only = these.iter().filter(|row| !those.contains(row));
            only.take(5).map(|row| format!("{sign} {row}")).collect()
        };
        found.extend(only(&here, &there, '-'));
        found.extend(only(&there, &here, '+'));
    }
    found
}

async fn fetch(db: &mut PgConnection, query: &str) -> Vec<String> {
    let query = query_scalar(AssertSqlSafe(query.to_owned()));
    query.fetch_all(db).await.unwrap()
}
