//! Where people and their verifications stand.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Api, answer};

#[tokio::test]
async fn a_person_is_followed_from_the_hand_off_to_the_verdict() {
    let api = Api::start().await;
    api.get("/v1/users/ada").await.is_problem(404, "not_found");
    api.get("/v1/users/ada/verifications")
        .await
        .is_problem(404, "not_found");

    assert_eq!(api.create(&json!({ "user_id": "ada" })).await.status, 201);
    let met = api.get("/v1/users/ada").await.body;
    assert_eq!(met["status"], "none");
    assert_eq!(met["verification_id"], Value::Null);
    let none = api.get("/v1/users/ada/verifications").await.body;
    assert_eq!(none, json!({ "data": [], "next_cursor": null }));

    let (attempt, session) = api.click("ada").await;
    api.come_to(&session, "failure").await;
    let failed = api.get("/v1/users/ada").await.body;
    assert_eq!(failed["status"], "requires_input");
    assert_eq!(failed["verification_id"], attempt.as_str());
    assert!(failed["last_error"]["code"].is_string(), "{failed}");

    api.come_to(&session, "success").await;
    let verified = api.get("/v1/users/ada").await.body;
    assert_eq!(verified["user_id"], "ada");
    assert_eq!(verified["status"], "verified");
    assert!(verified["verified_at"].is_string(), "{verified}");
    let one = api.get(&format!("/v1/verifications/{attempt}")).await.body;
    assert_eq!(one["session_id"], session.as_str());
    assert_eq!(one["status"], "verified");
    assert_eq!(
        one["reports"], 2,
        "the failed check and the good one: {one}"
    );
    assert_eq!(one["redaction"], "none");
    let listed = api.get("/v1/users/ada/verifications").await.body;
    assert_eq!(listed["data"], json!([one]));
}

#[tokio::test]
async fn a_person_is_verified_under_the_policies_that_their_verification_satisfies() {
    let api = Api::start().await;
    let (_, session) = api.click("ada").await;
    api.come_to(&session, "success").await;
    for (query, policy, verified) in [
        ("", "default", true),
        ("?policy=default", "default", true),
        ("?policy=selfie", "selfie", false),
    ] {
        let person = api.get(&format!("/v1/users/ada{query}")).await.body;
        assert_eq!(person["policy"], policy, "{person}");
        assert_eq!(person["status"] == "verified", verified, "{person}");
        assert_eq!(person["verified_at"].is_string(), verified, "{person}");
    }
    let unknown = api.get("/v1/users/ada?policy=none").await;
    unknown.is_problem(422, "invalid_parameter");
    assert_eq!(unknown.body["member"], "policy");
}

#[tokio::test]
async fn any_id_an_application_may_have_can_be_asked_for() {
    let api = Api::start().await;
    for id in [
        "a/b",
        "a%2Fb",
        "ä ö?#",
        "x@example.com",
        "+1 555",
        "…",
        "a\\b",
        "%",
        "a;b=c",
        "\u{1f600}",
    ] {
        let created = api.create(&json!({ "user_id": id })).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        assert_eq!(created.body["user_id"], id);
        let mut url = url::Url::parse("http://localhost").unwrap();
        url.path_segments_mut().unwrap().extend(["v1", "users", id]);
        let found = api.get(url.path()).await;
        assert_eq!(found.status, 200, "{id}: {found:?}");
        assert_eq!(found.body["user_id"], id);
    }
    for nobody in ["%00", "%0A", "%FF", &"x".repeat(256)] {
        api.get(&format!("/v1/users/{nobody}"))
            .await
            .is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn paging_meets_everything_once_and_the_filter_keeps_its_word() {
    let api = Api::start().await;
    let mut expected = BTreeSet::new();
    for n in 0..7 {
        let (attempt, session) = api.click(&format!("user_{n}")).await;
        if n % 2 == 0 {
            api.world.api(&session, "cancel").await;
        }
        expected.insert(attempt);
    }
    api.world.hear_all().await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let page = api
            .get(&format!("/v1/verifications?limit=3{cursor}"))
            .await
            .body;
        let data = page["data"].as_array().unwrap();
        seen.extend(
            data.iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first: {seen:?}");
    assert_eq!(BTreeSet::from_iter(seen), expected);
    for (status, count) in [("canceled", 4), ("requires_input", 3), ("verified", 0)] {
        let page = api
            .get(&format!("/v1/verifications?status={status}"))
            .await
            .body;
        let data = page["data"].as_array().unwrap();
        assert_eq!(data.len(), count, "{status}");
        assert!(data.iter().all(|one| one["status"] == status));
    }
    let whole = api.get("/v1/verifications?limit=7").await.body;
    assert_eq!(
        whole["next_cursor"],
        Value::Null,
        "an exactly full page is the last"
    );
}

#[tokio::test]
async fn a_parameter_that_is_not_understood_is_told_and_not_passed_over() {
    let api = Api::start().await;
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("limit=", "limit"),
        ("cursor=1", "cursor"),
        ("status=done", "status"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
    ] {
        let refused = api.get(&format!("/v1/verifications?{query}")).await;
        refused.is_problem(422, "invalid_parameter");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{query}: {detail}");
    }
}

#[tokio::test]
async fn people_of_other_realms_and_modes_are_nobody() {
    let api = Api::start().await;
    let (attempt, _) = api.click("ada").await;
    let one = format!("/v1/verifications/{attempt}");
    let all = ["/v1/users/ada", "/v1/users/ada/verifications", &one];
    for path in all {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    for change in [
        "UPDATE users SET realm = 'other'",
        "UPDATE verifications SET livemode = true",
    ] {
        let pool = api.world.db.pool();
        sqlx::query(change).execute(pool).await.unwrap();
        api.get(&one).await.is_problem(404, "not_found");
        for act in ["cancel", "redact"] {
            api.post(&format!("{one}/{act}"))
                .await
                .is_problem(404, "not_found");
        }
        assert_eq!(api.get("/v1/verifications").await.body["data"], json!([]));
        let back = "UPDATE users SET realm = 'acme'";
        sqlx::query(back).execute(pool).await.unwrap();
    }
    let person = api.get("/v1/users/ada/verifications").await.body;
    assert_eq!(person["data"], json!([]));
}

#[tokio::test]
async fn every_error_below_v1_is_a_problem() {
    let api = Api::start().await;
    let missing = [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/users/",
        "/v1/verifications/x/y",
    ];
    for path in missing {
        let html = api.signed(Method::GET, path).header("accept", "text/html");
        answer(html).await.is_problem(404, "not_found");
    }
    let unknown = format!("/v1/verifications/{}", uuid::Uuid::nil());
    for path in [unknown.as_str(), "/v1/verifications/1"] {
        api.get(path).await.is_problem(404, "not_found");
    }
    let wrong = answer(api.signed(Method::DELETE, "/v1/verifications")).await;
    wrong.is_problem(405, "method_not_allowed");
    assert!(wrong.headers.contains_key("allow"));
    let elsewhere = api
        .signed(Method::GET, "/v1/verifications")
        .header("host", "evil.example");
    answer(elsewhere).await.is_problem(421, "misdirected");
    // Only below it: a page's error stays a page's.
    let page = api
        .request(Method::GET, "/v1x")
        .header("accept", "text/html");
    let page = answer(page).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_database_that_is_not_as_it_should_be_is_500_and_nothing_more_is_said() {
    let api = Api::start().await;
    api.get("/v1/verifications").await;
    sqlx::query("ALTER TABLE verifications RENAME TO elsewhere")
        .execute(api.world.db.pool())
        .await
        .unwrap();
    let broken = api.get("/v1/verifications").await;
    broken.is_problem(500, "internal");
    assert!(!broken.body.to_string().contains("relation"), "{broken:?}");
    assert_eq!(broken.body.get("detail"), None);
}
