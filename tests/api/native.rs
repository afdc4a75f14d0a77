//! Phones' apps, as Stripe's examples for iOS, Android and React Native ask: what they send, byte by byte, and what they can read.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;
use verigate::config::Mode;

use crate::{
    program::{RawAnswer, send},
    server::TestServer,
    support::{PATIENCE, database::TestDb},
    world::World,
};

/// All that the examples can be made to send.
const OPTIONS: &str = r#"{"type":"document","options":{"document":{"allowed_types":["driving_license","passport","id_card"],"require_id_number":true,"require_live_capture":true,"require_matching_selfie":true,"require_address":false},"phone":{"require_verification":true},"phone_otp":{"check":"attempt"},"phone_records":{"fallback":"document","fallback_type":"document"}},"provided_details":{"phone":"+15555550123"},"enable_face_capture":true}"#;
const FLOW: &str =
    r#"{"verification_flow":"vf_of_the_client","options":{"document":{}},"metadata":{"a":"b"}}"#;

/// The first line and headers of each app, and what it may send.
const APPS: [(&str, &str, &[&str]); 6] = [
    (
        "POST /create-verification-session",
        "Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: IdentityVerification%20Example/1 CFNetwork/1494.0.7 Darwin/23.4.0\r\nAccept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate\r\n",
        &["", OPTIONS],
    ),
    (
        "POST /verification-sessions",
        "Content-Type: application/json; charset=utf-8\r\nAccept: */*\r\nUser-Agent: IdentityVerification%20Example/1 CFNetwork/1494.0.7 Darwin/23.4.0\r\n",
        &["", "{}", OPTIONS, FLOW],
    ),
    (
        "POST /verification-sessions",
        "Content-Type: application/json\r\nAccept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\nUser-Agent: Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)\r\nAccept-Encoding: compress;q=0.5, gzip;q=1.0\r\n",
        &[OPTIONS, FLOW],
    ),
    (
        "POST /verification-sessions",
        "accept: application/json\r\ncontent-type: application/json\r\naccept-encoding: gzip\r\nuser-agent: okhttp/4.12.0\r\n",
        &["", "{}", OPTIONS],
    ),
    (
        "POST /test/verification-sessions",
        "accept: application/json\r\ncontent-type: application/json\r\nuser-agent: okhttp/4.12.0\r\n",
        &["", "{}", OPTIONS],
    ),
    (
        "POST /create-verification-session",
        "content-type: application/json\r\nuser-agent: okhttp/4.12.0\r\n",
        &["", "null"],
    ),
];

async fn ask(address: SocketAddr, line: &str, headers: &str, body: Option<&str>) -> RawAnswer {
    let length = body.map_or(String::new(), |it| {
        format!("Content-Length: {}\r\n", it.len())
    });
    let body = body.unwrap_or("");
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}{length}\r\n{body}"
    );
    send(address, request.as_bytes()).await
}

/// What an app for iOS can read: nothing but strings, and nothing below them.
fn decoded(answer: &RawAnswer) -> BTreeMap<String, String> {
    assert_eq!(answer.status(), 200, "{}", answer.0);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let members: BTreeMap<String, String> = serde_json::from_str(answer.body()).unwrap();
    let names: BTreeSet<_> = members.keys().map(String::as_str).collect();
    let expected = ["client_secret", "ephemeral_key_secret", "id", "url"];
    assert_eq!(names, BTreeSet::from(expected));
    assert!(members.values().all(|it| !it.trim().is_empty()));
    members
}

#[tokio::test]
async fn every_example_app_gets_four_strings_and_a_key_of_its_own_each_time() {
    let server = TestServer::dev().await;
    let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut asked = 0;
    for (line, headers, bodies) in APPS {
        // Some send no length when there is nothing.
        let bodies = bodies.iter().map(|it| Some(*it)).chain([None]);
        for body in bodies {
            let answer = ask(server.address, line, headers, body).await;
            let mut members = decoded(&answer);
            ids.insert(members.remove("id"));
            keys.insert(members.remove("ephemeral_key_secret"));
            asked += 1;
        }
    }
    assert_eq!(ids.len(), 1, "one session a person");
    assert_eq!(keys.len(), asked, "no key is handed out twice");
}

#[tokio::test]
async fn nothing_that_an_app_sends_reaches_stripe() {
    for body in [
        OPTIONS,
        FLOW,
        r#"{"client":"native","policy":"selfie","type":"id_number"}"#,
    ] {
        let world = World::new().await;
        let gateway = world.gateway().await;
        let address = gateway.origin.strip_prefix("http://").unwrap();
        let headers = "Content-Type: application/json\r\n";
        let answer = ask(
            address.parse().unwrap(),
            "POST /verification-sessions",
            headers,
            Some(body),
        )
        .await;
        let id = decoded(&answer).remove("id").unwrap();
        let path = format!("/v1/identity/verification_sessions/{id}?expand[]=provided_details");
        let session = world.sandbox.get(&path).await.body;
        assert_eq!(session["type"], "document");
        assert_eq!(session["options"], json!({ "document": {} }));
        assert_eq!(session["provided_details"], Value::Null);
        assert!(session.get("verification_flow").is_none_or(Value::is_null));
        let metadata = session["metadata"].as_object().unwrap();
        assert_eq!(metadata.keys().collect::<Vec<_>>(), ["verigate_attempt"]);
        let policy: String = sqlx::query_scalar("SELECT policy FROM verifications")
            .fetch_one(world.db.pool())
            .await
            .unwrap();
        assert_eq!(policy, "default");
    }
}

fn reuse(session: &str) -> String {
    json!({ "verification_session": session }).to_string()
}

const REUSE: &str = "POST /reuse-verification-session";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn only_ones_own_open_session_is_opened_once_more() {
    let server = TestServer::dev().await;
    let opened = ask(
        server.address,
        "POST /verification-sessions",
        JSON,
        Some(""),
    )
    .await;
    let opened = decoded(&opened);
    let again = ask(server.address, REUSE, JSON, Some(&reuse(&opened["id"]))).await;
    let again = decoded(&again);
    assert_eq!(again["id"], opened["id"]);
    assert_ne!(
        again["ephemeral_key_secret"],
        opened["ephemeral_key_secret"]
    );

    // Somebody else's, beside it.
    let other =
        "INSERT INTO users (id, realm, external_id) VALUES (gen_random_uuid(), 'demo', 'other')";
    let pool = server.db.as_ref().unwrap().pool();
    sqlx::query(other).execute(pool).await.unwrap();
    let theirs = "INSERT INTO verifications (id, user_id, livemode, client, session_id, status, current) \
        SELECT gen_random_uuid(), id, false, 'native', 'vs_theirs', 'requires_input', true FROM users WHERE external_id = 'other'";
    sqlx::query(theirs).execute(pool).await.unwrap();
    let calls = server.stripe.calls().len();
    for nobodys in [
        reuse("vs_theirs"),
        reuse("vs_nobody"),
        reuse(""),
        reuse("vs_\u{0}"),
        reuse(&"v".repeat(300)),
        String::new(),
        "{}".to_owned(),
        r#"{"verification_session":7}"#.to_owned(),
        "verification_session=vs_theirs".to_owned(),
    ] {
        let answer = ask(server.address, REUSE, JSON, Some(&nobodys)).await;
        assert_eq!(answer.status(), 404, "{nobodys}: {}", answer.0);
        assert_eq!(answer.json()["error"]["code"], "not_found");
    }
    assert_eq!(
        server.stripe.calls().len(),
        calls,
        "Stripe heard of none of it"
    );
}

#[tokio::test]
async fn a_session_that_is_over_opens_nothing_but_says_why() {
    let server = TestServer::dev().await;
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    for (event, status, code) in [
        ("evt_1", "processing", "verification_processing"),
        ("evt_2", "verified", "already_verified"),
    ] {
        server.tell(event, &id, status, None).await;
        for (line, body) in [
            ("POST /verification-sessions", String::new()),
            ("POST /test/verification-sessions", String::new()),
            (REUSE, reuse(&id)),
        ] {
            let answer = ask(server.address, line, JSON, Some(&body)).await;
            assert_eq!(answer.status(), 409, "{line}: {}", answer.0);
            let error = &answer.json()["error"];
            assert_eq!(error["code"], code);
            assert!(!error["message"].as_str().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn where_apps_are_not_served_there_is_no_key_for_one() {
    let db = TestDb::new().await;
    let server = TestServer::with(Mode::Dev, db.url(), &[("NATIVE", "off")]).await;
    let answer = server.post("/verification-sessions").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    assert!(answer.get("ephemeral_key_secret").is_none(), "{answer}");
    for path in ["/test/verification-sessions", "/reuse-verification-session"] {
        let answer = server.post(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let calls = server.stripe.calls();
    assert!(
        !calls.iter().any(|it| it.contains("ephemeral")),
        "{calls:?}"
    );
}

/// What the hook of an app for React Native makes of our answer.
async fn hook(server: &TestServer, path: &str, body: Option<&str>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/hook.mjs");
    let origin = format!("http://{}", server.address);
    let output = Command::new("node")
        .arg(script)
        .args([origin.as_str(), path])
        .args(body)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap_or_else(|error| panic!("node: {error}; scripts/setup test installs it"));
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn the_hook_of_react_native_opens_the_session_and_shows_why_it_cannot() {
    let server = TestServer::dev().await;
    let mut keys = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, body) in [
        ("/create-verification-session", None),
        (
            "/create-verification-session",
            Some(r#"{"client":"native"}"#),
        ),
        ("/verification-sessions", Some("{}")),
        ("/verification-sessions", Some(OPTIONS)),
        ("/test/verification-sessions", Some(OPTIONS)),
    ] {
        let opened = hook(&server, path, body).await;
        ids.insert(opened["sessionId"].to_string());
        keys.insert(opened["ephemeralKeySecret"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), keys.len()), (1, 5));
    let id = ids.pop_first().unwrap();
    let id: String = serde_json::from_str(&id).unwrap();
    server.tell("evt_1", &id, "verified", None).await;
    let shown = hook(&server, "/verification-sessions", None).await;
    assert_eq!(shown["shown"], "This person is verified already.");
}

async fn with_links(links: &str) -> (TestServer, TestDb) {
    let db = TestDb::new().await;
    let server = TestServer::with(Mode::Dev, db.url(), &[("APP_LINKS", links)]).await;
    (server, db)
}

/// Where the page's buttons lead, if there is a page.
async fn shown(server: &TestServer, to: Option<&str>) -> (StatusCode, Vec<String>) {
    let mut url = Url::parse("http://x/app/return").unwrap();
    if let Some(to) = to {
        url.query_pairs_mut().append_pair("to", to);
    }
    let path = format!(
        "{}{}",
        url.path(),
        url.query().map_or(String::new(), |it| format!("?{it}"))
    );
    let (status, page) = server.page(&path).await;
    let buttons = page.split("class=\"button\" href=\"").skip(1);
    let links = buttons.map(|rest| rest.split('"').next().unwrap().to_owned());
    assert!(!page.contains("<meta http-equiv=\"refresh\""), "{page}");
    (status, links.collect())
}

#[tokio::test]
async fn the_way_back_into_the_app_is_a_plain_link_that_the_operator_named() {
    let (server, _db) = with_links("myapp://verified,https://app.example/open").await;
    for (to, link) in [
        (None, "myapp://verified"),
        (Some("myapp://other/42?x=1"), "myapp://other/42?x=1"),
        (Some("https://app.example/"), "https://app.example/"),
        (Some("https://app.example/a#b"), "https://app.example/a#b"),
    ] {
        assert_eq!(
            shown(&server, to).await,
            (StatusCode::OK, vec![link.to_owned()]),
            "{to:?}"
        );
    }
    for to in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "myapp:javascript",
        "myapp2://x",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://app.example:8443/",
        "http://app.example/",
        "HTTPS://APP.EXAMPLE/\u{2028}",
        "https://app.example\\@evil.example",
        "data:text/html,x",
        "",
    ] {
        let (status, links) = shown(&server, Some(to)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{to}");
        assert!(
            links.iter().all(|it| !it.contains("evil")),
            "{to}: {links:?}"
        );
    }
}

#[tokio::test]
async fn without_an_app_there_is_no_way_back_into_one() {
    let server = TestServer::dev().await;
    assert_eq!(shown(&server, None).await.0, StatusCode::NOT_FOUND);
    let to = Some("myapp://x");
    assert_eq!(shown(&server, to).await.0, StatusCode::NOT_FOUND);
}
