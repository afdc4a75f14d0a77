//! The hosted page: a person's side of a verification, as buttons.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State, rejection::FormRejection},
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use url::{Host, Url};

use super::{
    Sandbox,
    codes::{self, Check, Code},
    life::{Case, Outcome, Stuck},
    modal::{self, Message},
    session::id_of_token,
    statics,
    wire::page_headers,
};

pub(crate) fn routes() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/", get(show_home))
        .route("/start/{token}", get(show_start).post(submit_start))
}

/// What the modal adds to the address, so that the page knows whom to tell.
#[derive(Deserialize)]
struct Frame {
    opener: Option<String>,
}

impl Frame {
    /// The page around ours, if there is one and it is on this machine.
    fn opener(&self) -> Option<String> {
        modal::local_origin(self.opener.as_deref()?)
    }
}

#[derive(Template)]
#[template(path = "sandbox/start.html")]
struct StartPage {
    opener: Option<String>,
    /// Where the person goes back to, as a name.
    back: Option<String>,
    delay: String,
    codes: Vec<&'static Code>,
    chosen: &'static str,
}

#[derive(Template)]
#[template(path = "sandbox/done.html")]
struct DonePage {
    opener: Option<String>,
    message: String,
    heading: &'static str,
}

#[derive(Template)]
#[template(path = "sandbox/plain.html")]
struct PlainPage {
    opener: Option<String>,
    message: String,
    heading: &'static str,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "sandbox/home.html")]
struct HomePage;

async fn show_home() -> Response {
    page(&HomePage, StatusCode::OK, &policy(None, None))
}

/// For every address that is none.
pub(crate) async fn not_found() -> Response {
    let text = "Nothing of the sandbox is at this address.";
    plain(StatusCode::NOT_FOUND, None, "Page not found", text)
}

async fn show_start(
    State(sandbox): State<Arc<Sandbox>>,
    Path(token): Path<String>,
    Query(frame): Query<Frame>,
) -> Response {
    let opener = frame.opener();
    let Some((_, return_url)) = sandbox.open_for(&token) else {
        return used_up(opener);
    };
    let back = return_url.as_ref().map(shown_host);
    let view = StartPage {
        back: back.filter(|_| opener.is_none()),
        delay: in_words(sandbox.world().knobs.async_delay_ms),
        codes: codes::ALL
            .iter()
            .filter(|code| code.check != Check::None)
            .collect(),
        chosen: codes::DEFAULT,
        opener: opener.clone(),
    };
    let policy = policy(opener.as_deref(), return_url.as_ref());
    page(&view, StatusCode::OK, &policy)
}

#[derive(Deserialize)]
struct Chosen {
    case: Case,
    code: Option<String>,
}

async fn submit_start(
    State(sandbox): State<Arc<Sandbox>>,
    Path(token): Path<String>,
    Query(frame): Query<Frame>,
    chosen: Result<Form<Chosen>, FormRejection>,
) -> Response {
    let opener = frame.opener();
    let Some((id, return_url)) = sandbox.open_for(&token) else {
        return used_up(opener);
    };
    let unknown = || {
        let text = "There is no such test case or failure code.";
        plain(
            StatusCode::BAD_REQUEST,
            opener.clone(),
            "Not understood",
            text,
        )
    };
    let Ok(Form(chosen)) = chosen else {
        return unknown();
    };
    let now_ms = sandbox.time.now_ms();
    let submitted = sandbox
        .world()
        .submit(&id, chosen.case, chosen.code.as_deref(), now_ms);
    sandbox.wake.notify_one();
    match (submitted, &opener, return_url) {
        (Err(Stuck::UnknownCode), ..) => unknown(),
        (Err(_), ..) => used_up(opener),
        (Ok(_), None, Some(back)) => see_other(&back),
        (Ok(outcome), ..) => done(&id, outcome, opener),
    }
}

impl Sandbox {
    /// The session an address opens, and where its person goes afterwards.
    fn open_for(&self, token: &str) -> Option<(String, Option<Url>)> {
        let id = id_of_token(token)?;
        let world = self.world();
        let session = world.sessions.find(&id).filter(|found| found.is_open())?;
        session.pass_of_token(token, self.time.now_ms())?;
        let return_url = session.return_url.clone();
        Some((id, return_url))
    }
}

fn done(id: &str, outcome: Outcome, opener: Option<String>) -> Response {
    let message = match outcome {
        Outcome::Submitted => Message::submitted(id),
        Outcome::Ended(code) => Message::failed(codes::modal_name(code.name), code.reason),
        Outcome::Left => Message::closed(),
    };
    let heading = match outcome {
        Outcome::Submitted => "Sent",
        Outcome::Ended(_) => "Ended without sending",
        Outcome::Left => "Nothing was sent",
    };
    let policy = policy(opener.as_deref(), None);
    let view = DonePage {
        message: message.to_json(),
        heading,
        opener,
    };
    page(&view, StatusCode::OK, &policy)
}

fn used_up(opener: Option<String>) -> Response {
    let text = "It was used already, it is too old, or its verification is closed. \
        Go back and start again to get a new one.";
    plain(StatusCode::GONE, opener, "This link no longer works", text)
}

fn plain(
    status: StatusCode,
    opener: Option<String>,
    heading: &'static str,
    text: &'static str,
) -> Response {
    let policy = policy(opener.as_deref(), None);
    let view = PlainPage {
        message: Message::refused(text).to_json(),
        heading,
        text,
        opener,
    };
    page(&view, status, &policy)
}

pub(crate) fn page(view: &impl Template, status: StatusCode, policy: &str) -> Response {
    let mut response = match view.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the sandbox could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    page_headers(&mut response, policy);
    response
}

/// Chromium holds a form's redirect to `form-action` too, hence the way back in it.
fn policy(opener: Option<&str>, return_url: Option<&Url>) -> String {
    let back = return_url.map(|url| match url.host() {
        // An address in brackets is no source that a policy knows.
        None | Some(Host::Ipv6(_)) => format!("{}:", url.scheme()),
        Some(_) => url.origin().ascii_serialization(),
    });
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         form-action 'self' {}; frame-ancestors {}; base-uri 'none'",
        back.unwrap_or_default(),
        opener.unwrap_or("'none'"),
    )
}

fn see_other(to: &Url) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(value) = HeaderValue::from_str(to.as_str()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    page_headers(&mut response, "default-src 'none'");
    response
}

fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn in_words(delay_ms: u32) -> String {
    match delay_ms.div_ceil(1000) {
        0 => "at once".to_owned(),
        1 => "after about a second".to_owned(),
        seconds => format!("after about {seconds} seconds"),
    }
}
