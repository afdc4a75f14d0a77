//! Pages of other origins that may call us with a token of their own; never with a cookie.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, InvalidHeaderValue, ORIGIN, VARY,
        },
    },
    response::{IntoResponse, Response},
};

use super::router::{CONFIG, CREATE, CREATE_NATIVE, STATUS, STATUS_STREAM};

/// What a single-page application needs; everything else is for pages of ours.
const SHARED: [&str; 5] = [CREATE, CREATE_NATIVE, CONFIG, STATUS, STATUS_STREAM];
/// A browser asks again after an hour at the latest.
const MAX_AGE: &str = "3600";

/// The origins whose pages may call.
#[derive(Clone, Debug)]
pub(crate) struct Sharing(Arc<[HeaderValue]>);

impl Sharing {
    pub(crate) fn new(origins: &[String]) -> Result<Self, InvalidHeaderValue> {
        origins
            .iter()
            .map(|origin| origin.parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The origin of the calling page, if it is one of them to the letter.
    fn caller(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut said = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (said.next(), said.next()) else {
            return None;
        };
        self.0.contains(origin).then(|| origin.clone())
    }
}

fn is_shared(request: &Request) -> bool {
    SHARED.contains(&request.uri().path())
}

/// Lets a listed page read the answer, errors included. Credentials are not allowed, so a browser sends no cookie
/// along, and `*` never is.
pub(crate) async fn share(
    sharing: &Sharing,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if sharing.0.is_empty() || !is_shared(&request) {
        return next(request).await;
    }
    let caller = sharing.caller(request.headers());
    let mut answer = next(request).await;
    let headers = answer.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = caller {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("retry-after, x-request-id");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    answer
}

/// Answers the question that a browser asks on behalf of a listed page before it sends a token.
pub(crate) async fn answer_preflight(
    sharing: &Sharing,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let headers = request.headers();
    let is_question = request.method() == Method::OPTIONS
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && is_shared(&request)
        && sharing.caller(headers).is_some();
    if !is_question {
        return next(request).await;
    }
    let answer = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, answer).into_response()
}
