//! Having a verification erased: kept while Stripe checks, followed to its end, raised when that takes too long, and
//! never undone by what is told late.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use verigate::{
    domain::AttemptId,
    store::{self, Db, Owner, Worker},
    verification::{Redacting, StartError, Verifier, forget_person},
};

use crate::{
    deliveries::Delivery,
    observe::{deaf_verifier, insert_attempt},
    program::{Program, run, working_folder},
    sandbox::support::id,
    support::{database::TestDb, eventually},
    telling,
    world::{World, ada, ada_starts, http_client, read, refresh},
};

/// Longer than any backoff.
const FAR: Duration = Duration::from_hours(12);

const OWNER: Owner<'static> = Owner {
    realm: "test",
    livemode: false,
};

/// A replica: its use cases, and a worker with a sign of life of its own.
struct Replica {
    verifier: Verifier,
    worker: Worker,
}

impl Replica {
    async fn start(world: &World) -> Self {
        Self {
            verifier: world.process(),
            worker: Worker::start(&connect(&world.db)).await.unwrap(),
        }
    }

    /// Does all that is due then.
    async fn erase(&self, ahead: Duration) -> usize {
        self.verifier
            .erase_due(self.worker.id(), ahead)
            .await
            .unwrap()
    }
}

fn connect(db: &TestDb) -> Db {
    store::connect(&db.url().to_owned().into(), 2).unwrap()
}

/// Somebody's verification, and how it stands.
struct Case {
    world: World,
    attempt: AttemptId,
    session: String,
}

impl Case {
    /// A document was handed in, and the check does not end by itself.
    async fn in_the_check() -> Self {
        let case = Self::open().await;
        case.come_to("success_async").await;
        case
    }

    async fn open() -> Self {
        let world = World::new().await;
        world.stop_the_clockwork().await;
        let started = world.click().await.unwrap();
        Self {
            attempt: started.attempt,
            session: started.session.to_string(),
            world,
        }
    }

    async fn come_to(&self, case: &str) {
        let how = json!({ "case": case });
        self.world.act(&self.session, "outcome", &how).await;
        self.world.hear_all().await;
    }

    async fn finish(&self) {
        self.world.act(&self.session, "finish", &json!({})).await;
    }

    async fn redact(&self) -> Redacting {
        let process = self.world.process();
        process.redact(OWNER, self.attempt).await.unwrap()
    }

    /// Where the redaction stands: at Stripe as far as we know, and in our books.
    async fn stands(&self) -> (String, Option<String>) {
        sqlx::query_as(
            "SELECT v.redaction, CASE WHEN r.ended_at IS NOT NULL THEN r.outcome \
                 WHEN r.begun_at IS NOT NULL THEN 'begun' WHEN r.requested_at IS NOT NULL THEN 'kept' END \
             FROM verifications v LEFT JOIN redactions r ON r.verification_id = v.id WHERE v.id = $1",
        )
        .bind(self.attempt.0)
        .fetch_one(self.world.db.pool())
        .await
        .unwrap()
    }

    async fn is(&self, redaction: &str, books: &str) {
        let expected = (redaction.to_owned(), Some(books.to_owned()));
        assert_eq!(self.stands().await, expected);
    }

    async fn run(&self, statement: &'static str) {
        let done = sqlx::query(statement).execute(self.world.db.pool()).await;
        assert!(done.unwrap().rows_affected() > 0, "{statement}");
    }

    async fn asked(&self) -> usize {
        redactions_asked(&self.world).await
    }
}

/// How often Stripe was asked to erase something.
async fn redactions_asked(world: &World) -> usize {
    let calls = world.sandbox.calls().await;
    let paths = calls.iter().map(|call| call["path"].as_str().unwrap());
    paths.filter(|path| path.ends_with("/redact")).count()
}

#[tokio::test]
async fn what_is_asked_for_while_the_document_is_checked_is_done_once_that_is_over() {
    let case = Case::in_the_check().await;
    let replica = Replica::start(&case.world).await;
    assert_eq!(case.redact().await, Redacting::Kept);
    case.is("none", "kept").await;
    // Again, and nothing is asked twice before it is due.
    assert_eq!(case.redact().await, Redacting::Kept);
    assert_eq!(replica.erase(Duration::ZERO).await, 0);
    let asked = case.asked().await;
    // The person waits as before.
    let start = case.world.process().start(&ada_starts()).await;
    assert_eq!(start.unwrap_err(), StartError::Processing);
    case.finish().await;
    assert_eq!(replica.erase(Duration::ZERO).await, 0, "nobody has told us");
    case.world.hear_all().await;
    assert_eq!(replica.erase(Duration::ZERO).await, 1);
    assert_eq!(case.asked().await, asked + 1);
    case.is("processing", "begun").await;
    assert_eq!(case.world.person().await, "verified", "the verdict stays");
    case.finish().await;
    case.world.hear_all().await;
    case.is("redacted", "redacted").await;
    assert_eq!(replica.erase(FAR).await, 0, "it is over");
}

#[tokio::test]
async fn a_check_that_nobody_tells_the_end_of_is_found_over_all_the_same() {
    let case = Case::in_the_check().await;
    let replica = Replica::start(&case.world).await;
    assert_eq!(case.redact().await, Redacting::Kept);
    assert_eq!(replica.erase(Duration::from_mins(2)).await, 1);
    case.is("none", "kept").await;
    case.finish().await;
    assert_eq!(replica.erase(Duration::from_mins(10)).await, 1);
    case.is("processing", "begun").await;
}

#[tokio::test]
async fn nothing_of_it_is_handed_out_between_the_end_of_the_check_and_the_erasure() {
    let case = Case::open().await;
    case.come_to("failure_async").await;
    assert_eq!(case.redact().await, Redacting::Kept);
    case.finish().await;
    case.world.hear_all().await;
    assert_eq!(case.world.person().await, "requires_input");
    let next = case.world.click().await.unwrap();
    assert_ne!(next.session.as_str(), case.session, "another one is begun");
    let replica = Replica::start(&case.world).await;
    assert_eq!(replica.erase(Duration::ZERO).await, 1);
    case.is("processing", "begun").await;
    let theirs = case.world.sessions().await;
    let erased = theirs.iter().filter(|it| !it["redaction"].is_null());
    assert_eq!(erased.map(id).collect::<Vec<_>>(), [&case.session]);
}

#[tokio::test]
async fn an_erasure_that_is_only_validated_has_not_begun() {
    let case = Case::open().await;
    let replica = Replica::start(&case.world).await;
    let told = Delivery::new("evt_validated", "created", 1_790_000_000, &case.session);
    let told = told.session("redaction", json!({ "status": "validated" }));
    case.world.process().hear(&told.read()).await.unwrap();
    assert_eq!(case.stands().await, ("validated".to_owned(), None));
    let next = case.world.click().await.unwrap();
    assert_eq!(next.session.as_str(), case.session, "it is still open");
    assert_eq!((replica.erase(FAR).await, case.asked().await), (0, 0));
    assert_eq!(case.redact().await, Redacting::Begun);
    assert_eq!(case.asked().await, 1);
    case.is("processing", "begun").await;
}

#[tokio::test]
async fn an_erasure_that_is_only_validated_is_asked_for_when_its_person_is_forgotten() {
    let case = Case::open().await;
    let replica = Replica::start(&case.world).await;
    case.run("UPDATE verifications SET redaction = 'validated'")
        .await;
    let db = connect(&case.world.db);
    forget_person(&db, &ada(), None).await.unwrap().unwrap();
    assert_eq!(replica.erase(Duration::ZERO).await, 1);
    assert_eq!(case.asked().await, 1);
    case.is("processing", "begun").await;
}

/// Servers before this migration followed such a one as if it had begun.
#[tokio::test]
async fn what_was_followed_while_only_validated_is_asked_for_if_anybody_did() {
    const MIGRATION: &str = include_str!("../../migrations/0023_redactions_and_searches.sql");
    for (asked, books) in [("now()", None), ("now() - interval '1 hour'", Some("kept"))] {
        let case = Case::open().await;
        let pool = case.world.db.pool();
        case.run("UPDATE verifications SET redaction = 'validated'")
            .await;
        let followed = format!(
            "INSERT INTO redactions (verification_id, requested_at, begun_at) \
             SELECT id, {asked}, now() FROM verifications"
        );
        let followed = sqlx::query(AssertSqlSafe(followed));
        followed.execute(pool).await.unwrap();
        sqlx::raw_sql(MIGRATION).execute(pool).await.unwrap();
        let expected = ("validated".to_owned(), books.map(str::to_owned));
        assert_eq!(case.stands().await, expected);
    }
}

#[tokio::test]
async fn an_erasure_that_is_refused_because_the_check_only_just_ended_is_kept() {
    for outcome in ["success", "failure"] {
        let case = Case::open().await;
        let replica = Replica::start(&case.world).await;
        case.come_to(outcome).await;
        let checking = json!({
            "path": "/v1/identity/verification_sessions/*/redact", "kind": "error", "status": 400,
        });
        case.world.sandbox.fault(checking).await;
        assert_eq!(case.redact().await, Redacting::Kept, "{outcome}");
        case.is("none", "kept").await;
        assert_eq!(replica.erase(Duration::from_mins(2)).await, 1);
        case.is("processing", "begun").await;
    }
}

#[tokio::test]
async fn an_erasure_that_no_event_tells_the_end_of_is_looked_at_hours_apart() {
    let case = Case::open().await;
    let replica = Replica::start(&case.world).await;
    assert_eq!(case.redact().await, Redacting::Begun);
    case.is("processing", "begun").await;
    assert_eq!(replica.erase(Duration::from_mins(50)).await, 0);
    let looks = case.world.count("GET one").await;
    assert_eq!(replica.erase(Duration::from_mins(70)).await, 1);
    assert_eq!(case.world.count("GET one").await, looks + 1);
    case.is("processing", "begun").await;
    assert_eq!(replica.erase(Duration::from_mins(50)).await, 0);
    case.finish().await;
    assert_eq!(replica.erase(FAR).await, 1);
    case.is("redacted", "redacted").await;
}

#[tokio::test]
async fn an_erasure_begun_in_the_dashboard_is_followed_too() {
    let case = Case::open().await;
    case.world.api(&case.session, "redact").await;
    case.world.hear_all().await;
    // The event of the cancellation may have been written before the erasure: the next look knows.
    let due = "UPDATE verifications SET refresh_due_at = now(), hinted = hinted + 1";
    case.run(due).await;
    refresh(case.world.db.url(), &case.world.process(), FAR)
        .await
        .unwrap();
    case.is("processing", "begun").await;
    case.finish().await;
    case.world.hear_all().await;
    case.is("redacted", "redacted").await;
}

#[tokio::test]
async fn an_erasure_is_followed_on_when_its_session_turns_out_to_be_somebodys() {
    let db = TestDb::new().await;
    let verifier = deaf_verifier(&db);
    let erasing = Delivery::new("evt_2", "canceled", 1_790_000_010, "vs_1");
    let erasing = erasing.session("redaction", json!({ "status": "processing" }));
    verifier.hear(&erasing.read()).await.unwrap();
    let followed = async || -> Vec<(Option<uuid::Uuid>, bool)> {
        let query = "SELECT v.user_id, r.begun_at IS NOT NULL FROM redactions r \
            JOIN verifications v ON v.id = r.verification_id";
        sqlx::query_as(query).fetch_all(db.pool()).await.unwrap()
    };
    assert_eq!(followed().await, [(None, true)]);
    let attempt = insert_attempt(db.pool(), "ada").await.to_string();
    let created = Delivery::new("evt_1", "created", 1_790_000_000, "vs_1").of_attempt(&attempt);
    verifier.hear(&created.read()).await.unwrap();
    let followed = followed().await;
    assert!(
        followed.len() == 1 && followed[0].0.is_some() && followed[0].1,
        "{followed:?}"
    );
}

#[tokio::test]
async fn what_takes_longer_than_four_days_is_raised_once_and_stays_to_be_seen() {
    let case = Case::open().await;
    case.redact().await;
    let (one, other) = (case.world.process(), case.world.process());
    assert_eq!(one.watch_erasures().await.unwrap(), 0);
    case.run("UPDATE redactions SET begun_at = begun_at - interval '95 hours'")
        .await;
    assert_eq!(one.watch_erasures().await.unwrap(), 0);
    case.run("UPDATE redactions SET begun_at = begun_at - interval '2 hours'")
        .await;
    let attempt = case.attempt.to_string();
    telling::log_from_now_on();
    let (first, second) = tokio::join!(one.watch_erasures(), other.watch_erasures());
    let again = one.watch_erasures().await.unwrap();
    assert!(first.unwrap().max(second.unwrap()) == 1 && again == 1);
    let lines = telling::logged_with(&attempt);
    let errors: Vec<&Value> = lines.iter().filter(|it| it["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{lines:?}");

    let explain = async || {
        let folder = working_folder();
        let variables = [("DATABASE_URL", case.world.db.url())];
        let said = run(&["explain", &case.session], &variables, folder.path());
        String::from_utf8(said.stdout).unwrap()
    };
    let said = explain().await;
    assert!(
        said.contains("redaction processing") && said.contains("OVERDUE"),
        "{said}"
    );
    case.finish().await;
    case.world.hear_all().await;
    assert_eq!(one.watch_erasures().await.unwrap(), 0);
    assert!(!explain().await.contains("OVERDUE"));
}

/// Everything that anybody is shown, and how many rows there are.
async fn shown(world: &World) -> Vec<String> {
    let mut shown = Vec::new();
    for query in [
        "SELECT concat_ws(' ', status, verified_at, updated_at, sequence) FROM users",
        "SELECT concat_ws(' ', session_id, user_id, status, error_code, report_id, redaction, gone_at, current) \
         FROM verifications ORDER BY id",
        "SELECT concat_ws(' ', report_id, cost) FROM verification_reports ORDER BY 1",
        "SELECT cause FROM verification_history ORDER BY id",
        "SELECT concat_ws(' ', type, data) FROM outbox ORDER BY id",
        "SELECT concat_ws(' ', outcome, ended_at) FROM redactions",
    ] {
        let rows = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        let rows: Vec<String> = rows.fetch_all(world.db.pool()).await.unwrap();
        shown.push(rows.join("\n"));
    }
    shown
}

#[tokio::test]
async fn an_erased_session_takes_up_whatever_is_told_late_and_shows_nothing_of_it() {
    let case = Case::open().await;
    case.come_to("failure").await;
    case.come_to("success").await;
    case.redact().await;
    let told = case.world.events().await;
    case.finish().await;
    case.world.hear_all().await;
    case.is("redacted", "redacted").await;
    let before = shown(&case.world).await;
    assert!(before.iter().all(|part| !part.is_empty()), "{before:?}");
    // All of it once more, in any order, as if none had come before.
    sqlx::query("DELETE FROM stripe_events")
        .execute(case.world.db.pool())
        .await
        .unwrap();
    let process = case.world.process();
    for body in told.iter().rev() {
        process.hear(&read(body)).await.unwrap();
    }
    // By other names, and with what the session no longer says of itself.
    let second = told[0]["created"].as_i64().unwrap();
    for (number, kind) in ["created", "processing", "created"].iter().enumerate() {
        let late = Delivery::new(&format!("evt_late{number}"), kind, second, &case.session);
        process.hear(&late.read()).await.unwrap();
    }
    assert_eq!(shown(&case.world).await, before);
    let replica = Replica::start(&case.world).await;
    assert_eq!(replica.erase(FAR).await, 0);
}

/// Forty people, each with a verification whose erasure is due.
async fn many_due(world: &World) -> usize {
    for number in 0..40 {
        let mut request = ada_starts();
        request.person.external_id = format!("person_{number}");
        let started = world.process().start(&request).await.unwrap();
        sqlx::query("INSERT INTO redactions (verification_id) VALUES ($1)")
            .bind(started.attempt.0)
            .execute(world.db.pool())
            .await
            .unwrap();
    }
    40
}

#[tokio::test]
async fn two_replicas_share_the_work_and_ask_for_nothing_twice() {
    let world = World::new().await;
    world.stop_the_clockwork().await;
    let all = many_due(&world).await;
    let (one, other) = (Replica::start(&world).await, Replica::start(&world).await);
    let work = async |replica: &Replica| {
        let mut done = 0;
        loop {
            match replica.erase(Duration::ZERO).await {
                0 => return done,
                some => done += some,
            }
        }
    };
    let (first, second) = tokio::join!(work(&one), work(&other));
    assert_eq!(first + second, all);
    assert!(first > 0 && second > 0, "{first} and {second}");
    assert_eq!(redactions_asked(&world).await, all);
}

#[tokio::test]
async fn what_a_dead_worker_had_claimed_is_taken_over_at_once() {
    let case = Case::open().await;
    let survivor = Replica::start(&case.world).await;
    let dead = Worker::start(&connect(&case.world.db)).await.unwrap();
    sqlx::query(
        "INSERT INTO redactions (verification_id, claimed_by, claimed_until) VALUES ($1, $2, now() + interval '2 minutes')",
    )
    .bind(case.attempt.0)
    .bind(dead.id())
    .execute(case.world.db.pool())
    .await
    .unwrap();
    assert_eq!(
        survivor.erase(Duration::ZERO).await,
        0,
        "it is being seen to"
    );
    drop(dead);
    eventually("its number is free", async || {
        (survivor.erase(Duration::ZERO).await == 1).then_some(())
    })
    .await;
    case.is("processing", "begun").await;
}

#[tokio::test]
async fn stripe_away_puts_an_erasure_off_and_a_refusal_does_not_end_it() {
    let case = Case::open().await;
    let replica = Replica::start(&case.world).await;
    sqlx::query("INSERT INTO redactions (verification_id) VALUES ($1)")
        .bind(case.attempt.0)
        .execute(case.world.db.pool())
        .await
        .unwrap();
    for (status, ahead) in [(500, Duration::ZERO), (403, FAR), (400, FAR)] {
        let fault = json!({
            "path": "/v1/identity/verification_sessions/*/redact", "kind": "error", "status": status, "times": 0,
        });
        case.world.sandbox.fault(fault).await;
        assert_eq!(replica.erase(ahead).await, 1);
        case.world.sandbox.clear_faults().await;
        case.is("none", "kept").await;
    }
    assert_eq!(replica.erase(FAR).await, 1);
    case.is("processing", "begun").await;
}

#[tokio::test]
async fn a_canceled_session_that_stripe_does_not_erase_and_one_it_does_not_have_are_over() {
    for (lose, outcome) in [(false, "refused"), (true, "gone")] {
        let case = Case::open().await;
        let replica = Replica::start(&case.world).await;
        case.world.api(&case.session, "cancel").await;
        case.world.hear_all().await;
        sqlx::query("INSERT INTO redactions (verification_id) VALUES ($1)")
            .bind(case.attempt.0)
            .execute(case.world.db.pool())
            .await
            .unwrap();
        if lose {
            case.world.sandbox.control("/_reset", &json!({})).await;
        } else {
            let fault = json!({
                "path": "/v1/identity/verification_sessions/*/redact", "kind": "error", "status": 400, "times": 0,
            });
            case.world.sandbox.fault(fault).await;
        }
        assert_eq!(replica.erase(Duration::ZERO).await, 1);
        case.is("none", outcome).await;
        assert_eq!(replica.erase(FAR).await, 0);
    }
}

#[tokio::test]
async fn a_running_server_shows_how_many_take_too_long() {
    let case = Case::open().await;
    case.redact().await;
    case.run("UPDATE redactions SET begun_at = begun_at - interval '97 hours'")
        .await;
    let folder = working_folder();
    let variables = [
        ("DATABASE_URL", case.world.db.url()),
        ("STRIPE_API_BASE", &case.world.sandbox.base),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
    ];
    let mut program = Program::start(&["dev"], &variables, folder.path());
    let told = "\"metrics are served\",\"address\":\"";
    let address = program.word_after(told).await;
    let address = format!("http://{}/metrics", address.split('"').next().unwrap());
    let shows = async |number: &str| {
        eventually("the metric", async || {
            let scraped = http_client().get(&address).send().await.ok()?;
            let text = scraped.text().await.ok()?;
            let line = format!("verigate_redactions_overdue {number}\n");
            text.contains(&line).then_some(())
        })
        .await;
    };
    shows("1").await;
    let raised = program.logged();
    assert!(raised.contains("within four days"), "{raised}");
}
