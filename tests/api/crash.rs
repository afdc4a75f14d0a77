//! The program is killed between any two of its steps, and the next click or delivery completes what it left.
//!
//! It is held at a step by Stripe taking its time, before or after the effect, or by a lock of the test's in Postgres.

use std::future::pending;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::timeout;
use verigate::{
    domain::{Client, Person, Scope},
    verification::StartRequest,
};

use crate::{
    process::Process,
    sandbox::support::id,
    support::{PATIENCE, eventually},
    v1::make_key,
    world::World,
};

const SESSIONS: &str = "/v1/identity/verification_sessions";
const CREATE: Call = Call("POST", SESSIONS);
const LIST: Call = Call("GET", SESSIONS);
const READ: Call = Call("GET", "/v1/identity/verification_sessions/*");
const CHANGE: Call = Call("POST", "/v1/identity/verification_sessions/*");
const CLOSE: Call = Call("POST", "/v1/identity/verification_sessions/*/cancel");
const REDACT: Call = Call("POST", "/v1/identity/verification_sessions/*/redact");
const KEY: Call = Call("POST", "/v1/ephemeral_keys");

/// Every row of a table, or the whole of it against writing.
const ROWS_OF_USERS: &str = "SELECT FROM users FOR UPDATE";
const ROWS_OF_VERIFICATIONS: &str = "SELECT FROM verifications FOR UPDATE";
const ROWS_OF_ERASURES: &str = "SELECT FROM erasures FOR UPDATE";
const ROWS_OF_REDACTIONS: &str = "SELECT FROM redactions FOR UPDATE";
const USERS: &str = "LOCK TABLE users IN SHARE MODE";
const HISTORY: &str = "LOCK TABLE verification_history IN SHARE MODE";
const REPORTS: &str = "LOCK TABLE verification_reports IN SHARE MODE";
const EVENTS: &str = "LOCK TABLE stripe_events IN SHARE MODE";
const LINKS: &str = "LOCK TABLE hand_offs IN SHARE MODE";
const ERASURES: &str = "LOCK TABLE erasures IN SHARE MODE";
const OUTBOX: &str = "LOCK TABLE outbox IN SHARE MODE";

/// A call to Stripe.
#[derive(Clone, Copy)]
struct Call(&'static str, &'static str);

/// Where the program stands when it is killed.
#[derive(Clone, Copy)]
enum Step {
    /// In a call that Stripe has not acted upon yet.
    Before(Call),
    /// In a call that Stripe has acted upon, and not answered.
    After(Call),
    /// At a statement that waits for this lock.
    Locked(&'static str),
    /// The same, but before this call it may still have the lock.
    Then(Call, &'static str),
}

impl Step {
    fn call(self) -> Option<(Call, &'static str)> {
        match self {
            Self::Before(call) | Self::Then(call, _) => Some((call, "before")),
            Self::After(call) => Some((call, "after")),
            Self::Locked(_) => None,
        }
    }
}

/// Has the program do something, kills it at that step, and starts another.
async fn kill_at(
    world: &World,
    process: Process,
    step: Step,
    act: impl AsyncFnOnce(&Process),
) -> Process {
    let mut locker = PgConnection::connect(world.db.url()).await.unwrap();
    locker.execute("BEGIN").await.unwrap();
    if let Step::Locked(lock) = step {
        locker.execute(lock).await.unwrap();
    }
    if let Some((Call(method, path), when)) = step.call() {
        // Every such call until they are released: the program gives up after seconds, and tries again.
        let slow = json!({ "kind": "latency", "ms": 60_000, "times": 0, "method": method, "path": path, "when": when });
        world.sandbox.fault(slow).await;
    }
    let reached = async {
        if let Some((call, when)) = step.call() {
            wait_for_call(world, call, when).await;
        }
        if let Step::Then(_, lock) = step {
            locker.execute(lock).await.unwrap();
            release_calls(world).await;
        }
        if let Step::Locked(_) | Step::Then(..) = step {
            let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                AND datname = current_database() AND application_name = 'verigate')";
            wait_for(world, "it waits for the lock", waiting).await;
        }
    };
    tokio::select! {
        () = reached => {}
        () = act(&process) => panic!("it was over before it came to that step"),
    }
    let policies = process.policies;
    process.kill().await;
    release_calls(world).await;
    locker.execute("ROLLBACK").await.unwrap();
    let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'verigate')";
    wait_for(world, "its connections end", gone).await;
    world.run_leases_out().await;
    Process::start_under(world, policies).await
}

async fn wait_for(world: &World, what: &str, query: &'static str) {
    eventually(what, async || {
        let query = sqlx::query_scalar(query);
        let so: bool = query.fetch_one(world.db.pool()).await.unwrap();
        so.then_some(())
    })
    .await;
}

async fn wait_for_call(world: &World, Call(method, path): Call, when: &str) {
    let prefix = path.split('*').next().unwrap();
    let held = eventually("the call is under way", async || {
        let calls = world.sandbox.calls().await;
        let held = calls.iter().any(|call| {
            call["method"] == method
                && call["path"].as_str().unwrap().starts_with(prefix)
                && call["progress"] == "running"
                && call["executed"] == (when == "after")
        });
        held.then_some(())
    });
    let came = timeout(PATIENCE / 2, held).await.is_ok();
    let calls = world.sandbox.calls().await;
    assert!(came, "{method} {path} is not among {calls:#?}");
}

async fn release_calls(world: &World) {
    eventually("the calls go on", async || {
        world.sandbox.clear_faults().await;
        let calls = world.sandbox.calls().await;
        let over = calls.iter().all(|call| call["progress"] != "running");
        over.then_some(())
    })
    .await;
}

async fn click(process: &Process) {
    process.click().await;
}

/// Clicks until it works.
async fn click_until_open(process: &Process) -> String {
    let answer = eventually("a click that works", async || process.click().await).await;
    id(&answer).to_owned()
}

/// The first click of a person, and the one after the crash.
async fn first_click_killed(step: Step) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let process = kill_at(&world, process, step, click).await;
    let session = click_until_open(&process).await;
    world.assert_one_session(&session).await;
    assert_eq!(world.person().await, "requires_input");
}

#[tokio::test]
async fn killed_before_the_person_is_written() {
    first_click_killed(Step::Locked(USERS)).await;
}

#[tokio::test]
async fn killed_before_the_attempt_is_committed() {
    first_click_killed(Step::Locked(HISTORY)).await;
}

#[tokio::test]
async fn killed_before_stripe_makes_the_session() {
    first_click_killed(Step::Before(CREATE)).await;
}

#[tokio::test]
async fn killed_before_stripe_answers_with_the_session() {
    first_click_killed(Step::After(CREATE)).await;
}

#[tokio::test]
async fn killed_with_the_session_in_hand() {
    first_click_killed(Step::Then(CREATE, ROWS_OF_USERS)).await;
}

#[tokio::test]
async fn killed_before_the_session_is_linked() {
    first_click_killed(Step::Then(CREATE, ROWS_OF_VERIFICATIONS)).await;
}

#[tokio::test]
async fn killed_before_the_link_is_committed() {
    first_click_killed(Step::Then(CREATE, HISTORY)).await;
}

#[tokio::test]
async fn killed_before_stripe_makes_the_key() {
    first_click_killed(Step::Before(KEY)).await;
}

#[tokio::test]
async fn killed_before_the_answer_with_the_key() {
    first_click_killed(Step::After(KEY)).await;
}

/// A click of a person whose session is open, and the one after the crash.
async fn second_click_killed(step: Step) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let first = click_until_open(&process).await;
    // Another process, for the first one still shares its answer.
    process.kill().await;
    let process = Process::start(&world).await;
    let process = kill_at(&world, process, step, click).await;
    assert_eq!(click_until_open(&process).await, first);
    world.assert_one_session(&first).await;
}

#[tokio::test]
async fn killed_before_the_turn_is_taken() {
    second_click_killed(Step::Locked(ROWS_OF_VERIFICATIONS)).await;
}

#[tokio::test]
async fn killed_while_the_open_session_is_read() {
    second_click_killed(Step::Before(READ)).await;
}

#[tokio::test]
async fn killed_before_the_open_sessions_state_is_saved() {
    second_click_killed(Step::Then(READ, ROWS_OF_USERS)).await;
}

#[tokio::test]
async fn killed_while_the_open_sessions_state_is_saved() {
    second_click_killed(Step::Then(READ, ROWS_OF_VERIFICATIONS)).await;
}

/// A click of a person whose session Stripe no longer has.
async fn click_killed_after_a_loss(step: Step) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let lost = click_until_open(&process).await;
    process.kill().await;
    world.sandbox.control("/_reset", &json!({})).await;
    let process = Process::start(&world).await;
    let process = kill_at(&world, process, step, click).await;
    let session = click_until_open(&process).await;
    assert_ne!(session, lost);
    world.assert_one_session(&session).await;
    let rows = world.rows().await;
    let before = &rows[0];
    assert_eq!(before.session_id.as_deref(), Some(lost.as_str()));
    assert!(before.gone && !before.current, "{rows:#?}");
}

#[tokio::test]
async fn killed_before_the_loss_of_a_session_is_noted() {
    click_killed_after_a_loss(Step::Then(READ, ROWS_OF_USERS)).await;
}

#[tokio::test]
async fn killed_before_the_loss_of_a_session_is_committed() {
    click_killed_after_a_loss(Step::Then(READ, HISTORY)).await;
}

#[tokio::test]
async fn killed_between_the_loss_and_the_new_session() {
    click_killed_after_a_loss(Step::After(CREATE)).await;
}

/// A click of a person whose first create was never answered, and whose key Stripe has forgotten.
async fn click_killed_after_the_key_expired(step: Step) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let process = kill_at(&world, process, Step::After(CREATE), click).await;
    world.age_attempts().await;
    let process = kill_at(&world, process, step, click).await;
    let session = click_until_open(&process).await;
    world.assert_one_session(&session).await;
    assert_eq!(world.rows().await.len(), 1);
}

#[tokio::test]
async fn killed_while_it_looks_for_its_session() {
    click_killed_after_the_key_expired(Step::Before(LIST)).await;
}

#[tokio::test]
async fn killed_while_the_session_it_found_is_linked() {
    click_killed_after_the_key_expired(Step::Then(LIST, HISTORY)).await;
}

const SELFIE: &str = r#"{"default": {"type": "document"}, "selfie": {"type": "document", "default": true,
    "options": {"document": {"require_matching_selfie": true}}, "satisfies": ["default"]}}"#;
const FLOW: &str =
    r#"{"default": {"type": "document"}, "flow": {"verification_flow": "vf_1", "default": true}}"#;

/// A click of a person whose open session is under another policy than the one that is wanted now.
async fn change_killed(policies: &'static str, step: Step) -> (World, String, Value) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let first = click_until_open(&process).await;
    process.kill().await;
    let process = Process::start_under(&world, policies).await;
    let process = kill_at(&world, process, step, click).await;
    let session = click_until_open(&process).await;
    world.assert_open(&session).await;
    let policy =
        "SELECT policy || array_to_string(policies_asked, ',') FROM verifications WHERE current";
    let query = sqlx::query_scalar(policy);
    let policy: String = query.fetch_one(world.db.pool()).await.unwrap();
    let theirs = world.sandbox.get(&format!("{SESSIONS}/{session}")).await;
    assert_eq!(policy, process_policy(policies), "nothing is left open");
    (world, first, theirs.body)
}

fn process_policy(policies: &str) -> &'static str {
    if policies == FLOW { "flow" } else { "selfie" }
}

async fn update_killed(step: Step) {
    let (world, first, theirs) = change_killed(SELFIE, step).await;
    world.assert_one_session(&first).await;
    assert_eq!(
        theirs["options"]["document"]["require_matching_selfie"],
        true
    );
}

async fn cancel_killed(step: Step) {
    let (world, first, theirs) = change_killed(FLOW, step).await;
    assert_eq!(theirs["verification_flow"], "vf_1");
    let sessions = world.sessions().await;
    assert_eq!(sessions.len(), 2);
    assert_eq!(id(&sessions[0]), first);
    assert_eq!(sessions[0]["status"], "canceled");
    assert_eq!(
        world.rows().await[0].status.as_deref(),
        Some("canceled"),
        "we know"
    );
}

#[tokio::test]
async fn killed_before_the_wish_for_another_policy_is_committed() {
    update_killed(Step::Locked(ROWS_OF_VERIFICATIONS)).await;
}

#[tokio::test]
async fn killed_before_stripe_changes_the_session() {
    update_killed(Step::Before(CHANGE)).await;
}

#[tokio::test]
async fn killed_before_stripe_answers_that_the_session_is_changed() {
    update_killed(Step::After(CHANGE)).await;
}

#[tokio::test]
async fn killed_while_the_changed_session_is_read() {
    update_killed(Step::Before(READ)).await;
}

#[tokio::test]
async fn killed_before_the_change_is_saved() {
    update_killed(Step::Then(READ, ROWS_OF_USERS)).await;
}

#[tokio::test]
async fn killed_before_the_change_is_committed() {
    update_killed(Step::Then(READ, HISTORY)).await;
}

#[tokio::test]
async fn killed_before_stripe_closes_the_session_for_another_policy() {
    cancel_killed(Step::Before(CLOSE)).await;
}

#[tokio::test]
async fn killed_before_stripe_answers_that_the_session_is_closed() {
    cancel_killed(Step::After(CLOSE)).await;
}

#[tokio::test]
async fn killed_before_the_end_of_the_closed_session_is_committed() {
    cancel_killed(Step::Then(READ, HISTORY)).await;
}

#[tokio::test]
async fn killed_between_the_closed_session_and_the_new_one() {
    cancel_killed(Step::Before(CREATE)).await;
}

async fn count(world: &World, query: &'static str) -> i64 {
    let query = sqlx::query_scalar(query);
    query.fetch_one(world.db.pool()).await.unwrap()
}

/// Delivers until it is taken, as Stripe does.
async fn deliver_until_taken(process: &Process, event: &Value) {
    eventually("the delivery is taken", async || {
        (process.deliver(event).await == Some(StatusCode::OK)).then_some(())
    })
    .await;
}

/// The delivery that says a person is verified, and its repetition after the crash.
async fn delivery_killed(step: Step) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let session = click_until_open(&process).await;
    let success = json!({ "case": "success" });
    world.act(&session, "outcome", &success).await;
    let events = world.events().await;
    deliver_until_taken(&process, &events[0]).await;
    let verified = &events[1];
    let process = kill_at(&world, process, step, async |process| {
        process.deliver(verified).await;
    })
    .await;
    assert_eq!(
        world.person().await,
        "requires_input",
        "all of it or nothing"
    );
    // Taken, known already, and after one more crash known still.
    deliver_until_taken(&process, verified).await;
    process.kill().await;
    let process = Process::start(&world).await;
    deliver_until_taken(&process, verified).await;
    assert_eq!(world.person().await, "verified");
    let rows = world.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].status.as_deref(), Some("verified"));
    for (times, query) in [
        (2, "SELECT count(*) FROM stripe_events"),
        (1, "SELECT count(*) FROM verification_reports"),
        (
            1,
            "SELECT count(*) FROM verification_history WHERE to_status = 'verified'",
        ),
    ] {
        assert_eq!(count(&world, query).await, times, "{query}");
    }
}

#[tokio::test]
async fn killed_before_a_delivery_is_recorded() {
    delivery_killed(Step::Locked(EVENTS)).await;
}

#[tokio::test]
async fn killed_before_a_deliverys_person_is_locked() {
    delivery_killed(Step::Locked(ROWS_OF_USERS)).await;
}

#[tokio::test]
async fn killed_before_a_deliverys_session_is_locked() {
    delivery_killed(Step::Locked(ROWS_OF_VERIFICATIONS)).await;
}

#[tokio::test]
async fn killed_before_a_deliverys_report_is_recorded() {
    delivery_killed(Step::Locked(REPORTS)).await;
}

#[tokio::test]
async fn killed_before_a_deliverys_change_is_recorded() {
    delivery_killed(Step::Locked(HISTORY)).await;
}

#[tokio::test]
async fn killed_before_a_deliverys_messages_are_written() {
    delivery_killed(Step::Locked(OUTBOX)).await;
}

/// The create was never answered, a delivery that names nobody came first, and now comes the one that says whose it is.
#[tokio::test]
async fn killed_while_an_unclaimed_session_is_claimed() {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let process = kill_at(&world, process, Step::After(CREATE), click).await;
    let session = id(&world.sessions().await[0]).to_owned();
    let failure = json!({ "case": "failure", "code": "document_expired" });
    world.act(&session, "outcome", &failure).await;
    let mut events = world.events().await;
    events[1]["data"]["object"]["metadata"] = json!({});
    deliver_until_taken(&process, &events[1]).await;
    assert_eq!(world.rows().await.len(), 2);
    let process = kill_at(&world, process, Step::Locked(REPORTS), async |process| {
        process.deliver(&events[0]).await;
    })
    .await;
    assert_eq!(world.rows().await.len(), 2);
    deliver_until_taken(&process, &events[0]).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0].error_code.as_deref(), Some("document_expired"));
    assert_eq!(click_until_open(&process).await, session);
    world.assert_one_session(&session).await;
}

/// A doubt is about to be settled; after the crash it still is due, and settled.
async fn refresh_killed(step: Step) {
    let world = World::new().await;
    let process = Process::start(&world).await;
    let session = click_until_open(&process).await;
    let success = json!({ "case": "success" });
    world.act(&session, "outcome", &success).await;
    let same_second = json!({ "kind": "same_second", "event": "requires_input" });
    world.sandbox.fault(same_second).await;
    let overturned = json!({ "status": "requires_input", "code": "selfie_manipulated" });
    world.act(&session, "override", &overturned).await;
    let events = world.events().await;
    world.pass(60).await;
    let process = kill_at(&world, process, step, async |process| {
        for event in &events {
            deliver_until_taken(process, event).await;
        }
        make_due(&world).await;
        pending::<()>().await;
    })
    .await;
    assert_eq!(world.person().await, "verified");
    make_due(&world).await;
    eventually("the doubt is settled", async || {
        let row = world.rows().await.remove(0);
        (!row.doubtful && !row.due).then_some(())
    })
    .await;
    assert_eq!(world.person().await, "requires_input");
    drop(process);
}

/// As if all the waiting were over.
async fn make_due(world: &World) {
    let due = "UPDATE verifications SET refresh_due_at = now() WHERE refresh_due_at IS NOT NULL";
    sqlx::query(due).execute(world.db.pool()).await.unwrap();
}

#[tokio::test]
async fn killed_while_stripe_is_asked_about_a_doubt() {
    refresh_killed(Step::Before(READ)).await;
}

#[tokio::test]
async fn killed_with_the_word_that_settles_a_doubt() {
    refresh_killed(Step::Then(READ, ROWS_OF_USERS)).await;
}

/// What leads to the person who is to be forgotten; nothing else holds it.
const MARK: &str = "zq8f";

/// Somebody whom an application knows, and their open session.
async fn somebody(world: &World) -> String {
    let person = Person {
        realm: "app".to_owned(),
        external_id: MARK.to_owned(),
        email: Some(format!("{MARK}@example.com")),
    };
    let request = StartRequest::new(person, Client::Modal);
    let started = world.process().start(&request).await.unwrap();
    started.session.to_string()
}

/// Asks that they be forgotten; no status if the server did not live to answer.
async fn forget(process: &Process, key: &str) -> Option<StatusCode> {
    let address = format!("{}/v1/users/{MARK}", process.origin);
    let request = process.http.delete(address).bearer_auth(key);
    request.send().await.ok().map(|answer| answer.status())
}

/// Does any row of any table hold the mark?
async fn is_marked(world: &World) -> bool {
    let dump = "SELECT coalesce(string_agg(query_to_xml( \
            format('SELECT * FROM %I.%I', table_schema, table_name), true, false, '')::text, ''), '') LIKE '%' || $1 || '%' \
        FROM information_schema.tables WHERE table_schema = 'public'";
    let found = sqlx::query_scalar(dump)
        .bind(MARK)
        .fetch_one(world.db.pool());
    found.await.unwrap()
}

/// Forgetting somebody: after the crash they are there as before or gone, and never in between; whoever asks again
/// finds nobody in the end, and Stripe has erased all of it.
async fn forgetting_killed(step: Step) {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let session = somebody(&world).await;
    let key = &make_key(&world, &Scope::ALL).await;
    assert!(is_marked(&world).await);
    let process = Process::start(&world).await;
    let process = kill_at(&world, process, step, async |process: &Process| {
        forget(process, key).await;
        // What comes next is the job's.
        pending::<()>().await;
    })
    .await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM erasures")
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert_eq!(is_marked(&world).await, left == 0);
    eventually("nobody is left to be forgotten", async || {
        let status = forget(&process, key).await;
        (status == Some(StatusCode::NOT_FOUND)).then_some(())
    })
    .await;
    stripe_erases(&world, &session).await;
    forgetting_ends(&world, &process).await;
}

/// The same when Stripe has erased, and says so.
async fn end_of_forgetting_killed(step: Step) {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let session = somebody(&world).await;
    let key = make_key(&world, &Scope::ALL).await;
    let process = Process::start(&world).await;
    let status = forget(&process, &key).await;
    assert_eq!(status, Some(StatusCode::ACCEPTED));
    stripe_erases(&world, &session).await;
    let process = kill_at(&world, process, step, async |process: &Process| {
        for event in world.events().await {
            process.deliver(&event).await;
        }
        pending::<()>().await;
    })
    .await;
    forgetting_ends(&world, &process).await;
}

/// Stripe is asked to erase the session, and comes to the end of it.
async fn stripe_erases(world: &World, session: &str) {
    eventually("Stripe erases", async || {
        let theirs = world.sessions().await;
        (!theirs[0]["redaction"].is_null()).then_some(())
    })
    .await;
    world.act(session, "finish", &json!({})).await;
}

/// Whatever Stripe tells, once more: it is over, and nothing leads to anybody.
async fn forgetting_ends(world: &World, process: &Process) {
    for event in world.events().await {
        assert_eq!(process.deliver(&event).await, Some(StatusCode::OK));
    }
    let finished = "SELECT count(*) = 1 AND count(finished_at) = 1 FROM erasures";
    wait_for(world, "it is noted that it is over", finished).await;
    let over = "SELECT count(*) = 1 AND min(outcome) = 'redacted' FROM redactions";
    wait_for(world, "the redaction is over", over).await;
    assert!(!is_marked(world).await);
    assert_eq!(world.rows().await.len(), 1);
}

#[tokio::test]
async fn killed_before_anything_of_a_person_is_forgotten() {
    forgetting_killed(Step::Locked(USERS)).await;
}

#[tokio::test]
async fn killed_while_a_person_is_half_forgotten() {
    forgetting_killed(Step::Locked(LINKS)).await;
}

#[tokio::test]
async fn killed_before_it_is_committed_that_a_person_is_forgotten() {
    forgetting_killed(Step::Locked(ERASURES)).await;
}

#[tokio::test]
async fn killed_before_stripe_is_asked_to_erase_their_session() {
    forgetting_killed(Step::Before(REDACT)).await;
}

#[tokio::test]
async fn killed_before_stripe_answers_that_it_erases() {
    forgetting_killed(Step::After(REDACT)).await;
}

#[tokio::test]
async fn killed_before_it_is_saved_that_stripe_erases() {
    forgetting_killed(Step::Then(REDACT, ROWS_OF_VERIFICATIONS)).await;
}

#[tokio::test]
async fn killed_before_it_is_saved_that_stripe_has_erased() {
    end_of_forgetting_killed(Step::Locked(ROWS_OF_REDACTIONS)).await;
}

#[tokio::test]
async fn killed_before_it_is_noted_that_somebody_is_gone() {
    end_of_forgetting_killed(Step::Locked(ROWS_OF_ERASURES)).await;
}
