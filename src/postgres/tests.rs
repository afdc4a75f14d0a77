//! The private cluster against a real Postgres: owners killed, folders taken, odd paths.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);
const FOLDER: &str = "VERIGATE_TEST_CLUSTER";

fn base() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("verigate-cluster-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap()
}

/// A fresh cluster to copy from, because `initdb` is by far the slowest part of these tests. The tests
/// that run at one time share it, and the last one removes it.
fn original() -> Arc<tempfile::TempDir> {
    static MADE: Mutex<Weak<tempfile::TempDir>> = Mutex::new(Weak::new());
    let mut made = MADE.lock().unwrap();
    if let Some(original) = made.upgrade() {
        return original;
    }
    let original = Arc::new(base());
    let cluster = Cluster::start(&original.path().join("cluster"), Durability::Durable);
    cluster.unwrap().stop().unwrap();
    *made = Arc::downgrade(&original);
    original
}

struct Made {
    folder: PathBuf,
    base: tempfile::TempDir,
    _original: Arc<tempfile::TempDir>,
}

/// A folder called `name` with a fresh cluster in it.
fn made(name: &str) -> Made {
    let (base, original) = (base(), original());
    let folder = base.path().join(name);
    let copied = Command::new("cp")
        .arg("-Rp")
        .args([&original.path().join("cluster"), &folder])
        .status();
    assert!(copied.unwrap().success());
    Made {
        folder,
        base,
        _original: original,
    }
}

fn sql(cluster: &Cluster, statement: &str) -> String {
    ask(&cluster.url("postgres"), statement)
}

fn ask(url: &str, statement: &str) -> String {
    let psql = binaries::installed()[0].folder().join("psql");
    let asked = Command::new(psql)
        .args(["-XAtq", "-c", statement, url])
        // As in a shell that is set up for another server.
        .envs([
            ("PGPORT", "1"),
            ("PGHOST", "nowhere"),
            ("PGSSLMODE", "require"),
        ])
        .current_dir("/")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    assert!(asked.status.success(), "{}", text(asked.stderr));
    text(asked.stdout)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn signal(name: &str, process: u32) {
    // The shell's own `kill`: not every machine has the program.
    let sent = Command::new("sh")
        .args(["-c", "kill \"$1\" \"$2\"", "sh", name, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Another process that owns a cluster: this test binary, running only the test below.
struct Owner(Child);

impl Owner {
    fn of(folder: &Path, durability: Durability) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "postgres::tests::owns_a_cluster_until_killed"])
            .args(["--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env("VERIGATE_TEST_DURABILITY", format!("{durability:?}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("cluster is up")));
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "is the process that the other tests start and kill"]
fn owns_a_cluster_until_killed() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let throwaway = env::var_os("VERIGATE_TEST_DURABILITY").unwrap() == "Throwaway";
    let durability = if throwaway {
        Durability::Throwaway
    } else {
        Durability::Durable
    };
    let cluster = Cluster::start(Path::new(&folder), durability).unwrap();
    cluster.announce("at http://localhost:4242").unwrap();
    writeln!(io::stdout(), "\ncluster is up").unwrap();
    loop {
        thread::sleep(PATIENCE);
    }
}

#[test]
fn what_was_written_is_there_after_the_next_start() {
    let base = base();
    let folder = base.path().join("cluster");
    let cluster = Cluster::start(&folder, Durability::Durable).unwrap();
    sql(&cluster, "CREATE TABLE kept AS SELECT 42 AS answer");
    assert_eq!(sql(&cluster, "SHOW listen_addresses"), "");
    assert_eq!(sql(&cluster, "SHOW fsync"), "on");
    cluster.stop().unwrap();

    let cluster = Cluster::start(&folder, Durability::Durable).unwrap();
    assert_eq!(sql(&cluster, "SELECT answer FROM kept"), "42");
    assert_eq!(cluster.folder(), folder);
}

#[test]
fn a_throwaway_cluster_takes_its_folder_with_it() {
    let made = made("cluster");
    let (base, folder) = (&made.base, &made.folder);
    // As root the stand-in may not remove an entry of our own folder, only empty it: so lie where it may.
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let cluster = Cluster::start(folder, Durability::Throwaway).unwrap();
    assert_eq!(sql(&cluster, "SHOW fsync"), "off");
    drop(cluster);
    assert!(!folder.exists());

    Owner::of(folder, Durability::Throwaway).kill();
    eventually("the folder goes after a kill", || !folder.exists());
}

#[test]
fn a_killed_owner_is_recovered_from_at_once() {
    let made = made("cluster");
    let folder = &made.folder;
    let owner = Owner::of(folder, Durability::Durable);
    owner.kill();
    for _ in 0..3 {
        Owner::of(folder, Durability::Durable).kill();
    }
    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    assert_eq!(sql(&cluster, "SELECT 1"), "1");
}

#[test]
fn a_second_start_says_who_has_the_cluster() {
    let made = made("cluster");
    let folder = &made.folder;
    let owner = Owner::of(folder, Durability::Durable);
    let refused = Cluster::start(folder, Durability::Durable).unwrap_err();
    let ClusterError::Held { holder, .. } = &refused else {
        panic!("{refused}");
    };
    assert!(
        holder.process.contains(&owner.0.id().to_string()),
        "{refused}"
    );
    assert_eq!(holder.note.as_deref(), Some("at http://localhost:4242"));
    let there = ask(
        &Cluster::url_of_another(folder, "postgres").unwrap(),
        "SELECT 1",
    );
    assert_eq!(there, "1", "who only wants to look is let in");
    owner.kill();
    Cluster::start(folder, Durability::Durable).unwrap();
}

#[test]
fn a_server_that_lost_its_owner_and_its_shell_is_stopped_first() {
    let made = made("cluster");
    let folder = &made.folder;
    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    let orphan = cluster.process().unwrap();
    signal("-KILL", cluster.leash.shell());
    drop(cluster);
    signal("-0", orphan);

    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    assert_ne!(cluster.process().unwrap(), orphan);
    assert_eq!(sql(&cluster, "SELECT 1"), "1");
}

#[test]
fn a_killed_server_is_started_again_and_a_frozen_one_stopped() {
    let made = made("cluster");
    let folder = &made.folder;
    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    signal("-KILL", cluster.process().unwrap());
    drop(cluster);
    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    signal("-STOP", cluster.process().unwrap());
    cluster.stop().unwrap();
    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    assert_eq!(sql(&cluster, "SELECT 1"), "1");
}

#[test]
fn a_process_that_only_got_the_old_number_is_not_touched() {
    let made = made("cluster");
    let folder = &made.folder;
    let prepared = Folder::prepare(folder, Durability::Durable).unwrap();
    let mut bystander = prepared.command("sleep").arg("600").spawn().unwrap();
    let stale = format!("{}\n{}\n", bystander.id(), folder.join("data").display());
    fs::write(folder.join("data/postmaster.pid"), stale).unwrap();

    let cluster = Cluster::start(folder, Durability::Durable).unwrap();
    assert_eq!(sql(&cluster, "SELECT 1"), "1");
    drop(cluster);
    assert!(bystander.try_wait().unwrap().is_none(), "it was killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn odd_and_long_paths_work() {
    for name in ["a b,c'd\"e$f`g%h+i&j", &"long".repeat(30)] {
        let made = made(name);
        let cluster = Cluster::start(&made.folder, Durability::Durable).unwrap();
        assert_eq!(sql(&cluster, "SELECT 1"), "1", "{name}");
        let sockets = PathBuf::from(cluster.folder.sockets());
        drop(cluster);
        if !sockets.starts_with(made.base.path()) {
            fs::remove_dir(sockets).unwrap();
        }
    }
}

#[test]
fn without_postgres_the_error_is_the_line_to_type() {
    let base = base();
    let folder = base.path().join("cluster");
    let refused = Cluster::start_with(Vec::new(), &folder, Durability::Durable).unwrap_err();
    assert!(refused.to_string().contains("apt-get install postgresql"));
    assert!(!folder.exists());
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let made = made("cluster");
    let folder = &made.folder;
    fs::write(folder.join("data/postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let refused = Cluster::start(folder, Durability::Durable).unwrap_err();
    assert!(refused.to_string().contains("no_such_setting"), "{refused}");
}
