//! Every route and every layer, on one screen.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use super::{
    api, app_return, assets, auth, body, cors, create, health,
    limit::{self, Limits, PathLimits},
    pages, present, request, security, sign_in, start_link,
    state::AppState,
    status,
    table::{Route, Routes, get, post},
    webhook,
};

pub(crate) const HOME: &str = "/";
pub(crate) const VERIFY: &str = "/verify";
pub(crate) const CREATE: &str = "/create-verification-session";
pub(crate) const CREATE_NATIVE: &str = "/verification-sessions";
/// Where Stripe's example app for React Native asks in test mode.
pub(crate) const CREATE_TEST: &str = "/test/verification-sessions";
/// Where Stripe's example app for iOS asks for an open session once more.
pub(crate) const REUSE: &str = "/reuse-verification-session";
pub(crate) const APP_RETURN: &str = "/app/return";
pub(crate) const CONFIG: &str = "/config";
pub(crate) const SUBMITTED: &str = "/submitted";
/// The name it has in Stripe's guide.
pub(crate) const SUBMITTED_FILE: &str = "/submitted.html";
pub(crate) const STATUS: &str = "/status";
pub(crate) const STATUS_STREAM: &str = "/status/stream";
/// A hand-off's link.
pub(crate) const START: &str = "/start/{token}";
pub(crate) const SIGN_IN: &str = "/sign-in";
/// Where the identity provider sends people back to.
pub(crate) const CALLBACK: &str = "/oidc/callback";
pub(crate) const SIGN_OUT: &str = "/sign-out";
/// What stands before a hand-off's token.
pub(crate) const START_PREFIX: &str = "/start/";
pub(crate) const OPENAPI: &str = "/openapi.json";
pub(crate) const DOCS: &str = "/docs";
pub(crate) const WEBHOOK: &str = "/webhook";
pub(crate) const ALIVE: &str = "/healthz";
pub(crate) const READY: &str = "/readyz";
pub(crate) const METRICS: &str = "/metrics";

/// What machines ask every few seconds.
pub(crate) const PROBES: [&str; 2] = [ALIVE, READY];

/// Requests in work at once. A crowd at the door must not keep Stripe's deliveries out, nor the other way round.
const MOST_OF_PEOPLE: usize = 2048;
const MOST_DELIVERIES: usize = 1024;
const MOST_OF_BACKENDS: usize = 512;
/// Longer than any use case allows itself; whoever is still here met a bug.
const PATIENCE: Duration = Duration::from_mins(1);

/// For people: pages, and what their scripts and apps call.
fn people() -> Routes<AppState> {
    Routes::new()
        .route(HOME, get(pages::show_verify))
        .route(VERIFY, get(pages::show_verify))
        .route(SUBMITTED, get(pages::show_submitted))
        .route(SUBMITTED_FILE, get(pages::show_submitted))
        .route(CREATE, post(create::create_session))
        .route(CREATE_NATIVE, post(create::create_native_session))
        .route(CREATE_TEST, post(create::create_test_session))
        .route(REUSE, post(create::reuse_session))
        .route(APP_RETURN, get(app_return::show_app_return))
        .route(CONFIG, get(health::show_config))
        .route(
            START,
            get(start_link::show_link).post(start_link::follow_link),
        )
        .route(SIGN_IN, get(sign_in::leave))
        .route(CALLBACK, get(sign_in::come_back))
        .route(SIGN_OUT, post(start_link::sign_out))
        .route(STATUS, get(status::show_status))
        .route(STATUS_STREAM, get(status::stream_status))
        .route(OPENAPI, get(api::show_document))
        .route(DOCS, get(api::show_docs))
        .merge(assets::routes())
}

/// For applications' backends, with a key. Each says its own method and path, beside its description.
fn backends() -> (Routes<AppState>, OpenApi) {
    Routes::described(
        api::about(),
        [
            routes!(api::create_verification),
            routes!(api::list_verifications),
            routes!(api::show_verification),
            routes!(api::cancel_verification),
            routes!(api::redact_verification),
            routes!(api::show_user),
            routes!(api::delete_user),
            routes!(api::list_user_verifications),
            routes!(api::allow_attempt),
            routes!(api::list_events),
        ],
    )
}

/// For Stripe.
fn stripe() -> Routes<AppState> {
    Routes::new().route(WEBHOOK, post(webhook::receive_event))
}

/// For orchestrators.
fn probes() -> Routes<AppState> {
    Routes::new()
        .route(ALIVE, get(health::show_health))
        .route(READY, get(health::show_readiness))
}

/// Everything the public listener answers to.
pub fn routes() -> Vec<Route> {
    all().into_list()
}

/// All of it, and how much of it at once.
fn all() -> Routes<AppState> {
    people()
        .hold(&Limits::new(MOST_OF_PEOPLE, PATIENCE))
        .merge(backends().0.hold(&Limits::new(MOST_OF_BACKENDS, PATIENCE)))
        .merge(stripe().hold(&Limits::new(MOST_DELIVERIES, PATIENCE)))
        .merge(probes())
}

/// The description of the API, which is made of the routes themselves.
pub(crate) fn describe() -> OpenApi {
    api::complete(backends().1)
}

/// The public routes.
pub fn router(state: AppState) -> Router {
    let (router, limits) = all().into_router();
    let around = from_fn_with_state((state.clone(), Arc::new(limits)), around);
    router.layer(around).with_state(state)
}

/// What is around every route. The last is the first to see a request, and the last to see its answer.
///
/// They are one layer, and call each other: of each laid on alone every request would take a copy in a box, and with it
/// one of all the layers below.
async fn around(
    State((state, limits)): State<(AppState, Arc<PathLimits>)>,
    request: Request,
    next: Next,
) -> Response {
    let shared = state.shared();
    let next = async |request| next.run(request).await;
    let next = async |request| cors::answer_preflight(&shared.sharing, request, next).await;
    let next = async |request| limit::hold(&limits, request, next).await;
    let next = async |request| security::check_host(&shared.hosts, request, next).await;
    let next = async |request| present::catch_panic(request, next).await;
    let next = async |request| body::drain_unread(request, next).await;
    let next = async |request| present::present_errors(&shared.site, request, next).await;
    let next = async |request| cors::share(&shared.sharing, request, next).await;
    let next = async |request| auth::clear_stale(&shared.cookie, request, next).await;
    let next = async |request| security::add_headers(&shared.headers, request, next).await;
    request::trace(request, next).await
}

/// `/metrics`, for a listener of its own: it is nobody's business but the operators'.
pub fn metrics_router<R>(render: R) -> Router
where
    R: Fn() -> String + Clone + Send + Sync + 'static,
{
    Router::new().route(METRICS, axum::routing::get(async move || render()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_probe_is_worked_on_without_limits() {
        let (_, limits) = all().into_router();
        for Route { path, .. } in routes() {
            let is_probe = PROBES.contains(&path.as_str());
            assert_eq!(limits.of(&path).is_none(), is_probe, "{path}");
        }
    }
}
