//! What is old goes, and nothing that anybody may still need.

use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;
use verigate::{config::RetentionConfig, jobs::clear_old, store, verification::Verifier};

use crate::{
    deliveries::Delivery,
    observe::{deaf_verifier, insert_attempt},
    support::database::TestDb,
    world::{World, ada_starts, read},
};

const NOW: i64 = 1_790_000_000;

const KEEP: RetentionConfig = RetentionConfig {
    events_days: 90,
    history_days: 365,
    messages_days: 30,
    dead_messages_days: 60,
};

async fn clear(db: &TestDb) -> u64 {
    let connected = store::connect(&db.url().to_owned().into(), 2).unwrap();
    let cleared = clear_old(&connected, &KEEP, &CancellationToken::new()).await;
    connected.close().await;
    cleared.unwrap()
}

async fn run(pool: &PgPool, statement: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(pool)
        .await;
    done.unwrap().rows_affected()
}

async fn count(pool: &PgPool, table: &str) -> i64 {
    let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// A person whose verification failed and then passed, told of in eight messages.
async fn a_life(db: &TestDb) -> (Verifier, Vec<Delivery>) {
    let verifier = deaf_verifier(db);
    let attempt = insert_attempt(db.pool(), "ada").await.to_string();
    let of = |id: &str, kind: &str, after: i64| {
        Delivery::new(id, kind, NOW + after, "vs_1").of_attempt(&attempt)
    };
    let life = vec![
        of("evt_1", "created", 0),
        of("evt_2", "processing", 10),
        of("evt_3", "requires_input", 20).failed("document_expired", "vr_1"),
        of("evt_4", "verified", 30).reported("vr_2"),
    ];
    for delivery in &life {
        verifier.hear(&delivery.read()).await.unwrap();
    }
    (verifier, life)
}

/// What decides and counts, none of which ever goes.
async fn kept(pool: &PgPool) -> Vec<String> {
    let mut kept = Vec::new();
    for query in [
        "SELECT concat_ws(' ', status, verified_at, updated_at, sequence) FROM users",
        "SELECT concat_ws(' ', session_id, user_id, status, error_code, report_id, events_told) FROM verifications",
        "SELECT concat_ws(' ', report_id, cost, first_seen_at) FROM verification_reports ORDER BY 1",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
        kept.push(rows.join("\n"));
    }
    kept
}

#[tokio::test]
async fn what_is_younger_stays_and_what_is_older_goes() {
    let db = TestDb::new().await;
    let pool = db.pool();
    a_life(&db).await;
    let (events, lines) = (
        count(pool, "stripe_events").await,
        count(pool, "verification_history").await,
    );
    let messages = count(pool, "outbox").await;
    assert!(events == 4 && lines >= 3 && messages >= 6);
    let before = kept(pool).await;
    for (days, table, column) in [
        (89, "stripe_events", "received_at"),
        (364, "verification_history", "at"),
        (29, "outbox", "created_at"),
    ] {
        run(
            pool,
            &format!("UPDATE {table} SET {column} = now() - interval '{days} days'"),
        )
        .await;
    }
    assert_eq!(clear(&db).await, 0);
    for (table, column) in [
        ("stripe_events", "received_at"),
        ("verification_history", "at"),
        ("outbox", "created_at"),
    ] {
        run(
            pool,
            &format!("UPDATE {table} SET {column} = {column} - interval '2 days'"),
        )
        .await;
    }
    let all = u64::try_from(events + lines + messages).unwrap();
    assert_eq!(clear(&db).await, all);
    for table in ["stripe_events", "verification_history", "outbox"] {
        assert_eq!(count(pool, table).await, 0, "{table}");
    }
    assert_eq!(kept(pool).await, before);
}

#[tokio::test]
async fn a_duplicate_that_comes_after_its_first_has_gone_changes_nothing() {
    let db = TestDb::new().await;
    let pool = db.pool();
    let (verifier, life) = a_life(&db).await;
    let before = kept(pool).await;
    run(
        pool,
        "UPDATE stripe_events SET received_at = now() - interval '91 days'",
    )
    .await;
    assert_eq!(clear(&db).await, 4);
    let (lines, messages) = (
        count(pool, "verification_history").await,
        count(pool, "outbox").await,
    );
    for delivery in life.iter().rev() {
        verifier.hear(&delivery.read()).await.unwrap();
    }
    assert_eq!(kept(pool).await, before);
    assert_eq!(count(pool, "stripe_events").await, 4);
    assert_eq!(count(pool, "verification_history").await, lines);
    assert_eq!(
        count(pool, "outbox").await,
        messages,
        "nobody is told twice"
    );
}

#[tokio::test]
async fn a_message_that_an_endpoint_waits_for_stays_and_a_dead_one_has_its_own_time() {
    let db = TestDb::new().await;
    let pool = db.pool();
    a_life(&db).await;
    run(
        pool,
        "UPDATE outbox SET created_at = now() - interval '1 year'",
    )
    .await;
    run(
        pool,
        "INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id, created_at) \
         SELECT 'shop', user_id, sequence, id, created_at FROM outbox WHERE sequence <= 3",
    )
    .await;
    // The first waits, the second died lately, the third long ago.
    run(
        pool,
        "UPDATE outbox_deliveries SET dead_at = now() - interval '59 days' WHERE sequence = 2",
    )
    .await;
    run(
        pool,
        "UPDATE outbox_deliveries SET dead_at = now() - interval '61 days' WHERE sequence = 3",
    )
    .await;
    assert!(clear(&db).await > 1);
    let left: Vec<i64> = sqlx::query_scalar("SELECT sequence FROM outbox ORDER BY sequence")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(left, [1, 2]);
    assert_eq!(count(pool, "outbox_deliveries").await, 2);
    run(pool, "DELETE FROM outbox_deliveries WHERE sequence = 1").await;
    assert_eq!(clear(&db).await, 1, "it was taken");
}

/// Rows enough for several batches, most of them old, and a pile in front that has to stay.
async fn fill(pool: &PgPool) {
    run(
        pool,
        "INSERT INTO users (id, realm, external_id) VALUES (gen_random_uuid(), 'test', 'many')",
    )
    .await;
    run(
        pool,
        "INSERT INTO stripe_events (id, type, outcome, received_at) \
         SELECT 'evt_' || n, 'a.b', 'ignored', now() - CASE WHEN n <= 2500 THEN interval '91 days' ELSE interval '1 day' END \
         FROM generate_series(1, 2600) n",
    )
    .await;
    run(
        pool,
        "INSERT INTO outbox (id, user_id, sequence, livemode, type, data, created_at) \
         SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, u.id, n, false, 'user.status_changed', '{}', \
                now() - CASE WHEN n <= 3500 THEN interval '91 days' ELSE interval '1 day' END \
         FROM generate_series(1, 3600) n, users u WHERE u.external_id = 'many'",
    )
    .await;
    run(
        pool,
        "INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id) \
         SELECT 'shop', user_id, sequence, id FROM outbox WHERE sequence <= 1500",
    )
    .await;
}

#[tokio::test]
async fn many_rows_go_in_batches_and_a_pile_that_has_to_stay_holds_up_nothing_behind_it() {
    let db = TestDb::new().await;
    let pool = db.pool();
    fill(pool).await;
    assert_eq!(clear(&db).await, 2500 + 2000);
    assert_eq!(count(pool, "stripe_events").await, 100);
    assert_eq!(count(pool, "outbox").await, 1500 + 100);
    assert_eq!(count(pool, "outbox_deliveries").await, 1500);
}

#[tokio::test]
async fn two_replicas_at_once_clear_everything_once_and_one_waits_for_no_other() {
    let db = TestDb::new().await;
    fill(db.pool()).await;
    let (one, other) = tokio::join!(clear(&db), clear(&db));
    // Whoever finds the other at it leaves the rest to it, or to the next time.
    let rest = clear(&db).await;
    assert_eq!(one + other + rest, 2500 + 2000);

    fill_again(db.pool()).await;
    let mut turn = db.pool().begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(13, 0)")
        .execute(&mut *turn)
        .await
        .unwrap();
    assert_eq!(clear(&db).await, 0, "another has the turn");
    turn.rollback().await.unwrap();
    assert_eq!(clear(&db).await, 10);
}

async fn fill_again(pool: &PgPool) {
    run(
        pool,
        "INSERT INTO stripe_events (id, type, outcome, received_at) \
         SELECT 'evt_again_' || n, 'a.b', 'ignored', now() - interval '91 days' FROM generate_series(1, 10) n",
    )
    .await;
}

#[tokio::test]
async fn links_browsers_sign_ins_and_calls_go_when_nothing_can_come_of_them() {
    let db = TestDb::new().await;
    let pool = db.pool();
    insert_attempt(pool, "ada").await;
    run(
        pool,
        "INSERT INTO api_keys (id, name, token_hash, livemode, scopes) VALUES (gen_random_uuid(), 'of a test', 'x', false, '{}')",
    )
    .await;
    // By age in hours: the link, the browser that it signed in, the sign-in, the call.
    for (n, age) in [(1, 1), (2, 25), (3, 49), (4, 49)] {
        run(pool, &format!(
            "INSERT INTO hand_offs (id, api_key_id, user_id, livemode, token_hash, policy, created_at, expires_at) \
             SELECT gen_random_uuid(), k.id, u.id, false, 'link{n}', 'default', now() - interval '{age} hours', \
                    now() - interval '{age} hours' + interval '15 minutes' FROM api_keys k, users u"
        ))
        .await;
        run(pool, &format!(
            "INSERT INTO browser_sessions (id, token_hash, user_id, livemode, source, hand_off_id, expires_at) \
             SELECT gen_random_uuid(), 'cookie{n}', user_id, false, 'hand_off', id, \
                    now() - interval '{age} hours' + interval '8 hours' FROM hand_offs WHERE token_hash = 'link{n}'"
        ))
        .await;
        run(
            pool,
            &format!(
                "INSERT INTO oidc_logins (token_hash, return_path, expires_at) \
             VALUES ('login{n}', '/', now() - interval '{age} hours' + interval '2 hours')"
            ),
        )
        .await;
        run(pool, &format!(
            "INSERT INTO idempotency_keys (api_key_id, key_hash, request_hash, holder, lease_until, created_at) \
             SELECT id, 'call{n}', 'x', gen_random_uuid(), now(), now() - interval '{age} hours' FROM api_keys"
        ))
        .await;
    }
    // The first call made something, and the one of today that died did not.
    run(
        pool,
        "UPDATE idempotency_keys SET resource_id = gen_random_uuid() WHERE key_hash <> 'call4'",
    )
    .await;
    run(
        pool,
        "INSERT INTO idempotency_keys (api_key_id, key_hash, request_hash, holder, lease_until) \
         SELECT id, 'call5', 'x', gen_random_uuid(), now() FROM api_keys",
    )
    .await;
    // The browser of the last link is in use still.
    run(pool, "UPDATE browser_sessions SET expires_at = now() + interval '1 hour' WHERE token_hash = 'cookie4'").await;
    clear(&db).await;
    for (table, column, left) in [
        ("hand_offs", "token_hash", "link1,link2,link4"),
        ("browser_sessions", "token_hash", "cookie1,cookie4"),
        ("oidc_logins", "token_hash", "login1"),
        ("idempotency_keys", "key_hash", "call1"),
    ] {
        let query = AssertSqlSafe(format!(
            "SELECT string_agg(convert_from({column}, 'UTF8'), ',' ORDER BY {column}) FROM {table}"
        ));
        let found: String = sqlx::query_scalar(query).fetch_one(pool).await.unwrap();
        assert_eq!(found, left, "{table}");
    }
}

#[tokio::test]
async fn a_session_whose_history_has_gone_goes_on_as_before() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let started = world.process().start(&ada_starts()).await.unwrap();
    let pool = world.db.pool();
    run(
        pool,
        "UPDATE verification_history SET at = now() - interval '2 years'",
    )
    .await;
    assert!(clear(&world.db).await > 0);
    let session = started.session.as_str();
    world
        .act(session, "outcome", &json!({ "case": "success" }))
        .await;
    let process = world.process();
    for body in world.events().await {
        process.hear(&read(&body)).await.unwrap();
    }
    assert_eq!(world.person().await, "verified");
    assert!(count(pool, "verification_history").await > 0);
}
