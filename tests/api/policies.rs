//! What a person is asked for: chosen by the server, verified each for itself, and changed while a session is open.

use serde_json::{Value, json};
use sqlx::Row as _;
use verigate::{
    domain::{Client, Person, UserId},
    verification::{StartError, StartRequest},
};

use crate::{
    program::{Program, working_folder},
    sandbox::support::id,
    support::eventually,
    world::{Gateway, World, ada, ada_starts_under},
};

const ONE: &str = "/v1/identity/verification_sessions/*";
const SESSIONS: &str = "/v1/identity/verification_sessions";

/// Policy, what it was asked to be changed to, and frozen parameters of every attempt, oldest first.
async fn policies(world: &World) -> Vec<(String, Vec<String>, Value)> {
    let query =
        "SELECT policy, policies_asked, parameters FROM verifications ORDER BY created_at, id";
    let rows = sqlx::query(query).fetch_all(world.db.pool()).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

async fn finish(world: &World, session: &str, how: Value) {
    world.act(session, "outcome", &how).await;
    world.hear_all().await;
}

async fn verify(world: &World, session: &str) {
    finish(world, session, json!({ "case": "success" })).await;
}

#[tokio::test]
async fn a_stronger_policy_satisfies_a_weaker_one_and_not_the_other_way_round() {
    let world = World::new().await;
    let weak = world.click_under("default").await.unwrap();
    verify(&world, weak.session.as_str()).await;
    assert_eq!(
        world.click_under("default").await.unwrap_err(),
        StartError::AlreadyVerified
    );
    let strong = world.click_under("selfie").await.unwrap();
    assert_ne!(strong.session, weak.session);
    assert_eq!(world.person().await, "verified", "they are, all the same");
    finish(
        &world,
        strong.session.as_str(),
        json!({ "case": "failure", "code": "selfie_face_mismatch" }),
    )
    .await;
    let again = world.click_under("selfie").await.unwrap();
    assert_eq!(again.session, strong.session);
    verify(&world, strong.session.as_str()).await;
    for satisfied in ["selfie", "default"] {
        assert_eq!(
            world.click_under(satisfied).await.unwrap_err(),
            StartError::AlreadyVerified
        );
    }
    assert!(world.click_under("number").await.is_ok());
    assert_eq!(world.sessions().await.len(), 3);
}

#[tokio::test]
async fn the_open_session_is_changed_at_stripe_and_back_again() {
    let world = World::new().await;
    let first = world.click_under("default").await.unwrap();
    let strong = world.click_under("selfie").await.unwrap();
    assert_eq!(strong.session, first.session);
    assert_ne!(
        secrecy::ExposeSecret::expose_secret(&strong.client_secret),
        secrecy::ExposeSecret::expose_secret(&first.client_secret)
    );
    let document = &told(&world).await[0]["options"]["document"];
    assert_eq!(document["require_matching_selfie"], true, "{document}");
    let rows = policies(&world).await;
    assert_eq!((rows.len(), rows[0].0.as_str()), (1, "selfie"));
    assert!(rows[0].1.is_empty());
    assert_eq!(rows[0].2["document"]["require_matching_selfie"], true);
    assert_eq!(world.count("POST update").await, 1);

    world.click_under("selfie").await.unwrap();
    assert_eq!(world.count("POST update").await, 1, "nothing differs");

    world.click_under("default").await.unwrap();
    let document = &told(&world).await[0]["options"]["document"];
    assert_eq!(document["require_matching_selfie"], false, "{document}");
    world.click_under("number").await.unwrap();
    let session = &told(&world).await[0];
    assert_eq!(session["type"], "id_number", "{session}");
    assert_eq!(policies(&world).await[0].0, "number");
    assert_eq!(world.sessions().await.len(), 1);
    assert_eq!(world.count("POST cancel").await, 0);
    world.assert_open(first.session.as_str()).await;
}

#[tokio::test]
async fn a_flow_replaces_the_open_session_and_is_replaced() {
    let world = World::new().await;
    let first = world.click_under("default").await.unwrap();
    let flow = world.click_under("flow").await.unwrap();
    assert_ne!(flow.session, first.session);
    let sessions = told(&world).await;
    assert_eq!(sessions[0]["status"], "canceled");
    assert_eq!(sessions[1]["verification_flow"], "vf_1");
    world.click_under("flow").await.unwrap();
    assert_eq!(world.count("POST cancel").await, 1);
    let back = world.click_under("selfie").await.unwrap();
    let sessions = told(&world).await;
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions[1]["status"], "canceled");
    assert_eq!(
        sessions[2]["options"]["document"]["require_matching_selfie"],
        true
    );
    world.assert_open(back.session.as_str()).await;
    let rows = world.rows().await;
    assert_eq!(rows[0].status.as_deref(), Some("canceled"));
    assert_eq!(rows[1].status.as_deref(), Some("canceled"));
}

/// Stripe does what such a call asks for, and its answer is lost for good: the client's own repetitions too.
async fn lose_the_answer(world: &World, path: &str, request: &StartRequest) {
    let after = json!({ "kind": "cut", "when": "after", "method": "POST", "path": path });
    world.sandbox.fault(after).await;
    let before = json!({
        "kind": "cut", "when": "before", "skip": 1, "times": 2, "method": "POST", "path": path,
    });
    world.sandbox.fault(before).await;
    let lost = world.process().start(request).await.unwrap_err();
    assert!(matches!(lost, StartError::Unreachable { .. }), "{lost:?}");
    world.sandbox.clear_faults().await;
}

/// The change took place, and nobody was told.
async fn lose_the_answer_to_a_change(world: &World, policy: &str) {
    lose_the_answer(world, ONE, &ada_starts_under(policy)).await;
}

/// What Stripe has, oldest first, as it tells it.
async fn told(world: &World) -> Vec<Value> {
    let mut list = world.sandbox.get(SESSIONS).await.body;
    let mut sessions = std::mem::take(list["data"].as_array_mut().unwrap());
    sessions.reverse();
    sessions
}

#[tokio::test]
async fn a_session_that_may_be_under_either_policy_counts_only_for_what_both_satisfy() {
    let world = World::new().await;
    let session = world.click_under("default").await.unwrap().session;
    lose_the_answer_to_a_change(&world, "selfie").await;
    let rows = policies(&world).await;
    assert_eq!(rows[0].0, "default");
    assert_eq!(rows[0].1, ["selfie"]);
    verify(&world, session.as_str()).await;
    assert_eq!(
        world.click_under("default").await.unwrap_err(),
        StartError::AlreadyVerified
    );
    let another = world.click_under("selfie").await.unwrap();
    assert_ne!(
        another.session, session,
        "nobody can say that it took the selfie"
    );
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_asked_for_again_whatever_is_wanted_next() {
    for next in ["default", "selfie", "number"] {
        let world = World::new().await;
        let session = world.click_under("default").await.unwrap().session;
        lose_the_answer_to_a_change(&world, "selfie").await;
        let opened = world.click_under(next).await.unwrap();
        assert_eq!(opened.session, session);
        let rows = policies(&world).await;
        assert_eq!((rows[0].0.as_str(), rows[0].1.len()), (next, 0));
        let theirs = &told(&world).await[0];
        match next {
            "number" => assert_eq!(theirs["type"], "id_number"),
            _ => assert_eq!(
                theirs["options"]["document"]["require_matching_selfie"],
                next == "selfie"
            ),
        }
    }
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_completed_before_its_policy_is_changed() {
    for (next, sessions) in [("selfie", 1), ("flow", 2)] {
        let world = World::new().await;
        lose_the_answer(&world, SESSIONS, &ada_starts_under("default")).await;
        let opened = world.click_under(next).await.unwrap();
        assert_eq!(world.sessions().await.len(), sessions);
        world.assert_open(opened.session.as_str()).await;
        let rows = policies(&world).await;
        assert_eq!(rows.last().unwrap().0, next);
    }
}

#[tokio::test]
async fn what_is_being_checked_is_neither_changed_nor_closed() {
    for wanted in ["selfie", "flow"] {
        let world = World::new().await;
        let session = world.click_under("default").await.unwrap().session;
        // We have not heard of it yet.
        let later = json!({ "case": "success_async" });
        world.stop_the_clockwork().await;
        world.act(session.as_str(), "outcome", &later).await;
        assert_eq!(
            world.click_under(wanted).await.unwrap_err(),
            StartError::Processing
        );
        let rows = policies(&world).await;
        assert_eq!((rows.len(), rows[0].0.as_str()), (1, "default"));
        assert!(rows[0].1.is_empty(), "Stripe said that nothing was changed");
        assert_eq!(
            world.click_under(wanted).await.unwrap_err(),
            StartError::Processing
        );
    }
}

#[tokio::test]
async fn a_change_that_stripe_refuses_hands_out_nothing() {
    let world = World::new().await;
    let session = world.click_under("default").await.unwrap().session;
    let no = json!({ "kind": "error", "status": 400, "method": "POST", "path": ONE });
    world.sandbox.fault(no).await;
    assert_eq!(
        world.click_under("selfie").await.unwrap_err(),
        StartError::Refused
    );
    let rows = policies(&world).await;
    assert_eq!((rows[0].0.as_str(), rows[0].1.len()), ("default", 0));
    let still = world.click_under("default").await.unwrap();
    assert_eq!(still.session, session);
}

#[tokio::test]
async fn a_policy_that_is_not_there_is_never_replaced_by_another() {
    let world = World::new().await;
    assert_eq!(
        world.click_under("Default").await.unwrap_err(),
        StartError::UnknownPolicy
    );
    assert!(world.rows().await.is_empty());
    assert!(world.sandbox.calls().await.is_empty());
}

#[tokio::test]
async fn two_policies_at_once_share_no_answer_and_the_row_says_what_stripe_has() {
    let world = World::new().await;
    let process = world.process();
    let clicks = (0..20).map(|n| {
        let process = process.clone();
        let policy = if n % 2 == 0 { "default" } else { "selfie" };
        async move { process.start(&ada_starts_under(policy)).await }
    });
    let opened = futures_util::future::join_all(clicks).await;
    let session = opened[0].as_ref().unwrap().session.clone();
    for opened in opened {
        assert_eq!(opened.unwrap().session, session);
    }
    world.assert_one_session(session.as_str()).await;
    let rows = policies(&world).await;
    let selfie = &told(&world).await[0]["options"]["document"]["require_matching_selfie"];
    assert_eq!(
        selfie == &json!(true),
        rows[0].0 == "selfie",
        "{rows:?} {selfie}"
    );
    assert_eq!(world.count("POST session").await, 1);
    assert_eq!(world.count("POST update").await, 1);
}

/// One server is held up between its change and its look for longer than its lease; the other changes the session back.
#[tokio::test]
async fn whoever_outlasts_their_lease_saves_no_policy_that_the_session_is_not_under() {
    let world = World::new().await;
    let session = world.click_under("default").await.unwrap().session;
    let slow = json!({
        "kind": "latency", "ms": 60_000, "when": "after", "method": "GET", "path": ONE,
    });
    world.sandbox.fault(slow).await;
    let slow = world.process();
    let strong = tokio::spawn(async move { slow.start(&ada_starts_under("selfie")).await });
    eventually("it looks at what it has changed", async || {
        (world.count("GET one").await == 1).then_some(())
    })
    .await;
    world.run_leases_out().await;
    let weak = world.click_under("default").await.unwrap();
    assert_eq!(weak.session, session);
    eventually("the other goes on", async || {
        world.sandbox.clear_faults().await;
        strong.is_finished().then_some(())
    })
    .await;
    let strong = strong.await.unwrap().unwrap();
    assert_eq!(strong.session, session);
    let selfie = told(&world).await[0]["options"]["document"]["require_matching_selfie"].clone();
    let rows = policies(&world).await;
    assert_eq!((rows[0].0.as_str(), rows[0].1.len()), ("selfie", 0));
    assert_eq!(selfie, true, "it was asked for once more");
    assert_eq!(world.count("POST update").await, 3);
    world.assert_one_session(session.as_str()).await;
}

fn with_address(address: &str) -> StartRequest {
    let person = Person {
        email: Some(address.to_owned()),
        ..ada()
    };
    StartRequest::new(person, Client::Modal)
}

/// The address Stripe was last given, and everything our tables hold but people's own rows.
async fn given(world: &World) -> (Value, String) {
    let session = world.sessions().await.pop().unwrap();
    let path = format!("{SESSIONS}/{}?expand[]=provided_details", id(&session));
    let given = world.sandbox.get(&path).await.body["provided_details"]["email"].clone();
    let all = "SELECT string_agg(v::text, ' ') || (SELECT string_agg(h::text, ' ') FROM verification_history h) \
        FROM verifications v";
    let all: String = sqlx::query_scalar(all)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    (given, all)
}

#[tokio::test]
async fn stripe_is_told_the_address_and_no_attempt_holds_it() {
    let world = World::new().await;
    let start = async |address| world.process().start(&with_address(address)).await;
    let first = start("ada@example.com").await.unwrap();
    assert_eq!(given(&world).await.0, "ada@example.com");
    start("ada@example.com").await.unwrap();
    assert_eq!(world.count("POST update").await, 0);
    let second = start("ada@lovelace.example").await.unwrap();
    assert_eq!(second.session, first.session);
    let (given, rows) = given(&world).await;
    assert_eq!(given, "ada@lovelace.example");
    assert!(!rows.contains('@') && rows.contains("default"), "{rows}");
    assert_eq!(world.count("POST update").await, 1);
    world.click().await.unwrap();
    assert_eq!(world.count("POST update").await, 1, "nothing new is known");
}

#[tokio::test]
async fn an_address_that_stripe_refuses_keeps_nobody_from_their_open_session() {
    let world = World::new().await;
    let start = async |address| world.process().start(&with_address(address)).await;
    let first = start("ada@example.com").await.unwrap();
    let no = json!({ "kind": "error", "status": 400, "method": "POST", "path": ONE, "times": 0 });
    world.sandbox.fault(no).await;
    for _ in 0..2 {
        let again = start("ada@lovelace.example").await.unwrap();
        assert_eq!(again.session, first.session);
    }
    assert_eq!(world.count("POST update").await, 1, "it is told once");
    assert_eq!(given(&world).await.0, "ada@example.com");
    world.assert_one_session(first.session.as_str()).await;
}

#[tokio::test]
async fn an_address_that_changed_after_a_lost_answer_makes_no_second_session() {
    let world = World::new().await;
    lose_the_answer(&world, SESSIONS, &with_address("ada@example.com")).await;
    let start = async |address| world.process().start(&with_address(address)).await;
    let opened = start("ada@lovelace.example").await.unwrap();
    world.assert_one_session(opened.session.as_str()).await;
    assert_eq!(given(&world).await.0, "ada@lovelace.example");
    assert_eq!(world.rows().await.len(), 1);
}

#[tokio::test]
async fn a_text_that_is_no_address_keeps_nobody_from_verifying() {
    for text in [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a@b",
        "a b@example.com",
        "a@b@example.com",
    ] {
        let world = World::new().await;
        world.process().start(&with_address(text)).await.unwrap();
        assert_eq!(given(&world).await.0, Value::Null, "{text}");
    }
}

/// Polls with an old address, a cookie's copy or a token's, while the application writes a new one.
#[tokio::test]
async fn a_start_never_writes_an_old_address_over_a_new_one() {
    for by_cookie in [true, false] {
        let world = World::new().await;
        world
            .process()
            .start(&with_address("old@example.com"))
            .await
            .unwrap();
        let held = "UPDATE verifications SET lease_holder = gen_random_uuid(), \
            lease_until = now() + interval '20 seconds'";
        sqlx::query(held).execute(world.db.pool()).await.unwrap();
        let mut request = with_address("old@example.com");
        if by_cookie {
            let known = "SELECT id FROM users";
            let known = sqlx::query_scalar(known).fetch_one(world.db.pool()).await;
            request.user = Some(UserId(known.unwrap()));
        } else {
            request.person.email = Some("older@example.com".to_owned());
        }
        let process = world.process();
        let start = tokio::spawn(async move { process.start(&request).await });
        if !by_cookie {
            eventually("its first turn is over", async || {
                (address(&world).await == "older@example.com").then_some(())
            })
            .await;
        }
        let new =
            "UPDATE users SET email = 'new@example.com', details_version = details_version + 1";
        sqlx::query(new).execute(world.db.pool()).await.unwrap();
        world.run_leases_out().await;
        start.await.unwrap().unwrap();
        assert_eq!(address(&world).await, "new@example.com", "{by_cookie}");
        assert_eq!(given(&world).await.0, "new@example.com", "{by_cookie}");
    }
}

async fn address(world: &World) -> String {
    let address = sqlx::query_scalar("SELECT email FROM users");
    address.fetch_one(world.db.pool()).await.unwrap()
}

#[tokio::test]
async fn a_start_warns_of_people_whom_its_settings_no_longer_count() {
    let world = World::new().await;
    let started = world.click_under("default").await.unwrap();
    verify(&world, started.session.as_str()).await;
    let folder = working_folder();
    let start = async |own: &[(&str, &str)]| {
        let mut variables = vec![
            ("DATABASE_URL", world.db.url()),
            ("STRIPE_API_BASE", &world.sandbox.base),
            ("BIND_ADDR", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
            ("PUBLIC_URL", "https://verify.example"),
            ("STRIPE_SECRET_KEY", "sk_test_1234567890"),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_1234567890"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_uncounted"),
            ("APP_NAME", "Acme"),
            ("SUPPORT_URL", "https://acme.example/help"),
            ("PRIVACY_URL", "https://acme.example/privacy"),
            ("HAND_OFF", "on"),
            ("HEAL_EVERY", "none"),
        ];
        variables.extend(own);
        Program::start(&["serve"], &variables, folder.path())
    };
    let other = r#"{"kyc": {"type": "document", "default": true}}"#;
    let mut changed = start(&[("POLICIES", other)]).await;
    let line = changed.word_after("people who were verified by ").await;
    assert_eq!(line, "default");
    let realms = changed.word_after("people of the realm ").await;
    assert_eq!(realms, "test");
    let log = changed.logged();
    assert!(
        log.contains(r#""verifications":1"#) && log.contains(r#""people":1"#),
        "{log}"
    );

    let kept = r#"{"kyc": {"type": "document", "default": true, "satisfied_by": ["default"]}, "default": {"type": "document"}}"#;
    let mut kept = start(&[("POLICIES", kept), ("REALM", "other")]).await;
    kept.word_after("people of the realm ").await;
    assert!(
        !kept.logged().contains("were verified by"),
        "{}",
        kept.logged()
    );
    let mut same = start(&[("REALM", "test")]).await;
    same.word_after("\"serving\"").await;
    assert!(!same.logged().contains("people of the realm"));
}

#[tokio::test]
async fn the_page_says_to_have_ready_what_the_policy_asks_for_and_nothing_else() {
    let world = World::new().await;
    let every = [
        "passport",
        "driving licence",
        "identity card",
        "a camera",
        "your face",
        "ID number",
    ];
    let selfie = json!({
        "allowed_types": ["passport", "id_card"], "require_matching_selfie": true,
    });
    for (policy, asked) in [
        (json!({ "type": "document" }), &every[..4]),
        (
            json!({ "type": "document", "options": { "document": selfie } }),
            &["passport", "identity card", "a camera", "your face"],
        ),
        (json!({ "type": "id_number" }), &["ID number"]),
        // What it asks for only Stripe knows.
        (json!({ "verification_flow": "vf_1" }), &every[..5]),
    ] {
        let mut policies = json!({ "default": policy });
        policies["default"]["default"] = true.into();
        let policies = policies.to_string();
        let settings = [("POLICIES", policies.as_str())];
        let gateway = Gateway::with(&world.db, &world.sandbox.base, &settings).await;
        let page = gateway.http.get(format!("{}/verify", gateway.origin));
        let page = page.header("accept", "text/html").send().await.unwrap();
        let page = page.text().await.unwrap();
        let (_, main) = page.split_once("<main").unwrap();
        let (main, _) = main.split_once("</main>").unwrap();
        for words in every {
            assert_eq!(
                main.contains(words),
                asked.contains(&words),
                "{words} in {main}"
            );
        }
    }
}
