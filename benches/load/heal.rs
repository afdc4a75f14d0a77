//! Sessions finish while the server is down. No delivery says so, and of a tenth of them there is no event at all. The
//! server starts, and all of them are to be right within a minute, without hurrying Stripe.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::{PgConnection, query_as, query_scalar};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};
use verigate::{
    clock::Clock,
    postgres::Durability,
    sandbox::{self, Settings},
};

use crate::machine::{Machine, Server};

/// What is promised.
pub(crate) const WITHIN: Duration = Duration::from_mins(1);
/// The most that Stripe may be asked in any second.
pub(crate) const CALLS_PER_SECOND: usize = 20;
const KEY: &str = "a secret that is shared with nobody at all";
const SESSIONS: &str = "/v1/identity/verification_sessions";

/// What came of it.
#[derive(Debug)]
pub(crate) struct Healed {
    pub(crate) sessions: usize,
    /// Those of which there is no event at all.
    pub(crate) without_event: usize,
    /// Those that were wrong when the server started.
    pub(crate) wrong: usize,
    /// From the start of the server until all were right.
    pub(crate) took: Duration,
    /// Calls that Stripe saw until then, and the most of them in any one second.
    pub(crate) calls: usize,
    pub(crate) most_calls_in_a_second: usize,
    /// The server's own report.
    pub(crate) report: Value,
}

/// A session's status and error, and its person's status.
type State = (Option<String>, Option<String>, String);

/// A sandbox in this process, which nobody delivers for.
struct Stripe {
    base: String,
    http: Client,
    task: JoinHandle<()>,
}

impl Stripe {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings::new(base.parse().unwrap(), Clock::system());
        let task = tokio::spawn(async move {
            let served = sandbox::serve(listener, settings, std::future::pending());
            served.await.unwrap();
        });
        Self {
            base,
            http: Client::builder().no_proxy().build().unwrap(),
            task,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.bearer_auth("sk_test_load");
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn fault(&self, fault: Value) {
        self.ask(Method::POST, "/_faults", Some(fault)).await;
    }

    /// What the person does, or the application: most pass, some fail, some wait, some are called off.
    async fn finish(&self, session: &str, n: usize) {
        let case = match n % 10 {
            0..=5 => json!({ "case": "success" }),
            6 | 7 => json!({ "case": "failure", "code": "document_expired" }),
            8 => json!({ "case": "success_async" }),
            _ => {
                let path = format!("{SESSIONS}/{session}/cancel");
                self.ask(Method::POST, &path, None).await;
                return;
            }
        };
        let path = format!("/_sessions/{session}/outcome");
        self.ask(Method::POST, &path, Some(case)).await;
    }

    /// What is true of each session. A person with one session is what that one is.
    async fn truth(&self) -> HashMap<String, State> {
        let all = self.ask(Method::GET, "/_sessions", None).await;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let all = all["sessions"].as_array().unwrap().iter();
        all.map(|session| {
            let status = text(&session["status"]);
            let person = status.clone().unwrap();
            let state = (status, text(&session["last_error"]), person);
            (text(&session["id"]).unwrap(), state)
        })
        .collect()
    }

    /// When each call came, in milliseconds.
    async fn calls(&self) -> Vec<i64> {
        let ledger = self.ask(Method::GET, "/_ledger", None).await;
        assert_eq!(ledger["forgotten"], 0);
        let calls = ledger["calls"].as_array().unwrap().iter();
        let mut calls: Vec<i64> = calls.map(|it| it["at_ms"].as_i64().unwrap()).collect();
        calls.sort_unstable();
        calls
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// So many people with a session each.
pub(crate) async fn heal(people: usize, durability: Durability) -> Healed {
    let machine = Machine::start(durability);
    let database = machine.database("heal").await;
    let stripe = Stripe::start().await;
    let never = json!({ "async_delay_ms": u32::MAX });
    stripe.ask(Method::POST, "/_settings", Some(never)).await;
    let settings = [
        ("STRIPE_API_BASE", stripe.base.as_str()),
        ("REALM", "load"),
        ("JWT_SECRET", KEY),
        ("JWT_ISSUER", "https://load.test/"),
        ("JWT_AUDIENCE", "verigate"),
        ("CREATIONS_PER_ADDRESS_PER_HOUR", "none"),
    ];
    let mut server = Server::start(&database, &settings).await;
    let mut sessions = Vec::with_capacity(people);
    for n in 0..people {
        if has_no_event(n) {
            let lost = json!({ "kind": "event_lost", "event": "created" });
            stripe.fault(lost).await;
        }
        sessions.push(create(&stripe.http, &server, n).await);
    }
    server.kill();

    for (n, session) in sessions.iter().enumerate() {
        if has_no_event(n) {
            stripe
                .fault(json!({ "kind": "event_lost", "times": 0 }))
                .await;
        }
        stripe.finish(session, n).await;
        stripe.ask(Method::DELETE, "/_faults", None).await;
    }
    let mut db = machine.connect("heal").await;
    let truth = stripe.truth().await;
    let wrong = count_wrong(&mut db, &truth).await;
    stripe.ask(Method::DELETE, "/_ledger", None).await;

    let began = Instant::now();
    server.start_again();
    while count_wrong(&mut db, &truth).await > 0 {
        assert!(began.elapsed() < 5 * WITHIN, "some stay wrong");
        sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    let report = report(&mut db).await;
    let calls = stripe.calls().await;
    Healed {
        sessions: truth.len(),
        without_event: (0..people).filter(|&n| has_no_event(n)).count(),
        wrong,
        took,
        calls: calls.len(),
        most_calls_in_a_second: most_in_a_second(&calls),
        report,
    }
}

/// A tenth, with every way to end among them.
fn has_no_event(n: usize) -> bool {
    n / 10 % 10 == 3
}

/// A click, by somebody new.
async fn create(http: &Client, server: &Server, n: usize) -> String {
    let claims = json!({
        "iss": "https://load.test/",
        "aud": "verigate",
        "sub": format!("person {n}"),
        "exp": Clock::system().unix() + 3600,
    });
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let token = encode(&Header::default(), &claims, &key).unwrap();
    let address = format!("http://{}/create-verification-session", server.address());
    let click = http.post(address).bearer_auth(token);
    let answer = click.json(&json!({ "client": "modal" })).send();
    let answer = answer.await.unwrap().error_for_status().unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

/// How many are not as Stripe has them.
async fn count_wrong(db: &mut PgConnection, truth: &HashMap<String, State>) -> usize {
    let rows: Vec<(String, Option<String>, Option<String>, String)> = query_as(
        "SELECT v.session_id, v.status, v.error_code, u.status
         FROM verifications v JOIN users u ON u.id = v.user_id WHERE v.session_id IS NOT NULL",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let right = rows.into_iter().filter(|(session, status, error, person)| {
        let state = (status.clone(), error.clone(), person.clone());
        truth.get(session) == Some(&state)
    });
    truth.len() - right.count()
}

/// The first round's, once it has ended.
async fn report(db: &mut PgConnection) -> Value {
    let began = Instant::now();
    loop {
        let report = query_scalar(
            "SELECT report FROM healing WHERE NOT livemode AND claimed_by IS NULL AND (report ->> 'healed')::integer > 0",
        );
        if let Some(report) = report.fetch_optional(&mut *db).await.unwrap() {
            return report;
        }
        assert!(began.elapsed() < 5 * WITHIN, "no report says so");
        sleep(Duration::from_millis(50)).await;
    }
}

fn most_in_a_second(calls: &[i64]) -> usize {
    let within = |first: usize| {
        let second = calls[first..].iter();
        second.take_while(|at| **at < calls[first] + 1000).count()
    };
    (0..calls.len()).map(within).max().unwrap_or(0)
}
