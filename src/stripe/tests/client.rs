//! What the client sends, and what it makes of the answers.

use std::{collections::BTreeMap, time::Duration};

use secrecy::ExposeSecret;
use serde_json::json;
use wiremock::{MockServer, Request, ResponseTemplate};

use super::{KEY, client, event, failing, ok, session, settings, stripe_answering};
use crate::stripe::{
    AsOf, Client, CreateSession, Created, ListEvents, ListReports, ListSessions, Page, Priority,
    StripeError, UpdateSession,
};

async fn only_request(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.pop().unwrap()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

fn a_session() -> CreateSession {
    CreateSession {
        client_reference_id: Some("0198c0de".into()),
        metadata: BTreeMap::from([("verigate_attempt".into(), "0198c0de".into())]),
        ..CreateSession::default()
    }
}

#[tokio::test]
async fn a_session_is_created_as_stripe_wants_it() {
    let server = stripe_answering([ok(&session()).insert_header("request-id", "req_1")]).await;
    let reply = client(&server)
        .create_session(&a_session(), "attempt-1", Priority::Person)
        .await
        .unwrap();
    assert_eq!(reply.value.id, "vs_1");
    assert_eq!(reply.request_id.as_deref(), Some("req_1"));
    assert!(!reply.replayed);

    let request = only_request(&server).await;
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.url.path(), "/v1/identity/verification_sessions");
    assert_eq!(
        header(&request, "authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert_eq!(
        header(&request, "stripe-version"),
        Some("2026-07-29.dahlia")
    );
    assert_eq!(header(&request, "idempotency-key"), Some("attempt-1"));
    assert_eq!(
        header(&request, "content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert!(
        header(&request, "user-agent")
            .unwrap()
            .starts_with("verigate/")
    );
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        "client_reference_id=0198c0de&metadata%5Bverigate_attempt%5D=0198c0de"
    );
}

#[tokio::test]
async fn a_stored_answer_is_marked_replayed() {
    let answer = ok(&session()).insert_header("idempotent-replayed", "true");
    let server = stripe_answering([answer]).await;
    let reply = client(&server)
        .create_session(&a_session(), "k", Priority::Person)
        .await
        .unwrap();
    assert!(reply.replayed);
}

#[tokio::test]
async fn each_call_goes_where_it_belongs() {
    let answer = json!({"id": "vs_1", "livemode": false, "status": "canceled", "secret": "ek_test_1",
        "type": "x", "object": "event", "data": [event()], "has_more": true});
    let server = stripe_answering([ok(&answer)]).await;
    let (client, person) = (client(&server), Priority::Person);

    client.retrieve_session("vs_1", person).await.unwrap();
    client
        .update_session("vs_1", &UpdateSession::default(), person)
        .await
        .unwrap();
    client.cancel_session("vs_1", person).await.unwrap();
    client.redact_session("vs_1", person).await.unwrap();
    let page = Page {
        limit: Some(100),
        ..Page::default()
    };
    let created = Created {
        gte: Some(5),
        ..Created::default()
    };
    let list = ListSessions {
        created,
        page,
        ..ListSessions::default()
    };
    client.list_sessions(&list, Priority::Job).await.unwrap();
    let key = client.create_ephemeral_key("vs_1", person).await.unwrap();
    assert_eq!(key.value.secret.expose_secret(), "ek_test_1");
    client.retrieve_event("evt_1", person).await.unwrap();
    let events = client
        .list_events(&ListEvents::default(), Priority::Job)
        .await
        .unwrap()
        .value;
    assert_eq!(
        (events.data[0].id.as_str(), events.has_more),
        ("evt_1", true)
    );
    client.retrieve_report("vr_1", person).await.unwrap();
    client
        .list_reports(&ListReports::default(), Priority::Job)
        .await
        .unwrap();

    let requests = server.received_requests().await.unwrap();
    let lines: Vec<_> = requests
        .iter()
        .map(|r| {
            let key = if r.headers.contains_key("idempotency-key") {
                " with a key"
            } else {
                ""
            };
            let at = &r.url[url::Position::BeforePath..];
            format!(
                "{} {at}{key} {}",
                r.method,
                String::from_utf8_lossy(&r.body)
            )
        })
        .collect();
    let sessions = "/v1/identity/verification_sessions";
    assert_eq!(
        lines,
        [
            format!("GET {sessions}/vs_1 "),
            format!("POST {sessions}/vs_1 with a key "),
            format!("POST {sessions}/vs_1/cancel with a key "),
            format!("POST {sessions}/vs_1/redact with a key "),
            format!("GET {sessions}?created%5Bgte%5D=5&limit=100 "),
            "POST /v1/ephemeral_keys verification_session=vs_1".into(),
            "GET /v1/events/evt_1 ".into(),
            "GET /v1/events ".into(),
            "GET /v1/identity/verification_reports/vr_1 ".into(),
            "GET /v1/identity/verification_reports ".into(),
        ]
    );
    assert!(
        requests
            .iter()
            .all(|r| r.headers.contains_key("stripe-version"))
    );
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let server = stripe_answering([ok(&session())]).await;
    let client = client(&server);
    for id in ["", ".", ".."] {
        let error = client
            .retrieve_session(id, Priority::Job)
            .await
            .unwrap_err();
        assert!(error.is_missing(), "{id:?}");
    }
    for id in [
        "../../v1/events",
        "a/cancel",
        "a?expand[]=x",
        "a#b",
        "%2e%2e",
        "ü\n",
    ] {
        client.retrieve_session(id, Priority::Job).await.unwrap();
    }
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 6);
    for request in requests {
        let segments: Vec<_> = request.url.path_segments().unwrap().collect();
        assert_eq!(segments.len(), 4, "{}", request.url);
        assert_eq!(segments[..3], ["v1", "identity", "verification_sessions"]);
        assert_eq!(request.url.query(), None);
    }
}

#[tokio::test]
async fn a_base_address_may_have_a_path() {
    let server = stripe_answering([ok(&session())]).await;
    for base in ["/stripe", "/stripe/"] {
        let client = Client::new(settings(&format!("{}{base}", server.uri()))).unwrap();
        client
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap();
    }
    for request in server.received_requests().await.unwrap() {
        assert_eq!(
            request.url.path(),
            "/stripe/v1/identity/verification_sessions/vs_1"
        );
    }
}

#[tokio::test]
async fn an_error_keeps_what_stripe_said() {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing",
        "param": "session", "message": "No such verificationsession: 'vs_nope'"});
    let server =
        stripe_answering([failing(404, &error).insert_header("request-id", "req_9")]).await;
    let error = client(&server)
        .retrieve_session("vs_nope", Priority::Job)
        .await
        .unwrap_err();
    assert!(error.is_missing() && error.is_definite_refusal() && !error.is_temporary());
    assert_eq!(
        (error.status(), error.code()),
        (Some(404), Some("resource_missing"))
    );
    assert_eq!(error.request_id(), Some("req_9"));
    let api = error.api().unwrap();
    assert_eq!(api.kind.as_deref(), Some("invalid_request_error"));
    assert_eq!(api.param.as_deref(), Some("session"));
    assert!(
        api.message
            .as_ref()
            .unwrap()
            .expose_secret()
            .starts_with("No such")
    );
    assert_eq!(
        error.to_string(),
        "Stripe refused the call: status 404, type invalid_request_error, code resource_missing, \
         param session, request req_9"
    );
}

/// The status, the error, and which of these hold: unreachable, limited, missing, definite refusal,
/// idempotency error, key in use.
#[tokio::test]
async fn errors_are_told_apart() {
    let idempotency = json!({"type": "idempotency_error", "message": "…"});
    let in_use = json!({"type": "invalid_request_error", "code": "idempotency_key_in_use"});
    let missing = json!({"type": "invalid_request_error", "code": "resource_missing"});
    for (status, error, expected) in [
        (400, json!({"code": "parameter_unknown"}), "...d.."),
        (400, idempotency, "...di."),
        (401, json!({"type": "invalid_request_error"}), "...d.."),
        (402, json!({}), "...d.."),
        (403, json!({}), "...d.."),
        (404, missing, "..md.."),
        (404, json!({}), "...d.."),
        (409, in_use, ".l...k"),
        (409, json!({"code": "lock_timeout"}), ".l...."),
        (429, json!({"code": "rate_limit"}), ".l...."),
        (500, json!({"type": "api_error"}), "u....."),
        (503, json!(null), "u....."),
    ] {
        let server = stripe_answering([failing(status, &error)]).await;
        let e = client(&server)
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap_err();
        let held = [
            e.is_unreachable(),
            e.is_limited(),
            e.is_missing(),
            e.is_definite_refusal(),
            e.is_idempotency_error(),
            e.is_key_in_use(),
        ];
        let shown: String = held
            .iter()
            .zip("ulmdik".chars())
            .map(|(holds, letter)| if *holds { letter } else { '.' })
            .collect();
        assert_eq!(shown, expected, "{status} {error}");
        assert_eq!(
            e.is_temporary(),
            e.retry_after().is_some(),
            "{status} {error}"
        );
    }
}

#[tokio::test]
async fn answers_of_another_shape_are_errors_with_their_status() {
    for body in [
        "",
        "<html>Bad gateway</html>",
        "[]",
        r#"{"error":"oops"}"#,
        r#"{"error":{"code":5}}"#,
        "{",
    ] {
        let server = stripe_answering([ResponseTemplate::new(502).set_body_string(body)]).await;
        let error = client(&server)
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap_err();
        let api = error.api().unwrap();
        assert_eq!(
            (api.status, api.code.as_deref(), api.kind.as_deref()),
            (502, None, None),
            "{body}"
        );

        let server = stripe_answering([ResponseTemplate::new(200).set_body_string(body)]).await;
        let error = client(&server)
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap_err();
        assert!(
            matches!(error, StripeError::Undecodable { status: 200, .. }),
            "{body}"
        );
        assert!(
            !error.is_temporary() && !error.is_definite_refusal(),
            "{body}"
        );
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = stripe_answering([ok(&session())]).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", elsewhere.uri());
    let server = stripe_answering([redirect]).await;
    let error = client(&server)
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(302));
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read() {
    let mut large = session();
    large["metadata"] = json!({"k": "v".repeat(10_000)});
    let server = stripe_answering([ok(&large)]).await;
    let mut small = settings(&server.uri());
    small.largest_answer = 10_000;
    let error = Client::new(small)
        .unwrap()
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StripeError::Undecodable { .. }),
        "{error:?}"
    );
    client(&server)
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_says_as_of_when_it_was_true() {
    // Years from any wall clock: only Stripe's own date may enter.
    let date = "Tue, 15 Nov 1994 08:12:31 GMT";
    let answer = ok(&session()).insert_header("date", date);
    let server = stripe_answering([
        answer.clone(),
        answer.set_delay(Duration::from_millis(1_500)),
    ])
    .await;
    let client = client(&server);
    let quick = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap()
        .as_of
        .unwrap();
    assert_eq!(quick.until, 784_887_152);
    assert!(quick.second < 784_887_151);
    let slow = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap()
        .as_of
        .unwrap();
    assert_eq!(slow.until, 784_887_152);
    assert!(slow.second <= 784_887_149, "{slow:?}");
}

#[test]
fn as_of_is_the_date_less_the_round_trip_rounded_down() {
    let date = "Tue, 15 Nov 1994 08:12:31 GMT";
    let second = |ms| {
        AsOf::measure(date, Duration::from_millis(ms))
            .unwrap()
            .second
            - 784_887_151
    };
    assert_eq!(
        [0, 1, 999, 1_000, 1_001, 60_000].map(second),
        [0, -1, -1, -1, -2, -60]
    );
    assert_eq!(
        AsOf::measure(date, Duration::ZERO).unwrap().until,
        784_887_152
    );
    for odd in ["", "yesterday", "1994-11-15T08:12:31Z", "784887151"] {
        assert_eq!(AsOf::measure(odd, Duration::ZERO), None, "{odd}");
    }
    assert_eq!(AsOf::measure(date, Duration::MAX), None);
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let refused = |change: fn(&mut crate::stripe::Settings)| {
        let mut settings = settings("http://127.0.0.1:1");
        change(&mut settings);
        Client::new(settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.base = "data:x".parse().unwrap()).contains("base address"));
    let error = refused(|s| s.secret_key = "sk_test_\n".into());
    assert!(
        error.contains("secret key") && !error.contains("sk_test"),
        "{error}"
    );
}

#[tokio::test]
async fn an_idempotency_key_that_is_no_header_is_not_sent() {
    let server = stripe_answering([ok(&session())]).await;
    let call = client(&server);
    let error = call
        .create_session(&a_session(), "a\nb", Priority::Person)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StripeError::Settings {
                what: "idempotency key"
            }
        ),
        "{error:?}"
    );
    assert!(server.received_requests().await.unwrap().is_empty());
}
