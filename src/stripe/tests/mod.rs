//! Tests of the Stripe module, and what they share.

mod bucket;
mod client;
mod error;
mod event;
mod event_members;
mod event_properties;
mod form;
mod raw;
mod retry;
mod secrets;
mod signature;
mod types;

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::{Client, Settings};

/// Looks like a key, so that a search for it in logs is a fair one.
const KEY: &str = "sk_test_CanaryKey51H";

/// Settings that never make a test wait.
fn settings(base: &str) -> Settings {
    let mut settings = Settings::new(base.parse().unwrap(), KEY.into());
    settings.first_delay = Duration::ZERO;
    settings.longest_delay = Duration::ZERO;
    settings.timeout = Duration::from_mins(1);
    settings.person_patience = Duration::from_mins(2);
    settings.job_patience = Duration::from_mins(2);
    settings
}

fn client(server: &MockServer) -> Client {
    Client::new(settings(&server.uri())).unwrap()
}

/// Gives these answers in turn, the last one for ever.
struct InTurn(Mutex<VecDeque<ResponseTemplate>>);

impl Respond for InTurn {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers[0].clone()
        }
    }
}

async fn stripe_answering(answers: impl Into<VecDeque<ResponseTemplate>>) -> MockServer {
    let server = MockServer::start().await;
    let in_turn = InTurn(Mutex::new(answers.into()));
    Mock::given(any())
        .respond_with(in_turn)
        .mount(&server)
        .await;
    server
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn failing(status: u16, error: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": error }))
}

fn session() -> Value {
    json!({
        "id": "vs_1", "object": "identity.verification_session",
        "client_reference_id": "0198c0de", "client_secret": "vs_1_secret_CanarySecret",
        "created": 1_785_000_000, "last_error": null, "last_verification_report": null,
        "livemode": false, "metadata": {"verigate_attempt": "0198c0de"},
        "options": {"document": {"require_matching_selfie": true}}, "redaction": null,
        "related_customer": null, "related_customer_account": null,
        "status": "requires_input", "type": "document",
        "url": "https://verify.stripe.com/start/CanaryUrl"
    })
}

fn event() -> Value {
    json!({
        "id": "evt_1", "object": "event", "api_version": "2026-07-29.dahlia",
        "created": 1_785_000_101, "data": {"object": session()}, "livemode": false,
        "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null},
        "type": "identity.verification_session.created"
    })
}

fn thin_event() -> Value {
    json!({
        "id": "evt_test_8", "object": "v2.core.event",
        "type": "v1.identity.verification_session.verified", "livemode": false,
        "created": "2026-10-30T10:00:00.000Z", "context": null, "reason": null,
        "related_object": {
            "id": "vs_1", "type": "identity.verification_session",
            "url": "/v1/identity/verification_sessions/vs_1"
        },
        "snapshot_event": "evt_4"
    })
}

/// `value` with the member at `pointer` replaced.
fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(name.to_owned(), member);
    value
}
