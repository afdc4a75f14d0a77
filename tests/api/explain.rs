//! `verigate explain`: every state a person or a session can be in, in words and in JSON.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    deliveries::Delivery,
    program::{run, working_folder},
    server::TestServer,
    support::eventually,
};

/// What it says about a subject, for people and for programs.
struct Explained {
    text: String,
    json: Value,
}

impl Explained {
    /// The only person's or session's first attempt.
    fn attempt(&self) -> &Value {
        &self.json[0]["attempts"][0]
    }

    fn says(&self, all: &[&str]) {
        for words in all {
            assert!(self.text.contains(words), "{words:?} in:\n{}", self.text);
        }
    }
}

/// The settings of a server with these keys.
fn settings<'a>(secret: &'a str, publishable: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("STRIPE_SECRET_KEY", secret),
        ("STRIPE_PUBLISHABLE_KEY", publishable),
        ("STRIPE_WEBHOOK_SECRET", "whsec_explained"),
        ("PUBLIC_URL", "https://verify.example"),
        ("APP_NAME", "Acme"),
        ("SUPPORT_URL", "https://acme.example/help"),
        ("PRIVACY_URL", "https://acme.example/privacy"),
        ("HAND_OFF", "on"),
    ]
}

fn explain(server: &TestServer, subject: &str) -> Explained {
    explain_with(server, &[], subject)
}

/// The same, with settings of the server's beside its database.
fn explain_with(server: &TestServer, settings: &[(&str, &str)], subject: &str) -> Explained {
    let mut variables = vec![("DATABASE_URL", server.db.as_ref().unwrap().url())];
    variables.extend(settings);
    let folder = working_folder();
    let [text, json] = [&["explain", subject][..], &["explain", subject, "--json"]].map(|words| {
        let output = run(words, &variables, folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.is_empty(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    });
    for secret in ["_secret_", "/start/", "whsec_", "ek_test", "sk_test"] {
        assert!(!text.contains(secret) && !json.contains(secret), "{text}");
    }
    let json: Value = serde_json::from_str(&json).unwrap();
    // Both say the same about what comes next.
    for person in json.as_array().unwrap() {
        assert!(text.contains(person["next"].as_str().unwrap()), "{text}");
    }
    Explained { text, json }
}

#[tokio::test]
async fn of_a_stranger_it_says_what_to_ask_for() {
    let server = TestServer::dev().await;
    let variables = [("DATABASE_URL", server.db.as_ref().unwrap().url())];
    let folder = working_folder();
    for subject in [
        "nobody",
        "vs_nobody",
        "0198c0de-0000-7000-8000-000000000000",
    ] {
        let output = run(&["explain", subject], &variables, folder.path());
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(subject) && said.contains("own id of a person, or a vs_… id, or the id"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn it_follows_a_person_from_before_the_first_click_to_the_verdict() {
    let server = TestServer::dev().await;
    let met =
        "INSERT INTO users (id, realm, external_id) VALUES (gen_random_uuid(), 'demo', 'demo')";
    let pool = server.db.as_ref().unwrap().pool();
    sqlx::query(met).execute(pool).await.unwrap();
    let met = explain(&server, "demo");
    met.says(&[
        "status    none",
        "has not clicked Verify yet",
        "no attempts",
    ]);
    assert_eq!(met.json[0]["attempts"], json!([]));

    let session = server.create().await;
    let session = session["id"].as_str().unwrap();
    let started = explain(&server, "demo");
    started.says(&[
        session,
        "started by a modal client",
        "to hand in a document",
        "checks    0 today, 0 in all (ATTEMPTS_PER_DAY, ATTEMPTS_IN_TOTAL), one more reserved\n",
    ]);
    assert_eq!(started.json[0]["checks"]["reserved"], true);
    assert_eq!(started.attempt()["session_id"], session);
    assert_eq!(started.attempt()["status"], "requires_input");
    assert_eq!(started.attempt()["last_error_code"], Value::Null);

    let expired = Some("document_expired");
    server
        .tell("evt_1", session, "requires_input", expired)
        .await;
    let failed = explain(&server, session);
    failed.says(&[
        "(document_expired)",
        "the person is told: ",
        "evt_1",
        "vr_1",
        "checks    1 today, 1 in all (ATTEMPTS_PER_DAY, ATTEMPTS_IN_TOTAL)\n",
    ]);
    assert_eq!(failed.json[0]["checks"]["extra_attempts"], 0);
    assert_eq!(failed.attempt()["last_error_code"], "document_expired");
    assert_eq!(failed.attempt()["events"][0]["outcome"], "applied");

    server.tell("evt_2", session, "verified", None).await;
    let verified = explain(&server, session);
    verified.says(&[
        "status    verified under default (test mode), since ",
        "nothing: verified",
        "evt_2",
    ]);
    let standing = &verified.json[0]["standings"][0];
    assert_eq!(standing["status"], "verified");
    assert_eq!(standing["verification_id"], verified.attempt()["id"]);
    let causes = verified.attempt()["history"].as_array().unwrap();
    assert!(
        causes.iter().all(|line| line["cause"].is_string()) && causes.len() > 1,
        "{causes:?}"
    );
    // By whatever id of it somebody has at hand.
    let ours = verified.json[0]["person"]["id"].as_str().unwrap();
    let attempt = verified.attempt()["id"].as_str().unwrap();
    for id in ["demo", ours, attempt] {
        assert_eq!(explain(&server, id).text, verified.text);
    }
}

#[tokio::test]
async fn a_person_stands_under_each_policy_and_in_each_mode_for_themselves() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let session = session["id"].as_str().unwrap();
    server.tell("evt_1", session, "verified", None).await;
    let pool = server.pool();
    // Asked for more later on, and handed in what was no good.
    let failed = "INSERT INTO verifications (id, user_id, session_id, livemode, client, policy, parameters, status, error_code)
        SELECT gen_random_uuid(), user_id, 'vs_more', false, client, 'kyc', parameters, 'requires_input', 'document_expired'
        FROM verifications";
    sqlx::query(failed).execute(pool).await.unwrap();
    let said = explain(&server, "demo");
    said.says(&[
        "status    verified under default (test mode), since ",
        "status    requires_input under kyc (test mode)\n",
        "policy    default\n",
        "policy    kyc\n",
    ]);
    let next = said.json[0]["next"].as_str().unwrap();
    assert!(!next.contains("verified"), "{next}");
    assert_eq!(said.attempt()["policy"], "kyc");

    let live = "UPDATE verifications SET livemode = true WHERE policy = 'kyc'";
    sqlx::query(live).execute(pool).await.unwrap();
    explain(&server, "demo").says(&[
        "status    verified under default (test mode), since ",
        "status    requires_input under kyc (live mode)\n",
    ]);
}

#[tokio::test]
async fn only_the_mode_of_the_keys_counts_where_they_are_known() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let session = session["id"].as_str().unwrap();
    server.tell("evt_1", session, "verified", None).await;
    let live = settings("sk_live_1234567890", "pk_live_1234567890");
    let test = settings("sk_test_1234567890", "pk_test_1234567890");
    let said = explain_with(&server, &live, "demo");
    said.says(&[
        "status    none under default (live mode)\n",
        "test mode, which counts for nothing with the keys that are set",
        "next      the person has not clicked Verify in live mode yet\n",
    ]);
    assert!(!said.text.contains("verified under"), "{}", said.text);
    assert_eq!(said.attempt()["counts"], false);
    let said = explain_with(&server, &test, "demo");
    said.says(&["status    verified under default (test mode), since "]);
    assert_eq!(said.attempt()["counts"], true);

    let turned = "UPDATE verifications SET livemode = true";
    sqlx::query(turned).execute(server.pool()).await.unwrap();
    explain_with(&server, &test, "demo").says(&["status    none under default (test mode)\n"]);
    explain_with(&server, &live, "demo").says(&["status    verified under default (live mode), "]);
}

#[tokio::test]
async fn a_policy_is_satisfied_as_the_settings_say() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let session = session["id"].as_str().unwrap();
    server.tell("evt_1", session, "verified", None).await;
    let mut settings = settings("sk_test_1234567890", "pk_test_1234567890");
    settings.push((
        "POLICIES",
        r#"{"less": {"type": "document", "default": true, "satisfied_by": ["default"]}, "default": {"type": "document"},
            "more": {"type": "id_number"}}"#,
    ));
    explain_with(&server, &settings, "demo").says(&[
        "status    verified under default (test mode), since ",
        "status    verified under less (test mode), since ",
        "status    none under more (test mode)\n",
        "; under more (test mode): the person's next click makes a new session\n",
    ]);
}

#[tokio::test]
async fn what_the_limits_would_say_is_what_happens_next() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let session = session["id"].as_str().unwrap();
    let expired = Some("document_expired");
    server
        .tell("evt_1", session, "requires_input", expired)
        .await;
    for (limit, next) in [
        ("CHECK_PRICE", "the person is told: "),
        (
            "ATTEMPTS_IN_TOTAL",
            "all tries are used (ATTEMPTS_IN_TOTAL)",
        ),
        (
            "ATTEMPTS_PER_DAY",
            "today's tries are used (ATTEMPTS_PER_DAY)",
        ),
        (
            "BUDGET_CHECKS_PER_DAY",
            "the budget is used up (BUDGET_…), for ",
        ),
    ] {
        let mut settings = settings("sk_test_1234567890", "pk_test_1234567890");
        settings.push((limit, "1"));
        let said = explain_with(&server, &settings, "demo");
        for next_said in [&said.json[0]["next"], &said.attempt()["next"]] {
            let said = next_said.as_str().unwrap();
            assert!(said.starts_with(next), "{limit}: {said}");
        }
    }
    // Whoever was allowed another try has one.
    let allowed = "UPDATE users SET extra_attempts = 1";
    sqlx::query(allowed).execute(server.pool()).await.unwrap();
    let mut settings = settings("sk_test_1234567890", "pk_test_1234567890");
    settings.push(("ATTEMPTS_IN_TOTAL", "1"));
    explain_with(&server, &settings, "demo").says(&["next      the person is told: "]);
}

#[tokio::test]
async fn doubt_is_told_with_what_is_done_about_it() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let second = server.stripe.tick();
    for (id, kind) in [("evt_1", "requires_input"), ("evt_2", "verified")] {
        let news = Delivery::new(id, kind, second, session["id"].as_str().unwrap());
        assert_eq!(server.deliver(news.body()).await, StatusCode::OK);
    }
    let doubtful = explain(&server, "demo");
    doubtful.says(&["doubt     ", ", since ", "Stripe is asked at "]);
    doubtful.says(&["requires_input and verified by events of"]);
    assert!(doubtful.attempt()["doubt"].is_string());
    assert!(doubtful.attempt()["refresh_due_at"].is_string());
}

#[tokio::test]
async fn a_session_stripe_no_longer_has_is_told_as_gone_beside_its_successor() {
    let server = TestServer::dev().await;
    let old = server.create().await;
    let old = old["id"].as_str().unwrap();
    server.stripe.forget();
    // For a moment a start that has landed is shared.
    let new = eventually("a start that asks Stripe again", async || {
        let new = server.create().await;
        (new["id"] != old).then_some(new)
    })
    .await;
    let gone = explain(&server, old);
    gone.says(&["gone      since", "Stripe has no such session"]);
    let sessions = [0, 1].map(|i| gone.json[0]["attempts"][i]["session_id"].clone());
    assert_eq!(sessions, [new["id"].clone(), json!(old)], "newest first");
    assert_eq!(
        gone.json[0]["next"],
        "waiting for the person to hand in a document at Stripe"
    );
}

#[tokio::test]
async fn a_session_of_nobody_is_told_as_unclaimed() {
    let server = TestServer::dev().await;
    let second = server.stripe.tick();
    let news = Delivery::new("evt_1", "processing", second, "vs_of_another_system");
    assert_eq!(server.deliver(news.body()).await, StatusCode::OK);
    let unclaimed = explain(&server, "vs_of_another_system");
    unclaimed.says(&["belongs to nobody here (unclaimed)", "not ours", "evt_1"]);
    assert_eq!(unclaimed.json[0]["person"], Value::Null);
    assert_eq!(unclaimed.attempt()["client"], Value::Null);
    let attempt = unclaimed.attempt()["id"].as_str().unwrap();
    assert_eq!(explain(&server, attempt).text, unclaimed.text);
}
