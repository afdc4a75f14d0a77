//! Lets one of many through: what happens a thousand times a second is one piece of news, with a number.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two that pass.
const PAUSE: Duration = Duration::from_secs(5);

/// Counts what it holds back; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Throttle(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    held: u64,
    passed: Option<Instant>,
}

impl Throttle {
    /// How often it has happened since the last time this said so, this time included; `None` soon after that.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.held += 1;
        let is_soon = |passed| now.saturating_duration_since(passed) < PAUSE;
        if count.passed.is_some_and(is_soon) {
            return None;
        }
        count.passed = Some(now);
        Some(std::mem::take(&mut count.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_at_once_and_the_next_after_a_while_with_their_number() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.pass_at(start), Some(1));
        for _ in 0..3000 {
            assert_eq!(throttle.clone().pass_at(start + PAUSE / 2), None);
        }
        assert_eq!(throttle.pass_at(start + PAUSE), Some(3001));
        assert_eq!(throttle.pass_at(start + PAUSE), None);
        assert_eq!(throttle.pass_at(start + PAUSE * 3), Some(2));
    }
}
