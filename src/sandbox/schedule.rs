//! What is to happen later, by the sandbox's own time.

use std::collections::BTreeMap;

use super::delivery::Delivery;

/// Past this, the queue drops what is new: somebody's endpoint has been down for thousands of events.
const MOST_JOBS: usize = 20_000;

/// Something that falls due.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// The checks of a session's given attempt end.
    Finish {
        /// The session.
        session: String,
        /// Which of its attempts.
        attempt: u32,
    },
    /// A redaction ends.
    Redact {
        /// The session.
        session: String,
    },
    /// An event is delivered to an endpoint.
    Deliver(Delivery),
}

/// Jobs by due time, then by the order they were made.
#[derive(Default)]
pub(crate) struct Schedule {
    jobs: BTreeMap<(i64, u64), Job>,
    next: u64,
    dropped: u64,
}

impl Schedule {
    /// Returns whether there was room.
    pub(crate) fn add(&mut self, due_ms: i64, job: Job) -> bool {
        if self.jobs.len() >= MOST_JOBS {
            self.dropped += 1;
            tracing::warn!(dropped = self.dropped, "the sandbox's queue is full");
            return false;
        }
        self.next += 1;
        self.jobs.insert((due_ms, self.next), job);
        true
    }

    /// Takes the first job that is due; deliveries only while `may_deliver`.
    pub(crate) fn take_due(&mut self, now_ms: i64, may_deliver: bool) -> Option<Job> {
        let due = self
            .jobs
            .range(..(now_ms.saturating_add(1), 0))
            .find(|(_, job)| may_deliver || !matches!(job, Job::Deliver(_)));
        let key = *due?.0;
        self.jobs.remove(&key)
    }

    /// When the next job falls due.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.jobs.first_key_value().map(|((due_ms, _), _)| *due_ms)
    }

    /// Takes everything that waits for one session, deliveries aside.
    pub(crate) fn take_of(&mut self, session: &str) -> Vec<Job> {
        let waiting: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| match job {
                Job::Finish { session: of, .. } | Job::Redact { session: of } => of == session,
                Job::Deliver(_) => false,
            })
            .map(|(key, _)| *key)
            .collect();
        let taken = waiting.iter().filter_map(|key| self.jobs.remove(key));
        taken.collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(session: &str) -> Job {
        Job::Finish {
            session: session.to_owned(),
            attempt: 1,
        }
    }

    fn due(schedule: &mut Schedule, now_ms: i64) -> Option<String> {
        match schedule.take_due(now_ms, true)? {
            Job::Finish { session, .. } => Some(session),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn jobs_come_when_due_and_in_the_order_they_were_made() {
        let mut schedule = Schedule::default();
        for (at, session) in [(20, "late"), (10, "one"), (10, "two")] {
            assert!(schedule.add(at, finish(session)));
        }
        assert_eq!(due(&mut schedule, 9), None);
        assert_eq!(due(&mut schedule, 10).as_deref(), Some("one"));
        assert_eq!(due(&mut schedule, 10).as_deref(), Some("two"));
        assert_eq!(due(&mut schedule, 10), None);
        assert_eq!(schedule.take_of("other").len(), 0);
        assert_eq!(schedule.take_of("late").len(), 1);
        assert_eq!(due(&mut schedule, 20), None);
    }
}
