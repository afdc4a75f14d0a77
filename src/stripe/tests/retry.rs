//! When a call is made again, and when not.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{net::TcpSocket, time::timeout};
use wiremock::ResponseTemplate;

use super::{
    client, failing, ok,
    raw::{hanging_up, saying, silent, trickling},
    session, settings, stripe_answering,
};
use crate::stripe::{Client, CreateSession, Priority, StripeError, client::pause_before};

fn plain(status: u16) -> ResponseTemplate {
    failing(status, &json!({"type": "api_error"}))
}

fn key() -> Value {
    json!({"id": "ephkey_1", "secret": "ek_test_1"})
}

/// How often Stripe was asked, and whether it ended well.
async fn retrieved(answers: Vec<ResponseTemplate>) -> (usize, bool) {
    let server = stripe_answering(answers).await;
    let outcome = client(&server)
        .retrieve_session("vs_1", Priority::Person)
        .await;
    (
        server.received_requests().await.unwrap().len(),
        outcome.is_ok(),
    )
}

async fn made_a_key(answers: Vec<ResponseTemplate>) -> (usize, bool) {
    let server = stripe_answering(answers).await;
    let outcome = client(&server)
        .create_ephemeral_key("vs_1", Priority::Person)
        .await;
    (
        server.received_requests().await.unwrap().len(),
        outcome.is_ok(),
    )
}

#[tokio::test]
async fn what_may_pass_is_tried_twice_more() {
    for status in [409, 429, 500, 502, 503, 504] {
        assert_eq!(retrieved(vec![plain(status)]).await, (3, false), "{status}");
        let then_good = vec![plain(status), plain(status), ok(&session())];
        assert_eq!(retrieved(then_good).await, (3, true), "{status}");
        assert_eq!(
            retrieved(vec![plain(status), ok(&session())]).await,
            (2, true),
            "{status}"
        );
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for status in [302, 400, 401, 402, 403, 404, 422] {
        assert_eq!(
            retrieved(vec![plain(status), ok(&session())]).await,
            (1, false),
            "{status}"
        );
    }
    let unreadable = ResponseTemplate::new(200).set_body_string("{}");
    assert_eq!(
        retrieved(vec![unreadable, ok(&session())]).await,
        (1, false)
    );
}

#[tokio::test]
async fn stripes_own_word_on_retrying_is_obeyed() {
    let saying = |status, word: &str| plain(status).insert_header("stripe-should-retry", word);
    for status in [409, 429, 500] {
        assert_eq!(
            retrieved(vec![saying(status, "false")]).await,
            (1, false),
            "{status}"
        );
    }
    for status in [400, 402] {
        let answers = vec![saying(status, "true"), ok(&session())];
        assert_eq!(retrieved(answers).await, (2, true), "{status}");
    }
    assert_eq!(retrieved(vec![saying(400, "true")]).await, (3, false));
    assert_eq!(retrieved(vec![saying(500, "perhaps")]).await, (3, false));
}

#[tokio::test]
async fn a_stored_failure_is_not_asked_for_again() {
    let replayed = plain(500).insert_header("idempotent-replayed", "true");
    let server = stripe_answering([plain(500), replayed]).await;
    let error = client(&server)
        .create_session(&CreateSession::default(), "attempt-1", Priority::Person)
        .await
        .unwrap_err();
    assert!(error.is_replayed_failure());
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn every_try_carries_the_same_key_and_body() {
    let server = stripe_answering([plain(500), plain(409), ok(&session())]).await;
    let client = client(&server);
    let person = Priority::Person;
    client
        .create_session(&CreateSession::default(), "attempt-1", person)
        .await
        .unwrap();
    let first = server.received_requests().await.unwrap();
    assert_eq!(first.len(), 3);
    assert!(
        first
            .iter()
            .all(|r| r.headers["idempotency-key"] == "attempt-1")
    );
    assert!(first.iter().all(|r| r.body == first[0].body));

    let server = stripe_answering([plain(500), plain(500), ok(&session())]).await;
    let client = super::client(&server);
    client.cancel_session("vs_1", person).await.unwrap();
    client.cancel_session("vs_1", person).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let keys: Vec<_> = requests
        .iter()
        .map(|r| &r.headers["idempotency-key"])
        .collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3]);
}

#[tokio::test]
async fn a_key_for_an_app_is_not_made_twice_blindly() {
    for status in [409, 500, 503] {
        assert_eq!(
            made_a_key(vec![plain(status), ok(&key())]).await,
            (1, false),
            "{status}"
        );
    }
    // Refused before anything was done, or on Stripe's own advice.
    assert_eq!(made_a_key(vec![plain(429), ok(&key())]).await, (2, true));
    let advised = plain(500).insert_header("stripe-should-retry", "true");
    assert_eq!(made_a_key(vec![advised, ok(&key())]).await, (2, true));
    let (address, mut calls) = hanging_up().await;
    let error = Client::new(settings(&address))
        .unwrap()
        .create_ephemeral_key("vs_1", Priority::Person)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StripeError::Network {
                before_sending: false,
                ..
            }
        ),
        "{error:?}"
    );
    calls.recv().await.unwrap();
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let (address, mut calls) = hanging_up().await;
    let client = Client::new(settings(&address)).unwrap();
    let error = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    for _ in 0..3 {
        calls.recv().await.unwrap();
    }
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_cut_short_is_a_broken_connection() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":\"vs_1\",";
    let (address, mut calls) = saying(half).await;
    let client = Client::new(settings(&address)).unwrap();
    let error = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StripeError::Network {
                before_sending: false,
                ..
            }
        ),
        "{error:?}"
    );
    for _ in 0..3 {
        calls.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_connection_is_known_to_have_sent_nothing() {
    // Bound, so that the address is nobody else's, and not listening.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    let client = Client::new(settings(&address)).unwrap();
    let error = client
        .create_ephemeral_key("vs_1", Priority::Person)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StripeError::Network {
                before_sending: true,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn silence_ends_in_a_time_out_and_is_tried_again() {
    let (address, mut calls) = silent().await;
    let mut settings = settings(&address);
    settings.timeout = Duration::from_millis(300);
    let client = Client::new(settings).unwrap();
    let error = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StripeError::Timeout) && error.is_unreachable(),
        "{error:?}"
    );
    for _ in 0..3 {
        calls.recv().await.unwrap();
    }
    let error = client
        .create_ephemeral_key("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert!(matches!(error, StripeError::Timeout), "{error:?}");
    calls.recv().await.unwrap();
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_that_trickles_ends_in_a_time_out() {
    let (address, _calls) = trickling().await;
    let mut settings = settings(&address);
    settings.timeout = Duration::from_millis(300);
    settings.max_retries = 0;
    let client = Client::new(settings).unwrap();
    let error = client
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert!(matches!(error, StripeError::Timeout), "{error:?}");
}

#[tokio::test]
async fn a_callers_patience_ends_the_trying() {
    let server = stripe_answering([plain(500)]).await;
    let mut settings = settings(&server.uri());
    settings.first_delay = Duration::from_mins(10);
    settings.longest_delay = Duration::from_mins(10);
    let client = Client::new(settings).unwrap();
    for priority in [Priority::Person, Priority::Job] {
        let error = client.retrieve_session("vs_1", priority).await.unwrap_err();
        assert_eq!(error.status(), Some(500));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);

    let (address, _calls) = silent().await;
    let mut settings = super::settings(&address);
    settings.timeout = Duration::from_hours(1);
    settings.person_patience = Duration::from_millis(200);
    let client = Client::new(settings).unwrap();
    let call = client.retrieve_session("vs_1", Priority::Person);
    // A minute is for a slow machine; without patience it would be the hour.
    let error = timeout(Duration::from_mins(1), call)
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, StripeError::Timeout), "{error:?}");
}

#[tokio::test]
async fn a_full_line_answers_limited_without_asking_stripe() {
    let server = stripe_answering([ok(&session())]).await;
    let mut settings = settings(&server.uri());
    settings.rate_per_second = 1;
    settings.person_patience = Duration::from_millis(500);
    let client = Client::new(settings).unwrap();
    let calls = (0..5).map(|_| client.retrieve_session("vs_1", Priority::Person));
    let outcomes = join_all(calls).await;
    let limited: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .filter(|error| matches!(error, StripeError::RateLimited { .. }))
        .collect();
    assert!(!limited.is_empty(), "{outcomes:?}");
    let asked = server.received_requests().await.unwrap().len();
    assert!(asked <= 5 - limited.len(), "{asked} and {limited:?}");
    for error in limited {
        assert!(error.is_limited() && !error.is_unreachable());
        assert!(error.retry_after().unwrap() > Duration::ZERO);
    }
}

#[test]
fn pauses_double_up_to_a_limit_and_never_fall_below_the_first() {
    let mut settings = settings("http://127.0.0.1:1");
    settings.first_delay = Duration::from_millis(500);
    settings.longest_delay = Duration::from_secs(5);
    let pause = |retry, spread| pause_before(retry, &settings, spread).as_millis();
    assert_eq!(
        [1, 2, 3, 4, 5, 40].map(|n| pause(n, 1.0)),
        [500, 1_000, 2_000, 4_000, 5_000, 5_000]
    );
    assert_eq!(
        [1, 2, 3, 4, 5, 40].map(|n| pause(n, 0.5)),
        [500, 500, 1_000, 2_000, 2_500, 2_500]
    );
}
