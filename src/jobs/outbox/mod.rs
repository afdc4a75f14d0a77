//! Delivers messages to the application's endpoints: at least once, each person's in order, for three days.

mod guard;
mod receiver;

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use reqwest::{Client, redirect::Policy};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::{
    guard::Guard,
    receiver::{Failure, Receiver},
};
use crate::{
    clock::Clock,
    config::EndpointsConfig,
    store::{self, ClaimedDelivery, Db, STATUS_CHANNEL, StoreError, Worker},
};

/// How often due messages are looked for where nobody says that there are any.
const EVERY: Duration = Duration::from_secs(1);
/// Before the database is asked again after it could not be.
const PAUSE: Duration = Duration::from_secs(1);
/// Claimed, and under way, at once.
const STEP: u8 = 32;
/// How long an endpoint may take to be connected to, and in all.
const CONNECT: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any delivery takes; a worker that died loses its claims at once.
const HOLD: Duration = Duration::from_mins(1);
/// Before each try but the first, in seconds: three days in all.
const DELAYS: [u64; 10] = [
    5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000,
];

/// Tells endpoints.
pub struct Outbox {
    receivers: BTreeMap<String, Receiver>,
    names: Vec<String>,
    http: Client,
    guard: Guard,
    clock: Clock,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("endpoints", &self.names)
            .finish_non_exhaustive()
    }
}

/// The endpoints cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The machine's own certificates cannot be used, most likely.
    #[error("the client that tells endpoints cannot be built")]
    Client(#[from] reqwest::Error),
    /// A secret of `WEBHOOK_ENDPOINTS`.
    #[error("a secret of WEBHOOK_ENDPOINTS is none: whsec_ and 24 random bytes or more in base64")]
    Secret,
}

impl Outbox {
    /// Made once.
    ///
    /// # Errors
    /// See [`OutboxError`].
    pub fn new(config: &EndpointsConfig, clock: Clock) -> Result<Self, OutboxError> {
        let guard = Guard::new(&config.allowed_networks);
        let http = Client::builder()
            .user_agent(concat!("Verigate/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(std::sync::Arc::new(guard.clone()))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()?;
        let mut receivers = BTreeMap::new();
        for endpoint in &config.all {
            let receiver = Receiver::new(endpoint).map_err(|_| OutboxError::Secret)?;
            receivers.insert(endpoint.name.clone(), receiver);
        }
        Ok(Self {
            names: receivers.keys().cloned().collect(),
            receivers,
            http,
            guard,
            clock,
        })
    }

    /// One step: delivers what is due, as far as it is the first of its person's. Gives how many messages that was.
    ///
    /// # Errors
    /// When the database cannot be asked; what was claimed is due again as soon as the worker is gone.
    pub async fn deliver_due(&self, db: &Db, worker: i32) -> Result<usize, StoreError> {
        let claimed = store::claim_deliveries(db, worker, &self.names, STEP.into(), HOLD).await?;
        let all = claimed.len();
        let mut done = stream::iter(claimed)
            .map(|delivery| self.deliver(db, worker, delivery))
            .buffer_unordered(STEP.into());
        let mut result = Ok(all);
        while let Some(one) = done.next().await {
            if let Err(error) = one {
                result = Err(error);
            }
        }
        result
    }

    async fn deliver(
        &self,
        db: &Db,
        worker: i32,
        delivery: ClaimedDelivery,
    ) -> Result<(), StoreError> {
        let Some(receiver) = self.receivers.get(&delivery.endpoint) else {
            return Ok(());
        };
        let message = &delivery.message;
        let told = receiver.tell(&self.http, &self.guard, message, self.clock.unix());
        let Err(failure) = told.await else {
            count(&delivery.endpoint, "delivered");
            return store::finish_delivery(db, worker, &delivery).await;
        };
        let tries = u32::try_from(delivery.tries).unwrap_or(0).saturating_add(1);
        let after = next_try(failure, tries, rand::random());
        let word = failure.word();
        if let Some(after) = after {
            count(&delivery.endpoint, "failed");
            tracing::warn!(
                endpoint = %delivery.endpoint, message = %message.name(), failure = %word, tries,
                again_in_s = after.as_secs(), "an endpoint did not take a message"
            );
        } else {
            count(&delivery.endpoint, "dead");
            tracing::error!(
                endpoint = %delivery.endpoint, message = %message.name(), failure = %word, tries,
                "a message is given up: see to the endpoint, then `verigate messages replay`"
            );
        }
        store::fail_delivery(db, worker, &delivery, &word, after).await
    }
}

/// Runs until `shutdown`; a step under way is finished first.
pub async fn run_outbox(outbox: Outbox, db: Db, shutdown: CancellationToken) {
    loop {
        let Err(error) = work(&outbox, &db, &shutdown).await else {
            return;
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "messages cannot be delivered; the worker goes on trying"
        );
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

async fn work(outbox: &Outbox, db: &Db, shutdown: &CancellationToken) -> Result<(), StoreError> {
    let mut worker = Worker::start(db).await?;
    let mut changes = store::listen(db, STATUS_CHANNEL).await?;
    while !shutdown.is_cancelled() {
        if !worker.is_alive().await {
            worker = Worker::start(db).await?;
        }
        // As long as there is something to do, nobody waits.
        while outbox.deliver_due(db, worker.id()).await? > 0 && !shutdown.is_cancelled() {}
        let (age, dead) = store::measure_deliveries(db).await?;
        metrics::gauge!("verigate_oldest_message_seconds").set(age);
        metrics::gauge!("verigate_dead_messages")
            .set(u32::try_from(dead).map_or(f64::MAX, f64::from));
        tokio::select! {
            () = shutdown.cancelled() => {}
            change = timeout(EVERY, changes.next()) => {
                if let Ok(change) = change {
                    change?;
                }
            }
        }
    }
    Ok(())
}

/// When to try again after so many tries; `None` is never. `chance` in 0..1 spreads those that failed together.
fn next_try(failure: Failure, tries: u32, chance: f64) -> Option<Duration> {
    if failure.is_final() {
        return None;
    }
    let delay = *DELAYS.get(usize::try_from(tries).ok()?.checked_sub(1)?)?;
    Some(Duration::from_secs(delay).mul_f64(0.8 + 0.4 * chance))
}

fn count(endpoint: &str, outcome: &'static str) {
    let endpoint = endpoint.to_owned();
    metrics::counter!("verigate_messages_total", "endpoint" => endpoint, "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tried_for_three_days_at_growing_distances() {
        let all: u64 = DELAYS.iter().sum();
        assert!((70 * 3600..=74 * 3600).contains(&all), "{all} s");
        assert!(DELAYS.is_sorted());
        let delay = |tries, chance| next_try(Failure::TimedOut, tries, chance);
        assert_eq!(delay(1, 0.5), Some(Duration::from_secs(5)));
        assert!(delay(2, 0.0) < delay(2, 0.9));
        assert!(delay(10, 0.0).is_some());
        assert_eq!(delay(11, 0.0), None);
    }

    #[test]
    fn an_endpoint_that_wants_nothing_any_more_is_not_asked_again() {
        assert_eq!(next_try(Failure::Gone, 1, 0.0), None);
        assert_ne!(next_try(Failure::Answered(404), 1, 0.0), None);
    }
}
