//! The only reader of the wall clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

/// Tells the time: the system's, or one that a test holds still and moves by hand.
///
/// Clones share one time, so a test can keep a clone and advance what the server sees.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's own clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `now` until it is advanced.
    pub fn fixed(now: DateTime<Utc>) -> Self {
        Self(Source::Fixed(Arc::new(Mutex::new(now))))
    }

    /// Moves a fixed clock, also backwards; the system's goes its own way.
    pub fn advance(&self, by: Duration) {
        if let Source::Fixed(now) = &self.0 {
            *locked(now) += by;
        }
    }

    /// The present moment.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => system_now(),
            Source::Fixed(now) => *locked(now),
        }
    }

    /// The present moment in whole seconds since 1970, as Stripe counts.
    pub fn unix(&self) -> i64 {
        self.now().timestamp()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that may read the wall clock"
)]
fn system_now() -> DateTime<Utc> {
    Utc::now()
}

/// A panicking test must not take the clock away from the others, and a time is never half written.
fn locked(now: &Mutex<DateTime<Utc>>) -> MutexGuard<'_, DateTime<Utc>> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_still_until_it_is_advanced() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let clock = Clock::fixed(start);
        assert_eq!(clock.now(), start);

        let seen_by_the_server = clock.clone();
        clock.advance(Duration::seconds(90));
        assert_eq!(seen_by_the_server.unix(), 1_700_000_090);

        clock.advance(Duration::seconds(-100));
        assert_eq!(seen_by_the_server.unix(), 1_699_999_990);
    }

    #[test]
    fn the_system_clock_goes_on_by_itself_and_cannot_be_moved() {
        let clock = Clock::system();
        let before = clock.now();
        clock.advance(Duration::days(365));
        let after = clock.now();
        assert!(before <= after);
        assert!(after - before < Duration::days(1));
    }
}
