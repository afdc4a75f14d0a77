//! What can go wrong with a call to Stripe, and what that means for who made it.

use std::{fmt, time::Duration};

use secrecy::SecretString;

/// A call that brought no answer to use.
///
/// Neither `Display` nor `Debug` shows the key, a body, or Stripe's message, which may repeat
/// either; the request id leads to the message in Stripe's Dashboard (Developers, Logs).
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// Stripe answered that it will not.
    #[error("Stripe refused the call: {0}")]
    Api(Box<ApiError>),
    /// No answer arrived in time; whether Stripe acted is unknown.
    #[error("Stripe did not answer in time; check the network and status.stripe.com")]
    Timeout,
    /// The connection failed, or broke off before the whole answer was there.
    #[error("Stripe could not be reached; check the network, DNS and STRIPE_API_BASE")]
    Network {
        /// Whether it failed before anything was sent.
        before_sending: bool,
        /// What the connection said, without the address.
        source: reqwest::Error,
    },
    /// Our own limit on calls is used up.
    #[error("too many calls to Stripe are waiting; try again in a moment")]
    RateLimited {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Stripe agreed, but the answer is not what was asked for.
    #[error("Stripe's answer could not be read (status {status}, request {})", shown(request_id.as_ref()))]
    Undecodable {
        /// The HTTP status.
        status: u16,
        /// Stripe's name for the request.
        request_id: Option<String>,
    },
    /// No object can have this id, so none was asked for.
    #[error("the id cannot be one of Stripe's")]
    NoSuchId,
    /// The client cannot be built, or the call not be sent, with these settings.
    #[error("the Stripe client's {what} cannot be used")]
    Settings {
        /// Which setting it is.
        what: &'static str,
    },
}

/// Stripe's own error object.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// Stripe's `type`, such as `invalid_request_error`; an open set.
    pub kind: Option<String>,
    /// Stripe's `code`, such as `resource_missing`; an open set.
    pub code: Option<String>,
    /// The parameter it is about.
    pub param: Option<String>,
    /// Stripe's explanation. Secret, because it may repeat values that were sent.
    pub message: Option<SecretString>,
    /// Stripe's name for the request.
    pub request_id: Option<String>,
    /// Whether this is the stored answer to an earlier call with the same idempotency key.
    pub replayed: bool,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        for (name, word) in [
            ("type", &self.kind),
            ("code", &self.code),
            ("param", &self.param),
            ("request", &self.request_id),
        ] {
            if let Some(word) = word {
                write!(f, ", {name} {word}")?;
            }
        }
        if self.replayed {
            f.write_str(", replayed")?;
        }
        Ok(())
    }
}

impl StripeError {
    /// Stripe's error object, if it sent one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// Stripe's `code`.
    pub fn code(&self) -> Option<&str> {
        self.api()?.code.as_deref()
    }

    /// The HTTP status of Stripe's answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => Some(error.status),
            Self::Undecodable { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Stripe's name for the request, for its support and its Dashboard.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Api(error) => error.request_id.as_deref(),
            Self::Undecodable { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }

    /// No answer, or one of a server in trouble: Stripe may or may not have acted.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Timeout | Self::Network { .. } => true,
            Self::Api(error) => error.status >= 500,
            _ => false,
        }
    }

    /// Stripe or our own limit says: later. Nothing was done.
    pub fn is_limited(&self) -> bool {
        match self {
            Self::RateLimited { .. } => true,
            Self::Api(error) => error.status == 429 || error.status == 409,
            _ => false,
        }
    }

    /// Worth the same call again later.
    pub fn is_temporary(&self) -> bool {
        self.is_unreachable() || self.is_limited()
    }

    /// When to try again, if that makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            other => other.is_temporary().then_some(Duration::from_secs(1)),
        }
    }

    /// Stripe does not have the object: another account, another mode, or never made.
    ///
    /// A bare 404 says nothing, a proxy may have sent it.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NoSuchId => true,
            Self::Api(error) => error.status == 404 && self.code() == Some("resource_missing"),
            _ => false,
        }
    }

    /// Stripe understood and will not; the same call will fail the same way.
    pub fn is_definite_refusal(&self) -> bool {
        self.api().is_some_and(|error| {
            (400..500).contains(&error.status) && !matches!(error.status, 408 | 409 | 429)
        })
    }

    /// The idempotency key was used before with other parameters.
    pub fn is_idempotency_error(&self) -> bool {
        self.api()
            .is_some_and(|error| error.kind.as_deref() == Some("idempotency_error"))
    }

    /// The first call with this idempotency key still runs.
    pub fn is_key_in_use(&self) -> bool {
        self.code() == Some("idempotency_key_in_use")
    }

    /// A failure stored for this idempotency key: it will be repeated for a day, whatever is mended meanwhile.
    pub fn is_replayed_failure(&self) -> bool {
        self.api().is_some_and(|error| error.replayed)
    }

    /// A short word for metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Network { .. } => "network",
            Self::RateLimited { .. } => "held_back",
            Self::Undecodable { .. } => "undecodable",
            Self::NoSuchId | Self::Settings { .. } => "not_sent",
            Self::Api(error) => match error.status {
                401 | 403 => "unauthorized",
                404 => "missing",
                409 => "conflict",
                429 => "limited",
                400..=499 => "refused",
                500.. => "server_error",
                _ => "unexpected",
            },
        }
    }
}

fn shown(request_id: Option<&String>) -> &str {
    request_id.map_or("unknown", String::as_str)
}
