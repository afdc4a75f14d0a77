//! What Verigate adds to the call that makes a session, against a handler that only passes it on: a sandbox that takes two
//! seconds for it, and five hundred people who wait at once.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::Barrier,
    task::JoinSet,
    time::{sleep, sleep_until},
};
use verigate::{clock::Clock, postgres::Durability};

use crate::{
    machine::{Machine, Server, binary, free_address},
    sender::Line,
    speed::{Speed, show},
};

const SESSIONS: &str = "/v1/identity/verification_sessions";
const TAKES: Duration = Duration::from_secs(2);
const IN_FLIGHT: usize = 500;
/// As many begin in a second as keep so many in flight.
const PACE: f64 = 250.0;
/// In one round; those that begin before as many are in flight are not counted.
const PEOPLE: usize = 2500;
const ROUNDS: usize = 3;
/// More than are in flight, so that nobody waits for a connection.
const LINES: usize = 700;
const KEY: &str = "a secret that is shared with nobody at all";
const MOST_ADDED: Duration = Duration::from_millis(3);

/// Both in turns, on one machine.
pub(crate) async fn create() {
    let machine = Machine::start(Durability::Durable);
    println!("Postgres: {}", machine.durability().await);
    let sandbox = Process::start(Command::new(binary()).arg("sandbox")).await;
    let stripe = format!("http://{}", sandbox.address);
    slow_down(&stripe).await;
    let ours = Server::start(&machine.database("creates").await, &settings(&stripe)).await;
    let mut bare = Command::new(std::env::current_exe().unwrap());
    let bare = Process::start(bare.args(["--bench", "bare-create", &stripe])).await;
    let both = [("bare proxy", bare.address), ("Verigate  ", ours.address())];

    println!("\n{PACE} people a second, {TAKES:?} each, so that {IN_FLIGHT} are in flight");
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        for ((name, address), best) in both.iter().zip(&mut best) {
            let (speed, most) = Crowd::at_a_pace().click(*address).await;
            println!("{name}               {}  {most} in flight", show(&speed));
            *best = speed.p50.min(*best);
        }
    }
    let added = best[1].saturating_sub(best[0]);
    println!("Verigate adds at p50:    {:.2} ms", ms(added));
    println!("\n{IN_FLIGHT} people in one moment");
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        for ((name, address), best) in both.iter().zip(&mut best) {
            let (speed, most) = Crowd::at_once().click(*address).await;
            println!("{name}               {}  {most} in flight", show(&speed));
            *best = speed.p50.min(*best);
        }
    }
    println!(
        "Verigate adds at p50:    {:.2} ms",
        ms(best[1].saturating_sub(best[0]))
    );
    assert!(added < MOST_ADDED, "it adds more than it may");
}

fn ms(it: Duration) -> f64 {
    it.as_secs_f64() * 1e3
}

/// Everybody comes from an address of their own, as through a proxy, and nothing keeps the crowd from Stripe.
fn settings(sandbox: &str) -> [(&'static str, &str); 7] {
    [
        ("STRIPE_API_BASE", sandbox),
        ("STRIPE_CALLS_PER_SECOND", "1000"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("REALM", "load"),
        ("JWT_SECRET", KEY),
        ("JWT_ISSUER", "https://load.test/"),
        ("JWT_AUDIENCE", "verigate"),
    ]
}

/// From now on that call takes as long as it is said to.
async fn slow_down(sandbox: &str) {
    let fault = json!({
        "kind": "latency", "ms": TAKES.as_millis(), "times": 0, "method": "POST", "path": SESSIONS
    });
    let asked = client().post(format!("{sandbox}/_faults")).json(&fault);
    let answer = asked.send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

/// People who were never here before.
struct Crowd {
    people: usize,
    pace: Option<f64>,
}

static PEOPLE_SO_FAR: AtomicUsize = AtomicUsize::new(0);

impl Crowd {
    fn at_a_pace() -> Self {
        Self {
            people: PEOPLE,
            pace: Some(PACE),
        }
    }

    fn at_once() -> Self {
        Self {
            people: IN_FLIGHT,
            pace: None,
        }
    }

    /// When it is the turn of one of them, since the beginning.
    #[expect(clippy::cast_precision_loss, reason = "numbers of people are small")]
    fn due(&self, n: usize) -> Duration {
        self.pace.map_or(Duration::ZERO, |pace| {
            Duration::from_secs_f64(n as f64 / pace)
        })
    }

    /// Everybody clicks when it is their turn. How long they waited, and how many of them did at one time at most.
    async fn click(&self, address: SocketAddr) -> (Speed, usize) {
        let first = PEOPLE_SO_FAR.fetch_add(self.people, Ordering::SeqCst);
        let clicks: Vec<(Duration, Vec<u8>)> = (0..self.people)
            .map(|n| (self.due(n), request(address, first + n)))
            .collect();
        let queue = Arc::new(Mutex::new(clicks.into_iter().enumerate()));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let began: Arc<Mutex<Option<Instant>>> = Arc::default();
        let connected = Arc::new(Barrier::new(LINES));
        let mut lines = JoinSet::new();
        for _ in 0..LINES {
            let (queue, connected, began) = (
                Arc::clone(&queue),
                Arc::clone(&connected),
                Arc::clone(&began),
            );
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            lines.spawn(async move {
                let servers = [address];
                let mut line = Line::new(&servers, 0);
                let ask = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
                assert_eq!(line.ask(ask.as_bytes()).await.unwrap(), 200);
                connected.wait().await;
                let began = *began.lock().unwrap().get_or_insert_with(Instant::now);
                let mut waits = Vec::new();
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some((n, (due, request))) = next else {
                        return waits;
                    };
                    let due = began + due;
                    sleep_until(due.into()).await;
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    assert_eq!(line.ask(&request).await.unwrap(), 200);
                    now.fetch_sub(1, Ordering::SeqCst);
                    waits.push((n, due.elapsed()));
                }
            });
        }
        let waits = lines.join_all().await.concat();
        let took = began.lock().unwrap().unwrap().elapsed();
        let warm = if self.pace.is_some() { IN_FLIGHT } else { 0 };
        let counted = waits.into_iter().filter(|&(n, _)| n >= warm);
        let mut counted: Vec<Duration> = counted.map(|(_, wait)| wait).collect();
        counted.sort_unstable();
        (Speed::of(&counted, took), most.load(Ordering::SeqCst))
    }
}

/// A click of somebody signed in by a token, as the page's script sends it.
fn request(address: SocketAddr, person: usize) -> Vec<u8> {
    let claims = json!({
        "iss": "https://load.test/",
        "aud": "verigate",
        "sub": format!("person {person}"),
        "exp": Clock::system().unix() + 3600,
    });
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let token = encode(&Header::default(), &claims, &key).unwrap();
    let [_, a, b, c] = u32::try_from(person).unwrap().to_be_bytes();
    format!(
        "POST /create-verification-session HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-For: 10.{a}.{b}.{c}\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n\
         {{\"client\":\"modal\"}}"
    )
    .into_bytes()
}

/// A process that ends with this.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// It is told where to listen by `SANDBOX_ADDR`; returns when it does.
    async fn start(command: &mut Command) -> Self {
        let address = free_address();
        let child = command
            .env("SANDBOX_ADDR", address.to_string())
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let servers = [address];
        let mut line = Line::new(&servers, 0);
        let ask = format!("GET /_settings HTTP/1.1\r\nHost: {address}\r\n\r\n");
        while line.ask(ask.as_bytes()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        Self { child, address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The client that the server calls Stripe with, too.
fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    builder.timeout(Duration::from_secs(6)).build().unwrap()
}

/// `bare-create`: what that process does.
pub(crate) async fn serve_bare_create(sandbox: &str) {
    let (http, url) = (client(), format!("{sandbox}{SESSIONS}"));
    let pass_on = async move |State(http): State<reqwest::Client>| {
        let asked = http
            .post(&url)
            .bearer_auth("sk_test_load")
            .header("stripe-version", "2026-07-29.dahlia")
            .header("idempotency-key", uuid::Uuid::new_v4().to_string())
            .form(&[("type", "document"), ("client_reference_id", "somebody")]);
        let session: Value = asked.send().await.unwrap().json().await.unwrap();
        assert!(session["client_secret"].is_string(), "{session}");
        Json(json!({
            "id": session["id"], "client_secret": session["client_secret"], "url": session["url"]
        }))
    };
    let router = Router::new()
        .route("/create-verification-session", post(pass_on))
        .route("/healthz", get(async || "here"))
        .with_state(http);
    let address = std::env::var_os("SANDBOX_ADDR").unwrap();
    let listener = TcpListener::bind(address.to_str().unwrap()).await.unwrap();
    axum::serve(listener, router).await.unwrap();
}
