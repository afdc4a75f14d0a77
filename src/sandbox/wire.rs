//! What surrounds every answer: who may ask, the `Date`, and connections cut on purpose.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::DateTime;
use futures_util::stream;

use super::{
    Sandbox,
    plan::{Failure, Loss},
};

/// How far off this answer's `Date` is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DateSkew(pub(crate) i64);

/// An answer whose connection ends before a byte of it is sent.
fn cut() -> Response {
    let broken = io::Error::from(io::ErrorKind::ConnectionAborted);
    let body = stream::once(async { Err::<Bytes, _>(broken) });
    Response::new(Body::from_stream(body))
}

/// Refuses every name but this machine's own: a page elsewhere could point its name at us.
pub(crate) async fn guard_host(request: Request, next: Next) -> Response {
    if is_local(request.headers()) {
        return next.run(request).await;
    }
    let message = "The sandbox answers only to localhost, 127.0.0.1 and [::1].\n";
    (StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

fn is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().unwrap_or_default().to_ascii_lowercase();
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|port| {
            port.is_empty()
                || port
                    .strip_prefix(':')
                    .is_some_and(|digits| digits.parse::<u16>().is_ok())
        })
    })
}

/// Faults of pages and scripts, which are no calls of the API.
pub(crate) async fn fail_pages(
    State(sandbox): State<Arc<Sandbox>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let plan = sandbox.world().faults.for_call(method, path);
    let failed = |failure: Failure| {
        StatusCode::from_u16(failure.refusal.status)
            .unwrap_or_default()
            .into_response()
    };
    sandbox.pause(plan.wait_before).await;
    let response = match (plan.lost_before, plan.fail_before) {
        (Some(loss), _) => sandbox.lose(loss).await,
        (None, Some(failure)) => failed(failure),
        (None, None) => next.run(request).await,
    };
    sandbox.pause(plan.wait_after).await;
    match (plan.lost_after, plan.fail_after) {
        (Some(loss), _) => sandbox.lose(loss).await,
        (None, Some(failure)) => failed(failure),
        (None, None) => response,
    }
}

impl Sandbox {
    /// An answer that never comes, or whose connection ends.
    pub(crate) async fn lose(&self, loss: Loss) -> Response {
        if loss == Loss::Held {
            self.pause(self.longest_hold()).await;
        }
        cut()
    }
}

/// Dates every answer by the sandbox's own clock, at the moment it is sent.
pub(crate) async fn date(
    State(sandbox): State<Arc<Sandbox>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let skew = response.extensions().get::<DateSkew>();
    let seconds = skew.map_or(0, |skew| skew.0);
    let now_ms = sandbox
        .time
        .now_ms()
        .saturating_add(seconds.saturating_mul(1000));
    let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    let text = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::DATE, value);
    }
    response
}

/// The same few headers on everything a browser shows.
pub(crate) fn page_headers(response: &mut Response, policy: &str) {
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "no-store");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_names_are_answered() {
        for (host, ok) in [
            ("localhost:12111", true),
            ("LOCALHOST", true),
            ("127.0.0.1:1", true),
            ("[::1]:80", true),
            ("localhost.attacker.example:12111", false),
            ("localhost:12111@attacker.example", false),
            ("attacker.example", false),
            ("127.0.0.1.nip.example", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(is_local(&headers), ok, "{host}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}
