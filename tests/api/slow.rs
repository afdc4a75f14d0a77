//! Connections that take their time: they end, and nobody else waits for them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{server::TestServer, support::eventually};

const OF_EACH_KIND: usize = 20;
/// What each kind says at once, and whether it goes on saying something.
const KINDS: [(&str, bool); 3] = [
    ("GET /verify HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", true),
    (
        "POST /create-verification-session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n",
        true,
    ),
    ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", false),
];

/// Stays for as long as it is let.
async fn stay(address: SocketAddr, words: &str, goes_on: bool) {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    to.write_all(words.as_bytes()).await.unwrap();
    let reading = async move {
        let mut answer = Vec::new();
        // Closed or reset, it is over.
        let _ = from.read_to_end(&mut answer).await;
    };
    let writing = async move {
        while goes_on && to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Kept open, with nothing more to say.
        std::future::pending::<()>().await;
        drop(to);
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

#[tokio::test]
async fn slow_heads_slow_bodies_and_idle_connections_end_while_others_are_answered() {
    let server = TestServer::dev().await;
    let alive = Arc::new(AtomicUsize::new(OF_EACH_KIND * KINDS.len()));
    for (words, goes_on) in KINDS {
        for _ in 0..OF_EACH_KIND {
            let (address, alive) = (server.address, Arc::clone(&alive));
            tokio::spawn(async move {
                stay(address, words, goes_on).await;
                alive.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
    eventually("every slow connection is over", async || {
        let answer = server.get("/verify").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        (alive.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    assert!(server.stripe.calls().is_empty());
}
