//! Errors of the API: `application/problem+json`, as RFC 9457 has it.

use axum::{
    Json,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{error::Error, request::RequestId};

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a call could not be answered as asked (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem; ends in `code`.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "urn:verigate:problem:not_found")]
    kind: String,
    /// The kind of problem in words, the same each time.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The kind of problem in one word, for programs; it never changes.
    code: &'static str,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The part of the request that is not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'static str>,
    /// By which the operator finds this request in the log; also in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Words an error; the status is the caller's to set.
pub(crate) fn word_problem(error: &Error, id: Option<RequestId>) -> Response {
    let code = error.code();
    let (detail, member) = match error {
        Error::Invalid(invalid) => (Some(invalid.detail.clone()), invalid.member),
        _ => (None, None),
    };
    let title = match error {
        Error::Upstream(_) => "Stripe refused the call; the log says why.",
        _ => error.message(),
    };
    let problem = Problem {
        kind: format!("urn:verigate:problem:{code}"),
        title,
        status: error.status().as_u16(),
        code,
        detail,
        member,
        request_id: id.map(|id| id.to_string()),
    };
    let mut response = Json(problem).into_response();
    let kind = HeaderValue::from_static(PROBLEM_JSON);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
