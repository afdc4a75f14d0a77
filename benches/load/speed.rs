//! How fast deliveries are taken: Verigate, a peer, and what Postgres alone can do, in turns on one machine.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::{net::TcpStream, time::sleep};
use verigate::postgres::Durability;

use crate::{
    machine::{Machine, Server, Times, free_address},
    plan::Plan,
    sender::Run,
};

const SECRET: &str = "whsec_load";
/// How long each is measured in each round.
const ROUND: Duration = Duration::from_secs(8);
/// More events than anybody takes in a round.
const PLENTY: u32 = 400_000;
/// The pools of all processes of a peer together: neither more nor fewer made it faster.
const PEER_CONNECTIONS: usize = 16;

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
    let url = machine.database(name).await;
    let mut db = machine.connect(name).await;
    Plan::of_events(PLENTY).seed_known(&mut db).await;
    db.execute("CHECKPOINT").await.unwrap();
    url
}

/// One or more processes of the peer; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Peers(Vec<(Child, SocketAddr)>);

impl Peers {
    /// Starts them; returns when they listen.
    pub(crate) async fn start(database: &str, processes: usize) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer");
        assert!(
            folder.join("node_modules").exists(),
            "install what the peer is made of first: (cd benches/peer && npm ci --ignore-scripts)"
        );
        let mut started = Vec::new();
        for _ in 0..processes {
            let address = free_address();
            let child = Command::new("node")
                .arg("server.mjs")
                .current_dir(&folder)
                .env("NODE_ENV", "production")
                .env("DATABASE_URL", database)
                .env("STRIPE_WEBHOOK_SECRET", SECRET)
                .env("CONNECTIONS", (PEER_CONNECTIONS / processes).to_string())
                .env("PORT", address.port().to_string())
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            started.push((child, address));
        }
        for (_, address) in &started {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        Self(started)
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|&(_, address)| address).collect()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What was written for an event, on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    events: i64,
    history: i64,
    messages: i64,
    reports: i64,
}

impl Rows {
    async fn of(machine: &Machine, database: &str) -> Self {
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
    fn assert_all_there(self, taken: usize) {
        assert_eq!(self.events, i64::try_from(taken).unwrap());
    }

    /// How many so many rows are for a thousand events.
    fn per_mille(self, rows: i64) -> i64 {
        rows * 1000 / self.events.max(1)
    }

    fn show(self) -> String {
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

/// What Postgres commits in a second when it is asked for nothing but the rows of one event in each transaction, `as_many`
/// as were written by somebody else.
pub(crate) fn ceiling(machine: &Machine, database: &str, connections: usize, as_many: Rows) -> f64 {
    let more = as_many.messages - as_many.history;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer/ceiling.sql");
    let url = machine.url(database);
    let people = Plan::of_events(PLENTY).people();
    let said = Command::new(program("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--client"])
        .arg(connections.to_string())
        .arg("--time")
        .arg(ROUND.as_secs().to_string())
        .arg(format!("--define=people={people}"))
        .arg(format!(
            "--define=changes={}",
            as_many.per_mille(as_many.history)
        ))
        .arg(format!("--define=more={}", as_many.per_mille(more)))
        .arg(format!(
            "--define=reported={}",
            as_many.per_mille(as_many.reports)
        ))
        .arg("--file")
        .arg(script)
        .arg(url)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&said.stdout);
    let tps = words.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|it| it.split_whitespace().next()?.parse().ok());
    tps.unwrap_or_else(|| panic!("{words}{}", String::from_utf8_lossy(&said.stderr)))
}

/// Debian keeps it beside the server, off the path.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let installed = versions.map(|version| version.path().join("bin").join(name));
    installed
        .filter(|path| path.exists())
        .max()
        .unwrap_or_else(|| name.into())
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
    let mut times = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let name = |who: &str| format!("{who}_{connections}_{round}");
        let database = populated(&machine, &name("ours")).await;
        let events = Plan::of_events(PLENTY).shuffled(1, round);
        let (ours, rows) = ours(&machine, &name("ours"), &database, connections, events).await;
        machine.drop_database(&name("ours")).await;
        let [of_peer, of_peers, of_ceiling] = &mut times;
        for (processes, times) in [(1, of_peer), (2, of_peers)] {
            let peer = name(&format!("peer{processes}"));
            let database = populated(&machine, &peer).await;
            let peers = Peers::start(&database, processes).await;
            // From all events it would have got only to where nearly every one is its session's first news, and changes
            // most.
            let mut events = Plan::of_events(PLENTY).shuffled_tenth(round);
            let before = events.len();
            let speed = for_a_while(peers.addresses(), connections, &mut events, None).await;
            let rows = Rows::of(&machine, &peer).await;
            rows.assert_all_there(before - events.len());
            println!(
                "peer, {processes} process(es)      {}  {}",
                show(&speed),
                rows.show()
            );
            times.push(ours.rate / speed.rate);
            drop(peers);
            machine.drop_database(&peer).await;
        }
        populated(&machine, &name("ceiling")).await;
        let mut db = machine.connect(&name("ceiling")).await;
        db.execute("CREATE SEQUENCE ceiling_sequence")
            .await
            .unwrap();
        let tps = ceiling(&machine, &name("ceiling"), connections, rows);
        let rows = Rows::of(&machine, &name("ceiling")).await;
        println!("pgbench                  {tps:8.0}/s  {}", rows.show());
        of_ceiling.push(ours.rate / tps);
        drop(db);
        machine.drop_database(&name("ceiling")).await;
    }
    println!();
    let others = ["a peer of one process", "a peer of two", "pgbench"];
    for (other, times) in others.into_iter().zip(&mut times) {
        let each: Vec<String> = times.iter().map(|it| format!("{it:.1}")).collect();
        times.sort_by(f64::total_cmp);
        println!(
            "times {other}: {}, the median {:.2}",
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
        "Verigate                 {}  {:.1} MB, {}",
        show(&speed),
        server.memory(),
        work.of_each(speed.rate * ROUND.as_secs_f64())
    );
    println!("                         {}", rows.show());
    let half = Some(speed.rate / 2.0);
    let half = for_a_while(servers(), connections, &mut events, half).await;
    println!("at half of that          {}", show(&half));
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
