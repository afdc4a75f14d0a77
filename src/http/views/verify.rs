//! The verify page and the confirmation page: two addresses, one page that says the present state.

use askama::Template;

use super::{
    Chrome,
    panel::Panel,
    state::{Advice, Known, VerifyState},
};
use crate::http::assets;

/// `/`, `/verify` and `/submitted`.
#[derive(Debug, Template)]
#[template(path = "verify.html", whitespace = "minimize")]
pub(crate) struct VerifyPage<'a> {
    pub(crate) chrome: &'a Chrome,
    /// What to say.
    pub(crate) state: &'a VerifyState,
    /// What that was rendered from.
    pub(crate) known: &'a Known,
    /// `pk_…`, for the modal.
    pub(crate) publishable_key: &'a str,
    /// Where Stripe's script is.
    pub(crate) stripe_js_url: &'a str,
}

impl VerifyPage<'_> {
    fn title(&self) -> &str {
        self.state.title()
    }

    fn panel<'a>(&'a self, state: &'a VerifyState) -> Panel<'a> {
        Panel {
            chrome: self.chrome,
            state,
        }
    }

    /// What the modal's outcomes say, each ready in the page so that no wording lives in the script.
    fn outcomes(&self) -> Vec<(&'static str, VerifyState)> {
        vec![
            ("consent_declined", VerifyState::Declined),
            ("device_unsupported", VerifyState::NoCamera),
            (
                "under_supported_age",
                VerifyState::CannotRetry {
                    advice: under_age(),
                },
            ),
            (
                "unavailable",
                VerifyState::Unavailable { retry_after: None },
            ),
        ]
    }
}

fn under_age() -> Advice {
    Advice {
        heading: "We cannot verify people of your age".to_owned(),
        reason: "People under the required age cannot be verified this way.".to_owned(),
        tips: Vec::new(),
    }
}
