//! An answer of Stripe's, with what is known of the moment it was true.

use std::time::Duration;

use chrono::DateTime;

/// What a call brought.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// What was asked for.
    pub value: T,
    /// Whether it is the stored answer to an earlier call with the same idempotency key: its
    /// secrets may be used up.
    pub replayed: bool,
    /// When it was true, by Stripe's clock; `None` if the answer carries no date.
    pub as_of: Option<AsOf>,
    /// Stripe's name for the request.
    pub request_id: Option<String>,
}

impl<T> Reply<T> {
    /// The same reply around another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        Reply {
            value: change(self.value),
            replayed: self.replayed,
            as_of: self.as_of,
            request_id: self.request_id,
        }
    }
}

/// Stripe read the object within these seconds of its own clock.
///
/// Only Stripe's date and the length of the call enter, never this machine's wall clock, which
/// may be wrong by minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// Not before this second began.
    pub second: i64,
    /// Not after this second began.
    pub until: i64,
}

impl AsOf {
    /// From the `Date` header and the time between asking and receiving it. The header has whole
    /// seconds, so the answer may be up to one second younger than it says.
    pub(super) fn measure(date: &str, round_trip: Duration) -> Option<Self> {
        let date = DateTime::parse_from_rfc2822(date).ok()?.timestamp();
        let whole = i64::try_from(round_trip.as_secs()).ok()?;
        let begun = i64::from(round_trip.subsec_nanos() > 0);
        Some(Self {
            second: date.checked_sub(whole)?.checked_sub(begun)?,
            until: date.checked_add(1)?,
        })
    }
}
