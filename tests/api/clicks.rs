//! Many clicks of one person at once: one session, whoever asks for it and wherever.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rand::seq::SliceRandom as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::Row as _;
use verigate::{
    domain::Client,
    verification::{Heard, StartError, StartRequest},
};

use crate::{
    process::Process,
    sandbox::support::id,
    support::eventually,
    world::{World, click, person, read},
};

const CLICKS: usize = 500;
/// Clicks that come too late to share a start ask Stripe anew; on a slow machine some may.
const HANDFUL: usize = 6;

/// Clicks so often at once, spread over the processes, while Stripe takes its time with the first create; gives the
/// answers, each of which was 200.
async fn click_at_once(
    world: &World,
    processes: &[&Process],
    clicks: usize,
    client: &str,
) -> Vec<Value> {
    let slow = json!({ "kind": "latency", "ms": 3000, "method": "POST",
        "path": "/v1/identity/verification_sessions" });
    world.sandbox.fault(slow).await;
    let asking = (0..clicks).map(|number| {
        let process = processes[number % processes.len()];
        async move {
            let answer = click(&process.http, &process.origin, client).await.unwrap();
            let status = answer.status();
            let body: Value = answer.json().await.unwrap();
            assert_eq!(status, StatusCode::OK, "{body}");
            body
        }
    });
    join_all(asking).await
}

fn distinct<'a>(answers: &'a [Value], member: &str) -> BTreeSet<&'a str> {
    let values = answers
        .iter()
        .map(|answer| answer[member].as_str().unwrap());
    values.collect()
}

/// Every address and every secret that was handed out opens Stripe's page.
async fn assert_secrets_work(world: &World, answers: &[Value]) {
    let http = &world.sandbox.http;
    for url in distinct(answers, "url") {
        assert_eq!(http.get(url).send().await.unwrap().status(), 200);
    }
    for secret in distinct(answers, "client_secret") {
        let body = json!({ "client_secret": secret, "opener": "http://localhost:4242" });
        let address = format!("{}/modal/session", world.sandbox.base);
        let opened = http.post(address).json(&body).send().await.unwrap();
        assert_eq!(opened.status(), 200);
        let opened: Value = opened.json().await.unwrap();
        let start = format!(
            "{}{}",
            world.sandbox.base,
            opened["start"].as_str().unwrap()
        );
        assert_eq!(http.get(start).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn five_hundred_clicks_are_one_session() {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let answers = click_at_once(&world, &[&process], CLICKS, "modal").await;
    assert_eq!(answers.len(), CLICKS);
    let ids = distinct(&answers, "id");
    assert_eq!(ids.len(), 1);
    world.assert_one_session(ids.first().unwrap()).await;
    assert_eq!(world.rows().await.len(), 1);
    assert_eq!(world.count("POST session").await, 1);
    assert!(world.count("GET one").await < HANDFUL);
    assert_eq!(world.count("GET list").await, 0);
    assert_secrets_work(&world, &answers).await;
}

#[tokio::test]
async fn clicks_on_two_servers_are_one_session() {
    let world = World::new().await;
    let (one, other) = tokio::join!(Process::start(&world), Process::start(&world));
    let answers = click_at_once(&world, &[&one, &other], CLICKS, "modal").await;
    let ids = distinct(&answers, "id");
    assert_eq!(ids.len(), 1);
    world.assert_one_session(ids.first().unwrap()).await;
    assert_eq!(world.count("POST session").await, 1);
    let gets = world.count("GET one").await;
    assert!((1..HANDFUL).contains(&gets), "{gets}");
    assert_secrets_work(&world, &answers).await;
}

#[tokio::test]
async fn every_phone_gets_a_key_of_its_own() {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let clicks = 30;
    let answers = click_at_once(&world, &[&process], clicks, "native").await;
    assert_eq!(distinct(&answers, "id").len(), 1);
    assert_eq!(distinct(&answers, "ephemeral_key_secret").len(), clicks);
    assert_eq!(world.count("POST key").await, clicks);
    assert_eq!(world.count("POST session").await, 1);
    assert!(world.count("GET one").await < HANDFUL);
}

/// Whoever waits for another's turn holds no connection meanwhile.
#[tokio::test]
async fn who_waits_for_a_turn_keeps_nobody_from_the_database() {
    let world = World::new().await;
    let (one, other) = tokio::join!(Process::start(&world), Process::start(&world));
    let held = json!({ "kind": "latency", "ms": 60_000, "method": "POST",
        "path": "/v1/identity/verification_sessions" });
    world.sandbox.fault(held).await;
    let clicking = async {
        let (first, second) = tokio::join!(one.click(), other.click());
        (first.unwrap(), second.unwrap())
    };
    let looking = async {
        eventually("the create is under way", async || {
            (world.count("POST session").await == 1).then_some(())
        })
        .await;
        // A connection in use is in a transaction; between two polls there is none.
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'verigate' \
            AND datname = current_database() AND state LIKE 'idle in transaction%'";
        eventually("nobody holds a transaction", async || {
            let row = sqlx::query(busy).fetch_one(world.db.pool()).await.unwrap();
            (row.get::<i64, _>(0) == 0).then_some(())
        })
        .await;
        for server in [&one, &other] {
            let ready = format!("{}/readyz", server.origin);
            let ready = server.http.get(ready).send().await.unwrap();
            assert_eq!(ready.status(), StatusCode::OK);
        }
        eventually("the create goes on", async || {
            world.sandbox.clear_faults().await;
            let calls = world.calls("POST session").await;
            (calls[0]["progress"] == "answered").then_some(())
        })
        .await;
    };
    let ((first, second), ()) = tokio::join!(clicking, looking);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(world.count("POST session").await, 1);
}

/// Clicks in several processes, the deliveries they cause, and an unclaimed row that is being claimed, all at once: who
/// locks in another order than the rest would be found out by Postgres.
#[tokio::test]
async fn clicks_and_deliveries_at_once_wait_for_each_other_and_never_deadlock() {
    let world = World::new().await;
    let processes: Vec<_> = (0..4).map(|_| world.process()).collect();
    for round in 0..12 {
        let person = person(&format!("person {round}"));
        let cut = |when, skip| {
            json!({ "kind": "cut", "when": when, "skip": skip, "times": 1 + 4 * skip,
                "method": "POST", "path": "/v1/identity/verification_sessions" })
        };
        world.sandbox.fault(cut("after", 0)).await;
        world.sandbox.fault(cut("before", 1)).await;
        let request = StartRequest::new(person.clone(), Client::Modal);
        let lost = world.process().start(&request).await;
        assert!(matches!(lost, Err(StartError::Unreachable { .. })));
        world.sandbox.clear_faults().await;
        let session = id(world.sessions().await.last().unwrap()).to_owned();
        let failure = json!({ "case": "failure", "code": "document_expired" });
        world.act(&session, "outcome", &failure).await;
        let mut events = world.events().await.split_off(2 * round);
        let mut nobodys = events[1].clone();
        nobodys["id"] = json!(format!("evt_nobodys{round}"));
        nobodys["data"]["object"]["metadata"] = json!({});
        let mut hint = events[1].clone();
        hint["id"] = json!(format!("evt_hint{round}"));
        hint["type"] = json!("identity.verification_session.of_a_later_version");
        events.extend([nobodys, hint]);
        events.shuffle(&mut rand::rng());
        let events: Vec<_> = events.iter().map(read).collect();

        let hearing = events.iter().zip(processes.iter().cycle());
        let hearing = join_all(hearing.map(|(event, process)| process.hear(event)));
        let clicking = processes.iter().map(|process| process.start(&request));
        let (heard, clicked) = tokio::join!(hearing, join_all(clicking));
        for heard in heard {
            assert!(matches!(heard, Ok(Heard::New(_))), "{heard:?}");
        }
        for clicked in clicked {
            assert_eq!(clicked.unwrap().session.as_str(), session);
        }
    }
    let rows = world.rows().await;
    assert_eq!((rows.len(), world.sessions().await.len()), (12, 12));
    let as_told = rows.iter().all(|row| {
        row.claimed && row.current && row.error_code.as_deref() == Some("document_expired")
    });
    assert!(as_told, "{rows:#?}");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert_eq!(deadlocks, 0);
}
