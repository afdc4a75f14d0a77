//! Deliveries against a real database: merged once, whatever comes, and never without an owner for long.

use secrecy::SecretString;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;
use verigate::{
    domain::{Client, MessageType, Redaction, Status, UserStatus},
    store::{self, Outcome},
    stripe,
    verification::{Endpoints, Heard, Policies, Settings, Verifier},
};

use crate::{deliveries::Delivery, support::database::TestDb, world::no_limits};

const NOW: i64 = 1_780_000_000;

/// A verifier whose Stripe nobody answers for: hearing must never need it.
pub(crate) fn deaf_verifier(db: &TestDb) -> Verifier {
    let url = SecretString::from(db.url().to_owned());
    let nowhere = "http://127.0.0.1:9".parse().unwrap();
    let client = stripe::Client::new(stripe::Settings::new(nowhere, "sk_test_1".into())).unwrap();
    let settings = Settings {
        livemode: false,
        return_url: "http://localhost/submitted".parse().unwrap(),
        limits: no_limits(),
        policies: Policies::default(),
        endpoints: Endpoints::default(),
        app_return_url: None,
    };
    Verifier::new(store::connect(&url, 4).unwrap(), client, settings)
}

pub(crate) async fn insert_attempt(pool: &PgPool, external_id: &str) -> Uuid {
    let (user, attempt) = (Uuid::new_v4(), Uuid::new_v4());
    sqlx::query("INSERT INTO users (id, realm, external_id) VALUES ($1, 'test', $2)")
        .bind(user)
        .bind(external_id)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO verifications (id, user_id, livemode, client, current) VALUES ($1, $2, false, 'modal', true)",
    )
    .bind(attempt)
    .bind(user)
    .execute(pool)
    .await
    .unwrap();
    attempt
}

async fn text(pool: &PgPool, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

const USERS: &str = "SELECT external_id || ':' || status FROM users ORDER BY 1";
const SESSIONS: &str = "SELECT concat_ws(':', session_id, status, error_code, \
    CASE WHEN user_id IS NULL THEN 'unclaimed' END) FROM verifications ORDER BY 1";
const OUTCOMES: &str = "SELECT id || ':' || outcome FROM stripe_events ORDER BY 1";
const HISTORY: &str = "SELECT concat_ws('>', coalesce(from_status, '-'), coalesce(to_status, '-')) || ' ' || cause \
    FROM verification_history ORDER BY id";
const REPORTS: &str = "SELECT report_id FROM verification_reports ORDER BY 1";

#[tokio::test]
async fn an_event_links_the_attempt_it_names_and_decides_the_person() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    let created = Delivery::new("evt_1", "created", NOW, "vs_1").of_attempt(&attempt.to_string());
    let success = Delivery::new("evt_2", "verified", NOW + 9, "vs_1")
        .of_attempt(&attempt.to_string())
        .reported("vr_1");
    verifier.hear(&created.read()).await.unwrap();
    verifier.hear(&success.read()).await.unwrap();
    assert_eq!(text(db.pool(), USERS).await, ["ada:verified"]);
    assert_eq!(text(db.pool(), SESSIONS).await, ["vs_1:verified"]);
    assert_eq!(text(db.pool(), REPORTS).await, ["vr_1"]);
    assert_eq!(
        text(db.pool(), HISTORY).await,
        [
            "->- linked to vs_1",
            "->requires_input evt_1 identity.verification_session.created",
            "requires_input>verified evt_2 identity.verification_session.verified",
        ]
    );
}

#[tokio::test]
async fn a_delivery_is_committed_once_however_often_and_however_parallel_it_comes() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    let event = Delivery::new("evt_1", "verified", NOW, "vs_1")
        .of_attempt(&attempt.to_string())
        .read();
    let heard = futures_util::future::join_all((0..12).map(|_| verifier.hear(&event))).await;
    let new = heard
        .iter()
        .filter(|heard| matches!(heard, Ok(Heard::New(Outcome::Applied))))
        .count();
    let known = heard
        .iter()
        .filter(|heard| matches!(heard, Ok(Heard::Known)))
        .count();
    assert_eq!((new, known), (1, 11));
    let changes = text(db.pool(), HISTORY).await;
    assert_eq!(
        changes.iter().filter(|line| line.contains("evt_1")).count(),
        1
    );
}

#[tokio::test]
async fn a_session_nobody_started_is_kept_without_an_owner() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let event = Delivery::new("evt_1", "verified", NOW, "vs_stranger").read();
    assert_eq!(
        verifier.hear(&event).await.unwrap(),
        Heard::New(Outcome::Applied)
    );
    assert_eq!(
        text(db.pool(), SESSIONS).await,
        ["vs_stranger:verified:unclaimed"]
    );
    assert!(text(db.pool(), USERS).await.is_empty());
}

#[tokio::test]
async fn an_unclaimed_row_that_turns_out_to_be_ours_is_merged_with_its_reports_and_history() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    let failed =
        Delivery::new("evt_1", "requires_input", NOW, "vs_1").failed("document_expired", "vr_1");
    verifier.hear(&failed.read()).await.unwrap();
    assert_eq!(
        text(db.pool(), SESSIONS).await,
        ["", "vs_1:requires_input:document_expired:unclaimed"]
    );
    // An older event names the attempt: what was known stays known.
    let created =
        Delivery::new("evt_0", "created", NOW - 9, "vs_1").of_attempt(&attempt.to_string());
    verifier.hear(&created.read()).await.unwrap();
    assert_eq!(
        text(db.pool(), SESSIONS).await,
        ["vs_1:requires_input:document_expired"]
    );
    assert_eq!(text(db.pool(), USERS).await, ["ada:requires_input"]);
    assert_eq!(text(db.pool(), REPORTS).await, ["vr_1"]);
    let history = text(db.pool(), HISTORY).await;
    assert!(
        history.iter().any(|line| line.contains("evt_1")),
        "{history:?}"
    );
}

#[tokio::test]
async fn a_second_session_that_names_the_same_attempt_stays_unclaimed() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    for (id, session) in [("evt_1", "vs_1"), ("evt_2", "vs_2")] {
        let event = Delivery::new(id, "verified", NOW, session).of_attempt(&attempt.to_string());
        verifier.hear(&event.read()).await.unwrap();
    }
    assert_eq!(
        text(db.pool(), SESSIONS).await,
        ["vs_1:verified", "vs_2:verified:unclaimed"]
    );
}

#[tokio::test]
async fn a_reference_that_a_visitor_can_choose_links_nothing() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    let event = Delivery::new("evt_1", "verified", NOW, "vs_1")
        .session("client_reference_id", json!(attempt.to_string()));
    verifier.hear(&event.read()).await.unwrap();
    assert_eq!(text(db.pool(), USERS).await, ["ada:none"]);
    assert_eq!(
        text(db.pool(), SESSIONS).await,
        ["", "vs_1:verified:unclaimed"]
    );
}

#[tokio::test]
async fn since_when_somebody_is_verified_does_not_depend_on_the_order_of_what_was_told() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let db = TestDb::new().await;
        let verifier = deaf_verifier(&db);
        let attempt = insert_attempt(db.pool(), "ada").await.to_string();
        let told = [
            ("verified", NOW),
            ("requires_input", NOW + 60),
            ("verified", NOW + 90),
        ];
        for n in order {
            let (kind, second) = told[n];
            let event = Delivery::new(&format!("evt_{n}"), kind, second, "vs_1");
            verifier
                .hear(&event.of_attempt(&attempt).read())
                .await
                .unwrap();
        }
        let since = "SELECT extract(epoch FROM verified_at)::bigint::text FROM users";
        let last = (NOW + 90).to_string();
        assert_eq!(
            text(db.pool(), since).await,
            [last],
            "in the order {order:?}"
        );
    }
}

#[tokio::test]
async fn a_late_event_of_a_superseded_session_still_verifies_the_person() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let old = insert_attempt(db.pool(), "ada").await;
    let canceled = Delivery::new("evt_1", "created", NOW, "vs_old").of_attempt(&old.to_string());
    verifier.hear(&canceled.read()).await.unwrap();
    let user: Uuid = sqlx::query_scalar("SELECT id FROM users")
        .fetch_one(db.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE verifications SET current = false")
        .execute(db.pool())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO verifications (id, user_id, livemode, client, current, session_id) \
         VALUES ($1, $2, false, 'modal', true, 'vs_new')",
    )
    .bind(Uuid::new_v4())
    .bind(user)
    .execute(db.pool())
    .await
    .unwrap();
    verifier
        .hear(&Delivery::new("evt_2", "created", NOW + 5, "vs_new").read())
        .await
        .unwrap();
    verifier
        .hear(&Delivery::new("evt_3", "verified", NOW + 2, "vs_old").read())
        .await
        .unwrap();
    assert_eq!(text(db.pool(), USERS).await, ["ada:verified"]);
}

#[tokio::test]
async fn what_is_no_statement_about_our_sessions_changes_nothing_and_is_kept_with_its_outcome() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let of = |id: &str| Delivery::new(id, "verified", NOW, "vs_1");
    let cases = [
        (
            of("evt_account").with("account", json!("acct_1")),
            Outcome::ForeignAccount,
        ),
        (
            of("evt_live").with("livemode", json!(true)),
            Outcome::WrongMode,
        ),
        (
            of("evt_live2").session("livemode", json!(true)),
            Outcome::WrongMode,
        ),
        (
            of("evt_other").with("type", json!("charge.succeeded")),
            Outcome::Ignored,
        ),
        (
            of("evt_timeless").with("created", json!("soon")),
            Outcome::Hint,
        ),
        (
            of("evt_contradiction").session("status", json!("processing")),
            Outcome::Hint,
        ),
        (
            of("evt_new").with("type", json!("identity.verification_session.paused")),
            Outcome::Hint,
        ),
        (
            of("evt_statusless").session("status", json!(7)),
            Outcome::Hint,
        ),
    ];
    for (delivery, outcome) in cases {
        assert_eq!(
            verifier.hear(&delivery.read()).await.unwrap(),
            Heard::New(outcome),
            "{delivery:?}"
        );
    }
    assert_eq!(text(db.pool(), SESSIONS).await, ["vs_1:unclaimed"]);
    assert_eq!(text(db.pool(), OUTCOMES).await.len(), 8);
    let due: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM verifications WHERE refresh_due_at > now() AND hinted = 4",
    )
    .fetch_one(db.pool())
    .await
    .unwrap();
    assert_eq!(
        due, 1,
        "the hints make Stripe be asked, once for all of them"
    );
}

#[tokio::test]
async fn a_report_counts_as_billed_whatever_else_is_said_with_it() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let contradiction = Delivery::new("evt_1", "verified", NOW, "vs_1")
        .session("status", json!("processing"))
        .reported("vr_1");
    let heard = verifier.hear(&contradiction.read()).await.unwrap();
    assert_eq!(heard, Heard::New(Outcome::Hint));
    let reports = "SELECT report_id FROM verification_reports";
    assert_eq!(text(db.pool(), reports).await, ["vr_1"]);
}

#[tokio::test]
async fn a_redaction_is_remembered_and_takes_no_verdict_away() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    let success = Delivery::new("evt_1", "verified", NOW, "vs_1").of_attempt(&attempt.to_string());
    let redacted = Delivery::new("evt_2", "redacted", NOW + 60, "vs_1")
        .session("redaction", json!({"status": "redacted"}))
        .session("last_verification_report", json!("[redacted]"));
    verifier.hear(&redacted.read()).await.unwrap();
    verifier.hear(&success.read()).await.unwrap();
    assert_eq!(text(db.pool(), USERS).await, ["ada:verified"]);
    let level = text(db.pool(), "SELECT redaction FROM verifications").await;
    assert_eq!(level, ["redacted"]);
}

#[tokio::test]
async fn a_demotion_is_shown_at_once_and_doubted() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let attempt = insert_attempt(db.pool(), "ada").await;
    let success = Delivery::new("evt_1", "verified", NOW, "vs_1").of_attempt(&attempt.to_string());
    verifier.hear(&success.read()).await.unwrap();
    let overridden = Delivery::new("evt_2", "requires_input", NOW + 60, "vs_1");
    verifier.hear(&overridden.read()).await.unwrap();
    assert_eq!(text(db.pool(), USERS).await, ["ada:requires_input"]);
    let doubted = text(
        db.pool(),
        "SELECT session_id FROM verifications WHERE doubt_since IS NOT NULL \
         AND refresh_due_at BETWEEN now() AND now() + interval '4 seconds'",
    )
    .await;
    assert_eq!(doubted, ["vs_1"]);
    let since: Vec<Option<chrono::DateTime<chrono::Utc>>> =
        sqlx::query_scalar("SELECT verified_at FROM users")
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(since, [None]);
}

#[tokio::test]
async fn a_stored_status_is_one_of_the_enums() {
    let db = TestDb::new().await;
    let listed = |constraint: &'static str| {
        let pool = db.pool().clone();
        async move {
            let text: String = sqlx::query_scalar(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1",
            )
            .bind(constraint)
            .fetch_one(&pool)
            .await
            .unwrap();
            let mut words: Vec<String> = text
                .split('\'')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            words.sort();
            words
        }
    };
    assert_eq!(
        listed("verifications_status_known").await,
        sorted(Status::ALL.map(Status::as_str))
    );
    assert_eq!(
        listed("users_status_known").await,
        sorted(UserStatus::ALL.map(UserStatus::as_str))
    );
    assert_eq!(
        listed("verifications_redaction_known").await,
        sorted(Redaction::ALL.map(Redaction::as_str))
    );
    assert_eq!(
        listed("verifications_client_known").await,
        sorted(Client::ALL.map(Client::as_str))
    );
    assert_eq!(
        listed("stripe_events_outcome_known").await,
        sorted(Outcome::ALL.map(Outcome::as_str))
    );
    assert_eq!(
        listed("outbox_type_known").await,
        sorted(MessageType::ALL.map(MessageType::as_str))
    );
}

fn sorted<const N: usize>(words: [&'static str; N]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.sort();
    words
}
