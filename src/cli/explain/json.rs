//! The same for programs.

use chrono::DateTime;
use serde_json::{Value, json};

use super::{
    Attempt, Explanation, Standing,
    next::{error_code, is_unsettled},
};
use crate::domain::{Doubt, Status};

impl Explanation {
    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "person": self.person.as_ref().map(|person| json!({
                "id": person.id,
                "realm": person.realm,
                "external_id": person.external_id,
                "updated_at": person.updated_at,
                "forgotten_at": person.forgotten_at,
            })),
            "standings": self.standings.iter().map(Standing::to_json).collect::<Vec<_>>(),
            "checks": self.usage.map(|usage| json!({
                "today": usage.today,
                "ever": usage.ever,
                "extra_attempts": usage.extra_attempts,
                "reserved": usage.reserved,
            })),
            "next": self.next(),
            "attempts": self.attempts.iter().map(Attempt::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Standing {
    fn to_json(&self) -> Value {
        let verified_at = self.state.verified_at_second;
        json!({
            "livemode": self.livemode,
            "policy": self.policy,
            "status": self.state.status.as_str(),
            "verified_at": verified_at.and_then(|second| DateTime::from_timestamp(second, 0)),
            "verification_id": self.decided_by,
        })
    }
}

impl Attempt {
    fn to_json(&self) -> Value {
        let record = &self.record;
        json!({
            "id": record.id,
            "session_id": record.session_id,
            "livemode": record.livemode,
            "counts": self.counts,
            "policy": record.policy,
            "policies_asked": record.policies_asked,
            "client": record.client,
            "status": record.status.map(Status::as_str),
            "last_error_code": error_code(record),
            "redaction": record.knowledge.redaction.as_str(),
            "redaction_requested_at": record.redaction_requested_at,
            "redaction_overdue_at": record.redaction_overdue_at,
            "redaction_outcome": record.redaction_outcome,
            "reports": record.reports,
            "events_told": record.knowledge.events,
            "reads_told": record.knowledge.reads,
            "doubt": record.knowledge.doubt().map(Doubt::as_str),
            "doubt_since": record.doubt_since,
            "open_hints": record.open_hints,
            "unknown_status": record.unknown_status,
            "refresh_due_at": record.refresh_due_at,
            "refresh_tries": record.refresh_tries,
            "unsettled": is_unsettled(record),
            "current": record.current,
            "lease_until": record.lease_until,
            "gone_at": record.gone_at,
            "created_at": record.created_at,
            "next": self.next,
            "history": self.history.iter().map(|line| json!({
                "at": line.at, "from": line.from, "to": line.to, "cause": line.cause,
            })).collect::<Vec<_>>(),
            "events": self.deliveries.iter().map(|event| json!({
                "id": event.id, "type": event.kind, "created": event.created,
                "received_at": event.received_at, "outcome": event.outcome,
            })).collect::<Vec<_>>(),
        })
    }
}
