//! The lifecycle of a session: submit, finish, cancel, redact, override, each with its event.

use serde::{Deserialize, Serialize};

use super::{
    codes::{self, Check, Code},
    events::Cause,
    report::Report,
    schedule::Job,
    session::{Redaction, Session, Status, Verdict},
    world::World,
};

/// What a person can do on the hosted page; the names are its buttons' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Case {
    /// Verified at once.
    Success,
    /// Fails at once.
    Failure,
    /// Processing first, then verified.
    SuccessAsync,
    /// Processing first, then fails.
    FailureAsync,
    /// Does not consent.
    DeclineConsent,
    /// Has no camera, or refuses it.
    NoCamera,
    /// Is too young.
    UnderAge,
    /// Cannot confirm the phone number.
    DeclinePhone,
    /// Cannot confirm the e-mail address.
    DeclineEmail,
    /// Closes the page; nothing happens.
    Leave,
    /// Began and never came back.
    Abandon,
}

/// Why a session cannot do what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// There is no such session.
    Missing,
    /// Its status does not allow it.
    WrongStatus(Status),
    /// It is redacted, or being redacted.
    Redacted,
    /// There is no such failure code.
    UnknownCode,
}

/// What a page tells its opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Documents went in.
    Submitted,
    /// It ended before that, with a failure code.
    Ended(&'static Code),
    /// Left; nothing was sent.
    Left,
}

impl Case {
    /// The failure code a case always has, where the person had no choice of one.
    fn fixed_code(self) -> Option<&'static str> {
        match self {
            Self::DeclineConsent => Some("consent_declined"),
            Self::NoCamera => Some("device_not_supported"),
            Self::UnderAge => Some("under_supported_age"),
            Self::DeclinePhone => Some("phone_verification_declined"),
            Self::DeclineEmail => Some("email_verification_declined"),
            Self::Abandon => Some("abandoned"),
            Self::Success
            | Self::Failure
            | Self::SuccessAsync
            | Self::FailureAsync
            | Self::Leave => None,
        }
    }
}

impl World {
    fn open_session(&mut self, id: &str) -> Result<&mut Session, Stuck> {
        let session = self.sessions.find_mut(id).ok_or(Stuck::Missing)?;
        if session.redaction.is_some() {
            Err(Stuck::Redacted)
        } else if session.status == Status::RequiresInput {
            Ok(session)
        } else {
            Err(Stuck::WrongStatus(session.status))
        }
    }

    /// A person does something on the hosted page.
    pub(crate) fn submit(
        &mut self,
        id: &str,
        case: Case,
        code: Option<&str>,
        now_ms: i64,
    ) -> Result<Outcome, Stuck> {
        let code = code.filter(|code| !code.is_empty());
        let chosen = codes::find(case.fixed_code().or(code).unwrap_or(codes::DEFAULT));
        let chosen = chosen.ok_or(Stuck::UnknownCode)?;
        let session = self.open_session(id)?;
        if case == Case::Leave {
            return Ok(Outcome::Left);
        }
        session.passes.clear();
        session.attempt += 1;
        let fails = matches!(case, Case::Failure | Case::FailureAsync);
        if case.fixed_code().is_some() || fails && chosen.check == Check::None {
            session.last_error = Some(chosen);
            if chosen.name != "abandoned" && self.knobs.decline_events {
                self.emit(id, "requires_input", &Cause::default(), now_ms);
            }
            return Ok(Outcome::Ended(chosen));
        }
        let is_async = matches!(case, Case::SuccessAsync | Case::FailureAsync);
        session.pending = Some(fails.then_some(chosen));
        session.last_error = None;
        session.status = Status::Processing;
        let attempt = session.attempt;
        if is_async || self.knobs.sync_processing {
            self.emit(id, "processing", &Cause::default(), now_ms);
        }
        if is_async {
            let due_ms = now_ms + i64::from(self.knobs.async_delay_ms);
            let session = id.to_owned();
            self.schedule.add(due_ms, Job::Finish { session, attempt });
        } else {
            self.finish(id, attempt, now_ms);
        }
        Ok(Outcome::Submitted)
    }

    /// The checks of an attempt end, unless something else ended it before.
    pub(crate) fn finish(&mut self, id: &str, attempt: u32, now_ms: i64) {
        let Some(session) = self.sessions.find_mut(id) else {
            return;
        };
        if session.attempt != attempt || session.status != Status::Processing {
            return;
        }
        let Some(verdict) = session.pending.take() else {
            return;
        };
        let report = Report::new(session, verdict, now_ms);
        session.report = Some(report.id.clone());
        self.reports.insert(report);
        self.conclude(id, verdict, now_ms);
    }

    fn conclude(&mut self, id: &str, verdict: Verdict, now_ms: i64) {
        let Some(session) = self.sessions.find_mut(id) else {
            return;
        };
        session.last_error = verdict;
        session.status = match verdict {
            None => Status::Verified,
            Some(_) => Status::RequiresInput,
        };
        let kind = session.status.as_str();
        self.emit(id, kind, &Cause::default(), now_ms);
    }

    /// A reviewer overrides what the checks said.
    pub(crate) fn override_status(
        &mut self,
        id: &str,
        verdict: Verdict,
        now_ms: i64,
    ) -> Result<(), Stuck> {
        let session = self.sessions.find_mut(id).ok_or(Stuck::Missing)?;
        if session.redaction.is_some() {
            return Err(Stuck::Redacted);
        }
        if session.report.is_none() || session.status == Status::Canceled {
            return Err(Stuck::WrongStatus(session.status));
        }
        session.attempt += 1;
        session.pending = None;
        session.passes.clear();
        self.conclude(id, verdict, now_ms);
        Ok(())
    }

    pub(crate) fn cancel(&mut self, id: &str, cause: &Cause, now_ms: i64) -> Result<(), Stuck> {
        let session = self.open_session(id)?;
        session.status = Status::Canceled;
        session.passes.clear();
        self.emit(id, "canceled", cause, now_ms);
        Ok(())
    }

    /// Begins a redaction; what was personal is gone at once, the status says so later.
    pub(crate) fn redact(&mut self, id: &str, cause: &Cause, now_ms: i64) -> Result<(), Stuck> {
        let session = self.sessions.find_mut(id).ok_or(Stuck::Missing)?;
        if session.redaction.is_some() {
            return Ok(());
        }
        let was_open = session.status == Status::RequiresInput;
        match session.status {
            Status::Processing => return Err(Stuck::WrongStatus(session.status)),
            Status::RequiresInput => session.status = Status::Canceled,
            Status::Verified | Status::Canceled => {}
        }
        session.redaction = Some(Redaction::Processing);
        session.passes.clear();
        session.metadata.clear();
        session.client_reference_id = None;
        session.provided_details = serde_json::Value::Null;
        for report in self.reports.values_mut().filter(|r| r.session == id) {
            report.redact();
        }
        if was_open {
            self.emit(id, "canceled", cause, now_ms);
        }
        let due_ms = now_ms + i64::from(self.knobs.redaction_delay_ms);
        let session = id.to_owned();
        self.schedule.add(due_ms, Job::Redact { session });
        Ok(())
    }

    /// A redaction ends, here and in every event that told of the session.
    pub(crate) fn finish_redaction(&mut self, id: &str, now_ms: i64) {
        let Some(session) = self.sessions.find_mut(id) else {
            return;
        };
        session.redaction = Some(Redaction::Redacted);
        self.redact_events(id, now_ms);
        self.emit(id, "redacted", &Cause::default(), now_ms);
    }
    /// Does what waits for a session without waiting for it; returns how much that was.
    pub(crate) fn finish_early(&mut self, id: &str, now_ms: i64) -> usize {
        let jobs = self.schedule.take_of(id);
        for job in &jobs {
            self.do_now(job, now_ms);
        }
        jobs.len()
    }

    /// Does a job that needs nothing but the state.
    pub(crate) fn do_now(&mut self, job: &Job, now_ms: i64) {
        match job {
            Job::Finish { session, attempt } => self.finish(session, *attempt, now_ms),
            Job::Redact { session } => self.finish_redaction(session, now_ms),
            Job::Deliver(_) => {}
        }
    }
}
