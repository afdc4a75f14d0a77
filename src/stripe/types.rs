//! Stripe's objects as they come over the wire, read leniently.
//!
//! Unknown members, statuses and codes are expected (Stripe adds them without a new version). What
//! Stripe redacted is absent here, so that `[redacted]` is never taken for a value.

use std::{collections::BTreeMap, fmt};

use secrecy::SecretString;

use super::json::Object;

/// The metadata member by which a session names the attempt it was created for.
pub const ATTEMPT_KEY: &str = "verigate_attempt";

/// The longest string that is stored, in characters; Stripe's own bound for ids.
pub(super) const LONGEST: usize = 255;

/// Where a session stands, in Stripe's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// Waiting for the person, for the first time or again.
    RequiresInput,
    /// Submitted, the checks run.
    Processing,
    /// All checks passed; a reviewer may still override it.
    Verified,
    /// Closed for good.
    Canceled,
    /// A status this version does not know.
    Unknown(String),
}

impl SessionStatus {
    /// Reads Stripe's word; any other word is `Unknown`.
    pub fn parse(text: &str) -> Self {
        match text {
            "requires_input" => Self::RequiresInput,
            "processing" => Self::Processing,
            "verified" => Self::Verified,
            "canceled" => Self::Canceled,
            other => Self::Unknown(storable(other)),
        }
    }

    /// Stripe's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::RequiresInput => "requires_input",
            Self::Processing => "processing",
            Self::Verified => "verified",
            Self::Canceled => "canceled",
            Self::Unknown(word) => word,
        }
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the last try failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Stripe's code, an open set.
    pub code: Option<String>,
}

/// A `VerificationSession` (`vs_…`).
#[derive(Clone, Debug)]
pub struct VerificationSession {
    /// `vs_…`
    pub id: String,
    /// When it was created, in unix seconds.
    pub created: Option<i64>,
    /// Whether it was made with a live key.
    pub livemode: bool,
    /// Where it stands.
    pub status: SessionStatus,
    /// Opens the modal once; only while the session waits for the person.
    pub client_secret: Option<SecretString>,
    /// Opens the hosted page once; only while the session waits for the person.
    pub url: Option<SecretString>,
    /// Why the last try failed; absent too when Stripe sends `{"code":null}`.
    pub last_error: Option<LastError>,
    /// The id of the last report (`vr_…`), also when Stripe sent it expanded.
    pub last_verification_report: Option<String>,
    /// How far a redaction is, in Stripe's word.
    pub redaction: Option<String>,
    /// Whom the session was created for, in the creator's words.
    pub client_reference_id: Option<String>,
    /// The creator's own map; wiped by redaction.
    pub metadata: BTreeMap<String, String>,
}

impl VerificationSession {
    /// Reads one session; `None` if it lacks what every session has (id, livemode, status).
    pub fn from_json(document: &[u8]) -> Option<Self> {
        Self::from_object(&Object::parse(document)?)
    }

    /// The attempt this session says it was created for.
    pub fn attempt(&self) -> Option<&str> {
        self.metadata.get(ATTEMPT_KEY).map(String::as_str)
    }
}

impl Wire for VerificationSession {
    fn from_object(object: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: identifier(object, "id")?,
            created: seconds(object, "created"),
            livemode: object.flag("livemode")?,
            status: SessionStatus::parse(&object.text("status")?),
            client_secret: secret(object, "client_secret"),
            url: secret(object, "url"),
            last_error: last_error_code(object).map(|code| LastError { code: Some(code) }),
            last_verification_report: report_id(object),
            redaction: redaction_status(object),
            client_reference_id: value(object, "client_reference_id"),
            metadata: object
                .object("metadata")
                .map_or_else(BTreeMap::new, |m| m.texts()),
        })
    }
}

/// A short-lived key for one session, for a native SDK.
#[derive(Clone, Debug)]
pub struct EphemeralKey {
    /// `ephkey_…`
    pub id: String,
    /// When it stops working, in unix seconds.
    pub expires: Option<i64>,
    /// What the app hands to the SDK.
    pub secret: SecretString,
}

impl Wire for EphemeralKey {
    fn from_object(object: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: identifier(object, "id")?,
            expires: seconds(object, "expires"),
            secret: secret(object, "secret")?,
        })
    }
}

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct List<T> {
    /// What could be read.
    pub data: Vec<T>,
    /// Whether there is another page after this one.
    pub has_more: bool,
    /// Where the next page starts (`starting_after`): the last id there is, be its item readable or not.
    pub last_id: Option<String>,
    /// How many items could not be read. One odd item must not hide the other ninety-nine.
    pub skipped: usize,
}

impl<T: Wire> Wire for List<T> {
    fn from_object(object: &Object<'_>) -> Option<Self> {
        let items = object.array("data")?;
        let objects: Vec<_> = items
            .iter()
            .filter_map(|raw| Object::from_raw(raw))
            .collect();
        let data: Vec<T> = objects.iter().filter_map(T::from_object).collect();
        Some(Self {
            has_more: object.flag("has_more").unwrap_or(false),
            last_id: objects.iter().rev().find_map(|it| identifier(it, "id")),
            skipped: items.len() - data.len(),
            data,
        })
    }
}

/// What can be read from one of Stripe's objects.
pub(super) trait Wire: Sized {
    fn from_object(object: &Object<'_>) -> Option<Self>;
}

/// Postgres refuses NUL in text, and no column is to grow without bound.
pub(super) fn storable(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(LONGEST).collect()
}

/// A string that says something: not empty, not redacted.
pub(super) fn value(object: &Object<'_>, member: &str) -> Option<String> {
    let text = storable(&object.text(member)?);
    (!text.is_empty() && text != "[redacted]").then_some(text)
}

/// An id is taken whole or not at all: shortened, it would name something else.
pub(super) fn identifier(object: &Object<'_>, member: &str) -> Option<String> {
    let text = object.text(member)?;
    let whole = !text.is_empty()
        && text.chars().count() <= LONGEST
        && !text.chars().any(char::is_control)
        && text != "[redacted]";
    whole.then_some(text)
}

/// A moment Stripe can mean: after 1970 and before the year 10000.
pub(super) fn seconds(object: &Object<'_>, member: &str) -> Option<i64> {
    object.integer(member).filter(|second| plausible(*second))
}

pub(super) fn plausible(second: i64) -> bool {
    (1..=253_402_300_799).contains(&second)
}

fn secret(object: &Object<'_>, member: &str) -> Option<SecretString> {
    let text = object.text(member)?;
    (!text.is_empty() && text != "[redacted]").then(|| SecretString::from(text))
}

pub(super) fn last_error_code(object: &Object<'_>) -> Option<String> {
    value(&object.object("last_error")?, "code")
}

pub(super) fn report_id(object: &Object<'_>) -> Option<String> {
    const MEMBER: &str = "last_verification_report";
    identifier(object, MEMBER).or_else(|| identifier(&object.object(MEMBER)?, "id"))
}

pub(super) fn redaction_status(object: &Object<'_>) -> Option<String> {
    value(&object.object("redaction")?, "status")
}
