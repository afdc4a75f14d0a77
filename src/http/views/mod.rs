//! What people see: one plain struct a page, filled by the handlers and rendered by askama.
//!
//! Each is rendered by `render()` of [`Template`]; bring the trait into scope to call it.

mod docs;
mod error;
#[cfg(feature = "dev")]
pub mod gallery;
mod link;
mod needs;
mod not_signed_in;
mod panel;
mod signed_out;
mod state;
mod verify;
mod words;

pub(crate) use askama::Template;

pub(crate) use self::{
    docs::DocsPage,
    error::ErrorPage,
    link::{LinkPage, LinkState},
    needs::Needs,
    not_signed_in::{NotSignedIn, NotSignedInPage},
    signed_out::{SignInPage, SignedOutPage},
    state::{Known, VerifyState},
    verify::VerifyPage,
};

/// What stands around every page: who asks, and where help and the policy are.
#[derive(Clone, Debug)]
pub(crate) struct Chrome {
    /// The application that asks, as people know it.
    pub(crate) app_name: String,
    /// One sentence that says why it asks; left out when empty.
    pub(crate) purpose: String,
    /// Where help is.
    pub(crate) support_url: String,
    /// The privacy policy.
    pub(crate) privacy_url: String,
    /// The way to be verified without a camera and without Stripe.
    pub(crate) alternative_url: Option<String>,
    /// Where "Back to …" leads.
    pub(crate) home_url: Option<String>,
    /// With test keys nothing is really checked, and every page says so.
    pub(crate) test_mode: bool,
    /// This browser was signed in for this, and can be signed out.
    pub(crate) signed_in: bool,
}

impl Chrome {
    /// The letter on the small tile beside the name.
    fn initial(&self) -> String {
        self.app_name
            .chars()
            .find(|c| c.is_alphanumeric())
            .map(|c| c.to_uppercase().collect())
            .unwrap_or_default()
    }
}
