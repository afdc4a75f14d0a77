//! The one error of the HTTP layer: which status, code and words a failure gets.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// What went wrong underneath; for the log only, never for the person.
pub(crate) type Cause = Arc<dyn StdError + Send + Sync>;

/// A request that cannot be answered as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request makes no sense; the code says in which way.
    #[error("the request cannot be understood ({0})")]
    BadRequest(&'static str),
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    Unauthorized,
    /// The `Authorization` header proves nothing, and it decides alone.
    #[error("the Authorization header proves nothing")]
    InvalidToken,
    /// Signed in, and still not allowed; the code says why.
    #[error("the request is not allowed ({0})")]
    Forbidden(&'static str),
    /// Every attempt of this person is used.
    #[error("every attempt is used")]
    TriesUsed {
        /// When there is another by itself.
        again_in: Option<Duration>,
    },
    /// No such address.
    #[error("there is nothing at this address")]
    NotFound,
    /// The address exists, for another method.
    #[error("the method does not fit the address")]
    MethodNotAllowed,
    /// The state of things forbids it; the code says which state.
    #[error("the request conflicts with the current state ({0})")]
    Conflict(&'static str),
    /// More bytes than we read.
    #[error("the body is too large")]
    TooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// An encoding we do not undo.
    #[error("the body has an encoding we do not read")]
    UnsupportedEncoding,
    /// Called by a name that is not ours.
    #[error("the request was meant for another host")]
    Misdirected,
    /// A kind of body that this address does not read.
    #[error("the body is of a kind that is not read here")]
    UnsupportedType,
    /// Readable, and still not usable.
    #[error("the request cannot be processed")]
    Unprocessable,
    /// Readable, but one part of it is not valid; for programs, which are told which and why.
    #[error("a part of the request is not valid")]
    Invalid(Box<Invalid>),
    /// A call without a key that works.
    #[error("no key that works was shown")]
    KeyRefused,
    /// Too often.
    #[error("too many requests")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
    /// Stripe refused what we asked of it: our fault, not the person's.
    #[error("Stripe refused our request")]
    Upstream(#[source] Cause),
    /// Something we need is away for the moment; the code says what.
    #[error("something we need is away ({code})")]
    Unavailable {
        /// What is away.
        code: &'static str,
        /// When to come back.
        retry_after: Duration,
        /// What it said.
        #[source]
        source: Option<Cause>,
    },
    /// A bug, or a state nobody thought of.
    #[error("the request failed for an unexpected reason")]
    Internal(#[source] Cause),
}

/// One part of a request, and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Invalid {
    /// A word for programs; it never changes.
    pub(crate) code: &'static str,
    /// Which part.
    pub(crate) member: Option<&'static str>,
    /// What is wrong with it. It goes to the caller alone: it may repeat what was sent.
    pub(crate) detail: String,
}

/// When to come back if nobody knows better.
pub(crate) const SOON: Duration = Duration::from_secs(5);

impl Error {
    /// Something we need is away, nobody knows for how long.
    pub(crate) fn unavailable(
        code: &'static str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::away(code, SOON, source)
    }

    /// Something we need is away until then.
    pub(crate) fn away(
        code: &'static str,
        retry_after: Duration,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable {
            code,
            retry_after,
            source: Some(Arc::new(source)),
        }
    }

    /// A bug, or a state nobody thought of.
    pub(crate) fn internal(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Internal(Arc::new(source))
    }

    /// One part of the request is not valid.
    pub(crate) fn invalid(
        code: &'static str,
        member: Option<&'static str>,
        detail: impl Into<String>,
    ) -> Self {
        Self::Invalid(Box::new(Invalid {
            code,
            member,
            detail: detail.into(),
        }))
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::InvalidToken | Self::KeyRefused => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::TriesUsed { .. } => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedEncoding | Self::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Unprocessable | Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A word for programs; it never changes.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(code)
            | Self::Forbidden(code)
            | Self::Conflict(code)
            | Self::Unavailable { code, .. } => code,
            Self::Unauthorized | Self::InvalidToken => "unauthenticated",
            Self::TriesUsed { .. } => "attempts_exhausted",
            Self::KeyRefused => "invalid_api_key",
            Self::Invalid(invalid) => invalid.code,
            Self::UnsupportedType => "unsupported_media_type",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "body_too_large",
            Self::TooSlow => "body_too_slow",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::Misdirected => "misdirected",
            Self::Unprocessable => "unprocessable",
            Self::TooMany { .. } => "rate_limited",
            Self::Upstream(_) => "stripe_refused",
            Self::Internal(_) => "internal",
        }
    }

    /// A sentence for people; that of a 5xx never depends on what happened inside.
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::Forbidden("cross_site") => {
                "This request did not come from a page of this server. Open the page and try again."
            }
            Self::TriesUsed { again_in: None } => {
                "Every attempt is used. Support can allow another."
            }
            Self::TriesUsed { again_in: Some(_) } => {
                "Every attempt of today is used. Try again tomorrow; support can allow another before."
            }
            Self::Unavailable {
                code: "budget_exhausted",
                ..
            } => "No more checks are made for now. Try again later.",
            Self::Conflict("already_verified") => "This person is verified already.",
            Self::Conflict("verification_processing") => {
                "The document is being checked. Wait for the result."
            }
            Self::BadRequest(_) => "The request cannot be understood.",
            Self::Unauthorized => "Nobody is signed in. Open the page from the application.",
            Self::InvalidToken => "The Authorization header holds no token that is valid here.",
            Self::Forbidden("missing_scope") => "This key is not made for that.",
            Self::Forbidden("hand_off_off") => {
                "Hand-offs are switched off on this server (HAND_OFF)."
            }
            Self::Forbidden(_) => "This is not allowed.",
            Self::Conflict("idempotency_key_in_use") => {
                "A call with this Idempotency-Key is running. Wait for its end."
            }
            Self::Conflict("hand_off_used") => "The link of this hand-off was followed already.",
            Self::Conflict("verification_not_open") => "This verification is over.",
            Self::Conflict("verification_without_session") => {
                "Stripe has no session of this verification."
            }
            Self::KeyRefused => "Send a key that works here: Authorization: Bearer vg_…",
            Self::NotFound => "There is nothing at this address.",
            Self::MethodNotAllowed => "This address does not answer that method.",
            Self::Conflict(_) => "This does not fit the present state.",
            Self::TooLarge => "The body is larger than this address reads.",
            Self::TooSlow => "The body did not arrive in time.",
            Self::UnsupportedEncoding => "Send the body without a content encoding.",
            Self::Misdirected => "This server is not known by that name.",
            Self::UnsupportedType => "Send the body as application/json.",
            Self::Unprocessable | Self::Invalid(_) => "Some of this is not valid.",
            Self::TooMany { .. } => "Too many requests. Wait a moment and try again.",
            Self::Upstream(_) => {
                "The verification could not be started. This is our fault; please tell support."
            }
            Self::Unavailable { .. } => "This does not work right now. Try again in a moment.",
            Self::Internal(_) => "Something went wrong on our side.",
        }
    }

    /// How to prove who one is; a browser makes no dialogue of it.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized | Self::KeyRefused => Some("Bearer"),
            Self::InvalidToken => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }

    /// When to come back.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::TriesUsed { again_in } => *again_in,
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    /// Only the status, and the error for the layer that words it: that one knows who asks, and logs.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_never_reaches_the_words() {
        let cause = || std::io::Error::other("relation users does not exist");
        for error in [
            Error::internal(cause()),
            Error::unavailable("database_away", cause()),
        ] {
            assert!(!error.message().contains("relation"), "{error:?}");
            assert!(!error.to_string().contains("relation"), "{error:?}");
            assert!(
                error
                    .source()
                    .is_some_and(|source| source.to_string().contains("relation"))
            );
        }
    }
}
