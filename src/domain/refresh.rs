//! When to ask Stripe because of a doubt: pure arithmetic, so that tests pass a later now and never sleep.
//!
//! Whoever merges an observation writes the due time in the same transaction. A doubt is settled by what we
//! know and by nothing else: that somebody asked proves nothing, for the answer may have been old, so while
//! the doubt holds the session is simply due again, later each time. There is no last try.

use std::time::Duration;

use super::verdict::Doubt;

/// How long after an observation Stripe is asked at the earliest. An answer settles a doubt if Stripe looked
/// two seconds after the newest event, and what else is on its way usually arrives meanwhile.
pub const FIRST_DELAY: Duration = Duration::from_secs(3);

/// The longest we wait between two tries, jitter aside.
pub const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// From this many tries on somebody should look: the eighth is a good twelve minutes after the first.
pub const TRIES_BEFORE_ALARM: u32 = 8;

/// When a session is to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// From now, or from the observation.
    pub after: Duration,
    /// The tries so far.
    pub tries: u32,
    /// Tried so often that an operator must hear of it.
    pub alarm: bool,
}

/// An observation was merged, and this doubt was left: when to ask about it.
pub fn after_observation(doubt: Option<Doubt>) -> Option<Due> {
    doubt.map(|_| Due {
        after: FIRST_DELAY,
        tries: 0,
        alarm: false,
    })
}

/// Stripe was asked once more, and this doubt was left, or there was no answer: when to ask again.
/// `tries` are those before this one; `jitter` is a random number from 0 to 1.
pub fn after_try(doubt: Option<Doubt>, tries: u32, jitter: f64) -> Option<Due> {
    let tries = tries.saturating_add(1);
    doubt.map(|_| Due {
        after: backoff(tries, jitter),
        tries,
        alarm: tries >= TRIES_BEFORE_ALARM,
    })
}

/// The wait after this many tries: three seconds, doubled by each try, an hour at most, and up to a quarter
/// longer by `jitter`, so that sessions which fell into doubt together do not all ask together. Jitter only
/// lengthens: no wait is ever shorter than the first.
pub fn backoff(tries: u32, jitter: f64) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(tries));
    let jitter = if jitter.is_finite() {
        jitter.clamp(0.0, 1.0)
    } else {
        0.0
    };
    doubled.min(LONGEST_DELAY).mul_f64(1.0 + jitter / 4.0)
}
