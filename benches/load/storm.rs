//! Storms that should cost little: the same deliveries once more, and deliveries that nobody signed; and what a lone
//! one costs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::SecretString;
use sqlx::{PgConnection, query, query_scalar};
use verigate::postgres::Durability;

use crate::{
    machine::{Machine, Server},
    plan::Plan,
    sender::Run,
    speed::{Speed, populated, show},
};

const SECRET: &str = "whsec_load";
const OF_SOMEBODY_ELSE: &str = "whsec_somebody_else";
const CONNECTIONS: usize = 200;
const DELIVERIES: usize = 40_000;
/// Unsigned deliveries a second, and good ones among them.
const BAD_PACE: f64 = 3000.0;
const GOOD_PACE: f64 = 200.0;
const BAD: usize = 30_000;
const GOOD: usize = 2000;
const LONE: usize = 1000;

/// All three, on one machine.
pub(crate) async fn storm() {
    let machine = Machine::start(Durability::Durable);
    machine.run_in().await;
    println!("Postgres: {}", machine.durability().await);
    let server = Server::start(&populated(&machine, "storm").await, &[]).await;
    let mut db = machine.connect("storm").await;
    let plan = Plan::of_events(400_000);
    let all = plan.shuffled(1, 7);
    let run = |order: &[u32], secret: &str| {
        let secret = SecretString::from(secret.to_owned());
        Run::new(
            vec![server.address()],
            secret,
            plan.events(),
            order.to_vec(),
        )
    };
    let (these, rest) = all.split_at(DELIVERIES);

    println!("\n{DELIVERIES} deliveries over {CONNECTIONS} connections");
    let first = deliver(run(these, SECRET), CONNECTIONS).await;
    println!("for the first time:      {}", show(&first));
    let again = deliver(run(these, SECRET), CONNECTIONS).await;
    println!("once more:               {}", show(&again));
    println!("times as fast:           {:.1}", again.rate / first.rate);
    assert_eq!(count(&mut db).await, i64::try_from(DELIVERIES).unwrap());

    println!(
        "\n{GOOD_PACE} good deliveries a second, alone and among {BAD_PACE} that nobody signed"
    );
    let (calm, rest) = rest.split_at(GOOD);
    let quiet = deliver(paced(run(calm, SECRET), GOOD_PACE), 16).await;
    println!("alone:                   {}", show(&quiet));
    let before = count(&mut db).await;
    let (good, rest) = rest.split_at(GOOD);
    let (bad, rest) = rest.split_at(BAD);
    let mut forged = paced(run(bad, OF_SOMEBODY_ELSE), BAD_PACE);
    forged.answer = 400;
    let (among, forged) = tokio::join!(
        deliver(paced(run(good, SECRET), GOOD_PACE), 16),
        deliver(forged, 64)
    );
    let written = count(&mut db).await - before;
    println!("among them:              {}", show(&among));
    println!("refused:                 {}", show(&forged));
    println!("rows: {written} for {GOOD} good deliveries");
    assert_eq!(written, i64::try_from(GOOD).unwrap());

    println!("\none after the other");
    let lone = deliver(run(&rest[..LONE], SECRET), 1).await;
    let commit = commits(&mut db).await;
    println!("a delivery:              {}", show(&lone));
    println!("a commit of one row:     {}", show(&commit));
    println!(
        "a delivery costs a commit and {:.2} ms",
        (lone.p50.as_secs_f64() - commit.p50.as_secs_f64()) * 1e3
    );
}

fn paced(mut run: Run, pace: f64) -> Run {
    run.pace = Some(pace);
    run
}

async fn deliver(run: Run, connections: usize) -> Speed {
    let run = Arc::new(run);
    let took = run.deliver(connections).await;
    assert_eq!(run.failures(), (0, 0), "503 answered, and broken off");
    Speed::of(&run.waits(), took)
}

async fn count(db: &mut PgConnection) -> i64 {
    let rows = query_scalar("SELECT count(*) FROM stripe_events");
    rows.fetch_one(db).await.unwrap()
}

/// The smallest thing that has to reach the disk.
async fn commits(db: &mut PgConnection) -> Speed {
    query("CREATE TABLE alone (n bigint)")
        .execute(&mut *db)
        .await
        .unwrap();
    let mut waits: Vec<Duration> = Vec::with_capacity(LONE);
    let all = Instant::now();
    for n in 0..LONE {
        let began = Instant::now();
        let row = query("INSERT INTO alone VALUES ($1)").bind(i64::try_from(n).unwrap());
        row.execute(&mut *db).await.unwrap();
        waits.push(began.elapsed());
    }
    let took = all.elapsed();
    waits.sort_unstable();
    Speed::of(&waits, took)
}
