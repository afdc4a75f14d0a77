//! What an application may do to a verification: call it off, and have it erased.

use axum::{Json, extract::State};

use super::{
    Backend,
    input::VerificationId,
    key::{ApiKey, Manage},
    problem::Problem,
    verifications::{Verification, find_verification},
};
use crate::{http::error::Error, verification::ManageError};

/// Call a verification off
///
/// For good: the person can begin a new one. One that is called off already stays so, and is answered all the same.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/cancel", tag = "verifications",
    params(("id" = uuid::Uuid, Path, description = "The verification.")),
    responses(
        (status = 200, description = "Called off.", body = Verification),
        (status = 409, description = "The document is being checked (`verification_processing`), it is verified (`verification_not_open`), or Stripe has no session of it (`verification_without_session`).", content_type = "application/problem+json", body = Problem),
        (status = 502, description = "Stripe refused; the log says why.", content_type = "application/problem+json", body = Problem),
    ),
    security(("api_key" = ["verifications:manage"])),
)]
pub(crate) async fn cancel_verification(
    _key: ApiKey<Manage>,
    State(backend): State<Backend>,
    VerificationId(id): VerificationId,
) -> Result<Json<Verification>, Error> {
    backend.verifier.cancel(backend.owner(), id).await?;
    find_verification(&backend, id).await.map(Json)
}

/// Have everything erased that a verification collected
///
/// For good: Stripe erases within four days, and a verification that waits for the person is called off by it. The
/// verdict stays.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/redact", tag = "verifications",
    params(("id" = uuid::Uuid, Path, description = "The verification.")),
    responses(
        (status = 200, description = "Stripe erases it.", body = Verification),
        (status = 409, description = "The document is being checked (`verification_processing`), Stripe does not erase it in this state (`verification_not_open`), or has no session of it (`verification_without_session`).", content_type = "application/problem+json", body = Problem),
        (status = 502, description = "Stripe refused; the log says why.", content_type = "application/problem+json", body = Problem),
    ),
    security(("api_key" = ["verifications:manage"])),
)]
pub(crate) async fn redact_verification(
    _key: ApiKey<Manage>,
    State(backend): State<Backend>,
    VerificationId(id): VerificationId,
) -> Result<Json<Verification>, Error> {
    backend.verifier.redact(backend.owner(), id).await?;
    find_verification(&backend, id).await.map(Json)
}

impl From<ManageError> for Error {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Unknown => Self::NotFound,
            ManageError::NoSession => Self::Conflict("verification_without_session"),
            ManageError::Processing => Self::Conflict("verification_processing"),
            ManageError::NotOpen => Self::Conflict("verification_not_open"),
            ManageError::Unreachable { retry_after } => {
                Self::away("stripe_unreachable", retry_after, error)
            }
            ManageError::Refused => Self::Upstream(std::sync::Arc::new(error)),
            ManageError::Unavailable => Self::unavailable("unavailable", error),
            ManageError::Broken => Self::internal(error),
        }
    }
}
