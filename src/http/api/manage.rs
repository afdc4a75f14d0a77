//! What an application may do: call a verification off, have it erased, and allow a person another attempt.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    Backend,
    idempotent::{Held, IdempotencyKey, REPLAYED, Turn, YES},
    input::{UserId, VerificationId},
    key::{ApiKey, Manage},
    problem::Problem,
    verifications::{Verification, find_verification},
};
use crate::{
    http::error::Error,
    verification::{ManageError, Redacting},
};

/// Call a verification off
///
/// For good: the person can begin a new one. One that is called off already stays so, and is answered all the same.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/cancel", tag = "verifications",
    params(("id" = Uuid, Path, description = "The verification.")),
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
/// For good: Stripe erases within four days, and a verification that waits for the person is called off by it. While the
/// document is being checked Stripe erases nothing: then the request is kept, and done once that is over. The verdict
/// stays.
#[utoipa::path(
    post, path = "/v1/verifications/{id}/redact", tag = "verifications",
    params(("id" = Uuid, Path, description = "The verification.")),
    responses(
        (status = 200, description = "Stripe erases it.", body = Verification),
        (status = 202, description = "The document is being checked; Stripe is asked to erase it once that is over.", body = Verification),
        (status = 409, description = "Stripe does not erase it in this state (`verification_not_open`), or has no session of it (`verification_without_session`).", content_type = "application/problem+json", body = Problem),
        (status = 502, description = "Stripe refused; the log says why.", content_type = "application/problem+json", body = Problem),
    ),
    security(("api_key" = ["verifications:manage"])),
)]
pub(crate) async fn redact_verification(
    _key: ApiKey<Manage>,
    State(backend): State<Backend>,
    VerificationId(id): VerificationId,
) -> Result<(StatusCode, Json<Verification>), Error> {
    let status = match backend.verifier.redact(backend.owner(), id).await? {
        Redacting::Begun => StatusCode::OK,
        Redacting::Kept => StatusCode::ACCEPTED,
    };
    let verification = find_verification(&backend, id).await?;
    Ok((status, Json(verification)))
}

/// Allow a person one more attempt
///
/// For somebody whose attempts are used up: one attempt beyond the limits, whenever they come back.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/allow-attempt", tag = "users",
    params(
        ("user_id" = String, Path, description = "The application's own id of the person, percent-encoded.", min_length = 1, max_length = 255),
        ("Idempotency-Key" = Option<String>, Header, description = "Your name for this call, so that repeating it allows nothing twice; remembered for a day.", min_length = 1, max_length = 255, pattern = "^[\\x21-\\x7e]+$"),
    ),
    responses(
        (status = 204, description = "Allowed."),
        (status = 409, description = "A call with this key is running (`idempotency_key_in_use`).", content_type = "application/problem+json", body = Problem),
    ),
    security(("api_key" = ["verifications:manage"])),
)]
pub(crate) async fn allow_attempt(
    key: ApiKey<Manage>,
    State(backend): State<Backend>,
    UserId(user_id): UserId,
    idempotency: IdempotencyKey,
) -> Result<Response, Error> {
    let request = ("allow_attempt", &user_id);
    match idempotency.claim(&backend, key.id(), &request).await? {
        Turn::First(claimed) => {
            let (verifier, person) = (backend.verifier.clone(), backend.person(user_id));
            let held = claimed.held();
            let work = async move {
                let call = held.as_ref().map(Held::call);
                let known = verifier.allow_attempt(&person, call).await?;
                known.ok_or(Error::NotFound)
            };
            claimed.run(work).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Turn::Done(_) => Ok((StatusCode::NO_CONTENT, [(REPLAYED, YES)]).into_response()),
    }
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
