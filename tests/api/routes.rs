//! What holds for every route: headers, hosts, methods, and how an error looks.

use std::collections::BTreeSet;

use reqwest::{Method, Response, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use verigate::http::routes;

use crate::server::TestServer;

const HTML: &str = "text/html,*/*;q=0.8";

/// Every route, with its method and a path it answers to, and what is no route.
fn every_route() -> BTreeSet<(String, String)> {
    let fill = |path: String| {
        path.replace("{id}", &uuid::Uuid::nil().to_string())
            .replace("{user_id}", "ada")
            .replace("{token}", &"A".repeat(43))
            .replace("{file}", "no.css")
    };
    let known = routes().into_iter();
    let known = known.map(|route| (route.method.to_string(), fill(route.path)));
    let odd = [
        ("GET", "/start/nothing"),
        ("GET", "/static/verigate.of-another-version.css"),
        ("GET", "/no-such-page"),
    ];
    let odd = odd.map(|(method, path)| (method.to_owned(), path.to_owned()));
    known.chain(odd).collect()
}

/// Some request of each kind that each route answers, well or not.
async fn every_answer(server: &TestServer) -> Vec<(String, Response)> {
    let mut answers = Vec::new();
    let paths: BTreeSet<_> = every_route().into_iter().map(|(_, path)| path).collect();
    for path in paths {
        for method in ["GET", "POST", "HEAD", "DELETE", "OPTIONS", "ODD"] {
            for accept in ["*/*", HTML] {
                for foreign in [false, true] {
                    let method = Method::from_bytes(method.as_bytes()).unwrap();
                    let mut request = server
                        .request(method.clone(), &path)
                        .header("accept", accept);
                    if foreign {
                        request = request.header("sec-fetch-site", "cross-site");
                    }
                    let answer = request.send().await.unwrap();
                    answers.push((format!("{method} {path} {accept} {foreign}"), answer));
                }
            }
        }
    }
    answers
}

fn check_headers(what: &str, headers: &HeaderMap) {
    let all = |name: &str| {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        assert_eq!(values.len(), 1, "{name} of {what}: {values:?}");
        values[0].to_owned()
    };
    let content = all("content-security-policy");
    for part in [
        "default-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action ",
    ] {
        assert!(content.contains(part), "{what}: {content}");
    }
    assert!(!content.contains("unsafe-"), "{what}: {content}");
    let named = content.replace("https://*.js.stripe.com", "");
    assert!(!named.contains('*'), "{what}: {content}");
    // The address of a link is a secret.
    let referrer = if what.contains(" /start/") {
        "strict-origin"
    } else {
        "same-origin"
    };
    assert_eq!(all("referrer-policy"), referrer, "{what}");
    assert_eq!(all("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(all("cross-origin-resource-policy"), "same-origin", "{what}");
    assert!(all("permissions-policy").contains("camera=("), "{what}");
    let is_file = what.contains("/favicon.ico") || what.contains("/static/");
    let kept = all("cache-control");
    assert!(kept == "no-store" || is_file, "{what}: {kept}");
    let id: uuid::Uuid = all("x-request-id").parse().unwrap();
    assert_eq!(id.get_version_num(), 7, "{what}");
}

#[tokio::test]
async fn every_answer_of_every_route_carries_the_security_headers() {
    let (dev, serve) = tokio::join!(TestServer::dev(), TestServer::serve());
    for (what, answer) in every_answer(&dev).await {
        check_headers(&what, answer.headers());
        assert!(
            !answer.headers().contains_key("strict-transport-security"),
            "{what}"
        );
    }
    for (what, answer) in every_answer(&serve).await {
        check_headers(&what, answer.headers());
        assert_eq!(
            answer.headers()["strict-transport-security"],
            "max-age=31536000",
            "{what}"
        );
    }
}

#[tokio::test]
async fn only_the_page_that_verifies_has_stripes_script_and_the_camera() {
    let server = TestServer::dev().await;
    for (path, is_verify) in [
        ("/", true),
        ("/verify", true),
        ("/submitted", true),
        ("/nothing", false),
        ("/config", false),
    ] {
        let answer = server
            .get(path)
            .header("accept", HTML)
            .send()
            .await
            .unwrap();
        let content = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        let powers = answer.headers()["permissions-policy"].to_str().unwrap();
        assert_eq!(
            content.contains("https://js.stripe.com"),
            is_verify,
            "{path}: {content}"
        );
        assert_eq!(
            content.contains("form-action 'self' https://verify.stripe.com;"),
            is_verify,
            "{path}: {content}"
        );
        assert_eq!(powers.contains("camera=()"), !is_verify, "{path}: {powers}");
        assert_eq!(
            powers.contains("camera=(self "),
            is_verify,
            "{path}: {powers}"
        );
    }
}

#[tokio::test]
async fn a_request_id_from_outside_is_not_taken_over() {
    let server = TestServer::dev().await;
    let answer = server
        .get("/config")
        .header("x-request-id", "mine")
        .send()
        .await
        .unwrap();
    assert_ne!(answer.headers()["x-request-id"], "mine");
}

/// What a bare connection gets, status line first.
async fn raw(server: &TestServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_name_that_is_not_ours_gets_421_everywhere() {
    let (dev, serve) = tokio::join!(TestServer::dev(), TestServer::serve());
    for (method, path) in every_route() {
        for host in ["evil.example", "localhost.evil.example", "a@localhost", ""] {
            for server in [&dev, &serve] {
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                );
                let answer = raw(server, &request).await;
                assert!(
                    answer.starts_with("HTTP/1.1 421 "),
                    "{path} {host}: {answer}"
                );
            }
        }
    }
    let absolute =
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(&dev, absolute).await.starts_with("HTTP/1.1 421 "));
    let nameless = "GET / HTTP/1.0\r\n\r\n";
    assert!(raw(&dev, nameless).await.starts_with("HTTP/1.0 421 "));
}

#[tokio::test]
async fn a_balancer_that_names_nobody_is_told_of_our_health() {
    let server = TestServer::serve().await;
    for path in ["/healthz", "/readyz"] {
        let answer = raw(&server, &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.0 200 "), "{path}: {answer}");
        let two = format!("GET {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n");
        assert!(!raw(&server, &two).await.contains(" 200 "), "{path}");
    }
}

#[tokio::test]
async fn our_own_names_are_answered_and_in_production_only_the_public_one() {
    let (dev, serve) = tokio::join!(TestServer::dev(), TestServer::serve());
    let ask = |host: &str, path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    for host in ["localhost", "LOCALHOST:4242", "127.0.0.1:9", "[::1]:4242"] {
        assert!(
            raw(&dev, &ask(host, "/config"))
                .await
                .starts_with("HTTP/1.1 200 "),
            "{host}"
        );
        assert!(
            raw(&serve, &ask(host, "/config"))
                .await
                .starts_with("HTTP/1.1 421 "),
            "{host}"
        );
    }
    assert!(
        raw(&serve, &ask("Verify.Example", "/config"))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    // Orchestrators ask for health by address.
    for host in ["10.1.2.3:4242", "127.0.0.1:4242", "localhost", "[fe80::1]"] {
        for path in ["/healthz", "/readyz"] {
            assert!(
                raw(&serve, &ask(host, path))
                    .await
                    .starts_with("HTTP/1.1 200 "),
                "{host}{path}"
            );
        }
    }
}

/// Method, path, how much is sent, and what it comes to.
#[rustfmt::skip]
const ERRORS: [(&str, &str, usize, StatusCode, &str); 6] = [
    ("GET", "/nothing", 0, StatusCode::NOT_FOUND, "not_found"),
    ("GET", "/static/nothing.js", 0, StatusCode::NOT_FOUND, "not_found"),
    ("GET", "/webhook/", 0, StatusCode::NOT_FOUND, "not_found"),
    ("GET", "/create-verification-session", 0, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
    ("POST", "/verify", 0, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
    ("POST", "/create-verification-session", 100_000, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
];

#[tokio::test]
async fn an_error_is_json_for_programs_and_a_page_for_people() {
    let server = TestServer::dev().await;
    for (method, path, size, status, code) in ERRORS {
        let send = |accept: &'static str| {
            let request = server.request(method.parse().unwrap(), path);
            request
                .header("accept", accept)
                .body("x".repeat(size))
                .send()
        };
        let answer = send("application/json").await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let allow = answer.headers().contains_key("allow");
        assert_eq!(allow, status == StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{path}");

        let answer = send(HTML).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(
            answer.headers()["content-type"],
            "text/html; charset=utf-8",
            "{path}"
        );
        assert!(answer.text().await.unwrap().contains("<h1"), "{path}");
    }
}

#[tokio::test]
async fn in_production_nobody_is_somebody_before_signing_in() {
    let server = TestServer::serve().await;
    for path in ["/", "/verify"] {
        let (status, page) = server.page(path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(page.contains("Open this page from Acme"), "{page}");
    }
    for path in ["/status", "/status/stream"] {
        let (status, body) = server.json(path).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("unauthenticated"))
        );
    }
    for path in ["/submitted", "/submitted.html"] {
        let (status, page) = server.page(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(page.contains("You can close this page"), "{page}");
    }
}

#[tokio::test]
async fn the_key_for_the_page_is_told_and_probes_say_how_we_are() {
    let server = TestServer::dev().await;
    let (_, config) = server.json("/config").await;
    assert_eq!(
        config,
        serde_json::json!({ "publishableKey": "pk_test_1234567890" })
    );
    assert_eq!(server.json("/healthz").await.0, StatusCode::OK);
    assert_eq!(server.json("/readyz").await.0, StatusCode::OK);
    server.life.leave();
    assert_eq!(
        server.json("/readyz").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(server.json("/healthz").await.0, StatusCode::OK);
    assert_eq!(
        server.page("/verify").await.0,
        StatusCode::OK,
        "whoever is here already is served"
    );
}

#[tokio::test]
async fn a_schema_that_is_behind_is_not_ready() {
    let server = TestServer::dev().await;
    let newest =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    sqlx::query(newest)
        .execute(server.db.as_ref().unwrap().pool())
        .await
        .unwrap();
    for _ in 0..2 {
        let (status, body) = server.json("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["status"], "migrations_pending");
        // As it is before the very first migration.
        sqlx::query("DROP TABLE IF EXISTS _sqlx_migrations")
            .execute(server.db.as_ref().unwrap().pool())
            .await
            .unwrap();
    }
}
