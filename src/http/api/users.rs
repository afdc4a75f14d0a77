//! People, by the application's own ids.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Backend,
    input::{Parameters, UserId},
    key::{ApiKey, Read},
    read,
    verifications::{LastError, PageOf, Paging, VerificationPage},
};
use crate::{
    domain::UserStatus,
    http::error::Error,
    store::{self, PersonView},
};

/// Where a person stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct PersonAnswer {
    /// The application's own id.
    user_id: String,
    /// The set of checks that this is about.
    policy: String,
    /// Verified if any verification satisfies the policy; else the newest one speaks.
    status: UserStanding,
    /// Since when they are verified; null unless they are.
    #[schema(required)]
    verified_at: Option<DateTime<Utc>>,
    /// The verification that decides the status.
    #[schema(required)]
    verification_id: Option<Uuid>,
    /// Why the last try failed.
    #[schema(required)]
    last_error: Option<LastError>,
    /// When the status last changed.
    updated_at: DateTime<Utc>,
}

/// Under which policy.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Under {
    /// The set of checks in question; the default one if left out.
    #[param(min_length = 1, max_length = 255)]
    policy: Option<String>,
}

/// A person's status.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UserStanding {
    /// Nothing was begun at Stripe.
    None,
    /// They have to give a document, or another one.
    RequiresInput,
    /// Their document is being checked.
    Processing,
    /// They are who they say.
    Verified,
    /// The verification was called off.
    Canceled,
}

impl From<UserStatus> for UserStanding {
    fn from(status: UserStatus) -> Self {
        match status {
            UserStatus::None => Self::None,
            UserStatus::RequiresInput => Self::RequiresInput,
            UserStatus::Processing => Self::Processing,
            UserStatus::Verified => Self::Verified,
            UserStatus::Canceled => Self::Canceled,
        }
    }
}

impl PersonAnswer {
    fn new(user_id: String, policy: String, view: PersonView) -> Self {
        Self {
            user_id,
            policy,
            status: view.status.into(),
            verified_at: view.verified_at,
            verification_id: view.verification_id.map(|id| id.0),
            last_error: LastError::of(view.error_code),
            updated_at: view.updated_at,
        }
    }
}

/// Where a person stands
///
/// Somebody who was never handed over is not found.
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "users",
    params(
        ("user_id" = String, Path, description = "The application's own id of the person, percent-encoded.", min_length = 1, max_length = 255),
        Under,
    ),
    responses((status = 200, description = "Where they stand.", body = PersonAnswer)),
    security(("api_key" = ["verifications:read"])),
)]
pub(crate) async fn show_user(
    _key: ApiKey<Read>,
    State(backend): State<Backend>,
    UserId(user_id): UserId,
    Parameters(under): Parameters<Under>,
) -> Result<Json<PersonAnswer>, Error> {
    let (view, policy) = find_user(&backend, &user_id, under.policy.as_deref()).await?;
    Ok(Json(PersonAnswer::new(user_id, policy, view)))
}

/// A person's verifications, newest first
#[utoipa::path(
    get, path = "/v1/users/{user_id}/verifications", tag = "users",
    params(
        ("user_id" = String, Path, description = "The application's own id of the person, percent-encoded.", min_length = 1, max_length = 255),
        Paging,
    ),
    responses((status = 200, description = "One page of them.", body = VerificationPage)),
    security(("api_key" = ["verifications:read"])),
)]
pub(crate) async fn list_user_verifications(
    _key: ApiKey<Read>,
    State(backend): State<Backend>,
    UserId(user_id): UserId,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<VerificationPage>, Error> {
    // A stranger is not found, which an empty list would not say.
    find_user(&backend, &user_id, None).await?;
    paging
        .page(&backend, PageOf::User(&user_id))
        .await
        .map(Json)
}

/// Unknown policies are told by name, unknown people are not found.
async fn find_user(
    backend: &Backend,
    user_id: &str,
    policy: Option<&str>,
) -> Result<(PersonView, String), Error> {
    let policy = backend
        .verifier
        .policies()
        .find(policy)
        .map_err(|unknown| {
            Error::invalid("invalid_parameter", Some("policy"), unknown.to_string())
        })?;
    let person = backend.person(user_id.to_owned());
    let view =
        store::find_person_view(&backend.db, &person, backend.livemode, &policy.satisfied_by);
    let view = read(view).await?.ok_or(Error::NotFound)?;
    Ok((view, policy.name.clone()))
}
