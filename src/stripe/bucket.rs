//! The one token bucket before all calls to Stripe; it serves people before jobs.

use std::{
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{Priority, StripeError};

/// Hands out `rate` tokens a second, at most `rate` at once.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    /// How far ahead of its due time a token may be handed out.
    slack: Duration,
    /// When the next token would be due if all were handed out evenly.
    due: Mutex<Instant>,
    people: Line,
    jobs: Line,
}

/// Those who wait, first come first served.
#[derive(Debug, Default)]
struct Line {
    /// Held by the first in line; tokio's mutex hands it over in order of arrival.
    turn: tokio::sync::Mutex<()>,
    length: AtomicU32,
}

/// A place in line, given up also by a caller who walks away.
struct Place<'a>(&'a Line);

impl<'a> Place<'a> {
    fn take(line: &'a Line) -> Self {
        line.length.fetch_add(1, Ordering::SeqCst);
        Self(line)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Bucket {
    pub(super) fn new(rate_per_second: u32) -> Self {
        let rate = rate_per_second.max(1);
        let interval = Duration::from_secs(1) / rate;
        Self {
            interval,
            slack: interval * (rate - 1),
            due: Mutex::new(Instant::now()),
            people: Line::default(),
            jobs: Line::default(),
        }
    }

    /// Waits for a token; refuses at once when the line is too long for the deadline, so that the
    /// line can never hold more callers than will be served.
    pub(super) async fn take(
        &self,
        priority: Priority,
        deadline: Instant,
    ) -> Result<(), StripeError> {
        let wait = self.expected_wait(priority);
        if Instant::now() + wait > deadline {
            return Err(self.refusal(wait));
        }
        let turn = pin!(self.wait(priority));
        timeout_at(deadline, turn)
            .await
            .map_err(|_| self.refusal(self.expected_wait(priority)))
    }

    fn refusal(&self, wait: Duration) -> StripeError {
        StripeError::RateLimited {
            retry_after: wait.max(self.interval),
        }
    }

    async fn wait(&self, priority: Priority) {
        let line = self.line(priority);
        let _place = Place::take(line);
        let _turn = line.turn.lock().await;
        loop {
            let pause = match priority {
                Priority::Job if self.people.waiting() > 0 => self.interval,
                _ => match self.try_take() {
                    Ok(()) => return,
                    Err(pause) => pause,
                },
            };
            sleep(pause).await;
        }
    }

    fn try_take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = due.saturating_duration_since(now + self.slack);
        if pause.is_zero() {
            *due = (*due).max(now) + self.interval;
            Ok(())
        } else {
            Err(pause)
        }
    }

    /// Exact for a person; for a job the least, since people may still come before it.
    fn expected_wait(&self, priority: Priority) -> Duration {
        let ahead = match priority {
            Priority::Person => self.people.waiting(),
            Priority::Job => self.people.waiting().saturating_add(self.jobs.waiting()),
        };
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mine = due.max(now) + self.interval.saturating_mul(ahead);
        mine.saturating_duration_since(now + self.slack)
    }

    fn line(&self, priority: Priority) -> &Line {
        match priority {
            Priority::Person => &self.people,
            Priority::Job => &self.jobs,
        }
    }
}

impl Line {
    fn waiting(&self) -> u32 {
        self.length.load(Ordering::SeqCst)
    }
}
