//! Everything the sandbox remembers, in memory and bounded.

use std::collections::{HashMap, VecDeque};

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::{
    delivery::{Delivery, Record},
    events::Event,
    faults::Faults,
    idempotency::Keys,
    knobs::Knobs,
    ledger::Ledger,
    report::Report,
    schedule::Schedule,
    session::Session,
    shelf::{Identified, Shelf},
};

const MOST_SESSIONS: usize = 20_000;
const MOST_REPORTS: usize = 20_000;
const MOST_EVENTS: usize = 20_000;
const MOST_EPHEMERAL_KEYS: usize = 5_000;
const MOST_LINKS: usize = 1_000;
/// Stripe's own limit for an account is 16; it is checked where one is created.
const MOST_ENDPOINTS: usize = 64;

/// A registered receiver of events.
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) url: Url,
    pub(crate) secret: SecretString,
    pub(crate) enabled_events: Vec<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Value,
    pub(crate) disabled: bool,
}

impl Identified for Endpoint {
    fn id(&self) -> &str {
        &self.id
    }
}

/// What a native client opens a session with; its secret is only in the answer that made it.
pub(crate) struct EphemeralKey {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) expires: i64,
}

impl Identified for EphemeralKey {
    fn id(&self) -> &str {
        &self.id
    }
}

/// A short-lived address of a file.
pub(crate) struct Link {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) token: String,
    pub(crate) file: String,
    pub(crate) expires_at: Option<i64>,
    pub(crate) metadata: Value,
}

impl Identified for Link {
    fn id(&self) -> &str {
        &self.id
    }
}

/// The state of the one account there is.
pub(crate) struct World {
    /// The sandbox's own origin.
    pub(crate) base: Url,
    pub(crate) account: String,
    pub(crate) knobs: Knobs,
    pub(crate) sessions: Shelf<Session>,
    pub(crate) reports: Shelf<Report>,
    pub(crate) events: Shelf<Event>,
    pub(crate) endpoints: Shelf<Endpoint>,
    pub(crate) ephemeral_keys: Shelf<EphemeralKey>,
    pub(crate) links: Shelf<Link>,
    pub(crate) keys: Keys,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) schedule: Schedule,
    pub(crate) deliveries: VecDeque<Record>,
    /// Deliveries held back, by event, until enough are together to be shuffled.
    pub(crate) held_back: Vec<Vec<Delivery>>,
    pub(crate) last_event_second: Option<i64>,
    /// Calls seen in the current second, by endpoint.
    pub(crate) rates: HashMap<(String, &'static str), (i64, u32)>,
}

impl World {
    pub(crate) fn new(base: Url, knobs: Knobs) -> Self {
        Self {
            base,
            account: super::ids::id("acct"),
            knobs,
            sessions: Shelf::new(MOST_SESSIONS),
            reports: Shelf::new(MOST_REPORTS),
            events: Shelf::new(MOST_EVENTS),
            endpoints: Shelf::new(MOST_ENDPOINTS),
            ephemeral_keys: Shelf::new(MOST_EPHEMERAL_KEYS),
            links: Shelf::new(MOST_LINKS),
            keys: Keys::default(),
            ledger: Ledger::default(),
            faults: Faults::default(),
            schedule: Schedule::default(),
            deliveries: VecDeque::new(),
            held_back: Vec::new(),
            last_event_second: None,
            rates: HashMap::new(),
        }
    }

    /// Forgets all that a restart would forget; settings, faults and the ledger are the tester's.
    pub(crate) fn forget(&mut self) {
        let mut fresh = Self::new(self.base.clone(), self.knobs.clone());
        std::mem::swap(&mut fresh.faults, &mut self.faults);
        std::mem::swap(&mut fresh.ledger, &mut self.ledger);
        *self = fresh;
    }

    /// Counts a call; false when the endpoint has had enough for this second.
    pub(crate) fn within_rate(
        &mut self,
        method: &str,
        endpoint: &'static str,
        second: i64,
    ) -> bool {
        let most = self.knobs.calls_per_second;
        let seen = self
            .rates
            .entry((method.to_owned(), endpoint))
            .or_insert((second, 0));
        if seen.0 != second {
            *seen = (second, 0);
        }
        seen.1 += 1;
        most == 0 || seen.1 <= most
    }

    /// An address of the sandbox's own.
    pub(crate) fn address(&self, path: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("{base}{path}")
    }
}
