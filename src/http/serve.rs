//! The public listener: how many connections, how long a silent one is kept, and how they end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, response::Response};
use hyper::{
    Request,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{address::Peer, lifecycle::Lifecycle, patience::Patient};

/// Connections at once; further ones wait in the kernel's queue.
const MOST: usize = 16_384;
/// How long the other side may leave everything unread that it was sent.
const STALL: Duration = Duration::from_secs(10);
/// What may stand before a body. Far more than a browser with a token of any size we read sends.
const LONGEST_HEAD: usize = 64 * 1024;
/// Before accepting again when the system has no more files for us.
const REST: Duration = Duration::from_millis(200);

/// Serves until the process closes, then lets requests in flight finish. `silence` is how long a connection may take to
/// say what it wants, the first time and between two requests. From when the process is leaving, every answer is the last
/// on its connection: whoever keeps connections goes elsewhere before any is closed under a request.
pub async fn serve(listener: TcpListener, router: Router, life: Lifecycle, silence: Duration) {
    serve_patiently(listener, router, life, silence, STALL).await;
}

async fn serve_patiently(
    listener: TcpListener,
    router: Router,
    life: Lifecycle,
    silence: Duration,
    stall: Duration,
) {
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(silence)
        .max_buf_size(LONGEST_HEAD);
    let accepting = async {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let (stream, peer) = accept(&listener).await;
            let service = TowerToHyperService::new(router.clone());
            let life = life.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                let (answer, life) = (service.call(request), life.clone());
                async move { answer.await.map(|answer| part_with(answer, &life)) }
            });
            let connection =
                http.serve_connection(TokioIo::new(Patient::new(stream, stall)), service);
            let connection = open.watch(connection);
            tokio::spawn(async move {
                // Whatever ends a connection early is the other side's affair.
                let _ = connection.await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = life.closed() => {}
    }
    drop(listener);
    open.shutdown().await;
}

fn part_with(mut answer: Response, life: &Lifecycle) -> Response {
    if life.is_leaving() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Events are small and should not wait for company; without it they are only later.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; is the limit of open files reached?");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
        task::JoinHandle,
    };

    const SHORT: Duration = Duration::from_millis(20);

    async fn start(
        router: Router,
        life: &Lifecycle,
        silence: Duration,
    ) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve_patiently(listener, router, life.clone(), silence, SHORT);
        (address, tokio::spawn(serving))
    }

    async fn say(address: SocketAddr, words: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_connection_that_never_says_what_it_wants_is_closed() {
        let life = Lifecycle::default();
        let router = Router::new().route("/", get(async || "here"));
        let (address, _serving) = start(router, &life, SHORT).await;
        for words in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            let mut answer = String::new();
            let mut stream = say(address, words).await;
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "", "{words}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_reads_nothing_is_closed() {
        let life = Lifecycle::default();
        let router = Router::new().route("/", get(async || "x".repeat(64 * 1024 * 1024)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve_patiently(listener, router, life.clone(), STALL, SHORT);
        let serving = tokio::spawn(serving);
        let stream = say(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        stream.readable().await.unwrap();
        // It would wait for whatever is still being answered.
        life.close();
        serving.await.unwrap();
        drop(stream);
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused() {
        let life = Lifecycle::default();
        let router = Router::new().route("/", get(async || "here"));
        let (address, _serving) = start(router, &life, STALL).await;
        for (length, status) in [(32 * 1024, "200"), (128 * 1024, "431")] {
            let head = "x".repeat(length);
            let request =
                format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {head}\r\n\r\n");
            let mut stream = TcpStream::connect(address).await.unwrap();
            // It may be refused before all of it is sent.
            let _ = stream.write_all(request.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            let refused = answer.is_empty() && status == "431";
            assert!(
                refused || answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{length}: {answer}"
            );
        }
    }

    #[tokio::test]
    async fn who_is_answered_while_the_process_leaves_is_told_to_go_elsewhere() {
        let life = Lifecycle::default();
        let router = Router::new().route("/", get(async || "here"));
        let (address, _serving) = start(router, &life, Duration::from_secs(75)).await;
        let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut kept = say(address, ask).await;
        let mut first = [0; 512];
        let length = kept.read(&mut first).await.unwrap();
        let first = String::from_utf8_lossy(&first[..length]).into_owned();
        assert!(first.ends_with("here"), "{first}");
        assert!(!first.contains("connection: close"), "{first}");
        life.leave();
        kept.write_all(ask.as_bytes()).await.unwrap();
        let mut new = say(address, ask).await;
        for stream in [&mut kept, &mut new] {
            let mut last = String::new();
            stream.read_to_string(&mut last).await.unwrap();
            assert!(last.contains("connection: close"), "{last}");
            assert!(last.ends_with("here"), "{last}");
        }
    }

    #[tokio::test]
    async fn a_request_in_flight_is_finished_and_an_idle_connection_let_go() {
        let life = Lifecycle::default();
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move || {
                begun.notify_one();
                go_on.notified().await;
                "done"
            }
        };
        let router = Router::new().route("/", get(handler));
        let (address, serving) = start(router, &life, Duration::from_secs(75)).await;
        let mut idle = say(address, "").await;
        let mut busy = say(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        begun.notified().await;
        life.close();
        let mut nothing = Vec::new();
        idle.read_to_end(&mut nothing).await.unwrap();
        assert!(nothing.is_empty());
        assert!(!serving.is_finished());
        go_on.notify_one();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\ndone"), "{answer}");
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
