//! The way back into an app: Stripe leads to a page of ours, and the page's button into the app.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use url::Url;

use super::{error::Error, pages::document, security::Surface, state::Site, views::SignedOutPage};
use crate::domain::{ReturnAddress, ReturnRule};

/// The links that lead into the application's apps, and what an address must look like to be one.
#[derive(Clone, Debug)]
pub(crate) struct AppLinks {
    usual: Option<ReturnAddress>,
    allowed: Arc<[ReturnRule]>,
}

/// A configured link that leads nowhere anybody may be sent to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a link is no https address, nor one of an app's own scheme")]
pub struct NoAppLink;

impl AppLinks {
    pub(crate) fn new(links: &[String], livemode: bool) -> Result<Self, NoAppLink> {
        let rules = links.iter().map(|link| rule_of(link, livemode));
        let allowed = rules.collect::<Result<Arc<[_]>, _>>()?;
        let read = |link: &String| ReturnAddress::parse(link, &allowed).map_err(|_| NoAppLink);
        let read = links.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            usual: read.into_iter().next(),
            allowed,
        })
    }
}

/// Whatever has the origin, or the app's scheme, of a configured link.
fn rule_of(link: &str, livemode: bool) -> Result<ReturnRule, NoAppLink> {
    let url = Url::parse(link).map_err(|_| NoAppLink)?;
    let rule = match url.scheme() {
        "https" => url.origin().ascii_serialization(),
        app => format!("{app}://"),
    };
    ReturnRule::parse(&rule, livemode).map_err(|_| NoAppLink)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wish {
    to: Option<String>,
}

/// `GET /app/return`: nobody is sent on by it, only shown the way; coming here proves nothing.
pub(crate) async fn show_app_return(
    State(links): State<AppLinks>,
    State(site): State<Site>,
    Query(wish): Query<Wish>,
) -> Result<Response, Error> {
    let usual = links.usual.ok_or(Error::NotFound)?;
    let link = match wish.to {
        Some(to) => ReturnAddress::parse(&to, &links.allowed)
            .map_err(|_| Error::BadRequest("return_address_not_allowed"))?,
        None => usual,
    };
    let page = SignedOutPage {
        chrome: &site.chrome_towards(Some(link.into())),
    };
    document(Surface::Page, &page)
}
