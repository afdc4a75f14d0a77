//! Signing in with an identity provider: there, and back again.

use axum::{
    extract::{Query, State},
    http::{
        HeaderMap, StatusCode,
        header::{HeaderValue, RETRY_AFTER},
    },
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    auth::{Provider, ProviderError, SessionCookie, within},
    error::{Error, SOON},
    pages::document,
    router::{HOME, SUBMITTED, VERIFY},
    security::Surface,
    state::Site,
    views::{NotSignedIn, NotSignedInPage},
};
use crate::{domain::Token, verification::Verifier};

/// Where one can come back to; nowhere else, whatever a link says.
const PAGES: [&str; 3] = [VERIFY, SUBMITTED, HOME];

/// Sends browsers to the identity provider, and takes them back.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) verifier: Verifier,
    pub(crate) provider: Option<Provider>,
    pub(crate) session: SessionCookie,
    pub(crate) login: SessionCookie,
}

/// What a link to the sign-in may say.
#[derive(Debug, Deserialize)]
pub(crate) struct Wish {
    return_to: Option<String>,
}

/// What the provider says through the browser.
#[derive(Deserialize)]
pub(crate) struct Answer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

impl Entrance {
    fn provider(&self) -> Result<&Provider, Error> {
        self.provider.as_ref().ok_or(Error::NotFound)
    }
}

/// `GET /sign-in`.
pub(crate) async fn leave(
    State(entrance): State<Entrance>,
    State(site): State<Site>,
    wish: Query<Wish>,
) -> Result<Response, Error> {
    let provider = entrance.provider()?;
    let wished = wish.return_to.as_deref();
    let known = PAGES.into_iter().find(|page| wished == Some(page));
    let login = within(entrance.verifier.begin_login(known.unwrap_or(VERIFY))).await?;
    match provider.address(&login).await {
        Ok(address) => {
            let mut response = Redirect::to(address.as_str()).into_response();
            entrance.login.set(&mut response, &login);
            Ok(response)
        }
        Err(error) => not_signed_in(&site, why(&error)),
    }
}

/// `GET /oidc/callback`: whatever comes of it, this sign-in is over.
pub(crate) async fn come_back(
    State(entrance): State<Entrance>,
    State(site): State<Site>,
    headers: HeaderMap,
    answer: Query<Answer>,
) -> Result<Response, Error> {
    let provider = entrance.provider()?;
    let Some(login) = entrance.login.read(&headers) else {
        return not_signed_in(&site, NotSignedIn::Late);
    };
    let state = answer.state.as_deref().unwrap_or_default();
    if !provider.is_meant(&login, state, answer.iss.as_deref()) {
        // Somebody else's answer. Ours may still come.
        return not_signed_in(&site, NotSignedIn::Late);
    }
    let began = within(entrance.verifier.end_login(&login)).await?;
    let mut response = match began {
        None => not_signed_in(&site, NotSignedIn::Late)?,
        Some(page) => match sign_in(&entrance, provider, &login, answer.0, &headers).await? {
            Ok(session) => {
                let mut response = Redirect::to(&page).into_response();
                entrance.session.set(&mut response, &session);
                response
            }
            Err(why) => not_signed_in(&site, why)?,
        },
    };
    entrance.login.clear(&mut response);
    Ok(response)
}

async fn sign_in(
    entrance: &Entrance,
    provider: &Provider,
    login: &Token,
    answer: Answer,
    headers: &HeaderMap,
) -> Result<Result<Token, NotSignedIn>, Error> {
    let code = match (answer.code, answer.error.as_deref()) {
        (Some(code), None) => code,
        (_, Some("access_denied")) => return Ok(Err(NotSignedIn::Declined)),
        _ => return Ok(Err(NotSignedIn::Refused)),
    };
    let person = match provider.person(login, code).await {
        Ok(person) => person,
        Err(error) => return Ok(Err(why(&error))),
    };
    let present = entrance.session.read(headers);
    let session = within(entrance.verifier.sign_in(&person, present.as_ref())).await?;
    Ok(Ok(session))
}

/// Somebody who runs this server may have to do something about it.
fn why(error: &ProviderError) -> NotSignedIn {
    tracing::warn!(%error, "nobody is signed in");
    match error {
        ProviderError::Away => NotSignedIn::Away,
        ProviderError::Refused(_) | ProviderError::Unproven(_) => NotSignedIn::Refused,
    }
}

fn not_signed_in(site: &Site, why: NotSignedIn) -> Result<Response, Error> {
    let chrome = site.chrome();
    let mut response = document(Surface::Page, &NotSignedInPage { chrome, why })?;
    *response.status_mut() = match why {
        NotSignedIn::Declined => StatusCode::FORBIDDEN,
        NotSignedIn::Late => StatusCode::BAD_REQUEST,
        NotSignedIn::Refused => StatusCode::BAD_GATEWAY,
        NotSignedIn::Away => StatusCode::SERVICE_UNAVAILABLE,
    };
    if why == NotSignedIn::Away {
        let seconds = HeaderValue::from(SOON.as_secs());
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    Ok(response)
}
