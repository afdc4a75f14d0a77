//! The frame that `stripe.js` opens, and what it tells the page around it.

use std::sync::Arc;

use askama::Template;
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Sandbox, delivery::is_loopback, hosted::page, session::id_of_secret, statics};

/// The secret comes to this page in the fragment, so it is in no request line.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors http://localhost:* \
    http://127.0.0.1:* https://localhost:* https://127.0.0.1:*";

pub(crate) fn routes() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/modal", get(show_modal))
        .route("/modal/session", post(open_session))
}

/// What `verifyIdentity` resolves with.
pub(crate) struct Message(Value);

impl Message {
    pub(crate) fn submitted(session: &str) -> Self {
        Self(json!({ "verificationSession": { "id": session } }))
    }

    pub(crate) fn failed(code: &str, message: &str) -> Self {
        Self::error("validation_error", Some(code), message)
    }

    pub(crate) fn closed() -> Self {
        Self::failed("session_cancelled", "The verification was closed.")
    }

    /// A secret or an address that opens nothing.
    pub(crate) fn refused(message: &str) -> Self {
        Self::error("invalid_request_error", None, message)
    }

    fn error(kind: &str, code: Option<&str>, message: &str) -> Self {
        let mut error = json!({ "type": kind, "message": message });
        if let Some(code) = code {
            error["code"] = json!(code);
        }
        Self(json!({ "error": error }))
    }

    pub(crate) fn to_json(&self) -> String {
        self.0.to_string()
    }
}

#[derive(Template)]
#[template(path = "sandbox/modal.html")]
struct ModalPage;

async fn show_modal() -> Response {
    page(&ModalPage, StatusCode::OK, POLICY)
}

#[derive(Deserialize)]
struct Asked {
    client_secret: String,
    opener: String,
}

/// Exchanges a client secret for the address of its hosted page.
async fn open_session(
    State(sandbox): State<Arc<Sandbox>>,
    Json(asked): Json<Asked>,
) -> Json<Value> {
    // A refusal is a result like any other: as a status it would be an error on the console.
    let refused = |message| Json(Message::refused(message).0);
    let Some(opener) = local_origin(&asked.opener) else {
        let message = "The sandbox opens only on pages of this machine.";
        return refused(message);
    };
    let now_ms = sandbox.time.now_ms();
    let world = sandbox.world();
    let found = id_of_secret(&asked.client_secret).and_then(|id| world.sessions.find(id));
    let token = found
        .filter(|session| session.is_open())
        .and_then(|session| session.pass_of_secret(&asked.client_secret, now_ms))
        .map(|pass| pass.token.clone());
    let Some(token) = token else {
        let message = "This client secret was used already, is too old, or belongs to no open \
            verification.";
        return refused(message);
    };
    let opener: String = url::form_urlencoded::byte_serialize(opener.as_bytes()).collect();
    Json(json!({ "start": format!("/start/{token}?opener={opener}") }))
}

/// The origin, if it is one of this machine's.
pub(crate) fn local_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(is_loopback)?;
    let origin = url.origin().ascii_serialization();
    (origin == text).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_local_origin_is_an_opener() {
        assert!(local_origin("http://localhost:4242").is_some());
        assert!(local_origin("http://127.0.0.1:1").is_some());
        for wrong in [
            "http://localhost:4242/",
            "https://example.com",
            "null",
            "*",
            "http://localhost:1; script-src *",
        ] {
            assert_eq!(local_origin(wrong), None, "{wrong}");
        }
    }
}
