//! Pages of other origins that call with a token.

use reqwest::{Method, Response, StatusCode};
use verigate::config::Mode;

use super::issuer::{AUDIENCE, ISSUER, Signer, claims, pem};
use crate::server::TestServer;

const APP: &str = "https://app.example";
const SHARED: [(&str, &str); 5] = [
    ("POST", "/create-verification-session"),
    ("POST", "/verification-sessions"),
    ("GET", "/config"),
    ("GET", "/status"),
    ("GET", "/status/stream"),
];
const OWN: [(&str, &str); 6] = [
    ("GET", "/"),
    ("GET", "/verify"),
    ("GET", "/submitted"),
    ("POST", "/webhook"),
    ("GET", "/readyz"),
    ("GET", "/nothing"),
];
/// Like it, and not it.
const STRANGERS: [&str; 7] = [
    "https://evil.example",
    "http://app.example",
    "https://app.example:444",
    "https://app.example.evil.example",
    "https://APP.example",
    "https://app.example/",
    "null",
];

async fn server() -> TestServer {
    let key = pem("rsa.pub");
    let settings = [
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", AUDIENCE),
        ("JWT_PUBLIC_KEY", &*key),
        (
            "ALLOWED_ORIGINS",
            "https://app.example,http://localhost:5173",
        ),
    ];
    TestServer::configured(Mode::Serve, &settings).await
}

async fn preflight(server: &TestServer, method: &str, path: &str, origin: &str) -> Response {
    let request = server
        .request(Method::OPTIONS, path)
        .header("origin", origin);
    let request = request.header("access-control-request-method", method);
    let asked = "authorization,content-type";
    request
        .header("access-control-request-headers", asked)
        .send()
        .await
        .unwrap()
}

fn allowed(answer: &Response) -> Option<&str> {
    let headers = answer.headers();
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let allowed = headers.get("access-control-allow-origin")?;
    assert_eq!(headers["vary"], "origin");
    Some(allowed.to_str().unwrap())
}

#[tokio::test]
async fn a_listed_page_may_ask_before_it_sends_a_token() {
    let server = server().await;
    for (method, path) in SHARED {
        for origin in [APP, "http://localhost:5173"] {
            let answer = preflight(&server, method, path, origin).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
            assert_eq!(allowed(&answer), Some(origin), "{path}");
            let headers = answer.headers();
            assert_eq!(headers["access-control-allow-methods"], "GET, POST");
            let named = &headers["access-control-allow-headers"];
            assert_eq!(named, "authorization, content-type");
            assert_eq!(headers["access-control-max-age"], "3600");
        }
    }
}

#[tokio::test]
async fn a_listed_page_may_read_every_answer_the_errors_included() {
    let server = server().await;
    let token = Signer::rsa().token("a", &claims());
    for (method, path) in SHARED {
        for bearer in [&*token, "nonsense"] {
            let request = server.request(method.parse().unwrap(), path);
            let request = request
                .header("origin", APP)
                .header("sec-fetch-site", "cross-site");
            let answer = request.bearer_auth(bearer).send().await.unwrap();
            let is_fine = bearer == token || path == "/config";
            let status = if is_fine {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            };
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(allowed(&answer), Some(APP), "{path}");
        }
    }
}

#[tokio::test]
async fn no_other_page_and_no_other_route_is_shared() {
    let server = server().await;
    for (method, path) in SHARED {
        for origin in STRANGERS {
            let answer = preflight(&server, method, path, origin).await;
            assert_eq!(
                answer.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{path} {origin}"
            );
            assert_eq!(allowed(&answer), None, "{path} {origin}");
            let request = server.request(method.parse().unwrap(), path);
            let answer = request.header("origin", origin).send().await.unwrap();
            assert_eq!(allowed(&answer), None, "{path} {origin}");
            assert_eq!(answer.headers()["vary"], "origin", "{path} {origin}");
        }
    }
    for (method, path) in OWN {
        let answer = preflight(&server, method, path, APP).await;
        assert!(answer.status().is_client_error(), "{path}");
        assert_eq!(allowed(&answer), None, "{path}");
        let request = server.request(method.parse().unwrap(), path);
        let answer = request.header("origin", APP).send().await.unwrap();
        assert_eq!(allowed(&answer), None, "{path}");
    }
}

#[tokio::test]
async fn without_a_list_no_page_of_another_origin_reads_anything() {
    let server = TestServer::dev().await;
    for (method, path) in SHARED {
        for origin in [APP, "http://localhost:4242", "null"] {
            let answer = preflight(&server, method, path, origin).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(allowed(&answer), None, "{path}");
        }
    }
}
