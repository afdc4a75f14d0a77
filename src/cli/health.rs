//! Asks a server on this machine whether it is ready: the container's check, where there is no other program to do it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than the server takes to find that its database is away, so that its answer is heard.
const PATIENCE: Duration = Duration::from_secs(4);
/// As long as `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// Why the server does not count as ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum HealthError {
    /// Nobody answers.
    #[error("the server at {0} does not answer")]
    Silent(SocketAddr, #[source] io::Error),
    /// It answers, and is not ready.
    #[error("the server at {0} is not ready: it answers {1:?}")]
    NotReady(SocketAddr, String),
}

/// Succeeds when the server that listens on `bound` says that it is ready.
pub(super) async fn ask(bound: SocketAddr) -> Result<(), HealthError> {
    let address = reachable(bound);
    let answer = timeout(PATIENCE, first_bytes(address))
        .await
        .unwrap_or_else(|late| Err(late.into()))
        .map_err(|error| HealthError::Silent(address, error))?;
    match answer.strip_prefix("HTTP/1.1 ") {
        Some("200") => Ok(()),
        _ => Err(HealthError::NotReady(address, answer)),
    }
}

/// A server that listens everywhere listens here, too.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, bound.port())
}

async fn first_bytes(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; STATUS_LINE];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn only_a_200_is_ready() {
        let ready = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        ask(ready).await.unwrap();
        let draining = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        let refused = ask(draining).await.unwrap_err();
        assert!(refused.to_string().contains("503"), "{refused}");
        let other = answering("220 smtp.example.com ready 200").await;
        assert!(matches!(ask(other).await, Err(HealthError::NotReady(..))));
    }

    #[tokio::test]
    async fn nobody_there_or_no_answer_is_not_ready() {
        // Bound, so that the address is nobody else's, and not listening.
        let nobody = TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = nobody.local_addr().unwrap();
        assert!(matches!(ask(address).await, Err(HealthError::Silent(..))));
        let mute = answering("").await;
        assert!(matches!(ask(mute).await, Err(HealthError::Silent(..))));
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        for (bound, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let (bound, asked) = (bound.parse().unwrap(), asked.parse().unwrap());
            assert_eq!(reachable(bound), asked);
        }
    }
}
