//! The tester's own routes: faults, the ledger, time, outcomes, overrides.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Sandbox, api, codes,
    faults::Fault,
    life::{Case, Outcome, Stuck},
    session::{Redaction, Session, Verdict},
};

pub(crate) fn routes() -> Router<Arc<Sandbox>> {
    Router::new()
        .route(
            "/_faults",
            get(list_faults).post(add_fault).delete(clear_faults),
        )
        .route("/_ledger", get(show_ledger).delete(clear_ledger))
        .route("/_settings", get(show_settings).post(change_settings))
        .route("/_deliveries", get(list_deliveries))
        .route("/_sessions", get(list_sessions))
        .route("/_sessions/{id}", get(show_session))
        .route("/_sessions/{id}/outcome", post(decide_outcome))
        .route("/_sessions/{id}/override", post(override_status))
        .route("/_sessions/{id}/finish", post(finish_now))
        .route("/_advance", post(advance))
        .route("/_reset", post(reset))
}

/// Why a tester's call is refused.
enum Refused {
    /// It does not say what it wants in JSON.
    Malformed(String),
    /// There is no such thing.
    Missing,
    /// The session's state does not allow it.
    Conflict(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, message),
            Self::Missing => (StatusCode::NOT_FOUND, "there is no such session".to_owned()),
            Self::Conflict(message) => (StatusCode::CONFLICT, message),
        };
        (status, Json(json!({ "error": { "message": message } }))).into_response()
    }
}

impl From<Stuck> for Refused {
    fn from(why: Stuck) -> Self {
        match why {
            Stuck::Missing => Self::Missing,
            Stuck::UnknownCode => Self::Malformed("there is no such failure code".to_owned()),
            Stuck::Redacted => Self::Conflict("the session is redacted".to_owned()),
            Stuck::WrongStatus(status) => {
                Self::Conflict(format!("the session's status is {}", status.as_str()))
            }
        }
    }
}

/// A body in JSON, and said to be: a page elsewhere can send a form here, but not this.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refused> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|kind| kind.to_str().ok());
    if !content_type.is_some_and(|kind| kind.starts_with("application/json")) {
        let message = "send a JSON body with Content-Type: application/json";
        return Err(Refused::Malformed(message.to_owned()));
    }
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refused::Malformed(error.to_string()))
}

async fn list_faults(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    Json(json!({ "faults": sandbox.world().faults.waiting() }))
}

/// Takes one fault, or several in `{"faults": […]}`.
async fn add_fault(
    State(sandbox): State<Arc<Sandbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Asked {
        Several { faults: Vec<Value> },
        One(Value),
    }
    let asked = match read(&headers, &body)? {
        Asked::Several { faults } => faults,
        Asked::One(fault) => vec![fault],
    };
    let malformed = |message: &dyn ToString| Refused::Malformed(message.to_string());
    let faults: Vec<Fault> = asked
        .into_iter()
        .map(serde_json::from_value)
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&error))?;
    let mut world = sandbox.world();
    for fault in faults {
        world.faults.add(fault).map_err(|why| malformed(&why))?;
    }
    Ok(Json(json!({ "faults": world.faults.waiting() })))
}

/// Clears faults, lets go of what they held back, and ends the calls they hold.
async fn clear_faults(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    let now_ms = sandbox.time.now_ms();
    let mut world = sandbox.world();
    world.faults.clear();
    world.release_held_back(now_ms);
    drop(world);
    sandbox.released.notify_waiters();
    sandbox.wake.notify_one();
    StatusCode::NO_CONTENT
}

async fn show_ledger(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    let world = sandbox.world();
    let (calls, forgotten) = (world.ledger.entries(), world.ledger.forgotten());
    Json(json!({ "calls": calls, "forgotten": forgotten }))
}

async fn clear_ledger(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    sandbox.world().ledger.clear();
    StatusCode::NO_CONTENT
}

async fn show_settings(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    Json(json!(sandbox.world().knobs))
}

async fn change_settings(
    State(sandbox): State<Arc<Sandbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let change: Value = read(&headers, &body)?;
    let mut world = sandbox.world();
    let changed = world.knobs.changed(change);
    world.knobs = changed.map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok(Json(json!(world.knobs)))
}

async fn list_deliveries(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    let world = sandbox.world();
    let queued = world.schedule.len();
    let held_back: usize = world.held_back.iter().map(Vec::len).sum();
    Json(json!({ "deliveries": world.deliveries, "queued": queued, "held_back": held_back }))
}

/// The truth about a session, without its secrets and without a call in the ledger.
fn truth(session: &Session) -> Value {
    json!({
        "id": session.id,
        "status": session.status.as_str(),
        "last_error": session.last_error.map(|code| code.name),
        "report": session.report,
        "redaction": session.redaction.map(Redaction::as_str),
        "client_reference_id": session.client_reference_id,
        "metadata": session.metadata,
        "attempts": session.attempt,
    })
}

/// Oldest first.
async fn list_sessions(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    let world = sandbox.world();
    let sessions = world.sessions.newest_first().rev();
    let sessions: Vec<Value> = sessions.map(|(_, session)| truth(session)).collect();
    Json(json!({ "sessions": sessions }))
}

async fn show_session(
    State(sandbox): State<Arc<Sandbox>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let world = sandbox.world();
    let session = world.sessions.find(&id).ok_or(Refused::Missing)?;
    Ok(Json(truth(session)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedOutcome {
    case: Case,
    code: Option<String>,
}

/// The same as the hosted page's buttons.
async fn decide_outcome(
    State(sandbox): State<Arc<Sandbox>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let asked: AskedOutcome = read(&headers, &body)?;
    let now_ms = sandbox.time.now_ms();
    let mut world = sandbox.world();
    let outcome = world.submit(&id, asked.case, asked.code.as_deref(), now_ms)?;
    let outcome = match outcome {
        Outcome::Submitted => "submitted",
        Outcome::Ended(code) => code.name,
        Outcome::Left => "left",
    };
    let session = world.sessions.find(&id).map(truth);
    drop(world);
    sandbox.wake.notify_one();
    Ok(Json(json!({ "outcome": outcome, "session": session })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedOverride {
    status: String,
    code: Option<String>,
}

/// A reviewer changes what the checks said: to `verified` or to `requires_input`.
async fn override_status(
    State(sandbox): State<Arc<Sandbox>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let asked: AskedOverride = read(&headers, &body)?;
    let verdict: Verdict = match asked.status.as_str() {
        "verified" => None,
        "requires_input" => {
            let code = asked.code.as_deref().unwrap_or(codes::DEFAULT);
            Some(codes::find(code).ok_or(Stuck::UnknownCode)?)
        }
        _ => {
            let message = "status is verified or requires_input";
            return Err(Refused::Malformed(message.to_owned()));
        }
    };
    let now_ms = sandbox.time.now_ms();
    let mut world = sandbox.world();
    world.override_status(&id, verdict, now_ms)?;
    let session = world.sessions.find(&id).map(truth);
    drop(world);
    sandbox.wake.notify_one();
    Ok(Json(json!({ "session": session })))
}

/// Ends a session's running checks or redaction now; both are done when this answers.
async fn finish_now(
    State(sandbox): State<Arc<Sandbox>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let _: Value = read(&headers, &body)?;
    let now_ms = sandbox.time.now_ms();
    let mut world = sandbox.world();
    if world.sessions.find(&id).is_none() {
        return Err(Refused::Missing);
    }
    let finished = world.finish_early(&id, now_ms);
    let session = world.sessions.find(&id).map(truth);
    drop(world);
    sandbox.wake.notify_one();
    Ok(Json(json!({ "finished": finished, "session": session })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedAdvance {
    seconds: u32,
}

/// Moves the sandbox's time ahead; what falls due by that happens at once.
async fn advance(
    State(sandbox): State<Arc<Sandbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let asked: AskedAdvance = read(&headers, &body)?;
    let now_ms = sandbox.time.advance(asked.seconds.into());
    sandbox.wake.notify_one();
    Ok(Json(json!({ "now_ms": now_ms })))
}

/// Forgets sessions, events, keys and endpoints, as a restart would.
async fn reset(
    State(sandbox): State<Arc<Sandbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let _: Value = read(&headers, &body)?;
    let now_ms = sandbox.time.now_ms();
    let mut world = sandbox.world();
    world.forget();
    if let Some(webhook) = &sandbox.webhook {
        api::register(&mut world, webhook, now_ms);
    }
    Ok(StatusCode::NO_CONTENT)
}
