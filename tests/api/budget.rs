//! A crowd before a small budget: two servers that are killed again and again, and a Stripe that fails, sell exactly what
//! there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use jsonwebtoken::{EncodingKey, Header};
use rand::seq::SliceRandom as _;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use verigate::clock::Clock;

use crate::{
    process::Process,
    sandbox::support::{SESSIONS, id},
    support::eventually,
    world::{World, http_client},
};

const JWT_SECRET: &str = "a secret of tests that is long enough";
const SIGN_IN: [(&str, &str); 3] = [
    ("JWT_SECRET", JWT_SECRET),
    ("JWT_ISSUER", "https://app.example"),
    ("JWT_AUDIENCE", "verigate"),
];
const AT_ONCE: usize = 64;
const KILLS: usize = 5;

/// What proves to be this person.
fn token(name: &str) -> String {
    let claims = json!({
        "iss": "https://app.example", "aud": "verigate", "sub": name, "exp": Clock::system().unix() + 3600,
    });
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

fn settings<'a>(limits: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    SIGN_IN.iter().chain(limits).copied().collect()
}

/// A click of somebody's in the modal.
fn click(http: &reqwest::Client, origin: &str, token: &str) -> RequestBuilder {
    http.post(format!("{origin}/create-verification-session"))
        .bearer_auth(token)
        .json(&json!({ "client": "modal" }))
}

/// How many come, how often, and for how much.
#[derive(Clone, Copy)]
struct Crowd {
    people: usize,
    clicks: usize,
    budget: usize,
}

/// Everything that can be wrong with a create, and some of what can be with a look.
async fn trouble(world: &World) {
    let create = |fault: Value| with(fault, "POST", SESSIONS);
    let read = |fault: Value| with(fault, "GET", "/v1/identity/verification_sessions/*");
    for fault in [
        create(json!({ "kind": "error", "status": 429, "times": 3, "skip": 1 })),
        create(json!({ "kind": "error", "status": 500, "when": "before", "skip": 3 })),
        create(json!({ "kind": "error", "status": 500, "when": "after", "skip": 4 })),
        create(json!({ "kind": "cut", "when": "after", "skip": 5, "times": 2 })),
        create(json!({ "kind": "timeout", "when": "before", "skip": 6 })),
        create(json!({ "kind": "timeout", "when": "after", "skip": 7 })),
        create(json!({ "kind": "latency", "ms": 7000, "when": "after", "skip": 8 })),
        create(json!({ "kind": "error", "status": 503, "when": "before", "skip": 9, "times": 3 })),
        read(json!({ "kind": "error", "status": 500, "skip": 2, "times": 3 })),
        read(json!({ "kind": "cut", "skip": 6, "times": 2 })),
    ] {
        world.sandbox.fault(fault).await;
    }
}

fn with(mut fault: Value, method: &str, path: &str) -> Value {
    fault["method"] = json!(method);
    fault["path"] = json!(path);
    fault
}

/// The people for whom something is reserved.
async fn holders(world: &World) -> BTreeSet<usize> {
    let holders = "SELECT u.external_id FROM reservations r JOIN verifications v ON v.id = r.verification_id \
        JOIN users u ON u.id = v.user_id WHERE r.spent_at IS NULL AND r.released_at IS NULL";
    let holders = sqlx::query_scalar(holders).fetch_all(world.db.pool());
    let holders: Vec<String> = holders.await.unwrap();
    let number = |name: &String| name.strip_prefix("person ").unwrap().parse().unwrap();
    holders.iter().map(number).collect()
}

/// Two servers, whoever may be in their place just now, and how many clicks they have had.
struct Storm {
    world: World,
    crowd: Crowd,
    settings: Vec<(&'static str, String)>,
    origins: RwLock<Vec<String>>,
    tokens: Vec<String>,
    http: reqwest::Client,
    done: AtomicUsize,
}

impl Storm {
    async fn new(crowd: Crowd) -> Self {
        let settings = SIGN_IN.map(|(name, value)| (name, value.to_owned()));
        let budget = ("BUDGET_CHECKS_PER_DAY", crowd.budget.to_string());
        Self {
            world: World::new().await,
            crowd,
            settings: settings.into_iter().chain([budget]).collect(),
            origins: RwLock::new(Vec::new()),
            tokens: (0..crowd.people).map(|n| token(&name_of(n))).collect(),
            http: http_client(),
            done: AtomicUsize::new(0),
        }
    }

    async fn server(&self) -> Process {
        let settings = self.settings.iter().map(|(name, value)| (*name, &**value));
        Process::start_with(&self.world, &settings.collect::<Vec<_>>()).await
    }

    async fn click(&self, place: usize, person: usize) -> Option<(StatusCode, String)> {
        let origin = self.origins.read().unwrap()[place].clone();
        let answer = click(&self.http, &origin, &self.tokens[person]);
        let answer = answer.send().await.ok()?;
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        let code = body["error"]["code"].as_str().unwrap_or_default();
        Some((status, code.to_owned()))
    }

    /// Everybody clicks again and again, in no order, now here and now there; gives what they were told.
    async fn click_all(&self) -> BTreeMap<String, usize> {
        let Crowd { people, clicks, .. } = self.crowd;
        let mut order: Vec<usize> = (0..clicks).map(|click| click % people).collect();
        order.shuffle(&mut rand::rng());
        let told = stream::iter(order.into_iter().enumerate()).map(|(number, person)| async move {
            let outcome = self.click(number % 2, person).await;
            self.done.fetch_add(1, Ordering::Relaxed);
            outcome.map_or("lost".to_owned(), |(status, code)| {
                format!("{} {code}", status.as_u16())
            })
        });
        let told = told.buffer_unordered(AT_ONCE);
        told.fold(BTreeMap::new(), async |mut all, said| {
            *all.entry(said).or_default() += 1;
            all
        })
        .await
    }

    /// Kills one of the servers after each sixth of the clicks, and starts another in its place.
    async fn kill_again_and_again(&self, mut servers: Vec<Process>) -> Vec<Process> {
        for kill in 1..=KILLS {
            while self.done.load(Ordering::Relaxed) < self.crowd.clicks * kill / (KILLS + 1) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let place = kill % servers.len();
            servers.remove(place).kill().await;
            let next = self.server().await;
            self.origins.write().unwrap()[place].clone_from(&next.origin);
            servers.insert(place, next);
        }
        servers
    }

    /// Whoever was promised something gets it; and if a server died on the way to promise it, somebody else does.
    async fn settle(&self) -> BTreeSet<usize> {
        let everybody = || (0..self.crowd.people).collect();
        eventually("everything there is has found somebody", async || {
            let mut asking = holders(&self.world).await;
            if asking.len() < self.crowd.budget {
                asking = everybody();
            }
            let answers = join_all(asking.into_iter().map(|person| self.click(0, person))).await;
            let open = answers
                .iter()
                .flatten()
                .filter(|(status, _)| *status == 200);
            let all = open.count() == self.crowd.budget;
            let holding = holders(&self.world).await;
            (all && holding.len() == self.crowd.budget).then_some(holding)
        })
        .await
    }
}

fn name_of(person: usize) -> String {
    format!("person {person}")
}

async fn storm(crowd: Crowd) {
    let storm = Storm::new(crowd).await;
    let servers = vec![storm.server().await, storm.server().await];
    *storm.origins.write().unwrap() = servers.iter().map(|it| it.origin.clone()).collect();
    trouble(&storm.world).await;
    let (told, servers) = tokio::join!(storm.click_all(), storm.kill_again_and_again(servers));
    let fine = [
        "200 ",
        "lost",
        "503 budget_exhausted",
        "503 busy",
        "503 stripe_unreachable",
        "503 unavailable",
    ];
    assert!(told.keys().all(|said| fine.contains(&&**said)), "{told:?}");
    assert!(told.contains_key("503 budget_exhausted"), "{told:?}");

    storm.world.sandbox.clear_faults().await;
    let holding = storm.settle().await;
    assert_sold_once_each(&storm.world, crowd.budget).await;
    // Nothing is forgotten by a server that has only now begun.
    let fresh = storm.server().await;
    storm.origins.write().unwrap()[0].clone_from(&fresh.origin);
    for person in (0..crowd.people).take(3 * crowd.budget) {
        let (status, code) = storm.click(0, person).await.unwrap();
        let expected = if holding.contains(&person) { 200 } else { 503 };
        assert_eq!(status, expected, "{person}: {code}");
    }
    assert_sold_once_each(&storm.world, crowd.budget).await;
    drop(servers);
}

/// Stripe has made so many sessions, each for another person of ours.
async fn assert_sold_once_each(world: &World, budget: usize) {
    let sessions = world.sessions().await;
    assert_eq!(sessions.len(), budget, "sessions at Stripe");
    let made = world.calls("POST session").await;
    let made = made
        .iter()
        .filter(|call| call["executed"] == true && call["replayed"] == false);
    assert!(made.count() >= budget);
    let theirs: BTreeSet<_> = sessions.iter().map(|it| id(it).to_owned()).collect();
    let ours = "SELECT session_id FROM verifications WHERE session_id IS NOT NULL AND current";
    let ours: Vec<String> = sqlx::query_scalar(ours)
        .fetch_all(world.db.pool())
        .await
        .unwrap();
    assert_eq!(theirs, ours.into_iter().collect());
    let owners = "SELECT count(DISTINCT user_id) FROM verifications WHERE session_id IS NOT NULL";
    let owners: i64 = sqlx::query_scalar(owners)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert_eq!(owners, i64::try_from(budget).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_exactly_the_budget_from_servers_that_are_killed_and_a_stripe_that_fails() {
    storm(Crowd {
        people: 100,
        clicks: 1000,
        budget: 12,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; the same with a smaller crowd is always run"]
async fn ten_thousand_clicks_of_a_thousand_people_are_a_hundred_sessions() {
    storm(Crowd {
        people: 1000,
        clicks: 10_000,
        budget: 100,
    })
    .await;
}

/// What a page says as somebody's browser shows it.
async fn page(process: &Process, name: &str) -> String {
    let request = process.http.get(format!("{}/verify", process.origin));
    let request = request
        .bearer_auth(token(name))
        .header("accept", "text/html");
    let page = request.send().await.unwrap().text().await.unwrap();
    let (_, main) = page.split_once("<main").unwrap();
    main.split_once("</main>").unwrap().0.to_owned()
}

async fn refused(request: RequestBuilder) -> (StatusCode, String, Option<u64>) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let wait = answer
        .headers()
        .get("retry-after")
        .map(|it| it.to_str().unwrap().parse().unwrap());
    let body: Value = answer.json().await.unwrap();
    let code = body["error"]["code"].as_str().unwrap_or_default();
    (status, code.to_owned(), wait)
}

#[tokio::test]
async fn a_spent_budget_is_told_to_programs_and_people_before_and_after_the_click() {
    let world = World::new().await;
    let process = Process::start_with(&world, &settings(&[("BUDGET_CHECKS_PER_DAY", "1")])).await;
    let click = |name| click(&process.http, &process.origin, &token(name));
    assert!(page(&process, "bob").await.contains("id=\"verify-button\""));
    assert_eq!(click("ada").send().await.unwrap().status(), 200);

    let (status, code, wait) = refused(click("bob")).await;
    assert_eq!((status.as_u16(), &*code), (503, "budget_exhausted"));
    assert!((1..=86_400).contains(&wait.unwrap()));
    assert!(
        page(&process, "bob")
            .await
            .contains("We can’t verify right now")
    );
    let form = click("bob")
        .header("accept", "text/html")
        .form(&json!({ "client": "redirect" }));
    let answer = form.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("We can’t verify right now")
    );
    // Hers stays hers.
    assert!(page(&process, "ada").await.contains("id=\"verify-button\""));
    assert_eq!(click("ada").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn used_attempts_are_told_to_programs_and_people_before_and_after_the_click() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let limits = [("ATTEMPTS_PER_DAY", "2"), ("ATTEMPTS_IN_TOTAL", "3")];
    let process = Process::start_with(&world, &settings(&limits)).await;
    let click = || click(&process.http, &process.origin, &token("ada"));
    let fail = async || {
        let body: Value = click().send().await.unwrap().json().await.unwrap();
        let failure = json!({ "case": "failure", "code": "document_expired" });
        world.act(id(&body), "outcome", &failure).await;
        world.act(id(&body), "finish", &json!({})).await;
        for event in world.events().await {
            process.deliver(&event).await.unwrap();
        }
    };
    fail().await;
    assert!(
        page(&process, "ada")
            .await
            .contains("You can try once more.")
    );
    fail().await;
    let shown = page(&process, "ada").await;
    assert!(shown.contains("You have used today’s tries"), "{shown}");
    // Both why, which nobody else would tell, and when to come back.
    let why = "We could not verify your document. The date until which it is valid has passed.";
    assert!(shown.contains(why), "{shown}");
    assert!(shown.contains("<li>Try again in "), "{shown}");
    let (status, code, wait) = refused(click()).await;
    assert_eq!((status.as_u16(), &*code), (403, "attempts_exhausted"));
    assert!(wait.is_some_and(|wait| wait <= 86_400), "{wait:?}");
    let body: Value = click().send().await.unwrap().json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("Try again tomorrow"), "{message}");
    let form = click()
        .header("accept", "text/html")
        .form(&json!({ "client": "redirect" }));
    let answer = form.send().await.unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/verify");

    let yesterday =
        "UPDATE verification_reports SET first_seen_at = first_seen_at - interval '1 day'";
    sqlx::query(yesterday)
        .execute(world.db.pool())
        .await
        .unwrap();
    fail().await;
    let shown = page(&process, "ada").await;
    assert!(shown.contains("You have used all your tries"), "{shown}");
    assert!(shown.contains(why), "{shown}");
    assert!(!shown.contains("id=\"verify-button\""));
    let (status, code, wait) = refused(click()).await;
    assert_eq!((status.as_u16(), &*code), (403, "attempts_exhausted"));
    assert_eq!(wait, None);
}

#[tokio::test]
async fn sessions_are_counted_for_the_address_that_trusted_proxies_saw() {
    let world = World::new().await;
    let limit = ("CREATIONS_PER_ADDRESS_PER_HOUR", "1");
    let behind = settings(&[limit, ("TRUSTED_PROXIES", "127.0.0.1")]);
    let before = settings(&[limit]);
    let (open, proxied) = tokio::join!(
        Process::start_with(&world, &before),
        Process::start_with(&world, &behind),
    );
    let click = |process: &Process, name, address| {
        click(&process.http, &process.origin, &token(name)).header("x-forwarded-for", address)
    };
    let opens = async |request: RequestBuilder| request.send().await.unwrap().status() == 200;
    assert!(opens(click(&proxied, "a", "192.0.2.1")).await);
    assert!(opens(click(&proxied, "b", "192.0.2.1, 192.0.2.2")).await);
    // Whatever the client has written left of it.
    let (status, code, wait) = refused(click(&proxied, "c", "192.0.2.99, 192.0.2.2")).await;
    assert_eq!((status.as_u16(), &*code), (429, "rate_limited"));
    assert!((3000..=3600).contains(&wait.unwrap()));
    // Without a proxy that is trusted it is only a claim.
    assert!(opens(click(&open, "c", "192.0.2.1")).await);
    let (status, ..) = refused(click(&open, "d", "192.0.2.4")).await;
    assert_eq!(status, 429);
}
