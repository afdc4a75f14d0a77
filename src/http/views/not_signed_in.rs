//! The page for somebody who went to sign in and comes back as nobody.

use askama::Template;

use super::Chrome;
use crate::http::assets;

/// Why the identity provider's answer signed nobody in.
#[derive(Debug, Template)]
#[template(path = "not_signed_in.html", whitespace = "minimize")]
pub(crate) struct NotSignedInPage<'a> {
    pub(crate) chrome: &'a Chrome,
    pub(crate) why: NotSignedIn,
}

/// Why somebody is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSignedIn {
    /// They said no there.
    Declined,
    /// This browser did not begin it, has finished it before, or took too long.
    Late,
    /// The provider said something else than yes or no, or proved nothing.
    Refused,
    /// The provider cannot be asked.
    Away,
}

impl NotSignedInPage<'_> {
    fn title(&self) -> &'static str {
        match self.why {
            NotSignedIn::Declined => "You did not sign in",
            NotSignedIn::Late => "This sign-in is over",
            NotSignedIn::Refused => "Signing in did not work",
            NotSignedIn::Away => "You cannot sign in right now",
        }
    }

    fn text(&self) -> &'static str {
        match self.why {
            NotSignedIn::Declined => {
                "That is your choice, and nothing was sent. To verify your identity you need to sign in first."
            }
            NotSignedIn::Late => {
                "Each sign-in works once, in the browser where it began, and for 10 minutes. Begin again: it is quick."
            }
            NotSignedIn::Refused => {
                "The service that signs you in gave an answer that we cannot use. It may help to begin again; if it \
                 does not, tell help."
            }
            NotSignedIn::Away => {
                "The service that signs you in does not answer. Nothing is lost. Try again in a moment."
            }
        }
    }

    fn action(&self) -> &'static str {
        match self.why {
            NotSignedIn::Declined => "Sign in",
            NotSignedIn::Late | NotSignedIn::Refused => "Begin again",
            NotSignedIn::Away => "Try again",
        }
    }
}
