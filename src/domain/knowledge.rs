//! What we know of a session: the sum of everything we were told, whatever the order it came in.
//!
//! Webhooks arrive twice, late, out of order, several in one second, or never, and an answer to a GET may
//! travel for a minute. So nothing is ever applied in sequence. Every event and every session read from
//! Stripe is itself a small [`Knowledge`], and [`Knowledge::merge`] adds it to what is there. Merging only
//! takes maxima and unions, hence it is commutative, associative and idempotent: whoever has heard the same
//! things knows the same, in whatever order, however often, and however they were bundled.
//!
//! Two maxima are kept apart, because their times mean different things. An event carries the second in
//! which it happened. A read carries only an interval in which Stripe looked.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::status::{Redaction, Status};

/// What an event said happened to a session.
///
/// The order is a rank, and decides only between events of one second: it is the order in which these
/// things naturally follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The session was made, and waits for a document.
    Created,
    /// A document was submitted.
    Processing,
    /// A check failed, or a reviewer took the verification back.
    RequiresInput,
    /// The session was closed.
    Canceled,
    /// Every check passed, or a reviewer said so.
    Verified,
}

impl Told {
    /// Everything an event can say, lowest rank first.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Processing,
        Self::RequiresInput,
        Self::Canceled,
        Self::Verified,
    ];

    /// The last word of the event's type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Processing => "processing",
            Self::RequiresInput => "requires_input",
            Self::Canceled => "canceled",
            Self::Verified => "verified",
        }
    }

    /// Reads the last word of an event's type; `redacted` is not among them, for it says nothing of the status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.as_str() == text)
    }

    /// The status a session has once this happened.
    pub const fn status(self) -> Status {
        match self {
            Self::Created | Self::RequiresInput => Status::RequiresInput,
            Self::Processing => Status::Processing,
            Self::Canceled => Status::Canceled,
            Self::Verified => Status::Verified,
        }
    }
}

/// What came along with a status.
///
/// Where one second told the same thing twice, the greater detail stays: one with a report before one
/// without, then by their bytes. The derived order says exactly this, so the members stand in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Detail {
    /// Stripe's `vr_…` id of the report on the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Stripe's code of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The newest second that events told of, and everything they told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMaximum {
    /// `created` of the newest event, in Unix seconds by Stripe's clock.
    pub second: i64,
    /// What happened in that second. Within a second the order is not known, so all of it is kept.
    pub told: BTreeMap<Told, Detail>,
}

/// The newest look at the session itself, by GET or in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMaximum {
    /// Stripe looked no earlier than this: the `Date` of the answer less the measured round trip.
    pub as_of: i64,
    /// Stripe looked no later than this: the second after that `Date`.
    pub until: i64,
    /// The statuses read; more than one if two looks as of the same second differ.
    pub read: BTreeMap<Status, Detail>,
}

/// Everything we know of one session. An observation is a small one of these; the default knows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Knowledge {
    /// The newest that events told.
    pub events: Option<EventMaximum>,
    /// The newest second in which an event said `verified`, even if newer events said otherwise.
    pub verified_second: Option<i64>,
    /// The newest that was read.
    pub reads: Option<ReadMaximum>,
    /// The greatest level of redaction ever seen.
    pub redaction: Redaction,
    /// Every report ever named. Stripe charges by report, so attempts and spend are counted by them.
    pub reports: BTreeSet<String>,
}

impl Knowledge {
    /// What an event says of a status. (A `redacted` event says nothing of it: that is
    /// `Knowledge::default().with_redaction(..)`.)
    pub fn from_event(told: Told, second: i64, detail: Detail) -> Self {
        Self {
            verified_second: (told == Told::Verified).then_some(second),
            reports: detail.report.iter().cloned().collect(),
            events: Some(EventMaximum {
                second,
                told: BTreeMap::from([(told, detail)]),
            }),
            ..Self::default()
        }
    }

    /// What a look at the session says, taken at some moment between the two seconds, both included.
    pub fn from_read(as_of: i64, until: i64, status: Status, detail: Detail) -> Self {
        Self {
            reports: detail.report.iter().cloned().collect(),
            reads: Some(ReadMaximum {
                as_of,
                until,
                read: BTreeMap::from([(status, detail)]),
            }),
            ..Self::default()
        }
    }

    /// The same observation, which also showed this level of redaction.
    #[must_use]
    pub fn with_redaction(mut self, level: Redaction) -> Self {
        self.redaction = self.redaction.max(level);
        self
    }

    /// The same observation, which also named this report.
    #[must_use]
    pub fn with_report(mut self, report: Option<String>) -> Self {
        self.reports.extend(report);
        self
    }

    /// Adds what `other` knows.
    pub fn merge(&mut self, other: &Self) {
        merge_option(&mut self.events, other.events.as_ref(), EventMaximum::merge);
        merge_option(&mut self.reads, other.reads.as_ref(), ReadMaximum::merge);
        self.verified_second = self.verified_second.max(other.verified_second);
        self.redaction = self.redaction.max(other.redaction);
        self.reports.extend(other.reports.iter().cloned());
    }
}

impl EventMaximum {
    fn merge(&mut self, other: &Self) {
        match self.second.cmp(&other.second) {
            Ordering::Less => self.clone_from(other),
            Ordering::Equal => unite(&mut self.told, &other.told),
            Ordering::Greater => {}
        }
    }
}

impl ReadMaximum {
    /// Reads go by when they began at the earliest, so that one which travelled for long cannot outrank
    /// one that was quick.
    fn merge(&mut self, other: &Self) {
        match self.as_of.cmp(&other.as_of) {
            Ordering::Less => self.clone_from(other),
            Ordering::Equal => {
                self.until = self.until.max(other.until);
                unite(&mut self.read, &other.read);
            }
            Ordering::Greater => {}
        }
    }
}

fn merge_option<T: Clone>(mine: &mut Option<T>, theirs: Option<&T>, merge: fn(&mut T, &T)) {
    match (mine, theirs) {
        (_, None) => {}
        (Some(mine), Some(theirs)) => merge(mine, theirs),
        (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
    }
}

fn unite<K: Ord + Copy>(mine: &mut BTreeMap<K, Detail>, theirs: &BTreeMap<K, Detail>) {
    for (kind, detail) in theirs {
        let known = mine.entry(*kind).or_default();
        if *known < *detail {
            known.clone_from(detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(report: &str, error: &str) -> Detail {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Detail {
            report: some(report),
            error: some(error),
        }
    }

    fn sum(parts: &[Knowledge]) -> Knowledge {
        let mut known = Knowledge::default();
        for part in parts {
            known.merge(part);
        }
        known
    }

    #[test]
    fn every_word_of_an_event_reads_back_as_itself() {
        for told in Told::ALL {
            assert_eq!(Told::parse(told.as_str()), Some(told));
            assert_eq!(serde_json::to_value(told).unwrap(), told.as_str());
        }
        assert_eq!(Told::parse("redacted"), None);
        assert!(Told::ALL.is_sorted());
        assert!(Told::ALL.map(Told::status)[1..].is_sorted());
    }

    #[test]
    fn only_the_newest_second_of_events_is_kept_and_all_of_it() {
        let known = sum(&[
            Knowledge::from_event(Told::Verified, 9, Detail::default()),
            Knowledge::from_event(Told::RequiresInput, 10, detail("vr_1", "abandoned")),
            Knowledge::from_event(Told::Created, 4, Detail::default()),
            Knowledge::from_event(Told::Processing, 10, Detail::default()),
        ]);
        let events = known.events.unwrap();
        assert_eq!(events.second, 10);
        assert_eq!(
            events.told.into_keys().collect::<Vec<_>>(),
            [Told::Processing, Told::RequiresInput]
        );
        assert_eq!(known.verified_second, Some(9));
    }

    #[test]
    fn of_one_thing_told_twice_the_one_with_a_report_stays_then_the_greater_bytes() {
        let ascending = [
            detail("", ""),
            detail("", "abandoned"),
            detail("", "document_expired"),
            detail("vr_1", ""),
            detail("vr_1", "abandoned"),
            detail("vr_2", ""),
        ];
        for pair in ascending.windows(2) {
            let told =
                |detail: &Detail| Knowledge::from_event(Told::RequiresInput, 1, detail.clone());
            let known = sum(&[told(&pair[1]), told(&pair[0])]);
            assert_eq!(known.events.unwrap().told[&Told::RequiresInput], pair[1]);
        }
    }

    #[test]
    fn a_read_that_travelled_for_long_does_not_outrank_a_quick_one() {
        let quick = Knowledge::from_read(50, 52, Status::Verified, Detail::default());
        let slow = Knowledge::from_read(10, 90, Status::Processing, Detail::default());
        assert_eq!(sum(&[quick.clone(), slow]), quick);
    }

    #[test]
    fn reads_as_of_one_second_are_all_kept_and_reach_as_far_as_the_longest() {
        let known = sum(&[
            Knowledge::from_read(50, 52, Status::Verified, Detail::default()),
            Knowledge::from_read(50, 60, Status::RequiresInput, Detail::default()),
        ]);
        let reads = known.reads.unwrap();
        assert_eq!((reads.as_of, reads.until, reads.read.len()), (50, 60, 2));
    }

    #[test]
    fn every_report_ever_named_is_remembered() {
        let known = sum(&[
            Knowledge::from_event(Told::Verified, 30, detail("vr_3", "")),
            Knowledge::from_event(Told::RequiresInput, 10, detail("vr_1", "abandoned")),
            Knowledge::from_read(20, 21, Status::RequiresInput, detail("vr_2", "")),
            Knowledge::from_read(25, 26, Status::Processing, Detail::default()),
            Knowledge::from_event(Told::Processing, 26, Detail::default())
                .with_report(Some("vr_4".to_owned())),
        ]);
        let reports: Vec<_> = known.reports.iter().map(String::as_str).collect();
        assert_eq!(reports, ["vr_1", "vr_2", "vr_3", "vr_4"]);
        let events = known.events.map(|events| events.second);
        assert_eq!(events, Some(30), "nothing else of it is lost");
    }

    #[test]
    fn a_redaction_never_goes_back() {
        let known = sum(&[
            Knowledge::default().with_redaction(Redaction::Redacted),
            Knowledge::from_read(99, 100, Status::Verified, Detail::default())
                .with_redaction(Redaction::Processing),
        ]);
        assert_eq!(known.redaction, Redaction::Redacted);
    }
}
