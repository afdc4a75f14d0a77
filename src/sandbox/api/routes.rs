//! Which function answers which address.

use serde_json::Value;

use super::{Call, endpoints, events, files, keys, reports, sessions};
use crate::sandbox::{refusal::Refusal, world::World};

/// Answers a call from the state alone.
pub(super) type Handler = fn(&mut World, &Call) -> Result<Value, Refusal>;

/// An address that exists.
pub(super) struct Route {
    /// The address with its id named, as in the API's description.
    pub(super) endpoint: &'static str,
    pub(super) id: String,
    pub(super) handler: Handler,
}

type Entry = (&'static str, &'static str, Handler);

const TABLE: [Entry; 27] = [
    (
        "POST",
        "/v1/identity/verification_sessions",
        sessions::create,
    ),
    ("GET", "/v1/identity/verification_sessions", sessions::list),
    (
        "GET",
        "/v1/identity/verification_sessions/{session}",
        sessions::retrieve,
    ),
    (
        "POST",
        "/v1/identity/verification_sessions/{session}",
        sessions::update,
    ),
    (
        "POST",
        "/v1/identity/verification_sessions/{session}/cancel",
        sessions::cancel,
    ),
    (
        "POST",
        "/v1/identity/verification_sessions/{session}/redact",
        sessions::redact,
    ),
    ("GET", "/v1/identity/verification_reports", reports::list),
    (
        "GET",
        "/v1/identity/verification_reports/{report}",
        reports::retrieve,
    ),
    ("POST", "/v1/ephemeral_keys", keys::create),
    ("DELETE", "/v1/ephemeral_keys/{key}", keys::delete),
    ("GET", "/v1/events", events::list),
    ("GET", "/v1/events/{id}", events::retrieve),
    ("POST", "/v1/events/{id}/retry", events::retry),
    ("GET", "/v2/core/events/{id}", events::retrieve_thin),
    ("GET", "/v2/core/events", events::list_thin),
    ("POST", "/v1/webhook_endpoints", endpoints::create),
    ("GET", "/v1/webhook_endpoints", endpoints::list),
    ("GET", "/v1/webhook_endpoints/{id}", endpoints::retrieve),
    ("POST", "/v1/webhook_endpoints/{id}", endpoints::update),
    ("DELETE", "/v1/webhook_endpoints/{id}", endpoints::delete),
    ("GET", "/v1/files/{file}", files::retrieve),
    ("POST", "/v1/file_links", files::create_link),
    ("GET", "/v1/file_links", files::list_links),
    ("GET", "/v1/file_links/{link}", files::retrieve_link),
    ("POST", "/v1/file_links/{link}", files::update_link),
    ("GET", "/v1/account", endpoints::account),
    ("GET", "/v1/accounts/{account}", endpoints::account),
];

/// The route of a call, if the sandbox knows it.
pub(super) fn find(method: &str, path: &str) -> Option<Route> {
    TABLE.iter().find_map(|(verb, endpoint, handler)| {
        let id = matched(endpoint, path).filter(|_| *verb == method)?;
        Some(Route {
            endpoint,
            id: id.to_owned(),
            handler: *handler,
        })
    })
}

/// What stands in the place of the named segment, or nothing if the address is another.
fn matched<'a>(endpoint: &str, path: &'a str) -> Option<&'a str> {
    let (mut wanted, mut found) = (endpoint.split('/'), path.split('/'));
    let mut id = "";
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(id),
            (Some(wanted), Some(segment)) if wanted.starts_with('{') && !segment.is_empty() => {
                id = segment;
            }
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return None,
        }
    }
}
