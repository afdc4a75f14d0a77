//! A server in a process of its own, which can be killed, between a database and a Stripe that live on.

use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::Value;
use tempfile::TempDir;
use verigate::{clock::Clock, stripe::signature};

use crate::{
    program::Program,
    world::{WEBHOOK_SECRET, World, click, http_client},
};

/// A running server.
pub(crate) struct Process {
    pub(crate) origin: String,
    pub(crate) http: reqwest::Client,
    /// What it asks people for.
    pub(crate) policies: &'static str,
    pub(crate) program: Program,
    _folder: TempDir,
}

impl Process {
    /// Starts it, and returns when it listens.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_with(world, &[]).await
    }

    /// The same, with these policies.
    pub(crate) async fn start_under(world: &World, policies: &'static str) -> Self {
        // Set to nothing it would be a mistake.
        let settings = [("POLICIES", policies)];
        let settings = if policies.is_empty() {
            &[]
        } else {
            &settings[..]
        };
        let mut process = Self::start_with(world, settings).await;
        process.policies = policies;
        process
    }

    /// The same, with these settings too.
    pub(crate) async fn start_with(world: &World, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = vec![
            ("DATABASE_URL", world.db.url()),
            ("STRIPE_API_BASE", &world.sandbox.base),
            ("BIND_ADDR", "127.0.0.1:0"),
            ("RUST_LOG", "off"),
            // Calls are counted, and healing has tests of its own.
            ("HEAL_EVERY", "none"),
        ];
        variables.extend(settings);
        let mut program = Program::start(&["dev"], &variables, folder.path());
        let origin = format!("http://{}", program.greeted().await);
        Self {
            origin,
            http: http_client(),
            policies: "",
            program,
            _folder: folder,
        }
    }

    /// Ends it between two of its steps, as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.program.signal("-KILL");
        self.program.ended().await;
    }

    /// What it logged so far.
    pub(crate) fn logged(&self) -> String {
        self.program.logged()
    }

    /// A click of the demo user's, in the phone's app; whatever comes of it.
    pub(crate) async fn click(&self) -> Option<Value> {
        let answer = click(&self.http, &self.origin, "native").await.ok()?;
        match answer.status() {
            StatusCode::OK => answer.json().await.ok(),
            _ => None,
        }
    }

    /// A signed delivery; no status if the server did not live to answer.
    pub(crate) async fn deliver(&self, event: &Value) -> Option<StatusCode> {
        let request = delivery(&self.http, &self.origin, event);
        request.send().await.ok().map(|answer| answer.status())
    }
}

/// An event, signed now.
pub(crate) fn delivery(
    http: &reqwest::Client,
    origin: &str,
    event: &Value,
) -> reqwest::RequestBuilder {
    let body = event.to_string().into_bytes();
    let secret = SecretString::from(WEBHOOK_SECRET);
    let signature = signature::sign(&body, &secret, Clock::system().unix());
    http.post(format!("{origin}/webhook"))
        .header("stripe-signature", signature)
        .body(body)
}
