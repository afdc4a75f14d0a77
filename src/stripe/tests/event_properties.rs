//! Whatever arrives, reading it ends well, and what comes out of it may be stored.

use proptest::prelude::*;
use serde_json::Value;

use super::{event, thin_event};
use crate::stripe::{Event, event::parse, types::LONGEST};

fn is_storable(event: &Event) -> bool {
    let session = event.session.as_ref();
    let texts = [
        Some(&event.id),
        Some(&event.type_),
        event.api_version.as_ref(),
        event.account.as_ref(),
        event.context.as_ref(),
        event.session_id.as_ref(),
        session.and_then(|s| s.last_error_code.as_ref()),
        session.and_then(|s| s.report.as_ref()),
        session.and_then(|s| s.redaction.as_ref()),
        session.and_then(|s| s.client_reference_id.as_ref()),
        session.and_then(|s| s.attempt.as_ref()),
    ];
    let fits = |text: &&String| text.chars().count() <= LONGEST && !text.contains('\0');
    !event.id.is_empty() && texts.iter().flatten().all(fits)
}

fn real_event() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![event(), thin_event()]).prop_map(|e| e.to_string().into_bytes())
}

/// Pieces that reach further into a reader than random bytes do.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"\\u0000",
        b"\\ud800",
        b"1e999999",
        b"null",
        b"\\",
        b"\"id\"",
        b"\"object\":{",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"[redacted]",
        b"-",
    ];
    prop_oneof![
        prop::sample::select(known).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "\\PC{250,260}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "id",
        "type",
        "object",
        "data",
        "created",
        "livemode",
        "status",
        "last_error",
        "code",
        "metadata",
        "verigate_attempt",
        "redaction",
        "related_object",
        "context",
        "account",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(names.clone().prop_map(String::from), inner, 0..8)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(parse(&body).is_err());
    }

    #[test]
    fn a_damaged_event_is_read_or_refused(
        event in real_event(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, piece()), 1..5),
    ) {
        let mut body = event;
        for (place, length, piece) in damage {
            let from = place.index(body.len() + 1);
            let to = (from + length).min(body.len());
            body.splice(from..to, piece);
        }
        if let Ok(event) = parse(&body) {
            prop_assert!(is_storable(&event), "{:?}", event);
        }
    }

    #[test]
    fn any_members_whatsoever_leave_an_event_an_event(
        members in json().prop_filter("an object", Value::is_object),
        thin in any::<bool>(),
    ) {
        let mut event = members;
        let object = event.as_object_mut().unwrap();
        object.insert("id".into(), "evt_1".into());
        object.insert("type".into(), "x".into());
        object.insert("object".into(), if thin { "v2.core.event" } else { "event" }.into());
        let event = parse(event.to_string().as_bytes()).unwrap();
        prop_assert!(is_storable(&event), "{:?}", event);
    }

    #[test]
    fn what_serde_json_takes_for_an_object_is_taken_for_one_here(value in json()) {
        let text = value.to_string();
        let here = crate::stripe::json::Object::parse(text.as_bytes()).is_some();
        prop_assert_eq!(here, value.is_object(), "{}", text);
    }
}
