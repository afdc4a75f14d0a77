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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripe_is_asked_three_seconds_after_an_observation_that_leaves_a_doubt() {
        for doubt in Doubt::ALL {
            let due = after_observation(Some(doubt)).unwrap();
            assert_eq!(due.after, Duration::from_secs(3));
            assert_eq!((due.tries, due.alarm), (0, false));
        }
        assert_eq!(after_observation(None), None);
    }

    #[test]
    fn a_try_that_left_the_doubt_is_repeated_later_each_time_and_for_ever() {
        let mut before = FIRST_DELAY;
        let mut tries = 0;
        for expected in [6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072, 3600, 3600] {
            let due = after_try(Some(Doubt::Demotion), tries, 0.0).unwrap();
            assert_eq!(due.after, Duration::from_secs(expected));
            assert_eq!(due.tries, tries + 1);
            assert!(due.after >= before);
            (before, tries) = (due.after, due.tries);
        }
        let due = after_try(Some(Doubt::Demotion), u32::MAX, 1.0).unwrap();
        assert_eq!(due.after, LONGEST_DELAY + LONGEST_DELAY / 4);
        assert_eq!(after_try(None, 7, 0.5), None);
    }

    #[test]
    fn an_operator_hears_of_a_doubt_that_stays() {
        let alarms = |tries| after_try(Some(Doubt::Demotion), tries, 0.0).unwrap().alarm;
        assert!(!alarms(0));
        assert!(!alarms(6));
        assert!(alarms(7));
        assert!(alarms(1000));
    }

    #[test]
    fn jitter_only_ever_lengthens_and_by_a_quarter_at_most() {
        for tries in 0..20 {
            let plain = backoff(tries, 0.0);
            assert!(plain >= FIRST_DELAY);
            assert_eq!(backoff(tries, 1.0), plain + plain / 4);
            assert!(backoff(tries, 0.5) > plain);
            for absurd in [-1.0, f64::NAN, f64::NEG_INFINITY, f64::INFINITY] {
                assert_eq!(backoff(tries, absurd), plain);
            }
        }
    }
}
