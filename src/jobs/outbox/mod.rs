//! Delivers messages to the application's endpoints: at least once, each person's in order, for three days.

mod guard;
mod receiver;

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Client, redirect::Policy};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::guard::NameServer;
use self::{
    guard::{Guard, system_names},
    receiver::{Failure, Receiver},
};
use super::courier::{self, Courier, HOLD, count};
use crate::{
    clock::Clock,
    config::EndpointsConfig,
    store::{self, Claimed, ClaimedDelivery, Db, Failed, StoreError},
};

/// Claimed, and under way, at once at one endpoint.
const HANDS: usize = 32;
/// Of the database's connections, how many all of them may use at once: the others are for people.
const CONNECTIONS: usize = 4;
/// How long an endpoint may take to be connected to, and in all.
const CONNECT: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells endpoints.
pub struct Outbox {
    receivers: BTreeMap<String, Receiver>,
    http: Client,
    guard: Guard,
    clock: Clock,
    connections: Semaphore,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("endpoints", &self.receivers.keys())
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
        Self::asking(system_names(), config, clock)
    }

    /// The same, with names looked up elsewhere. Where they lead is judged all the same.
    ///
    /// # Errors
    /// See [`OutboxError`].
    pub fn asking(
        names: NameServer,
        config: &EndpointsConfig,
        clock: Clock,
    ) -> Result<Self, OutboxError> {
        let guard = Guard::new(&config.allowed_networks, names);
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
            receivers,
            http,
            guard,
            clock,
            connections: Semaphore::new(CONNECTIONS),
        })
    }

    /// Each endpoint has one of its own, so that one that keeps everybody waiting keeps nobody waiting at another.
    fn rounds<'a>(&'a self, db: &'a Db) -> Vec<Round<'a>> {
        let endpoints = self.receivers.iter();
        endpoints
            .map(|(endpoint, receiver)| Round {
                outbox: self,
                db,
                endpoint,
                receiver,
            })
            .collect()
    }
}

/// What is delivered to one endpoint.
struct Round<'a> {
    outbox: &'a Outbox,
    db: &'a Db,
    endpoint: &'a str,
    receiver: &'a Receiver,
}

impl Courier for Round<'_> {
    fn hands(&self) -> usize {
        HANDS
    }

    async fn claim(&self, worker: i32, room: usize) -> Result<Claimed, StoreError> {
        let _turn = self.outbox.connections.acquire().await;
        store::claim_deliveries(self.db, worker, self.endpoint, room, HOLD).await
    }

    async fn deliver(&self, worker: i32, delivery: ClaimedDelivery) -> Result<(), StoreError> {
        let (outbox, message) = (self.outbox, &delivery.message);
        let now = outbox.clock.unix();
        let told = self
            .receiver
            .tell(&outbox.http, &outbox.guard, message, now);
        let told = told.await;
        let _turn = outbox.connections.acquire().await;
        let Err(failure) = told else {
            count(&delivery.endpoint, "delivered");
            return store::settle_delivery(self.db, worker, &delivery, None).await;
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
        let failed = Failed { word: &word, after };
        store::settle_delivery(self.db, worker, &delivery, Some(failed)).await
    }
}

/// Runs until `shutdown`; what is in hand is delivered first.
pub async fn run_outbox(outbox: Outbox, db: Db, shutdown: CancellationToken) {
    courier::run(&db, &shutdown, &outbox.rounds(&db)).await;
}

/// When to try again after so many tries; `None` is never. `chance` in 0..1 spreads those that failed together.
fn next_try(failure: Failure, tries: u32, chance: f64) -> Option<Duration> {
    if failure.is_final() {
        return None;
    }
    courier::delay(tries, chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_wants_nothing_any_more_is_not_asked_again() {
        assert_eq!(next_try(Failure::Gone, 1, 0.0), None);
        assert_ne!(next_try(Failure::Answered(404), 1, 0.0), None);
    }
}
