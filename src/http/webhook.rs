//! Stripe's signed deliveries: bytes, signature, envelope, and an answer only after the commit.

use axum::{
    Json,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, header::CONTENT_ENCODING},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    body,
    error::{Error, SOON},
    present::Shape,
    state::Webhook,
};
use crate::{
    causes::causes,
    stripe::{
        event,
        signature::{self, Authentic, SignatureError},
    },
    verification::Heard,
};

/// Stripe says nothing of a limit; its largest objects, metadata of 50 × 540 bytes in four-byte letters, stay below.
const LIMIT: usize = 256 * 1024;

const SIGNATURE: &str = "stripe-signature";

/// `POST /webhook`. Whatever `Accept` says, the sender is a program.
pub(crate) async fn receive_event(State(webhook): State<Webhook>, request: Request) -> Response {
    let received = receive(&webhook, request).await;
    let outcome = match &received {
        Ok(outcome) => outcome,
        Err(error) => error.code(),
    };
    metrics::counter!("verigate_webhook_deliveries_total", "outcome" => outcome).increment(1);
    match received {
        Ok(_) => Json(json!({ "received": true })).into_response(),
        Err(error) => Shape::Json.of(error),
    }
}

async fn receive(webhook: &Webhook, request: Request) -> Result<&'static str, Error> {
    let (parts, body) = request.into_parts();
    if !is_plain(&parts.headers) {
        return Err(Error::UnsupportedEncoding);
    }
    let payload = body::read(&parts.headers, body, LIMIT).await?;
    authenticate(webhook, &parts.headers, &payload)?;
    let event = event::parse(&payload).map_err(|refusal| {
        tracing::warn!(%refusal, "an authentic delivery is not an event");
        Error::BadRequest("not_an_event")
    })?;
    let heard = webhook.intake.hear(&event).await;
    heard.map(Heard::as_str).map_err(|error| {
        if let Some(times) = webhook.away.pass() {
            tracing::warn!(
                error = %causes(&error),
                times,
                "deliveries are not taken; Stripe sends them again"
            );
        }
        // The cause was told just now, or a moment ago: a storm of them is one piece of news.
        Error::Unavailable {
            code: "unavailable",
            retry_after: SOON,
            source: None,
        }
    })
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn authenticate(webhook: &Webhook, headers: &HeaderMap, payload: &Bytes) -> Result<(), Error> {
    let now = webhook.clock.unix();
    let checked = header(headers).and_then(|header| {
        signature::verify(
            payload,
            &header,
            &webhook.secrets,
            now,
            webhook.tolerance_seconds,
        )
    });
    if let Some(signed_at) = signed_at(&checked) {
        note_skew(now, signed_at);
    }
    checked.map(|_| ()).map_err(|cause| {
        let cause_word = cause.as_str();
        metrics::counter!("verigate_webhook_bad_signatures_total", "cause" => cause_word)
            .increment(1);
        if let Some(times) = webhook.forged.pass() {
            tracing::warn!(
                cause = cause_word,
                times,
                "a delivery is not authentic: {cause}"
            );
        }
        Error::BadRequest("signature_invalid")
    })
}

/// The header as one line, as RFC 9110 joins one that was sent in parts.
fn header(headers: &HeaderMap) -> Result<String, SignatureError> {
    let mut parts = Vec::new();
    for part in headers.get_all(SIGNATURE) {
        parts.push(part.to_str().map_err(|_| SignatureError::Malformed)?);
    }
    Ok(parts.join(","))
}

/// When the delivery was signed, as far as its sender is known to be Stripe.
fn signed_at(checked: &Result<Authentic, SignatureError>) -> Option<i64> {
    match checked {
        Ok(authentic) => Some(authentic.timestamp),
        Err(SignatureError::TooOld { timestamp }) => Some(*timestamp),
        Err(SignatureError::TooNew { timestamp }) => *timestamp,
        Err(_) => None,
    }
}

/// How far our clock is from Stripe's, the delivery's way included: near the tolerance, deliveries begin to fail.
fn note_skew(now: i64, signed_at: i64) {
    let seconds = i32::try_from(now.saturating_sub(signed_at)).map_or(f64::MAX, f64::from);
    metrics::histogram!("verigate_webhook_clock_skew_seconds").record(seconds);
}
