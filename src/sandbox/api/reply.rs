//! How a call ended, and the answer that says so, or does not.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::sandbox::{
    DEFAULT_VERSION, Sandbox, idempotency::Answer, plan::Loss, refusal::Refusal, wire::DateSkew,
};

/// How a call ended.
pub(super) struct Reply {
    pub(super) result: Result<Value, Refusal>,
    /// As kept: a replayed refusal is not a fresh one.
    pub(super) status: u16,
    pub(super) replayed: bool,
    pub(super) loss: Option<Loss>,
    pub(super) skew_seconds: i64,
}

impl Reply {
    pub(super) fn done(result: Result<Value, Refusal>) -> Self {
        Self {
            status: result
                .as_ref()
                .map_or_else(|refusal| refusal.status, |_| 200),
            result,
            replayed: false,
            loss: None,
            skew_seconds: 0,
        }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::done(Err(refusal))
    }

    pub(super) fn replayed(answer: Answer) -> Self {
        Self {
            status: answer.status,
            replayed: true,
            ..Self::done(Ok(answer.body))
        }
    }

    pub(super) fn lost(mut self, loss: Option<Loss>) -> Self {
        self.loss = loss.or(self.loss);
        self
    }
}

/// Sends the reply, or loses it on purpose.
pub(super) async fn deliver(
    sandbox: &Sandbox,
    reply: &Reply,
    asked: &HeaderMap,
    request_id: &str,
) -> Response {
    match reply.loss {
        None => respond(reply, asked, request_id),
        Some(loss) => sandbox.lose(loss).await,
    }
}

fn respond(reply: &Reply, asked: &HeaderMap, request_id: &str) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match &reply.result {
        Ok(body) => body.to_string(),
        Err(refusal) => refusal.body().to_string(),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("content-type", "application/json");
    set("cache-control", "no-store");
    set("request-id", request_id);
    set("stripe-version", DEFAULT_VERSION);
    for name in ["stripe-version", "idempotency-key"] {
        if let Some(value) = asked.get(name).and_then(|value| value.to_str().ok()) {
            set(name, value);
        }
    }
    if reply.replayed {
        set("idempotent-replayed", "true");
    }
    if let Err(refusal) = &reply.result {
        if let Some(reason) = &refusal.limited {
            set("stripe-rate-limited-reason", reason);
        }
        if let Some(retry) = refusal.should_retry {
            set("stripe-should-retry", if retry { "true" } else { "false" });
        }
        if refusal.status == 401 {
            set("www-authenticate", "Basic realm=\"Stripe\"");
        }
    }
    response
        .extensions_mut()
        .insert(DateSkew(reply.skew_seconds));
    response
}
