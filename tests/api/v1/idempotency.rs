//! A creating call that is repeated makes nothing twice.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use verigate::domain::Scope;

use super::{Answer, Api, answer};

async fn create(api: &Api, key: &str, wanted: &Value) -> Answer {
    let request = api.signed(Method::POST, "/v1/verifications");
    answer(request.header("idempotency-key", key).json(wanted)).await
}

async fn hand_offs(api: &Api) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM hand_offs")
        .fetch_one(api.world.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_repeated_call_gets_the_same_hand_off_with_a_new_link() {
    let api = Api::start().await;
    let wanted = json!({ "user_id": "ada", "label": "Ada" });
    let first = create(&api, "order-1", &wanted).await;
    let again = create(&api, "order-1", &wanted).await;
    assert_eq!(
        (first.status, again.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert!(!first.headers.contains_key("idempotent-replayed"));
    for member in ["id", "user_id", "policy", "return_url"] {
        assert_eq!(first.body[member], again.body[member], "{member}");
    }
    assert_ne!(first.body["url"], again.body["url"]);
    assert_eq!(hand_offs(&api).await, 1);
    // The order of members is no other request.
    let turned = r#"{"label":"Ada","user_id":"ada"}"#;
    let request = api.signed(Method::POST, "/v1/verifications");
    let request = request
        .header("content-type", "application/json")
        .header("idempotency-key", "order-1");
    let turned = answer(request.body(turned)).await;
    assert_eq!(turned.body["id"], first.body["id"]);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused_and_another_callers_key_is_its_own() {
    let mut api = Api::start().await;
    let first = create(&api, "order-1", &json!({ "user_id": "ada" })).await;
    let other = create(&api, "order-1", &json!({ "user_id": "bob" })).await;
    other.is_problem(422, "idempotency_key_reused");
    api.key = api.key_for(&Scope::ALL).await;
    let elsewhere = create(&api, "order-1", &json!({ "user_id": "bob" })).await;
    assert_eq!(elsewhere.status, StatusCode::CREATED);
    assert_ne!(elsewhere.body["id"], first.body["id"]);
}

#[tokio::test]
async fn fifty_calls_at_once_make_one_hand_off() {
    let api = Api::start().await;
    let wanted = json!({ "user_id": "ada" });
    let answers = join_all((0..50).map(|_| create(&api, "order-1", &wanted))).await;
    for answer in &answers {
        match answer.status.as_u16() {
            201 => assert_eq!(answer.body["user_id"], "ada"),
            // A slow machine turns some of a crowd away for now.
            503 => answer.is_problem(503, "unavailable"),
            _ => answer.is_problem(409, "idempotency_key_in_use"),
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 201));
    assert_eq!(hand_offs(&api).await, 1);
}

#[tokio::test]
async fn a_call_that_died_can_be_repeated_when_its_lease_is_over() {
    let api = Api::start().await;
    let wanted = json!({ "user_id": "ada" });
    create(&api, "order-1", &wanted).await;
    // As a process leaves it that was killed before it had made anything.
    let pool = api.world.db.pool();
    for died in [
        "DELETE FROM hand_offs",
        "UPDATE idempotency_keys SET resource_id = NULL",
    ] {
        sqlx::query(died).execute(pool).await.unwrap();
    }
    create(&api, "order-1", &wanted)
        .await
        .is_problem(409, "idempotency_key_in_use");
    let over = "UPDATE idempotency_keys SET lease_until = now() - interval '1 second'";
    sqlx::query(over).execute(pool).await.unwrap();
    let other = json!({ "user_id": "bob" });
    create(&api, "order-1", &other)
        .await
        .is_problem(422, "idempotency_key_reused");
    let repeated = create(&api, "order-1", &wanted).await;
    assert_eq!(repeated.status, StatusCode::CREATED);
    let replayed = create(&api, "order-1", &wanted).await;
    assert_eq!(replayed.body["id"], repeated.body["id"]);
}

#[tokio::test]
async fn a_call_that_failed_leaves_its_key_free() {
    let api = Api::start().await;
    let pool = api.world.db.pool();
    let hide = "ALTER TABLE hand_offs RENAME TO elsewhere";
    sqlx::query(hide).execute(pool).await.unwrap();
    let wanted = json!({ "user_id": "ada" });
    create(&api, "order-1", &wanted)
        .await
        .is_problem(500, "internal");
    let back = "ALTER TABLE elsewhere RENAME TO hand_offs";
    sqlx::query(back).execute(pool).await.unwrap();
    assert_eq!(
        create(&api, "order-1", &wanted).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let api = Api::start().await;
    let wanted = json!({ "user_id": "ada" });
    let first = create(&api, "order-1", &wanted).await;
    let pool = api.world.db.pool();
    let age = "UPDATE idempotency_keys SET created_at = now() - interval '25 hours'";
    sqlx::query(age).execute(pool).await.unwrap();
    let anew = create(&api, "order-1", &json!({ "user_id": "bob" })).await;
    assert_eq!(anew.status, StatusCode::CREATED);
    assert_ne!(anew.body["id"], first.body["id"]);
}

#[tokio::test]
async fn a_link_that_was_followed_is_not_replaced() {
    let api = Api::start().await;
    let wanted = json!({ "user_id": "ada" });
    create(&api, "order-1", &wanted).await;
    sqlx::query("UPDATE hand_offs SET spent_at = now()")
        .execute(api.world.db.pool())
        .await
        .unwrap();
    create(&api, "order-1", &wanted)
        .await
        .is_problem(409, "hand_off_used");
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let api = Api::start().await;
    let wanted = json!({ "user_id": "ada" });
    for odd in ["", " ", "a b", "\u{e4}", &"x".repeat(256)] {
        let refused = create(&api, odd, &wanted).await;
        refused.is_problem(422, "invalid_parameter");
        assert_eq!(refused.body["member"], "Idempotency-Key");
    }
    let request = api.signed(Method::POST, "/v1/verifications");
    let twice = request
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    answer(twice.json(&wanted))
        .await
        .is_problem(422, "invalid_parameter");
    assert_eq!(hand_offs(&api).await, 0);
}
