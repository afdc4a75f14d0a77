//! Deliveries as Stripe would write them, without the parts nobody reads.

use serde_json::{Value, json};
use verigate::stripe::event::{self, Event};

/// One event about one session.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    body: Value,
}

impl Delivery {
    /// An event of this kind, with the snapshot that belongs to it.
    pub(crate) fn new(id: &str, kind: &str, created: i64, session: &str) -> Self {
        let status = match kind {
            "created" => "requires_input",
            "redacted" => "verified",
            other => other,
        };
        Self {
            body: json!({
                "id": id, "object": "event", "type": format!("identity.verification_session.{kind}"),
                "created": created, "livemode": false, "api_version": "2026-07-29.dahlia",
                "data": {"object": {
                    "id": session, "object": "identity.verification_session", "created": 1,
                    "livemode": false, "status": status, "type": "document", "metadata": {},
                    "last_error": null, "last_verification_report": null, "redaction": null,
                    "client_reference_id": null,
                }},
            }),
        }
    }

    /// Changes a member of the event.
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.body[member] = value;
        self
    }

    /// Changes a member of the session.
    pub(crate) fn session(mut self, member: &str, value: Value) -> Self {
        self.body["data"]["object"][member] = value;
        self
    }

    /// The session names this attempt, as ours do.
    pub(crate) fn of_attempt(self, attempt: &str) -> Self {
        self.session("client_reference_id", json!(attempt))
            .session("metadata", json!({"verigate_attempt": attempt}))
    }

    pub(crate) fn failed(self, code: &str, report: &str) -> Self {
        self.session("last_error", json!({"code": code, "reason": "text"}))
            .reported(report)
    }

    pub(crate) fn reported(self, report: &str) -> Self {
        self.session("last_verification_report", json!(report))
    }

    /// As it comes over the wire.
    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.to_string().into_bytes()
    }

    /// Read as the webhook reads it.
    pub(crate) fn read(&self) -> Event {
        event::parse(self.body.to_string().as_bytes()).unwrap()
    }
}
