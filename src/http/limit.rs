//! How many requests are worked on at once, and for how long.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

use super::{
    error::{Error, SOON},
    throttle::Throttle,
};

/// A number of places, and how long each may be held.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    places: Arc<Semaphore>,
    patience: Duration,
    overloaded: Throttle,
    timed_out: Throttle,
}

impl Limits {
    pub(crate) fn new(places: usize, patience: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            patience,
            overloaded: Throttle::default(),
            timed_out: Throttle::default(),
        }
    }
}

/// Which limits hold for which path; paths may share them. What it does not name has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathLimits(HashMap<String, Limits>);

impl PathLimits {
    pub(super) fn insert(&mut self, path: String, limits: Limits) {
        self.0.insert(path, limits);
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn of(&self, path: &str) -> Option<&Limits> {
        self.0.get(path)
    }
}

/// Runs the request in a place of its own, or turns it away at once: a queue would only make everybody late.
pub(crate) async fn hold(
    limits: &PathLimits,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let Some(limits) = path.and_then(|path| limits.of(path.as_str())) else {
        return next(request).await;
    };
    let Ok(_place) = limits.places.try_acquire() else {
        return turn_away("overloaded", &limits.overloaded);
    };
    // An event stream is answered as soon as it begins, so this does not end it.
    let answered = tokio::time::timeout(limits.patience, next(request)).await;
    answered.unwrap_or_else(|_| turn_away("timed_out", &limits.timed_out))
}

/// A storm of them is one piece of news.
fn turn_away(code: &'static str, news: &Throttle) -> Response {
    if let Some(times) = news.pass() {
        tracing::warn!(code, times, "requests are turned away; they may come again");
    }
    Error::Unavailable {
        code,
        retry_after: SOON,
        source: None,
    }
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        body::Body,
        http::StatusCode,
        middleware::{Next, from_fn},
        routing::get,
    };
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };
    use tower::ServiceExt;

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn router(places: usize, patience: Duration) -> Router {
        let both = Limits::new(places, patience);
        let mut limits = PathLimits::default();
        for path in ["/stuck", "/"] {
            limits.insert(path.to_owned(), both.clone());
        }
        let limits = Arc::new(limits);
        Router::new()
            .route("/stuck", get(std::future::pending::<()>))
            .route("/", get(async || "done"))
            .route("/free", get(async || "done"))
            .layer(from_fn(move |request, next: Next| {
                let limits = Arc::clone(&limits);
                async move { hold(&limits, request, async |it| next.run(it).await).await }
            }))
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
        assert_eq!(ask(&router, "/free").await, StatusCode::OK);
        stuck.abort();
        assert!(stuck.await.unwrap_err().is_cancelled());
        assert_eq!(ask(&router, "/").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn whoever_is_turned_away_in_a_storm_is_logged_with_the_others() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || Lines(Arc::clone(&writer)))
            .finish();
        let _until_the_end = tracing::subscriber::set_default(subscriber);
        let router = router(0, Duration::from_mins(1));
        for _ in 0..100 {
            assert_eq!(ask(&router, "/").await, StatusCode::SERVICE_UNAVAILABLE);
        }
        let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("overloaded").count(), 1, "{log}");
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
