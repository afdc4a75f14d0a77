//! The pool: a connection that is handed out is at rest, whatever was last done on it.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::Executor as _;
use tokio::time::timeout;
use verigate::store::{self, Db, Listing, Owner, StoreError};

use crate::{
    support::{database::TestDb, eventually},
    world::person,
};

/// Nobody waits for as long as this unless something is wrong.
const BRIEFLY: Duration = Duration::from_millis(300);

/// A pool of so many.
fn pool(db: &TestDb, connections: usize) -> Db {
    let url = SecretString::from(db.url().to_owned());
    store::connect(&url, connections).unwrap()
}

async fn is_known(db: &Db, external_id: &str) -> bool {
    let found = store::find_user(db, &person(external_id)).await;
    found.unwrap().is_some()
}

/// How many connections Postgres knows of.
async fn backends(db: &TestDb) -> i64 {
    let backends = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'verigate'";
    let backends = sqlx::query_scalar(backends).fetch_one(db.pool());
    backends.await.unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_and_what_was_dropped_is_not() {
    let test = TestDb::new().await;
    let only = pool(&test, 1);
    let mut kept = only.begin().await.unwrap();
    store::lock_person(&mut kept, &person("kept"))
        .await
        .unwrap();
    kept.commit().await.unwrap();
    let mut dropped = only.begin().await.unwrap();
    store::lock_person(&mut dropped, &person("dropped"))
        .await
        .unwrap();
    drop(dropped);
    assert!(is_known(&only, "kept").await);
    assert!(!is_known(&only, "dropped").await);
    assert_eq!(backends(&test).await, 1, "one serves all of them");
}

#[tokio::test]
async fn who_stops_waiting_in_a_transaction_lets_go_of_its_locks() {
    let test = TestDb::new().await;
    let (first, second) = (pool(&test, 1), pool(&test, 1));
    let mut holding = first.begin().await.unwrap();
    store::lock_person(&mut holding, &person("one"))
        .await
        .unwrap();
    let mut waiting = second.begin().await.unwrap();
    store::lock_person(&mut waiting, &person("another"))
        .await
        .unwrap();
    let one = person("one");
    let locking = store::lock_person(&mut waiting, &one);
    timeout(BRIEFLY, locking).await.unwrap_err();
    drop(waiting);
    drop(holding);
    // Both are rolled back: neither of the two was ever there.
    let mut later = second.begin().await.unwrap();
    for name in ["one", "another"] {
        assert!(!is_known(&first, name).await, "{name}");
        store::lock_person(&mut later, &person(name)).await.unwrap();
    }
    later.commit().await.unwrap();
    assert!(is_known(&first, "another").await);
}

#[tokio::test]
async fn a_refused_statement_spoils_nothing_for_the_next_one() {
    let test = TestDb::new().await;
    let only = pool(&test, 1);
    // Text in Postgres holds no NUL.
    let refused = store::find_user(&only, &person("\0")).await.unwrap_err();
    assert!(refused.is_data(), "{refused:?}");
    assert!(!is_known(&only, "somebody").await);
}

#[tokio::test]
async fn who_finds_no_free_connection_is_told_so_in_time() {
    let test = TestDb::new().await;
    let only = pool(&test, 1);
    let held = only.begin().await.unwrap();
    let one = person("one");
    let asked = timeout(BRIEFLY * 10, store::find_user(&only, &one));
    let refused = asked.await.unwrap().unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    drop(held);
    assert!(!is_known(&only, "one").await);
}

#[tokio::test]
async fn a_closed_pool_hands_out_nothing_and_leaves_nobody_behind() {
    let test = TestDb::new().await;
    let closed = pool(&test, 2);
    assert!(!is_known(&closed, "one").await);
    assert_eq!(backends(&test).await, 1);
    closed.close().await;
    eventually("Postgres sees it go", async || {
        (backends(&test).await == 0).then_some(())
    })
    .await;
    let refused = store::find_user(&closed, &person("one")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
}

#[tokio::test]
async fn the_list_of_one_person_reads_nobody_elses_however_often_everybodys_was_asked_for() {
    let test = TestDb::new().await;
    let crowd = "WITH people AS ( \
            INSERT INTO users (id, realm, external_id) \
            SELECT gen_random_uuid(), 'test', n::text FROM generate_series(1, 500) n RETURNING id, external_id), \
        attempts AS ( \
            INSERT INTO verifications (id, user_id, livemode, session_id) \
            SELECT ('00000000-0000-7000-8000-' || lpad(external_id, 12, '0'))::uuid, id, false, 'vs_' || external_id \
            FROM people) \
        SELECT 1";
    test.pool().execute(crowd).await.unwrap();
    test.pool().execute("ANALYZE").await.unwrap();
    let db = pool(&test, 1);
    let owner = Owner {
        realm: "test",
        livemode: false,
    };
    let newest = Listing {
        external_id: None,
        status: None,
        before: None,
        limit: 1,
    };
    // More often than Postgres tries out plans before it keeps one.
    for _ in 0..8 {
        let views = store::list_verifications(&db, owner, newest).await;
        assert_eq!(views.unwrap().len(), 1);
    }
    let of_the_first = Listing {
        external_id: Some("1"),
        limit: 100,
        ..newest
    };
    let views = store::list_verifications(&db, owner, of_the_first).await;
    assert_eq!(views.unwrap().len(), 1);
    // Postgres tells what was read when a connection ends.
    db.close().await;
    let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes \
        WHERE relname IN ('users', 'verifications') HAVING sum(idx_scan) >= 9";
    let read: i64 = eventually("the lists are counted", async || {
        let read = sqlx::query_scalar(read).fetch_one(test.pool());
        read.await.ok()
    })
    .await;
    assert!(read < 100, "{read} rows were read");
}
