//! `POST /create-verification-session` and `/verification-sessions`.

use std::collections::BTreeSet;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    server::TestServer,
    stripe::{Refusal, VERIFY_ORIGIN},
};

const CREATE: &str = "/create-verification-session";
const NATIVE: &str = "/verification-sessions";
const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn error_of(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert!(
        !body["error"]["message"].as_str().unwrap().is_empty(),
        "{body}"
    );
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

fn members(body: &Value) -> BTreeSet<&str> {
    body.as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn curl_gets_one_flat_object_of_strings_and_the_same_id_again() {
    let server = TestServer::dev().await;
    let curl = || {
        server
            .post(CREATE)
            .header("accept", "*/*")
            .header("user-agent", "curl/8")
            .body("")
    };
    let answer = curl().send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let first: Value = answer.json().await.unwrap();
    assert_eq!(
        members(&first),
        BTreeSet::from(["client_secret", "ephemeral_key_secret", "id", "url"])
    );
    assert!(
        first.as_object().unwrap().values().all(Value::is_string),
        "{first}"
    );
    let second: Value = curl().send().await.unwrap().json().await.unwrap();
    assert_eq!(second["id"], first["id"]);
    assert_ne!(
        second["ephemeral_key_secret"], first["ephemeral_key_secret"],
        "it is spent by one use"
    );
}

const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
const OWN_ORIGIN: (&str, &str) = ("origin", "http://localhost:4242");
const PAGE: (&str, &str) = ("accept", HTML);

/// Body, headers, route, and for what the answer is.
type Asked = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const ASKED: &[Asked] = &[
    ("", &[], CREATE, "native"),
    ("", &[("accept", "application/json")], CREATE, "native"),
    ("", &[PAGE], CREATE, "redirect"),
    ("", &[PAGE, OWN], CREATE, "redirect"),
    ("", &[OWN], CREATE, "modal"),
    ("", &[OWN_ORIGIN], CREATE, "modal"),
    ("", &[], NATIVE, "native"),
    ("", &[OWN], NATIVE, "native"),
    ("", &[PAGE], NATIVE, "native"),
    (r#"{"client":"modal"}"#, &[], CREATE, "modal"),
    (r#"{"client":"modal"}"#, &[PAGE], CREATE, "modal"),
    (r#"{"client":"redirect"}"#, &[], CREATE, "redirect"),
    (r#"{"client":"native"}"#, &[PAGE], CREATE, "native"),
    (r#"{"client":"modal"}"#, &[], NATIVE, "modal"),
    ("client=redirect", &[], CREATE, "redirect"),
    ("a=b&client=modal&c", &[], CREATE, "modal"),
    // Whatever else is sent does not matter.
    (r#"{"type":"document","options":{"document":{"require_live_capture":true}}}"#, &[], NATIVE, "native"),
    (r#"{"client":"modal","livemode":7,"x":{"y":[null]}}"#, &[], CREATE, "modal"),
    (r#"{"client":"MODAL"}"#, &[], CREATE, "native"),
    (r#"{"client":{"modal":true}}"#, &[], CREATE, "native"),
    (r#"["client"]"#, &[], CREATE, "native"),
    ("null", &[], CREATE, "native"),
    ("\u{0}\u{1}%%%&&&=", &[], CREATE, "native"),
    (r#"{"client":"#, &[PAGE], CREATE, "redirect"),
];

fn with(request: RequestBuilder, headers: &[(&'static str, &'static str)]) -> RequestBuilder {
    headers
        .iter()
        .fold(request, |all, (name, value)| all.header(*name, *value))
}

#[tokio::test]
async fn who_asks_is_told_by_the_body_then_by_the_headers() {
    let server = TestServer::dev().await;
    for (body, headers, route, expected) in ASKED {
        let answer = with(server.post(route), headers)
            .body(*body)
            .send()
            .await
            .unwrap();
        let found = match answer.status() {
            StatusCode::SEE_OTHER => "redirect",
            StatusCode::OK => {
                let body: Value = answer.json().await.unwrap();
                if body.get("ephemeral_key_secret").is_some() {
                    "native"
                } else {
                    "modal"
                }
            }
            status => panic!("{status} for {body} {headers:?}"),
        };
        assert_eq!(found, *expected, "{route} {body} {headers:?}");
    }
}

#[tokio::test]
async fn deeply_nested_nonsense_is_read_as_nothing() {
    let server = TestServer::dev().await;
    let body = "[".repeat(8000) + &"]".repeat(8000);
    let answer = server.post(CREATE).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_form_goes_to_stripe_by_303() {
    let server = TestServer::dev().await;
    let answer = server
        .post(CREATE)
        .header("accept", HTML)
        .form(&[("client", "redirect")])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let target = answer.headers()["location"].to_str().unwrap();
    assert!(
        target.starts_with(&format!("{VERIFY_ORIGIN}/start/")),
        "{target}"
    );
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(
        answer.text().await.unwrap(),
        "",
        "the address is a secret, said once"
    );
}

#[tokio::test]
async fn more_than_any_client_sends_is_refused() {
    let server = TestServer::dev().await;
    let fits = server
        .post(CREATE)
        .body("x".repeat(16 * 1024))
        .send()
        .await
        .unwrap();
    assert_eq!(fits.status(), StatusCode::OK);
    let more = server
        .post(CREATE)
        .body("x".repeat(16 * 1024 + 1))
        .send()
        .await
        .unwrap();
    assert_eq!(
        error_of(more).await,
        (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large".to_owned())
    );
}

#[tokio::test]
async fn a_foreign_page_cannot_start_anything() {
    let server = TestServer::dev().await;
    let cases: &[(&[(&str, &str)], bool)] = &[
        (&[], true),
        (&[OWN], true),
        (&[OWN, ("origin", "http://127.0.0.1:4242")], true),
        (&[OWN_ORIGIN], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "cross-site"), OWN_ORIGIN], false),
        (&[("origin", "null")], false),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "http://localhost:4243")], false),
        (&[("origin", "https://localhost:4242")], false),
        (&[("origin", "http://localhost.evil.example:4242")], false),
    ];
    for route in [CREATE, NATIVE] {
        for (headers, allowed) in cases {
            let answer = with(server.post(route), headers).send().await.unwrap();
            if *allowed {
                assert_eq!(answer.status(), StatusCode::OK, "{headers:?}");
            } else {
                let refused = (StatusCode::FORBIDDEN, "cross_site".to_owned());
                assert_eq!(error_of(answer).await, refused, "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_user_nothing_starts() {
    let server = TestServer::serve().await;
    for route in [CREATE, NATIVE] {
        let answer = server.post(route).send().await.unwrap();
        assert_eq!(
            error_of(answer).await,
            (StatusCode::UNAUTHORIZED, "unauthenticated".to_owned())
        );
    }
    assert!(server.stripe.calls().is_empty());
}

#[tokio::test]
async fn a_settled_person_gets_a_conflict_and_a_form_the_page_that_says_so() {
    let server = TestServer::dev().await;
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    for (number, status, code) in [
        (1, "processing", "verification_processing"),
        (2, "verified", "already_verified"),
    ] {
        server.stripe.move_to(&id, status, None);
        server
            .tell(&format!("evt_{number}"), &id, status, None)
            .await;
        for body in [json!({ "client": "modal" }), json!({ "client": "native" })] {
            let answer = server.post(CREATE).json(&body).send().await.unwrap();
            assert_eq!(
                error_of(answer).await,
                (StatusCode::CONFLICT, code.to_owned())
            );
        }
        let form = server
            .post(CREATE)
            .header("accept", HTML)
            .send()
            .await
            .unwrap();
        assert_eq!(form.status(), StatusCode::SEE_OTHER);
        assert_eq!(form.headers()["location"], "/verify");
    }
}

#[rustfmt::skip]
const REFUSALS: [(Refusal, StatusCode, &str, bool); 3] = [
    (Refusal { status: 500, code: "boom" }, StatusCode::SERVICE_UNAVAILABLE, "stripe_unreachable", true),
    (Refusal { status: 429, code: "rate_limit" }, StatusCode::SERVICE_UNAVAILABLE, "stripe_unreachable", true),
    (Refusal { status: 401, code: "api_key_expired" }, StatusCode::BAD_GATEWAY, "stripe_refused", false),
];

#[tokio::test]
async fn when_stripe_cannot_a_program_gets_a_code_and_a_person_a_page() {
    let server = TestServer::dev().await;
    for (refusal, status, code, comes_back) in REFUSALS {
        server.stripe.refuse(Some(refusal));
        let modal = server.post(CREATE).json(&json!({ "client": "modal" }));
        let answer = modal.send().await.unwrap();
        assert_eq!(
            answer.headers().contains_key("retry-after"),
            comes_back,
            "{refusal:?}"
        );
        assert_eq!(
            error_of(answer).await,
            (status, code.to_owned()),
            "{refusal:?}"
        );
        let form = with(server.post(CREATE), &[PAGE]).send().await.unwrap();
        assert_eq!(form.status(), status, "{refusal:?}");
        assert_eq!(form.headers()["content-type"], "text/html; charset=utf-8");
        let page = form.text().await.unwrap();
        assert!(page.contains("We can’t verify right now"), "{page}");
        assert!(
            !page.contains("as asked"),
            "what Stripe says is not for people: {page}"
        );
    }
    server.stripe.refuse(None);
    server.create().await;
}
