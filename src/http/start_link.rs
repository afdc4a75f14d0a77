//! The one-time link of a hand-off: looked at as often as anybody likes, followed once by the press of its button.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use url::Origin;

use super::{
    auth::{SessionCookie, within},
    error::Error,
    pages::document,
    router::{SUBMITTED, VERIFY},
    security::{Provenance, Surface, provenance},
    state::Site,
    views::{LinkPage, LinkState},
};
use crate::{
    domain::Token,
    verification::{Asked, Brought, Followed, Link, Verifier, new_mark},
};

/// Signs browsers in and out.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) verifier: Verifier,
    pub(crate) cookie: SessionCookie,
    /// The origin that people see.
    pub(crate) own: Origin,
    /// Are there links at all?
    pub(crate) hand_off: bool,
}

impl Door {
    /// Was it pressed on a page of ours? Being signed in, or out, at the wish of a stranger's page would do harm, so
    /// who says nothing is refused too.
    fn is_own_page(&self, headers: &HeaderMap) -> bool {
        provenance(headers, &self.own) == Provenance::SameOrigin
    }

    fn token(&self, text: &str) -> Result<Option<Token>, Error> {
        if self.hand_off {
            Ok(Token::parse(text))
        } else {
            Err(Error::NotFound)
        }
    }
}

/// `GET /start/{token}`: says whose request it is, and changes nothing here; the browser is marked, to be
/// known again if the answer to its press is lost.
pub(crate) async fn show_link(
    State(door): State<Door>,
    State(site): State<Site>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Some(token) = door.token(&token)? else {
        return say(&site, &Link::Unknown);
    };
    let cookie = door.cookie.read(&headers);
    let link = within(door.verifier.look_at_link(&token, cookie.as_ref())).await?;
    let mut response = say(&site, &link)?;
    if response.status() == StatusCode::OK && door.cookie.read_mark(&headers).is_none() {
        door.cookie.mark(&mut response, &new_mark());
    }
    Ok(response)
}

/// `POST /start/{token}`: spends the token and signs this browser in.
pub(crate) async fn follow_link(
    State(door): State<Door>,
    State(site): State<Site>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let token = door.token(&token)?;
    if !door.is_own_page(&headers) {
        return page(&site, LinkState::Refused, &Asked::default());
    }
    let Some(token) = token else {
        return say(&site, &Link::Unknown);
    };
    let (session, mark) = (door.cookie.read(&headers), door.cookie.read_mark(&headers));
    if session.is_none() && mark.is_none() {
        // It was given one with the page. A session's it would not keep either, and the link would be spent for nothing.
        return match within(door.verifier.look_at_link(&token, None)).await? {
            Link::Ready(asked) => page(&site, LinkState::NoCookies, &asked),
            link => say(&site, &link),
        };
    }
    let brought = Brought {
        session: session.as_ref(),
        mark: mark.as_ref(),
    };
    let followed = door.verifier.follow_link(&token, brought);
    match within(followed).await? {
        Followed::SignedIn(session) => {
            let mut response = Redirect::to(VERIFY).into_response();
            door.cookie.set(&mut response, &session);
            Ok(response)
        }
        // Pressed twice, or gone back to: this browser is signed in by it.
        Followed::Not(Link::Followed(_)) => Ok(Redirect::to(VERIFY).into_response()),
        Followed::Not(link) => say(&site, &link),
    }
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if !door.is_own_page(&headers) {
        return Err(Error::Forbidden("cross_site"));
    }
    if let Some(cookie) = door.cookie.read(&headers) {
        within(door.verifier.sign_out(&cookie)).await?;
    }
    // It says nothing about anybody who is not signed in.
    let mut response = Redirect::to(SUBMITTED).into_response();
    door.cookie.clear(&mut response);
    Ok(response)
}

fn say(site: &Site, link: &Link) -> Result<Response, Error> {
    match link {
        Link::Ready(asked) | Link::Followed(asked) => page(site, LinkState::Ready, asked),
        Link::Used(asked) => page(site, LinkState::Used, asked),
        Link::Expired(asked) => page(site, LinkState::Expired, asked),
        Link::Unknown => page(site, LinkState::Unknown, &Asked::default()),
    }
}

fn page(site: &Site, state: LinkState, asked: &Asked) -> Result<Response, Error> {
    let page = LinkPage {
        chrome: &site.chrome_towards(asked.return_url.clone()),
        state,
        whom: asked.whom.as_deref(),
    };
    let mut response = document(Surface::Page, &page)?;
    *response.status_mut() = match state {
        LinkState::Ready => StatusCode::OK,
        LinkState::Used | LinkState::Expired => StatusCode::GONE,
        LinkState::Unknown => StatusCode::NOT_FOUND,
        LinkState::Refused | LinkState::NoCookies => StatusCode::FORBIDDEN,
    };
    Ok(response)
}
