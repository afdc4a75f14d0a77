//! Whatever goes wrong between us and Stripe while a session is opened: in the end there is one, and it is linked.

use reqwest::StatusCode;
use serde_json::{Value, json};
use verigate::{clock::Clock, verification::StartError};

use crate::{
    sandbox::support::TestSandbox,
    server::unanswered,
    stripe::FakeStripe,
    support::{database::TestDb, eventually},
    world::{Gateway, World, ada_starts, read, refresh, rows, verifier},
};

const SESSIONS: &str = "/v1/identity/verification_sessions";
const ONE: &str = "/v1/identity/verification_sessions/*";

/// Something is to go wrong with the next create.
async fn fault(world: &World, mut fault: Value) {
    fault["method"] = json!("POST");
    fault["path"] = json!(SESSIONS);
    world.sandbox.fault(fault).await;
}

/// Clicks until it works; then there must be one session, open and linked.
async fn ends_in_one_session(world: &World) {
    let started = world.click_until_open().await;
    world.assert_one_session(started.session.as_str()).await;
    assert_eq!(world.person().await, "requires_input");
    let again = world.click().await.unwrap();
    assert_eq!(again.session, started.session);
}

#[tokio::test]
async fn a_failure_that_stripe_keeps_for_the_key_hides_no_session() {
    let world = World::new().await;
    fault(
        &world,
        json!({ "kind": "error", "status": 500, "when": "after" }),
    )
    .await;
    ends_in_one_session(&world).await;
    assert_eq!(world.rows().await.len(), 1);
    assert_eq!(world.count("GET list").await, 1);
}

#[tokio::test]
async fn a_failure_that_stripe_keeps_for_the_key_is_no_dead_end() {
    let world = World::new().await;
    fault(
        &world,
        json!({ "kind": "error", "status": 500, "when": "before" }),
    )
    .await;
    ends_in_one_session(&world).await;
    let rows = world.rows().await;
    assert_eq!(
        rows.len(),
        2,
        "the first attempt's key is spoilt: {rows:#?}"
    );
    assert!(!rows[0].current && rows[0].session_id.is_none());
}

/// The answer to the create is lost for good: the client's own repetitions too.
async fn lose_the_answer(world: &World) {
    fault(world, json!({ "kind": "cut", "when": "after" })).await;
    fault(
        world,
        json!({ "kind": "cut", "when": "before", "skip": 1, "times": 2 }),
    )
    .await;
    assert!(matches!(
        world.click().await,
        Err(StartError::Unreachable { .. })
    ));
    world.sandbox.clear_faults().await;
    assert_eq!(world.sessions().await.len(), 1);
    let rows = world.rows().await;
    assert!(rows[0].current && rows[0].session_id.is_none() && !rows[0].leased);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_replayed_and_its_secrets_are_fresh() {
    let world = World::new().await;
    lose_the_answer(&world).await;
    ends_in_one_session(&world).await;
    assert_eq!(world.rows().await.len(), 1);
    let calls = world.calls("POST session").await;
    assert_eq!(calls.last().unwrap()["replayed"], true);
    assert_eq!(world.count("GET one").await, 2, "one for each click");
}

#[tokio::test]
async fn an_expired_key_does_not_make_a_second_session() {
    let world = World::new().await;
    lose_the_answer(&world).await;
    world.age_attempts().await;
    ends_in_one_session(&world).await;
    assert_eq!(world.rows().await.len(), 1);
    assert_eq!(world.count("GET list").await, 1);
}

#[tokio::test]
async fn an_expired_key_that_made_nothing_is_no_dead_end() {
    let world = World::new().await;
    fault(
        &world,
        json!({ "kind": "error", "status": 503, "times": 0 }),
    )
    .await;
    assert!(matches!(
        world.click().await,
        Err(StartError::Unreachable { .. })
    ));
    world.sandbox.clear_faults().await;
    world.age_attempts().await;
    ends_in_one_session(&world).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 2);
    assert!(!rows[0].current && rows[0].session_id.is_none());
}

#[tokio::test]
async fn a_key_that_was_used_with_other_parameters_still_leads_to_its_session() {
    let world = World::new().await;
    lose_the_answer(&world).await;
    let change = "UPDATE verifications SET parameters = parameters || '{\"return_url\": \"http://localhost/other\"}'";
    sqlx::query(change).execute(world.db.pool()).await.unwrap();
    ends_in_one_session(&world).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let refused = world.calls("POST session").await;
    assert_eq!(refused.last().unwrap()["status"], 400);
}

#[tokio::test]
async fn a_webhook_may_come_before_the_create_is_answered() {
    let world = World::new().await;
    let gateway = world.hearing_gateway().await;
    fault(&world, json!({ "kind": "webhook_first" })).await;
    let answer = gateway.click().await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    world
        .assert_one_session(answer["id"].as_str().unwrap())
        .await;
    assert_eq!(world.rows().await.len(), 1);
    let deliveries = world.sandbox.get("/_deliveries").await.body;
    let statuses: Vec<_> = deliveries["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!((statuses.len(), &statuses[0]["status"]), (1, &json!(200)));
}

/// A thin event does not say whose session it is, so the row it makes is nobody's until the create is answered.
#[tokio::test]
async fn an_unclaimed_row_that_turns_out_to_be_ours_becomes_ours() {
    let world = World::new().await;
    let gateway = world.hearing_gateway().await;
    world.sandbox.fault(json!({ "kind": "thin" })).await;
    fault(&world, json!({ "kind": "webhook_first" })).await;
    let answer = gateway.click().await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    world
        .assert_one_session(answer["id"].as_str().unwrap())
        .await;
    assert_eq!(world.rows().await.len(), 1, "the unclaimed row is gone");
    let heard = "SELECT count(*) FROM stripe_events WHERE outcome = 'hint'";
    let heard: i64 = sqlx::query_scalar(heard)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert_eq!(heard, 1);
}

#[tokio::test]
async fn what_stripe_refuses_closes_the_attempt_and_the_next_click_begins_anew() {
    let world = World::new().await;
    fault(&world, json!({ "kind": "error", "status": 400 })).await;
    assert!(matches!(world.click().await, Err(StartError::Refused)));
    let rows = world.rows().await;
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].current && !rows[0].leased, "{rows:#?}");
    ends_in_one_session(&world).await;
    assert_eq!(world.rows().await.len(), 2);
}

#[tokio::test]
async fn whatever_stripe_refuses_a_create_for_is_no_dead_end_once_it_is_mended() {
    // A key of ours that may not is mended without another one, so its attempt stays.
    for (status, attempts) in [(400, 2), (402, 2), (404, 2), (401, 1), (403, 2)] {
        let world = World::new().await;
        let kept = status != 401;
        fault(
            &world,
            json!({ "kind": "error", "status": status, "store": kept, "times": 0 }),
        )
        .await;
        let refused = world.click().await.unwrap_err();
        assert_eq!(refused, StartError::Refused, "{status}");
        world.sandbox.clear_faults().await;
        let opened = world.click().await.unwrap();
        world.assert_one_session(opened.session.as_str()).await;
        assert_eq!(world.rows().await.len(), attempts, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_to_show_a_session_closes_nothing() {
    let world = World::new().await;
    let opened = world.click().await.unwrap();
    world
        .sandbox
        .fault(json!({ "kind": "error", "status": 400, "method": "GET", "path": ONE }))
        .await;
    assert_eq!(world.click().await.unwrap_err(), StartError::Refused);
    let again = world.click().await.unwrap();
    assert_eq!(again.session, opened.session);
    world.assert_one_session(opened.session.as_str()).await;
    assert_eq!(world.rows().await.len(), 1);
}

#[tokio::test]
async fn a_refusal_to_list_sessions_closes_nothing() {
    let world = World::new().await;
    lose_the_answer(&world).await;
    world.age_attempts().await;
    world
        .sandbox
        .fault(json!({ "kind": "error", "status": 400, "method": "GET", "path": SESSIONS }))
        .await;
    assert_eq!(world.click().await.unwrap_err(), StartError::Refused);
    ends_in_one_session(&world).await;
    assert_eq!(world.rows().await.len(), 1);
}

#[tokio::test]
async fn a_session_that_stripe_lost_is_replaced() {
    let world = World::new().await;
    let lost = world.click().await.unwrap();
    world.sandbox.control("/_reset", &json!({})).await;
    ends_in_one_session(&world).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].session_id.as_deref(), Some(lost.session.as_str()));
    assert!(rows[0].gone && !rows[0].current, "{rows:#?}");
}

/// What a person's session may have become, whether we were told of it or Stripe says so only when asked.
async fn after(what: &str, told: bool) -> (World, Result<String, StartError>) {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let first = world.click().await.unwrap();
    let session = first.session.as_str();
    world.pass(10).await;
    match what {
        "processing" => {
            let submit = json!({ "case": "success_async" });
            world.act(session, "outcome", &submit).await;
        }
        "verified" => {
            world
                .act(session, "outcome", &json!({ "case": "success" }))
                .await;
        }
        call => world.api(session, call).await,
    }
    if told {
        world.hear_all().await;
    }
    let next = world.click().await;
    let next = next.map(|started| {
        assert_ne!(started.session, first.session);
        started.session.as_str().to_owned()
    });
    (world, next)
}

#[tokio::test]
async fn while_a_document_is_checked_there_is_nothing_to_open() {
    for told in [true, false] {
        let (world, next) = after("processing", told).await;
        assert_eq!(next, Err(StartError::Processing));
        assert_eq!(world.sessions().await.len(), 1);
        assert_eq!(world.person().await, "processing");
        let rows = world.rows().await;
        assert!(rows.len() == 1 && rows[0].current && !rows[0].leased);
    }
}

#[tokio::test]
async fn who_is_verified_has_nothing_to_open() {
    for told in [true, false] {
        let (world, next) = after("verified", told).await;
        assert_eq!(next, Err(StartError::AlreadyVerified));
        assert_eq!(world.sessions().await.len(), 1);
        assert_eq!(world.person().await, "verified");
        assert_eq!(world.rows().await.len(), 1);
    }
}

#[tokio::test]
async fn after_a_canceled_or_redacted_session_comes_a_new_one() {
    for what in ["cancel", "redact"] {
        for told in [true, false] {
            let (world, next) = after(what, told).await;
            assert_eq!(world.sessions().await.len(), 2, "{what}");
            world.assert_open(&next.unwrap()).await;
            let rows = world.rows().await;
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0].status.as_deref(), Some("canceled"));
            assert_eq!(world.person().await, "requires_input");
        }
    }
}

/// The answer travelled for so long that the delivery before it seems newer; what it saw is news all the same.
#[tokio::test]
async fn a_slow_look_at_a_checked_session_opens_no_second_one() {
    for (case, seen) in [("success_async", "processing"), ("success", "verified")] {
        let world = World::new().await;
        world.stop_the_clockwork().await;
        let first = world.click().await.unwrap();
        world.pass(30).await;
        let failure = json!({ "case": "failure", "code": "document_expired" });
        world.act(first.session.as_str(), "outcome", &failure).await;
        world.hear_all().await;
        world
            .act(first.session.as_str(), "outcome", &json!({ "case": case }))
            .await;
        world
            .sandbox
            .fault(json!({ "kind": "skew_date", "seconds": -20, "path": ONE }))
            .await;
        let next = world.click().await.map(|started| started.session);
        assert_eq!(world.sessions().await.len(), 1, "{seen} {next:?}");
        assert_eq!(next, Err(StartError::Processing), "{seen}");
        let rows = world.rows().await;
        assert!(
            rows.len() == 1 && rows[0].current && !rows[0].leased,
            "{rows:#?}"
        );
    }
}

/// A status of a later version: whatever it means, a second session for the same person is not the answer.
#[tokio::test]
async fn an_unknown_status_changes_nothing_and_is_not_asked_for_again() {
    let stripe = FakeStripe::start().await;
    let db = TestDb::new().await;
    let process = || verifier(db.url(), stripe.url().as_str(), |_| ());
    let first = process().start(&ada_starts()).await.unwrap();
    stripe.move_to(first.session.as_str(), "in_appeal", None);
    let before = stripe.calls().len();
    let next = process().start(&ada_starts()).await;
    assert!(matches!(next, Err(StartError::Refused)), "{next:?}");
    assert_eq!(stripe.calls().len(), before + 1, "{:?}", stripe.calls());
    let rows = rows(db.pool()).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].status.as_deref(), Some("requires_input"));
    assert!(
        rows[0].current && !rows[0].leased && !rows[0].due,
        "{rows:#?}"
    );
    let noted = sqlx::query_scalar("SELECT unknown_status FROM verifications");
    let noted: Option<String> = noted.fetch_one(db.pool()).await.unwrap();
    assert_eq!(noted.as_deref(), Some("in_appeal"));
    // It is news again as soon as Stripe says something we know.
    stripe.move_to(first.session.as_str(), "requires_input", None);
    let next = process().start(&ada_starts()).await.unwrap();
    assert_eq!(next.session, first.session);
}

#[tokio::test]
async fn a_hint_answered_by_an_unknown_status_does_not_loop() {
    let stripe = FakeStripe::start().await;
    let db = TestDb::new().await;
    let process = verifier(db.url(), stripe.url().as_str(), |_| ());
    let first = process.start(&ada_starts()).await.unwrap();
    stripe.move_to(first.session.as_str(), "in_appeal", None);
    let hint = json!({ "id": "evt_1", "object": "event", "created": stripe.tick(), "livemode": false,
        "type": "identity.verification_session.appealed",
        "data": { "object": { "id": first.session.as_str(), "object": "identity.verification_session" } } });
    process.hear(&read(&hint)).await.unwrap();
    let far = std::time::Duration::from_hours(2);
    let asked = [
        refresh(db.url(), &process, far).await.unwrap().asked,
        refresh(db.url(), &process, far).await.unwrap().asked,
    ];
    assert_eq!(asked, [1, 0]);
    let rows = rows(db.pool()).await;
    assert_eq!(rows[0].status.as_deref(), Some("requires_input"));
}

#[tokio::test]
async fn while_stripe_is_down_a_click_says_so_and_leaves_nothing_half_done() {
    let (socket, address) = unanswered();
    let base = format!("http://{address}");
    let db = TestDb::new().await;
    let gateway = Gateway::start(&db, &base).await;
    for accept in ["application/json", "text/html"] {
        let address = format!("{}/create-verification-session", gateway.origin);
        let click = gateway.http.post(address).header("accept", accept);
        let answer = click.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        let body = answer.text().await.unwrap();
        if accept == "text/html" {
            assert!(body.contains("We can’t verify right now"), "{body}");
        } else {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["error"]["code"], "stripe_unreachable");
            assert!(body["error"]["message"].as_str().unwrap().len() > 20);
        }
        let rows = rows(db.pool()).await;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        assert!(
            rows[0].current && !rows[0].leased && rows[0].session_id.is_none(),
            "{rows:#?}"
        );
    }
    let page = gateway
        .http
        .get(format!("{}/verify", gateway.origin))
        .header("accept", "text/html");
    assert_eq!(page.send().await.unwrap().status(), StatusCode::OK);

    let sandbox = TestSandbox::on(socket.listen(64).unwrap(), Clock::system(), None);
    let world = World { db, sandbox };
    let answer = gateway.click().await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    world
        .assert_one_session(answer["id"].as_str().unwrap())
        .await;
    assert_eq!(world.rows().await.len(), 1);
}

/// The process that asked is dead, and its call still runs at Stripe when the next one asks with the same key.
#[tokio::test]
async fn a_create_that_still_runs_is_waited_for_and_not_doubled() {
    let world = World::new().await;
    fault(&world, json!({ "kind": "latency", "ms": 60_000 })).await;
    let dead = world.process();
    let click = tokio::spawn(async move { dead.start(&ada_starts()).await });
    eventually("the create is under way", async || {
        let waiting = world.sandbox.get("/_faults").await.body;
        let struck = waiting["faults"].as_array().unwrap().is_empty();
        (struck && world.count("POST session").await == 1).then_some(())
    })
    .await;
    world.run_leases_out().await;
    let next = world.click().await;
    assert!(
        matches!(next, Err(StartError::Unreachable { .. })),
        "{next:?}"
    );
    assert!(world.rows().await[0].current);
    eventually("the create goes on", async || {
        world.sandbox.clear_faults().await;
        (world.sessions().await.len() == 1).then_some(())
    })
    .await;
    ends_in_one_session(&world).await;
    assert_eq!(world.rows().await.len(), 1);
    // The late answer finds everything done, and spoils nothing.
    let late = click.await.unwrap().unwrap();
    world.assert_one_session(late.session.as_str()).await;
}

/// The session was made, the person is elsewhere by then, and nobody clicks again: the delivery alone links it.
#[tokio::test]
async fn a_delivery_alone_links_what_a_lost_answer_left() {
    let world = World::new().await;
    lose_the_answer(&world).await;
    world.hear_all().await;
    let session = world.sessions().await[0]["id"].as_str().unwrap().to_owned();
    world.assert_one_session(&session).await;
    assert_eq!(world.count("GET one").await, 0);
}
