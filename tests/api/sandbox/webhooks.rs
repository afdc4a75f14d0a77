//! Signed deliveries, and everything that can happen to them.

use serde_json::json;

use super::support::{Receiver, SECRET, SESSIONS, TestSandbox, id};
use crate::support::eventually;

const ALL: [&str; 1] = ["*"];

#[tokio::test]
async fn every_change_is_delivered_signed() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    let endpoint = sandbox.register(&receiver, &ALL).await;
    assert_eq!(endpoint["secret"], SECRET);
    let session = sandbox.create().await;
    receiver.wait_for(1).await;
    sandbox.outcome(&session, "success_async").await;
    receiver.wait_for(2).await;
    let finish = format!("/_sessions/{}/finish", id(&session));
    sandbox.control(&finish, &json!({})).await;
    let arrived = receiver.wait_for(3).await;
    assert_eq!(receiver.kinds(), ["created", "processing", "verified"]);
    for delivered in &arrived {
        assert!(delivered.is_signed_with(SECRET));
        assert!(!delivered.is_signed_with("whsec_other"));
        assert!(delivered.signature.contains(",v0="));
        assert_eq!(delivered.event()["api_version"], "2026-07-29.dahlia");
        assert_eq!(delivered.event()["data"]["object"]["id"], id(&session));
    }
    assert!(arrived[0].event()["request"]["id"].is_string());
    eventually("all delivered", async || {
        let open = sandbox.get("/v1/events?delivery_success=false").await.body;
        open["data"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redaction_is_told_only_to_who_asked_for_it_by_name() {
    let sandbox = TestSandbox::start().await;
    let (star, named) = (Receiver::start().await, Receiver::start().await);
    sandbox.register(&star, &ALL).await;
    sandbox
        .register(&named, &["identity.verification_session.redacted"])
        .await;
    let session = sandbox.create().await;
    sandbox
        .post(&format!("{SESSIONS}/{}/redact", id(&session)), "")
        .await;
    let finish = format!("/_sessions/{}/finish", id(&session));
    sandbox.control(&finish, &json!({})).await;
    named.wait_for(1).await;
    star.wait_for(2).await;
    assert_eq!(named.kinds(), ["redacted"]);
    let mut kinds = star.kinds();
    kinds.sort();
    assert_eq!(kinds, ["canceled", "created"]);
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_with_a_new_signature() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    receiver.answer_next(&[500, 302]);
    sandbox.create().await;
    receiver.wait_for(1).await;
    let failed = sandbox.get("/v1/events?delivery_success=false").await.body;
    assert_eq!(failed["data"].as_array().unwrap().len(), 1);
    assert_eq!(failed["data"][0]["pending_webhooks"], 1);
    for count in [2, 3] {
        // Nobody waits for the backoff: the sandbox's time is moved past it.
        eventually("the next try", async || {
            sandbox
                .control("/_advance", &json!({ "seconds": 60 }))
                .await;
            (receiver.arrived().len() >= count).then_some(())
        })
        .await;
    }
    let arrived = receiver.arrived();
    assert_eq!(arrived[0].event()["id"], arrived[2].event()["id"]);
    assert!(
        arrived
            .iter()
            .all(|delivered| delivered.is_signed_with(SECRET))
    );
    let tries = eventually("the record", async || {
        let records = sandbox.get("/_deliveries").await.body;
        let tries = records["deliveries"].as_array().unwrap().clone();
        (tries.len() == 3).then_some(tries)
    })
    .await;
    let statuses: Vec<_> = tries
        .iter()
        .map(|t| t["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [500, 302, 200]);
}

#[tokio::test]
async fn only_this_machine_can_be_registered() {
    let sandbox = TestSandbox::start().await;
    let form = "url=https://example.com/webhook&enabled_events[]=*";
    let refused = sandbox.post("/v1/webhook_endpoints", form).await;
    assert_eq!(refused.error().2, "url_invalid");
}

#[tokio::test]
async fn a_receiver_from_the_start_hears_everything_also_after_a_reset() {
    let receiver = Receiver::start().await;
    let sandbox = TestSandbox::with_receiver(&receiver).await;
    let session = sandbox.create().await;
    receiver.wait_for(1).await;
    let path = format!("{SESSIONS}/{}/redact", id(&session));
    sandbox.post(&path, "").await;
    let finish = format!("/_sessions/{}/finish", id(&session));
    sandbox.control(&finish, &json!({})).await;
    receiver.wait_for(3).await;
    assert!(receiver.kinds().contains(&"redacted".to_owned()));
    sandbox.control("/_reset", &json!({})).await;
    sandbox.create().await;
    assert_eq!(receiver.wait_for(4).await[3].kind(), "created");
}

#[tokio::test]
async fn a_receiver_elsewhere_keeps_the_sandbox_from_starting() {
    let base: url::Url = "http://localhost:1".parse().unwrap();
    let mut settings = verigate::sandbox::Settings::new(base, verigate::clock::Clock::system());
    settings.webhook = Some(verigate::sandbox::Webhook {
        url: "http://192.0.2.1/webhook".parse().unwrap(),
        secret: SECRET.to_owned().into(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let never = std::future::pending::<()>();
    let refused = verigate::sandbox::serve(listener, settings, never).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("this machine only")
    );
}

#[tokio::test]
async fn an_endpoint_is_listed_changed_and_deleted_without_its_secret() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    let endpoint = sandbox.register(&receiver, &ALL).await;
    let path = format!("/v1/webhook_endpoints/{}", id(&endpoint));
    let listed = sandbox.get("/v1/webhook_endpoints").await;
    assert_eq!(listed.body["data"][0]["id"], endpoint["id"]);
    assert!(!listed.text.contains(SECRET));
    let disabled = sandbox.post(&path, "disabled=true").await.body;
    assert_eq!(disabled["status"], "disabled");
    sandbox.create().await;
    let deleted = sandbox.delete(&path).await.body;
    assert_eq!(deleted["deleted"], true);
    assert_eq!(sandbox.get(&path).await.status, 404);
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn deliveries_can_be_duplicated_delayed_and_dropped() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    sandbox
        .fault(json!({ "kind": "duplicate", "count": 2 }))
        .await;
    sandbox.create().await;
    let copies = receiver.wait_for(3).await;
    let ids: std::collections::BTreeSet<_> =
        copies.iter().map(|c| c.event()["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);

    sandbox.fault(json!({ "kind": "drop" })).await;
    sandbox.create().await;
    sandbox
        .fault(json!({ "kind": "delay", "ms": 3_600_000 }))
        .await;
    let late = sandbox.create().await;
    let last = sandbox.create().await;
    let seen = |arrived: &[super::support::Delivered], session: &serde_json::Value| {
        let found =
            |d: &super::support::Delivered| d.event()["data"]["object"]["id"] == session["id"];
        arrived.iter().any(found)
    };
    let arrived = receiver.wait_for(4).await;
    assert!(seen(&arrived, &last) && !seen(&arrived, &late));
    sandbox
        .control("/_advance", &json!({ "seconds": 3_600 }))
        .await;
    let arrived = receiver.wait_for(5).await;
    assert!(seen(&arrived, &late));
    let undelivered = sandbox.get("/v1/events?delivery_success=false").await.body;
    assert_eq!(undelivered["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn held_back_deliveries_arrive_in_another_order() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    sandbox
        .fault(json!({ "kind": "shuffle", "count": 3 }))
        .await;
    let session = sandbox.create().await;
    sandbox.outcome(&session, "failure").await;
    assert_eq!(sandbox.get("/_deliveries").await.body["held_back"], 2);
    sandbox.outcome(&session, "success").await;
    let arrived = receiver.wait_for(3).await;
    let order: Vec<_> = arrived
        .iter()
        .map(super::support::Delivered::kind)
        .collect();
    assert_ne!(order, ["created", "requires_input", "verified"]);
    sandbox.create().await;
    receiver.wait_for(4).await;
}

#[tokio::test]
async fn two_events_can_share_a_second_that_was_not_theirs() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    sandbox
        .control("/_advance", &json!({ "seconds": 100 }))
        .await;
    sandbox
        .fault(json!({ "kind": "same_second", "event": "verified" }))
        .await;
    sandbox.outcome(&session, "success").await;
    let events = sandbox.get("/v1/events").await.body;
    assert_eq!(
        events["data"][0]["type"],
        "identity.verification_session.verified"
    );
    assert_eq!(events["data"][0]["created"], events["data"][1]["created"]);
}

#[tokio::test]
async fn an_event_can_be_lost_for_good() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    sandbox
        .fault(json!({ "kind": "event_lost", "event": "verified" }))
        .await;
    let session = sandbox.create().await;
    sandbox.outcome(&session, "success").await;
    let truth = sandbox
        .get(&format!("/_sessions/{}", id(&session)))
        .await
        .body;
    assert_eq!(truth["status"], "verified");
    let events = sandbox.get("/v1/events").await.body;
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    assert_eq!(receiver.wait_for(1).await.len(), 1);
}

#[tokio::test]
async fn a_delivery_can_be_signed_with_two_secrets_or_be_thin() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    let faults = json!({ "faults": [
        { "kind": "two_secrets", "secret": "whsec_old" },
        { "kind": "thin" },
    ] });
    sandbox.control("/_faults", &faults).await;
    let session = sandbox.create().await;
    let delivered = &receiver.wait_for(1).await[0];
    assert!(delivered.is_signed_with(SECRET));
    assert!(delivered.is_signed_with("whsec_old"));
    assert_eq!(delivered.signature.matches("v1=").count(), 2);
    let event = delivered.event();
    assert_eq!(event["object"], "v2.core.event");
    assert_eq!(event["type"], "v1.identity.verification_session.created");
    assert_eq!(event["related_object"]["id"], id(&session));
    assert!(event.get("data").is_none());
    let full = sandbox
        .get(&format!("/v2/core/events/{}", id(&event)))
        .await;
    assert_eq!(full.body, event);
}

#[tokio::test]
async fn a_webhook_can_arrive_before_the_create_is_answered() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    sandbox
        .fault(json!({ "kind": "webhook_first", "path": SESSIONS }))
        .await;
    let session = sandbox.create().await;
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].event()["data"]["object"]["id"], session["id"]);
}

#[tokio::test]
async fn an_event_can_be_delivered_once_more() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    sandbox.create().await;
    let first = receiver.wait_for(1).await[0].event();
    sandbox
        .post(&format!("/v1/events/{}/retry", id(&first)), "")
        .await;
    assert_eq!(id(&receiver.wait_for(2).await[1].event()), id(&first));
}

#[tokio::test]
async fn a_reviewer_can_override_a_verdict_and_take_it_back() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    let path = format!("/_sessions/{}/override", id(&session));
    let early = sandbox
        .http
        .post(format!("{}{path}", sandbox.base))
        .header("content-type", "application/json")
        .body(r#"{"status":"verified"}"#);
    assert_eq!(early.send().await.unwrap().status(), 409);
    sandbox.outcome(&session, "success").await;
    let demote = json!({ "status": "requires_input", "code": "selfie_manipulated" });
    let demoted = sandbox.control(&path, &demote).await;
    assert_eq!(demoted["session"]["last_error"], "selfie_manipulated");
    sandbox
        .control(&path, &json!({ "status": "verified" }))
        .await;
    let events = sandbox.get("/v1/events").await.body;
    let kinds: Vec<_> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["data"]["object"]["status"].clone())
        .collect();
    assert_eq!(
        kinds,
        ["verified", "requires_input", "verified", "requires_input"]
    );
}

#[tokio::test]
async fn async_cases_end_by_themselves() {
    let (sandbox, receiver) = (TestSandbox::start().await, Receiver::start().await);
    sandbox.register(&receiver, &ALL).await;
    sandbox
        .control("/_settings", &json!({ "async_delay_ms": 50 }))
        .await;
    let session = sandbox.create().await;
    receiver.wait_for(1).await;
    let processing = sandbox.outcome(&session, "failure_async").await;
    assert_eq!(processing["session"]["status"], "processing");
    receiver.wait_for(3).await;
    assert_eq!(receiver.kinds()[2], "requires_input");
}
