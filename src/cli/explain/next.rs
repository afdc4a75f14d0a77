//! What happens next to one attempt.

use super::time;
use crate::{
    domain::{Status, advice, refresh::TRIES_BEFORE_ALARM},
    store::AttemptRecord,
};

/// By itself, or by the person's next click, which the limits may refuse.
pub(super) fn next(record: &AttemptRecord, refusal: Option<&str>) -> String {
    find_under_way(record)
        .or_else(|| refusal.map(str::to_owned))
        .unwrap_or_else(|| by_click(record))
}

pub(super) fn error_code(record: &AttemptRecord) -> Option<String> {
    record.knowledge.verdict().and_then(|verdict| verdict.error)
}

/// Asked about so often in vain that somebody should look.
pub(super) fn is_unsettled(record: &AttemptRecord) -> bool {
    let tries = u32::try_from(record.refresh_tries).unwrap_or(0);
    record.refresh_due_at.is_some() && tries >= TRIES_BEFORE_ALARM
}

fn find_under_way(record: &AttemptRecord) -> Option<String> {
    if record.gone_at.is_some() {
        return None;
    }
    if let Some(status) = &record.unknown_status {
        return Some(format!(
            "Stripe says {status:?}, which this version does not know: upgrade Verigate"
        ));
    }
    if let Some(due) = record.refresh_due_at {
        let asked = record.refresh_tries;
        if is_unsettled(record) {
            return Some(format!(
                "Stripe was asked {asked} times and does not settle it: look at the session in Stripe's Dashboard; it is \
                 asked again at {}",
                time(due)
            ));
        }
        return Some(format!(
            "Stripe is asked at {} (asked {asked} times so far)",
            time(due)
        ));
    }
    if let Some(until) = record.lease_until {
        return Some(format!(
            "a start is under way, until {} at the latest",
            time(until)
        ));
    }
    let waits = match record.status {
        None if record.session_id.is_some() => {
            "nothing is known of the session yet; its events are awaited"
        }
        Some(Status::Processing) => "Stripe checks the document; its event is awaited",
        Some(Status::Verified) => "nothing: verified",
        None | Some(Status::RequiresInput | Status::Canceled) => return None,
    };
    Some(waits.to_owned())
}

fn by_click(record: &AttemptRecord) -> String {
    if record.gone_at.is_some() {
        return "Stripe has no such session (another account or mode, or a restarted sandbox); \
                the person's next click makes a new one"
            .to_owned();
    }
    if record.session_id.is_none() {
        let next = if record.current {
            "no session yet: the person's next click creates it"
        } else {
            "closed without a session; the person's next click makes a new attempt"
        };
        return next.to_owned();
    }
    if record.status == Some(Status::Canceled) {
        return "closed; the person's next click makes a new session".to_owned();
    }
    error_code(record).map_or_else(
        || "waiting for the person to hand in a document at Stripe".to_owned(),
        |code| format!("the person is told: {}", advice(Some(&code)).reason),
    )
}
