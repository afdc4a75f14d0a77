//! Who calls: a key that works, and is made for what is asked.

use std::marker::PhantomData;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use uuid::Uuid;

use super::{Backend, read};
use crate::{
    causes::causes,
    domain::{KeyText, Scope},
    http::error::Error,
    store::{self, ApiKeyRecord},
};

/// A right that a key may have; a type each, so that a handler cannot forget to ask.
pub(crate) trait Right: Send + Sync + 'static {
    /// The scope that gives it.
    const SCOPE: Scope;
}

/// To see where people and their verifications stand.
#[derive(Debug)]
pub(crate) enum Read {}
impl Right for Read {
    const SCOPE: Scope = Scope::Read;
}

/// To ask for a person to be verified.
#[derive(Debug)]
pub(crate) enum Write {}
impl Right for Write {
    const SCOPE: Scope = Scope::Write;
}

/// To cancel and redact verifications, to allow another attempt, and to forget people.
#[derive(Debug)]
pub(crate) enum Manage {}
impl Right for Manage {
    const SCOPE: Scope = Scope::Manage;
}

/// A caller with a key that works here, and may do what is asked.
#[derive(Debug)]
pub(crate) struct ApiKey<R> {
    record: ApiKeyRecord,
    right: PhantomData<R>,
}

impl<R: Right> ApiKey<R> {
    /// Which key it is.
    pub(super) fn id(&self) -> Uuid {
        self.record.id
    }

    /// Where people may be sent back to.
    pub(super) fn return_to(&self) -> &[String] {
        &self.record.return_to
    }
}

impl<R: Right, S> FromRequestParts<S> for ApiKey<R>
where
    Backend: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let backend = Backend::from_ref(state);
        let record = find(&backend, &parts.headers).await?;
        let Some(record) = record else {
            // One answer for every reason, and no line in the log: strangers may knock as often as they like.
            metrics::counter!("verigate_api_keys_refused_total").increment(1);
            return Err(Error::KeyRefused);
        };
        if !record.scopes.contains(&R::SCOPE) {
            return Err(Error::Forbidden("missing_scope"));
        }
        if record.use_is_news
            && let Err(error) = store::record_api_key_use(&backend.db, record.id).await
        {
            // Worth knowing, but no reason to refuse the call.
            tracing::warn!(
                error = %causes(&error),
                "a key's use could not be noted"
            );
        }
        tracing::debug!(api_key.id = %record.id, "called with a key");
        let right = PhantomData;
        Ok(Self { record, right })
    }
}

async fn find(backend: &Backend, headers: &HeaderMap) -> Result<Option<ApiKeyRecord>, Error> {
    // What cannot be a key costs no query.
    let Some(key) = shown(headers).filter(|key| key.livemode() == backend.livemode) else {
        return Ok(None);
    };
    read(store::find_api_key(&backend.db, &key, backend.livemode)).await
}

/// The one key in the one header.
fn shown(headers: &HeaderMap) -> Option<KeyText> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next()?.to_str().ok()?;
    let (scheme, key) = field.split_once(' ')?;
    let is_only = fields.next().is_none();
    (is_only && scheme.eq_ignore_ascii_case("bearer"))
        .then(|| KeyText::parse(key.trim()))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_key_is_read_and_anything_else_is_none() {
        let key = KeyText::mint(false, [7; 32]).expose().to_owned();
        let shown = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(AUTHORIZATION, field.parse().unwrap());
            }
            shown(&headers).is_some()
        };
        let bearer = format!("Bearer {key}");
        assert!(shown(&[&bearer]) && shown(&[&format!("bearer  {key}")]));
        assert!(!shown(&[]) && !shown(&[&key]) && !shown(&["Bearer"]) && !shown(&["Bearer "]));
        assert!(!shown(&[&format!("Basic {key}")]));
        assert!(
            !shown(&[&bearer, &bearer]),
            "who says it twice may mean two"
        );
    }
}
