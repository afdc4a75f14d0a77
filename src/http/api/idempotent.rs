//! `Idempotency-Key`: a creating call that is repeated makes nothing twice.

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, request::Parts},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Backend, read};
use crate::{
    causes::causes,
    http::error::Error,
    store::{self, Call, Repeat},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer to a repeated call, as Stripe has it.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub(super) const YES: HeaderValue = HeaderValue::from_static("true");
const LONGEST: usize = 255;

/// The caller's name for this call, if it gave one.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(Option<[u8; 32]>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let mut fields = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(field) = fields.next() else {
            return Ok(Self(None));
        };
        let key = field.to_str().ok().map(str::trim).filter(|key| {
            (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
        });
        match (key, fields.next()) {
            (Some(key), None) => Ok(Self(Some(Sha256::digest(key).into()))),
            _ => Err(Error::invalid(
                "invalid_parameter",
                Some("Idempotency-Key"),
                format!("one key of 1 to {LONGEST} visible ASCII characters"),
            )),
        }
    }
}

/// A call under its key, or one without.
pub(super) struct Claimed {
    backend: Backend,
    key: Option<Held>,
}

#[derive(Clone)]
pub(super) struct Held {
    api_key: Uuid,
    key: [u8; 32],
    request: [u8; 32],
    holder: Uuid,
}

impl Held {
    pub(super) fn call(&self) -> Call<'_> {
        Call {
            api_key: self.api_key,
            key: &self.key,
            request: &self.request,
            holder: self.holder,
        }
    }
}

/// Whether the call is to be done.
pub(super) enum Turn {
    /// Now.
    First(Claimed),
    /// It was done, and made this.
    Done(Uuid),
}

impl IdempotencyKey {
    /// Takes the key for this call. `request` is all that tells it from another.
    pub(super) async fn claim(
        self,
        backend: &Backend,
        api_key: Uuid,
        request: &impl Serialize,
    ) -> Result<Turn, Error> {
        let backend = backend.clone();
        let Some(key) = self.0 else {
            return Ok(Turn::First(Claimed { backend, key: None }));
        };
        let request = serde_json::to_vec(request).map_err(Error::internal)?;
        let held = Held {
            api_key,
            key,
            request: Sha256::digest(request).into(),
            holder: Uuid::new_v4(),
        };
        match read(store::claim_call(&backend.db, held.call())).await? {
            Repeat::First => Ok(Turn::First(Claimed {
                backend,
                key: Some(held),
            })),
            Repeat::Done(made) => Ok(Turn::Done(made)),
            Repeat::Running => Err(Error::Conflict("idempotency_key_in_use")),
            Repeat::Other => Err(Error::invalid(
                "idempotency_key_reused",
                Some("Idempotency-Key"),
                "this key belongs to another call; use a new one",
            )),
        }
    }
}

impl Claimed {
    /// The key, for the work to note with what it makes.
    pub(super) fn held(&self) -> Option<Held> {
        self.key.clone()
    }

    /// Does the work to its end, even if the caller hangs up, and gives the key back if nothing came of it.
    ///
    /// The work notes what it makes in the transaction that makes it: a key that runs out without a note, since its process
    /// died, has made nothing, and a repeated call does the work.
    pub(super) async fn run<T, F>(self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let running = tokio::spawn(async move {
            let done = work.await;
            if let (Err(_), Some(held)) = (&done, &self.key)
                && let Err(error) = store::release_call(&self.backend.db, held.call()).await
            {
                let error = causes(&error);
                tracing::warn!(%error, "a call's idempotency key could not be given back");
            }
            done
        });
        running
            .await
            .unwrap_or_else(|broken| Err(Error::internal(broken)))
    }
}
