//! Messages are written with the changes they tell of: none without its change, and no change without its message.

use serde_json::Value;
use sqlx::PgPool;

use crate::{
    deliveries::Delivery,
    observe::{deaf_verifier, insert_attempt},
    support::database::TestDb,
};

const NOW: i64 = 1_790_000_000;

async fn told(pool: &PgPool) -> Vec<(i64, String, Value)> {
    sqlx::query_as("SELECT sequence, type, data FROM outbox ORDER BY transaction, id")
        .fetch_all(pool)
        .await
        .unwrap()
}

fn types(told: &[(i64, String, Value)]) -> Vec<&str> {
    told.iter().map(|(_, kind, _)| kind.as_str()).collect()
}

#[tokio::test]
async fn a_change_is_told_and_what_changes_nothing_is_not() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await.to_string();
    let of = |id: &str, kind: &str, after: i64| {
        Delivery::new(id, kind, NOW + after, "vs_1").of_attempt(&attempt)
    };
    let life = [
        of("evt_1", "created", 0),
        of("evt_2", "processing", 10),
        of("evt_3", "requires_input", 20).failed("document_expired", "vr_1"),
        of("evt_4", "verified", 30).reported("vr_2"),
        // Late, again, and by another name.
        of("evt_2", "processing", 10),
        of("evt_5", "processing", 5),
        of("evt_6", "verified", 30).reported("vr_2"),
        of("evt_7", "redacted", 40),
    ];
    for delivery in &life {
        verifier.hear(&delivery.read()).await.unwrap();
    }
    let told = told(db.pool()).await;
    assert_eq!(
        types(&told),
        [
            "verification.requires_input",
            "user.status_changed",
            "verification.processing",
            "user.status_changed",
            "verification.requires_input",
            "user.status_changed",
            "verification.verified",
            "user.status_changed",
            "verification.redacted",
        ]
    );
    let numbers: Vec<i64> = told.iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<i64>>());
    assert_eq!(
        told[4].2["verification"]["last_error"]["code"],
        "document_expired"
    );
    assert_eq!(told[8].2["verification"]["redaction"], "redacted");
    assert_eq!(told[8].2["user"]["status"], "verified");
}

#[tokio::test]
async fn a_strangers_session_is_told_of_to_nobody() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let stranger = Delivery::new("evt_1", "verified", NOW, "vs_1").reported("vr_1");
    verifier.hear(&stranger.read()).await.unwrap();
    assert_eq!(types(&told(db.pool()).await), [""; 0]);
}

#[tokio::test]
async fn a_change_whose_message_cannot_be_written_does_not_happen() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await.to_string();
    let success = Delivery::new("evt_1", "verified", NOW, "vs_1").of_attempt(&attempt);
    sqlx::raw_sql("ALTER TABLE outbox RENAME TO elsewhere")
        .execute(db.pool())
        .await
        .unwrap();
    verifier.hear(&success.read()).await.unwrap_err();
    let status = "SELECT status FROM users";
    let before: String = sqlx::query_scalar(status)
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(before, "none");
    sqlx::raw_sql("ALTER TABLE elsewhere RENAME TO outbox")
        .execute(db.pool())
        .await
        .unwrap();
    verifier.hear(&success.read()).await.unwrap();
    let after: String = sqlx::query_scalar(status)
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(after, "verified");
    assert_eq!(
        types(&told(db.pool()).await),
        ["verification.verified", "user.status_changed"]
    );
}
