//! One endpoint: signs a message for it, sends it, and says what came of that.

use std::time::Duration;

use chrono::SecondsFormat;
use futures_util::StreamExt as _;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use serde_json::json;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};
use url::Url;

use super::guard::{Guard, is_forbidden};
use crate::{config::EndpointConfig, store::Message};

/// How much of an answer is read: enough to use the connection again after an honest one.
const MOST_READ: usize = 16 * 1024;
/// How long that may take. What the answer says matters to nobody.
const READING: Duration = Duration::from_secs(1);

/// An endpoint, ready to be told.
pub(super) struct Receiver {
    url: Url,
    signers: Vec<Webhook>,
}

/// Why a message was not taken, in a word that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Its address is none that may be called, or its name leads to none.
    Forbidden,
    /// It could not be connected to.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// The connection broke.
    Broken,
    /// It answered this.
    Answered(u16),
    /// It wants nothing any more.
    Gone,
    /// The message cannot be written.
    Unwritable,
}

impl Failure {
    /// As stored.
    pub(super) fn word(self) -> String {
        match self {
            Self::Forbidden => "forbidden_address".to_owned(),
            Self::Unreachable => "unreachable".to_owned(),
            Self::TimedOut => "timed_out".to_owned(),
            Self::Broken => "broken_off".to_owned(),
            Self::Answered(status) => format!("answered_{status}"),
            Self::Gone => "answered_410".to_owned(),
            Self::Unwritable => "unwritable".to_owned(),
        }
    }

    /// Trying again would change nothing.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Gone | Self::Unwritable)
    }
}

impl Receiver {
    pub(super) fn new(endpoint: &EndpointConfig) -> Result<Self, WebhookError> {
        let signers = endpoint.secrets.iter();
        let signers = signers.map(|secret| Webhook::new(secret.expose_secret()));
        Ok(Self {
            url: endpoint.url.clone(),
            signers: signers.collect::<Result<_, _>>()?,
        })
    }

    /// Sends it. It is signed with every secret, so that either side may change first.
    pub(super) async fn tell(
        &self,
        http: &Client,
        guard: &Guard,
        message: &Message,
        now: i64,
    ) -> Result<(), Failure> {
        if !guard.allows_host_of(&self.url) {
            return Err(Failure::Forbidden);
        }
        let (id, body) = (message.name(), body(message));
        let signatures: Result<Vec<String>, WebhookError> = self
            .signers
            .iter()
            .map(|signer| signer.sign(&id, now, body.as_bytes()))
            .collect();
        let signatures = signatures.map_err(|_| Failure::Unwritable)?;
        let request = http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, id)
            .header(HEADER_WEBHOOK_TIMESTAMP, now)
            .header(HEADER_WEBHOOK_SIGNATURE, signatures.join(" "))
            .body(body);
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let mut rest = answer.bytes_stream();
        let mut read = 0;
        let reading = async {
            while let Some(Ok(chunk)) = rest.next().await {
                read += chunk.len();
                if read > MOST_READ {
                    break;
                }
            }
        };
        // The status is the answer, whatever the body does.
        let _ = tokio::time::timeout(READING, reading).await;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Failure::Gone),
            status => Err(Failure::Answered(status.as_u16())),
        }
    }
}

/// The same as `/v1/events` tells it.
fn body(message: &Message) -> String {
    json!({
        "id": message.name(),
        "type": message.kind.as_str(),
        "timestamp": message.created_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "sequence": message.sequence,
        "livemode": message.livemode,
        "data": message.data,
    })
    .to_string()
}

fn failure(error: &reqwest::Error) -> Failure {
    if is_forbidden(error) {
        Failure::Forbidden
    } else if error.is_timeout() {
        Failure::TimedOut
    } else if error.is_connect() {
        Failure::Unreachable
    } else {
        Failure::Broken
    }
}
