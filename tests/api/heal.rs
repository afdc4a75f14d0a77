//! What no delivery told of is found: in Stripe's list of events, in its list of sessions, and by one healer at a time.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use verigate::{
    store::{self, Db, Ending, HealTimes, Healer, Worker},
    verification::{HealError, HealOrder, HealReport, Verifier},
};

use crate::{
    observe::insert_attempt,
    program::Program,
    sandbox::support::SESSIONS,
    support::eventually,
    world::{Gateway, World, ada_starts, refresh, verifier},
};

const EVERY: Duration = Duration::from_mins(5);
const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_mins(10);
const EVENTS: &str = "/v1/events";

fn connect(world: &World) -> Db {
    store::connect(&SecretString::from(world.db.url().to_owned()), 2).unwrap()
}

fn order(worker: i32, ahead: Duration) -> HealOrder {
    HealOrder {
        worker,
        every: EVERY,
        ahead,
        by_hand: false,
    }
}

/// A step of a healer that is there for as long as that takes.
async fn try_to_heal(
    world: &World,
    process: &Verifier,
    ahead: Duration,
) -> Result<Option<HealReport>, HealError> {
    let worker = Worker::start(&connect(world)).await.unwrap();
    let stop = CancellationToken::new();
    process.heal(order(worker.id(), ahead), &stop).await
}

async fn heal(world: &World, ahead: Duration) -> HealReport {
    let healed = try_to_heal(world, &world.process(), ahead).await.unwrap();
    healed.unwrap()
}

/// Nothing is told of by events any more.
async fn lose_events(world: &World) {
    let lost = json!({ "kind": "event_lost", "times": 0 });
    world.sandbox.fault(lost).await;
}

async fn succeed(world: &World, session: &str) {
    let success = json!({ "case": "success" });
    world.act(session, "outcome", &success).await;
}

/// So many people, each with a session of their own that has passed, of which nobody has heard.
async fn unheard_people(world: &World, many: usize) {
    for n in 0..many {
        let attempt = insert_attempt(world.db.pool(), &format!("person {n}")).await;
        let session = world.create_for(attempt).await;
        succeed(world, &session).await;
    }
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

const VERIFIED: &str = "SELECT count(*) FROM users WHERE status = 'verified'";

/// The second call to Stripe's list of events has arrived and is not answered. The first looks the same until it is.
async fn second_page_is_asked_for(world: &World) {
    eventually("the second page is asked for", async || {
        let calls = world.sandbox.calls().await;
        let second = calls.iter().filter(|call| call["path"] == EVENTS).nth(1);
        second
            .is_some_and(|call| call["progress"] == "running" && call["executed"] == false)
            .then_some(())
    })
    .await;
}

/// Holds the second page of events for as long as it takes.
async fn hold_second_page(world: &World) {
    let slow =
        json!({ "kind": "latency", "ms": 60_000, "path": EVENTS, "skip": 1, "when": "before" });
    world.sandbox.fault(slow).await;
}

/// A healer that has read a page, and waits for the next.
async fn healer_under_way(world: &World) -> JoinHandle<Result<Option<HealReport>, HealError>> {
    hold_second_page(world).await;
    let (process, db) = (world.process(), connect(world));
    let mut healer = tokio::spawn(async move {
        let worker = Worker::start(&db).await.unwrap();
        let stop = CancellationToken::new();
        process.heal(order(worker.id(), NOW), &stop).await
    });
    tokio::select! {
        () = second_page_is_asked_for(world) => {}
        ended = &mut healer => panic!("it ended: {ended:?}"),
    }
    healer
}

#[tokio::test]
async fn an_event_that_was_never_delivered_is_found_and_nothing_is_found_twice() {
    let world = World::new().await;
    let started = world.click().await.unwrap();
    succeed(&world, started.session.as_str()).await;
    world.pass(100).await;
    let report = heal(&world, NOW).await;
    assert_eq!((report.healed, report.by_event), (1, 1), "{report:?}");
    assert_eq!((report.events_new, report.strangers), (2, 0), "{report:?}");
    let wrong = report.longest_wrong_seconds;
    assert!((95..=200).contains(&wrong), "since its event: {report:?}");
    assert_eq!(world.person().await, "verified");

    let nothing = heal(&world, LATER).await;
    assert_eq!((nothing.healed, nothing.events_new), (0, 0), "{nothing:?}");
    assert_eq!((nothing.events_read, nothing.sessions_read), (2, 1));
    let history = "SELECT count(*) FROM verification_history WHERE to_status = 'verified'";
    assert_eq!(count(world.db.pool(), history).await, 1);
}

#[tokio::test]
async fn a_change_without_any_event_is_found_in_the_list_whatever_we_believed() {
    let world = World::new().await;
    let started = world.click().await.unwrap();
    let session = started.session.as_str();
    lose_events(&world).await;
    succeed(&world, session).await;
    world.pass(10).await;
    let report = heal(&world, NOW).await;
    assert_eq!((report.healed, report.by_list), (1, 1), "{report:?}");
    assert_eq!(world.person().await, "verified");

    // A reviewer changes their mind, twice, and no event says so.
    let back = json!({ "status": "requires_input", "code": "selfie_manipulated" });
    let again = json!({ "status": "verified" });
    for (n, (how, status)) in [(back, "requires_input"), (again, "verified")]
        .iter()
        .enumerate()
    {
        world.pass(60).await;
        world.act(session, "override", how).await;
        world.pass(60).await;
        let report = heal(&world, LATER * (u32::try_from(n).unwrap() + 1)).await;
        assert_eq!((report.healed, report.by_list), (1, 1), "{report:?}");
        assert_eq!(world.person().await, *status);
    }
    let row = &world.rows().await[0];
    assert!(!row.doubtful && !row.due, "{row:?}");
    assert_eq!(world.count("GET one").await, 0, "a list was enough");
}

#[tokio::test]
async fn what_the_list_confirms_is_not_written_again() {
    let world = World::new().await;
    let started = world.click().await.unwrap();
    // In one second with the answer to the click it would be a doubt.
    world.pass(10).await;
    succeed(&world, started.session.as_str()).await;
    heal(&world, NOW).await;
    let updated = "SELECT count(*) FROM verifications WHERE updated_at < now() - interval '1 hour'";
    sqlx::raw_sql("UPDATE verifications SET updated_at = now() - interval '2 hours'")
        .execute(world.db.pool())
        .await
        .unwrap();
    let report = heal(&world, LATER).await;
    assert_eq!(report.sessions_read, 1);
    assert_eq!(count(world.db.pool(), updated).await, 1);
}

#[tokio::test]
async fn a_healer_that_dies_half_way_is_taken_over_at_once_and_nothing_happens_twice() {
    let world = World::new().await;
    // Two events each: three pages of events, two of sessions.
    unheard_people(&world, 120).await;
    let healer = healer_under_way(&world).await;
    let pool = world.db.pool();
    let some = count(pool, VERIFIED).await;
    assert!(some > 0 && some < 120, "{some} after one page");
    healer.abort();
    let _ = healer.await;
    world.sandbox.clear_faults().await;
    // Postgres notices that its connection is gone, and no time has to pass but that.
    let report = eventually("another goes on", async || {
        try_to_heal(&world, &world.process(), NOW).await.unwrap()
    })
    .await;
    assert_eq!(report.events_read, 240, "{report:?}");
    assert_eq!(i64::try_from(report.healed).unwrap() + some, 120);
    assert_eq!(count(pool, VERIFIED).await, 120);
    let changes =
        "SELECT count(*) FROM verification_history WHERE to_status IS DISTINCT FROM from_status";
    let (changes, reports) = (
        count(pool, changes).await,
        count(pool, "SELECT count(*) FROM verification_reports").await,
    );
    assert_eq!(reports, 120);
    assert!((120..=240).contains(&changes), "{changes}");
    let gaps = "SELECT count(*) FROM (SELECT user_id, count(*) AS many, max(sequence) AS last FROM outbox GROUP BY 1) m
                WHERE many <> last";
    assert_eq!(count(pool, gaps).await, 0);
    assert!(
        try_to_heal(&world, &world.process(), NOW)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn two_replicas_never_heal_at_once() {
    let world = World::new().await;
    unheard_people(&world, 60).await;
    let healer = healer_under_way(&world).await;
    for by_hand in [false, true] {
        let worker = Worker::start(&connect(&world)).await.unwrap();
        let order = HealOrder {
            by_hand,
            ..order(worker.id(), LATER)
        };
        let stop = CancellationToken::new();
        let other = world.process().heal(order, &stop).await.unwrap();
        assert_eq!(other, None);
    }
    world.sandbox.clear_faults().await;
    let report = healer.await.unwrap().unwrap().unwrap();
    assert_eq!(report.healed, 60);
    // It has had its round; the next is due later.
    let idle = try_to_heal(&world, &world.process(), NOW).await.unwrap();
    assert_eq!(idle, None);
    assert_eq!(heal(&world, LATER).await.healed, 0);
}

#[tokio::test]
async fn a_healer_that_is_asked_to_stop_leaves_the_rest_to_the_next() {
    let world = World::new().await;
    unheard_people(&world, 60).await;
    hold_second_page(&world).await;
    let stop = CancellationToken::new();
    let worker = Worker::start(&connect(&world)).await.unwrap();
    let process = world.process();
    let (healed, ()) = tokio::join!(process.heal(order(worker.id(), NOW), &stop), async {
        second_page_is_asked_for(&world).await;
        stop.cancel();
    });
    assert!(matches!(healed, Err(HealError::Interrupted)), "{healed:?}");
    world.sandbox.clear_faults().await;
    heal(&world, NOW).await;
    assert_eq!(count(world.db.pool(), VERIFIED).await, 60);
}

#[tokio::test]
async fn an_odd_event_does_not_stop_the_others() {
    let world = World::new().await;
    let odd = json!({ "kind": "odd", "event": "created", "times": 0 });
    world.sandbox.fault(odd).await;
    unheard_people(&world, 3).await;
    let report = heal(&world, NOW).await;
    assert_eq!((report.healed, report.unreadable), (3, 3), "{report:?}");
    assert_eq!((report.events_read, report.by_event), (3, 3), "{report:?}");
    // What was read is done with: the next round begins where this one stopped.
    let until = "SELECT count(*) FROM healing WHERE NOT livemode AND events_until IS NOT NULL";
    assert_eq!(count(world.db.pool(), until).await, 1);
}

#[tokio::test]
async fn an_event_that_cannot_be_committed_does_not_stop_the_others() {
    let world = World::new().await;
    let known = world.click().await.unwrap();
    world.hear_all().await;
    // As a later version may have written it.
    let later = "UPDATE verifications SET event_second = 1, events_told = '{\"paused\": {}}'";
    sqlx::raw_sql(later).execute(world.db.pool()).await.unwrap();
    succeed(&world, known.session.as_str()).await;
    unheard_people(&world, 3).await;
    let report = heal(&world, NOW).await;
    assert_eq!(report.by_event, 3, "{report:?}");
    assert!(report.unreadable > 0, "{report:?}");
    assert_eq!(count(world.db.pool(), VERIFIED).await, 3);
}

#[tokio::test]
async fn another_failure_than_we_believed_in_is_healed_and_counted() {
    let world = World::new().await;
    let started = world.click().await.unwrap();
    let fail = async |code: &str| {
        world.pass(10).await;
        let failure = json!({ "case": "failure", "code": code });
        world
            .act(started.session.as_str(), "outcome", &failure)
            .await;
    };
    fail("document_expired").await;
    world.hear_all().await;
    fail("selfie_document_missing_photo").await;
    let report = heal(&world, NOW).await;
    assert_eq!((report.healed, report.by_event), (1, 1), "{report:?}");
    lose_events(&world).await;
    fail("document_expired").await;
    let report = heal(&world, LATER).await;
    assert_eq!((report.healed, report.by_list), (1, 1), "{report:?}");
}

#[tokio::test]
async fn a_session_that_nobody_here_made_is_kept_current_without_a_person() {
    let world = World::new().await;
    let session = world.sandbox.create().await;
    let session = session["id"].as_str().unwrap();
    lose_events(&world).await;
    let report = heal(&world, NOW).await;
    assert_eq!((report.strangers, report.healed), (1, 0), "{report:?}");
    succeed(&world, session).await;
    world.pass(10).await;
    let report = heal(&world, LATER).await;
    assert_eq!((report.strangers, report.healed), (0, 1), "{report:?}");
    let row = &world.rows().await[0];
    assert!(!row.claimed);
    assert_eq!(row.status.as_deref(), Some("verified"));
}

/// The process dies after Stripe has made the session, and before we know of it.
async fn session_without_our_knowing(world: &World) {
    let cut = json!({ "kind": "cut", "method": "POST", "path": SESSIONS, "when": "after" });
    world.sandbox.fault(cut).await;
    lose_events(world).await;
    let process = verifier(world.db.url(), &world.sandbox.base, |settings| {
        settings.max_retries = 0;
    });
    process.start(&ada_starts()).await.unwrap_err();
    assert_eq!(world.rows().await[0].session_id, None);
    assert_eq!(world.sessions().await.len(), 1);
}

#[tokio::test]
async fn an_attempt_that_never_got_its_session_gets_it_from_the_list() {
    let world = World::new().await;
    session_without_our_knowing(&world).await;
    let report = heal(&world, NOW).await;
    assert_eq!((report.healed, report.by_list), (1, 1), "{report:?}");
    let started = world.click().await.unwrap();
    world.assert_one_session(started.session.as_str()).await;
}

#[tokio::test]
async fn an_old_attempt_without_a_session_is_searched_for_once() {
    let world = World::new().await;
    session_without_our_knowing(&world).await;
    insert_attempt(world.db.pool(), "somebody whom Stripe does not know").await;
    // So late that no sweep goes back to it.
    let report = heal(&world, Duration::from_hours(24 * 92)).await;
    assert_eq!(
        (report.attempts_searched, report.by_search),
        (2, 1),
        "{report:?}"
    );
    let rows = world.rows().await;
    assert!(
        rows[0].session_id.is_some() && rows[1].session_id.is_none(),
        "{rows:?}"
    );
    let report = heal(&world, Duration::from_hours(24 * 93)).await;
    assert_eq!(
        (report.attempts_searched, report.healed),
        (0, 0),
        "{report:?}"
    );
}

#[tokio::test]
async fn whoever_is_signed_up_for_later_is_still_healed_after_stripe_was_away() {
    let world = World::new().await;
    unheard_people(&world, 2).await;
    let away = json!({ "kind": "error", "status": 500, "path": "/v1/**", "times": 0 });
    world.sandbox.fault(away).await;
    let impatient = verifier(world.db.url(), &world.sandbox.base, |settings| {
        settings.max_retries = 0;
    });
    let failed = try_to_heal(&world, &impatient, NOW).await;
    assert!(matches!(failed, Err(HealError::Stripe(_))), "{failed:?}");
    let later = "SELECT count(*) FROM healing WHERE NOT livemode AND failed_tries = 1 AND claimed_by IS NULL
                 AND due_at BETWEEN now() + interval '3 seconds' AND now() + interval '10 seconds'";
    assert_eq!(count(world.db.pool(), later).await, 1);
    let idle = try_to_heal(&world, &impatient, NOW).await.unwrap();
    assert_eq!(idle, None, "not at once");
    world.sandbox.clear_faults().await;
    assert_eq!(heal(&world, Duration::from_mins(1)).await.healed, 2);
    let well = "SELECT count(*) FROM healing WHERE NOT livemode AND failed_tries = 0";
    assert_eq!(count(world.db.pool(), well).await, 1);
}

#[tokio::test]
async fn a_list_that_stripe_refuses_does_not_keep_us_from_the_other() {
    let world = World::new().await;
    unheard_people(&world, 2).await;
    // As with a restricted key that may not read events.
    let refused = json!({ "kind": "error", "status": 403, "path": EVENTS, "times": 0 });
    world.sandbox.fault(refused).await;
    world.pass(10).await;
    let failed = try_to_heal(&world, &world.process(), NOW).await;
    assert!(matches!(failed, Err(HealError::Stripe(_))), "{failed:?}");
    assert_eq!(count(world.db.pool(), VERIFIED).await, 2);
}

fn dev(world: &World, arguments: &[&str], own: &[(&str, &str)]) -> (Program, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut variables = vec![
        ("DATABASE_URL", world.db.url()),
        ("STRIPE_API_BASE", &world.sandbox.base),
        ("BIND_ADDR", "127.0.0.1:0"),
    ];
    variables.extend(own);
    (Program::start(arguments, &variables, folder.path()), folder)
}

#[tokio::test]
async fn a_stripe_that_is_away_is_told_of_once() {
    let world = World::new().await;
    let away = json!({ "kind": "error", "status": 500, "path": "/v1/**", "times": 0 });
    world.sandbox.fault(away).await;
    let (mut program, _folder) = dev(&world, &["dev"], &[("RUST_LOG", "verigate=info")]);
    program.greeted().await;
    for tries in [1, 2] {
        eventually("a round has failed", async || {
            let failed = "SELECT failed_tries::bigint FROM healing WHERE NOT livemode";
            (count(world.db.pool(), failed).await >= tries).then_some(())
        })
        .await;
        sqlx::raw_sql("UPDATE healing SET due_at = now()")
            .execute(world.db.pool())
            .await
            .unwrap();
    }
    world.sandbox.clear_faults().await;
    eventually("it is well again", async || {
        let well = "SELECT count(*) FROM healing WHERE NOT livemode AND round_ended_at IS NOT NULL";
        (count(world.db.pool(), well).await == 1).then_some(())
    })
    .await;
    let said = eventually("it says so", async || {
        let said = program.logged();
        said.contains("can be looked for again").then_some(said)
    })
    .await;
    assert_eq!(said.matches("cannot be looked for").count(), 1, "{said}");
    assert_eq!(
        said.matches("looked for what deliveries missed").count(),
        1,
        "{said}"
    );
}

#[tokio::test]
async fn a_server_that_starts_heals_at_once() {
    let world = World::new().await;
    unheard_people(&world, 3).await;
    // As if another had just been at it.
    sqlx::raw_sql("UPDATE healing SET due_at = now() + interval '5 minutes'")
        .execute(world.db.pool())
        .await
        .unwrap();
    let settings = [("HEAL_EVERY", "300")];
    let _gateway = Gateway::with(&world.db, &world.sandbox.base, &settings).await;
    eventually("everybody is verified", async || {
        (count(world.db.pool(), VERIFIED).await == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_command_does_a_round_and_prints_it() {
    let world = World::new().await;
    unheard_people(&world, 2).await;
    let (mut program, _folder) = dev(&world, &["heal", "--json"], &[]);
    assert!(program.ended().await.success(), "{}", program.logged());
    let report: Value = serde_json::from_str(&program.printed()).unwrap();
    assert_eq!(
        (&report["healed"], &report["by_event"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(program.logged(), "");

    let (mut program, _folder) = dev(&world, &["heal"], &[]);
    assert!(program.ended().await.success(), "{}", program.logged());
    let text = program.printed();
    assert!(text.starts_with("healed      0\n"), "{text}");
    assert!(text.contains("4 events (0 new), "), "{text}");
}

#[tokio::test]
async fn the_command_waits_for_whoever_is_at_it() {
    let world = World::new().await;
    let db = connect(&world);
    let worker = Worker::start(&db).await.unwrap();
    let healer = Healer {
        livemode: false,
        worker: worker.id(),
    };
    let times = HealTimes {
        every: EVERY,
        ahead: NOW,
        by_hand: false,
    };
    let claimed = store::claim_healing(&db, healer, times).await.unwrap();
    assert!(claimed.is_some());
    let (mut program, _folder) = dev(&world, &["heal"], &[]);
    let waited_for = program.word_after("worker ").await;
    assert_eq!(waited_for, worker.id().to_string());
    assert!(world.sandbox.calls().await.is_empty());
    store::end_healing(&db, healer, Ending::Interrupted)
        .await
        .unwrap();
    assert!(program.ended().await.success(), "{}", program.logged());
    assert_eq!(program.logged().matches("is at it").count(), 1);
}

#[tokio::test]
async fn two_servers_have_one_rate_for_what_nobody_waits_for() {
    const CALLS: usize = 20;
    let world = World::new().await;
    for _ in 0..CALLS {
        let session = world.create_for(Uuid::now_v7()).await;
        let mut thin = world.events().await.remove(0);
        thin["id"] = json!(format!("evt_of_{session}"));
        thin["data"]["object"] =
            json!({ "id": session, "object": "identity.verification_session" });
        thin["type"] = json!("identity.verification_session.of_a_later_version");
        world
            .process()
            .hear(&crate::world::read(&thin))
            .await
            .unwrap();
    }
    let slowly = || {
        verifier(world.db.url(), &world.sandbox.base, |settings| {
            settings.jobs_per_second = 10;
        })
    };
    let before: f64 =
        sqlx::query_scalar("SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8 * 1000")
            .fetch_one(world.db.pool())
            .await
            .unwrap();
    let asks = async |process: Verifier| {
        let far = Duration::from_hours(2);
        let mut asked = 0;
        loop {
            match refresh(world.db.url(), &process, far).await.unwrap().asked {
                0 => return asked,
                more => asked += more,
            }
        }
    };
    let (one, other) = tokio::join!(asks(slowly()), asks(slowly()));
    assert_eq!(one + other, CALLS);
    let calls = world.calls("GET one").await;
    assert_eq!(calls.len(), CALLS);
    // However slow the machine is, the n-th goes no earlier than n tenths of a second.
    let mut at: Vec<f64> = calls
        .iter()
        .map(|call| call["at_ms"].as_f64().unwrap())
        .collect();
    at.sort_by(f64::total_cmp);
    for (n, at) in (0_u32..).zip(at) {
        let since = at - before;
        assert!(
            since > f64::from(n) * 100.0 - 5.0,
            "call {n} after {since} ms"
        );
    }
}
