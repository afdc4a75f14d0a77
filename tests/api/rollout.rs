//! How one version follows another: processes that start at the same time, beside a newer schema, and that leave.

use std::net::SocketAddr;

use reqwest::StatusCode;
use sqlx::Executor as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use verigate::store::{self, MIGRATOR};

use crate::{
    deliveries::Delivery,
    dev::production,
    observe::insert_attempt,
    process::Process,
    program::{Program, read_answer, request, run, send, working_folder},
    support::{database::TestDb, eventually},
    world::World,
};

fn probe() -> Vec<u8> {
    request("GET /readyz", &[("Host", "verify.example")], "")
}

async fn address(program: &mut Program) -> SocketAddr {
    program.word_after("address=").await.parse().unwrap()
}

async fn becomes_ready(program: &mut Program) {
    let address = address(program).await;
    let ready = send(address, &probe()).await;
    assert_eq!(ready.status(), 200, "{}", ready.0);
}

#[tokio::test]
async fn servers_that_start_at_once_on_an_empty_database_all_come_up() {
    let (db, folder) = (TestDb::new().await, working_folder());
    for statement in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
        db.pool().execute(statement).await.unwrap();
    }
    let variables = production(db.url(), &[]);
    let mut servers = [(); 3].map(|()| Program::start(&["serve"], &variables, folder.path()));
    for server in &mut servers {
        becomes_ready(server).await;
    }
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(db.pool())
            .await
            .unwrap();
    let ours: Vec<i64> = MIGRATOR.iter().map(|it| it.version).collect();
    assert_eq!(applied, ours);
}

#[tokio::test]
async fn a_migration_that_waits_for_a_reader_keeps_nobody_else_waiting() {
    let db = TestDb::new().await;
    // As before the last migration that changes a table in use.
    for statement in [
        "DROP INDEX outbox_deliveries_endpoint_due_at_idx",
        "CREATE INDEX outbox_deliveries_due_idx ON outbox_deliveries (due_at) WHERE dead_at IS NULL",
        "DELETE FROM _sqlx_migrations WHERE version = 20",
    ] {
        db.pool().execute(statement).await.unwrap();
    }
    let mut backup = db.pool().begin().await.unwrap();
    backup
        .execute("LOCK TABLE outbox_deliveries IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let ours = store::connect(&db.url().to_owned().into(), 1).unwrap();
    let others = async {
        eventually("the migration waits", async || {
            let waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'outbox_deliveries'::regclass";
            sqlx::query(waits).fetch_optional(db.pool()).await.unwrap()
        })
        .await;
        // The reader goes on for as long as it likes, and so does everybody else.
        for _ in 0..3 {
            let write = "UPDATE outbox_deliveries SET tries = 0";
            db.pool().execute(write).await.unwrap();
        }
        backup.commit().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(ours.migrate(), others);
    migrated.unwrap();
}

#[tokio::test]
async fn a_version_starts_and_works_beside_the_schema_of_a_later_one() {
    let (world, folder) = (World::new().await, working_folder());
    let db = &world.db;
    for statement in [
        "ALTER TABLE users ADD COLUMN of_a_later_version text",
        "ALTER TABLE verifications ADD COLUMN of_a_later_version text NOT NULL DEFAULT 'unknown'",
        "ALTER TABLE stripe_events ADD COLUMN of_a_later_version bigint",
        "ALTER TABLE outbox ADD COLUMN of_a_later_version jsonb",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of a later version', true, '\\x00', 0)",
    ] {
        db.pool().execute(statement).await.unwrap();
    }
    let variables = production(db.url(), &[]);
    let migrated = run(&["migrate"], &variables, folder.path());
    assert!(migrated.status.success(), "{migrated:?}");
    let process = Process::start(&world).await;
    let attempt = insert_attempt(db.pool(), "ada").await.to_string();
    let verified = Delivery::new("evt_1", "verified", 1_790_000_000, "vs_1").of_attempt(&attempt);
    let verified = serde_json::from_slice(&verified.body()).unwrap();
    assert_eq!(process.deliver(&verified).await, Some(StatusCode::OK));
    assert_eq!(world.person().await, "verified");
}

#[tokio::test]
async fn a_migration_that_reads_otherwise_than_it_was_applied_stops_the_start() {
    let (db, folder) = (TestDb::new().await, working_folder());
    db.pool()
        .execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1")
        .await
        .unwrap();
    let variables = production(db.url(), &[]);
    let served = run(&["serve"], &variables, folder.path());
    assert_eq!(served.status.code(), Some(1));
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(said.contains("migration"), "{said}");
}

#[tokio::test]
async fn open_streams_end_with_the_process() {
    let world = World::new().await;
    let mut process = Process::start(&world).await;
    let address: SocketAddr = process
        .origin
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let host = format!("localhost:{}", address.port());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let follow = format!("GET /status/stream HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(follow.as_bytes()).await.unwrap();
    let mut begun = vec![0; 16];
    stream.read_exact(&mut begun).await.unwrap();
    process.program.signal("-TERM");
    let rest = read_answer(stream).await;
    assert!(rest.0.contains("event: status"), "{}", rest.0);
    assert!(rest.0.ends_with("0\r\n\r\n"), "it broke off: {}", rest.0);
    assert_eq!(process.program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (db, folder) = (TestDb::new().await, working_folder());
    let variables = production(db.url(), &[("SHUTDOWN_DELAY", "600")]);
    let mut server = Program::start(&["serve"], &variables, folder.path());
    let address = address(&mut server).await;
    server.signal("-TERM");
    eventually("readiness is withdrawn", async || {
        (send(address, &probe()).await.status() == 503).then_some(())
    })
    .await;
    server.signal("-INT");
    assert_eq!(server.ended().await.code(), Some(1));
    let said = server.logged();
    assert!(said.contains("second signal"), "{said}");
}
