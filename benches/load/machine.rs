//! The machine a run happens on: a durable Postgres of its own, and servers as processes that can be killed.

use std::{
    ffi::OsString,
    fs, iter,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, query_scalar};
use tempfile::TempDir;
use tokio::time::sleep;
use verigate::{
    postgres::{Cluster, Durability},
    store::MIGRATOR,
};

use crate::{converge::Target, sender::Line};

/// Longer than any start takes, a recovery included.
const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &str = "whsec_load";
/// Of Postgres' write-ahead log; as many as it keeps when told to keep 1 GB.
const LOG_FILES: usize = 60;

/// A Postgres of its own.
#[derive(Debug)]
pub(crate) struct Machine {
    cluster: Option<Cluster>,
    folder: PathBuf,
    _parent: TempDir,
}

impl Machine {
    /// Starts it in a new folder.
    pub(crate) fn start(durability: Durability) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::Builder::new()
            .prefix("verigate-load-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let folder = parent.path().join("postgres");
        Self {
            cluster: Some(Cluster::start(&folder, durability).unwrap()),
            folder,
            _parent: parent,
        }
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().unwrap()
    }

    /// The address of a database in it.
    pub(crate) fn url(&self, database: &str) -> String {
        self.cluster().url(database)
    }

    /// A new database, migrated.
    pub(crate) async fn database(&self, name: &str) -> String {
        let mut admin = self.connect("postgres").await;
        let create = format!("CREATE DATABASE {name}");
        admin.execute(AssertSqlSafe(create)).await.unwrap();
        MIGRATOR.run(&mut self.connect(name).await).await.unwrap();
        self.url(name)
    }

    /// Nobody needs it any more: what is measured next is not to wait while it is vacuumed.
    pub(crate) async fn drop_database(&self, name: &str) {
        let mut admin = self.connect("postgres").await;
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        admin.execute(AssertSqlSafe(drop)).await.unwrap();
    }

    /// A look at one of its databases.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.unwrap()
    }

    /// What a commit is worth here.
    pub(crate) async fn durability(&self) -> String {
        let mut db = self.connect("postgres").await;
        let mut said = Vec::new();
        for setting in [
            "server_version",
            "fsync",
            "synchronous_commit",
            "shared_buffers",
        ] {
            let value: String = query_scalar("SELECT current_setting($1)")
                .bind(setting)
                .fetch_one(&mut db)
                .await
                .unwrap();
            said.push(format!("{setting} {value}"));
        }
        said.join(", ")
    }

    /// As if it had run for a while: it writes its log into files that are there, instead of making one, 16 MB of zeros,
    /// every few thousand transactions, for which everybody waits.
    pub(crate) async fn run_in(&self) {
        let mut db = self.connect("postgres").await;
        let keep = "ALTER SYSTEM SET min_wal_size = '1GB'";
        for statement in [keep, "SELECT pg_reload_conf()"] {
            db.execute(statement).await.unwrap();
        }
        for _ in 0..LOG_FILES {
            let fill = "SELECT pg_logical_emit_message(false, 'load', ''), pg_switch_wal()";
            db.execute(fill).await.unwrap();
        }
        db.execute("CHECKPOINT").await.unwrap();
    }

    /// Processor time that Postgres has taken so far, all of its processes together.
    pub(crate) fn worked(&self) -> Duration {
        let first = self.cluster().process().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let times = processes.filter_map(Times::of);
        let ours = times.filter(|it| it.process == first || it.parent == first);
        ours.map(|it| it.worked(it.process == first)).sum()
    }

    /// As if the power had failed, but for what the disk itself remembers.
    pub(crate) fn stop_postgres_immediately(&mut self) {
        signal("-QUIT", self.cluster().process().unwrap());
        // Only waits until it is gone.
        self.cluster = None;
    }

    /// Stops every process of it where it stands: connections hang. Gives whom to let go on.
    pub(crate) async fn freeze_postgres(&self) -> Vec<u32> {
        let mut db = self.connect("postgres").await;
        let children = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
        let children: Vec<i32> = query_scalar(children).fetch_all(&mut db).await.unwrap();
        db.close().await.unwrap();
        // The first one before its children, so that no new one comes meanwhile.
        let all: Vec<u32> = iter::once(self.cluster().process().unwrap())
            .chain(children.into_iter().map(i32::unsigned_abs))
            .collect();
        for &process in &all {
            // One that has ended meanwhile answers nobody either.
            let _ = send("-STOP", process);
        }
        all
    }

    /// Lets it go on.
    pub(crate) fn thaw_postgres(frozen: Vec<u32>) {
        for process in frozen {
            let _ = send("-CONT", process);
        }
    }

    /// Recovers, and takes connections again.
    pub(crate) fn start_postgres_again(&mut self) {
        self.cluster = Some(Cluster::start(&self.folder, Durability::Durable).unwrap());
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    database: String,
    settings: Vec<(String, String)>,
}

impl Server {
    /// Starts it on a free port; returns when it is ready.
    pub(crate) async fn start(database: &str, settings: &[(&str, &str)]) -> Self {
        let address = free_address();
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let settings: Vec<_> = settings.iter().map(owned).collect();
        let mut server = Self {
            child: spawn(address, database, &settings),
            address,
            database: database.to_owned(),
            settings,
        };
        server.ready().await;
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to deliver to.
    pub(crate) fn target(&self) -> Target {
        Target {
            server: self.address,
            database: self.database.clone(),
            secret: SecretString::from(SECRET),
        }
    }

    /// Waits until `/readyz` says so; gives how long that took.
    pub(crate) async fn ready(&mut self) -> Duration {
        let began = Instant::now();
        let servers = [self.address];
        let mut line = Line::new(&servers, 0);
        let ask = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        loop {
            if let Ok(200) = line.ask(ask.as_bytes()).await {
                return began.elapsed();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(began.elapsed() < PATIENCE, "the server is not ready");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it where it stands (`-STOP`), lets it go on (`-CONT`), or asks it to end (`-TERM`).
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits until it has ended by itself, well.
    pub(crate) async fn ended(&mut self) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "the server ended: {status}");
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Once more, at the same address; returns at once.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.address, &self.database, &self.settings);
    }

    /// Memory it holds, in MB of 10⁶ bytes.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|it| it.split_whitespace().next()).unwrap();
        number.parse::<f64>().unwrap() * 1024.0 / 1e6
    }

    /// Processor time it has taken so far.
    pub(crate) fn worked(&self) -> Duration {
        Times::of(self.child.id()).unwrap().worked(false)
    }
}

/// What Linux says of a process, in the order of `proc_pid_stat(5)`.
#[derive(Debug)]
pub(crate) struct Times {
    process: u32,
    parent: u32,
    /// Hundredths of a second.
    own: u64,
    of_the_ended: u64,
}

impl Times {
    /// `None` if it has ended.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name may hold anything, a parenthesis included.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            process,
            parent: fields.get(1)?.parse().ok()?,
            own: number(14)? + number(15)?,
            of_the_ended: number(16)? + number(17)?,
        })
    }

    /// Processor time, with that of its children that have ended or without.
    pub(crate) fn worked(&self, with_children: bool) -> Duration {
        let children = if with_children { self.of_the_ended } else { 0 };
        Duration::from_millis((self.own + children) * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, process: u32) {
    assert!(send(name, process), "{name} could not be sent");
}

fn send(name: &str, process: u32) -> bool {
    let process = process.to_string();
    let sent = Command::new("kill").args([name, &process]).status();
    sent.unwrap().success()
}

/// The server's binary: the one that was built with this, or another one.
pub(crate) fn binary() -> OsString {
    std::env::var_os("VERIGATE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_verigate").into())
}

/// Free now; nobody else on the machine is expected to take it in between.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Nothing answers where Stripe should be: whatever a delivery needs is in it.
fn spawn(address: SocketAddr, database: &str, settings: &[(String, String)]) -> Child {
    let address = address.to_string();
    let public = format!("http://{address}");
    Command::new(binary())
        .arg("serve")
        .env_clear()
        .envs([
            ("DATABASE_URL", database),
            ("BIND_ADDR", &address),
            ("PUBLIC_URL", &public),
            ("STRIPE_SECRET_KEY", "sk_test_load"),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_load"),
            ("STRIPE_WEBHOOK_SECRET", SECRET),
            ("STRIPE_API_BASE", "http://127.0.0.1:9"),
            ("HAND_OFF", "on"),
            ("APP_NAME", "Load"),
            ("SUPPORT_URL", "https://load.test/help"),
            ("PRIVACY_URL", "https://load.test/privacy"),
            ("RUST_LOG", "error"),
        ])
        .envs(settings.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
