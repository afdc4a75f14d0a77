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
    /// Since when: the second of the observation that won, or of the events that say the same.
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
    /// It was verified, and newer events say that it no longer is. Nobody loses that on hearsay: the events
    /// of a check that passed at once may be stamped the wrong way round.
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
    ///
    /// Where events and reads disagree, the newer speaks: the read if it is as of a later second than the
    /// newest event, else the events. As of that very second a read speaks if what it saw is usually the end
    /// of a story, `verified` or `canceled`; the rest of the story may still be in the events.
    ///
    /// Where they agree, the newer knows the code and the report, but the events know since when: a look that
    /// finds nothing changed does not make a person verified anew.
    pub fn verdict(&self) -> Option<Verdict> {
        let told = self.events.as_ref().and_then(EventMaximum::verdict);
        let read = self.reads.as_ref().and_then(ReadMaximum::verdict);
        let (told, read) = match (told, read) {
            (Some(told), Some(read)) => (told, read),
            (told, read) => return told.or(read),
        };
        let newer = read.second > told.second;
        if read.status == told.status {
            let second = told.second;
            let newest = if newer { read } else { told };
            return Some(Verdict { second, ..newest });
        }
        let ends = matches!(read.status, Status::Verified | Status::Canceled);
        let read_wins = newer || (read.second == told.second && ends);
        Some(if read_wins { read } else { told })
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

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Canceled, Processing, RequiresInput, Verified};

    fn event(told: Told, second: i64) -> Knowledge {
        Knowledge::from_event(told, second, Detail::default())
    }

    fn read(as_of: i64, until: i64, status: Status) -> Knowledge {
        Knowledge::from_read(as_of, until, status, Detail::default())
    }

    fn with_report(report: &str) -> Detail {
        Detail {
            report: Some(report.to_owned()),
            error: None,
        }
    }

    fn sum<const N: usize>(parts: &[Knowledge; N]) -> Knowledge {
        let mut known = Knowledge::default();
        for part in parts {
            known.merge(part);
        }
        known
    }

    fn status(known: &Knowledge) -> Option<Status> {
        known.verdict().map(|verdict| verdict.status)
    }

    #[test]
    fn every_doubt_has_the_word_that_operators_search_for() {
        let words = [
            "requires_input_beside",
            "canceled_beside_verified",
            "demotion",
            "read_contradicts",
            "reads_differ",
        ];
        assert_eq!(Doubt::ALL.map(Doubt::as_str), words);
    }

    #[test]
    fn knowing_nothing_shows_nothing_and_doubts_nothing() {
        let nothing = Knowledge::default().with_redaction(crate::domain::Redaction::Redacted);
        assert_eq!(nothing.verdict(), None);
        assert_eq!(nothing.doubt(), None);
    }

    #[test]
    fn the_newest_second_decides_and_no_rank_beats_it() {
        let known = sum(&[event(Told::Verified, 10), event(Told::RequiresInput, 11)]);
        assert_eq!(status(&known), Some(RequiresInput));
        let known = sum(&[event(Told::Canceled, 10), event(Told::Processing, 11)]);
        assert_eq!(status(&known), Some(Processing));
    }

    #[test]
    fn within_a_second_the_rank_decides() {
        for (i, lower) in Told::ALL.into_iter().enumerate() {
            for higher in &Told::ALL[i..] {
                let known = sum(&[event(*higher, 10), event(lower, 10)]);
                assert_eq!(
                    status(&known),
                    Some(higher.status()),
                    "{lower:?} {higher:?}"
                );
            }
        }
    }

    #[test]
    fn a_read_wins_when_it_is_newer_than_the_newest_event() {
        for told in Told::ALL {
            for seen in Status::ALL {
                let known = sum(&[event(told, 10), read(11, 13, seen)]);
                assert_eq!(status(&known), Some(seen), "{told:?} {seen:?}");
                let known = sum(&[event(told, 10), read(9, 11, seen)]);
                assert_eq!(status(&known), Some(told.status()), "{told:?} {seen:?}");
            }
        }
    }

    #[test]
    fn as_of_the_very_second_of_the_newest_event_only_a_final_word_wins() {
        for told in Told::ALL {
            for seen in Status::ALL {
                let known = sum(&[event(told, 10), read(10, 12, seen)]);
                let wins = matches!(seen, Verified | Canceled);
                let expected = if wins { seen } else { told.status() };
                assert_eq!(status(&known), Some(expected), "{told:?} {seen:?}");
            }
        }
    }

    /// Verified, overturned and submitted again in one second, verified once more in the next; a look between
    /// the first and the second, dated a second ahead, must not bring the first report back.
    #[test]
    fn where_both_agree_about_one_second_the_event_tells_which_report() {
        let known = sum(&[
            Knowledge::from_event(Told::Verified, 9, with_report("vr_first")),
            event(Told::RequiresInput, 9),
            event(Told::Processing, 9),
            Knowledge::from_read(10, 11, Verified, with_report("vr_first")),
            Knowledge::from_event(Told::Verified, 10, with_report("vr_again")),
        ]);
        assert_eq!(known.doubt(), None);
        assert_eq!(known.verdict().unwrap().report.as_deref(), Some("vr_again"));
    }

    #[test]
    fn code_and_report_come_from_the_winner_or_not_at_all() {
        let failure = Detail {
            report: Some("vr_1".to_owned()),
            error: Some("document_expired".to_owned()),
        };
        let failed = Knowledge::from_event(Told::RequiresInput, 10, failure);
        let verdict = failed.verdict().unwrap();
        assert_eq!(verdict.error.as_deref(), Some("document_expired"));
        assert_eq!(verdict.report.as_deref(), Some("vr_1"));
        for newer in [event(Told::Processing, 12), read(12, 14, Processing)] {
            let verdict = sum(&[failed.clone(), newer]).verdict().unwrap();
            assert_eq!((verdict.error, verdict.report), (None, None));
        }
    }

    /// Every verified session is read again once a day, and nobody was verified anew by that.
    #[test]
    fn a_look_that_finds_no_change_does_not_move_the_second() {
        let verified = event(Told::Verified, 10);
        for as_of in [10, 11, 5000] {
            let known = sum(&[verified.clone(), read(as_of, as_of + 2, Verified)]);
            assert_eq!(known.verdict().unwrap().second, 10);
        }
        let known = sum(&[verified, read(5000, 5002, RequiresInput)]);
        assert_eq!(known.verdict().unwrap().second, 5000);
    }

    #[test]
    fn what_naturally_shares_a_second_is_no_doubt() {
        use Told::{Canceled, Created, Processing, RequiresInput, Verified};
        let natural = [
            vec![Created, Processing],
            vec![Created, RequiresInput],
            vec![Created, Canceled],
            vec![Created, Verified],
            vec![Processing, Verified],
            vec![Created, Processing, Verified],
            vec![Processing, Canceled],
            vec![RequiresInput, Canceled],
        ];
        for together in natural {
            let mut known = Knowledge::default();
            for told in &together {
                known.merge(&event(*told, 10));
            }
            assert_eq!(known.doubt(), None, "{together:?}");
        }
    }

    #[test]
    fn a_failure_beside_a_submission_or_a_success_is_a_doubt() {
        for other in [Told::Processing, Told::Verified] {
            let known = sum(&[event(Told::RequiresInput, 10), event(other, 10)]);
            assert_eq!(known.doubt(), Some(Doubt::RequiresInputBeside));
        }
    }

    #[test]
    fn a_closing_beside_a_success_is_a_doubt() {
        let known = sum(&[event(Told::Canceled, 10), event(Told::Verified, 10)]);
        assert_eq!(known.doubt(), Some(Doubt::CanceledBesideVerified));
    }

    #[test]
    fn nobody_stops_being_verified_on_the_word_of_events_alone() {
        for told in [Told::Processing, Told::RequiresInput, Told::Canceled] {
            let known = sum(&[event(Told::Verified, 10), event(told, 500)]);
            assert_eq!(known.doubt(), Some(Doubt::Demotion), "{told:?}");
            let asked = sum(&[known, read(502, 503, told.status())]);
            assert_eq!(asked.doubt(), None, "{told:?}");
        }
    }

    #[test]
    fn a_look_that_may_have_been_taken_after_the_newest_event_and_differs_is_a_doubt() {
        let verified = event(Told::Verified, 100);
        let contradicts = |as_of, until| {
            let known = sum(&[verified.clone(), read(as_of, until, RequiresInput)]);
            known.doubt() == Some(Doubt::ReadContradicts)
        };
        assert!(contradicts(101, 102), "its `Date` may be a second ahead");
        assert!(contradicts(100, 101));
        assert!(contradicts(20, 100), "its answer travelled for long");
        assert!(!contradicts(20, 99), "it was over before the event");
        assert!(!contradicts(102, 103), "it began after the event");
        let agrees = sum(&[verified.clone(), read(100, 101, Verified)]);
        assert_eq!(agrees.doubt(), None);
    }

    #[test]
    fn doubts_about_events_end_with_a_look_two_seconds_later_and_no_earlier() {
        let known = sum(&[event(Told::RequiresInput, 10), event(Told::Verified, 10)]);
        for (as_of, settled) in [(9, false), (10, false), (11, false), (12, true)] {
            let asked = sum(&[known.clone(), read(as_of, as_of + 1, Verified)]);
            assert_eq!(asked.doubt().is_none(), settled, "as of {as_of}");
        }
    }

    #[test]
    fn looks_that_differ_are_a_doubt_until_a_later_look_whatever_the_events_say() {
        let differ = sum(&[read(50, 51, Verified), read(50, 52, RequiresInput)]);
        assert_eq!(status(&differ), Some(Verified));
        assert_eq!(differ.doubt(), Some(Doubt::ReadsDiffer));
        let differ = sum(&[differ, event(Told::Verified, 10)]);
        assert_eq!(differ.doubt(), Some(Doubt::ReadsDiffer));
        let again = sum(&[differ, read(51, 52, RequiresInput)]);
        assert_eq!(status(&again), Some(RequiresInput));
        assert_eq!(again.doubt(), None);
    }
}
