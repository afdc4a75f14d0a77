//! Every page in every state, as the server renders it, looked at one after the other.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, Uri, header},
    response::IntoResponse as _,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use verigate::http::gallery;

use crate::{
    browser::{Browser, Habits},
    look::axe,
    walk::seat,
};

/// The pages hold still: their scripts would ask for what is not there.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'";

#[tokio::test]
async fn nobody_stumbles_over_any_state_of_the_verify_page() {
    look_at(
        |name| !name.starts_with("failed-") && !name.starts_with("error-"),
        |name| !name.ends_with("-spare"),
    )
    .await;
}

#[tokio::test]
async fn nobody_stumbles_over_any_failure_or_error() {
    let pictured = [
        "failed-under_supported_age",
        "failed-id_number_mismatch",
        "error-404",
        "error-500",
        "error-503",
    ];
    look_at(
        |name| name.starts_with("failed-") || name.starts_with("error-"),
        |name| pictured.contains(&name),
    )
    .await;
}

async fn look_at(wanted: impl Fn(&str) -> bool, pictured: impl Fn(&str) -> bool) {
    let _seat = seat().await;
    let (origin, server) = serve().await;
    let browser = Browser::start(Habits::default()).await;
    let script = json!({ "source": axe().await });
    browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", script)
        .await;
    let pages = gallery::pages().unwrap();
    let names: Vec<&str> = pages
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| wanted(name))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        browser
            .driver
            .goto(format!("{origin}/{name}"))
            .await
            .unwrap();
        browser.inspect(name, pictured(name)).await;
    }
    browser.quit().await;
    server.abort();
}

async fn serve() -> (String, JoinHandle<()>) {
    let pages = gallery::pages().unwrap().into_iter();
    let pages = pages.map(|(name, html)| (format!("/{name}"), html.into_bytes()));
    let files = gallery::files()
        .into_iter()
        .map(|(address, body)| (address, body.to_vec()));
    let all: Arc<HashMap<String, Vec<u8>>> = Arc::new(pages.chain(files).collect());
    let answer = move |uri: Uri| async move {
        let kind = match uri.path().rsplit_once('.') {
            Some((_, "css")) => "text/css",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ];
        match all.get(uri.path()) {
            Some(body) => (headers, body.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(answer))
            .await
            .unwrap();
    });
    (origin, server)
}
