//! Calling a verification off, and having it erased.

use reqwest::Method;
use serde_json::json;

use super::{Api, answer};
use crate::support::eventually;

#[tokio::test]
async fn an_open_verification_is_called_off_and_stays_so() {
    let api = Api::start().await;
    let (attempt, session) = api.click("ada").await;
    let cancel = format!("/v1/verifications/{attempt}/cancel");
    for _ in 0..2 {
        let canceled = api.post(&cancel).await;
        assert_eq!(canceled.status, 200, "{canceled:?}");
        assert_eq!(canceled.body["id"], attempt.as_str());
        assert_eq!(canceled.body["status"], "canceled");
    }
    let person = api.get("/v1/users/ada").await.body;
    assert_eq!(person["status"], "canceled");
    let calls = api.world.sandbox.calls().await;
    let cancels = calls
        .iter()
        .filter(|call| call["path"].as_str().unwrap().ends_with("/cancel"));
    assert_eq!(cancels.count(), 1, "what is done is not asked for again");
    // The next click begins anew.
    let (next, other) = api.click("ada").await;
    assert!(next != attempt && other != session);
}

#[tokio::test]
async fn nothing_is_called_off_while_the_document_is_checked_nor_after_the_verdict() {
    let api = Api::start().await;
    api.world.stop_the_clockwork().await;
    let (attempt, session) = api.click("ada").await;
    let how = json!({ "case": "success_async" });
    // Our own row still says that the person is to act.
    api.world.act(&session, "outcome", &how).await;
    let refused = api
        .post(&format!("/v1/verifications/{attempt}/cancel"))
        .await;
    refused.is_problem(409, "verification_processing");
    // The refusal taught us the state, at the latest when a second has passed.
    eventually("the state is known", async || {
        let path = format!("/v1/verifications/{attempt}");
        (api.get(&path).await.body["status"] == "processing").then_some(())
    })
    .await;

    let (attempt, session) = api.click("bob").await;
    api.come_to(&session, "success").await;
    let refused = api
        .post(&format!("/v1/verifications/{attempt}/cancel"))
        .await;
    refused.is_problem(409, "verification_not_open");
}

#[tokio::test]
async fn an_erasure_asked_for_while_the_document_is_checked_is_accepted_and_done_later() {
    let api = Api::start().await;
    api.world.stop_the_clockwork().await;
    let (attempt, session) = api.click("ada").await;
    let how = json!({ "case": "success_async" });
    api.world.act(&session, "outcome", &how).await;
    let one = format!("/v1/verifications/{attempt}");
    assert_eq!(
        api.get(&one).await.body["redaction_requested_at"],
        json!(null)
    );
    let mut kept = Vec::new();
    for _ in 0..2 {
        let answer = api.post(&format!("{one}/redact")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.body["redaction"], "none");
        kept.push(answer.body["redaction_requested_at"].clone());
    }
    assert!(kept[0].is_string() && kept[0] == kept[1], "{kept:?}");
    api.world.act(&session, "finish", &json!({})).await;
    api.world.hear_all().await;
    eventually("it is erased by the running server", async || {
        (api.get(&one).await.body["redaction"] == "processing").then_some(())
    })
    .await;
    assert_eq!(api.get(&one).await.body["status"], "verified");
}

#[tokio::test]
async fn a_verdict_outlives_the_erasure_and_an_open_one_ends_with_it() {
    let api = Api::start().await;
    api.world.stop_the_clockwork().await;
    let (verified, session) = api.click("ada").await;
    api.come_to(&session, "success").await;
    let (open, _) = api.click("bob").await;
    for (attempt, status) in [(verified, "verified"), (open, "canceled")] {
        for _ in 0..2 {
            let redacted = api
                .post(&format!("/v1/verifications/{attempt}/redact"))
                .await;
            assert_eq!(redacted.status, 200, "{redacted:?}");
            assert_eq!(redacted.body["status"], status);
            assert_eq!(redacted.body["redaction"], "processing");
        }
    }
    assert_eq!(api.get("/v1/users/ada").await.body["status"], "verified");
}

#[tokio::test]
async fn stripe_away_is_503_with_a_time_and_the_call_can_be_repeated() {
    let api = Api::start().await;
    let (attempt, _) = api.click("ada").await;
    let cancel = format!("/v1/verifications/{attempt}/cancel");
    let fault = json!({ "path": "/v1/identity/verification_sessions/*/cancel", "kind": "error", "status": 500, "times": 0 });
    api.world.sandbox.fault(fault).await;
    let away = api.post(&cancel).await;
    away.is_problem(503, "stripe_unreachable");
    assert!(away.headers.contains_key("retry-after"));
    api.world.sandbox.clear_faults().await;
    assert_eq!(api.post(&cancel).await.body["status"], "canceled");
}

#[tokio::test]
async fn a_session_stripe_does_not_have_is_told_and_noted() {
    let api = Api::start().await;
    let (attempt, _) = api.click("ada").await;
    api.world.sandbox.control("/_reset", &json!({})).await;
    for act in ["cancel", "redact", "cancel"] {
        let gone = api
            .post(&format!("/v1/verifications/{attempt}/{act}"))
            .await;
        gone.is_problem(409, "verification_without_session");
    }
    let one = api.get(&format!("/v1/verifications/{attempt}")).await.body;
    assert_eq!(one["gone"], true);
}

async fn extra_attempts(api: &Api) -> i64 {
    sqlx::query_scalar("SELECT sum(extra_attempts)::bigint FROM users")
        .fetch_one(api.world.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn another_attempt_is_allowed_once_a_call_however_often_it_is_repeated() {
    let api = Api::start().await;
    let path = "/v1/users/ada/allow-attempt";
    api.post(path).await.is_problem(404, "not_found");
    api.create(&json!({ "user_id": "ada" })).await;
    for _ in 0..3 {
        let request = api
            .signed(Method::POST, path)
            .header("idempotency-key", "case-7");
        assert_eq!(answer(request).await.status, 204);
    }
    assert_eq!(extra_attempts(&api).await, 1);
    assert_eq!(api.post(path).await.status, 204);
    assert_eq!(extra_attempts(&api).await, 2);
    let other = api
        .signed(Method::POST, "/v1/verifications")
        .header("idempotency-key", "case-7");
    let other = answer(other.json(&json!({ "user_id": "ada" }))).await;
    other.is_problem(422, "idempotency_key_reused");
}
