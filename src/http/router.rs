//! Every route and every layer, on one screen.

use std::time::Duration;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    assets, auth, body, cors, create, health,
    limit::{self, Limits},
    pages, present, request, security, start_link,
    state::AppState,
    status, webhook,
};

pub(crate) const HOME: &str = "/";
pub(crate) const VERIFY: &str = "/verify";
pub(crate) const CREATE: &str = "/create-verification-session";
pub(crate) const CREATE_NATIVE: &str = "/verification-sessions";
pub(crate) const CONFIG: &str = "/config";
pub(crate) const SUBMITTED: &str = "/submitted";
/// The name it has in Stripe's guide.
pub(crate) const SUBMITTED_FILE: &str = "/submitted.html";
pub(crate) const STATUS: &str = "/status";
pub(crate) const STATUS_STREAM: &str = "/status/stream";
/// A hand-off's link.
pub(crate) const START: &str = "/start/{token}";
pub(crate) const SIGN_OUT: &str = "/sign-out";
pub(crate) const WEBHOOK: &str = "/webhook";
pub(crate) const ALIVE: &str = "/healthz";
pub(crate) const READY: &str = "/readyz";
pub(crate) const METRICS: &str = "/metrics";

/// What machines ask every few seconds.
pub(crate) const PROBES: [&str; 2] = [ALIVE, READY];

/// Requests in work at once. A crowd at the door must not keep Stripe's deliveries out, nor the other way round.
const MOST_OF_PEOPLE: usize = 2048;
const MOST_DELIVERIES: usize = 1024;
/// Longer than any use case allows itself; whoever is still here met a bug.
const PATIENCE: Duration = Duration::from_mins(1);

/// The public routes.
pub fn router(state: AppState) -> Router {
    let people = Router::new()
        .route(HOME, get(pages::show_verify))
        .route(VERIFY, get(pages::show_verify))
        .route(SUBMITTED, get(pages::show_submitted))
        .route(SUBMITTED_FILE, get(pages::show_submitted))
        .route(CREATE, post(create::create_session))
        .route(CREATE_NATIVE, post(create::create_native_session))
        .route(CONFIG, get(health::show_config))
        .route(
            START,
            get(start_link::show_link).post(start_link::follow_link),
        )
        .route(SIGN_OUT, post(start_link::sign_out))
        .route(STATUS, get(status::show_status))
        .route(STATUS_STREAM, get(status::stream_status))
        .merge(assets::router())
        .layer(from_fn_with_state(
            state.sharing.clone(),
            cors::answer_preflight,
        ))
        .layer(from_fn_with_state(
            Limits::new(MOST_OF_PEOPLE, PATIENCE),
            limit::hold,
        ));
    let stripe = Router::new()
        .route(WEBHOOK, post(webhook::receive_event))
        .layer(from_fn_with_state(
            Limits::new(MOST_DELIVERIES, PATIENCE),
            limit::hold,
        ));
    let probes = Router::new()
        .route(ALIVE, get(health::show_health))
        .route(READY, get(health::show_readiness));
    // The last layer is the first to see a request, and the last to see its answer.
    people
        .merge(stripe)
        .merge(probes)
        .layer(from_fn_with_state(
            state.hosts.clone(),
            security::check_host,
        ))
        .layer(CatchPanicLayer::custom(present::panicked))
        .layer(from_fn(body::drain_unread))
        .layer(from_fn_with_state(
            state.site.clone(),
            present::present_errors,
        ))
        .layer(from_fn_with_state(state.sharing.clone(), cors::share))
        .layer(from_fn_with_state(state.cookie, auth::clear_stale))
        .layer(from_fn_with_state(
            state.headers.clone(),
            security::add_headers,
        ))
        .layer(from_fn(request::trace))
        .with_state(state)
}

/// `/metrics`, for a listener of its own: it is nobody's business but the operators'.
pub fn metrics_router<R>(render: R) -> Router
where
    R: Fn() -> String + Clone + Send + Sync + 'static,
{
    Router::new().route(METRICS, get(async move || render()))
}
