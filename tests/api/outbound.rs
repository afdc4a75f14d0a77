//! Whatever an endpoint does with a message, and wherever it claims to be: with real sockets, and a canary on this machine
//! that nobody may reach.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;
use verigate::{
    clock::Clock,
    config::{Config, Mode},
    jobs::{NameServer, Outbox, run_outbox},
    store::{self, Db, Replay, STATUS_CHANNEL},
};

use crate::{
    deliveries::Delivery,
    observe::insert_attempt,
    support::eventually,
    world::{Gateway, World},
};

const NOW: i64 = 1_790_000_000;
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const FLOOD: usize = 100 * 1024 * 1024;
/// What the buffers of two sockets may hold, generously, besides what is read.
const BUFFERED: usize = 16 * 1024 * 1024;

/// What a receiver does once it has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Takes,
    Answers(u16),
    /// To the canary.
    Redirects(u16),
    Hangs,
    DripsHeaders,
    DripsBody,
    DripsContinue,
    FloodsHeaders,
    Floods(u16),
    FloodsInChunks,
    Switches,
    Closes,
    ClosesInHeaders,
    ClosesInBody,
    TalksNonsense,
}

/// Each with how a delivery fails, if it does.
const MANNERS: [(Manner, Option<&str>); 24] = [
    (Manner::Takes, None),
    (Manner::Answers(204), None),
    (Manner::Answers(400), Some("answered_400")),
    (Manner::Answers(404), Some("answered_404")),
    (Manner::Answers(410), Some("answered_410")),
    (Manner::Answers(429), Some("answered_429")),
    (Manner::Answers(500), Some("answered_500")),
    (Manner::Answers(503), Some("answered_503")),
    (Manner::Redirects(301), Some("answered_301")),
    (Manner::Redirects(302), Some("answered_302")),
    (Manner::Redirects(303), Some("answered_303")),
    (Manner::Redirects(307), Some("answered_307")),
    (Manner::Redirects(308), Some("answered_308")),
    (Manner::Hangs, Some("timed_out")),
    (Manner::DripsHeaders, Some("timed_out")),
    (Manner::DripsBody, None),
    (Manner::DripsContinue, Some("timed_out")),
    (Manner::FloodsHeaders, Some("broken_off")),
    (Manner::Floods(200), None),
    (Manner::Floods(500), Some("answered_500")),
    (Manner::FloodsInChunks, None),
    (Manner::Closes, Some("broken_off")),
    (Manner::ClosesInHeaders, Some("broken_off")),
    (Manner::TalksNonsense, Some("broken_off")),
];
/// The status was there before the connection went.
const LATE: [(Manner, Option<&str>); 2] = [
    (Manner::ClosesInBody, None),
    (Manner::Switches, Some("answered_101")),
];

/// Somebody who listens with a manner of their own.
struct Receiver {
    address: SocketAddr,
    /// The bytes of each answer that could be sent, once it ended.
    sent: Arc<Mutex<Vec<usize>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(manner: Manner, canary: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            sent: Arc::default(),
            heard: Arc::default(),
        };
        let (sent, heard) = (Arc::clone(&receiver.sent), Arc::clone(&receiver.heard));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (sent, heard) = (Arc::clone(&sent), Arc::clone(&heard));
                tokio::spawn(async move {
                    let request = hear(&mut stream).await;
                    heard.lock().unwrap().push(request);
                    let mut bytes = 0;
                    let _ = answer(&mut stream, manner, canary, &mut bytes).await;
                    sent.lock().unwrap().push(bytes);
                });
            }
        });
        receiver
    }
}

/// A whole request, as far as these are ever sent.
async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 8192];
    while !heard.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(many) => heard.extend_from_slice(&buffer[..many]),
        }
    }
    String::from_utf8(heard).unwrap()
}

async fn say(stream: &mut TcpStream, text: &[u8], sent: &mut usize) -> io::Result<()> {
    stream.write_all(text).await?;
    *sent += text.len();
    Ok(())
}

async fn repeat(
    stream: &mut TcpStream,
    text: &[u8],
    pause: Duration,
    sent: &mut usize,
) -> io::Result<()> {
    while *sent < FLOOD {
        say(stream, text, sent).await?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}

async fn answer(
    stream: &mut TcpStream,
    manner: Manner,
    canary: SocketAddr,
    sent: &mut usize,
) -> io::Result<()> {
    let drip = Duration::from_millis(50);
    let whole = |status: u16, headers: &str| {
        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    match manner {
        Manner::Takes => say(stream, whole(200, "").as_bytes(), sent).await,
        Manner::Answers(204) => {
            say(stream, b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n", sent).await
        }
        Manner::Answers(status) => say(stream, whole(status, "").as_bytes(), sent).await,
        Manner::Redirects(status) => {
            let to = format!("Location: http://{canary}/\r\n");
            say(stream, whole(status, &to).as_bytes(), sent).await
        }
        Manner::Hangs => std::future::pending().await,
        Manner::DripsHeaders => {
            say(stream, b"HTTP/1.1 200 OK\r\nX: ", sent).await?;
            repeat(stream, b"x", drip, sent).await
        }
        Manner::DripsBody => {
            say(
                stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n",
                sent,
            )
            .await?;
            repeat(stream, b"x", drip, sent).await
        }
        Manner::DripsContinue => repeat(stream, b"HTTP/1.1 100 Continue\r\n\r\n", drip, sent).await,
        Manner::FloodsHeaders | Manner::Floods(_) | Manner::FloodsInChunks => {
            flood(stream, manner, sent).await
        }
        Manner::Switches => {
            let head = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
            say(stream, head, sent).await
        }
        Manner::Closes => Ok(()),
        Manner::ClosesInHeaders => say(stream, b"HTTP/1.1 200 OK\r\nContent-Le", sent).await,
        Manner::ClosesInBody => {
            say(
                stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx",
                sent,
            )
            .await
        }
        Manner::TalksNonsense => say(stream, b"SSH-2.0-OpenSSH_9.9\r\n", sent).await,
    }
}

async fn flood(stream: &mut TcpStream, manner: Manner, sent: &mut usize) -> io::Result<()> {
    let block = vec![b'x'; 64 * 1024];
    match manner {
        Manner::Floods(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {FLOOD}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            repeat(stream, &block, Duration::ZERO, sent).await
        }
        Manner::FloodsInChunks => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await?;
            let chunk = [b"10000\r\n", &block[..], b"\r\n"].concat();
            repeat(stream, &chunk, Duration::ZERO, sent).await
        }
        _ => {
            say(stream, b"HTTP/1.1 200 OK\r\nX: ", sent).await?;
            repeat(stream, &block, Duration::ZERO, sent).await
        }
    }
}

/// Somebody who counts who comes.
struct Canary {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Canary {
    /// On every address of this machine.
    async fn everywhere() -> Self {
        match TcpListener::bind("[::]:0").await {
            Ok(listener) => Self::on(listener),
            Err(_) => Self::on(TcpListener::bind("0.0.0.0:0").await.unwrap()),
        }
    }

    fn on(listener: TcpListener) -> Self {
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A server that tells these endpoints.
struct Scene {
    world: World,
    gateway: Gateway,
}

impl Scene {
    async fn telling(endpoints: &Value, allowed: &str) -> Self {
        let world = World::new().await;
        let endpoints = endpoints.to_string();
        let settings = [
            ("WEBHOOK_ENDPOINTS", endpoints.as_str()),
            ("WEBHOOK_ALLOWED_NETWORKS", allowed),
        ];
        let gateway = Gateway::with(&world.db, &world.sandbox.base, &settings).await;
        Self { world, gateway }
    }

    fn pool(&self) -> &PgPool {
        self.world.db.pool()
    }

    /// Something happens to a person: two messages.
    async fn change(&self, person: &str) {
        let attempt = insert_attempt(self.pool(), person).await.to_string();
        let session = format!("vs_{person}");
        let event = Delivery::new(&format!("evt_{person}"), "processing", NOW, &session);
        let event = event.of_attempt(&attempt).read();
        self.gateway.verifier.hear(&event).await.unwrap();
    }

    /// How each endpoint's first message fared: how it failed, or nothing yet; left out once it is taken.
    async fn fates(&self) -> BTreeMap<String, Option<String>> {
        let fates = "SELECT DISTINCT ON (endpoint) endpoint, failure FROM outbox_deliveries \
            ORDER BY endpoint, user_id, sequence";
        let fates: Vec<(String, Option<String>)> =
            sqlx::query_as(fates).fetch_all(self.pool()).await.unwrap();
        fates.into_iter().collect()
    }
}

fn endpoint(url: &str) -> Value {
    json!({"url": url, "secrets": [SECRET]})
}

#[tokio::test]
async fn whatever_a_receiver_does_a_message_is_taken_or_fails_and_little_is_read() {
    let canary = Canary::everywhere().await;
    let target = ([127, 0, 0, 1], canary.address.port()).into();
    let mut receivers = Vec::new();
    let mut endpoints = serde_json::Map::new();
    for (n, (manner, fate)) in MANNERS.into_iter().chain(LATE).enumerate() {
        let receiver = Receiver::start(manner, target).await;
        let name = format!("e{n:02}");
        let url = format!("http://{}/hooks", receiver.address);
        endpoints.insert(name.clone(), endpoint(&url));
        receivers.push((name, manner, fate, receiver));
    }
    let scene = Scene::telling(&endpoints.into(), "127.0.0.0/8").await;
    scene.change("ada").await;
    let fates = eventually("every endpoint was told, or not", async || {
        let fates = scene.fates().await;
        fates.values().all(Option::is_some).then_some(fates)
    })
    .await;
    for (name, manner, fate, receiver) in &receivers {
        let came = fates.get(name).cloned().flatten();
        assert_eq!(came.as_deref(), *fate, "{manner:?}");
        let heard = receiver.heard.lock().unwrap().clone();
        assert!(!heard.is_empty(), "{manner:?}");
        for request in heard {
            assert!(
                request.starts_with("POST /hooks HTTP/1.1\r\n"),
                "{manner:?}: {request}"
            );
        }
        let floods = matches!(
            manner,
            Manner::Floods(_) | Manner::FloodsInChunks | Manner::FloodsHeaders
        );
        if floods {
            let sent = eventually("it cannot send any more", async || {
                Some(receiver.sent.lock().unwrap().clone()).filter(|sent| !sent.is_empty())
            })
            .await;
            for bytes in sent {
                assert!(
                    (1024..BUFFERED).contains(&bytes),
                    "{manner:?}: {bytes} bytes"
                );
            }
        }
    }
    assert_eq!(canary.calls(), 0, "nothing was followed");
    let dead = "SELECT DISTINCT endpoint FROM outbox_deliveries WHERE dead_at IS NOT NULL";
    let dead: Vec<String> = sqlx::query_scalar(dead)
        .fetch_all(scene.pool())
        .await
        .unwrap();
    assert_eq!(dead, ["e04"], "only 410 is final");
    TcpStream::connect(target).await.unwrap();
    eventually("the canary counts", async || {
        (canary.calls() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_keeps_everybody_waiting_keeps_nobody_waiting_at_another() {
    let canary = Canary::everywhere().await;
    let slow = Receiver::start(Manner::Hangs, canary.address).await;
    let quick = Receiver::start(Manner::Takes, canary.address).await;
    let url = |receiver: &Receiver| format!("http://{}/hooks", receiver.address);
    let endpoints = json!({"a-slow": endpoint(&url(&slow)), "quick": endpoint(&url(&quick))});
    let scene = Scene::telling(&endpoints, "127.0.0.0/8").await;
    // Many more than may wait at once; one after the other they would wait for far longer than this test does.
    for n in 0..200 {
        scene.change(&format!("p{n}")).await;
    }
    eventually("the quick one has heard everything", async || {
        let left = "SELECT count(*) FROM outbox_deliveries WHERE endpoint = 'quick'";
        let left: i64 = sqlx::query_scalar(left)
            .fetch_one(scene.pool())
            .await
            .unwrap();
        (left == 0).then_some(())
    })
    .await;
    assert!(!slow.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_crowd_behind_one_that_waits_keeps_nobody_waiting_and_comes_in_order_at_last() {
    let canary = Canary::everywhere().await;
    let shop = Receiver::start(Manner::Takes, canary.address).await;
    let url = format!("http://{}/hooks", shop.address);
    let endpoints = json!({"shop": endpoint(&url)});
    // Nobody takes them before they are all there.
    let scene = Scene::telling(&json!({}), "").await;
    scene.change("ada").await;
    scene.change("eve").await;
    // Ada's first one was put off, as after a failure. A thousand more came since, and then eve's.
    let crowd = "
        INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
        SELECT gen_random_uuid(), user_id, 2 + n, livemode, type, data
        FROM outbox, generate_series(1, 1000) n
        WHERE sequence = 2 AND user_id = (SELECT id FROM users WHERE external_id = 'ada');
        INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id, due_at, tries)
        SELECT 'shop', m.user_id, m.sequence, m.id,
               CASE WHEN u.external_id = 'eve' THEN now()
                    WHEN m.sequence = 1 THEN now() + interval '1 hour'
                    ELSE now() - interval '1 hour' END,
               CASE WHEN u.external_id = 'ada' AND m.sequence = 1 THEN 1 ELSE 0 END
        FROM outbox m JOIN users u ON u.id = m.user_id";
    sqlx::raw_sql(crowd).execute(scene.pool()).await.unwrap();
    let settings = [
        ("WEBHOOK_ENDPOINTS", &*endpoints.to_string()),
        ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
    ];
    let _teller = Gateway::with(&scene.world.db, &scene.world.sandbox.base, &settings).await;
    let left = async |name: &str| {
        let left = "SELECT count(*) FROM outbox_deliveries d JOIN users u ON u.id = d.user_id \
            WHERE external_id = $1";
        let left: i64 = sqlx::query_scalar(left)
            .bind(name)
            .fetch_one(scene.pool())
            .await
            .unwrap();
        left
    };
    eventually("eve's are taken", async || {
        (left("eve").await == 0).then_some(())
    })
    .await;
    assert_eq!(left("ada").await, 1002);
    let hurry = "UPDATE outbox_deliveries SET due_at = now() WHERE tries = 1";
    sqlx::query(hurry).execute(scene.pool()).await.unwrap();
    eventually("ada's are taken", async || {
        (left("ada").await == 0).then_some(())
    })
    .await;
    let heard = shop.heard.lock().unwrap();
    let bodies = heard.iter().map(|request| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()
    });
    let of_ada = bodies.filter(|body| body["data"]["user"]["id"] == "ada");
    let numbers: Vec<i64> = of_ada
        .map(|body| body["sequence"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=1002).collect::<Vec<_>>());
}

/// Every way to write this machine's own address, with its port in place of `PORT`.
const HERE: [&str; 34] = [
    "https://127.0.0.1:PORT/",
    "https://127.1:PORT/",
    "https://127.0.1:PORT/",
    "https://127.127.127.127:PORT/",
    "https://127.255.255.254:PORT/",
    "https://2130706433:PORT/",
    "https://0x7f000001:PORT/",
    "https://0X7F000001:PORT/",
    "https://0x7f.1:PORT/",
    "https://0x7f.0x0.0x0.0x1:PORT/",
    "https://017700000001:PORT/",
    "https://0177.0.0.1:PORT/",
    "https://0177.0x0.0.01:PORT/",
    "https://00000177.1:PORT/",
    "https://127.0.0.1.:PORT/",
    "https://0.0.0.0:PORT/",
    "https://0:PORT/",
    "https://0x0:PORT/",
    "https://[::1]:PORT/",
    "https://[0:0:0:0:0:0:0:1]:PORT/",
    "https://[::0.0.0.1]:PORT/",
    "https://[::]:PORT/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[::ffff:7f00:1]:PORT/",
    "https://[::FFFF:7F00:0001]:PORT/",
    "https://localhost:PORT/",
    "https://LocalHost:PORT/",
    "https://loc%61lhost:PORT/",
    "https://①②⑦.0.0.1:PORT/",
    "https://127。0。0。1:PORT/",
    "https://%31%32%37.0.0.1:PORT/",
    "https:127.0.0.1:PORT/",
    "https:\\\\127.0.0.1:PORT\\hooks",
    "https://127.0.0.1:PORT\\@example.com/",
];

/// Addresses of other machines that only we could reach, and of tunnels that end on one.
const INSIDE: [&str; 40] = [
    "https://10.0.0.1:PORT/",
    "https://10.255.255.255:PORT/",
    "https://012.0.0.1:PORT/",
    "https://167772161:PORT/",
    "https://172.16.0.1:PORT/",
    "https://172.31.255.255:PORT/",
    "https://192.168.0.1:PORT/",
    "https://3232235521:PORT/",
    "https://0xc0a80001:PORT/",
    "https://169.254.169.254:PORT/latest/meta-data",
    "https://2852039166:PORT/",
    "https://0xa9fea9fe:PORT/",
    "https://0251.0376.0251.0376:PORT/",
    "https://[::ffff:169.254.169.254]:PORT/",
    "https://[fd00:ec2::254]:PORT/",
    "https://100.64.0.1:PORT/",
    "https://100.127.255.255:PORT/",
    "https://198.18.0.1:PORT/",
    "https://192.0.0.1:PORT/",
    "https://192.0.2.1:PORT/",
    "https://192.88.99.1:PORT/",
    "https://224.0.0.1:PORT/",
    "https://240.0.0.1:PORT/",
    "https://255.255.255.255:PORT/",
    "https://[::127.0.0.1]:PORT/",
    "https://[::7f00:1]:PORT/",
    "https://[::ffff:0:127.0.0.1]:PORT/",
    "https://[64:ff9b::127.0.0.1]:PORT/",
    "https://[64:ff9b::7f00:1]:PORT/",
    "https://[64:ff9b:1::7f00:1]:PORT/",
    "https://[2002:7f00:1::]:PORT/",
    "https://[2002:a00:1::1]:PORT/",
    "https://[2001:0:53aa:64c::80ff:fffe]:PORT/",
    "https://[2001:db8::1]:PORT/",
    "https://[100::1]:PORT/",
    "https://[fc00::1]:PORT/",
    "https://[fe80::1]:PORT/",
    "https://[fec0::1]:PORT/",
    "https://[ff02::1]:PORT/",
    "https://[5f00::1]:PORT/",
];

/// What no endpoint can be.
const REFUSED: [&str; 18] = [
    "https://example.com@127.0.0.1:PORT/",
    "https://example.com:443@127.0.0.1:PORT/",
    "https://example.com%40127.0.0.1:PORT/",
    "https://127.0.0.1:PORT/#@example.com",
    "https://[::1%25lo]:PORT/",
    "https://[fe80::1%eth0]:PORT/",
    "https://[::ffff:127.0.0.1.]:PORT/",
    "https://127.0.0.1%00.example.com:PORT/",
    "https://127.0.0.1%0d%0aHost:PORT/",
    "https://127.0.0.256:PORT/",
    "https://example.127:PORT/",
    "https://4294967296:PORT/",
    "//127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/",
    "http://localhost:PORT/",
    "http://example.com:PORT/",
    "gopher://127.0.0.1:PORT/_",
    "file:///etc/passwd",
];

fn config(endpoints: &Value, allowed: &str) -> Option<Config> {
    Config::from_lookup(Mode::Dev, |name| match name {
        "WEBHOOK_ENDPOINTS" => Some(endpoints.to_string()),
        "WEBHOOK_ALLOWED_NETWORKS" => Some(allowed.to_owned()),
        _ => None,
    })
    .ok()
}

#[tokio::test]
async fn no_way_of_writing_an_address_leads_to_this_machine_unless_it_is_allowed() {
    let canary = Canary::everywhere().await;
    let port = canary.address.port();
    let at = |url: &str, port: u16| endpoint(&url.replace("PORT", &port.to_string()));
    for url in REFUSED {
        assert!(
            config(&json!({"shop": at(url, port)}), "").is_none(),
            "{url}"
        );
    }
    let tricks: Vec<&str> = HERE.into_iter().chain(INSIDE).collect();
    assert!(tricks.len() + REFUSED.len() >= 60);
    let named = |n: usize| format!("e{n:02}");
    let endpoints: serde_json::Map<_, _> = tricks
        .iter()
        .enumerate()
        .map(|(n, url)| (named(n), at(url, port)))
        .collect();
    let scene = Scene::telling(&endpoints.into(), "").await;
    scene.change("ada").await;
    let fates = eventually("every endpoint has failed", async || {
        let fates = scene.fates().await;
        fates.values().all(Option::is_some).then_some(fates)
    })
    .await;
    for (n, url) in tricks.iter().enumerate() {
        let fate = fates.get(&named(n)).cloned().flatten();
        assert_eq!(fate.as_deref(), Some("forbidden_address"), "{url}");
    }
    assert_eq!(canary.calls(), 0);

    // Each of these would have come here, else this shows nothing.
    let mut canaries = Vec::new();
    let mut endpoints = serde_json::Map::new();
    for (n, url) in HERE.into_iter().enumerate() {
        let canary = Canary::everywhere().await;
        if canary.address.is_ipv4() && url.contains('[') && !url.to_lowercase().contains("ffff") {
            continue;
        }
        endpoints.insert(named(n), at(url, canary.address.port()));
        canaries.push((url, canary));
    }
    let scene = Scene::telling(&endpoints.into(), "127.0.0.0/8,0.0.0.0/8,::1,::").await;
    scene.change("ada").await;
    for (url, canary) in canaries {
        eventually(url, async || (canary.calls() > 0).then_some(())).await;
    }
}

/// Two listeners with one port, on two addresses of this machine: one that may be called, and the canary.
#[cfg(target_os = "linux")]
async fn friend_and_canary() -> (Canary, Canary) {
    loop {
        let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = canary.local_addr().unwrap().port();
        if let Ok(friend) = TcpListener::bind(("127.0.0.2", port)).await {
            return (Canary::on(friend), Canary::on(canary));
        }
    }
}

/// A name server that says something else each time, and at last nothing ever.
fn fickle(answers: &[Vec<&str>]) -> NameServer {
    let answers = answers.iter().map(|all| {
        let all = all.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        all.collect::<Vec<_>>()
    });
    let answers = Mutex::new(answers.collect::<VecDeque<_>>());
    Arc::new(
        move |name| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            assert_eq!(name, "shop.example");
            match answers.lock().unwrap().pop_front() {
                Some(answer) => Box::pin(async move { Ok(answer) }),
                None => Box::pin(std::future::pending()),
            }
        },
    )
}

/// A message that waits for the endpoint `shop`, tried again and again.
struct Waiting {
    scene: Scene,
    db: Db,
}

impl Waiting {
    async fn new() -> Self {
        let scene = Scene::telling(&json!({}), "").await;
        scene.change("ada").await;
        let first: Uuid = sqlx::query_scalar("SELECT id FROM outbox WHERE sequence = 1")
            .fetch_one(scene.pool())
            .await
            .unwrap();
        let db = store::connect(&scene.world.db.url().to_owned().into(), 4).unwrap();
        let replay = Replay {
            endpoint: "shop",
            first,
            last: first,
            kinds: None,
        };
        store::replay_deliveries(&db, replay).await.unwrap();
        let wait = "UPDATE outbox_deliveries SET due_at = now() + interval '1 day'";
        sqlx::query(wait).execute(scene.pool()).await.unwrap();
        Self { scene, db }
    }

    /// Whatever is due is delivered, for as long as this is kept.
    fn delivered_by(&self, outbox: Outbox) -> DropGuard {
        let end = CancellationToken::new();
        tokio::spawn(run_outbox(outbox, self.db.clone(), end.clone()));
        end.drop_guard()
    }

    /// Has it tried once, and says how it failed.
    async fn fails(&self) -> String {
        let pool = self.scene.pool();
        let again = "UPDATE outbox_deliveries SET due_at = now(), tries = 0, failure = NULL";
        sqlx::query(again).execute(pool).await.unwrap();
        let look = sqlx::query("SELECT pg_notify($1, '*')").bind(STATUS_CHANNEL);
        look.execute(pool).await.unwrap();
        let failed = "UPDATE outbox_deliveries SET due_at = now() + interval '1 day' \
            WHERE failure IS NOT NULL RETURNING failure";
        eventually("it fails", async || {
            let failed = sqlx::query_scalar(failed).fetch_optional(pool);
            failed.await.unwrap()
        })
        .await
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_that_leads_elsewhere_the_next_time_leads_nowhere() {
    let (friend, canary) = friend_and_canary().await;
    let url = format!("https://shop.example:{}/", friend.address.port());
    // In place of a public address stands one that is allowed: nothing leaves this machine.
    let public = "127.0.0.2";
    let inside = [
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00::1",
    ];
    let mut answers = vec![
        vec![public],
        vec!["127.0.0.1"],
        vec!["127.0.0.1", public],
        vec![public, "127.0.0.1"],
    ];
    answers.extend(inside.map(|ip| vec![ip]));
    answers.push(inside.to_vec());
    let shop = json!({"shop": endpoint(&url)});
    let outbox = |allowed: &str, answers: &[Vec<&str>]| {
        let config = config(&shop, allowed).unwrap();
        Outbox::asking(fickle(answers), &config.endpoints, Clock::system()).unwrap()
    };
    let waiting = Waiting::new().await;
    let guarded = waiting.delivered_by(outbox("127.0.0.2", &answers));
    for answer in &answers {
        let calls = friend.calls();
        let word = waiting.fails().await;
        if answer.contains(&public) {
            // Connected to; but it speaks no TLS.
            assert_ne!(word, "forbidden_address", "{answer:?}");
            eventually("the friend is called", async || {
                (friend.calls() > calls).then_some(())
            })
            .await;
        } else {
            assert_eq!(word, "forbidden_address", "{answer:?}");
        }
        assert_eq!(canary.calls(), 0, "{answer:?}");
    }
    assert_eq!(
        waiting.fails().await,
        "timed_out",
        "a name server that never answers"
    );
    // Else the canary could not have been called anyway.
    drop(guarded);
    let _open = waiting.delivered_by(outbox("127.0.0.0/8", &[vec!["127.0.0.1"]]));
    waiting.fails().await;
    eventually("the canary is called", async || {
        (canary.calls() > 0).then_some(())
    })
    .await;
}
