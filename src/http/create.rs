//! Starting a verification: one answer for a page's script, another for a form, another for an app.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, header::ORIGIN},
    response::{IntoResponse, Redirect, Response},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use super::{
    address::ClientAddress,
    auth::{CurrentUser, within},
    body,
    error::Error,
    present::Shape,
    router::VERIFY,
    state::Starter,
};
use crate::{
    domain::{Client, SessionId},
    verification::{StartError, StartRequest, Started},
};

/// Far more than any client of Stripe's examples sends; nothing of it is used but one word.
const LIMIT: usize = 16 * 1024;

/// `POST /create-verification-session`.
pub(crate) async fn create_session(
    user: CurrentUser,
    address: ClientAddress,
    State(starter): State<Starter>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    match body::read(&parts.headers, body, LIMIT).await {
        Ok(body) => {
            let client = wished(&body).unwrap_or_else(|| guessed(&parts.headers));
            answer(&starter, &user, address, client).await
        }
        Err(error) => error.into_response(),
    }
}

/// `POST /verification-sessions`: the address the phone SDKs' examples call.
pub(crate) async fn create_native_session(
    user: CurrentUser,
    address: ClientAddress,
    State(starter): State<Starter>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    match body::read(&parts.headers, body, LIMIT).await {
        Ok(body) => {
            let client = wished(&body).unwrap_or(Client::Native);
            answer(&starter, &user, address, client).await
        }
        Err(error) => Shape::Json.of(error),
    }
}

/// `POST /test/verification-sessions`: the same, by another name that only apps use.
pub(crate) async fn create_test_session(
    user: CurrentUser,
    address: ClientAddress,
    State(starter): State<Starter>,
    request: Request,
) -> Response {
    if !starter.native {
        return Shape::Json.of(Error::NotFound);
    }
    create_native_session(user, address, State(starter), request).await
}

/// `POST /reuse-verification-session`: opens the caller's own session once more, if it is the one they name.
pub(crate) async fn reuse_session(
    user: CurrentUser,
    address: ClientAddress,
    State(starter): State<Starter>,
    request: Request,
) -> Response {
    reuse(&starter, &user, address, request)
        .await
        .unwrap_or_else(|error| Shape::Json.of(error))
}

async fn reuse(
    by: &Starter,
    user: &CurrentUser,
    address: ClientAddress,
    request: Request,
) -> Result<Response, Error> {
    if !by.native {
        return Err(Error::NotFound);
    }
    let (parts, body) = request.into_parts();
    let body = body::read(&parts.headers, body, LIMIT).await?;
    let named = named_session(&body).ok_or(Error::NotFound)?;
    let open = by.verifier.has_open(user.person(), &named);
    if !within(open).await? {
        return Err(Error::NotFound);
    }
    let started = by
        .verifier
        .start(&wish(user, address, Client::Native))
        .await?;
    if started.session.as_str() != named {
        // It was over, and another one is open now.
        return Err(Error::NotFound);
    }
    Ok(Json(Answer::of(&started)).into_response())
}

fn named_session(body: &Bytes) -> Option<String> {
    let json = serde_json::from_slice::<Value>(body).ok()?;
    let session = json.get("verification_session")?.as_str()?;
    SessionId::parse(session).map(|_| session.to_owned())
}

/// A start for whoever it is, under the policy they are here for: nothing that was sent has a say in that.
fn wish(user: &CurrentUser, address: ClientAddress, client: Client) -> StartRequest {
    StartRequest {
        address: address.0,
        user: user.session().map(|session| session.user),
        policy: user.policy().map(str::to_owned),
        ..StartRequest::new(user.person().clone(), client)
    }
}

/// The `client` member of whatever was sent; the apps of Stripe's examples send much that is not for us to obey.
fn wished(body: &Bytes) -> Option<Client> {
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        return json.get("client")?.as_str().and_then(Client::parse);
    }
    let mut members = url::form_urlencoded::parse(body);
    let (_, client) = members.find(|(name, _)| name == "client")?;
    Client::parse(&client)
}

/// Who asks, by what only browsers send; who sends nothing of the kind is a program, and likely an app.
fn guessed(headers: &HeaderMap) -> Client {
    let is_browser = headers.contains_key(ORIGIN)
        || headers
            .keys()
            .any(|name| name.as_str().starts_with("sec-fetch-"));
    if Shape::accepted(headers) == Shape::Page {
        Client::Redirect
    } else if is_browser {
        Client::Modal
    } else {
        Client::Native
    }
}

/// Where apps are not served, nobody gets a key for one.
fn served(client: Client, native: bool) -> Client {
    match client {
        Client::Native if !native => Client::Modal,
        client => client,
    }
}

async fn answer(
    by: &Starter,
    user: &CurrentUser,
    address: ClientAddress,
    client: Client,
) -> Response {
    let client = served(client, by.native);
    let outcome = by.verifier.start(&wish(user, address, client)).await;
    match (outcome, client) {
        (Ok(started), Client::Redirect) => go_to_stripe(&started),
        (Ok(started), Client::Modal | Client::Native) => Json(Answer::of(&started)).into_response(),
        // The page says where things stand better than an error could.
        (
            Err(
                StartError::AlreadyVerified
                | StartError::Processing
                | StartError::AttemptsExhausted { .. },
            ),
            Client::Redirect,
        ) => Redirect::to(VERIFY).into_response(),
        (Err(error), Client::Redirect) => Shape::Page.of(error.into()),
        (Err(error), Client::Modal | Client::Native) => Shape::Json.of(error.into()),
    }
}

/// One flat object of strings: Stripe's example for iOS can decode nothing else.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    client_secret: &'a str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral_key_secret: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(started: &'a Started) -> Self {
        Self {
            id: started.session.as_str(),
            client_secret: started.client_secret.expose_secret(),
            url: started.url.expose_secret(),
            ephemeral_key_secret: started
                .ephemeral_key_secret
                .as_ref()
                .map(ExposeSecret::expose_secret),
        }
    }
}

/// 303, so that the browser follows with a GET.
fn go_to_stripe(started: &Started) -> Response {
    Redirect::to(started.url.expose_secret()).into_response()
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::AlreadyVerified => Self::Conflict("already_verified"),
            StartError::Processing => Self::Conflict("verification_processing"),
            StartError::AttemptsExhausted { again_in } => Self::TriesUsed { again_in },
            StartError::RateLimited { retry_after } => Self::TooMany { retry_after },
            StartError::BudgetExhausted { retry_after } => {
                Self::away("budget_exhausted", retry_after, error)
            }
            StartError::Busy { retry_after } => Self::away("busy", retry_after, error),
            StartError::Unreachable { retry_after } => {
                Self::away("stripe_unreachable", retry_after, error)
            }
            StartError::Unavailable => Self::unavailable("unavailable", error),
            StartError::Refused => Self::Upstream(Arc::new(error)),
            // Whatever signed them in is gone.
            StartError::Forgotten => Self::Unauthorized,
            StartError::UnknownPolicy | StartError::Broken => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_for_an_app_is_made_only_where_apps_are_served() {
        assert_eq!(served(guessed(&HeaderMap::new()), true), Client::Native);
        assert_eq!(served(guessed(&HeaderMap::new()), false), Client::Modal);
        for client in [Client::Modal, Client::Redirect] {
            assert_eq!(served(client, false), client);
        }
    }

    #[test]
    fn only_a_known_word_is_a_wish() {
        let wished = |body: &'static str| wished(&Bytes::from_static(body.as_bytes()));
        assert_eq!(wished(r#"{"client":"redirect"}"#), Some(Client::Redirect));
        assert_eq!(wished("client=redirect"), Some(Client::Redirect));
        for nothing in [
            "",
            "{}",
            "[]",
            r#"{"client":"x"}"#,
            r#"{"client":1}"#,
            "client=",
            "xclient=modal",
        ] {
            assert_eq!(wished(nothing), None, "{nothing}");
        }
    }
}
