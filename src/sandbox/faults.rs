//! Faults on request: what goes wrong with which call or event, and how often.

use serde::{Deserialize, Serialize};

use super::plan::{CallPlan, EventPlan};

const MOST_FAULTS: usize = 200;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `ms` pass before or after the effect.
    Latency,
    /// Answered with `status` before or after the effect.
    Error,
    /// Never answered, before or after the effect.
    Timeout,
    /// The connection ends without an answer, before or after the effect.
    Cut,
    /// The `Date` header is `seconds` off.
    SkewDate,
    /// The webhook arrives before the call is answered.
    WebhookFirst,
    /// The change happens, its event never does.
    EventLost,
    /// The event bears the second of the one before it.
    SameSecond,
    /// Delivered `count` times more.
    Duplicate,
    /// Delivered `ms` later.
    Delay,
    /// `count` events are held back, then delivered in another order.
    Shuffle,
    /// The event exists and is never delivered.
    Drop,
    /// Signed with `secret` too, as while a secret is rolled.
    TwoSecrets,
    /// Delivered as a thin event.
    Thin,
    /// The event has no type, wherever it is shown.
    Odd,
}

impl Kind {
    fn is_of_events(self) -> bool {
        match self {
            Self::Latency
            | Self::Error
            | Self::Timeout
            | Self::Cut
            | Self::SkewDate
            | Self::WebhookFirst => false,
            Self::EventLost
            | Self::SameSecond
            | Self::Duplicate
            | Self::Delay
            | Self::Shuffle
            | Self::Drop
            | Self::TwoSecrets
            | Self::Thin
            | Self::Odd => true,
        }
    }
}

/// On which side of the effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// Nothing has happened yet.
    #[default]
    Before,
    /// It has happened, only the answer is missing.
    After,
}

/// One fault as it is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Calls only with this method.
    method: Option<String>,
    /// Calls only with this address; a `*` or `{name}` segment fits any. Without it, any call of
    /// the API; pages and scripts fail only when named.
    path: Option<String>,
    /// Events only of this type, whole or its last word.
    event: Option<String>,
    /// How often; 0 is until cleared.
    #[serde(default = "once")]
    pub(crate) times: u32,
    /// How many calls or events pass before it begins.
    #[serde(default)]
    pub(crate) skip: u32,
    #[serde(default)]
    pub(crate) when: When,
    #[serde(default)]
    pub(crate) ms: u64,
    #[serde(default)]
    pub(crate) seconds: i64,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<String>,
    /// Whether an error is kept for the idempotency key; by default a 500 is.
    pub(crate) store: Option<bool>,
    /// What `Stripe-Should-Retry` says of an error; by default it is not there.
    pub(crate) should_retry: Option<bool>,
    #[serde(default = "once")]
    pub(crate) count: u32,
    #[serde(skip_serializing)]
    pub(crate) secret: Option<String>,
}

fn once() -> u32 {
    1
}

/// The faults waiting for their moment.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Takes a fault, or says what is wrong with it.
    pub(crate) fn add(&mut self, mut fault: Fault) -> Result<(), &'static str> {
        if self.0.len() >= MOST_FAULTS {
            return Err("too many faults; DELETE /_faults first");
        }
        let for_calls = fault.method.is_some() || fault.path.is_some();
        if fault.kind.is_of_events() && for_calls {
            return Err("this kind is about events: it takes event, not method or path");
        }
        if !fault.kind.is_of_events() && fault.event.is_some() {
            return Err("this kind is about calls: it takes method and path, not event");
        }
        if fault.kind == Kind::Error && !fault.status.is_some_and(|s| (400..600).contains(&s)) {
            return Err("an error takes a status between 400 and 599");
        }
        if fault.kind == Kind::Shuffle {
            // Each of the events held back uses the fault up a little.
            fault.count = fault.count.clamp(2, 1000);
            fault.times = fault.times.saturating_mul(fault.count);
        }
        self.0.push(fault);
        Ok(())
    }

    pub(crate) fn waiting(&self) -> &[Fault] {
        &self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Uses up what is meant for this call.
    pub(crate) fn for_call(&mut self, method: &str, path: &str) -> CallPlan {
        let mut plan = CallPlan::default();
        self.use_up(
            |fault| !fault.kind.is_of_events() && fault.fits_call(method, path),
            |fault| plan.add(fault),
        );
        plan
    }

    /// Uses up what is meant for this event.
    pub(crate) fn for_event(&mut self, kind: &str) -> EventPlan {
        let mut plan = EventPlan::default();
        self.use_up(
            |fault| fault.kind.is_of_events() && fault.fits_event(kind),
            |fault| plan.add(fault),
        );
        plan
    }

    fn use_up(&mut self, fits: impl Fn(&Fault) -> bool, mut apply: impl FnMut(&Fault)) {
        self.0.retain_mut(|fault| {
            if !fits(fault) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            apply(fault);
            match fault.times {
                0 => true,
                1 => false,
                _ => {
                    fault.times -= 1;
                    true
                }
            }
        });
    }
}

impl Fault {
    fn fits_call(&self, method: &str, path: &str) -> bool {
        let method_fits = self
            .method
            .as_deref()
            .is_none_or(|m| m.eq_ignore_ascii_case(method));
        let path_fits = match self.path.as_deref() {
            Some(pattern) => fits_path(pattern, path),
            None => path.starts_with("/v1/") || path.starts_with("/v2/"),
        };
        method_fits && path_fits
    }

    fn fits_event(&self, kind: &str) -> bool {
        self.event
            .as_deref()
            .is_none_or(|event| event == kind || kind.rsplit('.').next() == Some(event))
    }
}

/// Segment by segment; `*` or `{name}` stands for any one, a final `**` for all that is left.
fn fits_path(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        let any = wanted == "*" || wanted.starts_with('{') && wanted.ends_with('}');
        if !segments.next().is_some_and(|found| any || found == wanted) {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::plan::Fate;
    use super::*;
    use serde_json::{Value, json};

    fn faults(all: &[Value]) -> Faults {
        let mut faults = Faults::default();
        for one in all {
            faults
                .add(serde_json::from_value(one.clone()).unwrap())
                .unwrap();
        }
        faults
    }

    #[test]
    fn a_fault_waits_for_its_call_and_is_used_up() {
        let mut faults = faults(&[json!({
            "kind": "error", "status": 500, "method": "post",
            "path": "/v1/identity/verification_sessions/*/cancel", "times": 2, "skip": 1,
        })]);
        let path = "/v1/identity/verification_sessions/vs_1/cancel";
        let hits: Vec<bool> = (0..4)
            .map(|_| faults.for_call("POST", path).fail_before.is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false]);
        assert!(faults.waiting().is_empty());
        assert!(faults.for_call("POST", path).fail_before.is_none());
    }

    #[test]
    fn patterns_fit_whole_addresses() {
        for (pattern, path, fits) in [
            ("/v1/events", "/v1/events", true),
            ("/v1/events", "/v1/events/evt_1", false),
            ("/v1/events/{id}", "/v1/events/evt_1", true),
            ("/v1/**", "/v1/events/evt_1", true),
            ("/v1/*", "/v1", false),
        ] {
            assert_eq!(fits_path(pattern, path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn an_event_fault_is_found_by_the_last_word_of_its_type() {
        let mut faults = faults(&[json!({ "kind": "event_lost", "event": "verified" })]);
        let kind = "identity.verification_session.verified";
        let mut fate = |kind| faults.for_event(kind).fate;
        assert_eq!(fate("identity.verification_session.created"), Fate::Sent);
        assert_eq!(fate(kind), Fate::Lost);
        assert_eq!(fate(kind), Fate::Sent);
    }

    #[test]
    fn a_fault_that_could_never_strike_is_refused() {
        let mut faults = Faults::default();
        for one in [
            json!({ "kind": "drop", "path": "/v1/events" }),
            json!({ "kind": "cut", "event": "verified" }),
            json!({ "kind": "error", "status": 200 }),
        ] {
            assert!(faults.add(serde_json::from_value(one).unwrap()).is_err());
        }
        let typo = serde_json::from_value::<Fault>(json!({ "kind": "cut", "tims": 2 }));
        assert!(typo.is_err());
    }
}
