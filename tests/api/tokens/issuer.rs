//! An issuer of tokens: keys of every kind, a signer that writes whatever it is told, and a server that publishes.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures_util::stream;
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::server::NOW;

pub(crate) const ISSUER: &str = "https://login.example/";
pub(crate) const AUDIENCE: &str = "verigate";

/// One of the keys below `tests/fixtures/keys`.
pub(crate) struct Signer {
    key: EncodingKey,
    pub(crate) algorithm: Algorithm,
}

impl Signer {
    /// The key of this name; its kind is told by the algorithm.
    pub(crate) fn of(name: &str, algorithm: Algorithm) -> Self {
        let pem = pem(name);
        let pem = pem.as_bytes();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        Self {
            key: key.unwrap(),
            algorithm,
        }
    }

    /// The issuer's usual key.
    pub(crate) fn rsa() -> Self {
        Self::of("rsa", Algorithm::RS256)
    }

    /// A secret.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self {
            key: EncodingKey::from_secret(secret),
            algorithm: Algorithm::HS256,
        }
    }

    /// Its public part under this name, as published.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token in order, with a key of this name.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        self.write(
            &json!({ "alg": self.algorithm, "kid": id, "typ": "JWT" }),
            claims,
        )
    }

    /// Any two objects, signed.
    pub(crate) fn write(&self, header: &Value, claims: &Value) -> String {
        self.write_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Any bytes, signed.
    pub(crate) fn write_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

pub(crate) fn pem(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");
    fs::read_to_string(format!("{folder}/{name}.pem")).unwrap()
}

/// What a token in order says.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada",
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 600,
    })
}

/// The same, but for some members; null takes one away.
pub(crate) fn claims_but(changes: &Value) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..=chunk.len() {
            let six = (bits >> (18 - 6 * place)) & 63;
            text.push(LETTERS[six as usize].into());
        }
    }
    text
}

/// How the keys are given out.
#[derive(Clone, Debug)]
pub(crate) enum Publishes {
    Keys(Vec<Value>),
    Bytes(Vec<u8>),
    Status(u16),
    /// Somewhere else, where the right keys are.
    Elsewhere(Vec<Value>),
    /// Says nothing, ever.
    Silence,
    /// Goes on and on.
    Endless,
}

/// A server that publishes keys, and counts how often it is asked.
pub(crate) struct Issuer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    publishes: Mutex<Publishes>,
    fetches: AtomicUsize,
    delay: Mutex<Duration>,
}

impl Issuer {
    pub(crate) async fn start(publishes: Publishes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, publishes)
    }

    pub(crate) fn on(listener: TcpListener, publishes: Publishes) -> Self {
        let shared = Arc::new(Shared {
            publishes: Mutex::new(publishes),
            fetches: AtomicUsize::new(0),
            delay: Mutex::default(),
        });
        let router = Router::new()
            .route("/jwks.json", get(publish))
            .route("/elsewhere.json", get(publish_elsewhere))
            .with_state(Arc::clone(&shared));
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let task = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    /// From now on.
    pub(crate) fn publish(&self, publishes: Publishes) {
        *self.shared.publishes.lock().unwrap() = publishes;
    }

    /// Takes its time for each answer.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// How often it was asked.
    pub(crate) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn publish(State(shared): State<Arc<Shared>>) -> Response {
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    let delay = *shared.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    let publishes = shared.publishes.lock().unwrap().clone();
    match publishes {
        Publishes::Keys(keys) => json!({ "keys": keys }).to_string().into_response(),
        Publishes::Bytes(bytes) => bytes.into_response(),
        Publishes::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Publishes::Elsewhere(_) => Redirect::temporary("/elsewhere.json").into_response(),
        Publishes::Silence => std::future::pending().await,
        Publishes::Endless => {
            let blank = || Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]);
            Body::from_stream(stream::repeat_with(blank)).into_response()
        }
    }
}

async fn publish_elsewhere(State(shared): State<Arc<Shared>>) -> Response {
    let publishes = shared.publishes.lock().unwrap().clone();
    match publishes {
        Publishes::Elsewhere(keys) => json!({ "keys": keys }).to_string().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
