//! What our knowledge of a session amounts to: the status to show, and whether it is in doubt.
//!
//! Both are pure functions of the [`Knowledge`], so they cannot depend on how it was gathered either.

use super::{
    knowledge::{Detail, EventMaximum, Knowledge, ReadMaximum, Told},
    status::Status,
};

/// The status of a session, with what came along with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The status to show.
    pub status: Status,
    /// The failure code that came with it.
    pub error: Option<String>,
    /// The report that came with it.
    pub report: Option<String>,
    /// The second of the observation that won.
    pub second: i64,
}

/// Why the verdict may be wrong, and Stripe should be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// One second told `requires_input` beside `processing` or `verified`: a failure and a new attempt, or
    /// a reviewer's change of mind, and only Stripe knows which came last.
    RequiresInputBeside,
    /// One second told `canceled` beside `verified`.
    CanceledBesideVerified,
    /// It was verified, and newer events say that it no longer is. Nobody loses that on hearsay.
    Demotion,
    /// Stripe looked at the session in about the second of the newest event, and saw something else.
    ReadContradicts,
    /// Stripe looked twice as of one second, and saw two things.
    ReadsDiffer,
}

impl Doubt {
    /// Every reason to doubt.
    pub const ALL: [Self; 5] = [
        Self::RequiresInputBeside,
        Self::CanceledBesideVerified,
        Self::Demotion,
        Self::ReadContradicts,
        Self::ReadsDiffer,
    ];

    /// A word for operators and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresInputBeside => "requires_input_beside",
            Self::CanceledBesideVerified => "canceled_beside_verified",
            Self::Demotion => "demotion",
            Self::ReadContradicts => "read_contradicts",
            Self::ReadsDiffer => "reads_differ",
        }
    }
}

impl Knowledge {
    /// The status that follows from all of this; none if nobody has told us one.
    pub fn verdict(&self) -> Option<Verdict> {
        let told = self.events.as_ref().and_then(EventMaximum::verdict);
        let read = self.reads.as_ref().and_then(ReadMaximum::verdict);
        match (told, read) {
            (Some(told), Some(read)) => {
                let conclusive = matches!(read.status, Status::Verified | Status::Canceled);
                let read_wins =
                    read.second > told.second || (read.second == told.second && conclusive);
                Some(if read_wins { read } else { told })
            }
            (told, read) => told.or(read),
        }
    }

    /// Why that status may be wrong; none if it is as good as certain.
    ///
    /// A read as of at least two seconds after the newest event settles everything but a quarrel among reads:
    /// the first second because it is the event's own, the second because Stripe's `Date` header may run one
    /// ahead of the clock that stamps its events.
    ///
    /// What naturally shares a second is no doubt: the creation beside anything, `processing` beside
    /// `verified`, and `processing` or `requires_input` beside `canceled`. So an ordinary life never makes us
    /// ask Stripe.
    pub fn doubt(&self) -> Option<Doubt> {
        let reads = self.reads.as_ref();
        if reads.is_some_and(|reads| reads.read.len() > 1) {
            return Some(Doubt::ReadsDiffer);
        }
        let events = self.events.as_ref()?;
        if reads.is_some_and(|reads| reads.as_of > events.second.saturating_add(1)) {
            return None;
        }
        let told = |what| events.told.contains_key(&what);
        if told(Told::RequiresInput) && (told(Told::Processing) || told(Told::Verified)) {
            return Some(Doubt::RequiresInputBeside);
        }
        if told(Told::Canceled) && told(Told::Verified) {
            return Some(Doubt::CanceledBesideVerified);
        }
        if self.verified_second.is_some() && !told(Told::Verified) {
            return Some(Doubt::Demotion);
        }
        let contradicted = reads
            .is_some_and(|reads| reads.until >= events.second && reads.status() != events.status());
        contradicted.then_some(Doubt::ReadContradicts)
    }
}

impl EventMaximum {
    /// The event of the highest rank speaks for its second.
    fn verdict(&self) -> Option<Verdict> {
        let (told, detail) = self.told.last_key_value()?;
        Some(Verdict::new(told.status(), detail, self.second))
    }

    fn status(&self) -> Option<Status> {
        self.told.last_key_value().map(|(told, _)| told.status())
    }
}

impl ReadMaximum {
    /// The read of the highest rank speaks for its second.
    fn verdict(&self) -> Option<Verdict> {
        let (status, detail) = self.read.last_key_value()?;
        Some(Verdict::new(*status, detail, self.as_of))
    }

    fn status(&self) -> Option<Status> {
        self.read.last_key_value().map(|(status, _)| *status)
    }
}

impl Verdict {
    fn new(status: Status, detail: &Detail, second: i64) -> Self {
        Self {
            status,
            error: detail.error.clone(),
            report: detail.report.clone(),
            second,
        }
    }
}
