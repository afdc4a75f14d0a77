//! Secrets and personal data are never printed, and so never logged.

use std::{
    error::Error,
    fmt::Write as _,
    io,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tracing::{Dispatch, subscriber::NoSubscriber};
use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt};

use super::{KEY, client, failing, ok, session, settings, stripe_answering};
use crate::stripe::{CreateSession, Priority, ProvidedDetails, StripeError};

const SECRETS: [&str; 6] = [
    KEY,
    "CanarySecret",
    "CanaryUrl",
    "CanaryEphemeral",
    "CanaryPerson",
    "CanaryMessage",
];

#[track_caller]
fn assert_silent(shown: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// Everything an error shows: its own text, its `Debug`, and its sources.
fn shown(error: &StripeError) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        write!(shown, " {error} {error:?}").unwrap();
        source = error.source();
    }
    shown
}

fn a_session() -> CreateSession {
    CreateSession {
        provided_details: ProvidedDetails {
            email: Some("CanaryPerson@example.com".into()),
            phone: Some("CanaryPerson".into()),
        },
        ..CreateSession::default()
    }
}

#[tokio::test]
async fn replies_do_not_print_their_secrets() {
    let server = stripe_answering([ok(&session())]).await;
    let client = client(&server);
    let reply = client
        .create_session(&a_session(), "k", Priority::Person)
        .await
        .unwrap();
    assert!(format!("{reply:?}").contains("vs_1"));
    assert_silent(&format!(
        "{reply:?} {reply:#?} {client:?} {:?}",
        a_session()
    ));

    let key = json!({"id": "ephkey_1", "secret": "ek_test_CanaryEphemeral"});
    let server = stripe_answering([ok(&key)]).await;
    let reply = super::client(&server)
        .create_ephemeral_key("vs_1", Priority::Person)
        .await;
    assert_silent(&format!("{reply:?}"));
}

#[test]
fn settings_do_not_print_the_key() {
    assert_silent(&format!("{:?}", settings("http://127.0.0.1:1")));
}

#[tokio::test]
async fn errors_do_not_repeat_what_was_sent_or_said() {
    let echo = format!("CanaryMessage {KEY} CanaryPerson");
    for status in [400, 401, 500] {
        for error in [
            json!({"message": echo, "type": echo, "code": echo, "param": echo}),
            json!({"message": echo, "type": KEY, "code": KEY, "param": format!("x[{KEY}]")}),
            json!(echo),
        ] {
            let answer = failing(status, &error).insert_header("request-id", echo.as_str());
            let server = stripe_answering([answer]).await;
            let error = client(&server)
                .create_session(&a_session(), "k", Priority::Person)
                .await
                .unwrap_err();
            assert_eq!(error.status(), Some(status));
            assert_silent(&shown(&error));
        }
    }
    let mut unreadable = session();
    unreadable.as_object_mut().unwrap().remove("id");
    let server = stripe_answering([ok(&unreadable)]).await;
    let error = client(&server)
        .retrieve_session("vs_1", Priority::Job)
        .await
        .unwrap_err();
    assert_silent(&shown(&error));
}

#[tokio::test]
async fn a_network_error_does_not_say_whom_the_call_was_about() {
    let client = crate::stripe::Client::new(settings("http://127.0.0.1:1")).unwrap();
    let list = crate::stripe::ListSessions {
        client_reference_id: Some("CanaryPerson".into()),
        ..crate::stripe::ListSessions::default()
    };
    let error = client
        .list_sessions(&list, Priority::Job)
        .await
        .unwrap_err();
    assert!(error.source().is_some());
    assert_silent(&shown(&error));
}

#[tokio::test]
async fn the_log_at_its_most_talkative_has_no_secrets() {
    // While there is but one subscriber, a log line first reached on another test's thread, which
    // has none, is switched off for all threads. So there are two.
    let _second = Dispatch::new(NoSubscriber::new());
    let log = Log::default();
    let writer = log.clone();
    let guard = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .set_default();
    make_calls().await;
    drop(guard);

    let text = log.text();
    // Our own lines and the HTTP library's are there, so the silence means something.
    assert!(
        text.contains("asked Stripe") && text.contains("create_session"),
        "{text}"
    );
    assert!(
        text.contains("hyper_util") && text.contains("reqwest"),
        "{text}"
    );
    assert_silent(&text);
}

async fn make_calls() {
    let echo = json!({"message": format!("CanaryMessage {KEY}"), "type": KEY});
    let server = stripe_answering([failing(500, &echo), ok(&session())]).await;
    let client = client(&server);
    let person = Priority::Person;
    client
        .create_session(&a_session(), "k", person)
        .await
        .unwrap();
    client.retrieve_session("vs_1", person).await.unwrap();
    let key = json!({"id": "ephkey_1", "secret": "ek_test_CanaryEphemeral"});
    let server = stripe_answering([ok(&key)]).await;
    let client = super::client(&server);
    client.create_ephemeral_key("vs_1", person).await.unwrap();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
