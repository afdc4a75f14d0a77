//! When Postgres goes away under a running server, and when it comes back.

use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use sqlx::{Connection as _, Executor as _, PgConnection};
use verigate::config::Mode;

use crate::{
    browser::{Browser, path},
    deliveries::Delivery,
    server::{NOW, TestServer},
    support::{eventually, outage::OwnPostgres},
};

/// What Stripe's deliveries are promised is two seconds; the rest is for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(8);

fn event(id: &str) -> Vec<u8> {
    Delivery::new(id, "processing", NOW, "vs_1").body()
}

async fn in_time(what: &str, answer: impl Future<Output = Response>) -> Response {
    let start = Instant::now();
    let answer = answer.await;
    assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
    answer
}

async fn says_that_it_is_away(server: &TestServer) {
    let delivery = in_time("a delivery", server.send_delivery(event("evt_away"))).await;
    assert_eq!(delivery.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(delivery.headers().contains_key("retry-after"));
    let body = delivery.text().await.unwrap();
    assert!(
        body.starts_with(r#"{"error":{"code":"unavailable","message":""#),
        "{body}"
    );

    let ready = in_time("readiness", async {
        server.get("/readyz").send().await.unwrap()
    })
    .await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let alive = in_time("liveness", async {
        server.get("/healthz").send().await.unwrap()
    })
    .await;
    assert_eq!(alive.status(), StatusCode::OK);

    for path in ["/verify", "/submitted"] {
        let ask = || server.get(path).header("accept", "text/html").send();
        let page = in_time(path, async { ask().await.unwrap() }).await;
        assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(
            page.text()
                .await
                .unwrap()
                .contains("We can’t verify right now"),
            "{path}"
        );
    }
    for path in ["/status", "/status/stream"] {
        let status = in_time(path, async { server.get(path).send().await.unwrap() }).await;
        assert_eq!(status.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let create = async {
        server
            .post("/create-verification-session")
            .send()
            .await
            .unwrap()
    };
    let create = in_time("create", create).await;
    assert_eq!(create.status(), StatusCode::SERVICE_UNAVAILABLE);
}

async fn works_again(server: &TestServer) {
    eventually("a delivery is taken again", async || {
        (server.deliver(event("evt_back")).await == StatusCode::OK).then_some(())
    })
    .await;
    eventually("it is ready again", async || {
        let ready = server.get("/readyz").send().await.unwrap().status();
        (ready == StatusCode::OK).then_some(())
    })
    .await;
    server.create().await;
}

#[tokio::test]
async fn a_postgres_that_is_shut_down_is_told_at_once_and_its_return_noticed() {
    let mut postgres = OwnPostgres::start().await;
    let server = TestServer::over(Mode::Dev, postgres.url()).await;
    assert_eq!(server.deliver(event("evt_1")).await, StatusCode::OK);
    postgres.shut_down().await;
    says_that_it_is_away(&server).await;
    postgres.bring_back().await;
    works_again(&server).await;
}

/// As a standby is, or one whose disk is full at some hosts.
async fn let_only_read(postgres: &OwnPostgres, only_read: bool) {
    let mut db = PgConnection::connect(postgres.url()).await.unwrap();
    let change = if only_read {
        "ALTER SYSTEM SET default_transaction_read_only = on"
    } else {
        "ALTER SYSTEM RESET default_transaction_read_only"
    };
    for statement in [
        "SET default_transaction_read_only = off",
        change,
        "SELECT pg_reload_conf()",
    ] {
        db.execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn a_postgres_that_only_reads_is_told_as_an_outage_and_by_its_name() {
    let postgres = OwnPostgres::start().await;
    let server = TestServer::over(Mode::Dev, postgres.url()).await;
    assert_eq!(server.deliver(event("evt_1")).await, StatusCode::OK);
    let_only_read(&postgres, true).await;
    eventually("readiness tells", async || {
        let (status, body) = server.json("/readyz").await;
        (body["status"] == "database_read_only").then_some(status)
    })
    .await;
    let delivery = server.send_delivery(event("evt_2")).await;
    let create = server.post("/create-verification-session").send();
    for answer in [delivery, create.await.unwrap()] {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
    }
    let_only_read(&postgres, false).await;
    works_again(&server).await;
}

#[tokio::test]
async fn a_postgres_that_stands_still_holds_nobody_up() {
    let mut postgres = OwnPostgres::start().await;
    let server = TestServer::over(Mode::Dev, postgres.url()).await;
    assert_eq!(server.deliver(event("evt_1")).await, StatusCode::OK);
    postgres.freeze().await;
    says_that_it_is_away(&server).await;
    postgres.thaw();
    works_again(&server).await;
}

#[tokio::test]
async fn whoever_has_a_link_during_an_outage_comes_back_to_it() {
    let server = TestServer::serve().await;
    let link = path(&server.hand_off("ada").await);
    let mut browser = Browser::signed_in(&server, "bob").await;
    let mut outage = server.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE hand_offs, browser_sessions")
        .execute(&mut *outage)
        .await
        .unwrap();
    for (answer, button) in [
        (browser.get(&link).await, r#"href="">Try again"#),
        (browser.press(&link).await, r#"href="">Try again"#),
        (browser.get("/submitted").await, r#"href="">Try again"#),
        (
            browser.press("/create-verification-session").await,
            r#"href="/verify">Try again"#,
        ),
    ] {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let page = answer.text().await.unwrap();
        assert!(page.contains(button), "{button} in {page}");
    }
    outage.rollback().await.unwrap();
    let followed = browser.press(&link).await;
    assert_eq!(followed.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_stream_goes_on_after_an_outage() {
    let mut postgres = OwnPostgres::start().await;
    let server = TestServer::over(Mode::Dev, postgres.url()).await;
    let session = server.create().await;
    let mut stream = crate::status::Stream::open(&server).await;
    assert_eq!(stream.next().await.unwrap()["status"], "requires_input");
    postgres.shut_down().await;
    postgres.bring_back().await;
    eventually("the news is taken", async || {
        let body = Delivery::new(
            "evt_1",
            "verified",
            server.stripe.tick(),
            session["id"].as_str().unwrap(),
        );
        (server.deliver(body.body()).await == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(stream.next().await.unwrap()["status"], "verified");
}
