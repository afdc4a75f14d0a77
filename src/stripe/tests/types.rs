//! Reading Stripe's objects.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{session, with};
use crate::stripe::{
    EphemeralKey, LastError, List, SessionStatus, VerificationSession, json::Object, types::Wire,
};

fn read(session: &Value) -> VerificationSession {
    VerificationSession::from_json(session.to_string().as_bytes()).unwrap()
}

fn read_as<T: Wire>(value: &Value) -> Option<T> {
    T::from_object(&Object::parse(value.to_string().as_bytes()).unwrap())
}

#[test]
fn a_session_is_read_whole() {
    let read = read(&session());
    assert_eq!(read.id, "vs_1");
    assert_eq!(read.created, Some(1_785_000_000));
    assert!(!read.livemode);
    assert_eq!(read.status, SessionStatus::RequiresInput);
    assert_eq!(
        read.client_secret.as_ref().unwrap().expose_secret(),
        "vs_1_secret_CanarySecret"
    );
    assert_eq!(
        read.url.as_ref().unwrap().expose_secret(),
        "https://verify.stripe.com/start/CanaryUrl"
    );
    assert_eq!(read.client_reference_id.as_deref(), Some("0198c0de"));
    assert_eq!(read.attempt(), Some("0198c0de"));
    assert_eq!(
        (
            read.last_error,
            read.last_verification_report,
            read.redaction
        ),
        (None, None, None)
    );
}

#[test]
fn of_repeated_metadata_the_last_counts() {
    let text = r#"{"a":"1","b":"1","a":"2","b":null,"c":3,"\u0063":"4"}"#;
    let metadata = Object::parse(text.as_bytes()).unwrap().texts();
    let expected = [("a", "2"), ("c", "4")];
    assert_eq!(
        metadata
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_failed_try_is_read_with_its_code_and_report() {
    let failed = with(
        session(),
        "/last_error",
        json!({"code": "selfie_manipulated", "reason": "…"}),
    );
    let failed = with(failed, "/last_verification_report", json!("vr_1"));
    let read = read(&failed);
    assert_eq!(
        read.last_error,
        Some(LastError {
            code: Some("selfie_manipulated".into())
        })
    );
    assert_eq!(read.last_verification_report.as_deref(), Some("vr_1"));
}

#[test]
fn an_expanded_report_counts_by_its_id() {
    let expanded = json!({"id": "vr_1", "object": "identity.verification_report", "document": {}});
    let read = read(&with(session(), "/last_verification_report", expanded));
    assert_eq!(read.last_verification_report.as_deref(), Some("vr_1"));
}

#[test]
fn an_error_or_a_redaction_of_nulls_is_none() {
    let nulls = with(
        session(),
        "/last_error",
        json!({"code": null, "reason": null}),
    );
    let nulls = with(nulls, "/redaction", json!({"status": null}));
    let read = read(&nulls);
    assert_eq!((read.last_error, read.redaction), (None, None));
}

#[test]
fn every_status_keeps_its_word() {
    for word in [
        "requires_input",
        "processing",
        "verified",
        "canceled",
        "requires_action",
        "",
    ] {
        assert_eq!(SessionStatus::parse(word).as_str(), word);
    }
    let unknown = read(&with(session(), "/status", json!("dreaming")));
    assert_eq!(unknown.status, SessionStatus::Unknown("dreaming".into()));
    for word in ["requires_input", "processing", "verified", "canceled"] {
        assert!(
            !matches!(SessionStatus::parse(word), SessionStatus::Unknown(_)),
            "{word}"
        );
    }
}

#[test]
fn only_what_every_session_has_is_required() {
    let minimal = json!({"id": "vs_1", "livemode": true, "status": "processing"});
    let minimal = read(&minimal);
    assert!(minimal.livemode && minimal.metadata.is_empty() && minimal.client_secret.is_none());
    for member in ["/id", "/livemode", "/status"] {
        for wrong in [json!(null), json!([]), json!({}), json!(1.5)] {
            let text = with(session(), member, wrong.clone()).to_string();
            let read = VerificationSession::from_json(text.as_bytes());
            assert!(read.is_none(), "{member} = {wrong}");
        }
    }
    let harmless = [
        "/created",
        "/client_secret",
        "/url",
        "/last_error",
        "/last_verification_report",
        "/redaction",
        "/client_reference_id",
        "/metadata",
        "/options",
        "/type",
        "/new_member",
    ];
    for member in harmless {
        for wrong in [
            json!(null),
            json!([1]),
            json!({"a": {}}),
            json!(1.5),
            json!(false),
        ] {
            assert_eq!(read(&with(session(), member, wrong)).id, "vs_1", "{member}");
        }
    }
}

#[test]
fn what_is_redacted_is_not_handed_out() {
    let mut redacted = session();
    for member in [
        "/client_secret",
        "/url",
        "/client_reference_id",
        "/last_verification_report",
    ] {
        redacted = with(redacted, member, json!("[redacted]"));
    }
    redacted = with(redacted, "/redaction", json!({"status": "processing"}));
    redacted = with(redacted, "/metadata", json!({}));
    let read = read(&redacted);
    assert!(read.client_secret.is_none() && read.url.is_none());
    assert_eq!(
        (read.client_reference_id, read.last_verification_report),
        (None, None)
    );
    assert_eq!(read.redaction.as_deref(), Some("processing"));
}

#[test]
fn metadata_that_is_no_text_is_left_out() {
    let odd = with(
        session(),
        "/metadata",
        json!({"a": "1", "b": 2, "c": null, "d": {"e": "f"}}),
    );
    assert_eq!(
        read(&odd).metadata.into_iter().collect::<Vec<_>>(),
        [("a".into(), "1".into())]
    );
}

#[test]
fn one_odd_item_does_not_hide_the_others_or_the_next_page() {
    let list = json!({"object": "list", "has_more": true, "data": [
        session(), {"id": 5}, "x", with(session(), "/id", json!("vs_2")), {"id": "vs_odd"}
    ]});
    let list: List<VerificationSession> = read_as(&list).unwrap();
    let ids: Vec<_> = list
        .data
        .iter()
        .map(|session| session.id.as_str())
        .collect();
    assert_eq!(ids, ["vs_1", "vs_2"]);
    assert_eq!((list.has_more, list.skipped), (true, 3));
    assert_eq!(list.last_id.as_deref(), Some("vs_odd"));
}

#[test]
fn the_next_page_is_found_even_if_the_last_item_has_no_id() {
    let list = json!({"object": "list", "has_more": true, "data": [session(), {"id": 5}, "x"]});
    let list: List<VerificationSession> = read_as(&list).unwrap();
    assert_eq!(list.last_id.as_deref(), Some("vs_1"));
    assert_eq!(list.skipped, 2);
}

#[test]
fn an_empty_list_is_a_list_and_anything_else_is_not() {
    let empty: List<VerificationSession> = read_as(&json!({"data": []})).unwrap();
    assert!(empty.data.is_empty() && !empty.has_more && empty.last_id.is_none());
    for other in [
        json!({}),
        json!({"data": {}}),
        json!({"data": null}),
        session(),
    ] {
        assert!(
            read_as::<List<VerificationSession>>(&other).is_none(),
            "{other}"
        );
    }
}

#[test]
fn an_ephemeral_key_is_read() {
    let key =
        json!({"id": "ephkey_1", "created": 1, "expires": 1_785_003_600, "secret": "ek_test_x"});
    let key: EphemeralKey = read_as(&key).unwrap();
    assert_eq!(
        (key.expires, key.secret.expose_secret()),
        (Some(1_785_003_600), "ek_test_x")
    );
    assert!(read_as::<EphemeralKey>(&json!({"id": "ephkey_1", "secret": null})).is_none());
}
