//! Identifiers: ours are UUIDs, Stripe's are text we never take apart.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A user of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// One attempt of a user's to be verified: our row, which exists before Stripe is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub Uuid);

/// Stripe's `vs_…` id of a `VerificationSession`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// Stripe promises no more of an id than that it fits into 255 characters, so that is all we ask,
    /// beside that it can be stored and printed.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.chars().count() <= 255;
        let printable = !text.chars().any(char::is_control);
        (fits && printable).then(|| Self(text.to_owned()))
    }

    /// The id as Stripe wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_kept_as_stripe_wrote_it() {
        let id = SessionId::parse("vs_1NuNAILkdIwHu7ix").unwrap();
        assert_eq!(id.as_str(), "vs_1NuNAILkdIwHu7ix");
        assert_eq!(id.to_string(), "vs_1NuNAILkdIwHu7ix");
        assert_eq!(serde_json::to_value(&id).unwrap(), "vs_1NuNAILkdIwHu7ix");
    }

    #[test]
    fn a_session_id_is_refused_when_it_cannot_be_stored_or_printed() {
        assert!(SessionId::parse(&"v".repeat(255)).is_some());
        assert!(SessionId::parse(&"é".repeat(255)).is_some());
        for wrong in ["", "vs_\0", "vs_1\n", "\u{7f}", &"v".repeat(256)] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn our_ids_read_as_plain_uuids() {
        let uuid = Uuid::from_u128(7);
        assert_eq!(UserId(uuid).to_string(), uuid.to_string());
        assert_eq!(
            serde_json::to_value(AttemptId(uuid)).unwrap(),
            uuid.to_string()
        );
    }
}
