//! What applications are told of.

/// What a message is about, as its `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageType {
    /// A verification has passed.
    Verified,
    /// A verification waits for the person, whose last try may have failed.
    RequiresInput,
    /// A document is being checked.
    Processing,
    /// A verification was called off.
    Canceled,
    /// What a verification collected is erased.
    Redacted,
    /// A person's status is another one.
    UserStatusChanged,
}

impl MessageType {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Verified,
        Self::RequiresInput,
        Self::Processing,
        Self::Canceled,
        Self::Redacted,
        Self::UserStatusChanged,
    ];

    /// As stored, and as applications read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verification.verified",
            Self::RequiresInput => "verification.requires_input",
            Self::Processing => "verification.processing",
            Self::Canceled => "verification.canceled",
            Self::Redacted => "verification.redacted",
            Self::UserStatusChanged => "user.status_changed",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl From<super::Status> for MessageType {
    fn from(status: super::Status) -> Self {
        match status {
            super::Status::RequiresInput => Self::RequiresInput,
            super::Status::Processing => Self::Processing,
            super::Status::Canceled => Self::Canceled,
            super::Status::Verified => Self::Verified,
        }
    }
}
