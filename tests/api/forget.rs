//! Forgetting a person: nothing of them is left anywhere, nothing comes back, and what counts money still counts.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;
use verigate::{
    domain::{Client, Person},
    store::{self, Worker},
    verification::{Erasure, StartError, StartRequest, forget_person},
};

use crate::{
    deliveries::Delivery,
    program::{run, working_folder},
    sandbox::support::id,
    support::eventually,
    v1::{self, Api, make_key_with},
    world::{World, ada, ada_starts, refresh},
};

/// What every canary holds; nothing else does.
const MARK: &str = "zq9c";
const FAR: Duration = Duration::from_hours(12);

/// What can stand in a column of text, JSON or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Something that says who a person is, or leads to them: a canary is planted there.
    Person,
    /// A hash of something of theirs: its row goes.
    Hash,
    /// Ids, statuses, codes and names of settings; of nobody in particular.
    Nobody,
}

/// Every column that could hold a word. One that is not named here fails the test, until somebody has decided.
const COLUMNS: &[(&str, &[(&str, Holds)])] = {
    use Holds::{Hash, Nobody, Person};
    &[
        (
            "api_keys",
            &[
                ("name", Nobody),
                ("token_hash", Nobody),
                ("scopes", Nobody),
                ("return_to", Nobody),
            ],
        ),
        (
            "browser_sessions",
            &[("token_hash", Hash), ("source", Nobody)],
        ),
        ("budget_warnings", &[("period", Nobody)]),
        ("creations", &[("network", Nobody)]),
        ("erasures", &[]),
        (
            "hand_offs",
            &[
                ("token_hash", Hash),
                ("policy", Nobody),
                ("label", Person),
                ("return_url", Person),
            ],
        ),
        // Counts and times.
        ("healing", &[("report", Nobody)]),
        (
            "idempotency_keys",
            &[("key_hash", Hash), ("request_hash", Hash)],
        ),
        // Of nobody who is known yet, and gone within minutes.
        (
            "oidc_logins",
            &[("token_hash", Nobody), ("return_path", Nobody)],
        ),
        ("outbox", &[("type", Nobody), ("data", Person)]),
        (
            "outbox_deliveries",
            &[("endpoint", Nobody), ("failure", Person)],
        ),
        ("outbox_feed", &[("cluster", Nobody)]),
        ("redactions", &[("outcome", Nobody)]),
        ("reservations", &[]),
        ("stripe_line", &[]),
        (
            "stripe_events",
            &[
                ("id", Nobody),
                ("type", Nobody),
                ("api_version", Nobody),
                ("account", Nobody),
                ("session_id", Nobody),
                ("outcome", Nobody),
            ],
        ),
        (
            "users",
            &[
                ("realm", Person),
                ("external_id", Person),
                ("email", Person),
                ("status", Nobody),
            ],
        ),
        (
            "verification_history",
            &[
                ("from_status", Nobody),
                ("to_status", Nobody),
                ("cause", Person),
            ],
        ),
        ("verification_reports", &[("report_id", Nobody)]),
        (
            "verifications",
            &[
                ("client", Nobody),
                ("policy", Nobody),
                ("policies_asked", Person),
                ("parameters", Person),
                ("session_id", Nobody),
                ("status", Nobody),
                ("error_code", Nobody),
                ("report_id", Nobody),
                ("redaction", Nobody),
                ("events_told", Nobody),
                ("reads_told", Nobody),
                ("unknown_status", Nobody),
            ],
        ),
    ]
};

async fn columns(pool: &PgPool) -> BTreeMap<String, Vec<String>> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT t.table_name::text, c.column_name::text FROM information_schema.tables t \
         LEFT JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name \
             AND c.data_type NOT IN ('uuid', 'boolean', 'integer', 'bigint', 'smallint', \
                 'timestamp with time zone', 'xid8') \
         WHERE t.table_schema = 'public' AND t.table_name NOT LIKE '\\_sqlx%' ORDER BY 1, 2",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut columns = BTreeMap::<String, Vec<String>>::new();
    for (table, column) in rows {
        columns.entry(table).or_default().extend(column);
    }
    columns
}

/// Every row of every table, as text.
async fn dump(pool: &PgPool) -> BTreeMap<String, String> {
    let mut dumped = BTreeMap::new();
    for table in columns(pool).await.into_keys() {
        let rows = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_one(pool)
            .await
            .unwrap();
        dumped.insert(table, rows);
    }
    dumped
}

/// The tables that hold this text somewhere.
async fn tables_with(pool: &PgPool, text: &str) -> Vec<String> {
    let dumped = dump(pool).await.into_iter();
    let holding = dumped.filter(|(_, rows)| rows.contains(text));
    holding.map(|(table, _)| table).collect()
}

#[tokio::test]
async fn of_every_column_somebody_has_said_whether_it_can_hold_a_person() {
    let world = World::new().await;
    let said = COLUMNS.iter().map(|(table, columns)| {
        let mut names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        ((*table).to_owned(), names)
    });
    let said: BTreeMap<String, Vec<String>> = said.collect();
    assert_eq!(columns(world.db.pool()).await, said);
}

async fn delete(api: &Api, person: &str) -> v1::Answer {
    v1::answer(api.signed(Method::DELETE, &format!("/v1/users/{person}"))).await
}

/// Hands a person over with everything that can be said of them, and signs their browser in.
async fn hand_over(api: &Api, who: &str) {
    let wanted = json!({
        "user_id": who, "email": format!("{who}@example.com"), "label": format!("Mrs {who}"),
        "return_url": format!("https://shop.example/{who}"),
    });
    let request = api
        .signed(Method::POST, "/v1/verifications")
        .header("idempotency-key", format!("call-{who}"));
    let handed = v1::answer(request.json(&wanted)).await;
    assert_eq!(handed.status, 201, "{handed:?}");
    let link = handed.body["url"].as_str().unwrap();
    let looked = api.gateway.http.get(link).send().await.unwrap();
    let mark = looked.headers()["set-cookie"].to_str().unwrap();
    let (mark, _) = mark.split_once(';').unwrap();
    let followed = api.gateway.http.post(link);
    let followed = followed
        .header("sec-fetch-site", "same-origin")
        .header("cookie", mark)
        .send()
        .await;
    assert_eq!(followed.unwrap().status(), 303);
    let allow = api
        .signed(Method::POST, &format!("/v1/users/{who}/allow-attempt"))
        .header("idempotency-key", format!("allow-{who}"));
    assert_eq!(v1::answer(allow).await.status, 204);
}

/// One verification that failed and was called off, and one that passed; gives their sessions.
async fn verify(api: &Api, who: &str) -> [String; 2] {
    let (failed, first) = api.click(who).await;
    api.come_to(&first, "failure").await;
    let canceled = api
        .post(&format!("/v1/verifications/{failed}/cancel"))
        .await;
    assert_eq!(canceled.status, 200, "{canceled:?}");
    // Of one second it may take a moment to be known which came last.
    let second = eventually("another session is made", async || {
        let (_, next) = api.click(who).await;
        (next != first).then_some(next)
    })
    .await;
    api.come_to(&second, "success").await;
    [first, second]
}

/// A person with something of theirs in every column that can hold it.
async fn plant(api: &Api, who: &str) -> (Uuid, [String; 2]) {
    hand_over(api, who).await;
    let sessions = verify(api, who).await;
    let pool = api.world.db.pool();
    let user: Uuid = sqlx::query_scalar("SELECT id FROM users WHERE external_id = $1")
        .bind(who)
        .fetch_one(pool)
        .await
        .unwrap();
    for statement in [
        "INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id, failure) \
         SELECT 'shop', user_id, sequence, id, $2 FROM outbox WHERE user_id = $1",
        "UPDATE verifications SET parameters = jsonb_build_object('provided_details', $2::text), \
             policies_asked = ARRAY[$2] WHERE user_id = $1",
        "UPDATE verification_history SET cause = cause || $2 \
             WHERE verification_id IN (SELECT id FROM verifications WHERE user_id = $1)",
    ] {
        let planted = sqlx::query(statement).bind(user).bind(who).execute(pool);
        assert!(planted.await.unwrap().rows_affected() > 0, "{statement}");
    }
    (user, sessions)
}

async fn count(pool: &PgPool, query: &str) -> i64 {
    let query = AssertSqlSafe(format!("SELECT count(*) {query}"));
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// What is spent and reserved, as the limits count it.
async fn money(pool: &PgPool) -> (i64, i64) {
    let cost = "SELECT coalesce(sum(cost), 0)::bigint FROM verification_reports";
    let reports = sqlx::query_scalar(cost).fetch_one(pool).await.unwrap();
    (reports, count(pool, "FROM verification_reports").await)
}

/// An API whose key may send people back, and whose Stripe ends nothing by itself.
async fn shop() -> Api {
    let mut api = Api::start().await;
    api.world.stop_the_clockwork().await;
    let scopes = verigate::domain::Scope::ALL;
    api.key = make_key_with(&api.world, &scopes, &["https://shop.example"]).await;
    api
}

/// Nobody finds them any more, and no row of theirs is left but the bare ones.
async fn assert_shown_nowhere(api: &Api, who: &str, user: Uuid, session: &str) {
    for table in [
        "hand_offs",
        "browser_sessions",
        "outbox",
        "outbox_deliveries",
    ] {
        let theirs = format!("FROM {table} WHERE user_id = '{user}'");
        assert_eq!(count(api.world.db.pool(), &theirs).await, 0, "{table}");
    }
    for path in ["", "/verifications"] {
        let gone = api.get(&format!("/v1/users/{who}{path}")).await;
        gone.is_problem(404, "not_found");
    }
    for path in ["/v1/verifications", "/v1/events"] {
        let listed = api.get(path).await.body;
        let all = listed["data"].as_array().unwrap();
        assert!(!all.is_empty() && !all.iter().any(|it| it.to_string().contains(session)));
    }
    delete(api, who).await.is_problem(404, "not_found");
}

/// Stripe erases all of it, and tells; the erasure is noted as over.
async fn see_it_through(api: &Api, sessions: &[String], reference: &Value) {
    eventually("Stripe erases all of it", async || {
        let theirs = api.world.sessions().await;
        let asked = theirs.iter().filter(|it| !it["redaction"].is_null());
        (asked.count() == sessions.len()).then_some(())
    })
    .await;
    for session in sessions {
        api.world.act(session, "finish", &json!({})).await;
    }
    api.world.hear_all().await;
    let reference = reference.as_str().unwrap();
    let finished = format!("FROM erasures WHERE id = '{reference}' AND finished_at IS NOT NULL");
    eventually("it is noted that it is over", async || {
        (count(api.world.db.pool(), &finished).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_person_is_left_anywhere_and_everything_of_the_others_is() {
    let api = shop().await;
    let pool = api.world.db.pool();
    let (ada, bob) = (format!("{MARK}ada"), format!("{MARK}bob"));
    let (user, sessions) = plant(&api, &ada).await;
    let (other, _) = plant(&api, &bob).await;
    // The control: the search finds them wherever something can stand.
    let mut expected: Vec<&str> = COLUMNS
        .iter()
        .filter(|(_, columns)| columns.iter().any(|(_, holds)| *holds == Holds::Person))
        .map(|(table, _)| *table)
        .collect();
    expected.sort_unstable();
    for who in [&ada, &bob] {
        assert_eq!(tables_with(pool, who).await, expected);
    }
    let calls = "FROM idempotency_keys";
    assert_eq!(count(pool, calls).await, 4);
    let spent = money(pool).await;
    let bobs = dump_of(pool, other).await;

    let answer = delete(&api, &ada).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["verifications"], 2);
    // From this moment on.
    assert_eq!(tables_with(pool, &ada).await, Vec::<String>::new());
    assert_eq!(
        count(pool, calls).await,
        2,
        "the calls that were theirs are forgotten"
    );
    assert_shown_nowhere(&api, &ada, user, &sessions[0]).await;

    // The running server has the rest erased; the events of that come back to nobody.
    see_it_through(&api, &sessions, &answer.body["id"]).await;
    assert_eq!(tables_with(pool, &ada).await, Vec::<String>::new());
    assert_eq!(money(pool).await, spent, "what was spent stays spent");
    let told = format!("FROM outbox WHERE user_id = '{user}'");
    assert_eq!(count(pool, &told).await, 0, "nobody is told of it");
    assert_eq!(dump_of(pool, other).await, bobs);
    assert_eq!(tables_with(pool, &bob).await, expected);
    // The stones stand: the ids, by which their events are known, and nobody's names.
    let stones = format!(
        "FROM verifications WHERE user_id = '{user}' AND redaction = 'redacted' AND session_id IS NOT NULL"
    );
    assert_eq!(count(pool, &stones).await, 2);
}

/// What is kept of somebody, apart from what goes on by itself.
async fn dump_of(pool: &PgPool, user: Uuid) -> Vec<String> {
    let mut rows = Vec::new();
    for query in [
        "SELECT users::text FROM users WHERE id = $1",
        "SELECT concat_ws(' ', id, session_id, status, parameters, redaction, current) FROM verifications \
         WHERE user_id = $1 ORDER BY id",
        "SELECT hand_offs::text FROM hand_offs WHERE user_id = $1 ORDER BY id",
        "SELECT outbox::text FROM outbox WHERE user_id = $1 ORDER BY id",
    ] {
        let found = sqlx::query_scalar(query).bind(user).fetch_all(pool).await;
        rows.extend(found.unwrap());
    }
    rows
}

#[tokio::test]
async fn whoever_comes_again_by_the_same_id_is_a_new_person_and_late_events_are_nobodys() {
    let api = shop().await;
    let pool = api.world.db.pool();
    let (_, session) = api.click("ada").await;
    api.come_to(&session, "success").await;
    let told = api.world.events().await;
    assert_eq!(delete(&api, "ada").await.status, 202);
    let (_, next) = api.click("ada").await;
    assert_ne!(next, session);
    sqlx::query("DELETE FROM stripe_events")
        .execute(pool)
        .await
        .unwrap();
    for body in &told {
        let heard = api.gateway.verifier.hear(&crate::world::read(body)).await;
        heard.unwrap();
    }
    let second = told[0]["created"].as_i64().unwrap() + 1000;
    let late = Delivery::new("evt_late", "verified", second, &session);
    api.gateway.verifier.hear(&late.read()).await.unwrap();
    let listed = api.get("/v1/users/ada/verifications").await.body;
    let theirs: Vec<&Value> = listed["data"].as_array().unwrap().iter().collect();
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0]["session_id"], next.as_str());
    assert_eq!(
        api.get("/v1/users/ada").await.body["status"],
        "requires_input"
    );
    let rows = "FROM verifications";
    assert_eq!(
        count(pool, rows).await,
        2,
        "no row is made of what comes late"
    );
    assert_eq!(
        count(pool, "FROM verifications WHERE user_id IS NULL").await,
        0
    );
}

#[tokio::test]
async fn somebody_without_a_session_is_forgotten_at_once() {
    let api = shop().await;
    let wanted = json!({ "user_id": "ada", "email": "ada@example.com" });
    assert_eq!(api.create(&wanted).await.status, 201);
    delete(&api, "nobody").await.is_problem(404, "not_found");
    assert_eq!(delete(&api, "ada").await.status, 204);
    delete(&api, "ada").await.is_problem(404, "not_found");
    let pool = api.world.db.pool();
    assert_eq!(
        tables_with(pool, "ada@example.com").await,
        Vec::<String>::new()
    );
    let line = "FROM erasures WHERE finished_at IS NOT NULL AND api_key_id IS NOT NULL";
    assert_eq!(count(pool, line).await, 1);
}

async fn forget_ada(world: &World) -> Option<Erasure> {
    let db = store::connect(&world.db.url().to_owned().into(), 2).unwrap();
    forget_person(&db, &ada(), None).await.unwrap()
}

/// One worker's step.
async fn erase(world: &World, ahead: Duration) -> usize {
    let db = store::connect(&world.db.url().to_owned().into(), 2).unwrap();
    let worker = Worker::start(&db).await.unwrap();
    let process = world.process();
    let done = process.erase_due(worker.id(), ahead).await.unwrap();
    process.watch_erasures().await.unwrap();
    done
}

async fn is_finished(world: &World) -> bool {
    count(
        world.db.pool(),
        "FROM erasures WHERE finished_at IS NOT NULL",
    )
    .await
        == 1
}

/// Nothing ends by itself, and Stripe makes a session at once but answers long after.
async fn slow_world() -> World {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let slow = json!({
        "kind": "latency", "ms": 60_000, "times": 0, "method": "POST", "when": "after",
        "path": "/v1/identity/verification_sessions",
    });
    world.sandbox.fault(slow).await;
    world
}

async fn session_is_made(world: &World) {
    eventually("Stripe has made the session", async || {
        (world.sessions().await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_under_way_hands_out_nothing_and_its_session_is_erased() {
    let world = slow_world().await;
    let process = world.process();
    let mut request = ada_starts();
    request.person.email = Some(format!("{MARK}@example.com"));
    let start = tokio::spawn(async move { process.start(&request).await });
    session_is_made(&world).await;
    let forgotten = forget_ada(&world).await.unwrap();
    assert_eq!(forgotten.waiting, 1);
    // It may yet be made: nobody looks for it while the start is under way.
    assert_eq!(erase(&world, Duration::ZERO).await, 1);
    assert_eq!(world.count("GET list").await, 0);
    eventually("the start goes on", async || {
        world.sandbox.clear_faults().await;
        start.is_finished().then_some(())
    })
    .await;
    assert_eq!(start.await.unwrap().unwrap_err(), StartError::Forgotten);
    erase(&world, FAR).await;
    let theirs = world.sessions().await;
    assert!(!theirs[0]["redaction"].is_null(), "{theirs:?}");
    assert_eq!(theirs.len(), 1, "no other was made");
    assert_eq!(
        count(world.db.pool(), "FROM users").await,
        1,
        "nor another person"
    );
    assert_eq!(
        tables_with(world.db.pool(), MARK).await,
        Vec::<String>::new()
    );
}

/// An attempt of Ada's whose session Stripe has made, and of which nobody has told us.
async fn unseen(world: &World) -> String {
    let attempt = crate::observe::insert_attempt(world.db.pool(), "ada").await;
    world.create_for(attempt).await
}

#[tokio::test]
async fn a_session_that_nobody_told_us_of_is_searched_for_and_erased() {
    let world = World::new().await;
    let session = unseen(&world).await;
    assert_eq!(forget_ada(&world).await.unwrap().waiting, 1);
    for _ in 0..2 {
        assert_eq!(erase(&world, FAR).await, 1);
    }
    let theirs = world.sessions().await;
    assert_eq!(id(&theirs[0]), session);
    assert!(!theirs[0]["redaction"].is_null(), "{theirs:?}");
    assert_eq!(world.rows().await[0].session_id.as_deref(), Some(&*session));
}

#[tokio::test]
async fn a_session_that_turns_up_after_the_search_is_erased_too() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let attempt = crate::observe::insert_attempt(world.db.pool(), "ada").await;
    forget_ada(&world).await.unwrap();
    for _ in 0..2 {
        assert_eq!(erase(&world, FAR).await, 1);
    }
    assert!(is_finished(&world).await);
    world.create_for(attempt).await;
    world.hear_all().await;
    let rows = world.rows().await;
    assert!(rows.len() == 1 && rows[0].claimed, "{rows:?}");
    assert!(!is_finished(&world).await, "there is something left again");
    assert_eq!(erase(&world, Duration::ZERO).await, 1);
    assert!(!world.sessions().await[0]["redaction"].is_null());
}

#[tokio::test]
async fn what_stripe_refused_to_erase_before_is_asked_for_once_more() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let started = world.click().await.unwrap();
    sqlx::query(
        "INSERT INTO redactions (verification_id, ended_at, outcome) VALUES ($1, now(), 'refused')",
    )
    .bind(started.attempt.0)
    .execute(world.db.pool())
    .await
    .unwrap();
    assert_eq!(forget_ada(&world).await.unwrap().waiting, 1);
    assert!(!is_finished(&world).await);
    assert_eq!(erase(&world, Duration::ZERO).await, 1);
    assert!(!world.sessions().await[0]["redaction"].is_null());
}

#[tokio::test]
async fn with_somebody_go_the_calls_that_died_and_may_have_named_them() {
    let world = World::new().await;
    let pool = world.db.pool();
    world.click().await.unwrap();
    sqlx::query(
        "WITH key AS (INSERT INTO api_keys (id, name, token_hash, livemode, scopes)
                      VALUES (gen_random_uuid(), 'of a test', 'x', false, '{}') RETURNING id)
         INSERT INTO idempotency_keys (api_key_id, key_hash, request_hash, holder, lease_until, resource_id)
         SELECT key.id, call.name::bytea, 'x', gen_random_uuid(), now() + call.lease, call.made
         FROM key, (VALUES ('died', interval '-1 second', NULL), ('runs', '30 seconds', NULL),
                           ('of somebody else', '-1 second', gen_random_uuid())) AS call (name, lease, made)",
    )
    .execute(pool)
    .await
    .unwrap();
    forget_ada(&world).await.unwrap();
    assert_eq!(
        count(pool, "FROM idempotency_keys WHERE key_hash = 'died'").await,
        0
    );
    assert_eq!(count(pool, "FROM idempotency_keys").await, 2);
}

#[tokio::test]
async fn what_cannot_be_erased_here_holds_nothing_up() {
    let world = World::new().await;
    let pool = world.db.pool();
    let started = world.click().await.unwrap();
    // One that Stripe has lost, and one of the other mode.
    world.sandbox.control("/_reset", &json!({})).await;
    sqlx::query(
        "INSERT INTO verifications (id, user_id, livemode, client, session_id, status) \
         SELECT gen_random_uuid(), user_id, true, 'modal', 'vs_live', 'verified' FROM verifications WHERE id = $1",
    )
    .bind(started.attempt.0)
    .execute(pool)
    .await
    .unwrap();
    assert_eq!(forget_ada(&world).await.unwrap().waiting, 2);
    assert_eq!(erase(&world, FAR).await, 1);
    let ended = "FROM redactions WHERE outcome = 'gone'";
    assert_eq!(count(pool, ended).await, 1);
    assert!(!is_finished(&world).await, "the other one is still there");
    let calls = world.sandbox.calls().await;
    assert!(
        !calls
            .iter()
            .any(|call| call["path"].as_str().unwrap().contains("vs_live"))
    );
    let kept = "FROM redactions r JOIN verifications v ON v.id = r.verification_id \
        WHERE v.livemode AND r.ended_at IS NULL";
    assert_eq!(
        count(pool, kept).await,
        1,
        "a server of that mode will see to it"
    );
    let erased =
        "UPDATE redactions SET ended_at = now(), outcome = 'redacted' WHERE ended_at IS NULL";
    sqlx::query(erased).execute(pool).await.unwrap();
    erase(&world, FAR).await;
    assert!(is_finished(&world).await);
}

#[tokio::test]
async fn what_stripe_did_not_have_is_erased_once_it_has_it_after_all() {
    let world = World::new().await;
    let pool = world.db.pool();
    let started = world.click().await.unwrap();
    world
        .act(
            started.session.as_str(),
            "outcome",
            &json!({"case": "success"}),
        )
        .await;
    world.hear_all().await;
    forget_ada(&world).await.unwrap();
    // As if the key had been another account's for a while.
    let missing = json!({
        "path": "/v1/identity/verification_sessions/*/redact", "kind": "error", "status": 404,
        "code": "resource_missing", "times": 0,
    });
    world.sandbox.fault(missing).await;
    assert_eq!(erase(&world, FAR).await, 1);
    world.sandbox.clear_faults().await;
    let ended = "FROM redactions WHERE outcome = 'gone'";
    assert_eq!(count(pool, ended).await, 1);
    erase(&world, FAR).await;
    assert!(is_finished(&world).await);
    // Stripe is asked again for another reason, and has it.
    let due = "UPDATE verifications SET refresh_due_at = now(), gone_at = now()";
    sqlx::query(due).execute(pool).await.unwrap();
    let asked = refresh(world.db.url(), &world.process(), FAR).await;
    assert_eq!(asked.unwrap().asked, 1);
    assert!(!is_finished(&world).await, "it goes on");
    erase(&world, FAR).await;
    let theirs = world.sessions().await;
    assert!(!theirs[0]["redaction"].is_null(), "{theirs:?}");
}

/// How many connections have last committed something, and wait for more to do.
async fn committed(pool: &PgPool) -> i64 {
    let at_rest = "FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT'";
    count(pool, at_rest).await
}

#[tokio::test]
async fn a_start_that_waits_for_another_servers_makes_nobody_anew() {
    let world = slow_world().await;
    let (one, other) = (world.process(), world.process());
    let first = tokio::spawn(async move { one.start(&ada_starts()).await });
    session_is_made(&world).await;
    let before = committed(world.db.pool()).await;
    let second = tokio::spawn(async move { other.start(&ada_starts()).await });
    eventually("it waits for its turn", async || {
        (committed(world.db.pool()).await > before).then_some(())
    })
    .await;
    forget_ada(&world).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap_err(), StartError::Forgotten);
    eventually("the first goes on", async || {
        world.sandbox.clear_faults().await;
        first.is_finished().then_some(())
    })
    .await;
    assert_eq!(first.await.unwrap().unwrap_err(), StartError::Forgotten);
    assert_eq!(count(world.db.pool(), "FROM users").await, 1);
    assert_eq!(world.sessions().await.len(), 1);
}

#[tokio::test]
async fn two_who_forget_at_once_forget_once_and_nobody_is_made_anew_by_it() {
    let world = World::new().await;
    world.click().await.unwrap();
    let (one, other) = tokio::join!(forget_ada(&world), forget_ada(&world));
    assert_eq!(usize::from(one.is_some()) + usize::from(other.is_some()), 1);
    assert_eq!(count(world.db.pool(), "FROM users").await, 1);
    assert_eq!(count(world.db.pool(), "FROM erasures").await, 1);
}

#[tokio::test]
async fn the_operator_forgets_by_a_command_that_asks_whom_if_there_are_several() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let started = world.click().await.unwrap();
    let namesake = Person {
        realm: "other".to_owned(),
        ..ada()
    };
    let namesake = StartRequest::new(namesake, Client::Modal);
    world.process().start(&namesake).await.unwrap();
    let folder = working_folder();
    let variables = [("DATABASE_URL", world.db.url())];
    let say = |words: &[&str]| {
        let output = run(words, &variables, folder.path());
        let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.success(), said.concat())
    };
    let (done, said) = say(&["forget", "ada"]);
    assert!(!done && said.contains("--realm, of other, test"), "{said}");
    let (done, said) = say(&["forget", "ada", "--realm", "test"]);
    assert!(
        done && said.contains("erase 1 of their verifications"),
        "{said}"
    );
    let (done, said) = say(&["forget", "ada", "--realm", "test"]);
    assert!(!done && said.contains("nobody is called"), "{said}");
    let (done, said) = say(&["explain", started.session.as_str()]);
    assert!(
        done && said.contains("somebody who was forgotten"),
        "{said}"
    );
    assert!(!said.contains("ada"), "{said}");
    let line = "FROM erasures WHERE api_key_id IS NULL";
    assert_eq!(count(world.db.pool(), line).await, 1);
    assert_eq!(erase(&world, Duration::ZERO).await, 1);
    let theirs = world.sessions().await;
    let erased = theirs.iter().filter(|it| !it["redaction"].is_null());
    assert_eq!(
        erased.map(id).collect::<Vec<_>>(),
        [started.session.as_str()]
    );
}
