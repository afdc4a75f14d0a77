//! How an error looks: JSON for programs, a problem for backends, a page for people. The only place that words and logs one.

use std::panic::AssertUnwindSafe;

use axum::{
    Json,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{Html, IntoResponse, Response},
};
use futures_util::FutureExt as _;
use serde_json::json;

use super::{
    api,
    error::Error,
    request::RequestId,
    router::START_PREFIX,
    security::Surface,
    state::Site,
    views::{ErrorPage, SignInPage, Template},
};
use crate::causes::causes;

/// In which form an answer is wanted; as an extension of an answer it overrules what the request accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// For a program.
    Json,
    /// For a person.
    Page,
    /// For an application's backend: `application/problem+json`.
    Problem,
}

impl Shape {
    /// A page for whoever names `text/html`; a bare `*/*` is a program.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let names_html = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(is_html);
        if names_html { Self::Page } else { Self::Json }
    }

    /// The error in this form, whatever the request accepts.
    pub(crate) fn of(self, error: Error) -> Response {
        let mut response = error.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn is_html(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_named = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
    let refused = parts
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(name, value)| name.eq_ignore_ascii_case("q") && value.parse() == Ok(0.0_f32));
    is_named && !refused
}

/// Gives every error that comes by its words, and writes the ones that are our fault to the log.
pub(crate) async fn present_errors(
    site: &Site,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    // Everything about a call of the API is a problem, even that there is no such call.
    let is_call = api::is_call(request.uri().path());
    let accepted = Shape::accepted(request.headers());
    let id = request.extensions().get::<RequestId>().copied();
    let may_repeat = may_repeat(&request);
    let mut response = next(request).await;
    let Some(error) = error_of(&mut response) else {
        return response;
    };
    log(&error);
    let wanted = response.extensions().get().copied().unwrap_or(accepted);
    let shape = if is_call { Shape::Problem } else { wanted };
    let mut worded = match shape {
        Shape::Json => word_for_program(&error),
        Shape::Page => word_for_person(&error, site, id, may_repeat),
        Shape::Problem => api::word_problem(&error, id),
    };
    *worded.status_mut() = error.status();
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs().max(1).into();
        worded.headers_mut().insert(RETRY_AFTER, seconds);
    }
    if let Some(challenge) = error.challenge() {
        let challenge = HeaderValue::from_static(challenge);
        worded.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        worded.headers_mut().insert(ALLOW, allow);
    }
    worded
}

/// Is asking for the same address once more the way to go on? What was read can be read again; and only below a link
/// is what was pressed on the page of that same address.
fn may_repeat(request: &Request) -> bool {
    request.method().is_safe() || request.uri().path().starts_with(START_PREFIX)
}

/// Our own errors carry themselves; the framework's are known by their status and their plain or missing body.
fn error_of(response: &mut Response) -> Option<Error> {
    if let Some(error) = response.extensions_mut().remove() {
        return Some(error);
    }
    let is_worded = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| !is_plain(kind));
    if is_worded {
        return None;
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some(Error::NotFound),
        StatusCode::METHOD_NOT_ALLOWED => Some(Error::MethodNotAllowed),
        StatusCode::PAYLOAD_TOO_LARGE => Some(Error::TooLarge),
        StatusCode::UNPROCESSABLE_ENTITY => Some(Error::Unprocessable),
        status if status.is_client_error() => Some(Error::BadRequest("bad_request")),
        status if status.is_server_error() => Some(Error::internal(Unexplained(status))),
        _ => None,
    }
}

fn is_plain(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"text/plain")
}

/// Answers for a handler that panics; the panic itself is told by the hook of the process.
pub(crate) async fn catch_panic(
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let answered = AssertUnwindSafe(next(request)).catch_unwind().await;
    answered.unwrap_or_else(|_| Error::internal(Panicked).into_response())
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

/// A 5xx that says nothing of itself.
#[derive(Debug, thiserror::Error)]
#[error("a handler answered {0} without saying why")]
struct Unexplained(StatusCode);

/// `{"error":{"code","message"}}`.
fn word_for_program(error: &Error) -> Response {
    Json(json!({ "error": { "code": error.code(), "message": error.message() } })).into_response()
}

fn word_for_person(
    error: &Error,
    site: &Site,
    id: Option<RequestId>,
    may_repeat: bool,
) -> Response {
    let id = id.map(|id| id.to_string());
    let page = match error {
        Error::Unauthorized | Error::InvalidToken => SignInPage {
            chrome: site.chrome(),
            here: site.can_sign_in(),
        }
        .render(),
        _ => ErrorPage {
            chrome: site.chrome(),
            status: error.status().as_u16(),
            may_repeat,
            request_id: id.as_deref(),
            retry_after: error.retry_after().map(|wait| wait.as_secs().max(1)),
        }
        .render(),
    };
    match page {
        Ok(page) => {
            let mut response = Html(page).into_response();
            response.extensions_mut().insert(Surface::Page);
            response
        }
        Err(error) => {
            tracing::error!(%error, "the error page cannot be rendered");
            word_for_program(&Error::internal(error))
        }
    }
}

/// The whole chain of causes, once; the request's span carries its id.
fn log(error: &Error) {
    let status = error.status().as_u16();
    let causes = causes(error);
    match error {
        Error::Upstream(_) | Error::Internal(_) => {
            tracing::error!(status, code = error.code(), %causes, "{error}");
        }
        // Warned of once, and asked for by a crowd.
        Error::Unavailable { code, source, .. }
            if *code == "budget_exhausted"
                || (source.is_none()
                    && matches!(*code, "unavailable" | "overloaded" | "timed_out")) =>
        {
            tracing::debug!(status, code, "{error}");
        }
        Error::Unavailable { .. } => {
            tracing::warn!(status, code = error.code(), %causes, "{error}");
        }
        _ => tracing::debug!(status, code = error.code(), "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(values: &[&'static str]) -> Shape {
        let headers = values.iter().fold(HeaderMap::new(), |mut all, value| {
            all.append(ACCEPT, HeaderValue::from_static(value));
            all
        });
        Shape::accepted(&headers)
    }

    #[test]
    fn only_who_names_html_gets_a_page() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(accepted(&[browser]), Shape::Page);
        assert_eq!(accepted(&["Text/HTML ; charset=utf-8"]), Shape::Page);
        assert_eq!(
            accepted(&["application/json", "text/html;q=0.1"]),
            Shape::Page
        );
        for program in [
            "*/*",
            "text/*",
            "application/json",
            "",
            "text/html;q=0",
            "text/html; q=0.0",
        ] {
            assert_eq!(accepted(&[program]), Shape::Json, "{program}");
        }
        assert_eq!(accepted(&[]), Shape::Json);
    }

    #[cfg(feature = "dev")]
    mod whole {
        use super::*;
        use crate::config::{Config, Mode};
        use axum::{
            Router,
            body::{Body, to_bytes},
            extract::State,
            middleware::{Next, from_fn_with_state},
            routing::get,
        };
        use tower::ServiceExt;

        async fn ask(path: &str, accept: &str) -> (StatusCode, String, String) {
            let config = Config::from_lookup(Mode::Dev, |_| None).unwrap();
            let around = async |State(site): State<Site>, request: Request, next: Next| {
                let next = async |request| next.run(request).await;
                let next = async |request| catch_panic(request, next).await;
                let next = async |request| present_errors(&site, request, next).await;
                crate::http::request::trace(request, next).await
            };
            let router = Router::new()
                .route("/panics", get(async || -> () { panic!("canary") }))
                .route("/mute", get(async || StatusCode::BAD_GATEWAY))
                .layer(from_fn_with_state(Site::new(&config), around));
            let request = Request::builder().uri(path).header(ACCEPT, accept);
            let request = request.body(Body::empty()).unwrap();
            let answer = router.oneshot(request).await.unwrap();
            let id = answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            let status = answer.status();
            let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            (status, id, String::from_utf8(body.to_vec()).unwrap())
        }

        #[tokio::test]
        async fn a_panic_and_a_mute_failure_are_500_with_the_same_fixed_words() {
            for path in ["/panics", "/mute"] {
                let (status, _, json) = ask(path, "*/*").await;
                assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
                let words = r#"{"error":{"code":"internal","message":"Something went wrong on our side."}}"#;
                assert_eq!(json, words, "{path}");
                let (status, id, page) = ask(path, "text/html").await;
                assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
                assert!(page.contains(&id), "support can find it: {page}");
                assert!(!page.contains("canary"), "{page}");
            }
        }
    }
}
