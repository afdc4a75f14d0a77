//! What the log and the metrics tell of requests, and what they never do.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use verigate::telemetry::{Format, Metrics, subscriber};

use crate::{
    deliveries::Delivery,
    process::Process,
    server::{NOW, TestServer},
    support::PATIENCE,
    world::World,
};

/// Everything this process logs, whichever test makes it; a test finds its own lines by the ids of its requests.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = subscriber("verigate=trace", Format::Json, move || writer.clone());
    tracing::subscriber::set_global_default(subscriber.unwrap()).unwrap();
    log
});

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn of(&self, answer: &Response) -> Vec<Value> {
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains(id));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Whatever happens after this can be asked for.
pub(crate) fn log_from_now_on() {
    LazyLock::force(&LOG);
}

/// Every line so far that holds this text.
pub(crate) fn logged_with(text: &str) -> Vec<Value> {
    let all = String::from_utf8(LOG.0.lock().unwrap().clone()).unwrap();
    let lines = all.lines().filter(|line| line.contains(text));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_request_is_told_by_its_id_and_its_route_and_never_by_what_was_typed() {
    let log = &*LOG;
    let server = TestServer::dev().await;
    let request = server
        .get("/status?token=canary")
        .header("x-request-id", "canary");
    let request = request
        .header("cookie", "canary")
        .header("user-agent", "canary");
    let odd = server.request("CANARY".parse().unwrap(), "/status");
    let signed = server
        .post("/webhook")
        .header("stripe-signature", "t=1,v1=canary");
    let answers = [
        (request.send().await.unwrap(), "GET", "/status", 200),
        (odd.send().await.unwrap(), "other", "/status", 405),
        (
            server.get("/canary").send().await.unwrap(),
            "GET",
            "unmatched",
            404,
        ),
        (
            signed.body("canary").send().await.unwrap(),
            "POST",
            "/webhook",
            400,
        ),
        (
            server.send_delivery("canary").await,
            "POST",
            "/webhook",
            400,
        ),
    ];
    for (answer, method, route, status) in answers {
        let lines = log.of(&answer);
        let answered = lines.last().unwrap();
        assert_eq!(answered["span"]["method"], method, "{answered}");
        assert_eq!(answered["span"]["route"], route, "{answered}");
        assert_eq!(answered["status"], status, "{answered}");
        assert!(answered["duration_ms"].is_u64(), "{answered}");
        for line in lines {
            assert!(
                !line.to_string().to_lowercase().contains("canary"),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn what_breaks_inside_is_logged_once_with_its_cause_and_told_to_nobody() {
    let log = &*LOG;
    let server = TestServer::dev().await;
    let away = "ALTER TABLE users RENAME TO people";
    sqlx::query(away)
        .execute(server.db.as_ref().unwrap().pool())
        .await
        .unwrap();
    for accept in ["application/json", "text/html"] {
        let answer = server
            .get("/status")
            .header("accept", accept)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let lines = log.of(&answer);
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let text = answer.text().await.unwrap();
        assert!(
            !text.contains("relation") && !text.contains("users"),
            "{text}"
        );
        assert_eq!(text.contains(&id), accept == "text/html", "{text}");
        let errors: Vec<_> = lines
            .iter()
            .filter(|line| line["level"] == "ERROR")
            .collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let causes = errors[0]["causes"].as_str().unwrap();
        assert!(causes.contains("relation \"users\""), "{causes}");
    }
}

#[tokio::test]
async fn deliveries_are_counted_by_what_became_of_them() {
    let metrics = Metrics::start().unwrap();
    let server = TestServer::dev().await;
    let event = Delivery::new("evt_1", "processing", NOW, "vs_1").body();
    let counters = [
        ("verigate_webhook_deliveries_total{outcome=\"applied\"} ", 1),
        ("verigate_webhook_deliveries_total{outcome=\"known\"} ", 1),
        (
            "verigate_webhook_deliveries_total{outcome=\"not_an_event\"} ",
            1,
        ),
        (
            "verigate_webhook_deliveries_total{outcome=\"signature_invalid\"} ",
            1,
        ),
        (
            "verigate_webhook_bad_signatures_total{cause=\"missing\"} ",
            1,
        ),
        ("verigate_webhook_clock_skew_seconds_count ", 3),
        (
            "verigate_http_request_seconds_count{route=\"/webhook\",status=\"200\"} ",
            2,
        ),
    ];
    let before = metrics.render();
    server.deliver(event.clone()).await;
    server.deliver(event).await;
    server.deliver("{}").await;
    server.post("/webhook").body("{}").send().await.unwrap();
    let after = metrics.render();
    for (counter, more) in counters {
        let value = |text: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(counter));
            line.map_or(0, |value| value.parse::<u64>().unwrap())
        };
        // Other tests of this process count, too.
        let counted = value(&after) - value(&before);
        assert!(counted >= more, "{counter}: {counted} in {after}");
    }
}

#[tokio::test]
async fn who_never_says_what_it_wants_of_the_metrics_is_let_go() {
    let world = World::new().await;
    let settings = [
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("IDLE_TIMEOUT", "1"),
        ("RUST_LOG", "info"),
        ("LOG_FORMAT", "json"),
    ];
    let mut process = Process::start_with(&world, &settings).await;
    let told = "\"metrics are served\",\"address\":\"";
    let address = process.program.word_after(told).await;
    let address = address.split('"').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metr").await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(answer, "");
}
