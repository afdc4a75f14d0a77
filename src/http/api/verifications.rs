//! Verifications: read one by one, or page by page.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Backend,
    input::{Parameters, VerificationId},
    key::{ApiKey, Read},
    read,
};
use crate::{
    domain::{AttemptId, Redaction, Status},
    http::error::Error,
    store::{self, Listing, VerificationView},
};

/// How many a page has unless asked otherwise, and at most.
const USUAL_PAGE: u8 = 20;
const LARGEST_PAGE: u8 = 100;

/// One attempt to verify a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verification {
    /// Ours.
    id: Uuid,
    /// The application's own id of the person.
    user_id: String,
    /// The set of checks asked for.
    policy: String,
    /// Where it stands, in Stripe's words; null before anything is known.
    #[schema(required)]
    status: Option<VerificationStatus>,
    /// Why the last try failed.
    #[schema(required)]
    last_error: Option<LastError>,
    /// How far the erasure is.
    redaction: RedactionStatus,
    /// When it was asked for; it may have to wait for the end of a check.
    #[schema(required)]
    redaction_requested_at: Option<DateTime<Utc>>,
    /// Stripe's session, `vs_…`, by which the Dashboard finds it.
    #[schema(required)]
    session_id: Option<String>,
    /// Stripe does not have the session any more.
    gone: bool,
    /// Finished checks; Stripe bills each.
    #[schema(minimum = 0)]
    reports: i64,
    /// When it was begun.
    created_at: DateTime<Utc>,
    /// When we last learnt something of it.
    updated_at: DateTime<Utc>,
}

/// Where a verification stands, in Stripe's words.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerificationStatus {
    /// The person has to give a document, or another one.
    RequiresInput,
    /// The document is being checked.
    Processing,
    /// They are who they say.
    Verified,
    /// It was called off.
    Canceled,
}

/// How far the erasure of what was collected is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RedactionStatus {
    /// It has not begun.
    None,
    /// It has not begun, but Stripe has found that it could be done.
    Validated,
    /// Begun; Stripe takes up to four days.
    Processing,
    /// Done.
    Redacted,
}

/// Why a try failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastError {
    /// Stripe's code; new ones may come.
    code: String,
}

/// One page of verifications, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerificationPage {
    /// The verifications.
    data: Vec<Verification>,
    /// Ask with it for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<Uuid>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u8>,
    /// The `next_cursor` of the page before.
    cursor: Option<Uuid>,
}

/// Which page of which verifications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u8>,
    /// The `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// Only those that stand so.
    status: Option<VerificationStatus>,
}

/// What is listed.
#[derive(Clone, Copy, Debug)]
pub(super) enum PageOf<'a> {
    /// Everything, or only what stands so.
    All(Option<Status>),
    /// Everything of one person's.
    User(&'a str),
}

impl From<VerificationStatus> for Status {
    fn from(status: VerificationStatus) -> Self {
        match status {
            VerificationStatus::RequiresInput => Self::RequiresInput,
            VerificationStatus::Processing => Self::Processing,
            VerificationStatus::Verified => Self::Verified,
            VerificationStatus::Canceled => Self::Canceled,
        }
    }
}

impl From<Status> for VerificationStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::RequiresInput => Self::RequiresInput,
            Status::Processing => Self::Processing,
            Status::Verified => Self::Verified,
            Status::Canceled => Self::Canceled,
        }
    }
}

impl From<Redaction> for RedactionStatus {
    fn from(redaction: Redaction) -> Self {
        match redaction {
            Redaction::None => Self::None,
            Redaction::Validated => Self::Validated,
            Redaction::Processing => Self::Processing,
            Redaction::Redacted => Self::Redacted,
        }
    }
}

impl LastError {
    pub(super) fn of(code: Option<String>) -> Option<Self> {
        code.map(|code| Self { code })
    }
}

impl From<VerificationView> for Verification {
    fn from(view: VerificationView) -> Self {
        Self {
            id: view.id.0,
            user_id: view.external_id,
            policy: view.policy,
            status: view.status.map(Into::into),
            last_error: LastError::of(view.error_code),
            redaction: view.redaction.into(),
            redaction_requested_at: view.redaction_requested_at,
            session_id: view.session_id.map(|id| id.as_str().to_owned()),
            gone: view.gone,
            reports: view.reports,
            created_at: view.created_at,
            updated_at: view.updated_at,
        }
    }
}

impl Paging {
    /// Reads the page, and whether there is another.
    pub(super) async fn page(
        &self,
        backend: &Backend,
        of: PageOf<'_>,
    ) -> Result<VerificationPage, Error> {
        let limit = self.limit.unwrap_or(USUAL_PAGE);
        if limit == 0 || limit > LARGEST_PAGE {
            let detail = format!("limit must be between 1 and {LARGEST_PAGE}");
            return Err(Error::invalid("invalid_parameter", Some("limit"), detail));
        }
        let (external_id, status) = match of {
            PageOf::All(status) => (None, status),
            PageOf::User(external_id) => (Some(external_id), None),
        };
        let listing = Listing {
            external_id,
            status,
            before: self.cursor.map(AttemptId),
            // One more than asked for tells whether there are more.
            limit: i64::from(limit) + 1,
        };
        let views = store::list_verifications(&backend.db, backend.owner(), listing);
        let mut views = read(views).await?;
        let has_more = views.len() > usize::from(limit);
        views.truncate(limit.into());
        let last = views.last().map(|view| view.id.0);
        Ok(VerificationPage {
            next_cursor: last.filter(|_| has_more),
            data: views.into_iter().map(Into::into).collect(),
        })
    }
}

/// All verifications, newest first
#[utoipa::path(
    get, path = "/v1/verifications", tag = "verifications",
    params(Filter),
    responses((status = 200, description = "One page of them.", body = VerificationPage)),
    security(("api_key" = ["verifications:read"])),
)]
pub(crate) async fn list_verifications(
    _key: ApiKey<Read>,
    State(backend): State<Backend>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<VerificationPage>, Error> {
    let paging = Paging {
        limit: filter.limit,
        cursor: filter.cursor,
    };
    let of = PageOf::All(filter.status.map(Into::into));
    paging.page(&backend, of).await.map(Json)
}

/// One verification
#[utoipa::path(
    get, path = "/v1/verifications/{id}", tag = "verifications",
    params(("id" = Uuid, Path, description = "The verification.")),
    responses((status = 200, description = "As it stands.", body = Verification)),
    security(("api_key" = ["verifications:read"])),
)]
pub(crate) async fn show_verification(
    _key: ApiKey<Read>,
    State(backend): State<Backend>,
    VerificationId(id): VerificationId,
) -> Result<Json<Verification>, Error> {
    find_verification(&backend, id).await.map(Json)
}

/// Another application's is not found, like one that never was.
pub(super) async fn find_verification(
    backend: &Backend,
    id: AttemptId,
) -> Result<Verification, Error> {
    let view = store::find_verification(&backend.db, backend.owner(), id);
    read(view).await?.map(Into::into).ok_or(Error::NotFound)
}
