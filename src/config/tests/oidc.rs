//! The identity provider that people sign in with.

use super::*;

const ISSUER: (&str, &str) = ("OIDC_ISSUER", "https://id.example.com/");
const CLIENT: (&str, &str) = ("OIDC_CLIENT_ID", "verigate");
const SECRET: (&str, &str) = ("OIDC_CLIENT_SECRET", "c4n4ry");

#[test]
fn an_identity_provider_is_a_way_to_sign_in() {
    assert!(serve(&[]).sign_in.oidc.is_none());
    let config = serve(&[("HAND_OFF", "off"), ISSUER, CLIENT, SECRET]);
    assert!(!format!("{config:?}").contains("c4n4ry"), "{config:?}");
    let oidc = config.sign_in.oidc.unwrap();
    assert_eq!(oidc.issuer, "https://id.example.com/", "to the letter");
    assert_eq!(oidc.client_id, "verigate");
    assert_eq!(oidc.client_secret.expose_secret(), "c4n4ry");
    assert!(dev(&[ISSUER, CLIENT, SECRET]).sign_in.is_any());
}

#[test]
fn all_of_it_is_needed() {
    for (missing, rest) in [
        ("OIDC_ISSUER", [CLIENT, SECRET]),
        ("OIDC_CLIENT_ID", [ISSUER, SECRET]),
        ("OIDC_CLIENT_SECRET", [ISSUER, CLIENT]),
    ] {
        let advice = refused(read(Mode::Serve, &good_but(&rest)), missing);
        assert!(advice.contains("is not set: "), "{advice}");
    }
}

#[test]
fn a_provider_is_an_address_under_https_but_on_this_machine() {
    for wrong in [
        "http://id.example.com",
        "id.example.com",
        "https://id.example.com/?a=b",
        "https://id.example.com/#a",
        "https://me:secret@id.example.com",
    ] {
        let vars = good_but(&[CLIENT, SECRET, ("OIDC_ISSUER", wrong)]);
        refused(read(Mode::Serve, &vars), "OIDC_ISSUER");
    }
    serve(&[CLIENT, SECRET, ("OIDC_ISSUER", "http://127.0.0.1:3000")]);
}
