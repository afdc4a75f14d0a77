//! Events: made with a frozen snapshot, handed to the endpoints that want them.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat};
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::{
    DEFAULT_VERSION,
    delivery::Delivery,
    expand::Expand,
    ids,
    plan::{EventPlan, Fate},
    schedule::Job,
    shelf::Identified,
    time::second,
    world::{Endpoint, World},
};

const PREFIX: &str = "identity.verification_session.";
/// The one type that `*` does not stand for.
const BY_NAME_ONLY: &str = "identity.verification_session.redacted";
/// Between two deliveries sent in a chosen order, so that they arrive in it.
const STEP_MS: i64 = 60;

/// The call an event came from; empty when a person or the sandbox itself caused it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) request_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// An event and who still waits for it.
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) thin_id: String,
    pub(crate) kind: String,
    /// It is shown without its type.
    pub(crate) odd: bool,
    pub(crate) created: i64,
    pub(crate) session: String,
    pub(crate) snapshot: Value,
    pub(crate) cause: Cause,
    /// Endpoints that have not answered 2xx yet.
    pub(crate) waiting: BTreeSet<String>,
    /// Deliveries never tried yet.
    pub(crate) untried: usize,
}

impl Identified for Event {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Event {
    /// The snapshot event; an endpoint may have its own version.
    pub(crate) fn render(&self, version: Option<&str>) -> Value {
        json!({
            "id": self.id,
            "object": "event",
            "api_version": version.unwrap_or(DEFAULT_VERSION),
            "created": self.created,
            "data": { "object": self.snapshot },
            "livemode": false,
            "pending_webhooks": self.waiting.len(),
            "request": {
                "id": self.cause.request_id,
                "idempotency_key": self.cause.idempotency_key,
            },
            "type": (!self.odd).then_some(&self.kind),
        })
    }

    /// The thin event, which tells only where to look.
    pub(crate) fn render_thin(&self) -> Value {
        let created = DateTime::from_timestamp(self.created, 0).unwrap_or_default();
        let reason = self.cause.request_id.as_ref().map(|id| {
            let key = self.cause.idempotency_key.as_deref().unwrap_or_default();
            json!({ "type": "request", "request": { "id": id, "idempotency_key": key } })
        });
        json!({
            "id": self.thin_id,
            "object": "v2.core.event",
            "type": format!("v1.{}", self.kind),
            "livemode": false,
            "created": created.to_rfc3339_opts(SecondsFormat::Millis, true),
            "context": null,
            "reason": reason,
            "related_object": {
                "id": self.session,
                "type": "identity.verification_session",
                "url": format!("/v1/identity/verification_sessions/{}", self.session),
            },
            "snapshot_event": self.id,
        })
    }
}

impl Endpoint {
    fn wants(&self, kind: &str) -> bool {
        let by_star = kind != BY_NAME_ONLY && self.enabled_events.iter().any(|e| e == "*");
        !self.disabled && (by_star || self.enabled_events.iter().any(|e| e == kind))
    }
}

impl World {
    /// Makes the event `kind` (its last word) of a session and queues its deliveries.
    pub(crate) fn emit(&mut self, session: &str, kind: &str, cause: &Cause, now_ms: i64) {
        let kind = format!("{PREFIX}{kind}");
        let plan = self.faults.for_event(&kind);
        let Some(found) = self
            .sessions
            .find(session)
            .filter(|_| plan.fate != Fate::Lost)
        else {
            return;
        };
        let snapshot = self.render_session(found, &Expand::default(), now_ms);
        let before = self.last_event_second.filter(|_| plan.same_second);
        let created = before.unwrap_or_else(|| second(now_ms));
        self.last_event_second = Some(created);

        let id = ids::random(ids::ID_LENGTH);
        let wanted: BTreeSet<String> = self
            .endpoints
            .newest_first()
            .filter(|(_, endpoint)| endpoint.wants(&kind))
            .map(|(_, endpoint)| endpoint.id.clone())
            .collect();
        let event = Event {
            id: format!("evt_{id}"),
            thin_id: format!("evt_test_{id}"),
            kind,
            odd: plan.odd,
            created,
            session: session.to_owned(),
            snapshot,
            cause: cause.clone(),
            waiting: wanted.clone(),
            untried: 0,
        };
        let event_id = event.id.clone();
        self.events.insert(event);
        if plan.fate == Fate::Sent {
            self.queue_deliveries(&event_id, &wanted, &plan, now_ms);
        }
    }

    fn queue_deliveries(
        &mut self,
        event: &str,
        endpoints: &BTreeSet<String>,
        plan: &EventPlan,
        now_ms: i64,
    ) {
        let copies = plan.copies as usize + 1;
        let deliveries: Vec<Delivery> = endpoints
            .iter()
            .flat_map(|endpoint| std::iter::repeat_n(endpoint, copies))
            .map(|endpoint| Delivery {
                event: event.to_owned(),
                endpoint: endpoint.clone(),
                attempt: 1,
                thin: plan.thin,
                second_secret: plan.second_secret.clone().map(Into::into),
            })
            .collect();
        if let Some(event) = self.events.find_mut(event) {
            event.untried = deliveries.len();
        }
        if let Some(enough) = plan.shuffle {
            self.held_back.push(deliveries);
            if self.held_back.len() >= enough {
                self.release_held_back(now_ms);
            }
            return;
        }
        let due_ms = now_ms.saturating_add_unsigned(plan.delay_ms);
        for delivery in deliveries {
            self.schedule.add(due_ms, Job::Deliver(delivery));
        }
    }

    /// Sends what was held back, in any order but the one it happened in.
    pub(crate) fn release_held_back(&mut self, now_ms: i64) {
        let held = std::mem::take(&mut self.held_back);
        let mut order: Vec<usize> = (0..held.len()).collect();
        order.shuffle(&mut rand::rng());
        if order.is_sorted() {
            order.reverse();
        }
        let mut due_ms = now_ms;
        for index in order {
            for delivery in held.get(index).into_iter().flatten() {
                self.schedule.add(due_ms, Job::Deliver(delivery.clone()));
            }
            due_ms += STEP_MS;
        }
    }

    /// Takes the person out of every event of a session.
    pub(crate) fn redact_events(&mut self, session: &str, now_ms: i64) {
        let Some(found) = self.sessions.find(session) else {
            return;
        };
        let redacted = self.render_session(found, &Expand::default(), now_ms);
        for event in self.events.values_mut().filter(|e| e.session == session) {
            for member in ["metadata", "client_reference_id", "client_secret", "url"] {
                event.snapshot[member] = redacted[member].clone();
            }
        }
    }
}
