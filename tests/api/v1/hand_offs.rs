//! Asking for a person to be verified.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use verigate::domain::Scope;

use super::{Api, answer, make_key_with};

#[tokio::test]
async fn a_hand_off_is_a_link_of_ours_with_a_token_that_is_kept_nowhere() {
    let mut api = Api::start().await;
    let rules = ["https://shop.example", "shop://"];
    api.key = make_key_with(&api.world, &Scope::ALL, &rules).await;
    let wanted = json!({
        "user_id": "ada", "email": "ada@example.com", "label": "Ada L.",
        "return_url": "https://shop.example/account?tab=1",
    });
    let created = api.create(&wanted).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let body = &created.body;
    let start = format!("{}/start/", api.gateway.origin);
    let token = body["url"].as_str().unwrap().strip_prefix(&start).unwrap();
    assert!(token.len() > 30, "{token}");
    assert_eq!(body["user_id"], "ada");
    assert_eq!(body["policy"], "default");
    assert_eq!(body["return_url"], wanted["return_url"]);
    assert!(body["expires_at"].is_string() && body["id"].is_string());
    let kept: Vec<String> = sqlx::query_scalar("SELECT hand_offs::text FROM hand_offs")
        .fetch_all(api.world.db.pool())
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert!(
        !kept[0].contains(token) && kept[0].contains("Ada L."),
        "{kept:?}"
    );
    // Without a key of its own it is another hand-off each time.
    assert_ne!(api.create(&wanted).await.body["id"], body["id"]);
}

/// What is asked, and the member at fault.
fn not_valid() -> Vec<(Value, Option<&'static str>)> {
    let long = |length: usize| "x".repeat(length);
    vec![
        (json!({}), Some("user_id")),
        (json!({ "user_id": null }), Some("user_id")),
        (json!({ "user_id": "" }), Some("user_id")),
        (json!({ "user_id": 7 }), Some("user_id")),
        (json!({ "user_id": "." }), Some("user_id")),
        (json!({ "user_id": ".." }), Some("user_id")),
        (json!({ "user_id": "a\u{0}b" }), Some("user_id")),
        (json!({ "user_id": "a\nb" }), Some("user_id")),
        (json!({ "user_id": long(256) }), Some("user_id")),
        (json!({ "user_id": "a", "email": "nobody" }), Some("email")),
        (
            json!({ "user_id": "a", "email": "a b@example.com" }),
            Some("email"),
        ),
        (json!({ "user_id": "a", "email": long(255) }), Some("email")),
        (
            json!({ "user_id": "a", "label": "\u{202e}adA" }),
            Some("label"),
        ),
        (json!({ "user_id": "a", "label": " " }), Some("label")),
        (json!({ "user_id": "a", "label": long(101) }), Some("label")),
        (
            json!({ "user_id": "a", "policy": "nothing" }),
            Some("policy"),
        ),
        (
            json!({ "user_id": "a", "return_url": "https://shop.example/" }),
            Some("return_url"),
        ),
        (
            json!({ "user_id": "a", "return_url": "/" }),
            Some("return_url"),
        ),
        (
            json!({ "user_id": "a", "return_url": ["https://shop.example/"] }),
            Some("return_url"),
        ),
        (json!({ "user_id": "a", "options": {} }), None),
        (json!(["user_id"]), None),
        (json!("user_id"), None),
    ]
}

#[tokio::test]
async fn what_is_not_valid_is_told_by_name() {
    let api = Api::start().await;
    for (wanted, member) in not_valid() {
        let refused = api.create(&wanted).await;
        let code = if member.is_some() {
            "invalid_member"
        } else {
            "invalid_body"
        };
        refused.is_problem(422, code);
        assert_eq!(
            refused.body.get("member").and_then(Value::as_str),
            member,
            "{wanted}"
        );
        assert!(refused.body["detail"].is_string());
    }
    let named = api.create(&json!({ "user_id": "a", "options": {} })).await;
    assert!(
        named.body["detail"].as_str().unwrap().contains("`options`"),
        "{named:?}"
    );
    let people: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(api.world.db.pool())
        .await
        .unwrap();
    assert_eq!(people, 0, "nothing is kept of what was refused");
}

#[tokio::test]
async fn only_json_is_read_and_not_too_much_of_it() {
    let api = Api::start().await;
    let post = || api.signed(Method::POST, "/v1/verifications");
    let json =
        |request: reqwest::RequestBuilder| request.header("content-type", "application/json");
    let body = r#"{"user_id":"ada"}"#;
    answer(post().body(body))
        .await
        .is_problem(415, "unsupported_media_type");
    let form = post().form(&[("user_id", "ada")]);
    answer(form).await.is_problem(415, "unsupported_media_type");
    let packed = json(post()).header("content-encoding", "gzip").body(body);
    answer(packed).await.is_problem(415, "unsupported_encoding");
    for broken in ["", "{", "{}}", "\u{feff}{}", r#"{"user_id":"\ud800"}"#] {
        answer(json(post()).body(broken))
            .await
            .is_problem(400, "not_json");
    }
    let twice = json(post()).body(r#"{"user_id":"a","user_id":"b"}"#);
    answer(twice).await.is_problem(422, "invalid_body");
    let large = format!(r#"{{"user_id":"{}"}}"#, "x".repeat(20_000));
    answer(json(post()).body(large))
        .await
        .is_problem(413, "body_too_large");
    let charset = post().header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(answer(charset.body(body)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_browser_gets_no_further_with_a_key_than_a_program_and_needs_one_too() {
    let api = Api::start().await;
    let foreign = |request: reqwest::RequestBuilder| {
        let request = request.header("sec-fetch-site", "cross-site");
        request
            .header("origin", "https://evil.example")
            .json(&json!({ "user_id": "ada" }))
    };
    let signed = foreign(api.signed(Method::POST, "/v1/verifications"));
    assert_eq!(answer(signed).await.status, StatusCode::CREATED);
    let ambient = foreign(api.request(Method::POST, "/v1/verifications"));
    answer(ambient).await.is_problem(401, "invalid_api_key");
}

#[tokio::test]
async fn where_hand_offs_are_switched_off_none_are_made() {
    let api = Api::with(&[]).await;
    let settings = [("HAND_OFF", "off"), ("REALM", super::REALM)];
    let off = crate::world::Gateway::with(&api.world.db, &api.world.sandbox.base, &settings).await;
    let path = format!("{}/v1/verifications", off.origin);
    let request = off.http.post(path).bearer_auth(&api.key);
    let refused = answer(request.json(&json!({ "user_id": "ada" }))).await;
    refused.is_problem(403, "hand_off_off");
}
