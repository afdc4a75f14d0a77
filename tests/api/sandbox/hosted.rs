//! The hosted page, the modal's frame and the script.

use serde_json::{Value, json};

use super::support::{Answer, SESSIONS, TestSandbox, id};

async fn with_return(sandbox: &TestSandbox) -> Value {
    let form = "type=document&return_url=http://localhost:4242/submitted?s=1";
    sandbox.post(SESSIONS, form).await.body
}

async fn press(sandbox: &TestSandbox, url: &str, case: &str, code: &str) -> Answer {
    let request = sandbox
        .http
        .post(url)
        .form(&[("case", case), ("code", code)]);
    Answer::of(request.send().await.unwrap()).await
}

async fn truth(sandbox: &TestSandbox, session: &Value) -> Value {
    sandbox
        .get(&format!("/_sessions/{}", id(session)))
        .await
        .body
}

#[tokio::test]
async fn the_page_offers_every_case_and_code_without_script() {
    let sandbox = TestSandbox::start().await;
    let session = with_return(&sandbox).await;
    let url = session["url"].as_str().unwrap();
    let page = Answer::of(sandbox.http.get(url).send().await.unwrap()).await;
    assert_eq!(page.status, 200);
    for text in [
        "Sandbox: no document is checked",
        "Verification success",
        "Verification failure",
        "Verification success async",
        "Verification failure async",
        "document_expired",
        "Decline consent",
        "No camera",
        "Under age",
        "Leave",
        "localhost:4242",
    ] {
        assert!(page.text.contains(text), "{text}");
    }
    assert!(!page.text.contains("<script"));
    assert!(!page.text.contains("style="));
    let policy = &page.headers["content-security-policy"];
    assert!(
        policy.contains("form-action 'self' http://localhost:4242;"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn a_case_leads_back_to_the_return_url_and_uses_the_link_up() {
    let sandbox = TestSandbox::start().await;
    let session = with_return(&sandbox).await;
    let url = session["url"].as_str().unwrap();
    let left = press(&sandbox, url, "leave", "").await;
    assert_eq!(left.status, 303);
    assert_eq!(truth(&sandbox, &session).await["attempts"], 0);

    let failed = press(&sandbox, url, "failure", "document_expired").await;
    assert_eq!(failed.status, 303);
    assert_eq!(
        failed.headers["location"],
        "http://localhost:4242/submitted?s=1"
    );
    assert_eq!(
        truth(&sandbox, &session).await["last_error"],
        "document_expired"
    );
    assert_eq!(press(&sandbox, url, "success", "").await.status, 410);
    assert_eq!(sandbox.http.get(url).send().await.unwrap().status(), 410);
    assert_eq!(truth(&sandbox, &session).await["status"], "requires_input");
}

#[tokio::test]
async fn an_earlier_link_works_as_long_as_none_was_used() {
    let sandbox = TestSandbox::start().await;
    let session = with_return(&sandbox).await;
    let path = format!("{SESSIONS}/{}", id(&session));
    let fresh = sandbox.get(&path).await.body;
    let earlier = session["url"].as_str().unwrap();
    assert_eq!(
        press(&sandbox, earlier, "decline_consent", "").await.status,
        303
    );
    assert_eq!(
        truth(&sandbox, &session).await["last_error"],
        "consent_declined"
    );
    let later = fresh["url"].as_str().unwrap();
    assert_eq!(press(&sandbox, later, "success", "").await.status, 410);
}

#[tokio::test]
async fn links_and_secrets_die_of_age() {
    let sandbox = TestSandbox::start().await;
    let session = with_return(&sandbox).await;
    let url = session["url"].as_str().unwrap();
    let exchange =
        json!({ "client_secret": session["client_secret"], "opener": "http://localhost:1" });
    assert!(sandbox.control("/modal/session", &exchange).await["start"].is_string());
    sandbox
        .control("/_advance", &json!({ "seconds": 86_400 }))
        .await;
    let refused = sandbox.control("/modal/session", &exchange).await;
    assert_eq!(refused["error"]["type"], "invalid_request_error");
    assert_eq!(sandbox.http.get(url).send().await.unwrap().status(), 200);
    sandbox
        .control("/_advance", &json!({ "seconds": 86_400 }))
        .await;
    assert_eq!(sandbox.http.get(url).send().await.unwrap().status(), 410);
}

#[tokio::test]
async fn in_a_modal_the_page_tells_its_opener_how_it_went() {
    let sandbox = TestSandbox::start().await;
    for (case, expected) in [
        ("success", json!({ "verificationSession": { "id": "?" } })),
        (
            "failure_async",
            json!({ "verificationSession": { "id": "?" } }),
        ),
        ("no_camera", json!("device_unsupported")),
        ("under_age", json!("under_supported_age")),
        ("decline_consent", json!("consent_declined")),
        ("decline_phone", json!("phone_otp_declined")),
        ("decline_email", json!("email_verification_declined")),
        ("leave", json!("session_cancelled")),
    ] {
        let session = with_return(&sandbox).await;
        let exchange =
            json!({ "client_secret": session["client_secret"], "opener": "http://localhost:4242" });
        let opened = sandbox.control("/modal/session", &exchange).await;
        let start = format!("{}{}", sandbox.base, opened["start"].as_str().unwrap());
        let page = Answer::of(sandbox.http.get(&start).send().await.unwrap()).await;
        assert!(page.text.contains("data-opener=\"http://localhost:4242\""));
        let policy = &page.headers["content-security-policy"];
        assert!(
            policy.contains("frame-ancestors http://localhost:4242;"),
            "{policy}"
        );

        let done = press(&sandbox, &start, case, "").await;
        assert_eq!(done.status, 200, "{case}");
        let attribute = done.text.split("data-result=\"").nth(1).unwrap();
        let attribute = attribute.split('"').next().unwrap();
        let result: Value = serde_json::from_str(&attribute.replace("&#34;", "\"")).unwrap();
        if let Some(code) = expected.as_str() {
            assert_eq!(result["error"]["code"], code, "{case}");
            assert!(result["error"]["message"].is_string());
        } else {
            assert_eq!(result["verificationSession"]["id"], session["id"], "{case}");
        }
    }
}

#[tokio::test]
async fn a_modal_opens_only_on_pages_of_this_machine() {
    let sandbox = TestSandbox::start().await;
    let session = with_return(&sandbox).await;
    for opener in ["https://example.com", "http://localhost:1/path", "null"] {
        let exchange = json!({ "client_secret": session["client_secret"], "opener": opener });
        let refused = sandbox.control("/modal/session", &exchange).await;
        assert!(refused["error"].is_object(), "{opener}");
        assert!(refused.get("start").is_none(), "{opener}");
    }
    let url = format!(
        "{}?opener=https://example.com",
        session["url"].as_str().unwrap()
    );
    let page = Answer::of(sandbox.http.get(url).send().await.unwrap()).await;
    assert!(page.headers["content-security-policy"].contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn wrong_addresses_and_forms_get_a_page() {
    let sandbox = TestSandbox::start().await;
    let session = with_return(&sandbox).await;
    let url = session["url"].as_str().unwrap();
    assert_eq!(press(&sandbox, url, "nonsense", "").await.status, 400);
    assert_eq!(
        press(&sandbox, url, "failure", "nonsense").await.status,
        400
    );
    assert_eq!(truth(&sandbox, &session).await["attempts"], 0);
    let start = format!("{}/start/", sandbox.base);
    for token in ["x", "é".repeat(30).as_str(), &"a".repeat(60)] {
        let request = sandbox.http.get(format!("{start}{token}"));
        assert_eq!(request.send().await.unwrap().status(), 410, "{token}");
    }
    let nowhere = sandbox.http.get(format!("{}/nowhere", sandbox.base));
    assert_eq!(nowhere.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn every_file_a_page_names_is_there() {
    let sandbox = TestSandbox::start().await;
    for page in ["/", "/modal"] {
        let page = Answer::of(
            sandbox
                .http
                .get(format!("{}{page}", sandbox.base))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(page.status, 200);
        let named: Vec<&str> = page
            .text
            .split('"')
            .filter(|s| s.starts_with("/static/"))
            .collect();
        assert!(named.len() >= 2);
        for address in named {
            let file = sandbox
                .http
                .get(format!("{}{address}", sandbox.base))
                .send()
                .await
                .unwrap();
            assert_eq!(file.status(), 200, "{address}");
            assert!(
                file.headers()["cache-control"]
                    .to_str()
                    .unwrap()
                    .contains("immutable")
            );
        }
    }
    for path in ["/stripe.js", "/favicon.ico"] {
        let file = sandbox
            .http
            .get(format!("{}{path}", sandbox.base))
            .send()
            .await
            .unwrap();
        assert_eq!(file.status(), 200);
        assert!(file.headers().get("access-control-allow-origin").is_none());
    }
}
