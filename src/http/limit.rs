//! How many requests are worked on at once, and for how long.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

use super::error::{Error, SOON};

/// A number of places, and how long each may be held.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Limits {
    pub(crate) fn new(places: usize, patience: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            patience,
        }
    }
}

/// Runs the request in a place of its own, or turns it away at once: a queue would only make everybody late.
pub(crate) async fn hold(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let away = |code| {
        Error::Unavailable {
            code,
            retry_after: SOON,
            source: None,
        }
        .into_response()
    };
    let Ok(_place) = limits.places.try_acquire() else {
        return away("overloaded");
    };
    // An event stream is answered as soon as it begins, so this does not end it.
    let answered = tokio::time::timeout(limits.patience, next.run(request)).await;
    answered.unwrap_or_else(|_| away("timed_out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router, body::Body, http::StatusCode, middleware::from_fn_with_state, routing::get,
    };
    use tower::ServiceExt;

    fn router(places: usize, patience: Duration) -> Router {
        Router::new()
            .route("/stuck", get(std::future::pending::<()>))
            .route("/", get(async || "done"))
            .layer(from_fn_with_state(Limits::new(places, patience), hold))
    }

    async fn ask(router: &Router, path: &str) -> StatusCode {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn who_finds_no_place_is_turned_away_and_a_place_comes_back() {
        let router = router(1, Duration::from_mins(1));
        let stuck = tokio::spawn({
            let router = router.clone();
            async move { ask(&router, "/stuck").await }
        });
        while ask(&router, "/").await != StatusCode::SERVICE_UNAVAILABLE {
            tokio::task::yield_now().await;
        }
        stuck.abort();
        assert!(stuck.await.unwrap_err().is_cancelled());
        assert_eq!(ask(&router, "/").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn what_never_ends_is_ended() {
        let router = router(1, Duration::from_millis(1));
        assert_eq!(
            ask(&router, "/stuck").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
