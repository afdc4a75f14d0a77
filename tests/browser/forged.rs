//! Pages of others that try to start something in the name of whoever opens them: from another site, and from another port.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, Query, Request, State},
    response::Html,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    browser::{Browser, Habits},
    stage::Stage,
    support::eventually,
    walk::seat,
};

const CREATE: &str = "/create-verification-session";

/// Twelve pages. `URL` stands for the address that is to be asked; when it has been, the title says so, or the page goes
/// there itself.
const FORGERIES: [(&str, &str); 12] = [
    (
        "fetch",
        "<script>fetch('URL', {method: 'POST'}).finally(() => document.title = 'sent')</script>",
    ),
    (
        "fetch-with-cookies",
        "<script>fetch('URL', {method: 'POST', credentials: 'include', body: 'client=modal'}).finally(() => document.title = 'sent')</script>",
    ),
    (
        "fetch-no-cors",
        "<script>fetch('URL', {method: 'POST', mode: 'no-cors', credentials: 'include'}).finally(() => document.title = 'sent')</script>",
    ),
    (
        "xhr",
        "<script>const x = new XMLHttpRequest(); x.onloadend = () => document.title = 'sent'; x.open('POST', 'URL'); x.send()</script>",
    ),
    (
        "beacon",
        "<script>navigator.sendBeacon('URL', 'client=modal'); fetch('/', {mode: 'no-cors'}).finally(() => document.title = 'sent')</script>",
    ),
    (
        "form",
        "<form method=post action='URL'><input name=client value=redirect></form><script>document.forms[0].submit()</script>",
    ),
    (
        "form-text",
        "<form method=post action='URL' enctype='text/plain'><input name='{\"client\":\"modal\",\"a\":\"' value='\"}'></form><script>document.forms[0].submit()</script>",
    ),
    (
        "form-multipart",
        "<form method=post action='URL' enctype='multipart/form-data'><input name=client value=modal></form><script>document.forms[0].submit()</script>",
    ),
    (
        "form-in-a-frame",
        "<form method=post action='URL' target=inside></form><iframe name=inside></iframe><script>document.forms[0].submit(); \
         document.querySelector('iframe').onload = () => document.title = 'sent'</script>",
    ),
    (
        "form-in-a-sandbox",
        "<iframe sandbox='allow-scripts allow-forms' onload=\"self.n = (self.n || 0) + 1; if (n == 2) document.title = 'sent'\" \
         srcdoc='<body onload=&quot;document.forms[0].submit()&quot;><form method=post action=&quot;URL&quot;></form>'></iframe>",
    ),
    (
        "form-without-referrer",
        "<meta name=referrer content=no-referrer><form method=post action='URL'></form><script>document.forms[0].submit()</script>",
    ),
    (
        "image",
        "<img src='URL' onerror=\"document.title = 'sent'\" onload=\"document.title = 'sent'\">",
    ),
];

/// A server of somebody else's: it has the pages, and notes who asks it for what it forges.
struct Stranger {
    port: u16,
    asked: Asked,
    task: JoinHandle<()>,
}

type Asked = Arc<Mutex<Vec<String>>>;

impl Stranger {
    async fn start() -> Self {
        let asked = Asked::default();
        let router = Router::new()
            .route("/pages/{name}", axum::routing::get(page))
            .fallback(note)
            .with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, asked, task }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Html<String> {
    let (_, page) = FORGERIES.iter().find(|(it, _)| *it == name).unwrap();
    let page = page.replace("URL", &query["url"]);
    Html(format!("<!doctype html><title>waiting</title><body>{page}"))
}

async fn note(State(asked): State<Asked>, request: Request) -> &'static str {
    if request.uri().path() == CREATE {
        asked.lock().unwrap().push(request.method().to_string());
    }
    "noted"
}

/// Opens a forgery on a page of `host`'s, and waits until it has asked for `url`.
async fn open(browser: &Browser, host: &str, name: &str, url: &str) {
    let page = format!("http://{host}/pages/{name}?url={url}");
    browser.driver.goto(page).await.unwrap();
    eventually(name, async || {
        let went = browser.driver.current_url().await.ok()?.as_str() == url;
        let sent = browser.driver.title().await.ok()? == "sent";
        (went || sent).then_some(())
    })
    .await;
}

#[tokio::test]
async fn twelve_forgeries_from_two_strange_origins_start_nothing() {
    let _seat = seat().await;
    let stage = Stage::start(&[]).await;
    let (stranger, noter) = (Stranger::start().await, Stranger::start().await);
    let browser = Browser::start(Habits::default()).await;
    // Another site, and another port of the server's own name.
    for name in ["127.0.0.1", "localhost"] {
        let host = format!("{name}:{}", stranger.port);
        for (forgery, _) in FORGERIES {
            // What such a page sends would be heard.
            noter.asked.lock().unwrap().clear();
            let url = format!("http://localhost:{}{CREATE}", noter.port);
            open(&browser, &host, forgery, &url).await;
            let method = if forgery == "image" { "GET" } else { "POST" };
            eventually(forgery, async || {
                let asked = noter.asked.lock().unwrap();
                asked.iter().any(|it| it == method).then_some(())
            })
            .await;
            open(&browser, &host, forgery, &stage.at(CREATE)).await;
        }
    }
    let ledger = stage.ask("/_ledger").await;
    assert_eq!(ledger["calls"], json!([]), "Stripe heard of something");
    let people: i64 = sqlx_count(&stage).await;
    assert_eq!(people, 0);

    // The same browser, on our own page.
    browser.driver.goto(stage.at("/verify")).await.unwrap();
    let honest =
        "return fetch('/create-verification-session', {method: 'POST'}).then((it) => it.status)";
    let status = browser.driver.execute(honest, vec![]).await.unwrap();
    assert_eq!(status.json(), &json!(200));
    assert_eq!(stage.creates().await, 1);
    browser.quit().await;
    stage.end().await;
}

async fn sqlx_count(stage: &Stage) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(stage.db.pool())
        .await
        .unwrap()
}
