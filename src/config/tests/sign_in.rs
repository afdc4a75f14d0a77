//! The ways to sign in, of which production needs one.

use super::*;

#[test]
fn production_without_a_way_to_sign_in_is_refused_with_one_problem() {
    for nothing in ["", "off"] {
        let advice = serve_refuses("HAND_OFF", nothing);
        assert!(advice.contains("HAND_OFF=on"), "{advice}");
    }
    assert!(serve(&[("HAND_OFF", "on")]).sign_in.hand_off);
}

#[test]
fn development_has_its_demo_user_until_another_way_is_on() {
    assert!(!dev(&[]).sign_in.is_any());
    assert!(!dev(&[("HAND_OFF", "off")]).sign_in.is_any());
    assert!(dev(&[("HAND_OFF", "on")]).sign_in.hand_off);
}

#[test]
fn a_switch_is_on_or_off() {
    for wrong in ["yes", "1", "ON", "on off"] {
        serve_refuses("HAND_OFF", wrong);
        dev_refuses("HAND_OFF", wrong);
    }
}

#[test]
fn a_realm_is_a_short_plain_name() {
    assert_eq!(serve(&[]).realm, "app");
    assert_eq!(serve(&[("REALM", "acme-eu.2")]).realm, "acme-eu.2");
    let long = "a".repeat(65);
    for wrong in ["https://id.example", "Acme", "acme eu", "acmé", &long] {
        serve_refuses("REALM", wrong);
    }
}
