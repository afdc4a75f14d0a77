//! The page of a one-time link: whose request it is, or why it does not work.

use std::borrow::Cow;

use askama::Template;

use super::Chrome;
use crate::http::assets;

/// `/start/…`.
#[derive(Debug, Template)]
#[template(path = "link.html", whitespace = "minimize")]
pub(crate) struct LinkPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// What the link is good for.
    pub(crate) state: LinkState,
    /// Who is meant, as far as whoever holds the link may know.
    pub(crate) whom: Option<&'a str>,
}

/// What a link is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// It signs this browser in.
    Ready,
    /// It has signed another browser in.
    Used,
    /// Its time is over.
    Expired,
    /// There is none like it.
    Unknown,
    /// The browser did not say that the button was pressed on our page.
    Refused,
    /// The browser did not bring back the cookie that it was given with the page.
    NoCookies,
}

impl LinkState {
    fn is(self, other: Self) -> bool {
        self == other
    }
}

impl LinkPage<'_> {
    fn title(&self) -> &'static str {
        match self.state {
            LinkState::Ready if self.whom.is_some() => "Is this you?",
            LinkState::Ready => "Did you ask for this?",
            LinkState::Used => "This link was used already",
            LinkState::Expired => "This link is no longer valid",
            LinkState::Unknown => "This link does not work",
            LinkState::Refused => "We could not tell who pressed the button",
            LinkState::NoCookies => "Your browser keeps no cookies",
        }
    }

    /// Of a link that is not ready.
    fn text(&self) -> Cow<'static, str> {
        let app = &self.chrome.app_name;
        match self.state {
            LinkState::Ready => "".into(),
            LinkState::Used => format!(
                "Each link opens once. If you opened it, go on where you did. Else go back to {app} and start again: \
                 you get a new link there."
            )
            .into(),
            LinkState::Expired => format!(
                "A link works for 15 minutes. Go back to {app} and start again: you get a new link there."
            )
            .into(),
            LinkState::Unknown => format!(
                "It may be incomplete, or a newer one has taken its place. Open the whole link, or go back to {app} \
                 for a new one."
            )
            .into(),
            LinkState::Refused => "For your safety, a link goes on only when its button is pressed on our own page, \
                 and your browser did not say so. The link still works: open it again, if need be in a newer browser."
                .into(),
            LinkState::NoCookies => "It takes one to know that it is still you, and it is used for nothing else. Allow \
                 cookies for this page, or open the link in another browser. The link still works."
                .into(),
        }
    }
}
