//! Bodies: read whole within a limit, and drained when the answer is ready before they are.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    http::{
        HeaderMap,
        header::{CONTENT_LENGTH, EXPECT},
    },
    response::Response,
};
use futures_util::{Stream, StreamExt};

use super::error::Error;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How much of an unwanted body is thrown away, and for how long, before the connection is given up.
const DRAIN_BYTES: usize = 32 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Reads the whole body, of at most `limit` bytes.
///
/// # Errors
/// When it is longer, breaks off, or takes too long.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Error> {
    // Told before the first byte is read, so that a client that waits for "100 Continue" need not send any.
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(Error::TooLarge);
    }
    collect_within(ARRIVAL, body, limit).await
}

async fn collect_within(patience: Duration, body: Body, limit: usize) -> Result<Bytes, Error> {
    tokio::time::timeout(patience, collect(body.into_data_stream(), limit))
        .await
        .unwrap_or(Err(Error::TooSlow))
}

async fn collect(mut chunks: BodyDataStream, limit: usize) -> Result<Bytes, Error> {
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::BadRequest("body_unreadable"))?;
        if whole.len() + chunk.len() > limit {
            return Err(Error::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

/// Keeps reading, for a while, what a handler left of the body. Closing the connection with unread bytes would reset
/// it, and the client could lose the answer that is already on its way.
pub(crate) async fn drain_unread(
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if request.body().is_end_stream() {
        return next(request).await;
    }
    // Who waits for "100 Continue" has sent nothing yet, and reading would invite it.
    let waits = request.headers().contains_key(EXPECT);
    let request = request.map(|body| {
        let rest = Rest {
            chunks: Some(body.into_data_stream()),
            is_coming: !waits,
        };
        Body::from_stream(rest)
    });
    next(request).await
}

struct Rest {
    chunks: Option<BodyDataStream>,
    is_coming: bool,
}

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_coming = true;
        let Some(chunks) = &mut self.chunks else {
            return Poll::Ready(None);
        };
        let polled = chunks.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.chunks = None;
        }
        polled
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let (Some(chunks), true) = (self.chunks.take(), self.is_coming) else {
            return;
        };
        // Outside a runtime nothing is being served any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DRAIN_TIME, throw_away(chunks)));
        }
    }
}

async fn throw_away(mut chunks: BodyDataStream) {
    let mut left = DRAIN_BYTES;
    while let Some(Ok(chunk)) = chunks.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        extract::Request,
        middleware::{Next, from_fn},
        response::IntoResponse,
        routing::post,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    const LIMIT: usize = 1000;

    async fn count(request: Request) -> Result<String, Response> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, LIMIT).await;
        bytes
            .map(|bytes| bytes.len().to_string())
            .map_err(IntoResponse::into_response)
    }

    /// Sends `head`, then `body` in the background, and returns everything that was answered.
    async fn talk(head: &str, body: Vec<u8>) -> String {
        let router = Router::new()
            .route("/read", post(count))
            .route("/ignore", post(async || "ignored"))
            .layer(from_fn(async |request, next: Next| {
                drain_unread(request, async |request| next.run(request).await).await
            }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async { axum::serve(listener, router).await });
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let head = format!("{head}\r\nHost: test\r\nConnection: close\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        let sender = tokio::spawn(async move {
            let sent = write.write_all(&body).await;
            (sent, write)
        });
        let mut answer = Vec::new();
        read.read_to_end(&mut answer)
            .await
            .expect("no reset before the whole answer");
        if let Ok((sent, _)) = sender.await {
            sent.expect("all of the body is taken");
        }
        server.abort();
        String::from_utf8(answer).unwrap()
    }

    fn announced(path: &str, length: usize) -> String {
        format!("POST {path} HTTP/1.1\r\nContent-Length: {length}")
    }

    fn chunked(bytes: usize) -> Vec<u8> {
        let mut body = Vec::new();
        for _ in 0..bytes / 1024 {
            body.extend_from_slice(b"400\r\n");
            body.extend_from_slice(&[b'a'; 1024]);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        body
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit_and_not_beyond() {
        assert!(
            talk(&announced("/read", LIMIT), vec![0; LIMIT])
                .await
                .ends_with("\r\n\r\n1000")
        );
        let one_more = talk(&announced("/read", LIMIT + 1), vec![0; LIMIT + 1]).await;
        assert!(one_more.starts_with("HTTP/1.1 413 "), "{one_more}");
    }

    #[tokio::test]
    async fn who_sends_far_too_much_still_gets_the_answer() {
        let size = 8 * 1024 * 1024;
        let long = talk(&announced("/read", size), vec![0; size]).await;
        assert!(long.starts_with("HTTP/1.1 413 "), "{long}");
        let head = "POST /read HTTP/1.1\r\nTransfer-Encoding: chunked";
        let chunks = talk(head, chunked(size)).await;
        assert!(chunks.starts_with("HTTP/1.1 413 "), "{chunks}");
    }

    #[tokio::test]
    async fn a_handler_that_ignores_the_body_costs_nobody_the_answer() {
        let size = 8 * 1024 * 1024;
        let answer = talk(&announced("/ignore", size), vec![0; size]).await;
        assert!(answer.ends_with("\r\n\r\nignored"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Error>>());
        let read = collect_within(Duration::from_millis(1), never, LIMIT).await;
        assert!(matches!(read, Err(Error::TooSlow)), "{read:?}");
    }

    #[tokio::test]
    async fn who_waits_to_be_asked_is_not_asked_for_too_much() {
        let ask = |length| format!("{}\r\nExpect: 100-continue", announced("/read", length));
        let refused = talk(&ask(LIMIT + 1), Vec::new()).await;
        assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
        let wanted = talk(&ask(3), b"abc".to_vec()).await;
        assert!(
            wanted.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "),
            "{wanted}"
        );
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_is_no_body_is_answered() {
        let head = "POST /read HTTP/1.1\r\nTransfer-Encoding: chunked";
        let broken = talk(head, b"zz\r\n".to_vec()).await;
        assert!(broken.starts_with("HTTP/1.1 400 "), "{broken}");
    }
}
