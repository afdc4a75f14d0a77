//! A whole application that has its people verified: `VERIGATE_URL=… VERIGATE_API_KEY=… cargo run --example app`.
//!
//! It knows who is signed in, asks Verigate for a link, sends the browser there, and reads the outcome when it is back.

use std::{
    collections::HashMap,
    env,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Form, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{COOKIE, SET_COOKIE},
    },
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use cookie::Cookie;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Verigate answers in less than two seconds, or says that it cannot.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
#[expect(
    clippy::disallowed_methods,
    reason = "an application of its own, with settings of its own"
)]
async fn main() -> anyhow::Result<()> {
    let setting = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
    let address = env::var("APP_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let origin = format!("http://localhost:{}", listener.local_addr()?.port());
    writeln!(std::io::stdout(), "The application is at {origin}")?;
    let app = App::new(
        &setting("VERIGATE_URL")?,
        &setting("VERIGATE_API_KEY")?,
        origin,
    )?;
    Ok(axum::serve(listener, routes(app)).await?)
}

/// What the application needs to know, and who is signed in.
#[derive(Clone)]
pub(crate) struct App {
    http: reqwest::Client,
    /// Verigate's address, and the key it knows us by: only the backend ever has it.
    verigate: String,
    key: String,
    /// Where people find us, and come back to; the key must name it.
    origin: String,
    /// The names of people by their cookies.
    people: Arc<Mutex<HashMap<String, String>>>,
}

impl App {
    pub(crate) fn new(verigate: &str, key: &str, origin: String) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE);
        Ok(Self {
            http: http.build()?,
            verigate: verigate.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
            origin,
            people: Arc::default(),
        })
    }

    /// Asks for a link that lets this person, and nobody else, verify.
    async fn hand_over(&self, person: &str) -> anyhow::Result<String> {
        let wanted = json!({
            "user_id": person,
            "label": format!("{person} at Example"),
            "return_url": format!("{}/", self.origin),
        });
        let request = self
            .http
            .post(format!("{}/v1/verifications", self.verigate));
        let answer = request
            .bearer_auth(&self.key)
            // Repeated after a time-out, it asks for the same thing and not for another.
            .header("Idempotency-Key", Uuid::new_v4().to_string())
            .json(&wanted)
            .send()
            .await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        answer["url"].as_str().map(str::to_owned).context("no link")
    }

    /// Where a person stands. Ask here, always: that somebody came back proves nothing.
    async fn status(&self, person: &str) -> anyhow::Result<String> {
        let request = self
            .http
            .get(format!("{}/v1/users/{person}", self.verigate));
        let answer = request.bearer_auth(&self.key).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok("not begun".to_owned());
        }
        let answer: Value = answer.error_for_status()?.json().await?;
        answer["status"]
            .as_str()
            .map(str::to_owned)
            .context("no status")
    }

    fn person(&self, headers: &HeaderMap) -> Option<String> {
        let sent = headers.get(COOKIE)?.to_str().ok()?;
        let mut cookies = Cookie::split_parse(sent).flatten();
        let ours = cookies.find(|cookie| cookie.name() == "app")?;
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.get(ours.value()).cloned()
    }
}

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(show_account))
        .route("/sign-in", post(sign_in))
        .route("/verify", post(verify))
        .with_state(app)
}

async fn show_account(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some(person) = app.person(&headers) else {
        return page(
            "Sign in",
            "<form method=post action=/sign-in><label>Name <input name=name required pattern='[a-z0-9]+'></label> \
             <button>Sign in</button></form>",
        );
    };
    match app.status(&person).await {
        Ok(status) => page(
            &format!("Hello, {person}"),
            &format!(
                "<p>Your identity: <strong id=status>{status}</strong></p>\
                 <form method=post action=/verify><button>Verify my identity</button></form>"
            ),
        ),
        Err(error) => failed(&error),
    }
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
}

/// A real application asks for a password.
async fn sign_in(State(app): State<App>, Form(SignIn { name }): Form<SignIn>) -> Response {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let id = Uuid::new_v4().to_string();
    let cookie = format!("app={id}; HttpOnly; SameSite=Lax; Path=/");
    let mut people = app.people.lock().unwrap_or_else(PoisonError::into_inner);
    people.insert(id, name);
    ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

/// The button: the browser goes to the link at once, and nobody else sees it.
async fn verify(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some(person) = app.person(&headers) else {
        return Redirect::to("/").into_response();
    };
    match app.hand_over(&person).await {
        Ok(link) => Redirect::to(&link).into_response(),
        Err(error) => failed(&error),
    }
}

fn page(heading: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href=data:,>\
         <title>{heading}</title><main><h1>{heading}</h1>{body}</main></html>"
    );
    Html(page).into_response()
}

fn failed(error: &anyhow::Error) -> Response {
    // For the operator's eyes; people only learn that it did not work.
    let _ = writeln!(std::io::stderr(), "{error:#}");
    let mut answer = page("That did not work", "<p>Try again in a moment.</p>");
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}
