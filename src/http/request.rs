//! One span and one line in the log for each request, and the id by which support finds them.

use std::{fmt, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    response::Response,
};
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::router::{PROBES, WEBHOOK};

/// The header that carries it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names one request. Always ours: an id from outside could be a name, a secret or the same for everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId(Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Runs the request in a span of its own. Path and query stay out of it: they are whatever a stranger typed.
pub(crate) async fn trace(
    mut request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let id = RequestId(Uuid::now_v7());
    request.extensions_mut().insert(id);
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        method = method_name(&request),
        route,
        user.id = field::Empty,
    );
    let finish = Finish {
        route,
        span: span.clone(),
        started: Instant::now(),
    };
    let mut response = next(request).instrument(span).await;
    finish.log(&response);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// A method is free text too, and a label of a metric must not be.
fn method_name(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

struct Finish {
    route: String,
    span: Span,
    started: Instant,
}

impl Finish {
    fn log(self, response: &Response) {
        let _entered = self.span.enter();
        let status = response.status().as_u16();
        let elapsed = self.started.elapsed();
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        // Somebody asks for health every few seconds, all day long, and deliveries come by the thousand.
        if PROBES.contains(&self.route.as_str()) || self.route == WEBHOOK {
            tracing::debug!(status, duration_ms, "answered");
        } else {
            tracing::info!(status, duration_ms, "answered");
        }
        let labels = [("route", self.route), ("status", status.to_string())];
        metrics::histogram!("verigate_http_request_seconds", &labels).record(elapsed);
    }
}
