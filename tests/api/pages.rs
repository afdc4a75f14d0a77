//! What a person reads on `/verify` and on `/submitted`, by what we know and by what Stripe says when asked.

use reqwest::StatusCode;

use crate::server::TestServer;

async fn heading(server: &TestServer, path: &str) -> String {
    let (status, page) = server.page(path).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let after = page.split("<h1").nth(1).unwrap();
    let text = after
        .split_once('>')
        .unwrap()
        .1
        .split("</h1>")
        .next()
        .unwrap();
    text.to_owned()
}

#[tokio::test]
async fn the_verify_page_says_where_things_stand() {
    let server = TestServer::dev().await;
    assert_eq!(heading(&server, "/").await, "Verify your identity");
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    assert_eq!(heading(&server, "/verify").await, "Verify your identity");
    server.stripe.move_to(&id, "processing", None);
    server.tell("evt_1", &id, "processing", None).await;
    assert_eq!(
        heading(&server, "/verify").await,
        "We are checking your document"
    );
    server
        .tell("evt_2", &id, "requires_input", Some("consent_declined"))
        .await;
    assert_eq!(
        heading(&server, "/verify").await,
        "You chose not to continue"
    );
    server.tell("evt_3", &id, "verified", None).await;
    assert_eq!(
        heading(&server, "/verify").await,
        "Your identity is verified"
    );
}

#[tokio::test]
async fn every_failure_has_its_page() {
    let cases = [
        ("device_not_supported", "We need a camera"),
        ("abandoned", "Verify your identity"),
        ("consent_declined", "You chose not to continue"),
    ];
    for (code, expected) in cases {
        let server = TestServer::dev().await;
        let id = server.create().await["id"].as_str().unwrap().to_owned();
        server
            .tell("evt_1", &id, "requires_input", Some(code))
            .await;
        assert_eq!(heading(&server, "/verify").await, expected, "{code}");
    }
    for code in [
        "document_expired",
        "under_supported_age",
        "selfie_manipulated",
        "a_code_of_tomorrow",
    ] {
        let server = TestServer::dev().await;
        let id = server.create().await["id"].as_str().unwrap().to_owned();
        server
            .tell("evt_1", &id, "requires_input", Some(code))
            .await;
        let advice = verigate::domain::advice(Some(code));
        assert_eq!(heading(&server, "/verify").await, advice.heading, "{code}");
        let (_, page) = server.page("/verify").await;
        let shown = page.split("<template").next().unwrap();
        assert_eq!(
            shown.contains("id=\"verify-button\""),
            advice.retry != verigate::domain::Retry::No,
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_closed_session_offers_a_new_start() {
    let server = TestServer::dev().await;
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    server.tell("evt_1", &id, "canceled", None).await;
    assert_eq!(
        heading(&server, "/verify").await,
        "This verification was closed"
    );
}

#[tokio::test]
async fn coming_back_asks_stripe_and_shows_what_it_says() {
    let server = TestServer::dev().await;
    assert_eq!(
        heading(&server, "/submitted").await,
        "Verify your identity",
        "nothing was begun"
    );
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    server.stripe.move_to(&id, "processing", None);
    assert_eq!(
        heading(&server, "/submitted").await,
        "We are checking your document"
    );
    let reads = || {
        server
            .stripe
            .calls()
            .iter()
            .filter(|call| call.starts_with("GET "))
            .count()
    };
    assert_eq!(reads(), 1);
    server.stripe.move_to(&id, "verified", None);
    assert_eq!(
        heading(&server, "/submitted").await,
        "We are checking your document"
    );
    assert_eq!(reads(), 1, "Stripe is not asked twice within three seconds");
    let past = "UPDATE verifications SET looked_at = looked_at - interval '4 seconds'";
    sqlx::query(past)
        .execute(server.db.as_ref().unwrap().pool())
        .await
        .unwrap();
    assert_eq!(
        heading(&server, "/submitted.html").await,
        "Your identity is verified"
    );
}

#[tokio::test]
async fn coming_back_proves_nothing() {
    let server = TestServer::dev().await;
    server.create().await;
    assert_eq!(
        heading(&server, "/submitted").await,
        "We have not received your document yet"
    );
}

#[tokio::test]
async fn whoever_opens_the_verify_page_during_a_check_that_stripe_forgot_may_start_again() {
    let server = TestServer::dev().await;
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    server.tell("evt_1", &id, "processing", None).await;
    server.stripe.forget();
    let (_, page) = server.page("/verify").await;
    assert!(page.contains("id=\"verify-button\""), "{page}");
}

#[tokio::test]
async fn a_restarted_sandbox_leaves_a_page_with_a_new_start() {
    let server = TestServer::dev().await;
    let id = server.create().await["id"].as_str().unwrap().to_owned();
    server.tell("evt_1", &id, "processing", None).await;
    server.stripe.forget();
    assert_eq!(
        heading(&server, "/submitted").await,
        "This verification was closed"
    );
    let (_, page) = server.page("/verify").await;
    assert!(page.contains("id=\"verify-button\""), "{page}");
    assert_ne!(server.create().await["id"], id.as_str());
}
