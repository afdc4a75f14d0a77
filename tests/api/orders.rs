//! Whatever order a session's events arrive in, all that is left at the end is what Stripe says is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::DateTime;
use futures_util::{StreamExt as _, future::join_all, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;
use verigate::{clock::Clock, stripe::event::Event, verification::Verifier};

use crate::{
    process::delivery,
    sandbox::support::id,
    support::database::TestDb,
    world::{World, read, rows, verifier},
};

/// Nobody else is there who could take over what it claims.
const WORKER: i32 = 1;
/// Parts that the orders are run in, side by side.
const LANES: usize = 6;
/// The sessions of the walk over HTTP.
const SESSIONS: usize = 280;

async fn frozen() -> World {
    let world = World::at(Clock::fixed(
        DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
    ))
    .await;
    world.stop_the_clockwork().await;
    world
}

/// Asks Stripe about whatever is due, later each time, until nothing is in doubt.
async fn settle(process: &Verifier, pool: &PgPool) {
    for minutes in [1, 10, 100, 1000] {
        let open = rows(pool).await.iter().any(|row| row.doubtful || row.due);
        if !open {
            return;
        }
        let ahead = Duration::from_mins(minutes);
        while process.refresh_due(WORKER, ahead).await.unwrap().asked > 0 {
            let left = rows(pool).await;
            if left.iter().all(|row| !row.due) {
                break;
            }
        }
    }
    let left = rows(pool).await;
    assert!(left.iter().all(|row| !row.doubtful && !row.due), "{left:?}");
}

/// A life of seven events: a failed attempt, a second one that passes and that a reviewer overrides in the very second,
/// and a redaction, which closes the session and, as happens, tells no `canceled`.
async fn live(world: &World, attempt: Uuid) -> (String, Vec<Event>) {
    let session = world.create_for(attempt).await;
    world.pass(10).await;
    let failure = json!({ "case": "failure_async", "code": "document_expired" });
    world.act(&session, "outcome", &failure).await;
    world.pass(10).await;
    world.act(&session, "finish", &json!({})).await;
    world.pass(10).await;
    let success = json!({ "case": "success_async" });
    world.act(&session, "outcome", &success).await;
    world.pass(10).await;
    world.act(&session, "finish", &json!({})).await;
    let overridden = json!({ "status": "requires_input", "code": "selfie_manipulated" });
    world.act(&session, "override", &overridden).await;
    let mut events = world.events().await;

    world.pass(10).await;
    let lost = json!({ "kind": "event_lost", "event": "canceled" });
    world.sandbox.fault(lost).await;
    world.api(&session, "redact").await;
    world.pass(10).await;
    world.act(&session, "finish", &json!({})).await;
    events.push(world.events().await.pop().unwrap());
    world.pass(60).await;

    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .map(|kind| kind.rsplit('.').next().unwrap())
        .collect();
    let expected = [
        "created",
        "processing",
        "requires_input",
        "processing",
        "verified",
        "requires_input",
        "redacted",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(events[4]["created"], events[5]["created"]);
    (session, events.iter().map(read).collect())
}

/// Every order of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..n {
        all = all
            .into_iter()
            .flat_map(|order| {
                let left: Vec<usize> = (0..n).filter(|next| !order.contains(next)).collect();
                left.into_iter()
                    .map(move |next| [&order[..], &[next]].concat())
            })
            .collect();
    }
    all
}

/// The attempt waits for its session, as while the create is under way. Two functions of the test's keep all that is
/// stored, and bring it back: orders that begin alike run their common beginning once.
async fn prepare(pool: &PgPool, attempt: Uuid) {
    const TABLES: [&str; 6] = [
        "users",
        "verifications",
        "verification_reports",
        "verification_history",
        "stripe_events",
        "outbox",
    ];
    let kept = TABLES
        .map(|table| format!("'{table}', (SELECT coalesce(jsonb_agg(t), '[]') FROM {table} t)"));
    let deleted = TABLES.map(|table| format!("DELETE FROM {table};"));
    let restored = TABLES.map(|table| {
        format!(
            "INSERT INTO {table} OVERRIDING SYSTEM VALUE \
             SELECT * FROM jsonb_populate_recordset(null::{table}, kept->'{table}');"
        )
    });
    let script = format!(
        "INSERT INTO users (id, realm, external_id) VALUES ('{attempt}', 'test', 'ada'); \
         INSERT INTO verifications (id, user_id, livemode, client, current) \
         VALUES ('{attempt}', '{attempt}', false, 'modal', true); \
         CREATE FUNCTION keep() RETURNS jsonb LANGUAGE sql \
         AS $$ SELECT jsonb_build_object({}) $$; \
         CREATE FUNCTION restore(kept jsonb) RETURNS void LANGUAGE sql \
         AS $$ {} {} $$",
        kept.join(", "),
        deleted.iter().rev().cloned().collect::<String>(),
        restored.concat(),
    );
    let script = AssertSqlSafe(script);
    sqlx::raw_sql(script).execute(pool).await.unwrap();
}

async fn keep(pool: &PgPool) -> Value {
    let kept = sqlx::query_scalar("SELECT keep()");
    kept.fetch_one(pool).await.unwrap()
}

async fn restore(pool: &PgPool, kept: &Value) {
    let restore = sqlx::query("SELECT restore($1)").bind(kept);
    restore.execute(pool).await.unwrap();
}

/// Runs some orders, one after the other, and gives what each leaves behind.
async fn run(world: &World, attempt: Uuid, events: &[Event], orders: &[Vec<usize>]) -> Vec<End> {
    let db = TestDb::new().await;
    let pool = db.pool();
    prepare(pool, attempt).await;
    let process = verifier(db.url(), &world.sandbox.base, |_| ());
    let mut ends = Vec::new();
    // What is stored after none, one, two, ... of the events of the order at hand.
    let mut kept = vec![keep(pool).await];
    let mut before: &[usize] = &[];
    for (number, order) in orders.iter().enumerate() {
        let alike = before.iter().zip(order).take_while(|(a, b)| a == b).count();
        kept.truncate(alike + 1);
        let known = kept.len() - 1;
        restore(pool, &kept[known]).await;
        for index in &order[known..] {
            process.hear(&events[*index]).await.unwrap();
            // The last two orders that begin alike differ in two events.
            if kept.len() < order.len() - 1 {
                kept.push(keep(pool).await);
            }
        }
        before = order;
        ends.push(settle_one(&process, pool).await);
        if number % 64 == 0 {
            // Nobody else tidies up here, and every order leaves its rows behind.
            sqlx::raw_sql("VACUUM").execute(pool).await.unwrap();
        }
    }
    ends
}

/// Asks Stripe about the only session for as long as there is a doubt, later each time.
async fn settle_one(process: &Verifier, pool: &PgPool) -> End {
    for minutes in [1, 10, 100, 1000] {
        let ahead = Duration::from_mins(minutes);
        process.refresh_due(WORKER, ahead).await.unwrap();
        let end = end(pool).await;
        if end.settled {
            return end;
        }
    }
    end(pool).await
}

/// All that an order leaves behind, and what must not depend on it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
struct End {
    attempts: i64,
    session: Option<String>,
    status: Option<String>,
    error: Option<String>,
    redaction: String,
    person: String,
    verified: bool,
    reports: Vec<String>,
    events: i64,
    settled: bool,
}

async fn end(pool: &PgPool) -> End {
    let query = "SELECT (SELECT count(*) FROM verifications) AS attempts, v.session_id AS session, v.status, \
        v.error_code AS error, v.redaction, u.status AS person, u.verified_at IS NOT NULL AS verified, \
        ARRAY(SELECT report_id FROM verification_reports WHERE verification_id = v.id ORDER BY 1) AS reports, \
        (SELECT count(*) FROM stripe_events WHERE outcome = 'applied') AS events, \
        v.doubt_since IS NULL AND v.refresh_due_at IS NULL AS settled \
        FROM users u JOIN verifications v ON v.user_id = u.id";
    sqlx::query_as(query).fetch_one(pool).await.unwrap()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_5040_orders_of_a_life_end_in_what_stripe_says() {
    let world = frozen().await;
    let attempt = Uuid::now_v7();
    let (session, events) = live(&world, attempt).await;
    let truth = world
        .sandbox
        .get(&format!("/_sessions/{session}"))
        .await
        .body;
    let reports: BTreeSet<String> = events
        .iter()
        .filter_map(|event| event.session.as_ref()?.report.clone())
        .collect();
    assert_eq!((truth["attempts"].as_u64(), reports.len()), (Some(3), 2));
    assert_eq!(truth["status"], "canceled");
    let expected = End {
        attempts: 1,
        session: Some(session),
        status: text(&truth["status"]),
        error: text(&truth["last_error"]),
        redaction: text(&truth["redaction"]).unwrap(),
        person: text(&truth["status"]).unwrap(),
        verified: false,
        reports: reports.into_iter().collect(),
        events: 7,
        settled: true,
    };

    let orders = orders(7);
    let distinct: BTreeSet<&Vec<usize>> = orders.iter().collect();
    assert_eq!(distinct.len(), 5040);
    // A database for each of them, so that the orders of one session do not meet.
    let lanes = orders.chunks(orders.len() / LANES);
    let lanes = lanes.map(|orders| run(&world, attempt, &events, orders));
    let ends = join_all(lanes).await.concat();
    assert_eq!(ends.len(), orders.len());
    for (order, end) in orders.iter().zip(&ends) {
        assert_eq!(end, &expected, "{order:?}");
    }
    assert!(world.count("GET one").await >= 5040);
}

/// What happens to a session, ten seconds between two lines.
const LIVES: [&[&[&str]]; 7] = [
    &[&["fail"], &["submit"], &["finish", "overturn"]],
    &[&["submit"], &["finish"]],
    &[&["fail"], &["cancel"]],
    &[&["fail"], &["succeed"], &["overturn", "uphold"]],
    &[&["succeed"], &["redact"], &["finish"]],
    &[&["fail", "submit"]],
    &[&["fail"], &["redact"], &["finish"]],
];

async fn happen(world: &World, session: &str, what: &str) {
    match what {
        "fail" => {
            let failure = json!({ "case": "failure", "code": "document_expired" });
            world.act(session, "outcome", &failure).await;
        }
        "submit" => {
            let submit = json!({ "case": "success_async" });
            world.act(session, "outcome", &submit).await;
        }
        "succeed" => {
            let success = json!({ "case": "success" });
            world.act(session, "outcome", &success).await;
        }
        "finish" => {
            world.act(session, "finish", &json!({})).await;
        }
        "overturn" => {
            let how = json!({ "status": "requires_input", "code": "selfie_manipulated" });
            world.act(session, "override", &how).await;
        }
        "uphold" => {
            let how = json!({ "status": "verified" });
            world.act(session, "override", &how).await;
        }
        call => world.api(session, call).await,
    }
}

/// Lives many lives at once, and gives every event as it was first sent.
async fn live_many(world: &World, attempts: &[Uuid]) -> Vec<Value> {
    let mut sessions = Vec::new();
    for attempt in attempts {
        sessions.push(world.create_for(*attempt).await);
    }
    let mut events = BTreeMap::new();
    for line in 0..3 {
        for event in world.events().await {
            events.entry(id(&event).to_owned()).or_insert(event);
        }
        world.pass(10).await;
        for (index, session) in sessions.iter().enumerate() {
            let steps = LIVES[index % LIVES.len()].get(line);
            for what in steps.into_iter().copied().flatten() {
                happen(world, session, what).await;
            }
        }
    }
    for event in world.events().await {
        events.entry(id(&event).to_owned()).or_insert(event);
    }
    world.pass(60).await;
    events.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_and_repeated_deliveries_over_http_end_in_what_stripe_says() {
    let world = frozen().await;
    let gateway = world.gateway().await;
    let attempts: Vec<Uuid> = (0..SESSIONS).map(|_| Uuid::now_v7()).collect();
    let people = "INSERT INTO users (id, realm, external_id) SELECT id, 'test', id::text FROM UNNEST($1) AS id";
    let waiting = "INSERT INTO verifications (id, user_id, livemode, client, current) \
        SELECT id, id, false, 'modal', true FROM UNNEST($1) AS id";
    for insert in [people, waiting] {
        let insert = sqlx::query(insert).bind(&attempts);
        insert.execute(world.db.pool()).await.unwrap();
    }
    let events = live_many(&world, &attempts).await;

    let seed: u64 = rand::random();
    let mut chance = StdRng::seed_from_u64(seed);
    let mut deliveries: Vec<&Value> = events.iter().collect();
    for event in &events {
        for _ in 0..chance.random_range(0..3) {
            deliveries.push(event);
        }
    }
    deliveries.shuffle(&mut chance);
    let refused: Vec<StatusCode> = stream::iter(deliveries)
        .map(|event| async {
            let request = delivery(&gateway.http, &gateway.origin, event);
            request.send().await.unwrap().status()
        })
        .buffer_unordered(12)
        .filter(|status| std::future::ready(*status != StatusCode::OK))
        .collect()
        .await;
    assert!(refused.is_empty(), "{refused:?} {seed}");
    settle(&world.process(), world.db.pool()).await;

    let shown = "SELECT v.session_id, concat_ws(' ', v.status, v.error_code, v.redaction, u.status) \
        FROM verifications v JOIN users u ON u.id = v.user_id";
    let shown: Vec<(String, String)> = sqlx::query_as(shown)
        .fetch_all(world.db.pool())
        .await
        .unwrap();
    let shown: BTreeMap<String, String> = shown.into_iter().collect();
    assert_eq!(rows(world.db.pool()).await.len(), SESSIONS);
    for truth in world.sessions().await {
        let status = truth["status"].as_str().unwrap();
        let error = truth["last_error"].as_str();
        let redaction = truth["redaction"].as_str().unwrap_or("none");
        let expected = [Some(status), error, Some(redaction), Some(status)];
        let expected = expected.into_iter().flatten().collect::<Vec<_>>().join(" ");
        assert_eq!(shown[id(&truth)], expected, "{truth} {seed}");
    }
}
