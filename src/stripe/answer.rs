//! Reads one HTTP answer: its headers, its body under a limit, and the object or error in it.

use std::time::Duration;

use reqwest::{Response, StatusCode, header::HeaderMap};
use secrecy::SecretString;

use super::{
    AsOf, Reply, StripeError,
    client::{Failure, broken},
    error::ApiError,
    json::Object,
    types::Wire,
};

/// What Stripe answered, undecoded.
pub(super) struct Answer {
    status: StatusCode,
    request_id: Option<String>,
    replayed: bool,
    should_retry: Option<bool>,
    as_of: Option<AsOf>,
    /// `None` if it was larger than is read.
    body: Option<Vec<u8>>,
}

impl Answer {
    pub(super) async fn read(
        mut response: Response,
        round_trip: Duration,
        largest: usize,
    ) -> Result<Self, StripeError> {
        let headers = response.headers();
        let mut answer = Self {
            status: response.status(),
            request_id: header(headers, "request-id").and_then(|id| word(id, "")),
            replayed: header(headers, "idempotent-replayed") == Some("true"),
            should_retry: header(headers, "stripe-should-retry").and_then(|s| s.parse().ok()),
            as_of: header(headers, "date").and_then(|date| AsOf::measure(date, round_trip)),
            body: None,
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > largest {
                return Ok(answer);
            }
            body.extend_from_slice(&chunk);
        }
        answer.body = Some(body);
        Ok(answer)
    }

    /// The object asked for, or Stripe's error without any trace of `key`.
    pub(super) fn decode<T: Wire>(self, key: &str) -> Result<Reply<T>, Failure> {
        let object = self.body.as_deref().and_then(Object::parse);
        if !self.status.is_success() {
            let error = self.error(object.as_ref(), key);
            return Err(Failure {
                error: StripeError::Api(Box::new(error)),
                should_retry: self.should_retry,
            });
        }
        let value = object.as_ref().and_then(T::from_object);
        let value = value.ok_or_else(|| StripeError::Undecodable {
            status: self.status.as_u16(),
            request_id: self.request_id.clone(),
        })?;
        Ok(Reply {
            value,
            replayed: self.replayed,
            as_of: self.as_of,
            request_id: self.request_id,
        })
    }

    fn error(&self, object: Option<&Object<'_>>, key: &str) -> ApiError {
        let error = object.and_then(|object| object.object("error"));
        let text = |member| error.as_ref().and_then(|error| error.text(member));
        let word = |member| text(member).and_then(|text| word(&text, key));
        ApiError {
            status: self.status.as_u16(),
            kind: word("type"),
            code: word("code"),
            param: word("param"),
            message: text("message").map(SecretString::from),
            request_id: self.request_id.clone(),
            replayed: self.replayed,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An identifier such as Stripe uses for codes and parameters. What else stands there came from
/// somebody between us and Stripe, and may repeat what we sent.
fn word(text: &str, key: &str) -> Option<String> {
    const LONGEST: usize = 100;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b);
    let shown = !text.is_empty()
        && text.len() <= LONGEST
        && text.bytes().all(plain)
        && (key.is_empty() || !text.contains(key));
    shown.then(|| text.to_owned())
}
