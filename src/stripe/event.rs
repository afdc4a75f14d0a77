//! The envelope of an event: what is one, and the little that is read from it.

use std::borrow::Cow;

use chrono::DateTime;
use sha2::{Digest, Sha256};

use super::{
    json::Object,
    types::{
        ATTEMPT_KEY, SessionStatus, Wire, identifier, last_error_code, plausible, redaction_status,
        report_id, seconds, storable, value,
    },
};

const SESSION: &str = "identity.verification_session";

/// An event of Stripe's, reduced to what may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `evt_…` as Stripe gave it, or the SHA-256 (hex) of an id of any other form.
    pub id: String,
    /// Whether it carries the session or only names it.
    pub kind: EventKind,
    /// Such as `identity.verification_session.verified`; a thin event's `v1.` is gone.
    pub type_: String,
    /// When Stripe made it, in unix seconds.
    pub created: Option<i64>,
    /// Whether it is about live data.
    pub livemode: Option<bool>,
    /// The API version the snapshot is written in.
    pub api_version: Option<String>,
    /// The connected account it comes from, if any.
    pub account: Option<String>,
    /// The organisation's context, if any.
    pub context: Option<String>,
    /// The session as it was; never in a thin event.
    pub session: Option<Snapshot>,
    /// The session it is about, for both kinds.
    pub session_id: Option<String>,
}

/// The two shapes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `event`: carries the object as it was.
    Snapshot,
    /// `v2.core.event`: names the object, which is then read.
    Thin,
}

/// A session as an event shows it; anything but its id may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `vs_…`
    pub id: String,
    /// When the session was created, in unix seconds.
    pub created: Option<i64>,
    /// Where it stood.
    pub status: Option<SessionStatus>,
    /// Whether it was made with a live key.
    pub livemode: Option<bool>,
    /// Why the last try failed.
    pub last_error_code: Option<String>,
    /// The last report (`vr_…`).
    pub report: Option<String>,
    /// How far a redaction is, in Stripe's word.
    pub redaction: Option<String>,
    /// Whom the session was created for; a static link lets the visitor choose it.
    pub client_reference_id: Option<String>,
    /// The attempt named in the session's metadata.
    pub attempt: Option<String>,
}

/// Why a body is no event; never repeats the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// Not valid UTF-8, not JSON, not an object, or something follows it.
    #[error("the body is not one JSON object")]
    NotAnObject,
    /// `object` is neither `event` nor `v2.core.event`.
    #[error("the body is not an event object")]
    OtherObject,
    /// No id, or none that is a non-empty string.
    #[error("the event has no id")]
    NoId,
    /// No type, or none that is a non-empty string.
    #[error("the event has no type")]
    NoType,
}

/// Reads a delivery's body.
///
/// Only what makes it an event is required. Of every other member the wrong kind counts as absent,
/// because an authentic event that is refused comes back for three days.
pub fn parse(body: &[u8]) -> Result<Event, NotAnEvent> {
    Event::read(&Object::parse(body).ok_or(NotAnEvent::NotAnObject)?)
}

impl Event {
    fn read(object: &Object<'_>) -> Result<Self, NotAnEvent> {
        let kind = match object.text("object").as_deref() {
            Some("event") => EventKind::Snapshot,
            Some("v2.core.event") => EventKind::Thin,
            _ => return Err(NotAnEvent::OtherObject),
        };
        let not_empty = |bytes: &Cow<'_, [u8]>| !bytes.is_empty();
        let id = object
            .bytes("id")
            .filter(not_empty)
            .ok_or(NotAnEvent::NoId)?;
        let type_ = object
            .text("type")
            .filter(|t| !t.is_empty())
            .ok_or(NotAnEvent::NoType)?;
        let (type_, created, session, session_id) = match kind {
            EventKind::Snapshot => {
                let session = snapshot(object);
                let session_id = session.as_ref().map(|s| s.id.clone());
                (
                    type_.as_str(),
                    seconds(object, "created"),
                    session,
                    session_id,
                )
            }
            EventKind::Thin => {
                let type_ = type_.strip_prefix("v1.").unwrap_or(&type_);
                (
                    type_,
                    rfc3339_seconds(object),
                    None,
                    related_session(object),
                )
            }
        };
        Ok(Self {
            id: stored_id(&id),
            kind,
            type_: storable(type_),
            created,
            livemode: object.flag("livemode"),
            api_version: value(object, "api_version"),
            account: value(object, "account"),
            context: value(object, "context"),
            session,
            session_id,
        })
    }
}

impl Wire for Event {
    fn from_object(object: &Object<'_>) -> Option<Self> {
        Self::read(object).ok()
    }
}

/// The id is the key under which an event counts once, so no two ids may become one: an odd id is
/// hashed whole, never cut or cleaned.
fn stored_id(id: &[u8]) -> String {
    const LONGEST_TAIL: usize = 250;
    if let Some(tail) = id.strip_prefix(b"evt_")
        && tail.len() <= LONGEST_TAIL
        && tail.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    {
        return String::from_utf8_lossy(id).into_owned();
    }
    hex::encode(Sha256::digest(id))
}

fn snapshot(event: &Object<'_>) -> Option<Snapshot> {
    let object = event.object("data")?.object("object")?;
    let id = session_id(&object, "object")?;
    Some(Snapshot {
        id,
        created: seconds(&object, "created"),
        status: value(&object, "status").map(|word| SessionStatus::parse(&word)),
        livemode: object.flag("livemode"),
        last_error_code: last_error_code(&object),
        report: report_id(&object),
        redaction: redaction_status(&object),
        client_reference_id: value(&object, "client_reference_id"),
        attempt: object
            .object("metadata")
            .and_then(|m| value(&m, ATTEMPT_KEY)),
    })
}

fn related_session(event: &Object<'_>) -> Option<String> {
    if let Some(related) = event.object("related_object") {
        return session_id(&related, "type");
    }
    session_id(&event.object("data")?.object("object")?, "object")
}

/// The object's id if it is a session; one that does not say what it is must at least look like it.
fn session_id(object: &Object<'_>, member: &str) -> Option<String> {
    let id = identifier(object, "id")?;
    let is_session = match object.text(member) {
        Some(kind) => kind == SESSION,
        None => id.starts_with("vs_"),
    };
    is_session.then_some(id)
}

fn rfc3339_seconds(object: &Object<'_>) -> Option<i64> {
    let moment = DateTime::parse_from_rfc3339(&object.text("created")?).ok()?;
    Some(moment.timestamp()).filter(|second| plausible(*second))
}
