//! What callers send, read strictly: an unknown or wrong part is told by name instead of being passed over.

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
        request::Parts,
    },
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::AttemptId,
    http::{body, error::Error},
};

/// The longest id of a person, in characters.
pub(super) const LONGEST_USER_ID: usize = 255;

/// The part of the address after `?`.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Parameters<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        let Query(read) =
            read.map_err(|refusal| Error::invalid("invalid_parameter", None, refusal.body_text()))?;
        Ok(Self(read))
    }
}

/// A person's id in the address; who cannot exist is not found, like anybody unknown.
#[derive(Debug)]
pub(crate) struct UserId(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound)?;
        if is_user_id(&id) {
            Ok(Self(id))
        } else {
            Err(Error::NotFound)
        }
    }
}

/// The application's own id of a person: a short line of anything. `.` and `..` would vanish from an address.
pub(super) fn is_user_id(id: &str) -> bool {
    let fits = !id.is_empty() && id.chars().count() <= LONGEST_USER_ID;
    fits && !id.chars().any(char::is_control) && !matches!(id, "." | "..")
}

/// A verification's id in the address.
#[derive(Debug)]
pub(crate) struct VerificationId(pub(crate) AttemptId);

impl<S: Send + Sync> FromRequestParts<S> for VerificationId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(id) = Path::<Uuid>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound)?;
        Ok(Self(AttemptId(id)))
    }
}

/// More than any call needs.
const LARGEST_BODY: usize = 16 * 1024;

/// A body that is one JSON object, without a member too many.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<T, S> FromRequest<S> for Object<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return Err(Error::UnsupportedEncoding);
        }
        if !is_json(&parts.headers) {
            return Err(Error::UnsupportedType);
        }
        let bytes = body::read(&parts.headers, body, LARGEST_BODY).await?;
        let read = serde_json::from_slice(&bytes).map_err(|refusal| {
            if refusal.is_data() {
                Error::invalid("invalid_body", None, refusal.to_string())
            } else {
                Error::BadRequest("not_json")
            }
        })?;
        Ok(Self(read))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What is wrong with a member of the body.
pub(super) fn wrong(member: &'static str, what: &str) -> Error {
    Error::invalid("invalid_member", Some(member), format!("{member}: {what}"))
}

/// A member that is a short line of text; null is as good as nothing.
pub(super) fn text(
    member: &'static str,
    value: Option<Value>,
    longest: usize,
) -> Result<Option<String>, Error> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong(member, "is not a string")),
    };
    if text.is_empty() || text.chars().count() > longest {
        return Err(wrong(
            member,
            &format!("must have 1 to {longest} characters"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong(member, "holds a control character"));
    }
    Ok(Some(text))
}

/// Text that people read: nothing in it may turn the words around it.
pub(super) fn label(
    member: &'static str,
    value: Option<Value>,
    longest: usize,
) -> Result<Option<String>, Error> {
    let label = text(member, value, longest)?;
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match label {
        Some(label) if label.contains(turns) || label.trim().is_empty() => {
            Err(wrong(member, "cannot be shown as it is"))
        }
        label => Ok(label),
    }
}

/// Not whether it exists, only that it can be one.
pub(super) fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else {
        return false;
    };
    !name.is_empty() && !host.is_empty() && !text.chars().any(char::is_whitespace)
}
