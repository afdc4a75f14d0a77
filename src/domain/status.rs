//! The vocabulary: the states of a session, of a person, and of a redaction.

use serde::{Deserialize, Serialize};

/// The status of a session, in Stripe's words.
///
/// The order is a rank. It only ever decides between things that were told of *one* second, where the
/// time cannot; it never decides between two different seconds, because `verified` is not the end: a
/// reviewer can take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A document was submitted and is being checked.
    Processing,
    /// The person has something to do: begin, or try again.
    RequiresInput,
    /// Closed for good, by us or by a redaction.
    Canceled,
    /// Every check passed, or a reviewer said so.
    Verified,
}

impl Status {
    /// Every status, lowest rank first.
    pub const ALL: [Self; 4] = [
        Self::Processing,
        Self::RequiresInput,
        Self::Canceled,
        Self::Verified,
    ];

    /// Stripe's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::RequiresInput => "requires_input",
            Self::Canceled => "canceled",
            Self::Verified => "verified",
        }
    }

    /// Reads Stripe's word; a word we do not know is no status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// The status of a person: that of the attempt which counts, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// No session yet, or none that counts.
    #[default]
    None,
    /// The person has something to do.
    RequiresInput,
    /// A document is being checked.
    Processing,
    /// The person's identity is verified.
    Verified,
    /// The last session was closed; a new one can be started.
    Canceled,
}

impl UserStatus {
    /// Every status a person can have.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::RequiresInput,
        Self::Processing,
        Self::Verified,
        Self::Canceled,
    ];

    /// The word that is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::RequiresInput => Status::RequiresInput.as_str(),
            Self::Processing => Status::Processing.as_str(),
            Self::Verified => Status::Verified.as_str(),
            Self::Canceled => Status::Canceled.as_str(),
        }
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl From<Status> for UserStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::RequiresInput => Self::RequiresInput,
            Status::Processing => Self::Processing,
            Status::Verified => Self::Verified,
            Status::Canceled => Self::Canceled,
        }
    }
}

/// How far a session's redaction has come. Once begun it never goes back, so the greatest level ever told is true.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Redaction {
    /// Nobody asked for one.
    #[default]
    None,
    /// Stripe has found that it could be done. It has not begun, and may be called off.
    Validated,
    /// Begun; Stripe takes up to four days.
    Processing,
    /// The person's data is gone.
    Redacted,
}

impl Redaction {
    /// Every level, in order.
    pub const ALL: [Self; 4] = [
        Self::None,
        Self::Validated,
        Self::Processing,
        Self::Redacted,
    ];

    /// Does Stripe erase, or has it?
    pub fn has_begun(self) -> bool {
        self >= Self::Processing
    }

    /// Stripe's word, and `none` where Stripe has null.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Validated => "validated",
            Self::Processing => "processing",
            Self::Redacted => "redacted",
        }
    }

    /// Reads Stripe's word; a word we do not know is no level.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(UserStatus::from(status).as_str(), status.as_str());
        }
        for status in UserStatus::ALL {
            assert_eq!(UserStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for level in Redaction::ALL {
            assert_eq!(Redaction::parse(level.as_str()), Some(level));
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
    }

    #[test]
    fn a_word_stripe_may_invent_later_is_no_status() {
        for word in ["", "Verified", "requires_action", "none", " verified"] {
            assert_eq!(Status::parse(word), None, "{word:?}");
        }
        assert_eq!(Redaction::parse("erased"), None);
    }

    #[test]
    fn the_ranks_are_in_order() {
        assert!(Status::ALL.is_sorted());
        assert!(Redaction::ALL.is_sorted());
        let begun = Redaction::ALL.map(Redaction::has_begun);
        assert_eq!(begun, [false, false, true, true]);
    }
}
