//! When Stripe is asked because of a doubt, what settles it, and when nobody asks at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;
use verigate::{
    domain::refresh::TRIES_BEFORE_ALARM,
    store::{self, RefreshClaim, Worker},
    verification::Refreshed,
};

use crate::{
    program::{run, working_folder},
    support::eventually,
    world::{World, read, refresh, verifier},
};

const ONE: &str = "/v1/identity/verification_sessions/*";
const FAR: Duration = Duration::from_hours(2);

/// A session that failed, passed and was overturned, the last two in one second: only Stripe knows which came last.
async fn in_doubt(world: &World) -> String {
    let session = world.create_for(Uuid::now_v7()).await;
    let success = json!({ "case": "success" });
    world.act(&session, "outcome", &success).await;
    let same_second = json!({ "kind": "same_second", "event": "requires_input" });
    world.sandbox.fault(same_second).await;
    let overturned = json!({ "status": "requires_input", "code": "selfie_manipulated" });
    world.act(&session, "override", &overturned).await;
    session
}

async fn due_at(world: &World) -> Option<DateTime<Utc>> {
    let due = sqlx::query_scalar("SELECT refresh_due_at FROM verifications");
    due.fetch_one(world.db.pool()).await.unwrap()
}

async fn now(world: &World) -> DateTime<Utc> {
    let now = sqlx::query_scalar("SELECT clock_timestamp()");
    now.fetch_one(world.db.pool()).await.unwrap()
}

#[tokio::test]
async fn an_ordinary_life_never_asks_stripe() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let gateway = world.hearing_gateway().await;
    let answer = gateway.click().await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    let session = answer["id"].as_str().unwrap();
    let lives = [
        (
            "outcome",
            json!({ "case": "failure_async", "code": "document_expired" }),
        ),
        ("finish", json!({})),
        ("outcome", json!({ "case": "success_async" })),
        ("finish", json!({})),
    ];
    let expected = ["processing", "requires_input", "processing", "verified"];
    for ((what, how), status) in lives.iter().zip(expected) {
        // A failure and the next submission in one second would be a doubt.
        world.pass(10).await;
        world.act(session, what, how).await;
        eventually(status, async || {
            (world.person().await == status).then_some(())
        })
        .await;
        assert_eq!(due_at(&world).await, None);
    }
    assert_eq!(
        refresh(world.db.url(), &gateway.verifier, FAR)
            .await
            .unwrap(),
        Refreshed::default()
    );
    assert_eq!(world.count("POST session").await, 1);
    assert_eq!(world.count("GET one").await, 0);
    assert_eq!(world.count("GET list").await, 0);
}

#[tokio::test]
async fn only_a_late_enough_look_settles_a_doubt() {
    let world = World::new().await;
    in_doubt(&world).await;
    world.hear_all().await;
    let process = world.process();
    assert_eq!(
        refresh(world.db.url(), &process, Duration::ZERO)
            .await
            .unwrap(),
        Refreshed::default(),
        "not before three seconds"
    );
    world.pass(60).await;
    // As if the answer had travelled for so long that it may be from before the second in doubt.
    let slow = json!({ "kind": "skew_date", "seconds": -59, "path": ONE });
    world.sandbox.fault(slow).await;
    let asked = Refreshed {
        asked: 1,
        deferred: 0,
    };
    assert_eq!(refresh(world.db.url(), &process, FAR).await.unwrap(), asked);
    let row = &world.rows().await[0];
    assert!(row.doubtful && row.due, "{row:?}");
    assert_eq!(row.tries, 1);

    assert_eq!(refresh(world.db.url(), &process, FAR).await.unwrap(), asked);
    let row = &world.rows().await[0];
    assert!(!row.doubtful && !row.due, "{row:?}");
    assert_eq!(row.status.as_deref(), Some("requires_input"));
    assert_eq!(row.error_code.as_deref(), Some("selfie_manipulated"));
    assert_eq!(
        refresh(world.db.url(), &process, FAR).await.unwrap(),
        Refreshed::default()
    );
}

#[tokio::test]
async fn a_stripe_that_does_not_answer_is_asked_again_later_each_time() {
    let world = World::new().await;
    in_doubt(&world).await;
    world.hear_all().await;
    world.pass(60).await;
    let process = verifier(world.db.url(), &world.sandbox.base, |settings| {
        settings.max_retries = 0;
        settings.timeout = Duration::from_secs(2);
    });
    let faults = [
        json!({ "kind": "timeout", "path": ONE }),
        json!({ "kind": "cut", "path": ONE }),
        json!({ "kind": "error", "status": 500, "path": ONE }),
        json!({ "kind": "error", "status": 429, "path": ONE }),
    ];
    for (fault, wait) in faults.into_iter().zip([6, 12, 24, 48]) {
        world.sandbox.fault(fault).await;
        let before = now(&world).await;
        let step = refresh(world.db.url(), &process, FAR).await.unwrap();
        assert_eq!((step.asked, step.deferred), (1, 1));
        let after = now(&world).await;
        let due = due_at(&world).await.unwrap();
        let wait = chrono::Duration::seconds(wait);
        assert!(due >= before + wait, "{due} {before} {wait}");
        assert!(due <= after + wait + wait / 4, "{due} {after} {wait}");
    }
    assert_eq!(
        refresh(world.db.url(), &process, FAR)
            .await
            .unwrap()
            .deferred,
        0
    );
    let row = &world.rows().await[0];
    assert!(!row.doubtful && !row.due && row.tries == 0, "{row:?}");
}

async fn many_in_doubt(world: &World, sessions: usize) {
    for _ in 0..sessions {
        in_doubt(world).await;
    }
    world.hear_all().await;
    world.pass(60).await;
}

#[tokio::test]
async fn two_workers_never_ask_twice_for_one_session() {
    let world = World::new().await;
    many_in_doubt(&world, 50).await;
    let worker = async || {
        let process = world.process();
        let mut asked = 0;
        loop {
            let step = refresh(world.db.url(), &process, FAR).await.unwrap();
            if step.asked == 0 {
                return asked;
            }
            asked += step.asked;
        }
    };
    let (one, other) = tokio::join!(worker(), worker());
    assert_eq!(one + other, 50);
    assert_eq!(world.count("GET one").await, 50);
    let rows = world.rows().await;
    assert!(rows.iter().all(|row| !row.doubtful && !row.due));
}

/// A claim that had to wait for its turn could run out before it, and then two would ask.
#[tokio::test]
async fn what_is_claimed_is_asked_for_at_once() {
    let world = World::new().await;
    many_in_doubt(&world, 40).await;
    let held = json!({ "kind": "latency", "ms": 60_000, "path": ONE, "times": 0 });
    world.sandbox.fault(held).await;
    let process = world.process();
    let step = tokio::spawn({
        let url = world.db.url().to_owned();
        async move { refresh(&url, &process, Duration::from_secs(10)).await }
    });
    let claimed =
        "SELECT count(*) FROM verifications WHERE refresh_due_at > now() + interval '20 seconds'";
    eventually("every claim is a call", async || {
        let claimed = sqlx::query_scalar(claimed).fetch_one(world.db.pool());
        let claimed: i64 = claimed.await.unwrap();
        let calls = i64::try_from(world.count("GET one").await).unwrap();
        (claimed > 0 && claimed == calls).then_some(())
    })
    .await;
    step.abort();
}

#[tokio::test]
async fn a_hint_is_a_reason_to_ask_once() {
    let world = World::new().await;
    let session = world.create_for(Uuid::now_v7()).await;
    let mut thin = world.events().await.remove(0);
    thin["type"] = json!("identity.verification_session.of_a_later_version");
    let process = world.process();
    process.hear(&read(&thin)).await.unwrap();
    assert!(world.rows().await[0].due);
    world
        .act(&session, "outcome", &json!({ "case": "success" }))
        .await;
    world.pass(10).await;
    assert_eq!(
        refresh(world.db.url(), &process, FAR).await.unwrap().asked,
        1
    );
    assert_eq!(
        refresh(world.db.url(), &process, FAR).await.unwrap().asked,
        0
    );
    assert_eq!(world.rows().await[0].status.as_deref(), Some("verified"));
}

#[tokio::test]
async fn a_session_that_stripe_does_not_have_is_asked_for_once() {
    let world = World::new().await;
    in_doubt(&world).await;
    world.hear_all().await;
    world.sandbox.control("/_reset", &json!({})).await;
    let process = world.process();
    assert_eq!(
        refresh(world.db.url(), &process, FAR).await.unwrap().asked,
        1
    );
    let row = &world.rows().await[0];
    assert!(row.gone && !row.due && !row.doubtful, "{row:?}");
    assert_eq!(row.status.as_deref(), Some("verified"), "gone is no status");
    assert_eq!(
        refresh(world.db.url(), &process, FAR).await.unwrap().asked,
        0
    );
}

#[tokio::test]
async fn what_a_dead_worker_claimed_is_taken_over_at_once_and_what_a_living_one_did_is_not() {
    let world = World::new().await;
    many_in_doubt(&world, 2).await;
    let url = SecretString::from(world.db.url().to_owned());
    let db = store::connect(&url, 1).unwrap();
    let worker = Worker::start(&db).await.unwrap();
    let soon = Duration::from_secs(10);
    let claim = RefreshClaim {
        worker: worker.id(),
        livemode: false,
        limit: 16,
        ahead: soon,
        hold: Duration::from_mins(1),
    };
    let claims = store::claim_refreshes(&db, claim).await;
    assert_eq!(claims.unwrap().len(), 2);
    let process = world.process();
    let asked = refresh(world.db.url(), &process, soon).await.unwrap().asked;
    assert_eq!(asked, 0, "the worker lives");
    drop(worker);
    // Postgres notices that its connection is gone, and no time has to pass but that.
    let asked = eventually("they are taken over", async || {
        let asked = refresh(world.db.url(), &process, Duration::ZERO).await;
        let asked = asked.unwrap().asked;
        (asked > 0).then_some(asked)
    })
    .await;
    assert_eq!(asked, 2);
    assert_eq!(world.count("GET one").await, 2);
}

#[tokio::test]
async fn a_session_of_the_other_mode_is_left_to_a_server_of_that_mode() {
    let world = World::new().await;
    in_doubt(&world).await;
    world.hear_all().await;
    let live = "UPDATE verifications SET livemode = true";
    sqlx::raw_sql(live).execute(world.db.pool()).await.unwrap();
    let asked = refresh(world.db.url(), &world.process(), FAR)
        .await
        .unwrap()
        .asked;
    assert_eq!(asked, 0);
    let row = &world.rows().await[0];
    assert!(row.doubtful && row.due && !row.gone, "{row:?}");
    assert_eq!(world.count("GET one").await, 0);
}

#[tokio::test]
async fn what_is_told_of_a_session_that_stripe_did_not_have_makes_us_look_again() {
    let world = World::new().await;
    let started = world.click().await.unwrap();
    let gone = "UPDATE verifications SET gone_at = now(), current = false";
    sqlx::raw_sql(gone).execute(world.db.pool()).await.unwrap();
    let success = json!({ "case": "success" });
    world
        .act(started.session.as_str(), "outcome", &success)
        .await;
    world.hear_all().await;
    assert!(world.rows().await[0].due);
    let process = world.process();
    let asked = refresh(world.db.url(), &process, FAR).await.unwrap().asked;
    assert_eq!(asked, 1);
    let row = &world.rows().await[0];
    assert!(!row.gone, "{row:?}");
    assert_eq!(world.person().await, "verified");
}

#[tokio::test]
async fn a_session_that_stripe_does_not_settle_is_counted_and_explained() {
    let world = World::new().await;
    let session = in_doubt(&world).await;
    world.hear_all().await;
    let url = SecretString::from(world.db.url().to_owned());
    let db = store::connect(&url, 1).unwrap();
    let (_, unsettled) = store::measure_doubts(&db, false, TRIES_BEFORE_ALARM)
        .await
        .unwrap();
    assert_eq!(unsettled, 0);
    let tried =
        "UPDATE verifications SET refresh_tries = 8, refresh_due_at = now() + interval '1 hour'";
    sqlx::raw_sql(tried).execute(world.db.pool()).await.unwrap();
    let (_, unsettled) = store::measure_doubts(&db, false, TRIES_BEFORE_ALARM)
        .await
        .unwrap();
    assert_eq!(unsettled, 1);
    let of_the_other = store::measure_doubts(&db, true, TRIES_BEFORE_ALARM);
    assert_eq!(of_the_other.await.unwrap(), (0.0, 0));
    let folder = working_folder();
    let variables = [("DATABASE_URL", world.db.url())];
    let said = run(&["explain", &session], &variables, folder.path()).stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("asked 8 times and does not settle it"),
        "{said}"
    );
    let said = run(&["explain", &session, "--json"], &variables, folder.path()).stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said[0]["attempts"][0]["unsettled"], true);
}
