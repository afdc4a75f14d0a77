//! A Stripe that keeps count and a database of one's own, for whatever has to end in one session, linked.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;
use verigate::{
    app::{App, Listeners, Pools},
    clock::Clock,
    config::{Config, Mode},
    domain::{Client, Person},
    store::{self, NetworkKey, StoreError, Worker},
    stripe::{
        self, DocumentOptions, SessionType,
        event::{self, Event},
    },
    verification::{
        Check, Endpoints, Limits, Policies, Policy, Refreshed, Settings, StartError, StartRequest,
        Started, Verifier,
    },
};

use crate::{
    sandbox::support::{SESSIONS, TestSandbox, id},
    support::{PATIENCE, database::TestDb, eventually},
};

/// What deliveries are signed with: development's own.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_verigate_development";

/// The types of a session's events, the last of which nobody gets who does not name it.
const EVENTS: [&str; 6] = [
    "created",
    "processing",
    "requires_input",
    "verified",
    "canceled",
    "redacted",
];

/// A database and a sandbox; the servers between them come and go.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) sandbox: TestSandbox,
}

/// An attempt as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column, and they vary independently"
)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) session_id: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) redaction: String,
    pub(crate) claimed: bool,
    pub(crate) current: bool,
    pub(crate) leased: bool,
    pub(crate) gone: bool,
    pub(crate) doubtful: bool,
    pub(crate) due: bool,
    pub(crate) tries: i32,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at(Clock::system()).await
    }

    /// With a sandbox that goes by this clock.
    pub(crate) async fn at(clock: Clock) -> Self {
        Self {
            db: TestDb::new().await,
            sandbox: TestSandbox::with_clock(clock).await,
        }
    }

    /// The use cases of a process of its own, which shares no start with any other.
    pub(crate) fn process(&self) -> Verifier {
        verifier(self.db.url(), &self.sandbox.base, |_| ())
    }

    /// A click that no other click shares its answer with.
    pub(crate) async fn click(&self) -> Result<Started, StartError> {
        self.process().start(&ada_starts()).await
    }

    /// The same, when an application has asked for this policy.
    pub(crate) async fn click_under(&self, policy: &str) -> Result<Started, StartError> {
        self.process().start(&ada_starts_under(policy)).await
    }

    /// Clicks until it works, as people do.
    pub(crate) async fn click_until_open(&self) -> Started {
        eventually("a click that works", async || self.click().await.ok()).await
    }

    /// Tells the server every event of the sandbox's, oldest first.
    pub(crate) async fn hear_all(&self) {
        let process = self.process();
        for body in self.events().await {
            process.hear(&read(&body)).await.unwrap();
        }
    }

    /// The events of every session, oldest first, as Stripe would deliver them now.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let mut newest_first = Vec::<Value>::new();
        loop {
            let after = match newest_first.last() {
                Some(event) => format!("&starting_after={}", id(event)),
                None => String::new(),
            };
            let path = format!("/v1/events?limit=100{after}");
            let page = self.sandbox.get(&path).await.body;
            newest_first.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] == false {
                newest_first.reverse();
                return newest_first;
            }
        }
    }

    /// Something happens to a session, by one of the sandbox's own routes.
    pub(crate) async fn act(&self, session: &str, what: &str, how: &Value) -> Value {
        let path = format!("/_sessions/{session}/{what}");
        self.sandbox.control(&path, how).await
    }

    /// A call of Stripe's API about a session.
    pub(crate) async fn api(&self, session: &str, what: &str) {
        let path = format!("{SESSIONS}/{session}/{what}");
        let answer = self.sandbox.post(&path, "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Lets the sandbox's time go on.
    pub(crate) async fn pass(&self, seconds: u32) {
        let seconds = json!({ "seconds": seconds });
        self.sandbox.control("/_advance", &seconds).await;
    }

    /// Nothing ends by itself, only when a test says so.
    pub(crate) async fn stop_the_clockwork(&self) {
        let never = json!({ "async_delay_ms": u32::MAX, "redaction_delay_ms": u32::MAX });
        self.sandbox.control("/_settings", &never).await;
    }

    /// A session made for this attempt, as ours are.
    pub(crate) async fn create_for(&self, attempt: Uuid) -> String {
        let form = format!(
            "type=document&client_reference_id={attempt}&metadata[verigate_attempt]={attempt}"
        );
        let answer = self.sandbox.post(SESSIONS, &form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        id(&answer.body).to_owned()
    }

    /// Calls that Stripe has seen, by method and kind of address: `GET one`, `GET list`, `POST session`, `POST update`, `POST cancel`, `POST key`.
    pub(crate) async fn calls(&self, kind: &str) -> Vec<Value> {
        let mut calls = self.sandbox.calls().await;
        calls.retain(|call| kind_of(call) == kind);
        calls
    }

    pub(crate) async fn count(&self, kind: &str) -> usize {
        self.calls(kind).await.len()
    }

    /// Everything Stripe has, oldest first.
    pub(crate) async fn sessions(&self) -> Vec<Value> {
        let all = self.sandbox.get("/_sessions").await.body;
        all["sessions"].as_array().unwrap().clone()
    }

    /// All attempts, oldest first.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        rows(self.db.pool()).await
    }

    /// The status of the only person.
    pub(crate) async fn person(&self) -> String {
        let status = sqlx::query_scalar("SELECT status FROM users");
        status.fetch_one(self.db.pool()).await.unwrap()
    }

    /// What a process that was killed would have done for twenty seconds more.
    pub(crate) async fn run_leases_out(&self) {
        let leases = "UPDATE verifications SET lease_until = now() - interval '1 second' \
            WHERE lease_until IS NOT NULL";
        sqlx::query(leases).execute(self.db.pool()).await.unwrap();
    }

    /// Makes every attempt older than Stripe keeps a key.
    pub(crate) async fn age_attempts(&self) {
        let age = "UPDATE verifications SET created_at = created_at - interval '25 hours'";
        sqlx::query(age).execute(self.db.pool()).await.unwrap();
        let seconds = json!({ "seconds": 25 * 3600 });
        self.sandbox.control("/_advance", &seconds).await;
    }

    /// Stripe made one session; it is linked to the open attempt, handed out, and nobody's turn is under way.
    pub(crate) async fn assert_one_session(&self, handed_out: &str) {
        let sessions = self.sessions().await;
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!(id(&sessions[0]), handed_out);
        self.assert_open(handed_out).await;
    }

    /// The one open attempt has this session, and no session of Stripe's is without its attempt.
    pub(crate) async fn assert_open(&self, session: &str) {
        let rows = self.rows().await;
        let open: Vec<&Row> = rows.iter().filter(|row| row.current).collect();
        assert_eq!(open.len(), 1, "{rows:#?}");
        assert_eq!(open[0].session_id.as_deref(), Some(session), "{rows:#?}");
        assert_eq!(open[0].status.as_deref(), Some("requires_input"));
        assert!(
            rows.iter().all(|row| row.claimed && !row.leased),
            "{rows:#?}"
        );
        for theirs in self.sessions().await {
            let owners = rows
                .iter()
                .filter(|row| row.session_id.as_deref() == Some(id(&theirs)));
            assert_eq!(owners.count(), 1, "{theirs} {rows:#?}");
        }
    }

    /// A server of its own in this process.
    pub(crate) async fn gateway(&self) -> Gateway {
        Gateway::start(&self.db, &self.sandbox.base).await
    }

    /// A server that also hears of everything that happens.
    pub(crate) async fn hearing_gateway(&self) -> Gateway {
        let gateway = self.gateway().await;
        let mut form = format!("url={}/webhook&secret={WEBHOOK_SECRET}", gateway.origin);
        for kind in EVENTS {
            form.push_str("&enabled_events[]=identity.verification_session.");
            form.push_str(kind);
        }
        let answer = self.sandbox.post("/v1/webhook_endpoints", &form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        gateway
    }
}

fn kind_of(call: &Value) -> &'static str {
    let path = call["path"].as_str().unwrap();
    match (call["method"].as_str().unwrap(), path) {
        ("POST", SESSIONS) => "POST session",
        ("GET", SESSIONS) => "GET list",
        ("GET", one) if one.starts_with(SESSIONS) => "GET one",
        ("POST", one) if one.starts_with(SESSIONS) && one.ends_with("/cancel") => "POST cancel",
        ("POST", one) if one.starts_with(SESSIONS) => "POST update",
        ("POST", "/v1/ephemeral_keys") => "POST key",
        _ => "other",
    }
}

/// The person of these tests.
pub(crate) fn ada() -> Person {
    person("ada")
}

/// Somebody else.
pub(crate) fn person(name: &str) -> Person {
    Person {
        realm: "test".to_owned(),
        external_id: name.to_owned(),
        email: None,
    }
}

/// Her click.
pub(crate) fn ada_starts() -> StartRequest {
    StartRequest::new(ada(), Client::Modal)
}

/// Her click when an application has asked for this policy.
pub(crate) fn ada_starts_under(policy: &str) -> StartRequest {
    StartRequest {
        policy: Some(policy.to_owned()),
        ..ada_starts()
    }
}

/// A delivery, read as the webhook reads it.
pub(crate) fn read(body: &Value) -> Event {
    event::parse(body.to_string().as_bytes()).unwrap()
}

/// The use cases over this database and this Stripe, hurrying where nothing is to be seen.
pub(crate) fn verifier(
    database: &str,
    stripe: &str,
    adapt: impl FnOnce(&mut stripe::Settings),
) -> Verifier {
    limited(database, stripe, no_limits(), adapt)
}

/// A step of a refresh worker that is there for as long as that takes.
pub(crate) async fn refresh(
    database: &str,
    process: &Verifier,
    ahead: Duration,
) -> Result<Refreshed, StoreError> {
    let db = store::connect(&SecretString::from(database.to_owned()), 1).unwrap();
    let worker = Worker::start(&db).await?;
    process.refresh_due(worker.id(), ahead).await
}

/// Nothing is limited.
pub(crate) fn no_limits() -> Limits {
    Limits::none(NetworkKey::derive(b"sk_test_1"))
}

/// The same, with limits.
pub(crate) fn limited(
    database: &str,
    stripe: &str,
    limits: Limits,
    adapt: impl FnOnce(&mut stripe::Settings),
) -> Verifier {
    let mut settings = stripe::Settings::new(stripe.parse().unwrap(), "sk_test_1".into());
    settings.first_delay = Duration::from_millis(1);
    settings.rate_per_second = 10_000;
    settings.jobs_per_second = 10_000;
    adapt(&mut settings);
    let client = stripe::Client::new(settings).unwrap();
    let settings = Settings {
        livemode: false,
        return_url: "http://localhost/submitted".parse().unwrap(),
        limits,
        policies: policies(),
        endpoints: Endpoints::default(),
        app_return_url: None,
    };
    let db = store::connect(&SecretString::from(database.to_owned()), 4).unwrap();
    Verifier::new(db, client, settings)
}

/// `default`, a document; `selfie`, which satisfies it; `number` and `flow`, which nothing else satisfies.
pub(crate) fn policies() -> Policies {
    let policy = |name: &str, check, stronger: &[&str]| Policy {
        name: name.to_owned(),
        check,
        satisfied_by: stronger
            .iter()
            .chain(&[name])
            .map(|it| (*it).to_owned())
            .collect(),
    };
    let of = |kind, selfie| Check::Of {
        kind,
        document: DocumentOptions {
            require_matching_selfie: selfie,
            ..DocumentOptions::default()
        },
    };
    let all = [
        policy("default", of(SessionType::Document, None), &["selfie"]),
        policy("selfie", of(SessionType::Document, Some(true)), &[]),
        policy("number", of(SessionType::IdNumber, None), &[]),
        policy("flow", Check::Flow("vf_1".to_owned()), &[]),
    ];
    Policies::new(all, "default")
}

/// All attempts, oldest first.
pub(crate) async fn rows(pool: &PgPool) -> Vec<Row> {
    let query = "SELECT id, session_id, status, error_code, redaction, user_id IS NOT NULL AS claimed, current, \
        lease_until IS NOT NULL AS leased, gone_at IS NOT NULL AS gone, doubt_since IS NOT NULL AS doubtful, \
        refresh_due_at IS NOT NULL AS due, refresh_tries AS tries \
        FROM verifications ORDER BY created_at, id";
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

/// The whole server, as it is run, in this process.
pub(crate) struct Gateway {
    pub(crate) origin: String,
    pub(crate) http: reqwest::Client,
    pub(crate) verifier: Verifier,
    task: tokio::task::JoinHandle<()>,
}

impl Gateway {
    /// Over this database, with this Stripe.
    pub(crate) async fn start(db: &TestDb, stripe: &str) -> Self {
        Self::with(db, stripe, &[]).await
    }

    /// The same, with settings of the test's own.
    pub(crate) async fn with(db: &TestDb, stripe: &str, settings: &[(&str, &str)]) -> Self {
        let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap(), None)
            .await
            .unwrap();
        let address = listeners.public.local_addr().unwrap();
        let config = Config::from_lookup(Mode::Dev, |name| match name {
            "PUBLIC_URL" => Some(format!("http://{address}")),
            "STRIPE_API_BASE" => Some(stripe.to_owned()),
            _ => {
                let set = settings.iter().find(|(variable, _)| *variable == name);
                let set = set.map(|(_, value)| (*value).to_owned());
                // Calls are counted, and healing has tests of its own.
                set.or_else(|| (name == "HEAL_EVERY").then(|| "none".to_owned()))
            }
        })
        .unwrap();
        let url = SecretString::from(db.url().to_owned());
        let pools = Pools {
            db: store::connect(&url, 8).unwrap(),
            intake_db: store::connect(&url, 4).unwrap(),
        };
        let app = App::from_parts(config, pools, Clock::system()).unwrap();
        let verifier = app.verifier().clone();
        let task = tokio::spawn(async move {
            app.run(listeners, std::future::pending()).await.unwrap();
        });
        Self {
            origin: format!("http://{address}"),
            http: http_client(),
            verifier,
            task,
        }
    }

    /// A click of the demo user's.
    pub(crate) async fn click(&self) -> reqwest::Response {
        click(&self.http, &self.origin, "modal").await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn http_client() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.timeout(PATIENCE).build().unwrap()
}

/// A click of the demo user's on a server, through this kind of client.
pub(crate) async fn click(
    http: &reqwest::Client,
    origin: &str,
    client: &str,
) -> reqwest::Result<reqwest::Response> {
    http.post(format!("{origin}/create-verification-session"))
        .json(&json!({ "client": client }))
        .send()
        .await
}
