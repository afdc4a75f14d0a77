//! The states a verification can be in for the person in front of it, and each one's heading.

use chrono::{DateTime, Utc};

use super::words;
use crate::domain::{self, Advice, Retry};

/// What the verify page and the confirmation page can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerifyState {
    /// Nothing was given yet: who asks, why, what to have ready, and the button.
    NotStarted {
        /// A quiet line above the button, about what happened before.
        note: Option<Note>,
    },
    /// Back from Stripe, but Stripe has not told us yet that anything was given. Live.
    Waiting,
    /// Given, and being checked. Live.
    Processing {
        /// The result is e-mailed, too.
        mailed: bool,
    },
    /// Done.
    Verified {
        /// When Stripe said so.
        at: Option<DateTime<Utc>>,
    },
    /// Not verified, and another try can help.
    AnotherTry {
        /// What went wrong, and what to do differently.
        advice: Advice,
        /// How many tries are left, if that is limited.
        tries_left: Option<u32>,
    },
    /// Not verified, and another try cannot help.
    CannotRetry {
        /// What went wrong, without accusation.
        advice: Advice,
    },
    /// The person chose not to be verified by Stripe.
    Declined,
    /// There was no camera, or no permission to use it.
    NoCamera,
    /// Canceled, redacted or gone.
    Closed,
    /// It is us: the budget, the rate, Stripe or the database.
    Unavailable {
        /// Seconds until it is worth trying again, as in `Retry-After`.
        retry_after: Option<u64>,
    },
}

/// A quiet line on the first page about what happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The window was closed, or the person went away, before the end.
    Left,
}

/// What the page was rendered from, in the words of `/status`: so that its script can tell a change from a repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// `status` as `/status` gives it.
    pub(crate) status: String,
    /// `last_error.code` as `/status` gives it.
    pub(crate) error: Option<String>,
}

impl VerifyState {
    /// What to say after a failure, by the code of Stripe's API or of its modal.
    pub(crate) fn failed(code: &str) -> Self {
        let advice = domain::advice(Some(code));
        match (code, advice.retry) {
            ("abandoned", _) => Self::NotStarted {
                note: Some(Note::Left),
            },
            ("consent_declined", _) => Self::Declined,
            ("device_not_supported" | "device_unsupported", _) => Self::NoCamera,
            (_, Retry::No) => Self::CannotRetry { advice },
            (_, Retry::Same | Retry::Other) => Self::AnotherTry {
                advice,
                tries_left: None,
            },
        }
    }

    /// Every check the person may have was made: for good, or those of the day, which ends in so many seconds. Whoever
    /// would have been told how the last one failed still is.
    pub(crate) fn tries_used(self, day_ends_in: Option<u64>) -> Self {
        let last = match self {
            Self::AnotherTry { advice, .. } => Some(advice.code),
            _ => None,
        };
        let mut advice = domain::tries_used(day_ends_in.is_some(), last.as_deref());
        if day_ends_in.is_some() {
            let [_, other] = advice.tips;
            advice.tips = [
                format!("Try again {}.", words::wait(day_ends_in)).into(),
                other,
            ];
        }
        Self::CannotRetry { advice }
    }

    /// The page's one heading: the state, not the feature.
    pub(super) fn heading(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => "Verify your identity",
            Self::Waiting => "We have not received your document yet",
            Self::Processing { .. } => "We are checking your document",
            Self::Verified { .. } => "Your identity is verified",
            Self::AnotherTry { advice, .. } | Self::CannotRetry { advice } => advice.heading,
            Self::Declined => "You chose not to continue",
            Self::NoCamera => "We need a camera",
            Self::Closed => "This verification was closed",
            Self::Unavailable { .. } => "We can’t verify right now",
        }
    }

    /// The same for the browser's tab, where room is scarce.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Waiting => "Waiting for your document",
            Self::Processing { .. } => "Checking your document",
            Self::Verified { .. } => "Identity verified",
            _ => self.heading(),
        }
    }

    /// Does the page follow the status, and how long? A failure may be of the try before, while the news of the
    /// last one is still on its way; but it may as well be the end.
    pub(super) fn follows(&self) -> Option<&'static str> {
        match self {
            Self::Waiting | Self::Processing { .. } => Some("until-settled"),
            Self::AnotherTry { .. } => Some("for-a-while"),
            _ => None,
        }
    }

    /// Is it only a matter of time until the page says something else?
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Waiting | Self::Processing { .. })
    }

    /// Can a verification be started from here, now or after the page has changed by itself?
    pub(super) fn may_start(&self) -> bool {
        !matches!(self, Self::Verified { .. })
    }
}
