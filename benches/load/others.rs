//! Whom Verigate is compared with: a peer of one process or two, and what Postgres alone can do.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{net::TcpStream, time::sleep};

use crate::{
    machine::{Machine, free_address},
    plan::Plan,
    speed::{PLENTY, ROUND, Rows, SECRET, for_a_while, populated_after, show},
};

/// The pools of all processes of a peer together: neither more nor fewer made it faster.
const PEER_CONNECTIONS: usize = 16;

/// Tables as they usually are: Verigate leaves out keys that every row would pay for, and leaves room on pages.
const USUAL_TABLES: &str = "
    ALTER TABLE verification_history ADD FOREIGN KEY (verification_id) REFERENCES verifications;
    ALTER TABLE verification_reports ADD FOREIGN KEY (verification_id) REFERENCES verifications;
    ALTER TABLE outbox ADD FOREIGN KEY (user_id) REFERENCES users;
    ALTER TABLE users RESET (fillfactor);
    ALTER TABLE verifications RESET (fillfactor)";

/// What the others are to do as Verigate did it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) connections: usize,
    pub(crate) round: u64,
    /// What Verigate wrote.
    pub(crate) ours: Rows,
}

/// Whom Verigate is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Other {
    /// So many processes of the peer, on Verigate's tables or on usual ones.
    Peer { processes: usize, usual: bool },
    /// What Postgres alone can do.
    Pgbench,
}

/// All of them.
pub(crate) const OTHERS: [Other; 5] = [
    peer(1, false),
    peer(2, false),
    peer(1, true),
    peer(2, true),
    Other::Pgbench,
];

const fn peer(processes: usize, usual: bool) -> Other {
    Other::Peer { processes, usual }
}

impl Other {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Pgbench => "pgbench".to_owned(),
            Self::Peer { processes, usual } => {
                let tables = if usual { "usual" } else { "our" };
                format!("a peer of {processes} on {tables} tables")
            }
        }
    }

    /// What it takes in a second; its database is made for it.
    pub(crate) async fn rate(self, machine: &Machine, name: &str, turn: Turn) -> f64 {
        let Turn {
            connections,
            round,
            ours,
        } = turn;
        let (rate, shown, taken) = match self {
            Self::Pgbench => {
                populated_after(machine, name, "CREATE SEQUENCE ceiling_sequence").await;
                let rate = ceiling(machine, name, connections, ours);
                (rate, format!("{rate:8.0}/s"), None)
            }
            Self::Peer { processes, usual } => {
                let change = if usual { USUAL_TABLES } else { "" };
                let database = populated_after(machine, name, change).await;
                let peers = Peers::start(&database, processes).await;
                // From all events it would have got only to where nearly every one is its session's first news, and changes
                // most.
                let mut events = Plan::of_events(PLENTY).shuffled_tenth(round);
                let before = events.len();
                let speed = for_a_while(peers.addresses(), connections, &mut events, None).await;
                (speed.rate, show(&speed), Some(before - events.len()))
            }
        };
        let rows = Rows::of(machine, name).await;
        if let Some(taken) = taken {
            rows.assert_all_there(taken);
        }
        println!("{:26} {shown}  {}", self.name(), rows.show());
        rate
    }
}

/// One or more processes of the peer; they end when this is dropped.
#[derive(Debug)]
struct Peers(Vec<(Child, SocketAddr)>);

impl Peers {
    /// Starts them; returns when they listen.
    async fn start(database: &str, processes: usize) -> Self {
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
    fn addresses(&self) -> Vec<SocketAddr> {
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

/// What Postgres commits in a second when it is asked for nothing but the rows of one event in each transaction, `as_many`
/// as were written by somebody else.
fn ceiling(machine: &Machine, database: &str, connections: usize, as_many: Rows) -> f64 {
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
