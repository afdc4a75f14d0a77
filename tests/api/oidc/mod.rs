//! Signing in with an identity provider, a real one.

mod provider;

use std::collections::BTreeMap;

use reqwest::{Method, Response, StatusCode, Url};
use serde_json::json;
use verigate::config::Mode;

use self::provider::{CALLBACK, CLIENT_SECRET, Provider};
use crate::{browser::HTML, server::TestServer};

const ORIGIN: &str = "https://verify.example";
const SESSION: &str = "__Host-verigate";
const LOGIN: &str = "__Host-verigate-login";

/// A browser with all its cookies.
struct Jar<'a> {
    server: &'a TestServer,
    cookies: BTreeMap<String, String>,
}

impl<'a> Jar<'a> {
    fn new(server: &'a TestServer) -> Self {
        Self {
            server,
            cookies: BTreeMap::new(),
        }
    }

    async fn send(&mut self, method: Method, path: &str) -> Response {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.server.request(method, path).header("accept", HTML);
        let request = request.header("sec-fetch-site", "same-origin");
        let answer = request
            .header("cookie", cookies.join("; "))
            .send()
            .await
            .unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let set = set.to_str().unwrap();
            for part in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(set.contains(part), "{set}");
            }
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Response {
        self.send(Method::GET, path).await
    }

    /// Sets out for the provider; gives where it is sent.
    async fn leave(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        location(&answer)
    }

    /// Comes back from there.
    async fn come_back(&mut self, url: &Url) -> Response {
        self.get(&path(url)).await
    }

    async fn is_signed_in(&mut self) -> bool {
        self.get("/verify").await.status() == StatusCode::OK
    }
}

fn location(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

fn path(url: &Url) -> String {
    format!("{}?{}", url.path(), url.query().unwrap())
}

fn said(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(pair, _)| pair == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {url}"))
        .1
        .into_owned()
}

/// The address with another value for one of its parameters.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let mut changed = url.clone();
    let pairs = url.query_pairs().filter(|(pair, _)| pair != name);
    changed
        .query_pairs_mut()
        .clear()
        .extend_pairs(pairs)
        .append_pair(name, value);
    changed
}

async fn server_of(issuer: &str) -> TestServer {
    let settings = [
        ("HAND_OFF", "off"),
        ("OIDC_ISSUER", issuer),
        ("OIDC_CLIENT_ID", "verigate"),
        ("OIDC_CLIENT_SECRET", CLIENT_SECRET),
    ];
    TestServer::configured(Mode::Serve, &settings).await
}

async fn both() -> (Provider, TestServer) {
    let provider = Provider::start(ORIGIN).await;
    let server = server_of(&provider.issuer).await;
    (provider, server)
}

async fn refused(answer: Response, status: StatusCode, heading: &str) {
    assert_eq!(answer.status(), status);
    let page = answer.text().await.unwrap();
    assert!(
        page.contains(heading) && page.contains("href=\"/sign-in\""),
        "{page}"
    );
}

async fn refused_as_late(answer: Response) {
    refused(answer, StatusCode::BAD_REQUEST, "This sign-in is over").await;
}

#[tokio::test]
async fn who_signs_in_there_is_known_here() {
    let (provider, server) = both().await;
    for (name, email) in [("ada", Some("ada@example.com")), ("bob", None)] {
        let mut browser = Jar::new(&server);
        let page = browser.get("/verify").await;
        assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
        assert!(page.text().await.unwrap().contains("href=\"/sign-in\""));

        let there = browser.leave("/sign-in").await;
        let asked: Url = there.parse().unwrap();
        assert_eq!(said(&asked, "response_type"), "code");
        assert_eq!(said(&asked, "scope"), "openid email");
        assert_eq!(said(&asked, "code_challenge_method"), "S256");
        assert_eq!(said(&asked, "redirect_uri"), format!("{ORIGIN}{CALLBACK}"));
        let secrets = ["state", "nonce", "code_challenge"].map(|name| said(&asked, name));
        assert!(
            secrets.iter().all(|secret| secret.len() == 43),
            "{secrets:?}"
        );
        assert!(
            !there.contains(&browser.cookies[LOGIN]),
            "the cookie stays here"
        );

        let back = browser
            .come_back(&provider.walk(&there, Some(name)).await)
            .await;
        assert_eq!(back.status(), StatusCode::SEE_OTHER);
        assert_eq!(location(&back), "/verify");
        assert!(!browser.cookies.contains_key(LOGIN));
        assert!(browser.is_signed_in().await);
        let start = browser
            .send(Method::POST, "/create-verification-session")
            .await;
        assert_eq!(start.status(), StatusCode::SEE_OTHER);

        let person = "SELECT realm, email FROM users WHERE external_id = $1";
        let pool = server.db.as_ref().unwrap().pool();
        let person = sqlx::query_as(person).bind(name).fetch_one(pool).await;
        let (realm, known): (String, Option<String>) = person.unwrap();
        assert_eq!(realm, provider.issuer);
        assert_eq!(known.as_deref(), email);
        assert_eq!(logins(&server).await, 0);
    }
}

async fn logins(server: &TestServer) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM oidc_logins");
    count
        .fetch_one(server.db.as_ref().unwrap().pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_answer_counts_once_and_only_in_the_browser_that_asked() {
    let (provider, server) = both().await;
    let mut browser = Jar::new(&server);
    let there = browser.leave("/sign-in").await;
    let back = provider.walk(&there, Some("ada")).await;

    let mut stranger = Jar::new(&server);
    refused_as_late(stranger.come_back(&back).await).await;
    stranger.leave("/sign-in").await;
    refused_as_late(stranger.come_back(&back).await).await;
    for (name, value) in [
        ("state", "x"),
        ("state", ""),
        ("state", &said(&back, "state").to_lowercase()),
        ("iss", "https://evil.example"),
    ] {
        refused_as_late(browser.come_back(&with(&back, name, value)).await).await;
    }
    refused_as_late(browser.get(CALLBACK).await).await;
    assert!(!stranger.is_signed_in().await && !browser.is_signed_in().await);

    let again = browser.cookies.clone();
    assert_eq!(
        browser.come_back(&back).await.status(),
        StatusCode::SEE_OTHER
    );
    assert!(browser.is_signed_in().await);
    let mut second = Jar::new(&server);
    second.cookies = again;
    refused_as_late(second.come_back(&back).await).await;
    assert!(!second.is_signed_in().await);
}

#[tokio::test]
async fn somebody_elses_code_is_of_no_use() {
    let (provider, server) = both().await;
    let (mut thief, mut browser) = (Jar::new(&server), Jar::new(&server));
    let of_thief = thief.leave("/sign-in").await;
    let of_thief = provider.walk(&of_thief, Some("ada")).await;
    let there = browser.leave("/sign-in").await;
    let back = provider.walk(&there, Some("bob")).await;
    let injected = with(&back, "code", &said(&of_thief, "code"));
    let answer = browser.come_back(&injected).await;
    refused(answer, StatusCode::BAD_GATEWAY, "Signing in did not work").await;
    assert!(!browser.is_signed_in().await);
    // Whatever came of it, that sign-in is over.
    refused_as_late(browser.come_back(&back).await).await;
}

#[tokio::test]
async fn who_takes_too_long_begins_again() {
    let (provider, server) = both().await;
    let mut browser = Jar::new(&server);
    let there = browser.leave("/sign-in").await;
    let back = provider.walk(&there, Some("ada")).await;
    let pool = server.db.as_ref().unwrap().pool();
    let age = "UPDATE oidc_logins SET expires_at = now() - interval '1 second'";
    sqlx::query(age).execute(pool).await.unwrap();
    refused_as_late(browser.come_back(&back).await).await;
    assert_eq!(logins(&server).await, 0);
}

#[tokio::test]
async fn who_says_no_there_is_nobody_here_and_told_so() {
    let (provider, server) = both().await;
    let mut browser = Jar::new(&server);
    let there = browser.leave("/sign-in").await;
    let back = provider.walk(&there, None).await;
    assert_eq!(said(&back, "error"), "access_denied");
    let answer = browser.come_back(&back).await;
    refused(answer, StatusCode::FORBIDDEN, "You did not sign in").await;
    assert!(!browser.is_signed_in().await);

    let there = browser.leave("/sign-in").await;
    let back = with(&provider.walk(&there, None).await, "error", "server_error");
    let answer = browser.come_back(&back).await;
    refused(answer, StatusCode::BAD_GATEWAY, "Signing in did not work").await;
}

#[tokio::test]
async fn while_the_provider_is_away_a_page_says_so() {
    let (mut provider, server) = both().await;
    let mut browser = Jar::new(&server);
    let there = browser.leave("/sign-in").await;
    let back = provider.walk(&there, Some("ada")).await;
    provider.kill().await;
    let answer = browser.come_back(&back).await;
    assert_eq!(answer.headers()["retry-after"], "5");
    let away = "You cannot sign in right now";
    refused(answer, StatusCode::SERVICE_UNAVAILABLE, away).await;
    assert!(!browser.is_signed_in().await);

    let server = server_of(&provider.issuer).await;
    for _ in 0..3 {
        let answer = Jar::new(&server).get("/sign-in").await;
        refused(answer, StatusCode::SERVICE_UNAVAILABLE, away).await;
    }
}

#[tokio::test]
async fn one_comes_back_only_to_pages_of_ours() {
    let (provider, server) = both().await;
    let mut browser = Jar::new(&server);
    for (wish, page) in [
        ("?return_to=/submitted", "/submitted"),
        ("?return_to=%2F", "/"),
        ("?return_to=//evil.example", "/verify"),
        ("?return_to=https://evil.example/verify", "/verify"),
        ("?return_to=/verify@evil.example", "/verify"),
        ("?return_to=/%5Cevil.example", "/verify"),
        ("?return_to=/sign-out", "/verify"),
        ("?return_to=javascript:alert(1)", "/verify"),
        ("?return_to=", "/verify"),
    ] {
        let there = browser.leave(&format!("/sign-in{wish}")).await;
        let back = provider.walk(&there, Some("ada")).await;
        let answer = browser.come_back(&back).await;
        assert_eq!(location(&answer), page, "{wish}");
    }
}

#[tokio::test]
async fn signing_in_anew_takes_the_place_of_who_was_there() {
    let (provider, server) = both().await;
    let mut browser = Jar::new(&server);
    let sign_in = async |browser: &mut Jar<'_>, name| {
        let there = browser.leave("/sign-in").await;
        let back = provider.walk(&there, Some(name)).await;
        browser.come_back(&back).await;
        browser.cookies[SESSION].clone()
    };
    let first = sign_in(&mut browser, "ada").await;
    let second = sign_in(&mut browser, "bob").await;
    assert_ne!(first, second);
    let mut old = Jar::new(&server);
    old.cookies.insert(SESSION.to_owned(), first);
    assert!(!old.is_signed_in().await);
    assert!(browser.is_signed_in().await);
    let out = browser.send(Method::POST, "/sign-out").await;
    assert_eq!(out.status(), StatusCode::SEE_OTHER);
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn without_a_provider_there_is_nowhere_to_sign_in() {
    let server = TestServer::serve().await;
    for path in ["/sign-in", CALLBACK] {
        let answer = server.get(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], json!("not_found"));
    }
}
