//! Delivers signed webhooks, retries them, and runs whatever else falls due.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::{Sandbox, ids, schedule::Job, world::World};
use crate::stripe::signature;

/// Receivers that hang must not hold up the others, and a storm must not open a thousand connections.
const AT_ONCE: usize = 16;
const MOST_RECORDS: usize = 5_000;
/// A clock that a test moves tells nobody, so time is looked at this often while something waits.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: u32 = 12;

/// One event on its way to one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) event: String,
    pub(crate) endpoint: String,
    /// Counts from 1.
    pub(crate) attempt: u32,
    pub(crate) thin: bool,
    pub(crate) second_secret: Option<SecretString>,
}

/// How a delivery went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    event: String,
    #[serde(rename = "type")]
    kind: String,
    endpoint: String,
    attempt: u32,
    at_ms: i64,
    /// What the receiver answered; null when it did not.
    status: Option<u16>,
    thin: bool,
}

/// A delivery made ready.
struct Parcel {
    url: Url,
    body: String,
    signature: String,
    timeout: Duration,
    kind: String,
}

/// Only this machine is ever delivered to.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    local && matches!(url.scheme(), "http" | "https")
}

/// Runs what falls due until told to stop.
pub(crate) async fn run(sandbox: Arc<Sandbox>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    // Dropping it at the end ends what is still under way.
    let mut sending = JoinSet::new();
    while !stop.is_cancelled() {
        while let Some(job) = next_job(&sandbox, permits.available_permits() > 0) {
            let Job::Deliver(delivery) = job else {
                continue;
            };
            let Ok(permit) = permits.clone().try_acquire_owned() else {
                break;
            };
            let sandbox = sandbox.clone();
            sending.spawn(async move {
                attempt(&sandbox, delivery).await;
                drop(permit);
                sandbox.wake.notify_one();
            });
        }
        while sending.try_join_next().is_some() {}
        let wait = time_to_next(&sandbox);
        tokio::select! {
            () = stop.cancelled() => {}
            () = sandbox.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Takes the next due job; what is no delivery is done right here.
fn next_job(sandbox: &Sandbox, may_deliver: bool) -> Option<Job> {
    let now_ms = sandbox.time.now_ms();
    let mut world = sandbox.world();
    let job = world.schedule.take_due(now_ms, may_deliver)?;
    world.do_now(&job, now_ms);
    Some(job)
}

fn time_to_next(sandbox: &Sandbox) -> Duration {
    match sandbox.world().schedule.next_due() {
        None => Duration::from_mins(1),
        Some(due_ms) => {
            let left = due_ms.saturating_sub(sandbox.time.now_ms()).max(1);
            Duration::from_millis(left.unsigned_abs()).min(LOOK_EVERY)
        }
    }
}

async fn attempt(sandbox: &Sandbox, delivery: Delivery) {
    let signed_at = sandbox.time.signing_second();
    let parcel = sandbox.world().pack(&delivery, signed_at);
    if let Some(parcel) = parcel {
        let kind = parcel.kind.clone();
        let status = sandbox.send(parcel).await;
        let now_ms = sandbox.time.now_ms();
        sandbox.world().note(&delivery, kind, status, now_ms);
    }
    if delivery.attempt == 1 {
        sandbox.world().tried(&delivery.event);
    }
    sandbox.tried.notify_waiters();
}

impl Sandbox {
    async fn send(&self, parcel: Parcel) -> Option<u16> {
        let sent = self
            .http
            .post(parcel.url)
            .timeout(parcel.timeout)
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", "Stripe/1.0 (Verigate sandbox)")
            .header("stripe-signature", parcel.signature)
            .body(parcel.body)
            .send()
            .await;
        sent.ok().map(|response| response.status().as_u16())
    }
}

impl World {
    /// Signs an event for an endpoint, unless one of them has gone meanwhile.
    fn pack(&self, delivery: &Delivery, signed_at: i64) -> Option<Parcel> {
        let endpoint = self.endpoints.find(&delivery.endpoint)?;
        let event = self.events.find(&delivery.event)?;
        let body = if delivery.thin {
            event.render_thin()
        } else {
            event.render(endpoint.api_version.as_deref())
        };
        let body = pretty(&body);
        let mut header = signature::sign(body.as_bytes(), &endpoint.secret, signed_at);
        if let Some(other) = &delivery.second_secret {
            // The other one comes first: a receiver that tries only one of them is found out.
            let both = signature::sign(body.as_bytes(), other, signed_at);
            let real = header.split_once(',').map_or("", |(_, real)| real);
            header = format!("{both},{real}");
        }
        // Stripe adds a fake scheme to test events; accepting it would be a hole.
        header.push_str(",v0=");
        header.push_str(&ids::random(64));
        Some(Parcel {
            url: endpoint.url.clone(),
            body,
            signature: header,
            timeout: Duration::from_millis(self.knobs.delivery_timeout_ms.into()),
            kind: event.kind.clone(),
        })
    }

    fn tried(&mut self, event: &str) {
        if let Some(event) = self.events.find_mut(event) {
            event.untried = event.untried.saturating_sub(1);
        }
    }

    /// Records how a delivery went, and queues the next try if there is one.
    fn note(&mut self, delivery: &Delivery, kind: String, status: Option<u16>, now_ms: i64) {
        if self.deliveries.len() >= MOST_RECORDS {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(Record {
            event: delivery.event.clone(),
            kind,
            endpoint: delivery.endpoint.clone(),
            attempt: delivery.attempt,
            at_ms: now_ms,
            status,
            thin: delivery.thin,
        });
        let arrived = status.is_some_and(|status| (200..300).contains(&status));
        if let Some(event) = self.events.find_mut(&delivery.event).filter(|_| arrived) {
            event.waiting.remove(&delivery.endpoint);
        }
        if arrived || delivery.attempt >= self.knobs.delivery_attempts {
            return;
        }
        let backoff = i64::from(self.knobs.retry_delay_ms)
            << delivery.attempt.saturating_sub(1).min(LONGEST_BACKOFF);
        let mut again = delivery.clone();
        again.attempt += 1;
        self.schedule.add(now_ms + backoff, Job::Deliver(again));
    }
}

/// Stripe sends its events indented, so a receiver that re-serialises before verifying fails here too.
fn pretty(body: &Value) -> String {
    serde_json::to_string_pretty(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_delivered_to() {
        for (url, ok) in [
            ("http://localhost:4242/webhook", true),
            ("http://127.0.0.1/webhook", true),
            ("http://127.8.8.8/webhook", true),
            ("http://[::1]:1/webhook", true),
            ("http://localhost.example/webhook", false),
            ("http://10.0.0.1/webhook", false),
            ("http://0.0.0.0/webhook", false),
            ("http://[::ffff:10.0.0.1]/webhook", false),
            ("file://localhost/etc", false),
            ("https://example.com/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), ok, "{url}");
        }
    }
}
