//! Whose tokens are believed, and whose pages may call.

use std::fs;

use jsonwebtoken::Algorithm;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ISSUER: (&str, &str) = ("JWT_ISSUER", "https://login.example.com/");
const AUDIENCE: (&str, &str) = ("JWT_AUDIENCE", "verigate");

fn pem(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");
    fs::read_to_string(format!("{folder}/{name}.pem")).unwrap()
}

fn with(key: (&'static str, &str)) -> JwtConfig {
    serve(&[ISSUER, AUDIENCE, key]).sign_in.jwt.unwrap()
}

#[track_caller]
fn refused_with(vars: &[(&'static str, &str)], variable: &str) -> String {
    refused(read(Mode::Serve, &good_but(vars)), variable)
}

#[test]
fn without_a_setting_of_the_kind_no_token_is_believed() {
    assert!(serve(&[]).sign_in.jwt.is_none());
    assert!(dev(&[]).sign_in.jwt.is_none());
    assert!(serve(&[]).allowed_origins.is_empty());
}

#[test]
fn each_key_brings_the_algorithms_that_fit_it() {
    let published = with(("JWT_JWKS_URL", "https://login.example.com/jwks.json"));
    let JwtKey::Published(url) = published.key else {
        panic!("{published:?}");
    };
    assert_eq!(url.as_str(), "https://login.example.com/jwks.json");
    assert_eq!(published.issuer, "https://login.example.com/");
    assert_eq!(published.audiences, ["verigate"]);
    assert_eq!(published.leeway_seconds, 30);
    let public = [
        Algorithm::RS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    assert_eq!(published.algorithms, public);
    for (name, algorithm) in [
        ("rsa.pub", Algorithm::RS256),
        ("p256.pub", Algorithm::ES256),
        ("p384.pub", Algorithm::ES384),
        ("ed25519.pub", Algorithm::EdDSA),
    ] {
        let config = with(("JWT_PUBLIC_KEY", &pem(name)));
        assert_eq!(config.algorithms, [algorithm], "{name}");
    }
    let shared = with(("JWT_SECRET", SECRET));
    assert_eq!(shared.algorithms, [Algorithm::HS256]);
    assert!(!format!("{shared:?}").contains("0123456789"), "{shared:?}");
}

#[test]
fn a_key_in_pem_may_be_written_in_one_line_or_in_a_file() {
    let whole = pem("rsa.pub");
    with(("JWT_PUBLIC_KEY", &whole.replace('\n', "\\n")));
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/keys/rsa.pub.pem"
    );
    with(("JWT_PUBLIC_KEY_FILE", path));
}

#[test]
fn a_public_key_is_public_strong_and_of_a_kind_that_is_known() {
    let private = refused_with(
        &[ISSUER, AUDIENCE, ("JWT_PUBLIC_KEY", &pem("rsa"))],
        "JWT_PUBLIC_KEY",
    );
    assert!(private.contains("private key"), "{private}");
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".to_owned();
    let empty = "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----".to_owned();
    for odd in [
        pem("short_rsa.pub"),
        pem("p521.pub"),
        certificate,
        empty,
        "ssh-rsa AAAA".into(),
    ] {
        let vars = [ISSUER, AUDIENCE, ("JWT_PUBLIC_KEY", &*odd)];
        let advice = refused_with(&vars, "JWT_PUBLIC_KEY");
        assert!(advice.contains("is not a public key"), "{advice}");
    }
}

#[test]
fn there_is_one_key_and_no_token_is_believed_of_anybody_for_anything() {
    let url = ("JWT_JWKS_URL", "https://login.example.com/jwks.json");
    let secret = ("JWT_SECRET", SECRET);
    let both = refused_with(&[ISSUER, AUDIENCE, url, secret], "JWT_SECRET");
    assert!(both.contains("JWT_JWKS_URL are both set"), "{both}");
    refused_with(&[ISSUER, AUDIENCE], "JWT_JWKS_URL");
    refused_with(&[AUDIENCE, url], "JWT_ISSUER");
    refused_with(&[ISSUER, url], "JWT_AUDIENCE");
    let all = read(Mode::Serve, &good_but(&[("JWT_LEEWAY", "1")])).unwrap_err();
    let named: Vec<_> = all.problems().iter().map(|it| it.variable).collect();
    assert_eq!(named, ["JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE"]);
    let short = refused_with(
        &[ISSUER, AUDIENCE, ("JWT_SECRET", &SECRET[1..])],
        "JWT_SECRET",
    );
    assert!(short.contains("32 bytes"), "{short}");
}

#[test]
fn keys_come_by_https_but_on_this_machine() {
    for wrong in [
        "http://login.example.com/jwks.json",
        "login.example.com",
        "file:///etc/keys",
        "https://user:password@login.example.com/",
    ] {
        refused_with(&[ISSUER, AUDIENCE, ("JWT_JWKS_URL", wrong)], "JWT_JWKS_URL");
    }
    with(("JWT_JWKS_URL", "http://127.0.0.1:9000/jwks.json"));
}

#[test]
fn an_algorithm_has_to_fit_the_key_and_none_is_no_algorithm() {
    let url = ("JWT_JWKS_URL", "https://login.example.com/jwks.json");
    let wanted = [ISSUER, AUDIENCE, url, ("JWT_ALGORITHMS", "PS256, ES384")];
    let config = serve(&wanted).sign_in.jwt.unwrap();
    assert_eq!(config.algorithms, [Algorithm::PS256, Algorithm::ES384]);
    let (rsa, p256) = (pem("rsa.pub"), pem("p256.pub"));
    for (key, wrong) in [
        (url, "none"),
        (url, "RS256,None"),
        (url, "HS256"),
        (url, "RS256,,ES256"),
        (("JWT_SECRET", SECRET), "RS256"),
        (("JWT_SECRET", SECRET), "HS512"),
        (("JWT_PUBLIC_KEY", &rsa), "HS256"),
        (("JWT_PUBLIC_KEY", &rsa), "ES256"),
        (("JWT_PUBLIC_KEY", &p256), "ES384"),
    ] {
        refused_with(
            &[ISSUER, AUDIENCE, key, ("JWT_ALGORITHMS", wrong)],
            "JWT_ALGORITHMS",
        );
    }
}

#[test]
fn several_audiences_and_a_leeway_of_minutes_are_taken() {
    let config = serve(&[
        ISSUER,
        ("JWT_AUDIENCE", "web, phone"),
        ("JWT_SECRET", SECRET),
        ("JWT_LEEWAY", "0"),
    ]);
    let config = config.sign_in.jwt.unwrap();
    assert_eq!(config.audiences, ["web", "phone"]);
    assert_eq!(config.leeway_seconds, 0);
    for wrong in ["301", "-1", "1.5", "a minute"] {
        let vars = [
            ISSUER,
            AUDIENCE,
            ("JWT_SECRET", SECRET),
            ("JWT_LEEWAY", wrong),
        ];
        refused_with(&vars, "JWT_LEEWAY");
    }
    refused_with(
        &[ISSUER, ("JWT_AUDIENCE", "web,"), ("JWT_SECRET", SECRET)],
        "JWT_AUDIENCE",
    );
}

#[test]
fn what_was_put_in_place_of_a_file_is_not_repeated() {
    for name in ["JWT_SECRET", "JWT_PUBLIC_KEY"] {
        let file: &'static str = Box::leak(format!("{name}_FILE").into_boxed_str());
        let advice = refused_with(&[ISSUER, AUDIENCE, (file, "c4n4ry")], name);
        assert!(
            advice.contains(file) && !advice.contains("c4n4ry"),
            "{advice}"
        );
    }
}

#[test]
fn only_particular_origins_may_call() {
    let config = serve(&[(
        "ALLOWED_ORIGINS",
        "https://App.example.com:443, http://localhost:5173",
    )]);
    let as_browsers_write = ["https://app.example.com", "http://localhost:5173"];
    assert_eq!(config.allowed_origins, as_browsers_write);
    for wrong in [
        "*",
        "null",
        "https://*.example.com",
        "http://app.example.com",
        "https://app.example.com/path",
        "https://app.example.com,",
        "app.example.com",
    ] {
        serve_refuses("ALLOWED_ORIGINS", wrong);
    }
}
