//! Tokens that are wrong in every way we know of.

use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    SECRET,
    issuer::{AUDIENCE, ISSUER, Issuer, Publishes, Signer, base64url, claims, claims_but, pem},
    server_of, server_with, status_of,
};
use crate::server::{NOW, TestServer};

type Wrong = (String, Vec<String>);

fn one(name: impl Into<String>, token: impl AsRef<str>) -> Wrong {
    (name.into(), vec![format!("Bearer {}", token.as_ref())])
}

/// Wrong in what it says.
fn wrong_claims() -> Vec<Wrong> {
    let changes = [
        json!({ "iss": "https://login.example" }),
        json!({ "iss": "https://evil.example/" }),
        json!({ "iss": [ISSUER] }),
        json!({ "iss": null }),
        json!({ "iss": "" }),
        json!({ "aud": "other" }),
        json!({ "aud": "Verigate" }),
        json!({ "aud": ["other", "more"] }),
        json!({ "aud": [] }),
        json!({ "aud": [AUDIENCE, 1] }),
        json!({ "aud": { AUDIENCE: true } }),
        json!({ "aud": null }),
        json!({ "aud": "" }),
        json!({ "exp": NOW - 31 }),
        json!({ "exp": NOW - 30 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": null }),
        json!({ "exp": (NOW + 600).to_string() }),
        json!({ "exp": 1_800_000_600.5 }),
        json!({ "exp": 1e300 }),
        json!({ "exp": i64::MAX }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": (NOW + 600) * 1000 }),
        json!({ "exp": true }),
        json!({ "exp": [NOW + 600] }),
        json!({ "nbf": NOW + 31 }),
        json!({ "nbf": i64::MAX }),
        json!({ "nbf": "soon" }),
        json!({ "nbf": 1_800_000_000.5 }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": "  " }),
        json!({ "sub": 42 }),
        json!({ "sub": ["ada"] }),
        json!({ "sub": "a\u{0}b" }),
        json!({ "sub": "a\nb" }),
        json!({ "sub": "x".repeat(256) }),
    ];
    let rsa = Signer::rsa();
    let wrong = changes.iter().map(|change| {
        let token = rsa.token("rsa", &claims_but(change));
        one(
            change.to_string().chars().take(60).collect::<String>(),
            token,
        )
    });
    wrong.collect()
}

/// Wrong in how it says to be signed.
fn wrong_headers() -> Vec<Wrong> {
    let headers = [
        json!({ "alg": "none", "kid": "rsa" }),
        json!({ "alg": "None", "kid": "rsa" }),
        json!({ "alg": "", "kid": "rsa" }),
        json!({ "alg": null, "kid": "rsa" }),
        json!({ "alg": ["RS256"], "kid": "rsa" }),
        json!({ "alg": "RS384", "kid": "rsa" }),
        json!({ "alg": "PS256", "kid": "rsa" }),
        json!({ "alg": "HS256", "kid": "rsa" }),
        json!({ "alg": "ES256", "kid": "rsa" }),
        json!({ "alg": "EdDSA", "kid": "rsa" }),
        json!({ "alg": "RS257", "kid": "rsa" }),
        json!({ "kid": "rsa" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "RS256", "kid": "" }),
        json!({ "alg": "RS256", "kid": "RSA" }),
        json!({ "alg": "RS256", "kid": "unknown" }),
        json!({ "alg": "RS256", "kid": 1 }),
        json!({ "alg": "RS256", "kid": "x".repeat(300) }),
        json!({ "alg": "RS256", "kid": "../../../dev/null" }),
        json!({ "alg": "RS256", "kid": "/etc/passwd" }),
        json!({ "alg": "RS256", "kid": "rsa' OR '1'='1" }),
        json!({ "alg": "RS256", "kid": "http://evil.example/jwks.json" }),
        json!({ "alg": "RS256", "kid": "p256" }),
        json!({ "alg": "RS256", "kid": "twice" }),
        json!({ "alg": "RS256", "kid": "for encryption" }),
        json!({ "alg": "RS256", "kid": "for signing only" }),
        json!({ "alg": "RS256", "kid": "for RS512" }),
        json!({ "alg": "RS256", "kid": "rsa", "crit": ["exp"] }),
        json!({ "alg": "RS256", "kid": "rsa", "crit": [] }),
        json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false }),
        json!({ "alg": "RS256", "kid": "rsa", "typ": "logout+jwt" }),
        json!({ "alg": "RS256", "kid": "rsa", "typ": "secevent+jwt" }),
        json!({ "alg": "RS256", "kid": "rsa", "typ": "dpop+jwt" }),
        // The token brings the key that it is signed by, or says where to fetch it.
        json!({ "alg": "RS256", "kid": "other", "jwk": Signer::of("other_rsa", Algorithm::RS256).jwk("other") }),
        json!({ "alg": "RS256", "kid": "other", "jku": "http://127.0.0.1:9/jwks.json" }),
        json!({ "alg": "RS256", "kid": "other", "x5u": "http://127.0.0.1:9/cert.pem" }),
    ];
    let rsa = Signer::rsa();
    let wrong = headers
        .iter()
        .map(|header| one(format!("{header:.70}"), rsa.write(header, &claims())));
    wrong.collect()
}

/// Signed by the wrong key, or not at all.
fn wrong_signatures() -> Vec<Wrong> {
    [wrong_signers(), altered()].concat()
}

fn wrong_signers() -> Vec<Wrong> {
    let other = Signer::of("other_rsa", Algorithm::RS256);
    let public = pem("rsa.pub");
    let as_secret = json!({ "alg": "HS256", "kid": "rsa" });
    vec![
        one("signed by another key", other.token("rsa", &claims())),
        one(
            "the public key as a secret",
            Signer::secret(public.as_bytes()).write(&as_secret, &claims()),
        ),
        one(
            "the trimmed public key as a secret",
            Signer::secret(public.trim().as_bytes()).write(&as_secret, &claims()),
        ),
        one(
            "an empty secret",
            Signer::secret(b"").write(&as_secret, &claims()),
        ),
        one(
            "a published secret",
            Signer::secret(SECRET.as_bytes()).token("secret", &claims()),
        ),
        one(
            "a curve that is not the key's",
            Signer::of("p384", Algorithm::ES384).token("p256", &claims()),
        ),
        one(
            "another curve by the name of the right one",
            Signer::of("p384", Algorithm::ES384)
                .write(&json!({ "alg": "ES256", "kid": "p256" }), &claims()),
        ),
    ]
}

fn altered() -> Vec<Wrong> {
    let good = Signer::rsa().token("rsa", &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let as_none = base64url(br#"{"alg":"none","typ":"JWT"}"#);
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let another = claims_but(&json!({ "sub": "eve" })).to_string();
    vec![
        one("no signature", format!("{message}.")),
        one("no third part", message),
        one("alg none", format!("{as_none}.{payload}.")),
        one(
            "alg none with a signature",
            format!("{as_none}.{payload}.{signature}"),
        ),
        one(
            "an altered signature",
            format!("{message}.{flipped}{}", &signature[1..]),
        ),
        one(
            "a shorter signature",
            format!("{message}.{}", &signature[..signature.len() - 4]),
        ),
        one("a longer signature", format!("{message}.{signature}AAAA")),
        one("a padded signature", format!("{message}.{signature}==")),
        one(
            "zeros for a signature",
            format!("{message}.{}", base64url(&[0; 256])),
        ),
        one(
            "another person under the same signature",
            format!("{header}.{}.{signature}", base64url(another.as_bytes())),
        ),
        one(
            "a signature by ECDSA of zeros",
            format!(
                "{}.{payload}.{}",
                base64url(br#"{"alg":"ES256","kid":"p256"}"#),
                base64url(&[0; 64])
            ),
        ),
    ]
}

/// Hardly a token at all.
fn garbage() -> Vec<Wrong> {
    [unreadable(), wrong_fields()].concat()
}

fn unreadable() -> Vec<Wrong> {
    let rsa = Signer::rsa();
    let good = rsa.token("rsa", &claims());
    let twice = format!(
        r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{},"sub":"ada","sub":"eve"}}"#,
        NOW + 600
    );
    let deep = "[".repeat(2000);
    let padded = claims_but(&json!({ "padding": "x".repeat(9000) }));
    vec![
        one("nothing", ""),
        one("dots", ".."),
        one("more dots", "...."),
        one("not base64", "%%%.%%%.%%%"),
        one("text", "let-me-in"),
        one("four parts", format!("{good}.AAAA")),
        one("five parts, as if encrypted", "a.b.c.d.e"),
        one("a dot before", format!(".{good}")),
        one("two tokens", format!("{good} {good}")),
        one("a comma and another", format!("{good}, Bearer {good}")),
        one("quoted", format!("\"{good}\"")),
        one(
            "a header that is no object",
            rsa.write(&json!([]), &claims()),
        ),
        one(
            "claims that are no object",
            rsa.write(&json!({ "alg": "RS256", "kid": "rsa" }), &json!([])),
        ),
        one(
            "claims that are null",
            rsa.write(&json!({ "alg": "RS256", "kid": "rsa" }), &Value::Null),
        ),
        one(
            "claims cut off",
            rsa.write_bytes(br#"{"alg":"RS256","kid":"rsa"}"#, br#"{"iss":"#),
        ),
        one(
            "claims that are not UTF-8",
            rsa.write_bytes(br#"{"alg":"RS256","kid":"rsa"}"#, b"{\"sub\":\"\xff\"}"),
        ),
        one(
            "a member said twice",
            rsa.write_bytes(br#"{"alg":"RS256","kid":"rsa"}"#, twice.as_bytes()),
        ),
        one(
            "two algorithms",
            rsa.write_bytes(
                br#"{"alg":"none","alg":"RS256","kid":"rsa"}"#,
                claims().to_string().as_bytes(),
            ),
        ),
        one(
            "deeply nested",
            rsa.write_bytes(deep.as_bytes(), deep.as_bytes()),
        ),
        one("far too long", rsa.token("rsa", &padded)),
    ]
}

/// Around a token that is in order.
fn wrong_fields() -> Vec<Wrong> {
    let good = Signer::rsa().token("rsa", &claims());
    let bearer = format!("Bearer {good}");
    let fields = [
        ("no scheme", vec![good.clone()]),
        ("another scheme", vec![format!("Basic {good}")]),
        ("a longer scheme", vec![format!("Bearerx {good}")]),
        ("a scheme alone", vec!["Bearer".to_owned()]),
        ("nothing at all", vec![String::new()]),
        ("the same twice", vec![bearer.clone(), bearer.clone()]),
        ("and a bad one", vec![bearer.clone(), "Bearer x".to_owned()]),
        ("and an empty one", vec![bearer, String::new()]),
    ];
    fields
        .map(|(name, fields)| (name.to_owned(), fields))
        .to_vec()
}

/// What the issuer publishes: good keys among bad.
fn published() -> Vec<Value> {
    let changed = |name: &str, id: &str, member: &str, value: Value| {
        let mut key = Signer::of(name, Algorithm::RS256).jwk(id);
        key[member] = value;
        key
    };
    vec![
        Signer::rsa().jwk("rsa"),
        Signer::of("p256", Algorithm::ES256).jwk("p256"),
        Signer::rsa().jwk("twice"),
        Signer::of("other_rsa", Algorithm::RS256).jwk("twice"),
        Signer::secret(SECRET.as_bytes()).jwk("secret"),
        changed("rsa", "for encryption", "use", json!("enc")),
        changed("rsa", "for signing only", "key_ops", json!(["sign"])),
        changed("rsa", "for RS512", "alg", json!("RS512")),
        json!({ "kty": "quantum", "kid": "odd" }),
        json!("not a key"),
    ]
}

async fn refuse_everywhere(server: &TestServer, (name, headers): &Wrong) {
    for (method, path) in [
        ("GET", "/status"),
        ("GET", "/submitted"),
        ("POST", "/create-verification-session"),
    ] {
        let mut request = server.request(method.parse().unwrap(), path);
        for header in headers {
            request = request.header("authorization", header);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}: {name}");
        let challenge = &answer.headers()["www-authenticate"];
        assert_eq!(
            challenge, "Bearer error=\"invalid_token\"",
            "{path}: {name}"
        );
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], "unauthenticated", "{path}: {name}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_is_401_and_the_issuer_is_left_in_peace() {
    let issuer = Issuer::start(Publishes::Keys(published())).await;
    let server = server_of(&issuer).await;
    let all = [
        wrong_claims(),
        wrong_headers(),
        wrong_signatures(),
        garbage(),
    ]
    .concat();
    assert!(all.len() > 110, "{}", all.len());
    for wrong in &all {
        refuse_everywhere(&server, wrong).await;
    }
    assert!(server.stripe.calls().is_empty());
    assert_eq!(
        issuer.fetches(),
        1,
        "one for every token that names an unknown key"
    );
    let good = Signer::rsa().token("rsa", &claims());
    assert_eq!(
        status_of(&server, &good).await,
        StatusCode::OK,
        "the rest is in order"
    );
}

#[tokio::test]
async fn what_needs_no_key_to_be_refused_asks_for_none() {
    let issuer = Issuer::start(Publishes::Keys(published())).await;
    let server = server_of(&issuer).await;
    for wrong in [wrong_claims(), garbage()].concat() {
        refuse_everywhere(&server, &wrong).await;
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_a_secret_no_public_key() {
    let public = pem("rsa.pub");
    let server = server_with(("JWT_PUBLIC_KEY", &public), "").await;
    let as_secret = json!({ "alg": "HS256" });
    let one_line = public.replace('\n', "\\n");
    for secret in [&*public, public.trim(), &one_line, ""] {
        let token = Signer::secret(secret.as_bytes()).write(&as_secret, &claims());
        assert_eq!(status_of(&server, &token).await, StatusCode::UNAUTHORIZED);
    }
    for wrong in [wrong_claims(), wrong_signatures(), garbage()].concat() {
        refuse_everywhere(&server, &wrong).await;
    }
    let server = server_with(("JWT_SECRET", SECRET), "").await;
    for wrong in wrong_headers() {
        refuse_everywhere(&server, &wrong).await;
    }
    let rsa = Signer::rsa().token("rsa", &claims());
    assert_eq!(status_of(&server, &rsa).await, StatusCode::UNAUTHORIZED);
    let other = Signer::secret(b"fedcba9876543210fedcba9876543210");
    let token = other.write(&as_secret, &claims());
    assert_eq!(status_of(&server, &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_clocks_may_differ_a_little_and_one_audience_of_several_is_enough() {
    let server = server_with(("JWT_PUBLIC_KEY", &pem("rsa.pub")), "").await;
    for right in [
        json!({ "exp": NOW - 29 }),
        json!({ "nbf": NOW + 30 }),
        json!({ "nbf": null, "iat": null }),
        json!({ "aud": ["other", AUDIENCE] }),
        json!({ "sub": "x".repeat(255) }),
        json!({ "sub": "é".repeat(255) }),
        json!({ "email": 1, "email_verified": [] }),
    ] {
        let token = Signer::rsa().token("a", &claims_but(&right));
        assert_eq!(
            status_of(&server, &token).await,
            StatusCode::OK,
            "{right:.60}"
        );
    }
    for kind in ["at+jwt", "JWT", "application/at+jwt"] {
        let header = json!({ "alg": "RS256", "typ": kind });
        let token = Signer::rsa().write(&header, &claims());
        assert_eq!(status_of(&server, &token).await, StatusCode::OK, "{kind}");
    }
    let token = Signer::rsa().token("a", &claims());
    for header in [format!("bearer {token}"), format!("BEARER  {token}")] {
        let request = server.get("/status").header("authorization", header);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    server.clock.advance(chrono::TimeDelta::seconds(630));
    assert_eq!(status_of(&server, &token).await, StatusCode::UNAUTHORIZED);
}
