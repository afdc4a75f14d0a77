//! The sandbox's own time: the given clock plus whatever it was told to advance.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Clock;

/// Decades are enough for every test, and keep the sums far from overflow.
const FURTHEST_MS: i64 = 20 * 366 * 86_400_000;

pub(crate) struct Time {
    clock: Clock,
    ahead_ms: AtomicI64,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// What every object, event, delay and `Date` header goes by.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis() + self.ahead_ms.load(Ordering::SeqCst)
    }

    /// What signatures go by: the receiver's clock was not advanced, and checks their age.
    pub(crate) fn signing_second(&self) -> i64 {
        self.clock.unix()
    }

    pub(crate) fn advance(&self, seconds: i64) -> i64 {
        let by = seconds.saturating_mul(1000).clamp(0, FURTHEST_MS);
        let ahead = self.ahead_ms.load(Ordering::SeqCst).saturating_add(by);
        self.ahead_ms
            .store(ahead.min(FURTHEST_MS), Ordering::SeqCst);
        self.now_ms()
    }
}

/// The second a moment falls in.
pub(crate) fn second(ms: i64) -> i64 {
    ms.div_euclid(1000)
}
