//! What an application may do about a person who wants to be forgotten.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Backend,
    input::UserId,
    key::{ApiKey, Manage},
};
use crate::{http::error::Error, verification::Erasure};

/// That a person is forgotten.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureAnswer {
    /// A random reference. It stays in the server's books, and leads to nobody.
    id: Uuid,
    /// How many verifications Stripe has yet to erase; it takes up to four days.
    #[schema(minimum = 0)]
    verifications: i64,
}

/// Forget a person
///
/// For good: from the answer on nothing of them is here but what leads to nobody, and no event tells of them any more,
/// but for one that is being delivered at that very moment.
/// Stripe is asked to erase each of their verifications, those that are being checked once that is over. Who comes by
/// the same id later is a new person. A repeated call finds nobody.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}", tag = "users",
    params(("user_id" = String, Path, description = "The application's own id of the person, percent-encoded.", min_length = 1, max_length = 255)),
    responses(
        (status = 202, description = "Forgotten here; Stripe has yet to erase something.", body = ErasureAnswer),
        (status = 204, description = "Forgotten; there is nothing at Stripe to wait for."),
    ),
    security(("api_key" = ["verifications:manage"])),
)]
pub(crate) async fn delete_user(
    key: ApiKey<Manage>,
    State(backend): State<Backend>,
    UserId(user_id): UserId,
) -> Result<Response, Error> {
    let person = backend.person(user_id);
    let erasure = backend.verifier.forget(&person, key.id()).await?;
    let Erasure { id, waiting } = erasure.ok_or(Error::NotFound)?;
    if waiting == 0 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let answer = ErasureAnswer {
        id,
        verifications: waiting,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
