//! The REST API: one pipeline for every call, from the key to the answer.

mod credentials;
mod endpoints;
mod events;
mod files;
mod keys;
mod paging;
mod passage;
mod reply;
mod reports;
mod routes;
mod sessions;

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, header, request::Parts},
    response::Response,
};

pub(super) use self::endpoints::register;
use self::{passage::Passage, reply::Reply, routes::Route};
use super::{
    Sandbox,
    events::Cause,
    form::Node,
    ids,
    ledger::{Entry, Progress, shown_path},
    refusal::Refusal,
};

const MOST_BYTES: usize = 1024 * 1024;

/// One call as the endpoints see it.
struct Call {
    id: String,
    form: Node,
    /// Made with a restricted key, which may read sensitive results.
    restricted: bool,
    version: Option<String>,
    cause: Cause,
    now_ms: i64,
}

/// Answers any call under `/v1` and `/v2`.
pub(crate) async fn answer(State(sandbox): State<Arc<Sandbox>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let route = routes::find(parts.method.as_str(), parts.uri.path());
    let request_id = ids::id("req");
    let number = note_arrival(&sandbox, &parts, route.as_ref(), &request_id);
    let ready = read_call(&parts, body, route, &request_id).await;
    let reply = match ready {
        Err(refusal) => {
            let reply = Reply::refused(refusal);
            sandbox.note_reply(number, &reply);
            reply
        }
        Ok((route, mut call)) => {
            call.now_ms = sandbox.time.now_ms();
            let passage = Passage {
                sandbox: sandbox.clone(),
                number,
                method: parts.method.as_str().to_owned(),
                path: parts.uri.path().to_owned(),
                route,
                call,
            };
            // A caller that hangs up must not undo the effect: Stripe goes on without it.
            let task = tokio::spawn(passage.run());
            task.await
                .unwrap_or_else(|_| Reply::refused(Refusal::internal()))
        }
    };
    reply::deliver(&sandbox, &reply, &parts.headers, &request_id).await
}

fn note_arrival(sandbox: &Sandbox, parts: &Parts, route: Option<&Route>, request_id: &str) -> u64 {
    let at_ms = sandbox.time.now_ms();
    let endpoint = route.map_or("(unknown)", |route| route.endpoint);
    let text = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    sandbox.world().ledger.open(|number| Entry {
        number,
        at_ms,
        method: parts.method.as_str().to_owned(),
        path: shown_path(parts.uri.path(), endpoint),
        endpoint,
        idempotency_key: text("idempotency-key"),
        request_id: request_id.to_owned(),
        version: text("stripe-version"),
        progress: Progress::Running,
        executed: false,
        status: None,
        replayed: false,
    })
}

/// In Stripe's order: who calls, in which version, what, and only then where.
async fn read_call(
    parts: &Parts,
    body: Body,
    route: Option<Route>,
    request_id: &str,
) -> Result<(Route, Call), Refusal> {
    let credentials = credentials::read(&parts.headers)?;
    let idempotency_key = idempotency_key(parts)?;
    let form = read_form(parts.uri.query(), &parts.headers, body).await?;
    let route = route.ok_or_else(|| unrecognised(parts))?;
    let call = Call {
        id: route.id.clone(),
        form,
        restricted: credentials.restricted,
        version: credentials.version,
        cause: Cause {
            request_id: Some(request_id.to_owned()),
            idempotency_key,
        },
        now_ms: 0,
    };
    Ok((route, call))
}

fn idempotency_key(parts: &Parts) -> Result<Option<String>, Refusal> {
    let key = parts.headers.get("idempotency-key");
    let Some(key) = key.filter(|_| parts.method == "POST") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= 255 => Ok(Some(key.to_owned())),
        _ => Err(Refusal::new(
            400,
            "idempotency_error",
            "An idempotency key has 1 to 255 characters.",
        )
        .unexecuted()),
    }
}

async fn read_form(query: Option<&str>, headers: &HeaderMap, body: Body) -> Result<Node, Refusal> {
    let mut form = Node::parse(query.unwrap_or_default().as_bytes());
    let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| {
        Refusal::new(413, "invalid_request_error", "The body is too large.").unexecuted()
    })?;
    let content_type = headers.get(header::CONTENT_TYPE);
    let is_form = content_type.is_none_or(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        kind.starts_with("application/x-www-form-urlencoded")
    });
    if !is_form && !bytes.is_empty() {
        let message = "The body must be sent as application/x-www-form-urlencoded.";
        return Err(Refusal::invalid(message).unexecuted());
    }
    form.extend(Node::parse(&bytes));
    Ok(form)
}

fn unrecognised(parts: &Parts) -> Refusal {
    let (method, path) = (&parts.method, shown_path(parts.uri.path(), "(not shown)"));
    Refusal::new(
        404,
        "invalid_request_error",
        format!("Unrecognized request URL ({method}: {path})."),
    )
    .unexecuted()
}
