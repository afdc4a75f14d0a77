//! What is to go wrong with one call or one event, once its faults are put together.

use std::time::Duration;

use super::{
    faults::{Fault, Kind, When},
    refusal::Refusal,
};

/// An error answer to give, and whether its key remembers it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    pub(crate) stored: bool,
}

/// How an answer fails to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing is ever sent.
    Held,
    /// The connection ends.
    Cut,
}

/// What goes wrong with one call.
#[derive(Debug, Default)]
pub(crate) struct CallPlan {
    pub(crate) wait_before: Duration,
    pub(crate) wait_after: Duration,
    pub(crate) fail_before: Option<Failure>,
    pub(crate) fail_after: Option<Failure>,
    pub(crate) lost_before: Option<Loss>,
    pub(crate) lost_after: Option<Loss>,
    pub(crate) skew_seconds: i64,
    pub(crate) webhook_first: bool,
}

/// How far an event gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is made and sent.
    #[default]
    Sent,
    /// It is made and never sent.
    Kept,
    /// It is never made.
    Lost,
}

/// What goes wrong with one event.
#[derive(Debug, Default)]
pub(crate) struct EventPlan {
    pub(crate) fate: Fate,
    pub(crate) same_second: bool,
    pub(crate) copies: u32,
    pub(crate) delay_ms: u64,
    /// Hold back until so many are together.
    pub(crate) shuffle: Option<usize>,
    pub(crate) second_secret: Option<String>,
    pub(crate) thin: bool,
    pub(crate) odd: bool,
}

impl CallPlan {
    pub(crate) fn add(&mut self, fault: &Fault) {
        let before = fault.when == When::Before;
        match fault.kind {
            Kind::Latency if before => self.wait_before += Duration::from_millis(fault.ms),
            Kind::Latency => self.wait_after += Duration::from_millis(fault.ms),
            Kind::Error if before => self.fail_before = Some(failure(fault)),
            Kind::Error => self.fail_after = Some(failure(fault)),
            Kind::Timeout if before => self.lost_before = Some(Loss::Held),
            Kind::Timeout => self.lost_after = Some(Loss::Held),
            Kind::Cut if before => self.lost_before = Some(Loss::Cut),
            Kind::Cut => self.lost_after = Some(Loss::Cut),
            Kind::SkewDate => self.skew_seconds += fault.seconds,
            Kind::WebhookFirst => self.webhook_first = true,
            _ => {}
        }
    }
}

impl EventPlan {
    pub(crate) fn add(&mut self, fault: &Fault) {
        match fault.kind {
            Kind::EventLost => self.fate = Fate::Lost,
            Kind::SameSecond => self.same_second = true,
            Kind::Duplicate => self.copies += fault.count.min(20),
            Kind::Delay => self.delay_ms += fault.ms,
            Kind::Shuffle => self.shuffle = usize::try_from(fault.count).ok(),
            Kind::Drop if self.fate == Fate::Sent => self.fate = Fate::Kept,
            Kind::TwoSecrets => {
                let other = fault.secret.as_deref().unwrap_or("whsec_the_one_before");
                self.second_secret = Some(other.to_owned());
            }
            Kind::Thin => self.thin = true,
            Kind::Odd => self.odd = true,
            _ => {}
        }
    }
}

fn failure(fault: &Fault) -> Failure {
    let status = fault.status.unwrap_or(500);
    let (kind, code) = match status {
        429 => ("invalid_request_error", Some("rate_limit")),
        500.. => ("api_error", None),
        _ => ("invalid_request_error", None),
    };
    let mut refusal = Refusal::new(status, kind, "The sandbox was asked to fail this call.");
    refusal.code = fault.code.clone().or_else(|| code.map(str::to_owned));
    refusal.should_retry = fault.should_retry;
    if status == 429 {
        let reason = fault.reason.as_deref().unwrap_or("endpoint-rate");
        refusal.limited = Some(reason.to_owned());
    }
    Failure {
        refusal,
        stored: fault.store.unwrap_or(status == 500),
    }
}
