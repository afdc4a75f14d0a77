//! Servers and Postgres die in the middle of a storm. Whatever was acknowledged is there, and everything has its effect
//! once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Executor as _, PgConnection, query_scalar};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    converge::lost,
    machine::{Machine, Server},
    plan::Plan,
    receiver::{Receiver, Told},
    rolling::all_told,
    sender::Run,
    tables::{self, Hash},
};

/// Before anything dies, so many deliveries wait for an answer.
const AT_LEAST_IN_FLIGHT: usize = 20;
const CONNECTIONS: usize = 64;
const COPIES: u32 = 4;

/// What dies, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) of_the_server: usize,
    pub(crate) of_postgres: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Survived {
    pub(crate) deliveries: usize,
    /// Unacknowledged at each death.
    pub(crate) in_flight: Vec<usize>,
    pub(crate) answered_not_now: usize,
    pub(crate) broken_off: usize,
    /// From the last death until the last delivery was taken.
    pub(crate) drained_in: Duration,
    pub(crate) lost: usize,
    pub(crate) stormed: Vec<Hash>,
    pub(crate) calm: Vec<Hash>,
    /// Rows that only one of them has.
    pub(crate) differences: Vec<String>,
    /// What reached the application's endpoint.
    pub(crate) told: Told,
    /// People whose messages are not numbered from one without a gap, or whose last one does not say what they are; and
    /// those told of whom there are none.
    pub(crate) wrongly_told: i64,
    /// Attempts whose history does not end with what they are, or has a line that does not begin where the one before ended;
    /// and those noted that there are none of.
    pub(crate) wrongly_noted: i64,
}

/// Delivers every event several times while things die, and compares with the same events in order, one by one.
pub(crate) async fn crash(machine: &mut Machine, deliveries: u32, faults: Faults) -> Survived {
    let plan = Plan::of_events(deliveries / COPIES);
    let receiver = Receiver::start().await;
    let settings = receiver.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut server = Server::start(&machine.database("crashed").await, &settings).await;
    plan.seed(&mut machine.connect("crashed").await).await;
    let order = plan.shuffled(COPIES, 2);
    let deliveries = order.len();
    let target = server.target();
    let run = Run::new(vec![target.server], target.secret, plan.events(), order);
    let run = Arc::new(run);
    let sending: JoinHandle<Duration> = tokio::spawn({
        let run = Arc::clone(&run);
        async move { run.deliver(CONNECTIONS).await }
    });
    let in_flight = break_things(machine, &mut server, &run, faults).await;
    let last = Instant::now();
    sending.await.unwrap();
    let drained_in = last.elapsed();
    all_told(&mut machine.connect("crashed").await).await;

    let calm = Server::start(&machine.database("calm").await, &[]).await;
    plan.seed(&mut machine.connect("calm").await).await;
    let (events, in_order) = (plan.events(), plan.in_order());
    let target = calm.target();
    let slowly = Run::new(vec![target.server], target.secret, events, in_order);
    Arc::new(slowly).deliver(1).await;

    let (mut db, mut reference) = (
        machine.connect("crashed").await,
        machine.connect("calm").await,
    );
    let (answered_not_now, broken_off) = run.failures();
    assert_judges_can_fail(&mut db).await;
    Survived {
        deliveries,
        in_flight,
        answered_not_now,
        broken_off,
        drained_in,
        lost: lost(&run, &tables::events(&mut db).await),
        stormed: tables::hashes(&mut db).await,
        calm: tables::hashes(&mut reference).await,
        differences: tables::differences(&mut db, &mut reference).await,
        told: receiver.compare(&mut db).await,
        wrongly_told: wrongly_told(&mut db).await,
        wrongly_noted: wrongly_noted(&mut db).await,
    }
}

/// Deaths spread over the storm, Postgres' among the server's. Gives what was in flight at each.
async fn break_things(
    machine: &mut Machine,
    server: &mut Server,
    run: &Run,
    faults: Faults,
) -> Vec<usize> {
    let all = faults.of_the_server + faults.of_postgres;
    let mut in_flight = Vec::with_capacity(all);
    let mut of_postgres = 0;
    for n in 1..=all {
        // The last fifth of the storm is left for what comes after the last death.
        let due = run.order.len() * 4 / 5 * n / all;
        while run.begun() < due || run.in_flight() < AT_LEAST_IN_FLIGHT {
            assert!(
                run.begun() < run.order.len(),
                "the storm was over before the last death"
            );
            sleep(Duration::from_micros(200)).await;
        }
        in_flight.push(run.in_flight());
        if of_postgres * all < n * faults.of_postgres {
            of_postgres += 1;
            machine.stop_postgres_immediately();
            machine.start_postgres_again();
        } else {
            server.kill();
            server.start_again();
        }
        server.ready().await;
    }
    in_flight
}

/// A judge that nobody can fail before proves nothing.
async fn assert_judges_can_fail(db: &mut PgConnection) {
    let before = tables::hashes(db).await;
    for (what, spoil) in [
        (
            "a message lost",
            "DELETE FROM outbox WHERE id = (SELECT id FROM outbox WHERE sequence = 1 LIMIT 1)",
        ),
        (
            "a change noted twice",
            "INSERT INTO verification_history (verification_id, from_status, to_status, cause)
             SELECT verification_id, from_status, to_status, cause FROM verification_history
             WHERE from_status <> to_status LIMIT 1",
        ),
        (
            "a report lost",
            "DELETE FROM verification_reports
             WHERE report_id = (SELECT report_id FROM verification_reports LIMIT 1)",
        ),
    ] {
        db.execute("BEGIN").await.unwrap();
        let spoilt = db.execute(spoil).await.unwrap();
        assert_eq!(spoilt.rows_affected(), 1, "{what}");
        let is_noticed = wrongly_told(db).await + wrongly_noted(db).await > 0
            || tables::hashes(db).await != before;
        db.execute("ROLLBACK").await.unwrap();
        assert!(is_noticed, "nobody notices {what}");
    }
}

async fn wrongly_told(db: &mut PgConnection) -> i64 {
    query_scalar(
        "WITH told AS (
             SELECT user_id, count(*) AS messages, min(sequence) AS first, max(sequence) AS last,
                    (array_agg(data -> 'user' ->> 'status' ORDER BY sequence DESC))[1] AS says
             FROM outbox GROUP BY user_id)
         SELECT count(*) FROM users u FULL JOIN told t ON t.user_id = u.id
         WHERE u.id IS NULL OR COALESCE(t.says, 'none') <> u.status OR t.first <> 1 OR t.last <> t.messages",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

async fn wrongly_noted(db: &mut PgConnection) -> i64 {
    query_scalar(
        "WITH noted AS (
             SELECT verification_id, (array_agg(to_status ORDER BY id DESC))[1] AS status
             FROM verification_history WHERE to_status IS NOT NULL GROUP BY verification_id),
         torn AS (
             SELECT DISTINCT verification_id FROM (
                 SELECT verification_id, from_status,
                        lag(to_status) OVER (PARTITION BY verification_id ORDER BY id) AS before
                 FROM verification_history) lines
             WHERE from_status IS DISTINCT FROM before)
         SELECT count(*) FROM verifications v FULL JOIN noted n ON n.verification_id = v.id
         WHERE v.id IS NULL OR n.status IS DISTINCT FROM v.status OR v.id IN (SELECT verification_id FROM torn)",
    )
    .fetch_one(db)
    .await
    .unwrap()
}
