//! How fast deliveries are taken: Verigate, a peer, and what Postgres alone can do, in turns on one machine.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::time::sleep;
use verigate::postgres::Durability;

use crate::{
    machine::{Machine, Server, Times},
    others::{OTHERS, Turn},
    plan::Plan,
    sender::Run,
};

pub(crate) const SECRET: &str = "whsec_load";
/// How long each is measured in each round.
pub(crate) const ROUND: Duration = Duration::from_secs(8);
/// More events than anybody takes in a round.
pub(crate) const PLENTY: u32 = 400_000;

/// Deliveries a second, and how long they waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Speed {
    /// Of deliveries that all were taken.
    pub(crate) fn of(waits: &[Duration], took: Duration) -> Self {
        let at = |percent: usize| waits.get(waits.len() * percent / 100).copied();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number of deliveries is small"
        )]
        let rate = waits.len() as f64 / took.as_secs_f64();
        Self {
            rate,
            p50: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
        }
    }
}

/// Delivers the first of these events for a while, to people who are there, as fast as they are taken, or at a pace; the
/// rest is left.
pub(crate) async fn for_a_while(
    servers: Vec<SocketAddr>,
    connections: usize,
    events: &mut Vec<u32>,
    pace: Option<f64>,
) -> Speed {
    let all = Plan::of_events(PLENTY).events();
    let mut run = Run::new(servers, SecretString::from(SECRET), all, events.clone());
    run.pace = pace;
    let run = Arc::new(run);
    let clock = Arc::clone(&run);
    tokio::spawn(async move {
        sleep(ROUND).await;
        clock.stop();
    });
    let took = run.deliver(connections).await;
    assert_eq!(run.failures(), (0, 0), "503 answered, and broken off");
    let waits = run.waits();
    assert!(waits.len() < events.len(), "they had nothing left to take");
    events.drain(..waits.len());
    Speed::of(&waits, took)
}

/// A database with everybody in it. What making it left to do is done.
pub(crate) async fn populated(machine: &Machine, name: &str) -> String {
    populated_after(machine, name, "").await
}

/// The same, with its tables changed first.
pub(crate) async fn populated_after(machine: &Machine, name: &str, change: &'static str) -> String {
    let url = machine.database(name).await;
    let mut db = machine.connect(name).await;
    db.execute(change).await.unwrap();
    Plan::of_events(PLENTY).seed_known(&mut db).await;
    db.execute("CHECKPOINT").await.unwrap();
    url
}

/// What was written for an event, on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) events: i64,
    pub(crate) history: i64,
    pub(crate) messages: i64,
    pub(crate) reports: i64,
}

impl Rows {
    pub(crate) async fn of(machine: &Machine, database: &str) -> Self {
        let mut db = machine.connect(database).await;
        let mut count = async |table: &str| -> i64 {
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
        };
        Self {
            events: count("stripe_events").await,
            history: count("verification_history").await,
            messages: count("outbox").await,
            reports: count("verification_reports").await,
        }
    }

    /// Whoever answered without writing would be the fastest.
    pub(crate) fn assert_all_there(self, taken: usize) {
        assert_eq!(self.events, i64::try_from(taken).unwrap());
    }

    /// How many so many rows are for a thousand events.
    pub(crate) fn per_mille(self, rows: i64) -> i64 {
        rows * 1000 / self.events.max(1)
    }

    pub(crate) fn show(self) -> String {
        let Self {
            history,
            messages,
            reports,
            ..
        } = self;
        let [history, messages, reports] =
            [history, messages, reports].map(|rows| self.per_mille(rows));
        format!(
            "of 1000 events: {history} lines of history, {messages} messages, {reports} reports"
        )
    }
}

/// Everybody in turns, and compared within each round, since the machine may be another one in the next.
pub(crate) async fn speed(connections: usize, rounds: u64) {
    let machine = Machine::start(Durability::Durable);
    machine.run_in().await;
    println!("Postgres: {}", machine.durability().await);
    println!(
        "{connections} connections, {rounds} rounds of {} s each\n",
        ROUND.as_secs()
    );
    let mut times = [const { Vec::new() }; OTHERS.len()];
    for round in 0..rounds {
        let name = |who: &str| format!("{who}_{connections}_{round}");
        let database = populated(&machine, &name("ours")).await;
        let events = Plan::of_events(PLENTY).shuffled(1, round);
        let (speed, ours) = ours(&machine, &name("ours"), &database, connections, events).await;
        machine.drop_database(&name("ours")).await;
        for (n, (other, times)) in OTHERS.iter().zip(&mut times).enumerate() {
            let name = name(&format!("other{n}"));
            let turn = Turn {
                connections,
                round,
                ours,
            };
            let rate = other.rate(&machine, &name, turn).await;
            times.push(speed.rate / rate);
            machine.drop_database(&name).await;
        }
    }
    println!();
    for (other, times) in OTHERS.iter().zip(&mut times) {
        let each: Vec<String> = times.iter().map(|it| format!("{it:.1}")).collect();
        times.sort_by(f64::total_cmp);
        println!(
            "times {}: {}, the median {:.2}",
            other.name(),
            each.join(", "),
            times[times.len() / 2]
        );
    }
}

/// One round of ours: as much as it takes, and then half of that. The rows are those of the first.
async fn ours(
    machine: &Machine,
    name: &str,
    database: &str,
    connections: usize,
    mut events: Vec<u32>,
) -> (Speed, Rows) {
    let server = Server::start(database, &[]).await;
    let servers = || vec![server.address()];
    let before = Work::of(machine, &server);
    let all = events.len();
    let speed = for_a_while(servers(), connections, &mut events, None).await;
    let work = Work::of(machine, &server).since(before);
    let rows = Rows::of(machine, name).await;
    rows.assert_all_there(all - events.len());
    println!(
        "Verigate                   {}  {:.1} MB, {}",
        show(&speed),
        server.memory(),
        work.of_each(speed.rate * ROUND.as_secs_f64())
    );
    println!("                           {}", rows.show());
    let half = Some(speed.rate / 2.0);
    let half = for_a_while(servers(), connections, &mut events, half).await;
    println!("at half of that            {}", show(&half));
    Rows::of(machine, name)
        .await
        .assert_all_there(all - events.len());
    (speed, rows)
}

/// Processor time.
#[derive(Clone, Copy, Debug)]
struct Work {
    server: Duration,
    postgres: Duration,
    load: Duration,
}

impl Work {
    fn of(machine: &Machine, server: &Server) -> Self {
        Self {
            server: server.worked(),
            postgres: machine.worked(),
            load: Times::of(std::process::id()).unwrap().worked(false),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            postgres: self.postgres.saturating_sub(before.postgres),
            load: self.load.saturating_sub(before.load),
        }
    }

    /// Where a delivery's time goes.
    fn of_each(self, deliveries: f64) -> String {
        let each = |it: Duration| it.as_secs_f64() * 1e6 / deliveries;
        format!(
            "each took {:.0} us of a processor: server {:.0}, Postgres {:.0}, load {:.0}",
            each(self.server + self.postgres + self.load),
            each(self.server),
            each(self.postgres),
            each(self.load)
        )
    }
}

/// As a line of a table.
pub(crate) fn show(speed: &Speed) -> String {
    let ms = |it: Duration| it.as_secs_f64() * 1e3;
    format!(
        "{:8.0}/s  p50 {:6.1} ms  p99 {:6.1} ms",
        speed.rate,
        ms(speed.p50),
        ms(speed.p99)
    )
}
