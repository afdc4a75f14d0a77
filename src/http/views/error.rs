//! The page for a request that could not be answered.

use std::borrow::Cow;

use askama::Template;

use super::{Chrome, words};
use crate::http::{assets, router::VERIFY};

/// An error as a page. Heading, text and action follow from the status; 401 has a page of its own.
#[derive(Debug, Template)]
#[template(path = "error.html", whitespace = "minimize")]
pub(crate) struct ErrorPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// The HTTP status it is sent with.
    pub(crate) status: u16,
    /// What failed can be asked for once more at the same address.
    pub(crate) may_repeat: bool,
    /// Shown as a reference number when the fault is ours.
    pub(crate) request_id: Option<&'a str>,
    /// Seconds until it is worth trying again, as in `Retry-After`.
    pub(crate) retry_after: Option<u64>,
}

impl ErrorPage<'_> {
    fn title(&self) -> &'static str {
        match self.status {
            403 => "This did not come from our page",
            408 => "That took too long",
            404 => "We could not find that page",
            405 => "That is not possible here",
            413 => "That was too large",
            421 => "This is not the right address",
            422 => "Some of that was not valid",
            429 => "Please wait a moment",
            502..=504 => "We can’t verify right now",
            500.. => "Something went wrong on our side",
            _ => "We could not understand that request",
        }
    }

    fn text(&self) -> Cow<'static, str> {
        let soon = || words::wait(self.retry_after);
        match self.status {
            403 => "For your safety, a verification starts only from our own page. Open it and press the button there.".into(),
            408 => "What was sent did not arrive in time. Check your connection and try again.".into(),
            404 => "If you typed the address, check it. If you followed a link, start from the first page.".into(),
            405 => "This address does not take that kind of request. Start from the first page.".into(),
            413 => "What was sent is larger than we take here. Start from the first page.".into(),
            421 => "This server answers only under its own name. Open the page the way you were told to.".into(),
            422 => "What was sent is not what we expect here. Start from the first page.".into(),
            429 => format!("There were many requests in a short time. Try again {}.", soon()).into(),
            502..=504 => format!("The reason is on our side, not yours. Try again {}.", soon()).into(),
            500.. => "You did nothing wrong. Try again from the first page.".into(),
            _ => "The address or the form was not complete. Start from the first page.".into(),
        }
    }

    fn action(&self) -> &'static str {
        if self.is_wait() {
            "Try again"
        } else {
            "Go to the first page"
        }
    }

    /// Whoever waits comes back to what they wanted: a link is lost to whom we send elsewhere.
    fn address(&self) -> &'static str {
        if self.is_wait() && self.may_repeat {
            ""
        } else {
            VERIFY
        }
    }

    /// Does waiting help?
    fn is_wait(&self) -> bool {
        matches!(self.status, 429 | 502..=504)
    }

    fn is_ours(&self) -> bool {
        self.status == 500
    }

    /// Only where somebody would have to look into our logs.
    fn reference(&self) -> Option<&str> {
        self.request_id.filter(|_| self.status >= 500)
    }
}
