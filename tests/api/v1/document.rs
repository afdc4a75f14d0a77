//! The description of the API is the API.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use verigate::http::routes;

use super::{Api, answer};

async fn document(api: &Api) -> Value {
    let document = answer(api.request(Method::GET, "/openapi.json")).await;
    assert_eq!(document.headers["content-type"], "application/json");
    document.body
}

/// Method and path of every described call.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    calls.collect()
}

#[tokio::test]
async fn the_document_and_the_router_name_the_same_calls() {
    let api = Api::start().await;
    let listed: BTreeSet<_> = routes()
        .into_iter()
        .filter(|route| route.path.starts_with("/v1"))
        .map(|route| (route.method.to_string(), route.path))
        .collect();
    let document = document(&api).await;
    assert!(listed.len() > 5, "{listed:?}");
    assert_eq!(described(&document), listed);
}

#[tokio::test]
async fn each_described_call_is_answered_and_no_other_method_is() {
    let api = Api::start().await;
    let described = described(&document(&api).await);
    for (_, path) in &described {
        let address = path
            .replace("{user_id}", "nobody")
            .replace("{id}", &uuid::Uuid::nil().to_string());
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            let request = api.request(method.parse().unwrap(), &address);
            let told = answer(request).await;
            if described.contains(&(method.to_owned(), path.clone())) {
                told.is_problem(401, "invalid_api_key");
            } else {
                told.is_problem(405, "method_not_allowed");
            }
        }
    }
}

#[tokio::test]
async fn every_call_says_what_it_needs_and_everything_it_may_answer() {
    let api = Api::start().await;
    let document = document(&api).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (method, path) in described(&document) {
        let call = &document["paths"][&path][method.to_lowercase()];
        let what = format!("{method} {path}");
        assert!(
            call["summary"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{what}"
        );
        let scope = call["security"][0]["api_key"][0].as_str().unwrap();
        assert!(scope.starts_with("verifications:"), "{what}");
        for status in ["400", "401", "403", "421", "422", "500", "503"] {
            let answer = &call["responses"][status];
            let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{what} {status}");
        }
        assert_eq!(
            path.contains('{'),
            call["responses"]["404"].is_object(),
            "{what}"
        );
        let has_body = call["requestBody"].is_object();
        assert_eq!(has_body, call["responses"]["413"].is_object(), "{what}");
    }
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
}

#[tokio::test]
async fn the_page_of_it_shows_every_call_and_needs_no_script() {
    let api = Api::start().await;
    let page = api.request(Method::GET, "/docs").send().await.unwrap();
    let content = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        content.contains("default-src 'none'") && !content.contains("unsafe"),
        "{content}"
    );
    let page = page.text().await.unwrap();
    assert!(
        !page.contains("<script") && !page.contains("style="),
        "{page}"
    );
    for (method, path) in described(&document(&api).await) {
        assert!(
            page.contains(&format!("{method} {path}")),
            "{method} {path}"
        );
    }
    for word in [
        "next_cursor",
        "verifications:manage",
        "Idempotency-Key",
        "requires_input",
    ] {
        assert!(page.contains(word), "{word}");
    }
    // Every link within the page leads somewhere.
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}
