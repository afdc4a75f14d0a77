//! Calls that fail on request.

use chrono::{DateTime, Utc};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::support::{SESSIONS, TestSandbox, id};
use crate::support::eventually;
use verigate::clock::Clock;

/// A wait that ends only when the faults are cleared.
const FOREVER: &str =
    r#"{"kind":"latency","ms":600000,"path":"/v1/identity/verification_sessions"}"#;

async fn sessions(sandbox: &TestSandbox) -> usize {
    let truth = sandbox.get("/_sessions").await.body;
    truth["sessions"].as_array().unwrap().len()
}

/// The newest call with this method.
async fn call(sandbox: &TestSandbox, method: &str) -> Option<Value> {
    let calls = sandbox.calls().await;
    calls.into_iter().find(|call| call["method"] == method)
}

/// A caller that waits for the answer until it is stopped.
fn create_and_wait(sandbox: &TestSandbox) -> JoinHandle<reqwest::Result<Response>> {
    let call = sandbox.request(Method::POST, SESSIONS);
    tokio::spawn(call.form(&[("type", "document")]).send())
}

#[tokio::test]
async fn errors_come_before_or_after_the_effect_as_often_as_asked() {
    let sandbox = TestSandbox::start().await;
    let fault = json!({
        "kind": "error", "status": 429, "reason": "global-concurrency",
        "path": SESSIONS, "method": "POST", "times": 2,
    });
    sandbox.fault(fault).await;
    for _ in 0..2 {
        let limited = sandbox.post(SESSIONS, "type=document").await;
        assert_eq!(
            limited.error(),
            (429, "invalid_request_error", "rate_limit", "")
        );
        assert_eq!(
            limited.headers["stripe-rate-limited-reason"],
            "global-concurrency"
        );
    }
    assert_eq!(sessions(&sandbox).await, 0);
    sandbox.create().await;

    let fault = json!({ "kind": "error", "status": 409, "when": "after", "path": SESSIONS });
    sandbox.fault(fault).await;
    let key = [("idempotency-key", "one")];
    let conflict = sandbox.post_with(SESSIONS, "type=document", &key).await;
    assert_eq!(conflict.status, 409);
    assert_eq!(sessions(&sandbox).await, 2);
    let retried = sandbox.post_with(SESSIONS, "type=document", &key).await;
    assert_eq!(retried.headers["idempotent-replayed"], "true");
    assert_eq!(retried.status, 200);
    assert_eq!(sessions(&sandbox).await, 2);
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_effect() {
    let sandbox = TestSandbox::start().await;
    for (when, effects) in [("before", 0), ("after", 1)] {
        sandbox
            .fault(json!({ "kind": "cut", "when": when, "path": SESSIONS }))
            .await;
        let call = sandbox
            .request(Method::POST, SESSIONS)
            .form(&[("type", "document")]);
        let error = call.send().await.unwrap_err();
        assert!(!error.is_timeout(), "{error:?}");
        assert_eq!(sessions(&sandbox).await, effects, "{when}");
    }
    let calls = sandbox.calls().await;
    assert_eq!(calls[0]["progress"], "cut");
    assert_eq!(calls[0]["status"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_call_is_never_answered_yet_has_its_effect() {
    let sandbox = TestSandbox::start().await;
    sandbox
        .fault(json!({ "kind": "timeout", "when": "after", "path": SESSIONS }))
        .await;
    let waiting = create_and_wait(&sandbox);
    eventually("the effect", async || {
        let held = call(&sandbox, "POST").await?["progress"] == "held";
        (held && sessions(&sandbox).await == 1).then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_undo_what_it_asked_for() {
    let sandbox = TestSandbox::start().await;
    sandbox.fault(FOREVER.parse().unwrap()).await;
    let waiting = create_and_wait(&sandbox);
    eventually("the call", async || call(&sandbox, "POST").await).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(sessions(&sandbox).await, 0);
    sandbox.clear_faults().await;
    eventually("the effect", async || {
        (sessions(&sandbox).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_read_tells_what_was_true_when_it_was_asked() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    let path = format!("{SESSIONS}/{}", id(&session));
    sandbox
        .fault(json!({ "kind": "latency", "when": "after", "ms": 600_000, "path": path }))
        .await;
    let reading = tokio::spawn(sandbox.request(Method::GET, &path).send());
    eventually("the read", async || {
        let read = call(&sandbox, "GET").await?;
        (read["executed"] == true && read["progress"] == "running").then_some(())
    })
    .await;
    sandbox.outcome(&session, "success").await;
    sandbox.clear_faults().await;
    let read = reading.await.unwrap().unwrap().text().await.unwrap();
    assert!(read.contains("\"requires_input\""), "{read}");
    assert_eq!(sandbox.get(&path).await.body["status"], "verified");
}

#[tokio::test]
async fn the_date_follows_the_sandboxs_clock_and_can_be_skewed() {
    let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let sandbox = TestSandbox::with_clock(Clock::fixed(start)).await;
    let date = async || {
        let answer = sandbox.get(SESSIONS).await;
        let date = DateTime::parse_from_rfc2822(&answer.headers["date"]).unwrap();
        (date.with_timezone(&Utc) - start).num_seconds()
    };
    assert_eq!(date().await, 0);
    sandbox
        .fault(json!({ "kind": "skew_date", "seconds": -5 }))
        .await;
    assert_eq!(date().await, -5);
    assert_eq!(date().await, 0);
    sandbox
        .control("/_advance", &json!({ "seconds": 100 }))
        .await;
    assert_eq!(date().await, 100);
    assert_eq!(sandbox.create().await["created"], 1_790_000_100);
}

#[tokio::test]
async fn pages_and_scripts_fail_when_they_are_named() {
    let sandbox = TestSandbox::start().await;
    let status = async |path: &str| {
        let request = sandbox.http.get(format!("{}{path}", sandbox.base));
        request.send().await.map(|answer| answer.status().as_u16())
    };
    sandbox.fault(json!({ "kind": "cut", "times": 0 })).await;
    assert_eq!(status("/stripe.js").await.unwrap(), 200);
    sandbox.clear_faults().await;
    sandbox
        .fault(json!({ "kind": "cut", "path": "/stripe.js" }))
        .await;
    assert!(status("/stripe.js").await.is_err());
    sandbox
        .fault(json!({ "kind": "error", "status": 503, "path": "/start/*" }))
        .await;
    assert_eq!(status("/start/x").await.unwrap(), 503);
    assert_eq!(status("/start/x").await.unwrap(), 410);
}

#[tokio::test]
async fn an_error_can_say_whether_to_try_again() {
    let sandbox = TestSandbox::start().await;
    let fault = json!({ "kind": "error", "status": 429, "should_retry": false });
    sandbox.fault(fault).await;
    let answer = sandbox.get(SESSIONS).await;
    assert_eq!(answer.headers["stripe-should-retry"], "false");
}

#[tokio::test]
async fn faults_are_listed_cleared_and_refused_when_they_make_no_sense() {
    let sandbox = TestSandbox::start().await;
    sandbox.fault(json!({ "kind": "cut", "times": 0 })).await;
    let listed = sandbox.get("/_faults").await.body;
    assert_eq!(listed["faults"][0]["kind"], "cut");
    sandbox.clear_faults().await;
    assert_eq!(sandbox.get(SESSIONS).await.status, 200);

    let post = async |content_type: &'static str, body: &'static str| {
        let url = format!("{}/_faults", sandbox.base);
        let request = sandbox
            .http
            .post(url)
            .header("content-type", content_type)
            .body(body);
        request.send().await.unwrap().status().as_u16()
    };
    let json = "application/json";
    assert_eq!(post(json, r#"{"kind":"unheard_of"}"#).await, 400);
    assert_eq!(post(json, r#"{"kind":"error"}"#).await, 400);
    assert_eq!(
        post(json, r#"{"kind":"drop","path":"/v1/events"}"#).await,
        400
    );
    // A form of a page elsewhere needs no permission to be sent, so it gets none.
    assert_eq!(post("text/plain", r#"{"kind":"cut"}"#).await, 400);
}
