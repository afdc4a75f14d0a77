//! A small Stripe for these tests: sessions that can be moved by hand, and refusals on request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use chrono::DateTime;
use serde_json::{Value, json};
use url::Url;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use crate::server::NOW;

/// Where its sessions are opened; never fetched.
pub(crate) const VERIFY_ORIGIN: &str = "https://verify.stripe.com";

/// A Stripe that answers over HTTP.
pub(crate) struct FakeStripe {
    server: MockServer,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    sessions: BTreeMap<String, Value>,
    by_key: BTreeMap<String, String>,
    secrets: u32,
    /// Its own time, in unix seconds: it goes on with every call and every event, so that no two are of one second.
    now: i64,
    refusal: Option<Refusal>,
    calls: Vec<String>,
}

/// How every call fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
}

impl FakeStripe {
    pub(crate) async fn start() -> Self {
        let world = World {
            now: NOW,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(Answers(Arc::clone(&world)))
            .mount(&server)
            .await;
        Self { server, world }
    }

    pub(crate) fn url(&self) -> Url {
        self.server.uri().parse().unwrap()
    }

    /// Every call so far, such as `POST /v1/ephemeral_keys`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.world.lock().unwrap().calls.clone()
    }

    /// Changes a session as Stripe itself would; its secrets live only while it waits for the person.
    pub(crate) fn move_to(&self, session: &str, status: &str, error: Option<&str>) {
        let mut world = self.world.lock().unwrap();
        let session = world.sessions.get_mut(session).unwrap();
        session["status"] = json!(status);
        session["last_error"] = error.map_or(Value::Null, |code| json!({ "code": code }));
    }

    /// Loses every session, as a restarted sandbox does.
    pub(crate) fn forget(&self) {
        let mut world = self.world.lock().unwrap();
        world.sessions.clear();
        world.by_key.clear();
    }

    /// The second of an event that happens now.
    pub(crate) fn tick(&self) -> i64 {
        self.world.lock().unwrap().tick()
    }

    /// From now on every call is refused so, or none.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.world.lock().unwrap().refusal = refusal;
    }
}

struct Answers(Arc<Mutex<World>>);

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut world = self.0.lock().unwrap();
        let date = DateTime::from_timestamp(world.tick(), 0).unwrap();
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        world.answer(request).insert_header("date", date)
    }
}

impl World {
    fn tick(&mut self) -> i64 {
        self.now += 10;
        self.now
    }

    fn answer(&mut self, request: &Request) -> ResponseTemplate {
        let path = request.url.path();
        self.calls.push(format!("{} {path}", request.method));
        if let Some(Refusal { status, code }) = self.refusal {
            let kind = if status < 500 {
                "invalid_request_error"
            } else {
                "api_error"
            };
            let error = json!({ "error": { "type": kind, "code": code, "message": "as asked" } });
            return ResponseTemplate::new(status).set_body_json(error);
        }
        match path.strip_prefix("/v1/").unwrap() {
            "ephemeral_keys" => {
                let secret = format!("ek_test_{}", self.next());
                let key = json!({ "id": "ephkey_1", "object": "ephemeral_key", "secret": secret });
                ResponseTemplate::new(200).set_body_json(key)
            }
            "identity/verification_sessions" => {
                let key = request.headers["idempotency-key"]
                    .to_str()
                    .unwrap()
                    .to_owned();
                let id = self.create(key, &String::from_utf8_lossy(&request.body));
                self.show(&id)
            }
            other => self.show(other.rsplit('/').next().unwrap()),
        }
    }

    fn next(&mut self) -> u32 {
        self.secrets += 1;
        self.secrets
    }

    fn create(&mut self, key: String, form: &str) -> String {
        if let Some(id) = self.by_key.get(&key) {
            return id.clone();
        }
        let id = format!("vs_{}", self.next());
        self.by_key.insert(key, id.clone());
        let reference = url::form_urlencoded::parse(form.as_bytes())
            .find(|(name, _)| name == "client_reference_id")
            .map(|(_, value)| value.into_owned());
        let session = json!({
            "id": id, "object": "identity.verification_session", "livemode": false,
            "status": "requires_input", "last_error": null, "last_verification_report": null,
            "redaction": null, "client_reference_id": reference,
            "metadata": { "verigate_attempt": reference },
        });
        self.sessions.insert(id.clone(), session);
        id
    }

    fn show(&mut self, id: &str) -> ResponseTemplate {
        let serial = self.next();
        let Some(session) = self.sessions.get(id) else {
            let error =
                json!({ "error": { "type": "invalid_request_error", "code": "resource_missing" } });
            return ResponseTemplate::new(404).set_body_json(error);
        };
        let mut session = session.clone();
        if session["status"] == "requires_input" {
            session["client_secret"] = json!(format!("{id}_secret_{serial}"));
            session["url"] = json!(format!("{VERIFY_ORIGIN}/start/{serial}"));
        }
        ResponseTemplate::new(200).set_body_json(session)
    }
}
