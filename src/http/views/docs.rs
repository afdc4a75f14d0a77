//! The API's description, to read.

use askama::Template;

use super::Chrome;
use crate::http::{api::outline::Outline, assets};

/// `/docs`.
#[derive(Debug, Template)]
#[template(path = "docs.html", whitespace = "minimize")]
pub(crate) struct DocsPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// What is said of the whole.
    pub(crate) introduction: &'a str,
    /// All of it.
    pub(crate) outline: &'a Outline,
}

impl DocsPage<'_> {
    #[expect(clippy::unused_self, reason = "the base template asks every page")]
    fn title(&self) -> &'static str {
        "The API"
    }
}
