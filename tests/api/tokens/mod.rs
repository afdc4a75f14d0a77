//! People signed in by tokens of the host application.

mod corpus;
mod cors;
pub(crate) mod issuer;
mod published;

use reqwest::StatusCode;
use serde_json::{Value, json};
use verigate::config::Mode;

use self::issuer::{AUDIENCE, ISSUER, Issuer, Publishes, Signer, claims, claims_but, pem};
use crate::server::TestServer;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server that believes this key, and what a token may be signed by.
async fn server_with(key: (&str, &str), algorithms: &str) -> TestServer {
    let settings = [
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", AUDIENCE),
        ("JWT_ALGORITHMS", algorithms),
        ("REALM", "shop"),
        key,
    ];
    TestServer::configured(Mode::Serve, &settings).await
}

/// A server that believes an issuer.
async fn server_of(issuer: &Issuer) -> TestServer {
    server_with(("JWT_JWKS_URL", &issuer.url), "").await
}

/// What the bearer gets.
async fn status_of(server: &TestServer, token: &str) -> StatusCode {
    let request = server.get("/status").bearer_auth(token);
    request.send().await.unwrap().status()
}

async fn people(server: &TestServer) -> Vec<(String, String, Option<String>)> {
    let pool = server.db.as_ref().unwrap().pool();
    let people = "SELECT realm, external_id, email FROM users ORDER BY external_id";
    sqlx::query_as(people).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn a_token_in_order_signs_in_whatever_kind_of_key_signed_it() {
    use jsonwebtoken::Algorithm::{ES256, ES384, EdDSA, PS256, RS256, RS512};

    let kinds = [
        ("rsa", RS256),
        ("rsa", RS512),
        ("rsa", PS256),
        ("p256", ES256),
        ("p384", ES384),
        ("ed25519", EdDSA),
    ];
    let signers = kinds.map(|(name, algorithm)| Signer::of(name, algorithm));
    let keys = signers.iter().enumerate();
    let keys = keys.map(|(n, signer)| signer.jwk(&n.to_string())).collect();
    let issuer = Issuer::start(Publishes::Keys(keys)).await;
    let all = "RS256,RS512,PS256,ES256,ES384,EdDSA";
    let server = server_with(("JWT_JWKS_URL", &issuer.url), all).await;
    for (n, signer) in signers.iter().enumerate() {
        let token = signer.token(&n.to_string(), &claims());
        assert_eq!(
            status_of(&server, &token).await,
            StatusCode::OK,
            "{:?}",
            signer.algorithm
        );
    }
    assert_eq!(issuer.fetches(), 1);
    for (name, algorithm) in kinds {
        let signer = Signer::of(name, algorithm);
        let key = pem(&format!("{name}.pub"));
        let server = server_with(("JWT_PUBLIC_KEY", &key), &format!("{algorithm:?}")).await;
        let token = signer.token("of no matter here", &claims());
        assert_eq!(
            status_of(&server, &token).await,
            StatusCode::OK,
            "{algorithm:?}"
        );
    }
    let server = server_with(("JWT_SECRET", SECRET), "").await;
    let token = Signer::secret(SECRET.as_bytes()).token("", &claims());
    assert_eq!(
        status_of(&server, &token).await,
        StatusCode::UNAUTHORIZED,
        "an empty name"
    );
    let signer = Signer::secret(SECRET.as_bytes());
    let token = signer.write(&json!({ "alg": "HS256" }), &claims());
    assert_eq!(status_of(&server, &token).await, StatusCode::OK);
}

#[tokio::test]
async fn the_subject_is_the_person_and_an_address_counts_only_if_it_is_verified() {
    let server = server_with(("JWT_PUBLIC_KEY", &pem("rsa.pub")), "").await;
    let verified = json!({ "email": "ada@example.com", "email_verified": true });
    let claimed = json!({ "email": "bob@example.com", "email_verified": "true" });
    let silent = json!({ "email": "eve@example.com" });
    let odd = json!({ "email": { "a": "b@c" }, "email_verified": true });
    for (subject, mut said) in [
        ("ada", verified),
        ("bob", claimed),
        ("eve|facebook|10", silent),
        ("zoë 👋", odd),
    ] {
        said["sub"] = json!(subject);
        let token = Signer::rsa().token("a", &claims_but(&said));
        let create = server
            .post("/create-verification-session")
            .bearer_auth(token);
        let answer = create
            .json(&json!({ "client": "modal" }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{subject}");
    }
    let person = |id: &str, email: Option<&str>| ("shop".into(), id.into(), email.map(Into::into));
    assert_eq!(
        people(&server).await,
        [
            person("ada", Some("ada@example.com")),
            person("bob", None),
            person("eve|facebook|10", None),
            person("zoë 👋", None),
        ]
    );
}

#[tokio::test]
async fn who_brings_a_token_needs_no_page_of_ours() {
    let server = server_with(("JWT_PUBLIC_KEY", &pem("rsa.pub")), "").await;
    let token = Signer::rsa().token("a", &claims());
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://app.example"),
        ("origin", "null"),
    ] {
        for route in ["/create-verification-session", "/verification-sessions"] {
            let request = server.post(route).header(name, value).bearer_auth(&token);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{route} {name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_header_decides_alone_though_everybody_is_the_demo_user() {
    let server = TestServer::dev().await;
    assert_eq!(server.json("/status").await.0, StatusCode::OK);
    for path in ["/status", "/verify", "/submitted", "/status/stream"] {
        for header in ["Bearer", "Bearer x", "Basic YTpi", ""] {
            let request = server.get(path).header("authorization", header);
            let answer = request.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::UNAUTHORIZED,
                "{path} {header:?}"
            );
            let challenge = &answer.headers()["www-authenticate"];
            assert_eq!(challenge, "Bearer error=\"invalid_token\"", "{path}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"]["code"], "unauthenticated", "{path}");
        }
    }
}

#[tokio::test]
async fn with_tokens_nobody_is_the_demo_user_any_more() {
    let key = pem("rsa.pub");
    let settings = [
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", AUDIENCE),
        ("JWT_PUBLIC_KEY", &*key),
    ];
    let server = TestServer::configured(Mode::Dev, &settings).await;
    let answer = server.get("/status").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    let token = Signer::rsa().token("a", &claims());
    assert_eq!(status_of(&server, &token).await, StatusCode::OK);
}
