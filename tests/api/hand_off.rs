//! One-time links: looked at as often as anybody likes, followed once, and each kind of broken one with its page.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use verigate::config::Mode;

use crate::{
    browser::{Browser, path},
    server::TestServer,
    support::{database::TestDb, eventually},
};

/// How many browsers are signed in, and how many links are spent.
async fn done(server: &TestServer) -> (i64, i64) {
    let done = "SELECT (SELECT count(*) FROM browser_sessions), \
        (SELECT count(*) FROM hand_offs WHERE spent_at IS NOT NULL)";
    sqlx::query_as(done).fetch_one(server.pool()).await.unwrap()
}

async fn run(server: &TestServer, statement: &'static str) {
    let changed = sqlx::query(statement).execute(server.pool()).await.unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
}

#[tokio::test]
async fn a_link_says_whose_request_it_is_and_its_button_signs_the_browser_in() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    let mut browser = Browser::new(&server);
    let (status, page) = browser.read(&link).await;
    assert_eq!(status, StatusCode::OK);
    for words in [
        "Is this you?",
        "Acme asks <strong>a•••@example.com</strong>",
        "Not you? Stop here.",
    ] {
        assert!(page.contains(words), "no {words:?} in {page}");
    }
    assert!(!page.contains("ada@"), "{page}");
    assert!(!page.contains("<script"), "nothing submits it: {page}");
    assert!(browser.cookie.is_none());

    let followed = browser.press(&link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
    assert_eq!(followed.headers()["location"], "/verify");
    let (status, page) = browser.read("/verify").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Verify your identity"), "{page}");
    assert_eq!(done(&server).await, (1, 1));

    let (status, page) = browser.read(&link).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let again = browser.press(&link).await;
    assert_eq!(again.headers()["location"], "/verify", "it goes on");
    assert_eq!(done(&server).await, (1, 1));
}

#[tokio::test]
async fn the_applications_own_word_for_a_person_comes_before_their_address() {
    let server = TestServer::serve().await;
    let mut new = server.asked_for("ada").await;
    new.label = Some("Ada <L.>".to_owned());
    let link = server.verifier.hand_off(new, None).await.unwrap();
    let (_, page) = Browser::new(&server).read(&path(&link)).await;
    assert!(page.contains("<strong>Ada &#60;L.&#62;</strong>"), "{page}");
    assert!(!page.contains("example.com"), "{page}");

    let mut new = server.asked_for("u4711").await;
    new.person.email = None;
    let link = server.verifier.hand_off(new, None).await.unwrap();
    let (_, page) = Browser::new(&server).read(&path(&link)).await;
    assert!(page.contains("Did you ask for this?"), "{page}");
    assert!(!page.contains("u4711"), "ids are the application's: {page}");
}

/// A slow machine turns some of a crowd away for now; they come again, as people do.
async fn press_in_a_crowd(browser: &mut Browser<'_>, link: &str) -> reqwest::Response {
    eventually("the crowd is let in", async || {
        let answer = browser.press(link).await;
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}

/// Everybody presses at once; gives how many were signed in.
async fn press_at_once(servers: &[&TestServer], link: &str, times: usize) -> usize {
    let presses = (0..times).map(|nth| async move {
        let mut browser = Browser::new(servers[nth % servers.len()]);
        let answer = press_in_a_crowd(&mut browser, link).await;
        match answer.status() {
            StatusCode::SEE_OTHER => assert!(browser.cookie.is_some()),
            status => {
                assert_eq!(status, StatusCode::GONE);
                assert!(browser.cookie.is_none());
            }
        }
        answer.status() == StatusCode::SEE_OTHER
    });
    let signed_in = join_all(presses).await;
    signed_in.into_iter().filter(|it| *it).count()
}

#[tokio::test]
async fn a_hundred_presses_at_once_spend_a_link_once() {
    let server = TestServer::serve().await;
    for _ in 0..3 {
        let link = path(&server.hand_off("ada").await);
        assert_eq!(press_at_once(&[&server], &link, 100).await, 1);
    }
    assert_eq!(done(&server).await, (3, 3));
}

#[tokio::test]
async fn two_servers_over_one_database_spend_a_link_once() {
    let db = TestDb::new().await;
    let mut one = TestServer::over(Mode::Serve, db.url()).await;
    let other = TestServer::over(Mode::Serve, db.url()).await;
    one.db = Some(db);
    let link = path(&one.hand_off("ada").await);
    assert_eq!(press_at_once(&[&one, &other], &link, 100).await, 1);
    assert_eq!(done(&one).await, (1, 1));
}

#[tokio::test]
async fn a_browser_whose_answer_was_lost_presses_again_and_goes_on() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    let mut browser = Browser::new(&server);
    browser.read(&link).await;
    let mark = browser.mark.clone();
    assert!(mark.is_some());
    let first = browser.press(&link).await;
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let cookie = browser.cookie.take();
    let second = browser.press(&link).await;
    assert_eq!(second.headers()["location"], "/verify");
    assert_eq!(browser.cookie, cookie, "one session, and the same one");
    assert_eq!(done(&server).await, (1, 1));
    browser.read(&link).await;
    assert_eq!(browser.mark, mark, "it is marked once");

    // Neither the mark nor the link alone is good for anything.
    let mut other = Browser::new(&server);
    other.mark = mark.map(|mark| mark[..mark.len() - 4].to_owned() + "AAAA");
    assert_eq!(other.press(&link).await.status(), StatusCode::GONE);
    assert_eq!(other.status().await.0, StatusCode::UNAUTHORIZED);
    let second_link = path(&server.hand_off("bob").await);
    let followed = browser.press(&second_link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
    assert_ne!(browser.cookie, cookie, "a new token at each sign-in");

    browser.press("/sign-out").await;
    for link in [&link, &second_link] {
        assert_eq!(browser.press(link).await.status(), StatusCode::GONE);
    }
    assert_eq!(done(&server).await, (0, 2));
}

#[tokio::test]
async fn a_hundred_presses_in_one_browser_are_one_sign_in() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    let mut browser = Browser::new(&server);
    browser.read(&link).await;
    let presses = (0..100).map(async |_| {
        let mut same = Browser::new(&server);
        same.mark.clone_from(&browser.mark);
        let answer = press_in_a_crowd(&mut same, &link).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        same.cookie
    });
    let mut cookies = join_all(presses).await;
    cookies.dedup();
    assert_eq!(cookies.len(), 1);
    assert_eq!(done(&server).await, (1, 1));
}

#[tokio::test]
async fn looking_at_a_link_burns_nothing_however_it_is_done() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    for (name, value) in [
        ("purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("x-moz", "prefetch"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-origin"),
        ("user-agent", "Slackbot-LinkExpanding 1.0"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = server.request(method, &link).header(name, value);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let set = answer.headers()["set-cookie"].to_str().unwrap();
            let mark = "; HttpOnly; SameSite=Lax; Secure; Path=/";
            assert!(set.starts_with("__Host-verigate-mark=") && set.ends_with(mark));
            assert_eq!(answer.headers()["cache-control"], "no-store");
        }
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = server.request(method, &link);
        let answer = request.header("sec-fetch-site", "same-origin").send();
        assert_eq!(
            answer.await.unwrap().status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
    assert_eq!(done(&server).await, (0, 0));
    let followed = Browser::new(&server).press(&link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_browser_that_keeps_no_cookies_is_told_so_and_spends_no_link() {
    let server = server_with_a_home().await;
    let link = path(&server.hand_off("ada").await);
    server.get(&link).send().await.unwrap();
    for _ in 0..2 {
        let pressed = server
            .post(&link)
            .header("sec-fetch-site", "same-origin")
            .header("accept", "text/html");
        let pressed = pressed.send().await.unwrap();
        assert_eq!(pressed.status(), StatusCode::FORBIDDEN);
        assert!(!pressed.headers().contains_key("set-cookie"));
        let page = pressed.text().await.unwrap();
        for words in [
            "Your browser keeps no cookies",
            "The link still works",
            "href=\"\">Open the link again",
        ] {
            assert!(page.contains(words), "no {words:?} in {page}");
        }
    }
    assert_eq!(done(&server).await, (0, 0));
    let followed = Browser::new(&server).press(&link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
}

/// What a browser that was not signed in by it gets of a link, looking and pressing.
async fn assert_broken(server: &TestServer, link: &str, status: StatusCode, heading: &str) {
    let before = done(server).await;
    let mut browser = Browser::new(server);
    let looked = browser.read(link).await;
    let pressed = browser.press(link).await;
    let pressed = (pressed.status(), pressed.text().await.unwrap());
    for (found, page) in [looked, pressed] {
        assert_eq!(found, status, "{page}");
        assert!(page.contains(&format!("<h1>{heading}</h1>")), "{page}");
        assert!(
            page.contains("href=\"https://acme.example/home\">Back to Acme"),
            "it leads back: {page}"
        );
        assert!(!page.contains("@example.com"), "{page}");
    }
    assert!(browser.cookie.is_none());
    assert_eq!(done(server).await, before);
}

async fn server_with_a_home() -> TestServer {
    let db = TestDb::new().await;
    let home = [("APP_URL", "https://acme.example/home")];
    let mut server = TestServer::with(Mode::Serve, db.url(), &home).await;
    server.db = Some(db);
    server
}

const USED: &str = "This link was used already";
const EXPIRED: &str = "This link is no longer valid";
const UNKNOWN: &str = "This link does not work";

#[tokio::test]
async fn a_used_link_an_expired_one_and_an_altered_one_each_say_so_and_lead_back() {
    let server = server_with_a_home().await;
    let link = path(&server.hand_off("ada").await);
    Browser::new(&server).press(&link).await;
    assert_broken(&server, &link, StatusCode::GONE, USED).await;
    // Used is what it was, whatever else comes after.
    run(&server, "UPDATE hand_offs SET expires_at = now()").await;
    assert_broken(&server, &link, StatusCode::GONE, USED).await;

    let link = path(&server.hand_off("ada").await);
    let age =
        "UPDATE hand_offs SET expires_at = now() - interval '1 second' WHERE spent_at IS NULL";
    run(&server, age).await;
    assert_broken(&server, &link, StatusCode::GONE, EXPIRED).await;

    let link = path(&server.hand_off("ada").await);
    let mut altered = link.clone().into_bytes();
    altered[20] = if altered[20] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    let cut = &link[..link.len() - 1];
    let longer = format!("{link}A");
    for wrong in [
        &*altered,
        cut,
        &longer,
        "/start/x",
        "/start/%00",
        "/start/%F0%9F%98%80",
    ] {
        assert_broken(&server, wrong, StatusCode::NOT_FOUND, UNKNOWN).await;
    }
    let followed = Browser::new(&server).press(&link).await;
    assert_eq!(
        followed.status(),
        StatusCode::SEE_OTHER,
        "the right one works"
    );
}

#[tokio::test]
async fn a_link_lasts_fifteen_minutes_by_the_databases_clock() {
    let server = TestServer::serve().await;
    server.hand_off("ada").await;
    let valid = "SELECT extract(epoch FROM expires_at - created_at)::float8 FROM hand_offs";
    let valid: f64 = sqlx::query_scalar(valid)
        .fetch_one(server.pool())
        .await
        .unwrap();
    assert!((valid - 900.0).abs() < 0.001, "{valid}");
}

#[tokio::test]
async fn a_hand_off_asked_for_again_gets_a_new_link_and_the_earlier_one_dies() {
    let server = server_with_a_home().await;
    let first = server.hand_off("ada").await;
    run(&server, "UPDATE hand_offs SET expires_at = now()").await;
    let second = server.verifier.remint(first.id).await.unwrap().unwrap();
    assert_eq!((second.id, second.user), (first.id, first.user));
    assert_broken(&server, &path(&first), StatusCode::NOT_FOUND, UNKNOWN).await;
    let mut browser = Browser::new(&server);
    let followed = browser.press(&path(&second)).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
    // Spent: there is nothing to hand out any more.
    assert!(server.verifier.remint(first.id).await.unwrap().is_none());
    let nobody = uuid::Uuid::new_v4();
    assert!(server.verifier.remint(nobody).await.unwrap().is_none());
    let (_, page) = browser.read(&path(&second)).await;
    assert!(page.contains("Is this you?"), "{page}");
}

#[tokio::test]
async fn a_link_dies_with_the_key_it_was_asked_for_with() {
    let server = server_with_a_home().await;
    let link = path(&server.hand_off("ada").await);
    run(&server, "UPDATE api_keys SET revoked_at = now()").await;
    assert_broken(&server, &link, StatusCode::GONE, EXPIRED).await;
}

#[tokio::test]
async fn the_browsers_that_a_key_signed_in_end_with_it_and_no_others() {
    let server = server_with_a_home().await;
    let (mut ada, mut bob) = (Browser::new(&server), Browser::new(&server));
    ada.press(&path(&server.hand_off("ada").await)).await;
    bob.press(&path(&server.hand_off("bob").await)).await;
    run(
        &server,
        "UPDATE api_keys SET revoked_at = now() WHERE id = (
             SELECT h.api_key_id FROM hand_offs h JOIN users u ON u.id = h.user_id WHERE u.external_id = 'ada')",
    )
    .await;
    assert_eq!(ada.read("/status").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(bob.read("/status").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_link_of_the_other_mode_is_none_of_ours() {
    let server = server_with_a_home().await;
    let link = path(&server.hand_off("ada").await);
    run(&server, "UPDATE hand_offs SET livemode = true").await;
    assert_broken(&server, &link, StatusCode::NOT_FOUND, UNKNOWN).await;
}

#[tokio::test]
async fn a_broken_link_leads_back_to_where_its_own_hand_off_says() {
    let server = server_with_a_home().await;
    let mut new = server.asked_for("ada").await;
    new.return_url = Some("myapp://back?x=1".to_owned());
    let link = path(&server.verifier.hand_off(new, None).await.unwrap());
    Browser::new(&server).press(&link).await;
    let (_, page) = Browser::new(&server).read(&link).await;
    assert!(
        page.contains("href=\"myapp://back?x=1\">Back to Acme"),
        "{page}"
    );
}

/// What forged requests say, and what says too little.
const FORGED: [&[(&str, &str)]; 14] = [
    &[],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "none")],
    &[("sec-fetch-site", "")],
    &[("sec-fetch-site", "Same-Origin")],
    &[("origin", "null")],
    &[("origin", "https://evil.example")],
    &[("origin", "http://verify.example")],
    &[("origin", "https://verify.example.evil.example")],
    &[("origin", "https://verify.example:8443")],
    &[
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://verify.example"),
    ],
    &[
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "cross-site"),
    ],
    &[("referer", "https://verify.example/start/x")],
];

#[tokio::test]
async fn only_our_own_page_can_sign_anybody_in_or_out() {
    let server = TestServer::serve().await;
    let mut signed_in = Browser::signed_in(&server, "ada").await;
    let link = path(&server.hand_off("bob").await);
    let before = done(&server).await;
    for forged in FORGED {
        for path in [&*link, "/sign-out", "/create-verification-session"] {
            let request = signed_in.request(Method::POST, path);
            let request = forged
                .iter()
                .fold(request, |all, (name, value)| all.header(*name, *value));
            let answer = signed_in.send(request).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {forged:?}");
            assert!(!answer.headers().contains_key("set-cookie"), "{path}");
            let page = answer.text().await.unwrap();
            let tells = !path.starts_with("/start/") || page.contains("The link still works");
            assert!(tells, "it says how to go on: {page}");
        }
    }
    assert_eq!(done(&server).await, before);
    assert!(server.stripe.calls().is_empty(), "nothing reached Stripe");
    assert_eq!(signed_in.status().await.0, StatusCode::OK);
    // The honest ones still work, also where only the origin is said.
    let request = signed_in.request(Method::POST, &link);
    let honest = request.header("origin", "https://verify.example");
    let followed = signed_in.send(honest).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn nothing_below_a_link_tells_its_address_to_anybody() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    let used = path(&server.hand_off("ada").await);
    Browser::new(&server).press(&used).await;
    for path in [&*link, &used, "/start/x", "/start/x/y", "/start/"] {
        for method in [Method::GET, Method::POST, Method::HEAD, Method::PUT] {
            let answer = server.request(method, path).send().await.unwrap();
            // Not `no-referrer`: then the page's own form would come with `Origin: null`, and be refused wherever a
            // browser says no more than that.
            let policy = &answer.headers()["referrer-policy"];
            assert_eq!(policy, "strict-origin", "{path}");
        }
    }
    let answer = server.get("/verify").send().await.unwrap();
    assert_eq!(answer.headers()["referrer-policy"], "same-origin");
}

#[tokio::test]
async fn where_links_are_off_there_are_none() {
    let server = TestServer::dev().await;
    let link = path(&server.hand_off("ada").await);
    let mut browser = Browser::new(&server);
    let (status, _) = browser.read(&link).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(browser.press(&link).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(done(&server).await, (0, 0));
}

async fn alter(server: &TestServer, statement: &'static str) {
    sqlx::query(statement).execute(server.pool()).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_that_breaks_off_in_the_middle_burns_no_link() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    alter(&server, "ALTER TABLE browser_sessions RENAME TO gone").await;
    let mut browser = Browser::new(&server);
    let failed = browser.press(&link).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(browser.cookie.is_none());
    alter(&server, "ALTER TABLE gone RENAME TO browser_sessions").await;
    let followed = browser.press(&link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER, "it was not burnt");
}
