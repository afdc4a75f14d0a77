//! The truth about one session: its state at every moment, and the events Stripe makes of it.

use std::collections::BTreeSet;

use crate::domain::{Detail, Knowledge, Redaction, Status, Told};

/// Milliseconds on the clock that stamps Stripe's events.
pub(super) type Millis = i64;

/// Something that can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The person submits a document.
    Submit,
    /// A check fails, with this code.
    Fail(&'static str),
    /// Every check passes.
    Pass,
    /// A reviewer takes a verification back.
    Overturn,
    /// A reviewer verifies a session whose check failed.
    Uphold,
    /// The session is closed.
    Cancel,
    /// The person's data is to be erased.
    Redact,
    /// Stripe says `validated` of a redaction that has not begun, and sends no event.
    Validate,
    /// The data is erased.
    Erase,
}

/// The state of a session from one moment to the next.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) at: Millis,
    pub(super) status: Status,
    pub(super) detail: Detail,
    pub(super) redaction: Redaction,
}

/// An event as Stripe made it; `told` is none for `redacted`.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// When it was made, which gives its stamp; usually the moment of the change.
    pub(super) made: Millis,
    pub(super) told: Option<Told>,
    detail: Detail,
    redaction: Redaction,
}

/// Everything that ever happened to one session.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) moments: Vec<Moment>,
    pub(super) events: Vec<Event>,
    salt: u32,
    attempts: u32,
}

impl Life {
    /// A session that was just made. The salt decides how its reports are named, so that a newer
    /// report is not always the greater one.
    pub(super) fn new(at: Millis, salt: u32) -> Self {
        let mut life = Self {
            moments: Vec::new(),
            events: Vec::new(),
            salt,
            attempts: 0,
        };
        let open = Moment {
            at,
            status: Status::RequiresInput,
            detail: Detail::default(),
            redaction: Redaction::None,
        };
        life.record(open, Some(Told::Created));
        life
    }

    /// The steps Stripe would allow now; a failure stands for all of its codes.
    pub(super) fn possible(&self) -> Vec<Step> {
        let now = self.end();
        let processed = now.detail.report.is_some();
        match (now.redaction, now.status) {
            (Redaction::None | Redaction::Validated, Status::Processing) => {
                vec![Step::Fail("document_expired"), Step::Pass]
            }
            (Redaction::None, Status::RequiresInput) if processed => {
                vec![Step::Submit, Step::Uphold, Step::Cancel, Step::Redact]
            }
            (Redaction::None, Status::RequiresInput) => {
                vec![Step::Submit, Step::Cancel, Step::Validate, Step::Redact]
            }
            (Redaction::Validated, Status::RequiresInput) => {
                vec![Step::Submit, Step::Cancel, Step::Redact]
            }
            (Redaction::None, Status::Verified) => {
                vec![Step::Overturn, Step::Validate, Step::Redact]
            }
            (Redaction::Validated, Status::Verified) => vec![Step::Overturn, Step::Redact],
            (Redaction::None | Redaction::Validated, Status::Canceled) => vec![Step::Redact],
            (Redaction::Processing, _) => vec![Step::Erase],
            (Redaction::Redacted, _) => vec![],
        }
    }

    /// Lets `step` happen, and makes its event if it has one.
    pub(super) fn step(&mut self, at: Millis, step: Step) {
        let mut next = self.end().clone();
        assert!(
            at >= next.at,
            "time runs forward: {step:?} at {at} in {self:?}"
        );
        next.at = at;
        let told = match step {
            Step::Submit => Some(Told::Processing),
            Step::Fail(_) | Step::Overturn => Some(Told::RequiresInput),
            Step::Pass | Step::Uphold => Some(Told::Verified),
            Step::Cancel => Some(Told::Canceled),
            Step::Redact => (next.status == Status::RequiresInput).then_some(Told::Canceled),
            Step::Validate | Step::Erase => None,
        };
        next.status = told.map_or(next.status, Told::status);
        next.detail = self.detail_after(step, next.detail);
        next.redaction = match step {
            Step::Redact => Redaction::Processing,
            Step::Validate => Redaction::Validated,
            Step::Erase => Redaction::Redacted,
            Step::Submit
            | Step::Fail(_)
            | Step::Pass
            | Step::Overturn
            | Step::Uphold
            | Step::Cancel => next.redaction,
        };
        if told.is_some() || step == Step::Erase {
            self.record(next, told);
        } else {
            self.moments.push(next);
        }
    }

    /// What a look at this moment sees; of two changes in one millisecond, the later.
    pub(super) fn at(&self, at: Millis) -> &Moment {
        self.moments
            .iter()
            .rfind(|moment| moment.at <= at)
            .unwrap_or(&self.moments[0])
    }

    /// How it ended.
    pub(super) fn end(&self) -> &Moment {
        self.moments.last().unwrap()
    }

    /// Since when it has had the status it ended with.
    pub(super) fn last_change(&self) -> Millis {
        let last = self.end().status;
        let since = self
            .moments
            .iter()
            .rev()
            .take_while(|moment| moment.status == last);
        since.last().unwrap().at
    }

    /// Every report Stripe ever made of it.
    pub(super) fn reports(&self) -> BTreeSet<String> {
        (1..=self.attempts)
            .map(|attempt| self.report(attempt))
            .collect()
    }

    fn detail_after(&mut self, step: Step, before: Detail) -> Detail {
        if matches!(step, Step::Fail(_) | Step::Pass) {
            self.attempts += 1;
        }
        let report = (self.attempts > 0).then(|| self.report(self.attempts));
        let error = match step {
            Step::Fail(code) => Some(code.to_owned()),
            Step::Overturn => Some("document_unverified_other".to_owned()),
            Step::Submit | Step::Pass | Step::Uphold => None,
            Step::Cancel | Step::Redact | Step::Validate | Step::Erase => before.error,
        };
        Detail { report, error }
    }

    fn report(&self, attempt: u32) -> String {
        format!("vr_{:04x}", (attempt * 0x9e37 + self.salt) & 0xffff)
    }

    fn record(&mut self, moment: Moment, told: Option<Told>) {
        self.events.push(Event {
            made: moment.at,
            told,
            detail: moment.detail.clone(),
            redaction: moment.redaction,
        });
        self.moments.push(moment);
    }
}

impl Event {
    /// What someone knows who has heard only this event.
    pub(super) fn heard(&self) -> Knowledge {
        let reports = self.detail.report.iter().cloned().collect();
        let known = match self.told {
            Some(told) => Knowledge::from_event(told, self.second(), self.detail.clone()),
            None => Knowledge {
                reports,
                ..Knowledge::default()
            },
        };
        known.with_redaction(self.redaction)
    }

    /// The stamp it carries.
    pub(super) fn second(&self) -> i64 {
        self.made.div_euclid(1000)
    }
}
