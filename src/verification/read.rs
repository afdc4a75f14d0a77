//! Turns what Stripe answered, or sent, into observations.

use super::observe::{Naming, Observation, Source};
use crate::{
    domain::{AttemptId, Detail, Knowledge, Redaction, SessionId, Status, Told},
    store::About,
    stripe::{
        AsOf, Reply, SessionStatus, VerificationSession,
        event::{Event, EventKind, Snapshot},
    },
};

/// Types of events about a session begin with this.
const SESSION_EVENTS: &str = "identity.verification_session.";

/// What a delivery amounts to for its session.
#[derive(Debug)]
pub(super) struct Reading {
    /// The session it speaks of.
    pub(super) session: SessionId,
    /// Whose attempt the session says it is.
    pub(super) naming: Naming,
    /// What it says.
    pub(super) observation: Observation,
}

impl Reading {
    /// What it is about, and which delivery tells it, if one does.
    pub(super) fn about<'a>(&'a self, event: Option<&'a str>) -> About<'a> {
        About {
            event,
            session: &self.session,
            attempt: self.naming.attempt,
        }
    }
}

/// Reads a delivery; `None` if it is about nothing of ours. Whatever is not a plain statement about a state is a hint: thin events, types we do not know, a
/// type that its own snapshot contradicts, an event without its second.
pub(super) fn event(event: &Event) -> Option<Reading> {
    let kind = event.type_.strip_prefix(SESSION_EVENTS)?;
    let session = event.session_id.as_deref().and_then(SessionId::parse)?;
    let snapshot = event
        .session
        .as_ref()
        .filter(|_| event.kind == EventKind::Snapshot);
    let naming = Naming {
        attempt: snapshot.and_then(|s| attempt(s.attempt.as_deref())),
    };
    let told = snapshot
        .zip(event.created)
        .and_then(|(snapshot, second)| state(kind, second, snapshot));
    let (knowledge, source) = match told {
        Some(knowledge) => (knowledge, Source::Event),
        None => (Knowledge::default(), Source::Hint),
    };
    // A report is of a check that was billed, whatever else it says.
    let named = snapshot.and_then(|snapshot| snapshot.report.clone());
    let knowledge = knowledge.with_report(named);
    let cause = format!("{} {}", event.id, event.type_);
    Some(Reading {
        session,
        naming,
        observation: Observation {
            knowledge,
            cause,
            source,
        },
    })
}

fn state(kind: &str, second: i64, snapshot: &Snapshot) -> Option<Knowledge> {
    let level = snapshot
        .redaction
        .as_deref()
        .and_then(Redaction::parse)
        .unwrap_or_default();
    if kind == "redacted" {
        // Its snapshot may lag behind its type.
        return Some(Knowledge::default().with_redaction(level.max(Redaction::Redacted)));
    }
    let told = Told::parse(kind)?;
    if status(snapshot.status.as_ref()?)? != told.status() {
        return None;
    }
    let detail = Detail {
        error: snapshot.last_error_code.clone(),
        report: snapshot.report.clone(),
    };
    Some(Knowledge::from_event(told, second, detail).with_redaction(level))
}

/// Reads an answer of Stripe's. One without a `Date` cannot be placed in time, and tells no status.
pub(super) fn answer(
    reply: &Reply<VerificationSession>,
    answers: Option<i32>,
    cause: &str,
) -> Observation {
    session(&reply.value, reply.as_of, answers, cause)
}

/// Reads one session, alone or out of a list.
pub(super) fn session(
    session: &VerificationSession,
    as_of: Option<AsOf>,
    answers: Option<i32>,
    cause: &str,
) -> Observation {
    let level = redaction(session);
    let mut unknown_status = None;
    let mut knowledge = Knowledge::default();
    match (status(&session.status), as_of) {
        (Some(status), Some(as_of)) => {
            let detail = Detail {
                error: session
                    .last_error
                    .as_ref()
                    .and_then(|error| error.code.clone()),
                report: session.last_verification_report.clone(),
            };
            knowledge = Knowledge::from_read(as_of.second, as_of.until, status, detail);
        }
        (None, _) => unknown_status = Some(session.status.as_str().to_owned()),
        (Some(_), None) => {}
    }
    if let Some(status) = &unknown_status {
        metrics::counter!("verigate_unknown_statuses_total").increment(1);
        tracing::error!(
            stripe.session = %session.id,
            status = %status,
            "Stripe sent a status this version does not know; nothing was changed, upgrade Verigate"
        );
    }
    let of_redaction = session.redaction.as_deref();
    if let Some(word) = of_redaction.filter(|word| Redaction::parse(word).is_none()) {
        metrics::counter!("verigate_unknown_statuses_total").increment(1);
        tracing::error!(
            stripe.session = %session.id,
            status = %word,
            "Stripe sent a status of a redaction that this version does not know; it is taken for none that has begun, \
             upgrade Verigate"
        );
    }
    Observation {
        knowledge: knowledge
            .with_redaction(level)
            .with_report(session.last_verification_report.clone()),
        cause: cause.to_owned(),
        source: Source::Read {
            answers,
            unknown_status,
        },
    }
}

/// How far an answer says that the session's redaction is. A word we do not know is of none that has begun.
pub(super) fn redaction(session: &VerificationSession) -> Redaction {
    let word = session.redaction.as_deref();
    word.and_then(Redaction::parse).unwrap_or_default()
}

/// Whose attempt an answer says it is.
pub(super) fn naming(session: &VerificationSession) -> Naming {
    Naming {
        attempt: attempt(session.attempt()),
    }
}

fn attempt(text: Option<&str>) -> Option<AttemptId> {
    text.and_then(|text| text.parse().ok()).map(AttemptId)
}

fn status(status: &SessionStatus) -> Option<Status> {
    match status {
        SessionStatus::RequiresInput => Some(Status::RequiresInput),
        SessionStatus::Processing => Some(Status::Processing),
        SessionStatus::Verified => Some(Status::Verified),
        SessionStatus::Canceled => Some(Status::Canceled),
        SessionStatus::Unknown(_) => None,
    }
}
