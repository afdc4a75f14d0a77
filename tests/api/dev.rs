//! `verigate dev` and `verigate serve` as processes: how they start, what they refuse, and how they end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use verigate::{clock::Clock, stripe::signature};

use crate::{
    deliveries::Delivery,
    program::{Program, RawAnswer, read_answer, request, run, send, working_folder},
    support::{database::TestDb, eventually},
};

const FREE_PORTS: [(&str, &str); 2] = [
    ("BIND_ADDR", "127.0.0.1:0"),
    ("SANDBOX_ADDR", "127.0.0.1:0"),
];

/// A running `verigate dev` with a private cluster of its own.
struct Dev {
    program: Program,
    server: SocketAddr,
    sandbox: SocketAddr,
}

impl Dev {
    async fn start(folder: &Path, more: &[(&str, &str)]) -> Self {
        let variables: Vec<_> = FREE_PORTS.iter().chain(more).copied().collect();
        let mut program = Program::start(&["dev"], &variables, folder);
        let server = program.greeted().await;
        let sandbox = program.word_after("Sandbox    http://").await;
        Self {
            program,
            server,
            sandbox: sandbox.parse().unwrap(),
        }
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.server.port())
    }

    /// As `curl -X POST -d ""` sends it.
    async fn create(&self, accept: &str) -> RawAnswer {
        let headers = [
            ("Host", &*self.host()),
            ("User-Agent", "curl/8.14.1"),
            ("Accept", accept),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let request = request("POST /create-verification-session", &headers, "");
        send(self.server, &request).await
    }

    async fn status(&self) -> Value {
        let request = request("GET /status", &[("Host", &self.host())], "");
        send(self.server, &request).await.json()
    }

    /// A tester's wish to the sandbox.
    async fn wish(&self, path: &str, wish: &Value) {
        let headers = [
            ("Host", &*self.sandbox.to_string()),
            ("Content-Type", "application/json"),
        ];
        let wish = request(&format!("POST {path}"), &headers, &wish.to_string());
        let answer = send(self.sandbox, &wish).await;
        assert_eq!(answer.status(), 200, "{}", answer.0);
    }
}

/// Where the private cluster of a folder keeps the number of its first process.
fn postmaster_file(dev: &Dev, folder: &Path) -> PathBuf {
    let beside = folder.join(".verigate/data/postmaster.pid");
    assert!(beside.exists(), "{}", dev.program.logged());
    beside
}

/// One that has ended but was not yet waited for has no command line any more.
fn is_running(process: &str) -> bool {
    let file = Path::new("/proc").join(process).join("cmdline");
    std::fs::read(file).is_ok_and(|line| !line.is_empty())
}

/// A page of a stranger whose name was pointed at this machine reaches neither.
async fn refuses_foreign_names(dev: &Dev) {
    for (address, path) in [(dev.server, "/verify"), (dev.sandbox, "/_ledger")] {
        let foreign = request(
            &format!("GET {path}"),
            &[("Host", "rebound.example:4242")],
            "",
        );
        assert_eq!(send(address, &foreign).await.status(), 421, "{path}");
    }
}

fn assert_strings(answer: &Value, names: &[&str]) {
    for name in names {
        let value = answer[name].as_str();
        assert!(value.is_some_and(|it| !it.is_empty()), "{name}: {answer}");
    }
}

#[tokio::test]
async fn dev_needs_nothing_answers_curl_keeps_its_secrets_and_leaves_nothing_running() {
    let folder = working_folder();
    let mut dev = Dev::start(folder.path(), &[("RUST_LOG", "trace")]).await;
    let greeting = dev.program.printed();
    let curl = format!(
        "curl -X POST -is http://{}/create-verification-session -d \"\"",
        dev.host()
    );
    assert!(greeting.contains(&curl), "{greeting}");

    let first = dev.create("*/*").await;
    assert_eq!(first.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(first.header("content-type"), Some("application/json"));
    let first = first.json();
    assert_strings(&first, &["id", "client_secret", "url"]);
    let second = dev.create("*/*").await;
    assert_eq!(second.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(second.json()["id"], first["id"]);

    let redirect = dev.create("text/html").await;
    assert_eq!(redirect.status(), 303, "{}", redirect.0);
    let hosted = redirect.header("location").unwrap();
    let start = format!("http://{}/start/", dev.sandbox);
    let token = hosted.strip_prefix(&start).unwrap();
    let host = dev.sandbox.to_string();
    let opened = request(&format!("GET /start/{token}"), &[("Host", &host)], "");
    let opened = send(dev.sandbox, &opened).await;
    assert_eq!(opened.status(), 200);
    assert!(opened.body().contains("Verification success"));

    refuses_foreign_names(&dev).await;

    let explained = run(&["explain", "demo"], &[], folder.path());
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        explained.contains(first["id"].as_str().unwrap()),
        "{explained}"
    );

    let again = run(&["dev"], &FREE_PORTS, folder.path());
    assert_eq!(again.status.code(), Some(0));
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    let there = format!("already running at http://{}", dev.host());
    assert!(said.contains(&there), "{said}");

    let file = postmaster_file(&dev, folder.path());
    let postgres = std::fs::read_to_string(&file).unwrap();
    let postgres = postgres.lines().next().unwrap();
    dev.program.signal("-TERM");
    assert_eq!(dev.program.ended().await.code(), Some(0));
    assert!(!file.exists(), "Postgres did not go in order");
    assert!(!is_running(postgres), "Postgres is left");

    let logged = dev.program.logged();
    assert!(logged.contains("sqlx"), "the libraries are heard, too");
    let secret = |answer: &Value, name: &str| answer[name].as_str().unwrap_or("-").to_owned();
    let first_token = secret(&first, "url").rsplit('/').next().unwrap().to_owned();
    for secret in [
        &secret(&first, "client_secret"),
        &secret(&first, "ephemeral_key_secret"),
        &first_token,
        token,
    ] {
        assert!(secret.len() > 10, "{secret}");
        assert!(!logged.contains(secret), "a secret is logged");
        assert!(!explained.contains(secret), "a secret is explained");
    }
}

#[tokio::test]
async fn after_a_kill_the_next_dev_offers_a_new_start_to_whom_the_sandbox_forgot() {
    let folder = working_folder();
    let mut dev = Dev::start(folder.path(), &[]).await;
    let old = dev.create("*/*").await.json();
    let never = json!({ "async_delay_ms": 3_600_000 });
    dev.wish("/_settings", &never).await;
    let outcome = format!("/_sessions/{}/outcome", old["id"].as_str().unwrap());
    dev.wish(&outcome, &json!({ "case": "success_async" }))
        .await;
    eventually("it is processing", async || {
        (dev.status().await["status"] == "processing").then_some(())
    })
    .await;
    dev.program.signal("-KILL");
    dev.program.ended().await;

    let dev = Dev::start(folder.path(), &[]).await;
    eventually("the page offers a new start", async || {
        let headers = [("Host", &*dev.host()), ("Accept", "text/html")];
        let page = send(dev.server, &request("GET /submitted", &headers, "")).await;
        assert_eq!(page.status(), 200, "{}", page.0);
        let page = send(dev.server, &request("GET /verify", &headers, "")).await;
        page.body().contains("verify-button").then_some(())
    })
    .await;
    assert_ne!(dev.status().await["status"], "processing");
    let new = dev.create("*/*").await.json();
    assert_strings(&new, &["id", "client_secret", "url"]);
    assert_ne!(new["id"], old["id"]);
    let mut program = dev.program;
    program.signal("-INT");
    assert_eq!(program.ended().await.code(), Some(0));
}

#[test]
fn dev_stays_on_this_machine() {
    let folder = working_folder();
    for name in ["BIND_ADDR", "SANDBOX_ADDR", "METRICS_ADDR"] {
        for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
            let output = run(&["dev"], &[(name, address)], folder.path());
            assert_eq!(output.status.code(), Some(1), "{name} {address}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.contains(name) && said.contains("this machine only"),
                "{said}"
            );
        }
    }
    let left = folder.path().read_dir().unwrap().count();
    assert_eq!(left, 0, "nothing was started");
}

#[tokio::test]
async fn dev_leaves_the_database_of_another_project_alone() {
    let db = TestDb::new().await;
    for statement in [
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "CREATE TABLE orders (id int)",
    ] {
        db.pool().execute(statement).await.unwrap();
    }
    let folder = working_folder();
    let [bind, sandbox] = FREE_PORTS;
    let variables = [bind, sandbox, ("DATABASE_URL", db.url())];
    let output = run(&["dev"], &variables, folder.path());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("tables of something else"), "{said}");
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(tables, ["orders"]);
}

const SECRET: &str = "whsec_test_shutdown";

pub(crate) fn production<'a>(
    database: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("DATABASE_URL", database),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("PUBLIC_URL", "https://verify.example"),
        ("STRIPE_SECRET_KEY", "sk_test_1234567890"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_1234567890"),
        ("STRIPE_WEBHOOK_SECRET", SECRET),
        ("APP_NAME", "Acme"),
        ("SUPPORT_URL", "https://acme.example/help"),
        ("PRIVACY_URL", "https://acme.example/privacy"),
        ("HAND_OFF", "on"),
    ];
    usual.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn serve_turns_unready_finishes_what_is_in_flight_and_ends_well() {
    let db = TestDb::new().await;
    let folder = working_folder();
    // Long enough to be seen, and short beside the ten seconds a body may take.
    let variables = production(db.url(), &[("SHUTDOWN_DELAY", "2")]);
    let mut program = Program::start(&["serve"], &variables, folder.path());
    let address: SocketAddr = program.word_after("address=").await.parse().unwrap();
    let probe = request("GET /readyz", &[("Host", "verify.example")], "");
    assert_eq!(send(address, &probe).await.status(), 200);

    let now = Clock::system().unix();
    let body = Delivery::new("evt_in_flight", "processing", now, "vs_1").body();
    let signature = signature::sign(&body, &SecretString::from(SECRET), now);
    let headers = [
        ("Host", "verify.example"),
        ("Stripe-Signature", &*signature),
    ];
    let delivery = request(
        "POST /webhook",
        &headers,
        std::str::from_utf8(&body).unwrap(),
    );
    let (begun, rest) = delivery.split_at(delivery.len() - 20);
    let mut in_flight = TcpStream::connect(address).await.unwrap();
    in_flight.write_all(begun).await.unwrap();

    program.signal("-TERM");
    eventually("readiness is withdrawn", async || {
        (send(address, &probe).await.status() == 503).then_some(())
    })
    .await;
    eventually("the door is closed", async || {
        TcpStream::connect(address).await.err()
    })
    .await;
    in_flight.write_all(rest).await.unwrap();
    let answer = read_answer(in_flight).await;
    assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(program.ended().await.code(), Some(0));
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM stripe_events WHERE id = 'evt_in_flight'")
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(kept, 1);
}
