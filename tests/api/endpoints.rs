//! Applications are told of every change, by real requests to real receivers, whatever those do with them.

use std::{
    net::SocketAddr,
    process::Output,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use uuid::Uuid;
use verigate::store::STATUS_CHANNEL;

use crate::{
    clients::{install_from_pypi, run},
    deliveries::Delivery,
    observe::insert_attempt,
    process::Process,
    program,
    support::{eventually, npm},
    world::{Gateway, World},
};

const NOW: i64 = 1_790_000_000;
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const NEW_SECRET: &str = "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=";
const OURS: (&str, &str) = ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8");

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Takes,
    Answers(u16),
    Hangs,
}

/// A delivery as it came.
#[derive(Clone, Debug)]
struct Told {
    headers: HeaderMap,
    body: String,
}

impl Told {
    fn message(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Somebody who listens, and keeps what comes.
struct Receiver {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Told>>>,
    manner: Arc<Mutex<Manner>>,
}

type Heard = (Arc<Mutex<Vec<Told>>>, Arc<Mutex<Manner>>);

impl Receiver {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, manner) = (Arc::default(), Arc::new(Mutex::new(manner)));
        let shared: Heard = (Arc::clone(&heard), Arc::clone(&manner));
        let router = Router::new().fallback(post(hear)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            heard,
            manner,
        }
    }

    fn is(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn heard(&self) -> Vec<Told> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for so many.
    async fn hears(&self, many: usize) -> Vec<Told> {
        eventually("the receiver is told", async || {
            Some(self.heard()).filter(|heard| heard.len() >= many)
        })
        .await
    }

    fn endpoint(&self, secrets: &[&str]) -> Value {
        json!({"url": format!("http://{}/hooks", self.address), "secrets": secrets})
    }
}

async fn hear(State((heard, manner)): State<Heard>, headers: HeaderMap, body: String) -> Response {
    heard.lock().unwrap().push(Told { headers, body });
    let manner = *manner.lock().unwrap();
    match manner {
        Manner::Takes => StatusCode::NO_CONTENT.into_response(),
        Manner::Answers(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Manner::Hangs => std::future::pending().await,
    }
}

/// A server that tells these endpoints, before a database and a sandbox of its own.
struct Scene {
    world: World,
    gateway: Gateway,
    /// `WEBHOOK_ENDPOINTS`.
    endpoints: String,
}

impl Scene {
    async fn with(endpoints: &Value, settings: &[(&str, &str)]) -> Self {
        let world = World::new().await;
        let endpoints = endpoints.to_string();
        let settings = [&[("WEBHOOK_ENDPOINTS", endpoints.as_str())], settings].concat();
        let gateway = Gateway::with(&world.db, &world.sandbox.base, &settings).await;
        Self {
            world,
            gateway,
            endpoints,
        }
    }

    async fn telling(receiver: &Receiver) -> Self {
        Self::with(&json!({"shop": receiver.endpoint(&[SECRET])}), &[OURS]).await
    }

    fn pool(&self) -> &PgPool {
        self.world.db.pool()
    }

    /// A person's session goes to and fro; gives how many messages there are about them.
    async fn changes(&self, person: &str, changes: i64) -> i64 {
        let attempt = insert_attempt(self.pool(), person).await.to_string();
        for n in 0..changes {
            let kind = if n % 2 == 0 {
                "processing"
            } else {
                "requires_input"
            };
            let session = format!("vs_{person}");
            let event = Delivery::new(&format!("evt_{person}_{n}"), kind, NOW + n, &session);
            self.gateway
                .verifier
                .hear(&event.of_attempt(&attempt).read())
                .await
                .unwrap();
        }
        sqlx::query_scalar("SELECT sequence FROM users WHERE external_id = $1")
            .bind(person)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Nothing waits any longer before it is tried again.
    async fn hurry(&self) {
        sqlx::query("UPDATE outbox_deliveries SET due_at = now() WHERE dead_at IS NULL")
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// How the first delivery failed, once it has.
    async fn failure(&self) -> (String, i32) {
        eventually("a delivery fails", async || {
            sqlx::query_as(
                "SELECT failure, tries FROM outbox_deliveries WHERE failure IS NOT NULL
                 ORDER BY endpoint, user_id, sequence",
            )
            .fetch_optional(self.pool())
            .await
            .unwrap()
        })
        .await
    }

    /// An operator has messages delivered once more.
    fn replay(&self, first: Uuid, last: Uuid) {
        let name = |id: Uuid| format!("msg_{}", id.simple());
        let words = ["replay", "--endpoint", "shop", &name(first), &name(last)];
        let done = self.messages(&words);
        assert!(done.status.success(), "{done:?}");
    }

    /// `verigate messages`, with the server's settings.
    fn messages(&self, words: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let settings = [
            ("DATABASE_URL", self.world.db.url()),
            ("WEBHOOK_ENDPOINTS", &self.endpoints),
            OURS,
        ];
        program::run(&[&["messages"], words].concat(), &settings, folder.path())
    }

    async fn waiting(&self) -> i64 {
        let waiting = "SELECT count(*) FROM outbox_deliveries WHERE dead_at IS NULL";
        sqlx::query_scalar(waiting)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    async fn all_taken(&self) {
        eventually("everything is taken", async || {
            (self.waiting().await == 0).then_some(())
        })
        .await;
    }
}

/// The numbers of the messages about somebody, as they came.
fn numbers(heard: &[Told], person: &str) -> Vec<i64> {
    let messages = heard.iter().map(Told::message);
    let of_person = messages.filter(|message| message["data"]["user"]["id"] == person);
    of_person
        .map(|message| message["sequence"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn an_endpoint_is_told_what_the_api_tells_and_signed_for_both_secrets() {
    let receiver = Receiver::start(Manner::Takes).await;
    let endpoints = json!({"shop": receiver.endpoint(&[NEW_SECRET, SECRET])});
    let scene = Scene::with(&endpoints, &[OURS, ("HAND_OFF", "on")]).await;
    let many = scene.changes("ada", 3).await;
    let heard = receiver.hears(usize::try_from(many).unwrap()).await;
    scene.all_taken().await;
    assert_eq!(numbers(&heard, "ada"), (1..=many).collect::<Vec<_>>());

    let told = &heard[0];
    let message = told.message();
    assert_eq!(told.headers["webhook-id"], message["id"].as_str().unwrap());
    assert_eq!(told.headers["content-type"], "application/json");
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(message["type"], "verification.processing");
    assert_eq!(message["data"]["verification"]["session_id"], "vs_ada");

    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = headers
        .map(|name| (name, told.headers[name].to_str().unwrap()))
        .into_iter()
        .collect();
    let kept = |body: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let delivery = json!({"body": body, "headers": headers}).to_string();
        std::fs::write(file.path(), delivery).unwrap();
        file
    };
    let (true_one, forged) = (kept(&told.body), kept(&told.body.replace("ada", "eve")));
    npm::install("clients").await;
    let python = install_from_pypi("webhooks.txt", ".venv-webhooks")
        .await
        .join("python");
    let stranger = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBvZiAzMiBieXRlcw==";
    for (secret, file, is_right) in [
        (SECRET, &true_one, true),
        (NEW_SECRET, &true_one, true),
        (stranger, &true_one, false),
        (SECRET, &forged, false),
    ] {
        let path = file.path().to_str().unwrap();
        let limit = Duration::from_mins(1);
        let node = run("node", &["verify.mjs", secret, path], limit).await;
        let python = run(&python, &["verify.py", secret, path], limit).await;
        for said in [node, python] {
            assert_eq!(said.status.success(), is_right, "{said:?}");
            let word = String::from_utf8_lossy(&said.stdout);
            assert_eq!(
                word.trim() == "verification.processing",
                is_right,
                "{said:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_endpoint_hears_only_what_it_asked_for() {
    let (all, some) = (
        Receiver::start(Manner::Takes).await,
        Receiver::start(Manner::Takes).await,
    );
    let mut endpoint = some.endpoint(&[SECRET]);
    endpoint["events"] = json!(["user.status_changed"]);
    let endpoints = json!({"all": all.endpoint(&[SECRET]), "some": endpoint});
    let scene = Scene::with(&endpoints, &[OURS]).await;
    let many = scene.changes("ada", 2).await;
    scene.all_taken().await;
    assert_eq!(all.heard().len(), usize::try_from(many).unwrap());
    let types: Vec<Value> = some
        .heard()
        .iter()
        .map(|told| told.message()["type"].clone())
        .collect();
    assert_eq!(types, ["user.status_changed"; 2]);
}

#[tokio::test]
async fn each_persons_messages_come_in_order_while_one_is_refused() {
    let receiver = Receiver::start(Manner::Answers(500)).await;
    let scene = Scene::telling(&receiver).await;
    let many = scene.changes("ada", 6).await;
    let others = scene.changes("bob", 6).await;
    assert_eq!(scene.failure().await.0, "answered_500");
    receiver.hears(2).await;
    let early = receiver.heard();
    assert!(
        numbers(&early, "ada").iter().all(|number| *number == 1),
        "the first holds up the rest"
    );
    assert!(numbers(&early, "bob").iter().all(|number| *number == 1));
    receiver.is(Manner::Takes);
    scene.hurry().await;
    scene.all_taken().await;
    for (person, many) in [("ada", many), ("bob", others)] {
        let mut came = numbers(&receiver.heard(), person);
        assert!(came.is_sorted(), "{came:?}");
        came.dedup();
        assert_eq!(came, (1..=many).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_up_or_is_not_there_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = json!({"shop": {"url": format!("http://{address}/"), "secrets": [SECRET]}});
    let scene = Scene::with(&endpoint, &[OURS]).await;
    scene.changes("ada", 1).await;
    drop(listener.accept().await.unwrap());
    assert_eq!(scene.failure().await.0, "broken_off");
    drop(listener);
    scene.hurry().await;
    eventually("it is not there", async || {
        (scene.failure().await.0 == "unreachable").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_storm_of_changes_is_no_reason_to_measure_what_waits_more_often() {
    let receiver = Receiver::start(Manner::Takes).await;
    let scene = Scene::telling(&receiver).await;
    let began = Instant::now();
    for _ in 0..300 {
        sqlx::query("SELECT pg_notify($1, '*')")
            .bind(STATUS_CHANNEL)
            .execute(scene.pool())
            .await
            .unwrap();
    }
    // The worker has heard all of them once it has delivered what is told after them.
    scene.changes("ada", 1).await;
    scene.all_taken().await;
    // Every look counts what was given up. Postgres tells of it a moment later.
    let looks = "SELECT idx_scan FROM pg_stat_user_indexes \
        WHERE indexrelname = 'outbox_deliveries_dead_idx' AND idx_scan > 0";
    let looks: i64 = eventually("it is measured", async || {
        let looks = sqlx::query_scalar(looks).fetch_optional(scene.pool());
        looks.await.unwrap()
    })
    .await;
    let most = began.elapsed().as_secs() + 3;
    assert!(
        looks.unsigned_abs() <= most,
        "{looks} looks, {most} at most"
    );
}

#[tokio::test]
async fn a_message_that_is_given_up_stays_and_lets_the_next_one_by() {
    let receiver = Receiver::start(Manner::Answers(410)).await;
    let scene = Scene::telling(&receiver).await;
    let many = scene.changes("ada", 2).await;
    scene.all_taken().await;
    let dead =
        "SELECT message_id FROM outbox_deliveries WHERE dead_at IS NOT NULL ORDER BY sequence";
    let dead: Vec<Uuid> = sqlx::query_scalar(dead)
        .fetch_all(scene.pool())
        .await
        .unwrap();
    assert_eq!(dead.len(), usize::try_from(many).unwrap(), "410 is final");
    assert_eq!(
        numbers(&receiver.heard(), "ada"),
        (1..=many).collect::<Vec<_>>()
    );

    receiver.is(Manner::Takes);
    scene.replay(dead[1], dead[2]);
    scene.all_taken().await;
    let came = numbers(&receiver.heard(), "ada");
    assert_eq!(came[came.len() - 2..], [2, 3]);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox_deliveries")
        .fetch_one(scene.pool())
        .await
        .unwrap();
    assert_eq!(left, many - 2, "the others are still known as given up");
}

#[tokio::test]
async fn a_delivery_whose_worker_was_killed_is_taken_over_at_once() {
    let world = World::new().await;
    let receiver = Receiver::start(Manner::Hangs).await;
    let endpoints = json!({"shop": receiver.endpoint(&[SECRET])}).to_string();
    let settings = [("WEBHOOK_ENDPOINTS", endpoints.as_str()), OURS];
    let first = Process::start_with(&world, &settings).await;
    let attempt = insert_attempt(world.db.pool(), "ada").await.to_string();
    let event = Delivery::new("evt_1", "verified", NOW, "vs_1").of_attempt(&attempt);
    let heard = first
        .deliver(&serde_json::from_slice(&event.body()).unwrap())
        .await;
    assert_eq!(heard, Some(reqwest::StatusCode::OK));
    receiver.hears(1).await;
    first.kill().await;
    receiver.is(Manner::Takes);
    let claim = "SELECT extract(epoch FROM claimed_until)::float8 FROM outbox_deliveries WHERE claimed_by IS NOT NULL";
    let until: f64 = sqlx::query_scalar(claim)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    let _second = Process::start_with(&world, &settings).await;
    let heard = receiver.hears(3).await;
    let is_held: bool = sqlx::query_scalar("SELECT extract(epoch FROM now())::float8 < $1")
        .bind(until)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert!(is_held, "nobody waited for the claim to run out");
    assert_eq!(numbers(&heard, "ada"), [1, 1, 2]);
    assert_eq!(heard[0].body, heard[1].body, "the same message once more");
}

#[tokio::test]
async fn a_range_is_replayed_as_far_as_the_endpoint_wants_to_hear_of_it() {
    let receiver = Receiver::start(Manner::Takes).await;
    let mut shop = receiver.endpoint(&[SECRET]);
    shop["events"] = json!(["user.status_changed"]);
    let scene = Scene::with(&json!({"shop": shop}), &[OURS]).await;
    // More than one statement takes.
    for n in 0..3 {
        scene.changes(&format!("p{n}"), 2).await;
    }
    let many = "INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
        SELECT gen_random_uuid(), u.id, u.sequence + n, false,
               CASE n % 2 WHEN 0 THEN 'verification.canceled' ELSE 'user.status_changed' END, o.data
        FROM users u JOIN outbox o ON o.user_id = u.id AND o.sequence = 1, generate_series(1, 1000) n";
    sqlx::query(many).execute(scene.pool()).await.unwrap();
    scene.all_taken().await;
    let before = receiver.heard().len();
    let ends: (Uuid, Uuid) = sqlx::query_as(
        "SELECT (array_agg(id ORDER BY transaction, id))[1],
                (array_agg(id ORDER BY transaction DESC, id DESC))[1] FROM outbox",
    )
    .fetch_one(scene.pool())
    .await
    .unwrap();
    scene.replay(ends.0, ends.1);
    scene.all_taken().await;
    let wanted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE type = 'user.status_changed'")
            .fetch_one(scene.pool())
            .await
            .unwrap();
    let heard = receiver.heard();
    let since = &heard[before..];
    assert_eq!(i64::try_from(since.len()).unwrap(), wanted);
    assert!(
        since
            .iter()
            .all(|told| told.message()["type"] == "user.status_changed")
    );
}

#[tokio::test]
async fn messages_are_replayed_to_nobody_who_is_no_endpoint_and_dropped_for_one_that_is_no_more() {
    let receiver = Receiver::start(Manner::Answers(500)).await;
    let scene = Scene::telling(&receiver).await;
    let many = scene.changes("ada", 1).await;
    let first: Uuid = sqlx::query_scalar("SELECT id FROM outbox WHERE sequence = 1")
        .fetch_one(scene.pool())
        .await
        .unwrap();
    let name = format!("msg_{}", first.simple());
    let done = scene.messages(&["replay", "--endpoint", "shpo", &name]);
    assert!(!done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(
        said.contains("shpo") && said.contains("it names: shop"),
        "{said}"
    );
    assert_eq!(scene.waiting().await, many);
    sqlx::query("UPDATE outbox_deliveries SET endpoint = 'gone'")
        .execute(scene.pool())
        .await
        .unwrap();
    let done = scene.messages(&["drop", "--endpoint", "gone"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(scene.waiting().await, 0);
}
