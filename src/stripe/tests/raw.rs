//! Servers below HTTP, for what no decent one does.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

/// Accepts connections, reads a request from each, says `answer` and hangs up; tells of each.
pub(super) async fn saying(answer: &'static str) -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (called, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            called.send(()).unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, calls)
}

pub(super) async fn hanging_up() -> (String, mpsc::UnboundedReceiver<()>) {
    saying("").await
}

/// Accepts connections and never answers; tells of each.
pub(super) async fn silent() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (called, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
            called.send(()).unwrap();
        }
    });
    (address, calls)
}

/// Answers one byte every 20 ms, for ever.
pub(super) async fn trickling() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (called, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        called.send(()).unwrap();
        let _request = stream.read(&mut [0; 4096]).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        let mut alive = stream.write_all(head).await;
        while alive.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            alive = stream.write_all(b" ").await;
        }
    });
    (address, calls)
}
