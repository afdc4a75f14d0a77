//! What happened, asked for by applications: nothing is missed, and nothing comes twice.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;
use verigate::{
    domain::{MessageType, PersonState, UserId, UserStatus},
    store::{self, NewMessage, News},
};

use super::{Api, REALM};
use crate::support::eventually;

/// Reads on until there is nothing more; gives the events and where it came to.
async fn read_on(api: &Api, query: &str, cursor: Option<&str>) -> (Vec<Value>, Option<String>) {
    let (mut events, mut cursor) = (Vec::new(), cursor.map(str::to_owned));
    loop {
        let after = cursor
            .as_ref()
            .map_or(String::new(), |it| format!("&cursor={it}"));
        let answer = api.get(&format!("/v1/events?{query}{after}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        events.extend(answer.body["data"].as_array().unwrap().clone());
        cursor = answer.body["next_cursor"].as_str().map(str::to_owned);
        if answer.body["has_more"] == json!(false) {
            return (events, cursor);
        }
    }
}

/// The same, until it is told that so many verifications passed: another transaction may hold events back for a moment.
async fn read_until(
    api: &Api,
    query: &str,
    cursor: Option<&str>,
    passed: usize,
) -> (Vec<Value>, Option<String>) {
    eventually("the events are told", async || {
        let (events, cursor) = read_on(api, query, cursor).await;
        let told = types(&events);
        let told = told.iter().filter(|kind| **kind == "verification.verified");
        (told.count() == passed).then_some((events, cursor))
    })
    .await
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_happens_to_a_person_is_told_in_order_and_whole() {
    let api = Api::start().await;
    let empty = api.get("/v1/events").await.body;
    assert_eq!(empty["data"], json!([]));
    assert_eq!(empty["has_more"], false);
    let (attempt, session) = api.click("ada").await;
    api.come_to(&session, "failure").await;
    api.come_to(&session, "success").await;

    let (events, cursor) = read_until(&api, "limit=2", None, 1).await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "user.status_changed");
    assert_eq!(last["livemode"], false);
    let user = &last["data"]["user"];
    assert_eq!(
        (&user["id"], &user["realm"]),
        (&json!("ada"), &json!(REALM))
    );
    assert_eq!(user["status"], "verified");
    assert!(user["verified_at"].is_string(), "{user}");
    let verification = &last["data"]["verification"];
    assert_eq!(verification["id"], attempt.as_str());
    assert_eq!(verification["session_id"], session.as_str());
    assert_eq!(verification["status"], "verified");
    assert_eq!(verification["last_error"], Value::Null);
    let failed = events
        .iter()
        .find(|it| !it["data"]["verification"]["last_error"].is_null());
    let failed = failed.expect("the failed check is told");
    assert_eq!(failed["type"], "verification.requires_input");

    let numbers: Vec<i64> = events
        .iter()
        .map(|it| it["sequence"].as_i64().unwrap())
        .collect();
    let expected: Vec<i64> = (1..).take(events.len()).collect();
    assert_eq!(numbers, expected, "{events:#?}");
    let all = api.get("/v1/events?limit=100").await.body;
    assert_eq!(all["data"], json!(events), "however large the pages are");
    // The cursor goes on with whatever else is written in the cluster.
    let (later, _) = read_on(&api, "limit=2", cursor.as_deref()).await;
    assert_eq!(later, [Value::Null; 0], "nothing comes twice");
}

#[tokio::test]
async fn events_are_asked_for_by_person_and_by_type() {
    let api = Api::start().await;
    for user in ["ada", "bob"] {
        let (_, session) = api.click(user).await;
        api.come_to(&session, "success").await;
    }
    let (of_bob, _) = read_until(&api, "user_id=bob", None, 1).await;
    assert!(
        of_bob
            .iter()
            .all(|event| event["data"]["user"]["id"] == "bob")
    );
    assert!(types(&of_bob).contains(&"verification.verified"));
    let (verified, _) = read_until(&api, "type=verification.verified", None, 2).await;
    assert_eq!(types(&verified), ["verification.verified"; 2]);
    for query in [
        "type=verification.lost",
        "limit=0",
        "limit=101",
        "cursor=1",
        "cursor=&limit=1",
        "who=ada",
        "user_id=",
        "user_id=%00",
        "user_id=a%0Ab",
        "user_id=..",
    ] {
        let answer = api.get(&format!("/v1/events?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
}

#[tokio::test]
async fn an_event_that_is_committed_late_is_not_missed() {
    let api = Api::start().await;
    let (_, of_ada) = api.click("ada").await;
    let (_, of_bob) = api.click("bob").await;
    let mut cursor = eventually("both clicks are told", async || {
        let (events, cursor) = read_on(&api, "", None).await;
        (events.len() == 4).then_some(cursor)
    })
    .await;

    // Something that was begun before, and will write its message after.
    let mut slow = PgConnection::connect(api.world.db.url()).await.unwrap();
    slow.execute("BEGIN; SELECT pg_current_xact_id()")
        .await
        .unwrap();
    api.come_to(&of_bob, "success").await;
    let (events, next) = read_on(&api, "", cursor.as_deref()).await;
    assert_eq!(types(&events), [""; 0], "one could still come before them");
    cursor = next;
    slow.execute(
        "INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
         SELECT gen_random_uuid(), id, sequence + 1, false, 'verification.canceled', '{\"late\": true}'
         FROM users WHERE external_id = 'ada';
         UPDATE users SET sequence = sequence + 1 WHERE external_id = 'ada';
         COMMIT",
    )
    .await
    .unwrap();
    let mut events = Vec::new();
    eventually("everything is told", async || {
        let (more, next) = read_on(&api, "", cursor.as_deref()).await;
        events.extend(more);
        cursor = next;
        types(&events)
            .contains(&"verification.verified")
            .then_some(())
    })
    .await;
    assert_eq!(events[0]["data"]["late"], true, "{events:#?}");
    api.come_to(&of_ada, "success").await;
    read_until(&api, "user_id=ada", cursor.as_deref(), 1).await;
}

#[tokio::test]
async fn another_realms_people_are_nobodys_events() {
    let api = Api::start().await;
    let (_, session) = api.click("ada").await;
    api.come_to(&session, "success").await;
    sqlx::query("UPDATE users SET realm = 'other'")
        .execute(api.world.db.pool())
        .await
        .unwrap();
    assert_eq!(read_on(&api, "", None).await.0, [Value::Null; 0]);
}

#[tokio::test]
async fn a_cursor_goes_past_what_was_not_asked_for() {
    let api = Api::start().await;
    let (_, session) = api.click("ada").await;
    api.come_to(&session, "success").await;
    let (_, before) = read_until(&api, "", None, 1).await;
    let (events, after) = read_on(&api, "type=verification.redacted", None).await;
    assert_eq!(types(&events), [""; 0]);
    let place = |cursor: Option<String>| {
        let cursor = cursor.unwrap();
        let (transaction, _) = cursor.split_once('-').unwrap();
        transaction.parse::<i64>().unwrap()
    };
    assert!(place(after) >= place(before));
}

#[tokio::test]
async fn a_database_that_is_restored_elsewhere_goes_on_where_its_messages_ended() {
    let api = Api::start().await;
    let (_, of_ada) = api.click("ada").await;
    api.come_to(&of_ada, "success").await;
    read_until(&api, "", None, 1).await;
    // As a cluster had numbered them that has seen more.
    let pool = api.world.db.pool();
    pool.execute(
        "UPDATE outbox SET transaction = (transaction::text::bigint + 1000000000)::text::xid8",
    )
    .await
    .unwrap();
    let newest = "SELECT max(transaction::text::bigint) FROM outbox";
    let newest: i64 = sqlx::query_scalar(newest).fetch_one(pool).await.unwrap();
    // Between the backup and the loss a cursor was given out that is ahead of it.
    let cursor = format!("{}-{}", newest + 100_000, "f".repeat(32));
    start_again(&api).await;
    let (_, of_bob) = api.click("bob").await;
    api.come_to(&of_bob, "success").await;
    let (events, _) = read_until(&api, "", Some(&cursor), 1).await;
    assert!(
        events
            .iter()
            .all(|event| event["data"]["user"]["id"] == "bob")
    );
    read_until(&api, "", None, 2).await;
}

/// As two servers that start, one after the other.
async fn start_again(api: &Api) {
    for _ in 0..2 {
        let ours = store::connect(&api.world.db.url().to_owned().into(), 1).unwrap();
        ours.take_over().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_brought_back_to_an_earlier_moment_goes_on_ahead_of_every_cursor() {
    let api = Api::start().await;
    let (_, of_ada) = api.click("ada").await;
    api.come_to(&of_ada, "success").await;
    start_again(&api).await;
    let (_, cursor) = read_until(&api, "", None, 1).await;
    let (place, _) = cursor.as_deref().unwrap().split_once('-').unwrap();
    let ahead = place.parse::<i64>().unwrap() + 100_000;
    let ahead = format!("{ahead}-{}", "f".repeat(32));
    start_again(&api).await;
    let (events, _) = read_on(&api, "", cursor.as_deref()).await;
    assert_eq!(types(&events), [""; 0], "a start alone changes nothing");

    // Postgres goes on from a backup in a history of its own.
    let pool = api.world.db.pool();
    pool.execute("UPDATE outbox_feed SET cluster = 'as it was before'")
        .await
        .unwrap();
    start_again(&api).await;
    let (_, of_bob) = api.click("bob").await;
    api.come_to(&of_bob, "success").await;
    let (events, _) = read_until(&api, "", Some(&ahead), 1).await;
    assert_eq!(events[0]["data"]["user"]["id"], "bob");
    read_until(&api, "", None, 2).await;
}

#[tokio::test]
async fn whoever_locks_a_person_last_is_told_of_last_though_it_began_first() {
    let api = Api::start().await;
    let db = store::connect(&api.world.db.url().to_owned().into(), 2).unwrap();
    let mut early = db.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()")
        .execute(&mut *early)
        .await
        .unwrap();
    let (_, session) = api.click("ada").await;
    api.come_to(&session, "success").await;
    let of_ada = "SELECT id, sequence FROM users WHERE external_id = 'ada'";
    let (user, last) = eventually("ada is told of", async || {
        let row: (Uuid, i64) = sqlx::query_as(of_ada)
            .fetch_one(api.world.db.pool())
            .await
            .unwrap();
        (row.1 >= 4).then_some(row)
    })
    .await;
    let late = |sequence| NewMessage {
        user: UserId(user),
        sequence,
        livemode: false,
        kind: MessageType::Canceled,
        data: "{}".to_owned(),
        endpoints: Vec::new(),
    };
    let state = PersonState {
        status: UserStatus::Canceled,
        verified_at_second: None,
    };
    let news = News {
        people: vec![(UserId(user), state, last + 2)],
        messages: vec![late(last + 1), late(last + 2)],
        ..News::default()
    };
    store::save_news(&mut early, &news).await.unwrap();
    early.commit().await.unwrap();
    let (events, _) = read_until(&api, "", None, 1).await;
    let sequences = events
        .iter()
        .map(|event| event["sequence"].as_i64().unwrap());
    assert_eq!(
        sequences.collect::<Vec<_>>(),
        (1..=last + 2).collect::<Vec<_>>()
    );
}
