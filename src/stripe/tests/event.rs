//! What is an event, and what is none.

use serde_json::Value;

use super::event;
use crate::stripe::{
    NotAnEvent,
    event::{Event, parse},
};

fn read(event: &Value) -> Event {
    parse(event.to_string().as_bytes()).unwrap()
}

fn read_text(text: &str) -> Result<Event, NotAnEvent> {
    parse(text.as_bytes())
}

/// An event with one more member, written out as given.
fn with_raw(member: &str) -> String {
    let plain = event().to_string();
    format!("{{{member},{}", plain.strip_prefix('{').unwrap())
}

#[test]
fn three_members_make_an_event() {
    assert!(read_text(r#"{"id":"evt_1","type":"x","object":"event"}"#).is_ok());
    assert!(read_text(r#"{"id":"evt_1","type":"x","object":"v2.core.event"}"#).is_ok());
    for (text, expected) in [
        (r#"{"type":"x","object":"event"}"#, NotAnEvent::NoId),
        (r#"{"id":"","type":"x","object":"event"}"#, NotAnEvent::NoId),
        (r#"{"id":5,"type":"x","object":"event"}"#, NotAnEvent::NoId),
        (
            r#"{"id":null,"type":"x","object":"event"}"#,
            NotAnEvent::NoId,
        ),
        (
            r#"{"id":["evt_1"],"type":"x","object":"event"}"#,
            NotAnEvent::NoId,
        ),
        (r#"{"id":"evt_1","object":"event"}"#, NotAnEvent::NoType),
        (
            r#"{"id":"evt_1","type":"","object":"event"}"#,
            NotAnEvent::NoType,
        ),
        (
            r#"{"id":"evt_1","type":{},"object":"event"}"#,
            NotAnEvent::NoType,
        ),
        (r#"{"id":"evt_1","type":"x"}"#, NotAnEvent::OtherObject),
        (
            r#"{"id":"evt_1","type":"x","object":""}"#,
            NotAnEvent::OtherObject,
        ),
        (
            r#"{"id":"evt_1","type":"x","object":"Event"}"#,
            NotAnEvent::OtherObject,
        ),
        (
            r#"{"id":"evt_1","type":"x","object":"event\u0000"}"#,
            NotAnEvent::OtherObject,
        ),
        (
            r#"{"id":"evt_1","type":"x","object":["event"]}"#,
            NotAnEvent::OtherObject,
        ),
        (
            r#"{"ID":"evt_1","Type":"x","Object":"event"}"#,
            NotAnEvent::OtherObject,
        ),
        ("{}", NotAnEvent::OtherObject),
    ] {
        assert_eq!(read_text(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn a_body_that_is_not_one_json_object_is_no_event() {
    let plain = event().to_string();
    for text in [
        String::new(),
        " ".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"event\"".to_owned(),
        format!("[{plain}]"),
        format!("{plain}{plain}"),
        format!("{plain}x"),
        format!("{plain},"),
        format!("{plain}\0"),
        format!("{plain}\u{feff}"),
        format!("\u{feff}\u{feff}{plain}"),
        format!(" \u{feff}{plain}"),
        format!("\u{a0}{plain}"),
        plain[..plain.len() - 1].to_owned(),
        plain.replace('"', "'"),
    ] {
        assert_eq!(
            read_text(&text).unwrap_err(),
            NotAnEvent::NotAnObject,
            "{text:?}"
        );
    }
}

#[test]
fn bad_json_in_a_member_nobody_reads_is_no_event() {
    for member in [
        r#""x":01"#,
        r#""x":+1"#,
        r#""x":1."#,
        r#""x":.5"#,
        r#""x":1e"#,
        r#""x":-"#,
        r#""x":NaN"#,
        r#""x":Infinity"#,
        r#""x":nul"#,
        r#""x":True"#,
        r#""x":undefined"#,
        r#""x":"\x""#,
        r#""x":"\u12""#,
        r#""x":"\u12G4""#,
        "\"x\":\"a\nb\"",
        "\"x\":\"\0\"",
        r#""x":[1,]"#,
        r#""x":[1 2]"#,
        r#""x":{"a":1,}"#,
        r#""x":{"a" 1}"#,
        r#""x":{a:1}"#,
        r#""x":{5:1}"#,
        r#""x":[}"#,
        r#""x":"#,
        r#""x""#,
        r#""x":1/* note */"#,
        "x:1",
        "",
    ] {
        let text = with_raw(member);
        assert_eq!(
            read_text(&text).unwrap_err(),
            NotAnEvent::NotAnObject,
            "{member}"
        );
    }
}

#[test]
fn invalid_utf8_is_no_event_wherever_it_stands() {
    for bytes in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xe2\x82",
    ] {
        let mut body = br#"{"id":"evt_1","type":"x","object":"event","y":""#.to_vec();
        body.extend_from_slice(bytes);
        body.extend_from_slice(br#""}"#);
        assert_eq!(
            parse(&body).unwrap_err(),
            NotAnEvent::NotAnObject,
            "{bytes:?}"
        );
    }
}

#[test]
fn odd_but_valid_json_is_an_event() {
    let nested = format!(r#""x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!(
        r#""x":{}1{}"#,
        r#"{"x":"#.repeat(20_000),
        "}".repeat(20_000)
    );
    let large = format!(r#""metadata":{{"k":"{}"}}"#, "v".repeat(64 * 1024));
    for member in [
        r#""x":1e999999"#,
        r#""x":-1E+999999"#,
        r#""x":123456789012345678901234567890.5"#,
        r#""x":-0"#,
        r#""x":"\ud800""#,
        r#""x":"\udc00\ud800""#,
        r#""x":"\ud83d\ude00""#,
        r#""\ud800":1"#,
        r#""x":"\u0000""#,
        r#""\u0000":"\u0000""#,
        r#""":"""#,
        r#""x":1,"x":2"#,
        r#""data":5"#,
        &nested,
        &objects,
        &large,
    ] {
        let read = read_text(&with_raw(member)).unwrap();
        assert_eq!(read, self::read(&event()), "{member:.80}");
    }
}

#[test]
fn a_byte_order_mark_and_surrounding_space_are_tolerated() {
    let plain = event().to_string();
    for text in [
        format!("\u{feff}{plain}"),
        format!("\u{feff} \r\n\t{plain}"),
        format!("{plain}\r\n\n \t"),
    ] {
        assert_eq!(read_text(&text).unwrap(), read(&event()), "{text:?}");
    }
}

#[test]
fn deep_nesting_in_a_member_that_is_read_counts_as_absent_or_is_read_past() {
    let deep = format!("{}1{}", r#"{"object":"#.repeat(20_000), "}".repeat(20_000));
    let text =
        format!(r#"{{"id":"evt_1","type":"x","object":"event","data":{deep},"livemode":{deep}}}"#);
    let read = read_text(&text).unwrap();
    assert_eq!((read.session, read.livemode), (None, None));
}

#[test]
fn errors_do_not_repeat_the_body() {
    let error = read_text(r#"{"id":"canary","object":"canary"}"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}
