//! What the client sends, and what it makes of the answers.

use std::{collections::BTreeMap, time::Duration};

use secrecy::ExposeSecret;
use serde_json::json;
use wiremock::{MockServer, Request, ResponseTemplate};

use super::{KEY, client, event, ok, raw::saying, session, settings, stripe_answering};
use crate::stripe::{
    AsOf, Client, CreateSession, Created, ListEvents, ListSessions, Page, Priority, StripeError,
    UpdateSession,
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
    let answer = json!({"id": "vs_1", "livemode": false, "status": "canceled", "secret": "ek_1",
        "type": "x", "object": "event", "data": [event()], "has_more": true});
    let server = stripe_answering([ok(&answer)]).await;
    make_every_call(&client(&server)).await;

    let requests = server.received_requests().await.unwrap();
    let with_key = |r: &Request| match header(r, "idempotency-key") {
        Some(_) => " with a key",
        None => "",
    };
    let lines: Vec<_> = requests
        .iter()
        .map(|r| {
            let at = &r.url[url::Position::BeforePath..];
            let body = String::from_utf8_lossy(&r.body);
            format!("{} {at}{} {body}", r.method, with_key(r))
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
            "GET /v1/events ".into(),
        ]
    );
    let pinned = |r: &Request| header(r, "stripe-version") == Some("2026-07-29.dahlia");
    assert!(requests.iter().all(pinned));
}

async fn make_every_call(client: &Client) {
    let (person, job) = (Priority::Person, Priority::Job);
    client.retrieve_session("vs_1", person).await.unwrap();
    let change = UpdateSession::default();
    client
        .update_session("vs_1", &change, person)
        .await
        .unwrap();
    client.cancel_session("vs_1", person).await.unwrap();
    client.redact_session("vs_1", person).await.unwrap();
    let list = ListSessions {
        created: Created {
            gte: Some(5),
            ..Created::default()
        },
        page: Page {
            limit: Some(100),
            ..Page::default()
        },
        ..ListSessions::default()
    };
    client.list_sessions(&list, job).await.unwrap();
    let key = client.create_ephemeral_key("vs_1", person).await.unwrap();
    assert_eq!(key.value.secret.expose_secret(), "ek_1");
    let events = client
        .list_events(&ListEvents::default(), job)
        .await
        .unwrap();
    assert_eq!(events.value.data[0].id, "evt_1");
    assert!(events.value.has_more);
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

#[tokio::test]
async fn an_answer_without_a_date_says_nothing_of_when_it_was_true() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n\
        {\"id\":\"vs_1\",\"livemode\":false,\"status\":\"verified\"}";
    let (address, _calls) = saying(answer).await;
    let client = Client::new(settings(&address)).unwrap();
    let reply = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap();
    assert_eq!((reply.value.id.as_str(), reply.as_of), ("vs_1", None));
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
