//! Signing and verifying.

use proptest::prelude::*;
use secrecy::SecretString;

use crate::stripe::signature::{Authentic, SignatureError, sign, verify};

const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;
const NOW: i64 = 1_785_000_000;

// Computed with `openssl dgst -sha256 -hmac whsec_test_secret`: for NOW, for NOW with eight leading
// zeros, and for forty nines.
const BY_OPENSSL: &str = "a9da163289a05a133f392b15c303a00debc6360c26d591585a1ec875456fcd8d";
const WITH_ZEROS_BY_OPENSSL: &str =
    "ee2cc688461a792265735427f6149d92e595f827f0a1881e8270878facef8165";
const HUGE_BY_OPENSSL: &str = "16daa4c0b300d008d86b0ffb5bc882d318a75cb35e9ff4cf4469962d6bc7cd92";

fn secrets(given: &[&str]) -> Vec<SecretString> {
    given
        .iter()
        .map(|secret| SecretString::from(*secret))
        .collect()
}

fn check(header: &str) -> Result<Authentic, SignatureError> {
    verify(BODY, header, &secrets(&["whsec_test_secret"]), NOW, 300)
}

fn signed_at(timestamp: i64) -> String {
    sign(BODY, &"whsec_test_secret".into(), timestamp)
}

#[test]
fn a_signature_is_what_openssl_computes() {
    assert_eq!(signed_at(NOW), format!("t={NOW},v1={BY_OPENSSL}"));
    assert_eq!(check(&signed_at(NOW)), Ok(Authentic { timestamp: NOW }));
}

#[test]
fn the_timestamp_is_signed_as_received() {
    let header = format!("t=00000000{NOW},v1={WITH_ZEROS_BY_OPENSSL}");
    assert_eq!(check(&header), Ok(Authentic { timestamp: NOW }));
    let header = format!("t=00000000{NOW},v1={BY_OPENSSL}");
    assert_eq!(check(&header), Err(SignatureError::NoMatch));
}

#[test]
fn any_matching_signature_of_several_is_enough_wherever_it_stands() {
    let good = BY_OPENSSL;
    let bad = "0".repeat(64);
    for header in [
        format!("t={NOW},v1={good},v1={bad}"),
        format!("t={NOW},v1={bad},v1={good}"),
        format!("v1={bad},v1={good},t={NOW},v1={bad}"),
        format!("t={NOW},v0={bad},v1=zz,v1=,v1={good},scheme=x,noise"),
    ] {
        assert!(check(&header).is_ok(), "{header}");
    }
}

#[test]
fn every_configured_secret_is_tried() {
    let header = signed_at(NOW);
    let both = secrets(&["whsec_other", "whsec_test_secret"]);
    assert!(verify(BODY, &header, &both, NOW, 300).is_ok());
    let neither = secrets(&["whsec_other", "test_secret"]);
    assert_eq!(
        verify(BODY, &header, &neither, NOW, 300),
        Err(SignatureError::NoMatch)
    );
    assert_eq!(
        verify(BODY, &header, &[], NOW, 300),
        Err(SignatureError::NoMatch)
    );
}

#[test]
fn an_empty_secret_lets_nothing_in() {
    // HMAC with an empty key is computable by anybody.
    let forged = "t=1785000000,v1=f7c95762c463a8fc223a32fef531d8107037dceec7a42b29ec736aeb6e750199";
    assert_eq!(
        verify(BODY, forged, &secrets(&[""]), NOW, 300),
        Err(SignatureError::NoMatch)
    );
    let unsigned = sign(BODY, &"".into(), NOW);
    assert_eq!(
        verify(BODY, &unsigned, &secrets(&[""]), NOW, 300),
        Err(SignatureError::NoMatch)
    );
}

#[test]
fn the_tolerance_holds_both_ways_to_the_second() {
    for (age, expected) in [
        (0, Ok(Authentic { timestamp: NOW })),
        (
            300,
            Ok(Authentic {
                timestamp: NOW - 300,
            }),
        ),
        (
            301,
            Err(SignatureError::TooOld {
                timestamp: NOW - 301,
            }),
        ),
        (
            -300,
            Ok(Authentic {
                timestamp: NOW + 300,
            }),
        ),
        (
            -301,
            Err(SignatureError::TooNew {
                timestamp: Some(NOW + 301),
            }),
        ),
    ] {
        assert_eq!(check(&signed_at(NOW - age)), expected, "age {age}");
    }
    let exactly = |at| {
        verify(
            BODY,
            &signed_at(at),
            &secrets(&["whsec_test_secret"]),
            NOW,
            0,
        )
    };
    assert!(exactly(NOW).is_ok());
    assert!(exactly(NOW - 1).is_err());
}

#[test]
fn hostile_timestamps_neither_overflow_nor_pass() {
    let beyond_any_clock = format!("t={},v1={HUGE_BY_OPENSSL}", "9".repeat(40));
    let too_new = |timestamp| Err(SignatureError::TooNew { timestamp });
    assert_eq!(check(&beyond_any_clock), too_new(None));
    assert_eq!(check(&signed_at(i64::MAX)), too_new(Some(i64::MAX)));
    for now in [i64::MIN, -1, 0, i64::MAX] {
        for at in [0, 1, i64::MAX] {
            let header = signed_at(at);
            let secrets = secrets(&["whsec_test_secret"]);
            let outcome = verify(BODY, &header, &secrets, now, u64::MAX);
            assert_eq!(outcome, Ok(Authentic { timestamp: at }), "now {now}");
        }
    }
}

#[test]
fn a_forged_timestamp_is_a_forgery_and_not_an_age() {
    let header = signed_at(NOW).replace("t=1785", "t=1784");
    assert_eq!(check(&header), Err(SignatureError::NoMatch));
    let header = format!("t={},v1={BY_OPENSSL}", "9".repeat(40));
    assert_eq!(check(&header), Err(SignatureError::NoMatch));
}

#[test]
fn headers_stripe_would_not_send_are_refused() {
    let good = format!("v1={BY_OPENSSL}");
    for header in ["", " ", "\t"] {
        assert_eq!(check(header), Err(SignatureError::Missing), "{header:?}");
    }
    for header in [
        "garbage".to_owned(),
        "t=".to_owned(),
        good.clone(),
        format!("t={NOW}"),
        format!("t={NOW},v0={BY_OPENSSL}"),
        format!("t={NOW},V1={BY_OPENSSL}"),
        format!("t={NOW}, {good}"),
        format!("t=,{good}"),
        format!("t=-{NOW},{good}"),
        format!("t=+{NOW},{good}"),
        format!("t= {NOW},{good}"),
        format!("t={NOW}.0,{good}"),
        format!("t=0x6A64EB40,{good}"),
        format!("t=\u{661}\u{662},{good}"),
        format!("t={NOW},t={NOW},{good}"),
        format!("t={NOW},{good},t=1"),
        format!("t={NOW},t=,{good}"),
    ] {
        assert_eq!(check(&header), Err(SignatureError::Malformed), "{header}");
    }
}

#[test]
fn a_signature_in_any_other_writing_does_not_match() {
    for value in [
        BY_OPENSSL.to_uppercase(),
        format!(" {BY_OPENSSL}"),
        format!("{BY_OPENSSL}0"),
        format!("={BY_OPENSSL}"),
        BY_OPENSSL[..63].to_owned(),
        String::new(),
    ] {
        let header = format!("t={NOW},v1={value}");
        assert_eq!(check(&header), Err(SignatureError::NoMatch), "{value}");
    }
}

#[test]
fn a_header_that_costs_much_to_check_is_not_checked() {
    let with = |bad: usize| {
        let bad = ",v1=0".repeat(bad);
        format!("t={NOW}{bad},v1={BY_OPENSSL}")
    };
    assert!(check(&with(63)).is_ok());
    assert_eq!(check(&with(64)), Err(SignatureError::Malformed));
    let of_length =
        |length: usize| format!("{},x={:y<length$}", signed_at(NOW), "")[..length].to_owned();
    assert!(check(&of_length(8_192)).is_ok());
    assert_eq!(check(&of_length(8_193)), Err(SignatureError::Malformed));
}

#[test]
fn errors_do_not_repeat_what_was_sent() {
    let header = format!("t={NOW},v1=canary");
    let error = check(&header).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

proptest! {
    #[test]
    fn what_is_signed_is_verified(
        body in prop::collection::vec(any::<u8>(), 0..512),
        secret in "[ -~]{1,64}",
        at in 0..i64::MAX,
    ) {
        let secret = SecretString::from(secret);
        let header = sign(&body, &secret, at);
        prop_assert_eq!(verify(&body, &header, &[secret], at, 0), Ok(Authentic { timestamp: at }));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(
        body in prop::collection::vec(any::<u8>(), 1..64),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let secret = secrets(&["whsec_test_secret"]);
        let header = sign(&body, &secret[0], NOW);
        let place = place.index(body.len() + header.len());
        let (mut body, mut header) = (body, header.into_bytes());
        if place < body.len() {
            body[place] ^= 1 << bit;
        } else {
            header[place - body.as_slice().len()] ^= 1 << bit;
        }
        let header = String::from_utf8_lossy(&header);
        prop_assert!(verify(&body, &header, &secret, NOW, 300).is_err(), "{}", header);
    }

    #[test]
    fn no_header_makes_it_panic(header in any::<String>(), now in any::<i64>()) {
        let secret = secrets(&["whsec_test_secret"]);
        prop_assert!(verify(BODY, &header, &secret, now, 300).is_err());
    }

    #[test]
    fn no_arrangement_of_parts_forges_a_signature(
        parts in prop::collection::vec(
            (
                prop::sample::select(vec!["t", "v1", "v0", "", " t"]),
                "[0-9a-f]{0,64}|1785000000|[^,]{0,8}",
            ),
            0..6,
        ),
    ) {
        let parts: Vec<_> = parts.iter().map(|(k, v)| format!("{k}={v}")).collect();
        prop_assert!(check(&parts.join(",")).is_err());
    }
}

#[test]
fn every_refusal_has_the_word_by_which_it_is_counted() {
    let refusals = [
        (SignatureError::Missing, "missing"),
        (SignatureError::Malformed, "malformed"),
        (SignatureError::NoMatch, "no_match"),
        (SignatureError::TooOld { timestamp: 0 }, "too_old"),
        (SignatureError::TooNew { timestamp: None }, "too_new"),
    ];
    for (refusal, word) in refusals {
        assert_eq!(refusal.as_str(), word);
    }
}
