//! The keys that an issuer publishes: fetched when they are needed, kept for a while, never fetched in a storm.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{StatusCode, header::ACCEPT};
use tokio::sync::Mutex as Gate;
use url::{Host, Url};

use super::keys::KeySet;
use crate::{causes::causes, clock::Clock};

/// A person waits for it.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Far more than any issuer publishes.
const LIMIT: usize = 256 * 1024;
/// How long keys are taken without asking again; a key that is withdrawn is believed for so long.
const FRESH: TimeDelta = TimeDelta::minutes(10);
/// How long they are taken while the issuer cannot be asked.
const USABLE: TimeDelta = TimeDelta::hours(1);
/// Between two fetches, whatever tokens come: anybody can write one that names an unknown key.
const REST: TimeDelta = TimeDelta::seconds(10);

/// Published keys. Clones share them.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Shared>);

struct Shared {
    http: reqwest::Client,
    url: Url,
    clock: Clock,
    kept: Mutex<Kept>,
    /// Held while a fetch runs: whoever comes meanwhile waits for its end.
    gate: Arc<Gate<()>>,
}

#[derive(Default)]
struct Kept {
    keys: Option<(DateTime<Utc>, Arc<KeySet>)>,
    tried_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("url", &self.0.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the keys could not be fetched")]
    Transport(#[source] reqwest::Error),
    #[error("the keys were refused with status {0}")]
    Status(StatusCode),
    #[error("the keys are longer than {LIMIT} bytes")]
    TooLong,
    #[error("there is no usable key among them")]
    Unusable,
}

impl FetchError {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Transport(error) if error.is_timeout() => "timeout",
            Self::Transport(_) => "network",
            Self::Status(_) => "status",
            Self::TooLong => "too_long",
            Self::Unusable => "unusable",
        }
    }
}

impl Jwks {
    /// Fetches nothing yet.
    pub(super) fn new(url: Url, clock: Clock) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("verigate/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            // The keys are to come from where the operator said.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&url) {
            // A proxy cannot know what runs on this machine.
            builder = builder.no_proxy();
        }
        Ok(Self(Arc::new(Shared {
            http: builder.build()?,
            url,
            clock,
            kept: Mutex::default(),
            gate: Arc::default(),
        })))
    }

    /// The key that a token names, asking the issuer if need be.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let known = |within| {
            let keys = self.0.keys_within(within)?;
            keys.find(id, algorithm).cloned()
        };
        if let Some(key) = known(FRESH) {
            return Some(key);
        }
        self.refresh().await;
        known(USABLE)
    }

    /// Fetches, or waits for whoever does.
    async fn refresh(&self) {
        let gate = Arc::clone(&self.0.gate).lock_owned().await;
        if !self.0.may_try() {
            return;
        }
        let shared = Arc::clone(&self.0);
        // In a task of its own: a client that goes away must not end what others wait for.
        let fetch = tokio::spawn(async move {
            shared.fetch_and_keep().await;
            drop(gate);
        });
        // It fails only if it panicked, and then there are no new keys.
        let _ = fetch.await;
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that could panic runs while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys_within(&self, age: TimeDelta) -> Option<Arc<KeySet>> {
        let now = self.clock.now();
        let kept = self.kept();
        let (at, keys) = kept.keys.as_ref()?;
        is_within(*at, now, age).then(|| Arc::clone(keys))
    }

    /// Is it time for another fetch? Then it has begun.
    fn may_try(&self) -> bool {
        let now = self.clock.now();
        let mut kept = self.kept();
        if kept.tried_at.is_some_and(|at| is_within(at, now, REST)) {
            return false;
        }
        kept.tried_at = Some(now);
        true
    }

    async fn fetch_and_keep(&self) {
        let at = self.clock.now();
        let result = match self.fetch().await {
            Ok(keys) => {
                self.kept().keys = Some((at, Arc::new(keys)));
                "ok"
            }
            Err(error) => {
                tracing::warn!(
                    error = %causes(&error),
                    "the issuer's keys are not to be had: tokens signed with a key we do not know are refused"
                );
                error.as_str()
            }
        };
        metrics::counter!("verigate_jwks_fetches_total", "result" => result).increment(1);
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let transport = |error: reqwest::Error| FetchError::Transport(error.without_url());
        let request = self.http.get(self.url.clone());
        let request = request.header(ACCEPT, "application/jwk-set+json, application/json");
        let mut answer = request.send().await.map_err(transport)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > LIMIT {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body).ok_or(FetchError::Unusable)
    }
}

/// A clock that was put back makes things neither fresh nor recent.
pub(super) fn is_within(at: DateTime<Utc>, now: DateTime<Utc>, age: TimeDelta) -> bool {
    (TimeDelta::zero()..age).contains(&(now - at))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
