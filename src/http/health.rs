//! Is the process alive, is it ready, and which key does the page need.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{lifecycle::Lifecycle, state::Site};
use crate::{
    causes::causes,
    store::{Db, Readiness},
};

/// A prober waits a second or so, and an answer is better than its time-out.
const PATIENCE: Duration = Duration::from_millis(900);

/// `GET /healthz`: the process answers. Nothing else is asked, or an outage of the database would restart us for nothing.
pub(crate) async fn show_health() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

/// `GET /readyz`: people can be sent here.
pub(crate) async fn show_readiness(
    State(db): State<Db>,
    State(life): State<Lifecycle>,
) -> Response {
    let (status, word) = match find_obstacle(&db, &life).await {
        None => (StatusCode::OK, "ready"),
        Some(obstacle) => (StatusCode::SERVICE_UNAVAILABLE, obstacle),
    };
    (status, Json(json!({ "status": word }))).into_response()
}

async fn find_obstacle(db: &Db, life: &Lifecycle) -> Option<&'static str> {
    if life.is_leaving() {
        return Some("leaving");
    }
    match tokio::time::timeout(PATIENCE, db.readiness()).await {
        Ok(Ok(Readiness::Ready)) => None,
        Ok(Ok(Readiness::MigrationsPending)) => Some("migrations_pending"),
        Ok(Ok(Readiness::ReadOnly)) => Some("database_read_only"),
        Ok(Err(error)) => {
            let error = causes(&error);
            tracing::warn!(%error, "not ready: the database cannot be asked");
            Some("database_away")
        }
        Err(_) => Some("database_away"),
    }
}

/// `GET /config`: what a page of the host application needs to open Stripe's window itself.
pub(crate) async fn show_config(State(site): State<Site>) -> Response {
    Json(json!({ "publishableKey": site.publishable_key() })).into_response()
}
