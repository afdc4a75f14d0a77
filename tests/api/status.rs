//! `/status` and `/status/stream`.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    server::TestServer,
    support::{PATIENCE, eventually},
};

/// The events of a stream, one at a time.
pub(crate) struct Stream {
    answer: Response,
    text: String,
    /// It was said that nothing more is to be heard.
    ended: bool,
}

impl Stream {
    pub(crate) async fn open(server: &TestServer) -> Self {
        let answer = server.get("/status/stream").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
            ended: false,
        }
    }

    /// The next state, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.clone().split_once("\n\n") {
                rest.clone_into(&mut self.text);
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                match data {
                    Some(_) if event.contains("event: end") => self.ended = true,
                    Some(data) => {
                        assert!(!self.ended && event.contains("event: status"), "{event}");
                        return Some(serde_json::from_str(data).unwrap());
                    }
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk());
            let chunk = chunk.await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn the_status_is_told_in_stripes_words() {
    let server = TestServer::dev().await;
    let (_, nothing) = server.json("/status").await;
    let expected = json!({ "status": "none", "verification_id": null, "last_error": null, "updated_at": null });
    assert_eq!(nothing, expected);

    let session = server.create().await;
    let id = session["id"].as_str().unwrap();
    server
        .tell("evt_1", id, "requires_input", Some("document_expired"))
        .await;
    let (_, failed) = server.json("/status").await;
    assert_eq!(failed["status"], "requires_input");
    assert_eq!(failed["last_error"]["code"], "document_expired");
    assert!(
        failed["last_error"]["advice"].as_str().unwrap().len() > 20,
        "{failed}"
    );
    failed["verification_id"]
        .as_str()
        .unwrap()
        .parse::<uuid::Uuid>()
        .unwrap();
    let at = failed["updated_at"].as_str().unwrap();
    assert!(
        at.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(at).is_ok(),
        "{at}"
    );
    let text = failed.to_string();
    assert!(!text.contains("vs_") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_stream_tells_every_change_and_ends_with_the_verdict() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let id = session["id"].as_str().unwrap();
    let mut stream = Stream::open(&server).await;
    assert_eq!(stream.next().await.unwrap()["status"], "requires_input");
    server.tell("evt_1", id, "processing", None).await;
    assert_eq!(stream.next().await.unwrap()["status"], "processing");
    server.tell("evt_2", id, "verified", None).await;
    assert_eq!(stream.next().await.unwrap()["status"], "verified");
    assert_eq!(stream.next().await, None);
    assert!(stream.ended);
}

#[tokio::test]
async fn a_stream_asks_stripe_for_what_was_never_told() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let id = session["id"].as_str().unwrap();
    server.stripe.move_to(id, "processing", None);
    let mut stream = Stream::open(&server).await;
    let mut told = stream.next().await.unwrap();
    // The first state may be read before the answer is there.
    while told["status"] == "requires_input" {
        told = stream.next().await.unwrap();
    }
    assert_eq!(told["status"], "processing");
}

#[tokio::test]
async fn a_stream_that_begins_before_the_person_is_known_still_hears_of_them() {
    let server = TestServer::dev().await;
    let mut stream = Stream::open(&server).await;
    assert_eq!(stream.next().await.unwrap()["status"], "none");
    server.create().await;
    let mut told = stream.next().await.unwrap();
    // It may be read between the person's row and their session's.
    while told["status"] == "none" {
        told = stream.next().await.unwrap();
    }
    assert_eq!(told["status"], "requires_input");
}

#[tokio::test]
async fn a_stream_outlives_an_old_failure_and_ends_with_a_new_one() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    let id = session["id"].as_str().unwrap();
    server
        .tell("evt_1", id, "requires_input", Some("document_expired"))
        .await;
    let mut stream = Stream::open(&server).await;
    assert_eq!(
        stream.next().await.unwrap()["last_error"]["code"],
        "document_expired"
    );
    server.tell("evt_2", id, "processing", None).await;
    assert_eq!(stream.next().await.unwrap()["status"], "processing");
    server
        .tell("evt_3", id, "requires_input", Some("selfie_face_mismatch"))
        .await;
    assert_eq!(
        stream.next().await.unwrap()["last_error"]["code"],
        "selfie_face_mismatch"
    );
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_stream_that_begins_after_the_verdict_says_it_and_ends() {
    let server = TestServer::dev().await;
    let session = server.create().await;
    server
        .tell("evt_1", session["id"].as_str().unwrap(), "verified", None)
        .await;
    let mut stream = Stream::open(&server).await;
    assert_eq!(stream.next().await.unwrap()["status"], "verified");
    assert_eq!(stream.next().await, None);
    assert!(stream.ended);
}

#[tokio::test]
async fn streams_end_when_the_process_closes() {
    let server = TestServer::dev().await;
    let mut stream = Stream::open(&server).await;
    assert_eq!(stream.next().await.unwrap()["status"], "none");
    server.life.close();
    assert_eq!(stream.next().await, None);
    assert!(!stream.ended, "the browser goes to another process");
}

#[tokio::test]
async fn one_person_may_hold_only_so_many_streams() {
    let server = TestServer::dev().await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Stream::open(&server).await);
    }
    let refused = server.get("/status/stream").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    open.pop();
    eventually("a closed tab gives its place back", async || {
        let answer = server.get("/status/stream").send().await.unwrap();
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
}
