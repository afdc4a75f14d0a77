//! `POST /webhook` beyond its corpus: repetition, sizes over bare connections, and the page it is not.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    deliveries::Delivery,
    server::{NOW, TestServer},
};

const LIMIT: usize = 256 * 1024;

#[tokio::test]
async fn a_delivery_that_comes_again_is_answered_well_and_counts_once() {
    let server = TestServer::dev().await;
    let body = Delivery::new("evt_1", "verified", NOW, "vs_1").body();
    for _ in 0..3 {
        assert_eq!(server.deliver(body.clone()).await, 200);
    }
    let pool = server.db.as_ref().unwrap().pool();
    let history = "SELECT count(*) FROM verification_history";
    let changes: i64 = sqlx::query_scalar(history).fetch_one(pool).await.unwrap();
    assert_eq!(changes, 1);
}

#[tokio::test]
async fn a_delivery_is_taken_also_where_nobody_can_sign_in() {
    let server = TestServer::serve().await;
    let body = Delivery::new("evt_1", "verified", NOW, "vs_1").body();
    assert_eq!(server.deliver(body).await, 200);
}

#[tokio::test]
async fn the_injected_clock_decides_what_is_too_old() {
    let server = TestServer::dev().await;
    let body = Delivery::new("evt_1", "verified", NOW, "vs_1").body();
    let secret = crate::server::SECRET.into();
    let signature = verigate::stripe::signature::sign(&body, &secret, NOW);
    let send = || {
        server
            .post("/webhook")
            .header("stripe-signature", &signature)
            .body(body.clone())
            .send()
    };
    server.clock.advance(chrono::Duration::seconds(301));
    assert_eq!(send().await.unwrap().status(), 400);
    server.clock.advance(chrono::Duration::seconds(-1));
    assert_eq!(send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn no_other_method_is_answered_and_nobody_is_sent_elsewhere() {
    let server = TestServer::dev().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = server
            .request(method.parse().unwrap(), "/webhook")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 405, "{method}");
    }
    assert_eq!(server.post("/webhook/").send().await.unwrap().status(), 404);
    assert_eq!(
        server
            .post("/webhook?a=b")
            .json(&json!({}))
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
}

/// Says `head`, then sends `body` as fast as it is taken, and gives all that was answered.
async fn raw(server: &TestServer, head: &str, body: Vec<u8>) -> String {
    let (mut read, mut write) = TcpStream::connect(server.address)
        .await
        .unwrap()
        .into_split();
    let head =
        format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n\r\n");
    let sender = tokio::spawn(async move {
        let _ = write.write_all(head.as_bytes()).await;
        let _ = write.write_all(&body).await;
        write
    });
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await.unwrap();
    drop(sender.await);
    String::from_utf8(answer).unwrap()
}

fn chunked(size: usize) -> Vec<u8> {
    let mut body = format!("{size:x}\r\n").into_bytes();
    body.resize(body.len() + size, b' ');
    body.extend_from_slice(b"\r\n0\r\n\r\n");
    body
}

#[tokio::test]
async fn whoever_sends_too_much_in_whatever_way_is_told_so() {
    let server = TestServer::dev().await;
    let eight = 8 << 20;
    let cases = [
        (
            "a length a byte too large",
            format!("Content-Length: {}", LIMIT + 1),
            vec![b' '; LIMIT + 1],
        ),
        (
            "eight megabytes",
            format!("Content-Length: {eight}"),
            vec![b' '; eight],
        ),
        (
            "chunks a byte too large",
            "Transfer-Encoding: chunked".to_owned(),
            chunked(LIMIT + 1),
        ),
        (
            "eight megabytes in chunks",
            "Transfer-Encoding: chunked".to_owned(),
            chunked(eight),
        ),
        (
            "announced, and nothing sent",
            format!("Content-Length: {eight}\r\nExpect: 100-continue"),
            Vec::new(),
        ),
        (
            "announced beyond all",
            "Content-Length: 9223372036854775807\r\nExpect: 100-continue".to_owned(),
            Vec::new(),
        ),
    ];
    for (name, head, body) in cases {
        let answer = raw(&server, &head, body).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{name}: {answer}");
        assert!(
            answer.contains(r#"{"error":{"code":"body_too_large""#),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_broken_request_is_answered_too() {
    let server = TestServer::dev().await;
    let cases = [
        (
            "chunks that are none",
            "Transfer-Encoding: chunked",
            &b"zz\r\n"[..],
        ),
        ("a length that is none", "Content-Length: many", b""),
        (
            "two lengths",
            "Content-Length: 2\r\nContent-Length: 3",
            b"{}",
        ),
        (
            "a length and chunks",
            "Content-Length: 2\r\nTransfer-Encoding: gzip",
            b"{}",
        ),
        ("a header that is none", "no colon here", b""),
    ];
    for (name, head, body) in cases {
        let answer = raw(&server, head, body.to_vec()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
    }
}

#[tokio::test]
async fn a_caller_that_wants_to_be_asked_is_asked() {
    let server = TestServer::dev().await;
    let answer = raw(
        &server,
        "Content-Length: 2\r\nExpect: 100-continue",
        b"{}".to_vec(),
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 "),
        "{answer}"
    );
}
