//! Pages for someone we do not know.

use askama::Template;

use super::Chrome;
use crate::http::assets;

/// 401: how to get here properly.
#[derive(Debug, Template)]
#[template(path = "sign_in.html", whitespace = "minimize")]
pub(crate) struct SignInPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// There is a way to sign in without coming from the application.
    pub(crate) here: bool,
}

/// `/submitted` for someone who finished on another device, or whose sign-in has ended: it states nothing about anyone.
#[derive(Debug, Template)]
#[template(path = "signed_out.html", whitespace = "minimize")]
pub(crate) struct SignedOutPage<'a> {
    pub(crate) chrome: &'a Chrome,
}

impl SignInPage<'_> {
    fn title(&self) -> String {
        if self.here {
            "Sign in first".to_owned()
        } else {
            format!("Open this page from {}", self.chrome.app_name)
        }
    }
}

impl SignedOutPage<'_> {
    #[expect(clippy::unused_self, reason = "the base template asks every page")]
    fn title(&self) -> &'static str {
        "You can close this page"
    }
}
