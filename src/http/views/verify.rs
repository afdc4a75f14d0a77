//! The verify page and the confirmation page: two addresses, one page that says the present state.

use askama::Template;

use super::{
    Chrome, Needs,
    panel::Panel,
    state::{Known, VerifyState},
};
use crate::http::assets;

/// The codes with which Stripe's modal ends, besides "closed" and "broken", which are notes on the same page.
const OUTCOMES: [&str; 5] = [
    "consent_declined",
    "device_unsupported",
    "under_supported_age",
    "phone_otp_declined",
    "email_verification_declined",
];

/// `/`, `/verify` and `/submitted`.
#[derive(Debug, Template)]
#[template(path = "verify.html", whitespace = "minimize")]
pub(crate) struct VerifyPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// What to say.
    pub(crate) state: &'a VerifyState,
    /// What that was rendered from.
    pub(crate) known: &'a Known,
    /// What is asked for.
    pub(crate) needs: &'a Needs,
    /// `pk_…`, for the modal.
    pub(crate) publishable_key: &'a str,
    /// Where Stripe's script is.
    pub(crate) stripe_js_url: &'a str,
}

impl VerifyPage<'_> {
    fn title(&self) -> &'static str {
        self.state.title()
    }

    fn panel<'a>(&'a self, state: &'a VerifyState) -> Panel<'a> {
        Panel {
            chrome: self.chrome,
            state,
            needs: self.needs,
        }
    }

    /// What each outcome of the modal says, ready in the page so that no wording lives in the script.
    fn outcomes() -> impl Iterator<Item = (&'static str, VerifyState)> {
        let unavailable = VerifyState::Unavailable { retry_after: None };
        OUTCOMES
            .into_iter()
            .map(|code| (code, VerifyState::failed(code)))
            .chain([("unavailable", unavailable)])
    }
}
