//! What a start may cost: attempts of a person, sessions made for a person or a network, and the budget of all.

use std::{net::IpAddr, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use verigate::{
    domain::{Allowance, Budget, Client, Scope, UserId},
    store::{self, Call, Repeat, Worker},
    verification::{
        HealOrder, Limits, Outlook, StartError, StartRequest, Started, Tries, Verifier,
        forget_person,
    },
};

use crate::{
    program::{run, working_folder},
    sandbox::support::SESSIONS,
    support::eventually,
    telling::{log_from_now_on, logged_with},
    v1::make_key,
    world::{World, limited, no_limits, person, read},
};

/// A price at which sums are easily read.
const PRICE: u64 = 150;

/// Some limits, in a world where nothing ends by itself.
struct Shop {
    world: World,
    limits: Limits,
}

/// Rows of the budget's books.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    open: i64,
    spent: i64,
    released: i64,
}

impl Shop {
    async fn new(limits: Limits) -> Self {
        let world = World::new().await;
        world.stop_the_clockwork().await;
        Self { world, limits }
    }

    /// What a look at the page would say.
    async fn outlook(&self, name: &str) -> Outlook {
        let user = "SELECT id FROM users WHERE external_id = $1";
        let user = sqlx::query_scalar(user).bind(name);
        let user = user.fetch_optional(self.world.db.pool()).await.unwrap();
        let outlook = self.process().outlook(user.map(UserId)).await;
        outlook.unwrap()
    }

    async fn with_budget(day: Option<u64>, month: Option<u64>) -> Self {
        let allowance = |checks| Allowance {
            checks,
            money: None,
        };
        Self::new(Limits {
            budget: Budget {
                day: allowance(day),
                month: allowance(month),
                price: PRICE,
            },
            ..no_limits()
        })
        .await
    }

    /// A process of its own.
    fn process(&self) -> Verifier {
        let (db, sandbox) = (self.world.db.url(), &self.world.sandbox.base);
        limited(db, sandbox, self.limits.clone(), |_| ())
    }

    async fn start(&self, name: &str) -> Result<Started, StartError> {
        self.process().start(&request(name)).await
    }

    async fn start_from(&self, name: &str, address: &str) -> Result<Started, StartError> {
        let address: IpAddr = address.parse().unwrap();
        let request = StartRequest {
            address: Some(address),
            ..request(name)
        };
        self.process().start(&request).await
    }

    /// The person gives a document that is not good enough, and Stripe tells.
    async fn fail(&self, session: &str) {
        let failure = json!({ "case": "failure", "code": "document_expired" });
        self.world.act(session, "outcome", &failure).await;
        self.world.act(session, "finish", &json!({})).await;
        self.hear().await;
    }

    async fn cancel(&self, session: &str) {
        self.world.api(session, "cancel").await;
        self.hear().await;
    }

    async fn hear(&self) {
        let process = self.process();
        for body in self.world.events().await {
            process.hear(&read(&body)).await.unwrap();
        }
    }

    /// One start, one check that fails.
    async fn try_in_vain(&self, name: &str) {
        let started = self.start(name).await.unwrap();
        self.fail(started.session.as_str()).await;
    }

    async fn sql(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::query(statement)
            .execute(self.world.db.pool())
            .await
            .unwrap();
    }

    /// Lets so much time go by for what is written in the books.
    async fn pass(&self, time: &str) {
        for (table, column) in [
            ("verification_reports", "first_seen_at"),
            ("reservations", "handed_out_at"),
            ("verifications", "created_at"),
            ("creations", "created_at"),
        ] {
            self.sql(&format!(
                "UPDATE {table} SET {column} = {column} - interval '{time}'"
            ))
            .await;
        }
    }

    async fn count(&self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        sqlx::query_scalar(query)
            .fetch_one(self.world.db.pool())
            .await
            .unwrap()
    }

    async fn books(&self) -> Books {
        let with = async |state: &str| {
            let query = format!("SELECT count(*) FROM reservations WHERE {state}");
            self.count(&query).await
        };
        Books {
            open: with("spent_at IS NULL AND released_at IS NULL").await,
            spent: with("spent_at IS NOT NULL").await,
            released: with("released_at IS NOT NULL").await,
        }
    }

    async fn assert_books(&self, open: i64, spent: i64, released: i64) {
        let expected = Books {
            open,
            spent,
            released,
        };
        assert_eq!(self.books().await, expected);
    }
}

fn request(name: &str) -> StartRequest {
    StartRequest::new(person(name), Client::Modal)
}

#[track_caller]
fn closed(outcome: Result<Started, StartError>) -> Duration {
    match outcome {
        Err(StartError::BudgetExhausted { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn limited_for(outcome: Result<Started, StartError>) -> u64 {
    match outcome {
        Err(StartError::RateLimited { retry_after }) => retry_after.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_operator_allows_somebody_of_an_identity_provider_one_more_try() {
    let shop = Shop::new(Limits {
        attempts_in_total: Some(1),
        ..no_limits()
    })
    .await;
    shop.start("ada").await.unwrap();
    let issuer = "https://id.example.com";
    let mut theirs = request("ada");
    theirs.person.realm = issuer.to_owned();
    let start = async || shop.process().start(&theirs).await;
    let first = start().await.unwrap();
    shop.fail(first.session.as_str()).await;
    assert_eq!(
        start().await.unwrap_err(),
        StartError::AttemptsExhausted { again_in: None }
    );
    let folder = working_folder();
    let variables = [("DATABASE_URL", shop.world.db.url())];
    let several = run(&["allow", "ada"], &variables, folder.path());
    let said = String::from_utf8(several.stderr).unwrap();
    assert!(!several.status.success() && said.contains(issuer), "{said}");
    let allowed = run(
        &["allow", "ada", "--realm", issuer],
        &variables,
        folder.path(),
    );
    assert!(allowed.status.success(), "{allowed:?}");
    let second = start().await.unwrap();
    shop.fail(second.session.as_str()).await;
    assert_eq!(
        start().await.unwrap_err(),
        StartError::AttemptsExhausted { again_in: None }
    );
    let stranger = run(&["allow", "bob"], &variables, folder.path());
    assert!(!stranger.status.success());
}

#[tokio::test]
async fn a_refusal_is_logged_with_our_own_id_of_the_person_and_the_limit() {
    log_from_now_on();
    let shop = Shop::new(Limits {
        attempts_in_total: Some(1),
        ..no_limits()
    })
    .await;
    shop.try_in_vain("ada").await;
    let refused = shop.start("ada").await.unwrap_err();
    assert_eq!(refused, StartError::AttemptsExhausted { again_in: None });
    let id: Uuid = sqlx::query_scalar("SELECT id FROM users")
        .fetch_one(shop.world.db.pool())
        .await
        .unwrap();
    let mut lines = logged_with(&id.to_string());
    lines
        .retain(|line| line["message"] == "a start was refused: the person has used every attempt");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["limit"], "attempts");
    assert_eq!(lines[0]["user.id"], id.to_string());
}

#[tokio::test]
async fn a_full_budget_keeps_the_door_open_for_whom_something_is_reserved_and_for_nobody_else() {
    let shop = Shop::with_budget(Some(1), None).await;
    let first = shop.start("ada").await.unwrap();
    assert!(closed(shop.start("bob").await) <= Duration::from_hours(24));
    for _ in 0..3 {
        assert_eq!(shop.start("ada").await.unwrap().session, first.session);
    }
    shop.assert_books(1, 0, 0).await;
    // Nobody who was refused has left a trace, nor did Stripe hear of them.
    assert_eq!(shop.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(shop.world.rows().await.len(), 1);
    assert_eq!(shop.world.count("POST session").await, 1);

    shop.cancel(first.session.as_str()).await;
    shop.assert_books(0, 0, 1).await;
    shop.start("bob").await.unwrap();
    closed(shop.start("ada").await);
}

#[tokio::test]
async fn a_report_turns_its_reservation_into_spend_and_the_next_try_needs_another() {
    let shop = Shop::with_budget(Some(2), None).await;
    let ada = shop.start("ada").await.unwrap();
    let bob = shop.start("bob").await.unwrap();
    shop.fail(ada.session.as_str()).await;
    shop.assert_books(1, 1, 0).await;
    closed(shop.start("ada").await);
    shop.cancel(bob.session.as_str()).await;
    assert_eq!(shop.start("ada").await.unwrap().session, ada.session);
    shop.assert_books(1, 1, 1).await;
    let cost = "SELECT sum(cost)::bigint FROM verification_reports";
    assert_eq!(shop.count(cost).await, i64::try_from(PRICE).unwrap());
}

#[tokio::test]
async fn money_is_a_budget_of_its_own() {
    let shop = Shop::new(Limits {
        budget: Budget {
            day: Allowance::default(),
            month: Allowance {
                checks: Some(100),
                money: Some(2 * PRICE + PRICE - 1),
            },
            price: PRICE,
        },
        ..no_limits()
    })
    .await;
    shop.start("ada").await.unwrap();
    shop.try_in_vain("bob").await;
    let wait = closed(shop.start("eve").await);
    assert!(wait <= Duration::from_hours(31 * 24));
}

#[tokio::test]
async fn a_day_and_a_month_begin_anew_with_what_is_still_reserved() {
    let shop = Shop::with_budget(Some(2), Some(3)).await;
    shop.try_in_vain("ada").await;
    let bob = shop.start("bob").await.unwrap();
    closed(shop.start("eve").await);

    // Ada's check is of another day, and another month. Bob's may be made today: it was reserved before midnight.
    shop.sql("UPDATE verification_reports SET first_seen_at = first_seen_at - interval '32 days'")
        .await;
    shop.sql("UPDATE reservations SET handed_out_at = handed_out_at - interval '24 hours'")
        .await;
    shop.start("eve").await.unwrap();
    closed(shop.start("joe").await);
    // His report counts on the day it is seen: nothing changes in sum.
    shop.fail(bob.session.as_str()).await;
    shop.assert_books(1, 2, 0).await;
    closed(shop.start("joe").await);
}

#[tokio::test]
async fn two_days_without_a_report_release_a_reservation_and_a_hand_out_takes_it_up_again() {
    let shop = Shop::with_budget(Some(1), None).await;
    let ada = shop.start("ada").await.unwrap();
    shop.pass("47 hours").await;
    closed(shop.start("bob").await);
    // A fresh secret opens Stripe's page for as long again.
    shop.start("ada").await.unwrap();
    shop.pass("47 hours").await;
    closed(shop.start("bob").await);
    shop.pass("2 hours").await;
    let bob = shop.start("bob").await.unwrap();
    closed(shop.start("ada").await);
    shop.cancel(bob.session.as_str()).await;
    assert_eq!(shop.start("ada").await.unwrap().session, ada.session);
    let reserved = "SELECT count(*) FROM reservations WHERE released_at IS NULL";
    assert_eq!(shop.count(reserved).await, 1);
}

#[tokio::test]
async fn a_session_that_stripe_has_forgotten_gives_back_what_it_had_reserved() {
    let shop = Shop::with_budget(Some(1), None).await;
    let first = shop.start("ada").await.unwrap();
    shop.world.sandbox.control("/_reset", &json!({})).await;
    let second = shop.start("ada").await.unwrap();
    assert_ne!(first.session, second.session);
    shop.assert_books(1, 0, 1).await;
    closed(shop.start("bob").await);
}

#[tokio::test]
async fn a_session_that_stripe_refused_to_make_costs_nothing() {
    let shop = Shop::with_budget(Some(1), None).await;
    let refusal = json!({ "kind": "error", "status": 400, "method": "POST", "path": SESSIONS });
    shop.world.sandbox.fault(refusal).await;
    assert_eq!(shop.start("ada").await.unwrap_err(), StartError::Refused);
    shop.assert_books(0, 0, 1).await;
    shop.start("bob").await.unwrap();
}

#[tokio::test]
async fn a_check_that_nobody_reserved_is_spent_all_the_same() {
    let shop = Shop::with_budget(Some(2), None).await;
    // A static link's, say.
    let answer = shop.world.sandbox.post(SESSIONS, "type=document").await;
    let session = answer.body["id"].as_str().unwrap().to_owned();
    shop.fail(&session).await;
    shop.start("ada").await.unwrap();
    closed(shop.start("bob").await);
}

#[tokio::test]
async fn a_report_that_comes_before_its_session_is_linked_is_spent_too() {
    let shop = Shop::with_budget(Some(1), None).await;
    let lost = json!({ "kind": "cut", "when": "after", "method": "POST", "path": SESSIONS });
    let again = json!({ "kind": "cut", "when": "before", "skip": 1, "times": 0,
        "method": "POST", "path": SESSIONS });
    shop.world.sandbox.fault(lost).await;
    shop.world.sandbox.fault(again).await;
    shop.start("ada").await.unwrap_err();
    shop.world.sandbox.clear_faults().await;
    let session = shop.world.sessions().await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let failure = json!({ "case": "failure", "code": "document_expired" });
    shop.world.act(&session, "outcome", &failure).await;
    shop.world.act(&session, "finish", &json!({})).await;
    // The delivery does not say whose it is; only the answer to the next start does.
    let process = shop.process();
    for mut body in shop.world.events().await {
        body["data"]["object"]["metadata"] = json!({});
        process.hear(&read(&body)).await.unwrap();
    }
    shop.assert_books(1, 0, 0).await;
    closed(shop.start("ada").await);
    shop.assert_books(0, 1, 0).await;
}

#[tokio::test]
async fn attempts_are_counted_in_checks_and_end_for_the_day_and_for_good() {
    let shop = Shop::new(Limits {
        attempts_per_day: Some(2),
        attempts_in_total: Some(3),
        ..no_limits()
    })
    .await;
    let outlook = async || shop.outlook("ada").await.tries;
    assert_eq!(outlook().await, Tries::Left(2));
    for _ in 0..3 {
        // Opening costs nothing.
        shop.start("ada").await.unwrap();
    }
    assert_eq!(outlook().await, Tries::Left(2));
    shop.try_in_vain("ada").await;
    assert_eq!(outlook().await, Tries::Left(1));
    shop.try_in_vain("ada").await;
    assert!(matches!(outlook().await, Tries::UsedToday { day_ends_in }
        if day_ends_in <= Duration::from_hours(24)));
    let refused = shop.start("ada").await.unwrap_err();
    assert!(
        matches!(refused, StartError::AttemptsExhausted { again_in: Some(wait) }
        if wait <= Duration::from_hours(24))
    );
    shop.start("bob").await.unwrap();

    shop.pass("24 hours").await;
    assert_eq!(outlook().await, Tries::Left(1));
    shop.try_in_vain("ada").await;
    shop.pass("48 hours").await;
    assert_eq!(outlook().await, Tries::UsedUp);
    let refused = shop.start("ada").await.unwrap_err();
    assert_eq!(refused, StartError::AttemptsExhausted { again_in: None });
}

#[tokio::test]
async fn a_process_that_dies_after_it_allowed_an_attempt_has_noted_that_it_did() {
    let shop = Shop::new(no_limits()).await;
    let pool = shop.world.db.pool();
    shop.start("ada").await.unwrap();
    make_key(&shop.world, &[Scope::Manage]).await;
    let api_key = sqlx::query_scalar("SELECT id FROM api_keys");
    let db = store::connect(&shop.world.db.url().to_owned().into(), 1).unwrap();
    let (api_key, (key, request)) = (api_key.fetch_one(pool).await.unwrap(), ([1; 32], [2; 32]));
    let call = |holder| Call {
        api_key,
        key: &key,
        request: &request,
        holder,
    };
    let (first, second) = (call(Uuid::new_v4()), call(Uuid::new_v4()));
    let claimed = store::claim_call(&db, first).await.unwrap();
    assert_eq!(claimed, Repeat::First);
    let allow = async |call| {
        let process = shop.process();
        process.allow_attempt(&person("ada"), Some(call)).await
    };
    let user = allow(first).await.unwrap().unwrap();
    // It dies here, and its hold on the key runs out.
    let later = "UPDATE idempotency_keys SET lease_until = now() - interval '1 second'";
    sqlx::query(later).execute(pool).await.unwrap();
    let repeated = store::claim_call(&db, second).await.unwrap();
    assert_eq!(repeated, Repeat::Done(user.0));
    // Nor does one that had slept for so long.
    allow(first).await.unwrap_err();
    assert_eq!(
        shop.count("SELECT extra_attempts::bigint FROM users").await,
        1
    );
}

#[tokio::test]
async fn an_attempt_the_operator_allows_is_used_once_however_many_click() {
    let shop = Shop::new(Limits {
        attempts_per_day: Some(1),
        attempts_in_total: Some(1),
        ..no_limits()
    })
    .await;
    let spare = "SELECT extra_attempts::bigint FROM users";
    shop.try_in_vain("ada").await;
    let operator = shop.process();
    let nobody = operator
        .allow_attempt(&person("nobody"), None)
        .await
        .unwrap();
    assert_eq!(nobody, None);
    assert!(
        operator
            .allow_attempt(&person("ada"), None)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        operator
            .allow_attempt(&person("ada"), None)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(shop.count(spare).await, 2);
    assert_eq!(shop.outlook("ada").await.tries, Tries::Left(2));

    let processes: Vec<_> = (0..5).map(|_| shop.process()).collect();
    let request = request("ada");
    let clicks = (0..50).map(|click| processes[click % 5].start(&request));
    for clicked in join_all(clicks).await {
        clicked.unwrap();
    }
    assert_eq!(shop.count(spare).await, 1);
    let session = shop.start("ada").await.unwrap().session;
    assert_eq!(shop.count(spare).await, 1);
    // Gone without a check, it can be used again; with one, it is used.
    shop.cancel(session.as_str()).await;
    assert_eq!(shop.count(spare).await, 2);
    shop.try_in_vain("ada").await;
    assert_eq!(shop.count(spare).await, 1);
    shop.try_in_vain("ada").await;
    assert_eq!(shop.count(spare).await, 0);
    let refused = shop.start("ada").await.unwrap_err();
    assert_eq!(refused, StartError::AttemptsExhausted { again_in: None });
    assert_eq!(
        shop.count("SELECT count(*) FROM verification_reports")
            .await,
        3
    );
}

#[tokio::test]
async fn what_the_operator_allowed_waits_for_the_budget() {
    let shop = Shop::new(Limits {
        attempts_in_total: Some(1),
        budget: Budget {
            day: Allowance {
                checks: Some(1),
                money: None,
            },
            ..Budget::default()
        },
        ..no_limits()
    })
    .await;
    shop.try_in_vain("ada").await;
    shop.process()
        .allow_attempt(&person("ada"), None)
        .await
        .unwrap();
    closed(shop.start("ada").await);
    let spare = "SELECT extra_attempts::bigint FROM users";
    assert_eq!(shop.count(spare).await, 1);
    shop.pass("24 hours").await;
    shop.start("ada").await.unwrap();
    assert_eq!(shop.count(spare).await, 0);
}

#[tokio::test]
async fn sessions_made_for_one_person_are_counted_by_the_hour() {
    let shop = Shop::new(Limits {
        creations_per_user_per_hour: Some(2),
        ..no_limits()
    })
    .await;
    for _ in 0..2 {
        let started = shop.start("ada").await.unwrap();
        // The same one again is no creation.
        shop.start("ada").await.unwrap();
        shop.cancel(started.session.as_str()).await;
    }
    let wait = limited_for(shop.start("ada").await);
    assert!((3000..=3600).contains(&wait), "{wait}");
    shop.start("bob").await.unwrap();
    shop.pass("59 minutes").await;
    assert!(limited_for(shop.start("ada").await) <= 60);
    shop.pass("1 minute").await;
    shop.start("ada").await.unwrap();
}

#[tokio::test]
async fn sessions_made_for_one_network_are_counted_and_its_address_is_kept_nowhere() {
    let shop = Shop::new(Limits {
        creations_per_address_per_hour: Some(2),
        ..no_limits()
    })
    .await;
    shop.start_from("a", "192.0.2.1").await.unwrap();
    shop.start_from("b", "::ffff:192.0.2.1").await.unwrap();
    let wait = limited_for(shop.start_from("c", "192.0.2.1").await);
    assert!((3000..=3600).contains(&wait), "{wait}");
    shop.start_from("c", "192.0.2.2").await.unwrap();
    // An open session is nobody's creation.
    shop.start_from("a", "192.0.2.1").await.unwrap();

    shop.start_from("d", "2001:db8::1").await.unwrap();
    shop.start_from("e", "2001:db8::ffff:9").await.unwrap();
    limited_for(shop.start_from("f", "2001:db8:0:0:1234::1").await);
    shop.start_from("f", "2001:db8:0:1::1").await.unwrap();
    shop.start("from nowhere").await.unwrap();

    let kept = "SELECT count(*) FROM creations WHERE octet_length(network) = 16 \
        AND encode(network, 'hex') NOT LIKE '%c0000201%' AND encode(network, 'hex') NOT LIKE '20010db8%'";
    assert_eq!(shop.count(kept).await, 6);
    shop.pass("1 hour").await;
    shop.start_from("g", "192.0.2.1").await.unwrap();
    shop.process().keep_books().await.unwrap();
    assert_eq!(shop.count("SELECT count(*) FROM creations").await, 1);
}

#[tokio::test]
async fn a_crowd_at_one_address_gets_exactly_what_it_may_have() {
    let shop = Shop::new(Limits {
        creations_per_address_per_hour: Some(7),
        ..no_limits()
    })
    .await;
    let processes: Vec<_> = (0..4).map(|_| shop.process()).collect();
    let clicks = (0..60).map(|click| {
        let request = StartRequest {
            address: Some("192.0.2.1".parse().unwrap()),
            ..request(&format!("person {click}"))
        };
        let process = &processes[click % 4];
        // A slow machine makes some wait too long for the database, or for what one that did holds for a while; they come
        // again, as people do.
        async move {
            let ask = async || match process.start(&request).await {
                Err(StartError::Unavailable | StartError::Busy { .. }) => None,
                outcome => Some(outcome),
            };
            eventually("an answer", ask).await
        }
    });
    let outcomes = join_all(clicks).await;
    let limited = |outcome: &&Result<_, _>| matches!(outcome, Err(StartError::RateLimited { .. }));
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 7);
    assert_eq!(outcomes.iter().filter(limited).count(), 53);
    assert_eq!(shop.world.sessions().await.len(), 7);
}

#[tokio::test]
async fn the_outlook_tells_what_a_start_would_come_to() {
    let shop = Shop::with_budget(Some(1), None).await;
    let open = Outlook {
        tries: Tries::Unlimited,
        closed_for: None,
    };
    assert_eq!(shop.outlook("ada").await, open);
    shop.start("ada").await.unwrap();
    assert_eq!(shop.outlook("ada").await, open);
    let closed_for = shop.outlook("bob").await.closed_for.unwrap();
    assert!(closed_for <= Duration::from_hours(24));
}

#[tokio::test]
async fn every_warning_is_given_once_in_its_period_whichever_process_sees_it() {
    let shop = Shop::with_budget(Some(4), Some(8)).await;
    let given = async || {
        let (one, other) = (shop.process(), shop.process());
        let (one, other) = tokio::join!(one.keep_books(), other.keep_books());
        one.and(other).unwrap();
        let given = "SELECT period || ' ' || percent FROM budget_warnings ORDER BY period, percent";
        let given = sqlx::query_scalar::<_, String>(given);
        given.fetch_all(shop.world.db.pool()).await.unwrap()
    };
    shop.start("a").await.unwrap();
    assert!(given().await.is_empty());
    shop.try_in_vain("b").await;
    assert_eq!(given().await, ["day 50"]);
    shop.start("c").await.unwrap();
    shop.start("d").await.unwrap();
    let all = ["day 50", "day 80", "day 100", "month 50"];
    assert_eq!(given().await, all);
    assert_eq!(given().await, all);
    // Another day: its own warnings, and the month's are given.
    shop.sql(
        "UPDATE budget_warnings SET begins_at = begins_at - interval '1 day' WHERE period = 'day'",
    )
    .await;
    assert_eq!(given().await.len(), 7);
}

/// Whatever a search for sessions that nobody knows of does, some time later.
async fn heal(shop: &Shop) {
    let db = store::connect(&shop.world.db.url().to_owned().into(), 2).unwrap();
    let worker = Worker::start(&db).await.unwrap();
    let order = HealOrder {
        worker: worker.id(),
        every: Duration::from_mins(5),
        ahead: Duration::from_mins(10),
        by_hand: false,
    };
    let healed = shop.process().heal(order, &CancellationToken::new()).await;
    healed.unwrap().unwrap();
}

async fn break_creates(shop: &Shop, mut fault: Value) {
    fault["method"] = json!("POST");
    fault["path"] = json!(SESSIONS);
    shop.world.sandbox.fault(fault).await;
}

/// Nothing is made, for as long as that lasts.
async fn stop_creates(shop: &Shop) {
    break_creates(shop, json!({ "kind": "error", "status": 503, "times": 0 })).await;
}

#[tokio::test]
async fn what_a_failed_create_has_reserved_is_free_again_once_nothing_is_found_of_it() {
    let shop = Shop::with_budget(Some(1), None).await;
    stop_creates(&shop).await;
    let unreachable = |outcome| matches!(outcome, Err(StartError::Unreachable { .. }));
    assert!(unreachable(shop.start("ada").await));
    shop.assert_books(1, 0, 0).await;
    heal(&shop).await;
    shop.assert_books(0, 0, 1).await;
    // A later click of hers is searched for again.
    assert!(unreachable(shop.start("ada").await));
    shop.assert_books(1, 0, 0).await;
    closed(shop.start("bob").await);
    heal(&shop).await;
    shop.world.sandbox.clear_faults().await;
    shop.start("bob").await.unwrap();
    closed(shop.start("ada").await);
    shop.assert_books(1, 0, 1).await;
}

#[tokio::test]
async fn what_is_reserved_for_a_create_that_was_never_sent_is_free_at_once() {
    let shop = Shop::with_budget(Some(2), None).await;
    let (db, stripe) = (shop.world.db.url(), &shop.world.sandbox.base);
    let busy = limited(db, stripe, shop.limits.clone(), |settings| {
        settings.rate_per_second = 1;
        settings.person_patience = Duration::from_millis(900);
    });
    let (ada, bob) = (request("ada"), request("bob"));
    let (ada, bob) = tokio::join!(busy.start(&ada), busy.start(&bob));
    assert!(ada.is_ok() != bob.is_ok(), "{ada:?} {bob:?}");
    assert_eq!(shop.world.count("POST session").await, 1);
    shop.assert_books(1, 0, 1).await;
    shop.start("eve").await.unwrap();
    closed(shop.start("fay").await);
}

#[tokio::test]
async fn what_is_reserved_for_a_session_that_was_made_unseen_stays_so() {
    let shop = Shop::with_budget(Some(1), None).await;
    break_creates(&shop, json!({ "kind": "cut", "when": "after" })).await;
    break_creates(&shop, json!({ "kind": "cut", "skip": 1, "times": 2 })).await;
    shop.start("ada").await.unwrap_err();
    shop.world.sandbox.clear_faults().await;
    heal(&shop).await;
    shop.assert_books(1, 0, 0).await;
    closed(shop.start("bob").await);
    shop.start("ada").await.unwrap();
    assert_eq!(shop.world.sessions().await.len(), 1);
}

#[tokio::test]
async fn what_is_reserved_for_somebody_who_is_forgotten_before_stripe_made_anything_is_free_again()
{
    let shop = Shop::with_budget(Some(1), None).await;
    stop_creates(&shop).await;
    shop.start("ada").await.unwrap_err();
    shop.world.sandbox.clear_faults().await;
    let db = store::connect(&shop.world.db.url().to_owned().into(), 2).unwrap();
    forget_person(&db, &person("ada"), None).await.unwrap();
    let worker = Worker::start(&db).await.unwrap();
    for _ in 0..2 {
        let far = Duration::from_hours(12);
        assert_eq!(shop.process().erase_due(worker.id(), far).await.unwrap(), 1);
    }
    shop.assert_books(0, 0, 1).await;
    shop.start("bob").await.unwrap();
}

#[tokio::test]
async fn an_open_session_is_not_closed_for_another_that_may_not_be_made() {
    for (per_user, per_address) in [(Some(1), None), (None, Some(1))] {
        let shop = Shop::new(Limits {
            creations_per_user_per_hour: per_user,
            creations_per_address_per_hour: per_address,
            ..no_limits()
        })
        .await;
        let start = async |policy: &str| {
            let request = StartRequest {
                address: Some("192.0.2.1".parse().unwrap()),
                policy: Some(policy.to_owned()),
                ..request("ada")
            };
            shop.process().start(&request).await
        };
        let first = start("default").await.unwrap();
        let refused = start("flow").await.unwrap_err();
        assert!(matches!(refused, StartError::RateLimited { .. }));
        assert_eq!(shop.world.count("POST cancel").await, 0);
        shop.world.assert_one_session(first.session.as_str()).await;
        let still = start("default").await.unwrap();
        assert_eq!(still.session, first.session);
    }
}

#[tokio::test]
async fn a_session_that_replaces_another_is_counted_once() {
    let shop = Shop::new(Limits {
        creations_per_user_per_hour: Some(2),
        creations_per_address_per_hour: Some(2),
        ..no_limits()
    })
    .await;
    for policy in ["default", "flow"] {
        let request = StartRequest {
            address: Some("192.0.2.1".parse().unwrap()),
            policy: Some(policy.to_owned()),
            ..request("ada")
        };
        shop.process().start(&request).await.unwrap();
    }
}
