//! The server-to-server API, called as applications' backends do, with the real sandbox behind it.

mod document;
mod events;
mod hand_offs;
mod idempotency;
mod keys;
mod manage;
mod reads;
mod schemathesis;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use verigate::{
    domain::{Client, KeyText, Person, Scope},
    store::{self, NewApiKey},
    verification::StartRequest,
};

use crate::world::{Gateway, World};

/// Where the application's people live; not the usual name, so that it is seen to be asked for.
pub(crate) const REALM: &str = "acme";

/// A server with hand-offs switched on, between a database and a sandbox of its own.
pub(crate) struct Api {
    pub(crate) world: World,
    pub(crate) gateway: Gateway,
    /// A key that may do everything.
    pub(crate) key: String,
}

/// An answer, with what the tests look at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let world = World::new().await;
        let settings = [&[("HAND_OFF", "on"), ("REALM", REALM)], settings].concat();
        let gateway = Gateway::with(&world.db, &world.sandbox.base, &settings).await;
        let key = make_key(&world, &Scope::ALL).await;
        Self {
            world,
            gateway,
            key,
        }
    }

    /// Another key, for less.
    pub(crate) async fn key_for(&self, scopes: &[Scope]) -> String {
        make_key(&self.world, scopes).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let address = format!("{}{path}", self.gateway.origin);
        self.gateway.http.request(method, address)
    }

    pub(crate) fn signed(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request(method, path).bearer_auth(&self.key)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.signed(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        answer(self.signed(Method::POST, path)).await
    }

    pub(crate) async fn create(&self, wanted: &Value) -> Answer {
        answer(self.signed(Method::POST, "/v1/verifications").json(wanted)).await
    }

    /// The person clicks, as if they had come by a hand-off; gives our id and Stripe's.
    pub(crate) async fn click(&self, user_id: &str) -> (String, String) {
        let person = Person {
            realm: REALM.to_owned(),
            external_id: user_id.to_owned(),
            email: None,
        };
        let request = StartRequest::new(person, Client::Modal);
        let started = self.gateway.verifier.start(&request).await.unwrap();
        (started.attempt.to_string(), started.session.to_string())
    }

    /// Something happens at Stripe, and the server asks.
    pub(crate) async fn come_to(&self, session: &str, case: &str) {
        let how = json!({ "case": case });
        self.world.act(session, "outcome", &how).await;
        self.world.hear_all().await;
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        body,
    }
}

impl Answer {
    /// Checks that it is a problem of this kind, worded as every one is.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let body = &self.body;
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:verigate:problem:{code}"));
        assert!(
            body["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        let id = body["request_id"].as_str().unwrap();
        assert_eq!(self.headers["x-request-id"], id);
    }
}

pub(crate) async fn make_key(world: &World, scopes: &[Scope]) -> String {
    make_key_with(world, scopes, &[]).await
}

pub(crate) async fn make_key_with(world: &World, scopes: &[Scope], return_to: &[&str]) -> String {
    let db = store::connect(&world.db.url().to_owned().into(), 1).unwrap();
    let key = KeyText::mint(false, rand::random());
    let return_to: Vec<String> = return_to.iter().map(|rule| (*rule).to_owned()).collect();
    let new = NewApiKey {
        name: "of a test",
        key: &key,
        scopes,
        return_to: &return_to,
        lifetime: None,
    };
    store::insert_api_key(&db, &new).await.unwrap();
    db.close().await;
    key.expose().to_owned()
}
