//! A sandbox on a port of its own, and a receiver of its webhooks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use reqwest::{Client, Method, Response, header, redirect};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;
use verigate::{
    clock::Clock,
    sandbox::{Settings, Webhook, serve},
    stripe::signature,
};

use crate::support::eventually;

pub(crate) const SESSIONS: &str = "/v1/identity/verification_sessions";
pub(crate) const SECRET: &str = "whsec_test_of_the_sandbox";
/// Generous: what is waited for comes in milliseconds, or never.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct TestSandbox {
    pub(crate) base: String,
    pub(crate) http: Client,
    _stop: DropGuard,
}

impl TestSandbox {
    pub(crate) async fn start() -> Self {
        Self::with_clock(Clock::system()).await
    }

    pub(crate) async fn with_clock(clock: Clock) -> Self {
        Self::with(clock, None).await
    }

    /// With a receiver that is registered from the start.
    pub(crate) async fn with_receiver(receiver: &Receiver) -> Self {
        let webhook = Webhook {
            url: Url::parse(&receiver.url).unwrap(),
            secret: SECRET.to_owned().into(),
        };
        Self::with(Clock::system(), Some(webhook)).await
    }

    async fn with(clock: Clock, webhook: Option<Webhook>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, clock, webhook)
    }

    /// At an address that is known before the sandbox is there.
    pub(crate) fn on(listener: TcpListener, clock: Clock, webhook: Option<Webhook>) -> Self {
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let mut settings = Settings::new(Url::parse(&base).unwrap(), clock);
        settings.webhook = webhook;
        tokio::spawn(serve(listener, settings, async move {
            stopping.cancelled().await;
        }));
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(DEADLINE)
            .build()
            .unwrap();
        Self {
            base,
            http,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth("sk_test_any")
            .header("stripe-version", "2026-07-29.dahlia")
    }

    /// Posts a form as it stands, brackets and all.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_with(path, form, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        form: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    /// One of the tester's own routes.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> Value {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(
            answer.status < 300,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        answer.body
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.control("/_faults", &fault).await;
    }

    pub(crate) async fn clear_faults(&self) {
        let cleared = self.http.delete(format!("{}/_faults", self.base)).send();
        assert_eq!(cleared.await.unwrap().status(), 204);
    }

    /// A fresh session of the ordinary kind.
    pub(crate) async fn create(&self) -> Value {
        let answer = self.post(SESSIONS, "type=document").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    pub(crate) async fn outcome(&self, session: &Value, case: &str) -> Value {
        let path = format!("/_sessions/{}/outcome", id(session));
        self.control(&path, &json!({ "case": case })).await
    }

    pub(crate) async fn calls(&self) -> Vec<Value> {
        let ledger = self.get("/_ledger").await;
        ledger.body["calls"].as_array().unwrap().clone()
    }

    /// Registers a receiver for these events.
    pub(crate) async fn register(&self, receiver: &Receiver, events: &[&str]) -> Value {
        let mut form = format!("url={}&secret={SECRET}", receiver.url);
        for event in events {
            form.push_str("&enabled_events[]=");
            form.push_str(event);
        }
        let answer = self.post("/v1/webhook_endpoints", &form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

pub(crate) fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self {
            status,
            headers,
            text,
            body,
        }
    }

    pub(crate) fn error(&self) -> (u16, &str, &str, &str) {
        let error = &self.body["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        (self.status, text("type"), text("code"), text("param"))
    }
}

/// What arrived, as bytes.
#[derive(Clone)]
pub(crate) struct Delivered {
    pub(crate) body: Vec<u8>,
    pub(crate) signature: String,
}

impl Delivered {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        let event = self.event();
        let kind = event["type"].as_str().unwrap();
        kind.rsplit('.').next().unwrap().to_owned()
    }

    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let secrets = [SecretString::from(secret.to_owned())];
        let now = Clock::system().unix();
        signature::verify(&self.body, &self.signature, &secrets, now, 300).is_ok()
    }
}

#[derive(Clone, Default)]
struct Inbox {
    arrived: Arc<Mutex<Vec<Delivered>>>,
    /// Statuses for the next deliveries; then 200.
    answers: Arc<Mutex<Vec<u16>>>,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Inbox,
    _stop: DropGuard,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let inbox = Inbox::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let router = Router::new()
            .route("/webhook", post(receive))
            .with_state(inbox.clone());
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { stopping.cancelled().await })
                .await
        });
        Self {
            url,
            inbox,
            _stop: stop.drop_guard(),
        }
    }

    /// The next deliveries get these statuses.
    pub(crate) fn answer_next(&self, statuses: &[u16]) {
        self.inbox.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn arrived(&self) -> Vec<Delivered> {
        self.inbox.arrived.lock().unwrap().clone()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.arrived().iter().map(Delivered::kind).collect()
    }

    /// Waits until so many have arrived.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Delivered> {
        eventually("deliveries", async || {
            let arrived = self.arrived();
            (arrived.len() >= count).then_some(arrived)
        })
        .await
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["stripe-signature"].to_str().unwrap().to_owned();
    inbox.arrived.lock().unwrap().push(Delivered {
        body: body.to_vec(),
        signature,
    });
    let mut answers = inbox.answers.lock().unwrap();
    if answers.is_empty() {
        return StatusCode::OK;
    }
    StatusCode::from_u16(answers.remove(0)).unwrap()
}
