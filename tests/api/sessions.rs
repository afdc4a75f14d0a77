//! Browsers that are signed in: by which cookie, for how long, and as whom.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use verigate::{config::Mode, domain::Person, store, verification::forget_person};

use crate::{
    browser::{Browser, HTML, path},
    server::{PUBLIC_HOST, TestServer},
    support::{database::TestDb, eventually},
};

async fn run(server: &TestServer, statement: &'static str) -> u64 {
    let changed = sqlx::query(statement).execute(server.pool()).await;
    changed.unwrap().rows_affected()
}

async fn server(settings: &[(&str, &str)], mode: Mode) -> TestServer {
    let db = TestDb::new().await;
    let mut server = TestServer::with(mode, db.url(), settings).await;
    server.db = Some(db);
    server
}

/// The whole `Set-Cookie` of a sign-in.
async fn cookie_of(server: &TestServer) -> String {
    let link = path(&server.hand_off("ada").await);
    let answer = Browser::new(server).press(&link).await;
    let set: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(set.len(), 1);
    set[0].to_str().unwrap().to_owned()
}

/// Name and attributes, without the value.
fn shape(cookie: &str) -> String {
    let (name, rest) = cookie.split_once('=').unwrap();
    let (value, attributes) = rest.split_once("; ").unwrap();
    assert_eq!(value.len(), 43, "32 random bytes");
    format!("{name}; {attributes}")
}

#[tokio::test]
async fn over_https_nobody_but_us_can_set_or_read_the_cookie() {
    let server = server(&[], Mode::Serve).await;
    let one = cookie_of(&server).await;
    let expected = "__Host-verigate; HttpOnly; SameSite=Lax; Secure; Path=/";
    assert_eq!(shape(&one), expected);
    assert_ne!(one, cookie_of(&server).await, "a new one each time");
}

#[tokio::test]
async fn over_plain_http_the_cookie_has_its_plain_name() {
    let server = server(&[("HAND_OFF", "on")], Mode::Dev).await;
    let cookie = cookie_of(&server).await;
    assert_eq!(shape(&cookie), "verigate; HttpOnly; SameSite=Lax; Path=/");
    // Nor is the demo user anybody any more.
    assert_eq!(
        Browser::new(&server).status().await.0,
        StatusCode::UNAUTHORIZED
    );
    let pair = cookie.split(';').next().unwrap().to_owned();
    let mut browser = Browser::new(&server);
    browser.cookie = Some(format!("theme=dark; {pair}; other=\"1\""));
    assert_eq!(browser.status().await.0, StatusCode::OK);
    for other in [
        pair.replace("verigate=", "__Host-verigate="),
        pair.replace("verigate=", "Verigate="),
        pair.replace("verigate=", "verigate2="),
    ] {
        browser.cookie = Some(other);
        assert_eq!(browser.status().await.0, StatusCode::UNAUTHORIZED);
    }
}

/// The person is nobody any more, and the next page takes the cookie away.
async fn assert_signed_out(browser: &mut Browser<'_>) {
    assert_eq!(browser.status().await.0, StatusCode::UNAUTHORIZED);
    let stream = browser.request(Method::GET, "/status/stream");
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::UNAUTHORIZED);
    let own = browser.request(Method::POST, "/create-verification-session");
    let own = own.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(own.unwrap().status(), StatusCode::UNAUTHORIZED);
    let page = browser.request(Method::GET, "/verify");
    let answer = page.header("accept", HTML).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    let gone = "__Host-verigate=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0";
    assert_eq!(set, gone);
    let page = answer.text().await.unwrap();
    assert!(page.contains("Open this page from Acme"), "{page}");
    let (status, page) = browser.read("/submitted").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("You can close this page"), "{page}");
    assert!(browser.cookie.is_none());
}

#[tokio::test]
async fn whoever_does_nothing_for_half_an_hour_is_signed_out() {
    let server = server(&[], Mode::Serve).await;
    let mut browser = Browser::signed_in(&server, "ada").await;
    let rest = "UPDATE browser_sessions SET seen_at = now() - interval '29 minutes'";
    run(&server, rest).await;
    assert_eq!(browser.status().await.0, StatusCode::OK);
    let seen = "SELECT seen_at > now() - interval '1 minute' FROM browser_sessions";
    let seen: bool = sqlx::query_scalar(seen)
        .fetch_one(server.pool())
        .await
        .unwrap();
    assert!(seen, "asking is doing something");
    let rest = "UPDATE browser_sessions SET seen_at = now() - interval '31 minutes'";
    run(&server, rest).await;
    assert_signed_out(&mut browser).await;
}

#[tokio::test]
async fn whoever_is_busy_for_eight_hours_is_signed_out_too() {
    let server = server(&[], Mode::Serve).await;
    let mut browser = Browser::signed_in(&server, "ada").await;
    let longest =
        "SELECT extract(epoch FROM expires_at - created_at)::float8 FROM browser_sessions";
    let longest: f64 = sqlx::query_scalar(longest)
        .fetch_one(server.pool())
        .await
        .unwrap();
    assert!((longest - 8.0 * 3600.0).abs() < 0.001, "{longest}");
    run(
        &server,
        "UPDATE browser_sessions SET expires_at = now() + interval '1 minute'",
    )
    .await;
    assert_eq!(browser.status().await.0, StatusCode::OK);
    run(&server, "UPDATE browser_sessions SET expires_at = now()").await;
    assert_signed_out(&mut browser).await;
}

#[tokio::test]
async fn a_session_in_use_is_noted_at_most_once_a_minute() {
    let server = server(&[], Mode::Serve).await;
    let browser = Browser::signed_in(&server, "ada").await;
    let versions = async || -> String {
        let version = sqlx::query_scalar("SELECT xmin::text || seen_at FROM browser_sessions");
        version.fetch_one(server.pool()).await.unwrap()
    };
    let before = versions().await;
    for _ in 0..5 {
        browser.status().await;
    }
    assert_eq!(versions().await, before);
    run(
        &server,
        "UPDATE browser_sessions SET seen_at = now() - interval '61 seconds'",
    )
    .await;
    let aged = versions().await;
    browser.status().await;
    assert_ne!(versions().await, aged);
}

#[tokio::test]
async fn signing_out_ends_the_session_for_whoever_copied_the_cookie() {
    let server = server(&[], Mode::Serve).await;
    let mut browser = Browser::signed_in(&server, "ada").await;
    let mut copy = Browser::new(&server);
    copy.cookie.clone_from(&browser.cookie);
    let (_, page) = browser.read("/verify").await;
    assert!(page.contains("action=\"/sign-out\""), "{page}");
    let left = browser.press("/sign-out").await;
    assert_eq!(left.status(), StatusCode::SEE_OTHER);
    assert_eq!(left.headers()["location"], "/submitted");
    assert!(browser.cookie.is_none());
    assert_eq!(run(&server, "DELETE FROM browser_sessions").await, 0);
    assert_signed_out(&mut copy).await;
    // Whoever is nobody may leave, too.
    let left = browser.press("/sign-out").await;
    assert_eq!(left.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn whoever_signs_in_again_is_somebody_else_with_another_cookie() {
    let server = server(&[], Mode::Serve).await;
    let mut browser = Browser::signed_in(&server, "ada").await;
    let mut copy = Browser::new(&server);
    copy.cookie.clone_from(&browser.cookie);
    let link = path(&server.hand_off("bob").await);
    let followed = browser.press(&link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
    assert_ne!(browser.cookie, copy.cookie);
    let who = "SELECT string_agg(external_id, ' ') FROM browser_sessions JOIN users ON users.id = user_id";
    let who: String = sqlx::query_scalar(who)
        .fetch_one(server.pool())
        .await
        .unwrap();
    assert_eq!(who, "bob", "the one before is gone");
    assert_signed_out(&mut copy).await;
    assert_eq!(browser.status().await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_session_that_is_over_goes_when_its_person_signs_in_again() {
    let server = server(&[], Mode::Serve).await;
    for _ in 0..3 {
        Browser::signed_in(&server, "ada").await;
    }
    Browser::signed_in(&server, "bob").await;
    run(&server, "UPDATE browser_sessions SET expires_at = now()").await;
    Browser::signed_in(&server, "ada").await;
    let left = "SELECT count(*) FROM browser_sessions";
    let left: i64 = sqlx::query_scalar(left)
        .fetch_one(server.pool())
        .await
        .unwrap();
    assert_eq!(left, 2, "ada's new one, and bob's");
}

#[tokio::test]
async fn a_session_is_of_one_mode_and_a_cookie_of_somebodys_own_making_is_none() {
    let server = server(&[], Mode::Serve).await;
    let mut browser = Browser::signed_in(&server, "ada").await;
    run(&server, "UPDATE browser_sessions SET livemode = true").await;
    assert_signed_out(&mut browser).await;
    for made_up in [
        "x".to_owned(),
        "A".repeat(43),
        "A".repeat(4000),
        "' OR 1=1 --".to_owned(),
        String::new(),
    ] {
        let mut browser = Browser::new(&server);
        browser.cookie = Some(format!("__Host-verigate={made_up}"));
        assert_signed_out(&mut browser).await;
    }
}

#[tokio::test]
async fn the_cookie_is_no_credential_beside_an_authorization_header() {
    let server = server(&[], Mode::Serve).await;
    let browser = Browser::signed_in(&server, "ada").await;
    let request = browser.request(Method::GET, "/status");
    let answer = request.header("authorization", "Bearer nonsense").send();
    assert_eq!(answer.await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_person_never_sees_anothers_state() {
    let server = server(&[], Mode::Serve).await;
    let mut ada = Browser::signed_in(&server, "ada").await;
    let mut bob = Browser::signed_in(&server, "bob").await;
    let start = ada.request(Method::POST, "/create-verification-session");
    let start = start.json(&json!({ "client": "modal" }));
    let started = start
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .unwrap();
    assert_eq!(started.status(), StatusCode::OK);
    let started: serde_json::Value = started.json().await.unwrap();
    let session = started["id"].as_str().unwrap();
    server.stripe.move_to(session, "verified", None);
    server.tell("evt_1", session, "verified", None).await;

    let (_, status) = ada.status().await;
    assert_eq!(status["status"], "verified");
    let attempt = status["verification_id"].as_str().unwrap();
    let (_, page) = ada.read("/submitted").await;
    assert!(page.contains("Your identity is verified"), "{page}");

    let (_, status) = bob.status().await;
    assert_eq!(status["status"], "none");
    assert!(status["verification_id"].is_null(), "{status}");
    for path in ["/verify", "/submitted"] {
        let (_, page) = bob.read(path).await;
        assert!(
            page.contains("<h1 tabindex=\"-1\">Verify your identity</h1>"),
            "{page}"
        );
        assert!(!page.contains(attempt) && !page.contains(session), "{page}");
    }
    let asked = format!("/status?user=ada&verification_id={attempt}");
    let request = bob.request(Method::GET, &asked).header("x-user", "ada");
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("\"none\""), "{answer}");
    let stream = bob.request(Method::GET, "/status/stream").send().await;
    let first = stream.unwrap().chunk().await.unwrap().unwrap();
    let first = String::from_utf8_lossy(&first).into_owned();
    assert!(
        first.contains("\"none\"") && !first.contains(attempt),
        "{first}"
    );
}

/// Everything a stream says until it ends.
async fn hear_out(stream: reqwest::Response) -> String {
    stream.text().await.unwrap()
}

#[tokio::test]
async fn a_stream_tells_nobody_anything_after_signing_out() {
    let server = server(&[], Mode::Serve).await;
    let mut ada = Browser::signed_in(&server, "ada").await;
    let mut elsewhere = Browser::signed_in(&server, "ada").await;
    let start = ada.request(Method::POST, "/create-verification-session");
    let start = start.header("sec-fetch-site", "same-origin").send().await;
    let started: serde_json::Value = start.unwrap().json().await.unwrap();
    let session = started["id"].as_str().unwrap();
    let open = |browser: &Browser<'_>| browser.request(Method::GET, "/status/stream").send();
    let (here, there) = (open(&ada).await.unwrap(), open(&elsewhere).await.unwrap());
    assert_eq!(ada.press("/sign-out").await.status(), StatusCode::SEE_OTHER);
    server.tell("evt_1", session, "verified", None).await;
    let (here, there) = tokio::join!(hear_out(here), hear_out(there));
    assert!(!here.contains("\"verified\""), "{here}");
    assert!(there.contains("\"verified\""), "{there}");
    assert_eq!(elsewhere.read("/verify").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_way_back_is_the_hand_offs_own_in_every_state() {
    let home = [("APP_URL", "https://acme.example/home")];
    let server = server(&home, Mode::Serve).await;
    let mut new = server.asked_for("ada").await;
    new.return_url = Some("https://shop.example/after?order=1#x".to_owned());
    let link = path(&server.verifier.hand_off(new, None).await.unwrap());
    let mut browser = Browser::new(&server);
    browser.press(&link).await;
    let back = "href=\"https://shop.example/after?order=1#x\">Back to Acme";
    let start = browser.request(Method::POST, "/create-verification-session");
    let start = start.json(&json!({ "client": "modal" }));
    let started = start
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .unwrap();
    let started: serde_json::Value = started.json().await.unwrap();
    let session = started["id"].as_str().unwrap();
    for (nth, status) in ["processing", "requires_input", "verified"]
        .iter()
        .enumerate()
    {
        let error = (*status == "requires_input").then_some("under_supported_age");
        server
            .tell(&format!("evt_{nth}"), session, status, error)
            .await;
        for path in ["/verify", "/submitted"] {
            let (_, page) = browser.read(path).await;
            let shown = page.split("<template").next().unwrap();
            assert!(shown.contains(back), "{status}: {page}");
            assert!(!page.contains("acme.example/home"), "{status}: {page}");
        }
    }
    let (_, page) = Browser::signed_in(&server, "bob")
        .await
        .read("/verify")
        .await;
    assert!(
        page.contains("href=\"https://acme.example/home\">Back to Acme"),
        "{page}"
    );
}

#[tokio::test]
async fn a_start_by_somebody_who_is_forgotten_meanwhile_makes_nobody_anew() {
    let server = server(&[], Mode::Serve).await;
    let browser = Browser::signed_in(&server, "ada").await;
    run(
        &server,
        "UPDATE browser_sessions SET seen_at = now() - interval '2 minutes'",
    )
    .await;
    let cookie = browser.cookie.as_deref().unwrap();
    let head = format!(
        "POST /create-verification-session HTTP/1.1\r\nHost: {PUBLIC_HOST}\r\nCookie: {cookie}\r\n\
         Sec-Fetch-Site: same-origin\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    );
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    eventually("its cookie is known", async || {
        let seen = "SELECT seen_at > now() - interval '1 minute' FROM browser_sessions";
        let seen = sqlx::query_scalar::<_, bool>(seen);
        seen.fetch_one(server.pool()).await.unwrap().then_some(())
    })
    .await;
    let ada = Person {
        realm: "app".to_owned(),
        external_id: "ada".to_owned(),
        email: None,
    };
    let url = server.db.as_ref().unwrap().url().to_owned();
    let db = store::connect(&url.into(), 1).unwrap();
    assert!(forget_person(&db, &ada, None).await.unwrap().is_some());
    connection.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let people = sqlx::query_scalar("SELECT count(*) FROM users");
    let people: i64 = people.fetch_one(server.pool()).await.unwrap();
    assert_eq!(people, 1, "the row that names nobody");
    assert!(server.stripe.calls().is_empty());
}
