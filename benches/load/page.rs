//! What the verify page costs beyond its one query and its bytes: the same two served by a handler that does nothing
//! else.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::header, routing::get};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use sqlx::{PgPool, postgres::PgPoolOptions, query};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use verigate::{clock::Clock, postgres::Durability};

use crate::{
    machine::{Machine, Server, free_address},
    plan::Plan,
    sender::Line,
    speed::{Speed, show},
};

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
const KEY: &str = "a secret that is shared with nobody at all";
const SETTINGS: [(&str, &str); 4] = [
    ("REALM", "load"),
    ("JWT_SECRET", KEY),
    ("JWT_ISSUER", "https://load.test/"),
    ("JWT_AUDIENCE", "verigate"),
];
/// The columns that the page is made of.
const QUERY: &str = "SELECT u.id, u.updated_at, v.id, v.status, v.verdict_second, v.gone_at IS NOT NULL, v.created_at,
        v.policy, v.policies_asked, v.error_code
 FROM users u
 LEFT JOIN verifications v ON v.user_id = u.id AND v.livemode = $3 AND v.session_id IS NOT NULL
 WHERE u.realm = $1 AND u.external_id = $2";

/// In turns, for somebody who is verified, and for somebody who has not begun.
pub(crate) async fn page() {
    let machine = Machine::start(Durability::Durable);
    let database = machine.database("page").await;
    let mut db = machine.connect("page").await;
    Plan::of_events(100_000).seed(&mut db).await;
    for (external_id, what) in [("person 3", "verified"), ("somebody new", "not begun")] {
        query("UPDATE verifications SET status = 'verified', verdict_second = 1790000000 WHERE user_id = (
                   SELECT id FROM users WHERE external_id = $1)")
            .bind(external_id)
            .execute(&mut db)
            .await
            .unwrap();
        let ours = Server::start(&database, &SETTINGS).await;
        let asked = request(ours.address(), &token(external_id));
        let bytes = bytes(ours.address(), &asked).await;
        let bare = Bare::start(&database, external_id, bytes).await;
        let (mut best, mut best_bare) = (0.0, 0.0);
        println!("\n{what}: {bytes} bytes over {CONNECTIONS} connections");
        for _ in 0..ROUNDS {
            let speed = measure(ours.address(), &asked).await;
            println!("Verigate                 {}", show(&speed));
            best = f64::max(best, speed.rate);
            let speed = measure(bare.address, &asked).await;
            println!("bare handler             {}", show(&speed));
            best_bare = f64::max(best_bare, speed.rate);
        }
        println!(
            "of the bare handler's rate: {:.0} %",
            100.0 * best / best_bare
        );
    }
}

fn token(external_id: &str) -> String {
    let claims = json!({
        "iss": "https://load.test/",
        "aud": "verigate",
        "sub": external_id,
        "exp": Clock::system().unix() + 3600,
    });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(KEY.as_bytes()),
    )
    .unwrap()
}

fn request(address: SocketAddr, token: &str) -> Vec<u8> {
    format!(
        "GET /verify HTTP/1.1\r\nHost: {address}\r\nAccept: text/html\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

/// How long the whole answer is; the bare one sends as much.
async fn bytes(address: SocketAddr, request: &[u8]) -> usize {
    let servers = [address];
    let mut line = Line::new(&servers, 0);
    assert_eq!(line.ask(request).await.unwrap(), 200);
    line.answered()
}

async fn measure(address: SocketAddr, request: &[u8]) -> Speed {
    let began = Instant::now();
    let mut askers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let request = request.to_owned();
        askers.spawn(async move {
            let servers = [address];
            let (mut line, mut waits) = (Line::new(&servers, 0), Vec::new());
            while began.elapsed() < ROUND {
                let asked = Instant::now();
                assert_eq!(line.ask(&request).await.unwrap(), 200);
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let mut waits = askers.join_all().await.concat();
    let took = began.elapsed();
    waits.sort_unstable();
    Speed::of(&waits, took)
}

/// The bare handler, a process of its own as the server is.
struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    async fn start(database: &str, external_id: &str, bytes: usize) -> Self {
        let address = free_address();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--bench", "bare-page", database, external_id])
            .args([address.to_string(), bytes.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let servers = [address];
        let mut line = Line::new(&servers, 0);
        while line
            .ask(b"GET /verify HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .is_err()
        {
            sleep(Duration::from_millis(20)).await;
        }
        Self { child, address }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `bare-page`: what that process does.
pub(crate) async fn serve_bare_page(database: &str, external_id: &str, address: &str, bytes: &str) {
    // As many connections as the server has for people.
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .connect(database)
        .await
        .unwrap();
    // The head of this answer is shorter than that of the page.
    let page: &'static str = "x".repeat(bytes.parse().unwrap()).leak();
    let external_id: &'static str = external_id.to_owned().leak();
    let show = async move |State(pool): State<PgPool>| {
        let rows = query(QUERY)
            .bind("load")
            .bind(external_id)
            .bind(false)
            .fetch_all(&pool)
            .await;
        assert!(rows.is_ok());
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page)
    };
    let router = Router::new().route("/verify", get(show)).with_state(pool);
    let listener = TcpListener::bind(address).await.unwrap();
    axum::serve(listener, router).await.unwrap();
}
