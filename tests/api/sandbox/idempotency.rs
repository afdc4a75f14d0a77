//! What a second call with the same `Idempotency-Key` gets.

use serde_json::json;

use super::support::{SESSIONS, TestSandbox, id};
use crate::support::eventually;

const KEY: [(&str, &str); 1] = [("idempotency-key", "one")];
const FORM: &str = "type=document&metadata[a]=1";

#[tokio::test]
async fn the_first_answer_is_replayed_for_a_day() {
    let sandbox = TestSandbox::start().await;
    let first = sandbox.post_with(SESSIONS, FORM, &KEY).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let reordered = "metadata%5Ba%5D=1&type=document";
    let second = sandbox.post_with(SESSIONS, reordered, &KEY).await;
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(second.headers["idempotency-key"], "one");
    assert_eq!(second.body, first.body);
    let calls = sandbox.calls().await;
    assert_eq!(calls[1]["replayed"], true);

    sandbox
        .control("/_advance", &json!({ "seconds": 86_400 }))
        .await;
    let third = sandbox.post_with(SESSIONS, FORM, &KEY).await;
    assert_eq!(third.status, 200);
    assert_ne!(id(&third.body), id(&first.body));
}

#[tokio::test]
async fn other_parameters_conflict_and_refused_parameters_are_not_kept() {
    let sandbox = TestSandbox::start().await;
    let wrong = sandbox.post_with(SESSIONS, "type=nonsense", &KEY).await;
    assert_eq!(wrong.status, 400);
    let first = sandbox.post_with(SESSIONS, FORM, &KEY).await;
    assert_eq!(first.status, 200);
    let other = sandbox.post_with(SESSIONS, "type=id_number", &KEY).await;
    assert_eq!(other.error(), (400, "idempotency_error", "", ""));
    let cancel = format!("{SESSIONS}/{}/cancel", id(&first.body));
    let elsewhere = sandbox.post_with(&cancel, FORM, &KEY).await;
    assert_eq!(elsewhere.error().1, "idempotency_error");
}

#[tokio::test]
async fn a_refusal_that_ran_is_kept() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    sandbox.outcome(&session, "success_async").await;
    let cancel = format!("{SESSIONS}/{}/cancel", id(&session));
    assert_eq!(sandbox.post_with(&cancel, "", &KEY).await.status, 400);
    let again = sandbox.post_with(&cancel, "", &KEY).await;
    assert_eq!(again.status, 400);
    assert_eq!(again.headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn a_stored_500_is_replayed_whether_or_not_it_had_an_effect() {
    let sandbox = TestSandbox::start().await;
    for (when, effects) in [("before", 0), ("after", 1)] {
        let fault = json!({ "kind": "error", "status": 500, "when": when, "path": SESSIONS });
        sandbox.fault(fault).await;
        let key = [("idempotency-key", when)];
        for _ in 0..2 {
            let answer = sandbox.post_with(SESSIONS, FORM, &key).await;
            assert_eq!(answer.error(), (500, "api_error", "", ""), "{when}");
        }
        let sessions = sandbox.get("/_sessions").await.body;
        assert_eq!(sessions["sessions"].as_array().unwrap().len(), effects);
    }
}

#[tokio::test]
async fn while_the_first_call_runs_its_key_is_in_use() {
    let sandbox = TestSandbox::start().await;
    // It lasts until the faults are cleared.
    sandbox
        .fault(json!({ "kind": "latency", "ms": 600_000, "path": SESSIONS }))
        .await;
    let url = format!("{}{SESSIONS}", sandbox.base);
    let first = sandbox
        .http
        .post(url)
        .bearer_auth("sk_test_any")
        .header("idempotency-key", "one")
        .form(&[("type", "document"), ("metadata[a]", "1")]);
    let first = tokio::spawn(first.send());
    eventually("the first call", async || {
        let calls = sandbox.calls().await;
        calls
            .iter()
            .find(|call| call["progress"] == "running")
            .cloned()
    })
    .await;
    let second = sandbox.post_with(SESSIONS, FORM, &KEY).await;
    assert_eq!(second.status, 409);
    assert_eq!(second.error().2, "idempotency_key_in_use");
    sandbox.clear_faults().await;
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    let replayed = sandbox.post_with(SESSIONS, FORM, &KEY).await;
    assert_eq!(replayed.headers["idempotent-replayed"], "true");
}
