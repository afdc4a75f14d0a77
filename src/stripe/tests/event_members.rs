//! How an event's members are read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{event, session, thin_event, with};
use crate::stripe::{
    EventKind, NotAnEvent, SessionStatus, Snapshot,
    event::{Event, parse},
};

fn read(event: &Value) -> Event {
    parse(event.to_string().as_bytes()).unwrap()
}

fn read_text(text: &str) -> Result<Event, NotAnEvent> {
    parse(text.as_bytes())
}

#[test]
fn a_snapshot_event_is_read_whole() {
    let failed = with(
        event(),
        "/data/object/last_error",
        json!({"code": "document_expired", "reason": "…"}),
    );
    let failed = with(
        failed,
        "/data/object/last_verification_report",
        json!("vr_1"),
    );
    let failed = with(failed, "/account", json!("acct_1"));
    let expected = Event {
        id: "evt_1".into(),
        kind: EventKind::Snapshot,
        type_: "identity.verification_session.created".into(),
        created: Some(1_785_000_101),
        livemode: Some(false),
        api_version: Some("2026-07-29.dahlia".into()),
        account: Some("acct_1".into()),
        context: None,
        session: Some(Snapshot {
            id: "vs_1".into(),
            created: Some(1_785_000_000),
            status: Some(SessionStatus::RequiresInput),
            livemode: Some(false),
            last_error_code: Some("document_expired".into()),
            report: Some("vr_1".into()),
            redaction: None,
            client_reference_id: Some("0198c0de".into()),
            attempt: Some("0198c0de".into()),
        }),
        session_id: Some("vs_1".into()),
    };
    assert_eq!(read(&failed), expected);
}

#[test]
fn a_thin_event_names_its_session_and_carries_none() {
    let read = read(&thin_event());
    assert_eq!(read.kind, EventKind::Thin);
    assert_eq!(read.type_, "identity.verification_session.verified");
    assert_eq!(read.created, Some(1_793_354_400));
    assert_eq!(read.session_id.as_deref(), Some("vs_1"));
    assert_eq!(read.session, None);
}

#[test]
fn a_related_object_must_be_a_session_or_look_like_one() {
    let related = |object: Value| read(&with(thin_event(), "/related_object", object)).session_id;
    let session = "identity.verification_session";
    assert_eq!(
        related(json!({"id": "vs_2", "type": session})).as_deref(),
        Some("vs_2")
    );
    assert_eq!(
        related(json!({"id": "odd", "type": session})).as_deref(),
        Some("odd")
    );
    assert_eq!(related(json!({"id": "vs_2"})).as_deref(), Some("vs_2"));
    assert_eq!(
        related(json!({"id": "vs_2", "type": 5})).as_deref(),
        Some("vs_2")
    );
    assert_eq!(related(json!({"id": "cus_2"})), None);
    assert_eq!(related(json!({"id": "vs_2", "type": "customer"})), None);
    assert_eq!(related(json!("vs_2")), None);
    assert_eq!(related(json!(null)), None);
}

#[test]
fn a_thin_event_without_related_object_may_carry_its_object() {
    let mut event = with(thin_event(), "/data", json!({"object": session()}));
    event.as_object_mut().unwrap().remove("related_object");
    let read = read(&event);
    assert_eq!(read.session_id.as_deref(), Some("vs_1"));
    assert_eq!(read.session, None);
}

#[test]
fn an_event_about_something_else_has_no_session() {
    let plan = json!({"id": "price_1", "object": "plan"});
    assert_eq!(read(&with(event(), "/data/object", plan)).session_id, None);
    let unnamed = json!({"id": "price_1"});
    assert_eq!(
        read(&with(event(), "/data/object", unnamed)).session_id,
        None
    );
    let unnamed = json!({"id": "vs_1"});
    assert_eq!(
        read(&with(event(), "/data/object", unnamed))
            .session_id
            .as_deref(),
        Some("vs_1")
    );
}

#[test]
fn of_a_repeated_member_the_last_counts() {
    let text = r#"{"id":"evt_1","id":"evt_2","type":"a","type":"b","object":"x","object":"event",
        "created":1,"created":2,"livemode":true,"livemode":"no",
        "data":{"object":{"id":"vs_1"}},"data":{"object":{"id":"vs_2","id":"vs_3"}}}"#;
    let read = read_text(text).unwrap();
    assert_eq!((read.id.as_str(), read.type_.as_str()), ("evt_2", "b"));
    assert_eq!((read.created, read.livemode), (Some(2), None));
    assert_eq!(read.session_id.as_deref(), Some("vs_3"));
    // Escapes do not make it another member.
    let escaped = r#"{"id":"evt_1","\u0069d":"evt_2","type":"a","object":"event"}"#;
    assert_eq!(read_text(escaped).unwrap().id, "evt_2");
    for last in ["5", "null", "\"\""] {
        let text = format!(r#"{{"id":"evt_1","id":{last},"type":"a","object":"event"}}"#);
        assert_eq!(read_text(&text).unwrap_err(), NotAnEvent::NoId, "{text}");
    }
    let text = r#"{"id":"evt_1","type":"a","object":"event","object":"plan"}"#;
    assert_eq!(read_text(text).unwrap_err(), NotAnEvent::OtherObject);
}

#[test]
fn members_of_the_wrong_kind_count_as_absent() {
    let wrong = [
        json!(null),
        json!(5),
        json!(-1.5),
        json!(true),
        json!("x"),
        json!([1]),
        json!({"a": 1}),
    ];
    let paths = [
        "/created",
        "/livemode",
        "/api_version",
        "/account",
        "/context",
        "/data",
        "/data/object",
        "/data/object/id",
        "/data/object/created",
        "/data/object/status",
        "/data/object/livemode",
        "/data/object/last_error",
        "/data/object/last_verification_report",
        "/data/object/redaction",
        "/data/object/client_reference_id",
        "/data/object/metadata",
    ];
    for path in paths {
        for value in &wrong {
            let read = read(&with(event(), path, value.clone()));
            assert_eq!(read.id, "evt_1", "{path} = {value}");
        }
    }
    let session = |path: &str, value| read(&with(event(), path, value)).session;
    assert_eq!(session("/data/object", json!("vs_1")), None);
    assert_eq!(session("/data/object/id", json!(7)), None);
    assert_eq!(
        session("/data/object/status", json!(7)).unwrap().status,
        None
    );
    assert_eq!(
        session("/data/object/livemode", json!("true"))
            .unwrap()
            .livemode,
        None
    );
    assert_eq!(
        session("/data/object/metadata", json!(["x"]))
            .unwrap()
            .attempt,
        None
    );
}

#[test]
fn created_is_an_integer_that_a_clock_can_show() {
    let created = |literal: &str| {
        let text = format!(r#"{{"id":"evt_1","type":"x","object":"event","created":{literal}}}"#);
        read_text(&text).unwrap().created
    };
    assert_eq!(created("1"), Some(1));
    assert_eq!(created("253402300799"), Some(253_402_300_799));
    for literal in [
        "0",
        "-0",
        "-1",
        "253402300800",
        "9223372036854775807",
        "9223372036854775808",
        "1785000000.0",
        "1785000000.5",
        "1.785e9",
        "1e999999",
        "\"1785000000\"",
        "null",
        "true",
    ] {
        assert_eq!(created(literal), None, "{literal}");
    }
}

#[test]
fn a_thin_events_created_is_a_moment_in_writing() {
    let created = |value: Value| read(&with(thin_event(), "/created", value)).created;
    assert_eq!(created(json!("2026-10-30T10:00:00Z")), Some(1_793_354_400));
    assert_eq!(
        created(json!("2026-10-30T12:00:00.999+02:00")),
        Some(1_793_354_400)
    );
    for value in [
        json!("2026-10-30"),
        json!("2026-10-30 10:00"),
        json!("yesterday"),
        json!(""),
        json!("1969-12-31T23:59:59Z"),
        json!("9999-12-31T23:59:59-23:59"),
        json!(1_793_354_400),
        json!("2026-02-30T00:00:00Z"),
        json!(null),
    ] {
        assert_eq!(created(value.clone()), None, "{value}");
    }
}

#[test]
fn an_odd_id_is_stored_as_its_hash() {
    let id = |id: &str| read(&with(event(), "/id", json!(id))).id;
    let tail = "a".repeat(250);
    for plain in ["evt_1", "evt_test_8", "evt_aZ09_", &format!("evt_{tail}")] {
        assert_eq!(id(plain), plain);
    }
    // `printf evt-1 | sha256sum`
    let hash = "7b409f932d2c88e97f0c17676c8420d3ea0dab6edb150a89b5684a8ad6d6c4c7";
    assert_eq!(id("evt-1"), hash);
    for odd in [
        "Evt_1",
        "evt_é",
        "evt_1 ",
        " evt_1",
        "evt_\0",
        "\0",
        "ev",
        &format!("evt_{tail}a"),
    ] {
        let stored = id(odd);
        assert_eq!(stored.len(), 64, "{odd:?}");
        assert!(stored.bytes().all(|b| b.is_ascii_hexdigit()), "{odd:?}");
    }
}

#[test]
fn two_ids_never_become_one() {
    let id = |raw: &str| {
        let text = format!(r#"{{"id":"{raw}","type":"x","object":"event"}}"#);
        read_text(&text).unwrap().id
    };
    let odd = [
        r"\ud800",
        r"\ud801",
        r"\ufffd",
        r"\u0000evt_1",
        r"evt_1\u0000",
        "evt_1",
        " evt_1",
    ];
    let stored: BTreeSet<_> = odd.iter().map(|raw| id(raw)).collect();
    assert_eq!(stored.len(), odd.len());
}

#[test]
fn stored_strings_have_no_nul_and_an_end() {
    let long = "é".repeat(300);
    let read_member = |path: &str, value: &str| read(&with(event(), path, json!(value)));
    assert_eq!(read_member("/type", "a\0b").type_, "ab");
    assert_eq!(read_member("/type", &long).type_, "é".repeat(255));
    assert_eq!(read_member("/type", "\0").type_, "");
    assert_eq!(
        read_member("/account", "\0acct").account.as_deref(),
        Some("acct")
    );
    assert_eq!(read_member("/account", "\0").account, None);
    assert_eq!(
        read_member("/api_version", &long).api_version,
        Some("é".repeat(255))
    );
    let session = |path: &str, value: &str| read_member(path, value).session;
    let status = session("/data/object/status", "a\0b").unwrap().status;
    assert_eq!(status, Some(SessionStatus::Unknown("ab".into())));
    let reference = session("/data/object/client_reference_id", &long).unwrap();
    assert_eq!(reference.client_reference_id, Some("é".repeat(255)));
    let attempt = session("/data/object/metadata/verigate_attempt", "a\0")
        .unwrap()
        .attempt;
    assert_eq!(attempt.as_deref(), Some("a"));
}

#[test]
fn an_object_id_is_taken_whole_or_not_at_all() {
    let session_id = |id: &str| read(&with(event(), "/data/object/id", json!(id))).session_id;
    let longest = format!("vs_{}", "a".repeat(252));
    assert_eq!(session_id(&longest).as_deref(), Some(longest.as_str()));
    for id in ["", "vs_\0", "vs_1\n", &format!("{longest}a")] {
        assert_eq!(session_id(id), None, "{id:?}");
    }
}

#[test]
fn a_redacted_session_has_no_values() {
    let redacted = with(
        event(),
        "/type",
        json!("identity.verification_session.redacted"),
    );
    let redacted = with(
        redacted,
        "/data/object",
        json!({
            "id": "vs_1", "object": "identity.verification_session",
            "client_reference_id": "[redacted]", "client_secret": "[redacted]", "created": "[redacted]",
            "last_error": {"code": "[redacted]", "reason": "[redacted]"},
            "last_verification_report": "[redacted]", "livemode": false,
            "metadata": {"verigate_attempt": "[redacted]"}, "options": "[redacted]",
            "redaction": {"status": "redacted"}, "status": "verified", "url": "[redacted]",
            "verified_outputs": {"dob": {"day": 1, "month": 1, "year": 1}, "sex": "[redacted]"}
        }),
    );
    let expected = Snapshot {
        id: "vs_1".into(),
        created: None,
        status: Some(SessionStatus::Verified),
        livemode: Some(false),
        last_error_code: None,
        report: None,
        redaction: Some("redacted".into()),
        client_reference_id: None,
        attempt: None,
    };
    assert_eq!(read(&redacted).session, Some(expected));
}
