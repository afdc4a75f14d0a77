//! Everything odd that can be sent to `/webhook`, each with the one right answer; none is a 5xx, none goes unanswered.

use reqwest::{StatusCode, header::HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};
use verigate::stripe::signature::sign;

use crate::{
    deliveries::Delivery,
    server::{NOW, OTHER_SECRET, SECRET, TestServer},
};

/// What is to happen: committed with an outcome, or refused with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Committed(&'static str),
    Refused(u16, &'static str),
}

const BAD_SIGNATURE: Answer = Answer::Refused(400, "signature_invalid");
const NOT_AN_EVENT: Answer = Answer::Refused(400, "not_an_event");
const TOO_LARGE: Answer = Answer::Refused(413, "body_too_large");
const ENCODED: Answer = Answer::Refused(415, "unsupported_encoding");
const APPLIED: Answer = Answer::Committed("applied");
const HINT: Answer = Answer::Committed("hint");
const IGNORED: Answer = Answer::Committed("ignored");

struct Case {
    name: String,
    body: Vec<u8>,
    headers: Vec<(&'static str, HeaderValue)>,
    answer: Answer,
}

fn delivery() -> Delivery {
    Delivery::new("evt_corpus", "processing", NOW, "vs_corpus")
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// The hex of a signature over `body`.
fn v1(body: &[u8], with: &str, timestamp: i64) -> String {
    let header = sign(body, &secret(with), timestamp);
    header.split_once(",v1=").unwrap().1.to_owned()
}

/// A case about the signature of an ordinary event.
fn signed(name: &str, header: impl AsRef<[u8]>, answer: Answer) -> Case {
    let header = HeaderValue::from_bytes(header.as_ref()).unwrap();
    Case {
        name: name.to_owned(),
        body: delivery().body(),
        headers: vec![("stripe-signature", header)],
        answer,
    }
}

/// A case about a body, rightly signed.
fn body(name: &str, body: impl Into<Vec<u8>>, answer: Answer) -> Case {
    let body = body.into();
    let header = sign(&body, &secret(SECRET), NOW).parse().unwrap();
    Case {
        name: name.to_owned(),
        body,
        headers: vec![("stripe-signature", header)],
        answer,
    }
}

impl Case {
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

#[rustfmt::skip]
fn times() -> Vec<Case> {
    let at = |timestamp| sign(&delivery().body(), &secret(SECRET), timestamp);
    // Signed over whatever stands there for the time.
    let as_written = |time: &str| {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(&delivery().body());
        format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
    };
    let now = NOW.to_string();
    let mut cases = vec![
        signed("now", at(NOW), APPLIED),
        signed("as old as allowed", at(NOW - 300), APPLIED),
        signed("a second too old", at(NOW - 301), BAD_SIGNATURE),
        signed("as new as allowed", at(NOW + 300), APPLIED),
        signed("a second too new", at(NOW + 301), BAD_SIGNATURE),
        signed("a day old", at(NOW - 86_400), BAD_SIGNATURE),
        signed("1970", at(0), BAD_SIGNATURE),
        signed("in milliseconds", at(NOW * 1000), BAD_SIGNATURE),
        signed("the last second there is", at(i64::MAX), BAD_SIGNATURE),
        signed("with leading zeros, signed as written", as_written(&format!("00{now}")), APPLIED),
    ];
    let odd = [
        "", " ", "+1800000000", "-1800000000", "1800000000.0", "18e8", "0x6b49d200", "1_800_000_000",
        " 1800000000", "1800000000 ", "99999999999999999999999999", "now", "NaN", "1800000000;",
    ];
    cases.extend(odd.map(|time| signed(&format!("the time «{time}»"), as_written(time), BAD_SIGNATURE)));
    cases
}

#[rustfmt::skip]
fn schemes() -> Vec<Case> {
    let good = v1(&delivery().body(), SECRET, NOW);
    let other = v1(&delivery().body(), OTHER_SECRET, NOW);
    let wrong = v1(&delivery().body(), "whsec_test_wrong", NOW);
    let unprefixed = v1(&delivery().body(), SECRET.trim_start_matches("whsec_"), NOW);
    let upper = good.to_uppercase();
    let many = |count: usize, last: &str| {
        format!("t={NOW}{},v1={last}", format!(",v1={wrong}").repeat(count - 1))
    };
    let t = format!("t={NOW}");
    vec![
        signed("the second secret", format!("{t},v1={other}"), APPLIED),
        signed("both secrets, as while one is rolled", format!("{t},v1={good},v1={other}"), APPLIED),
        signed("a wrong one before the right one", format!("{t},v1={wrong},v1={good}"), APPLIED),
        signed("a wrong one after the right one", format!("{t},v1={good},v1={wrong}"), APPLIED),
        signed("the right one last of sixty-four", many(64, &good), APPLIED),
        signed("more signatures than Stripe has", many(65, &good), BAD_SIGNATURE),
        signed("sixty-four wrong ones", many(64, &wrong), BAD_SIGNATURE),
        signed("another secret", format!("{t},v1={wrong}"), BAD_SIGNATURE),
        signed("the secret without its prefix", format!("{t},v1={unprefixed}"), BAD_SIGNATURE),
        signed("the signature before the time", format!("v1={good},{t}"), APPLIED),
        signed("schemes of tomorrow beside", format!("{t},v2=00,v1={good},x=y,v10=1"), APPLIED),
        signed("the fake scheme alone", format!("{t},v0={good}"), BAD_SIGNATURE),
        signed("the fake scheme right, the real one wrong", format!("{t},v0={good},v1={wrong}"), BAD_SIGNATURE),
        signed("a scheme of tomorrow alone", format!("{t},v2={good}"), BAD_SIGNATURE),
        signed("the scheme in capitals", format!("{t},V1={good}"), BAD_SIGNATURE),
        signed("the time's name in capitals", format!("T={NOW},v1={good}"), BAD_SIGNATURE),
        signed("hex in capitals", format!("{t},v1={upper}"), BAD_SIGNATURE),
        signed("hex too short", format!("{t},v1={}", &good[..63]), BAD_SIGNATURE),
        signed("hex too long", format!("{t},v1={good}0"), BAD_SIGNATURE),
        signed("no hex", format!("{t},v1={}", "z".repeat(64)), BAD_SIGNATURE),
        signed("an empty signature", format!("{t},v1="), BAD_SIGNATURE),
        signed("a signature without an equals sign", format!("{t},v1"), BAD_SIGNATURE),
        signed("a second equals sign", format!("{t},v1=={good}"), BAD_SIGNATURE),
        signed("blanks after the comma", format!("{t}, v1={good}"), BAD_SIGNATURE),
        signed("semicolons", format!("{t};v1={good}"), BAD_SIGNATURE),
        signed("in quotation marks", format!("\"{t},v1={good}\""), BAD_SIGNATURE),
        signed("no time", format!("v1={good}"), BAD_SIGNATURE),
        signed("no signature", &t, BAD_SIGNATURE),
        signed("the time twice, the same", format!("{t},{t},v1={good}"), BAD_SIGNATURE),
        signed("the time twice, the right one first", format!("{t},t=1,v1={good}"), BAD_SIGNATURE),
        signed("the time twice, the right one last", format!("t=1,{t},v1={good}"), BAD_SIGNATURE),
        signed("an empty header", "", BAD_SIGNATURE),
        signed("a blank header", " ", BAD_SIGNATURE),
        signed("commas", ",,,,", BAD_SIGNATURE),
        signed("empty members beside", format!(",{t},,v1={good},"), APPLIED),
        signed("garbage", "garbage", BAD_SIGNATURE),
        signed("a bearer token", format!("Bearer {SECRET}"), BAD_SIGNATURE),
        signed("not even UTF-8", [b't', b'=', 0xff, 0xfe], BAD_SIGNATURE),
        signed("a header of ten thousand bytes", format!("{t},v1={good},x={}", "y".repeat(10_000)), BAD_SIGNATURE),
    ]
}

fn altered() -> Vec<Case> {
    let event = delivery().body();
    let header: HeaderValue = sign(&event, &secret(SECRET), NOW).parse().unwrap();
    let with = |name: &str, body: Vec<u8>| Case {
        name: name.to_owned(),
        body,
        headers: vec![("stripe-signature", header.clone())],
        answer: BAD_SIGNATURE,
    };
    let text = String::from_utf8(event.clone()).unwrap();
    let flip = |at: usize| {
        let mut bytes = event.clone();
        bytes[at] ^= 1;
        bytes
    };
    let pretty = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&event).unwrap());
    let mut unsigned = with("no header at all", event.clone());
    unsigned.headers.clear();
    let mut parts = with("the header in two lines", event.clone());
    let (t, v1) = std::str::from_utf8(header.as_bytes())
        .unwrap()
        .split_once(',')
        .unwrap();
    parts.headers = [t, v1]
        .map(|part| ("stripe-signature", part.parse().unwrap()))
        .to_vec();
    parts.answer = APPLIED;
    let mut twice = with("the header twice", event.clone());
    twice.headers.push(("stripe-signature", header.clone()));
    vec![
        unsigned,
        parts,
        twice,
        with("the first byte flipped", flip(0)),
        with("a byte in the middle flipped", flip(event.len() / 2)),
        with("the last byte flipped", flip(event.len() - 1)),
        with("a byte more", [&event[..], b" "].concat()),
        with("a line end more", [&event[..], b"\n"].concat()),
        with("a byte less", event[..event.len() - 1].to_vec()),
        with("no body", Vec::new()),
        with("written anew", pretty.unwrap()),
        with(
            "a status changed",
            text.replace("processing", "verified").into_bytes(),
        ),
        with("a BOM put before", [b"\xEF\xBB\xBF", &event[..]].concat()),
        with("the body twice", event.repeat(2)),
    ]
}

#[rustfmt::skip]
fn no_events() -> Vec<Case> {
    let event = String::from_utf8(delivery().body()).unwrap();
    let without = |member: &str| {
        let mut value: Value = serde_json::from_str(&event).unwrap();
        value.as_object_mut().unwrap().remove(member);
        value.to_string()
    };
    let tiny = r#"{"id":"evt_1","object":"event","type":"a.b"}"#;
    let no = |name: &str, bytes: &[u8]| body(name, bytes, NOT_AN_EVENT);
    let mut cases = vec![
        no("nothing", b""),
        no("blanks", b" \r\n\t"),
        no("only a BOM", b"\xEF\xBB\xBF"),
        no("an empty object", b"{}"),
        no("an empty array", b"[]"),
        no("an array of an event", format!("[{tiny}]").as_bytes()),
        no("null", b"null"),
        no("true", b"true"),
        no("a number", b"17"),
        no("a string", b"\"event\""),
        no("text", b"hello"),
        no("a form", b"id=evt_1&object=event&type=a.b"),
        no("XML", b"<event id='evt_1'/>"),
        no("broken off", &tiny.as_bytes()[..tiny.len() - 1]),
        no("a byte after the end", format!("{tiny}x").as_bytes()),
        no("a NUL after the end", format!("{tiny}\0").as_bytes()),
        no("a second object", format!("{tiny}{tiny}").as_bytes()),
        no("a second line", format!("{tiny}\n{tiny}").as_bytes()),
        no("two BOMs", format!("\u{feff}\u{feff}{tiny}").as_bytes()),
        no("a comma too much", tiny.replace('}', ",}").as_bytes()),
        no("a comment", tiny.replace('{', "{/* */").as_bytes()),
        no("single quotation marks", tiny.replace('"', "'").as_bytes()),
        no("a leading zero", tiny.replace('}', ",\"x\":01}").as_bytes()),
        no("NaN", tiny.replace('}', ",\"x\":NaN}").as_bytes()),
        no("a bare control character", tiny.replace("a.b", "a\nb").as_bytes()),
        no("half an escape", tiny.replace("a.b", "a\\u12").as_bytes()),
        no("an unknown escape", tiny.replace("a.b", "a\\xb").as_bytes()),
        no("a byte that is no UTF-8", &[&tiny.as_bytes()[..8], b"\xff", &tiny.as_bytes()[8..]].concat()),
        no("an overlong character", &[&tiny.as_bytes()[..8], b"\xc0\xaf", &tiny.as_bytes()[8..]].concat()),
        no("a surrogate in UTF-8", &[&tiny.as_bytes()[..8], b"\xed\xa0\x80", &tiny.as_bytes()[8..]].concat()),
        no("UTF-16", &tiny.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        no("never closed", &b"[".repeat(100_000)),
        no("no id", without("id").as_bytes()),
        no("no type", without("type").as_bytes()),
        no("no object", without("object").as_bytes()),
        no("the object of something else", tiny.replace("\"event\"", "\"charge\"").as_bytes()),
        no("the object in capitals", tiny.replace("\"event\"", "\"Event\"").as_bytes()),
        no("of two objects the last is no event", tiny.replace('}', ",\"object\":\"list\"}").as_bytes()),
        no("of two ids the last is none", tiny.replace('}', ",\"id\":null}").as_bytes()),
    ];
    for wrong in ["null", "7", "true", "\"\"", "[\"x\"]", "{\"x\":1}", "1e999999"] {
        for (member, right) in [("id", "\"evt_1\""), ("type", "\"a.b\""), ("object", "\"event\"")] {
            let bytes = tiny.replace(right, wrong);
            cases.push(no(&format!("{member} is {wrong}"), bytes.as_bytes()));
        }
    }
    cases
}

/// A case about an event, rightly signed.
fn yes(name: &str, delivery: &Delivery, answer: Answer) -> Case {
    body(name, delivery.body(), answer)
}

/// A case about a member that has to be written by hand.
fn raw(name: &str, member: &str, value: &str, answer: Answer) -> Case {
    let marked = delivery().with(member, json!("MARK")).body();
    let text = String::from_utf8(marked).unwrap();
    body(name, text.replace("\"MARK\"", value), answer)
}

#[rustfmt::skip]
fn odd_envelopes() -> Vec<Case> {
    let long = "x".repeat(10_000);
    vec![
        yes("an ordinary one", &delivery(), APPLIED),
        body("blanks around it", [b" \n", &delivery().body()[..], b"\r\n\t "].concat(), APPLIED),
        body("a BOM before it", [b"\xEF\xBB\xBF", &delivery().body()[..]].concat(), APPLIED),
        body("hardly anything", r#"{"id":"e","object":"event","type":"t"}"#, IGNORED),
        yes("an id of another form", &delivery().with("id", json!("event-17")), APPLIED),
        yes("an id that is too long", &delivery().with("id", json!(format!("evt_{long}"))), APPLIED),
        yes("an id with a NUL", &delivery().with("id", json!("evt_\0")), APPLIED),
        raw("an id that is half a character", "id", r#""evt_\ud800""#, APPLIED),
        yes("a type of tomorrow", &delivery().with("type", json!("identity.verification_session.teleported")), HINT),
        yes("a type of something else", &delivery().with("type", json!("customer.created")), IGNORED),
        yes("a type that is too long", &delivery().with("type", json!(long)), IGNORED),
        yes("a type with a NUL", &delivery().with("type", json!("a\0b")), IGNORED),
        yes("live mode", &delivery().with("livemode", json!(true)), Answer::Committed("wrong_mode")),
        yes("a mode that is text", &delivery().with("livemode", json!("true")), APPLIED),
        yes("a foreign account", &delivery().with("account", json!("acct_1")), Answer::Committed("foreign_account")),
        yes("an account that is a number", &delivery().with("account", json!(1)), APPLIED),
        yes("another API version", &delivery().with("api_version", json!("2020-08-27")), APPLIED),
        yes("a version that is a list", &delivery().with("api_version", json!([1])), APPLIED),
        yes("no data", &delivery().with("data", json!(null)), IGNORED),
        yes("data that is text", &delivery().with("data", json!("x")), IGNORED),
        yes("data that is a list", &delivery().with("data", json!([{}])), IGNORED),
        yes("data of no object", &delivery().with("data", json!({})), IGNORED),
        raw("of two types the last counts", "type", r#""a.b","type":"identity.verification_session.processing""#, APPLIED),
    ]
}

#[rustfmt::skip]
fn odd_sessions() -> Vec<Case> {
    let long = "x".repeat(10_000);
    vec![
        yes("a type that contradicts its snapshot", &delivery().session("status", json!("verified")), HINT),
        yes("a live session", &delivery().session("livemode", json!(true)), Answer::Committed("wrong_mode")),
        yes("another kind of object", &delivery().session("object", json!("customer")), IGNORED),
        yes("a session without an id", &delivery().session("id", json!(null)), IGNORED),
        yes("a session id that is too long", &delivery().session("id", json!(format!("vs_{long}"))), IGNORED),
        yes("a session id with a NUL", &delivery().session("id", json!("vs_\0")), IGNORED),
        yes("a session we never made", &delivery().session("id", json!("vs_theirs")), APPLIED),
        yes("a status of tomorrow", &delivery().session("status", json!("pondering")), HINT),
        yes("a status that is a number", &delivery().session("status", json!(4)), HINT),
        yes("an error without a code", &delivery().session("last_error", json!({"code": null, "reason": null})), APPLIED),
        yes("an error that is text", &delivery().session("last_error", json!("x")), APPLIED),
        yes("an error code with a NUL", &delivery().session("last_error", json!({"code": "a\0b"})), APPLIED),
        yes("an error code that is too long", &delivery().session("last_error", json!({"code": long})), APPLIED),
        yes("an expanded report", &delivery().reported("vr_1").session("last_verification_report", json!({"id": "vr_1"})), APPLIED),
        yes("a report with a NUL", &delivery().reported("vr_\0"), APPLIED),
        yes("64 KiB of metadata", &delivery().session("metadata", json!({"k": "m".repeat(65_536)})), APPLIED),
        yes("metadata that is a list", &delivery().session("metadata", json!([1, 2])), APPLIED),
        yes("an attempt that is nobody's", &delivery().of_attempt(&uuid::Uuid::nil().to_string()), APPLIED),
        yes("an attempt that is no id", &delivery().of_attempt("'; DROP TABLE users; --"), APPLIED),
        yes("a redaction", &Delivery::new("evt_corpus", "redacted", NOW, "vs_corpus"), APPLIED),
        yes("everything redacted", &redacted(), APPLIED),
    ]
}

#[rustfmt::skip]
fn odd_values() -> Vec<Case> {
    let mut cases = vec![
        raw("a number beyond all", "extra", "1e999999", APPLIED),
        raw("a number below all", "extra", "-1e-999999", APPLIED),
        raw("a number of ten thousand digits", "extra", &"9".repeat(10_000), APPLIED),
        raw("half a character", "extra", r#""\ud800 and \udc00""#, APPLIED),
        raw("a NUL", "extra", r#""\u0000""#, APPLIED),
        raw("a member twice", "extra", r#"1,"extra":2"#, APPLIED),
        raw("deeply nested", "extra", &format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)), APPLIED),
        raw("deeply nested objects", "extra", &format!("{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000)), APPLIED),
    ];
    for (name, value) in [
        ("missing", "null"), ("text", "\"1800000000\""), ("a fraction", "1800000000.5"), ("negative", "-5"),
        ("zero", "0"), ("beyond all", "1e999999"), ("in milliseconds, and so in the year 59010", "1800000000000"),
        ("beyond i64", "99999999999999999999"), ("true", "true"), ("a list", "[1]"),
    ] {
        cases.push(raw(&format!("a second that is {name}"), "created", value, HINT));
    }
    cases
}

fn redacted() -> Delivery {
    ["client_reference_id", "url", "client_secret", "type"]
        .into_iter()
        .fold(
            Delivery::new("evt_corpus", "verified", NOW, "vs_corpus"),
            |all, member| all.session(member, json!("[redacted]")),
        )
        .session("redaction", json!({ "status": "redacted" }))
        .session(
            "last_error",
            json!({ "code": "[redacted]", "reason": "[redacted]" }),
        )
        .session("metadata", json!({}))
}

fn thin_events() -> Vec<Case> {
    let thin = |related: Value| {
        json!({
            "id": "evt_corpus", "object": "v2.core.event", "livemode": false, "context": null,
            "type": "v1.identity.verification_session.verified", "created": "2027-01-15T08:00:00.000Z",
            "related_object": related,
        })
    };
    let session =
        json!({ "id": "vs_corpus", "type": "identity.verification_session", "url": "/v1/x" });
    let mut odd_time = thin(session.clone());
    odd_time["created"] = json!("yesterday");
    let mut other = thin(json!({ "id": "acct_1", "type": "v2.core.account" }));
    other["type"] = json!("v2.core.account.updated");
    let yes = |name: &str, event: Value, answer| body(name, event.to_string(), answer);
    vec![
        yes("a thin event", thin(session), HINT),
        yes("a thin event at no time", odd_time, HINT),
        yes("a thin event about nothing", thin(json!(null)), IGNORED),
        yes("a thin event about text", thin(json!("vs_corpus")), IGNORED),
        yes("a thin event about something else", other, IGNORED),
    ]
}

#[rustfmt::skip]
fn sizes_and_encodings() -> Vec<Case> {
    const LIMIT: usize = 256 * 1024;
    let filled = |size: usize| {
        let empty = delivery().with("extra", json!("")).body().len();
        delivery().with("extra", json!("x".repeat(size - empty))).body()
    };
    let event = || body("", delivery().body(), APPLIED);
    let named = |name: &str, case: Case, answer| Case {
        name: name.to_owned(),
        answer, ..case
    };
    vec![
        body("as large as allowed", filled(LIMIT), APPLIED),
        body("a byte too large", filled(LIMIT + 1), TOO_LARGE),
        body("four megabytes", vec![b' '; 4 << 20], TOO_LARGE),
        named("no encoding, said so", event().header("content-encoding", "identity"), APPLIED),
        named("the same in capitals", event().header("content-encoding", "IDENTITY"), APPLIED),
        named("gzip", event().header("content-encoding", "gzip"), ENCODED),
        named("brotli", event().header("content-encoding", "br"), ENCODED),
        named("two encodings", event().header("content-encoding", "identity, gzip"), ENCODED),
        named("two encodings in two lines", event().header("content-encoding", "identity").header("content-encoding", "gzip"), ENCODED),
        named("another content type", event().header("content-type", "text/plain; charset=utf-16"), APPLIED),
        named("a content type that is none", event().header("content-type", "?"), APPLIED),
        named("a form's content type", event().header("content-type", "application/x-www-form-urlencoded"), APPLIED),
        named("from a foreign page", event().header("sec-fetch-site", "cross-site").header("origin", "https://evil.example"), APPLIED),
        named("who would rather have a page", event().header("accept", "text/html"), APPLIED),
    ]
}

async fn check(server: &TestServer, case: &Case) {
    let name = &case.name;
    let request = case
        .headers
        .iter()
        .fold(server.post("/webhook"), |all, (name, value)| {
            all.header(*name, value)
        });
    let answer = request
        .body(case.body.clone())
        .send()
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let status = answer.status();
    assert!(!status.is_redirection(), "{name}");
    let text = answer.text().await.unwrap();
    let said: Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{name}: {status} {text}"));
    let pool = server.db.as_ref().unwrap().pool();
    let kept =
        "WITH gone AS (DELETE FROM stripe_events RETURNING outcome) SELECT outcome FROM gone";
    let kept: Vec<String> = sqlx::query_scalar(kept).fetch_all(pool).await.unwrap();
    match case.answer {
        Answer::Committed(outcome) => {
            assert_eq!(
                (status, &said),
                (StatusCode::OK, &json!({ "received": true })),
                "{name}"
            );
            assert_eq!(kept, [outcome], "{name}");
        }
        Answer::Refused(expected, code) => {
            assert_eq!(
                (status.as_u16(), said["error"]["code"].as_str()),
                (expected, Some(code)),
                "{name}"
            );
            assert_eq!(
                said["error"].as_object().unwrap().len(),
                2,
                "{name}: {said}"
            );
            assert!(kept.is_empty(), "{name} was refused and kept");
        }
    }
}

#[tokio::test]
async fn every_case_gets_its_one_right_answer() {
    let server = TestServer::dev().await;
    let groups = [
        times(),
        schemes(),
        altered(),
        no_events(),
        odd_envelopes(),
        odd_sessions(),
        odd_values(),
        thin_events(),
        sizes_and_encodings(),
    ];
    let cases: Vec<Case> = groups.into_iter().flatten().collect();
    assert!(cases.len() >= 200, "only {} cases", cases.len());
    for case in &cases {
        check(&server, case).await;
    }
}

#[tokio::test]
async fn a_refusal_is_the_same_whatever_was_wrong_with_the_signature() {
    let server = TestServer::dev().await;
    let mut answers = std::collections::BTreeSet::new();
    for case in [times(), schemes(), altered()].into_iter().flatten() {
        if case.answer == BAD_SIGNATURE {
            let request = case
                .headers
                .iter()
                .fold(server.post("/webhook"), |all, (name, value)| {
                    all.header(*name, value)
                });
            answers.insert(
                request
                    .body(case.body)
                    .send()
                    .await
                    .unwrap()
                    .text()
                    .await
                    .unwrap(),
            );
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}
