//! The page for a request that could not be answered.

use askama::Template;

use super::{Chrome, words};
use crate::http::assets;

/// An error as a page; heading and text follow from the status.
#[derive(Debug, Template)]
#[template(path = "error.html", whitespace = "minimize")]
pub(crate) struct ErrorPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// The HTTP status it is sent with.
    pub(crate) status: u16,
    /// Shown as reference number on 5xx.
    pub(crate) request_id: Option<String>,
    /// Seconds, as in `Retry-After`.
    pub(crate) retry_after: Option<u64>,
}

impl ErrorPage<'_> {
    fn title(&self) -> &'static str {
        self.heading()
    }

    fn heading(&self) -> &'static str {
        match self.status {
            403 => "This request did not come from our page",
            404 => "We could not find that page",
            405 => "That is not possible here",
            413 => "That was too large",
            421 => "This is not the right address",
            422 => "Some of that was not valid",
            429 => "Please wait a moment",
            502 | 503 => "We can’t verify right now",
            500.. => "Something went wrong on our side",
            _ => "We could not understand that request",
        }
    }
}
