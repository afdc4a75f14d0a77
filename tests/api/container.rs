//! The container's root folder, run as a container is: nothing but the root, no rights, nothing to write to.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};

use crate::{
    program::{Program, request, send},
    support::database::TestDb,
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// A root folder as the image has it, around the program under test.
fn root() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(repository().join("deploy/rootfs"))
        .arg(env!("CARGO_BIN_EXE_verigate"))
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    folder
}

/// The program as a container's first process, in a file system of its own that holds only `root`.
fn contained(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut bubblewrap = Command::new("bwrap");
    bubblewrap
        .args(["--unshare-user", "--unshare-all", "--share-net"])
        .args(["--uid", "65532", "--gid", "65532", "--cap-drop", "ALL"])
        .args(["--die-with-parent", "--as-pid-1", "--clearenv"])
        .arg("--ro-bind")
        .args([root, Path::new("/")]);
    for (name, value) in variables {
        bubblewrap.args(["--setenv", name, value]);
    }
    bubblewrap.args(["--", "/verigate"]).args(arguments);
    bubblewrap
}

/// Runs it to its end, while this thread goes on connecting the server with its database.
async fn finished(mut command: Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.unwrap().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A machine that forbids namespaces cannot say anything about the container, and must not seem to.
fn assert_namespaces(root: &Path) {
    let tried = contained(root, &["--version"], &[]).output();
    let tried = tried.unwrap_or_else(|error| {
        panic!("bubblewrap cannot be run ({error}): run scripts/setup test")
    });
    assert!(
        tried.status.success(),
        "bubblewrap cannot make a namespace here, so the container's root cannot be tried: {}",
        said(&tried)
    );
}

/// Postgres over TCP: the user in the container may not enter the folder of the test cluster's socket.
async fn over_tcp(db: &TestDb) -> String {
    let url = url::Url::parse(db.url()).unwrap();
    let host = url.query_pairs().find(|(name, _)| name == "host");
    let socket = PathBuf::from(host.unwrap().1.into_owned()).join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            let mut inside = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move {
                // Either side may hang up at any time.
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    format!(
        "postgres://verigate@{address}{}?sslmode=disable",
        url.path()
    )
}

fn settings<'a>(database: &'a str, address: &'a str) -> [(&'a str, &'a str); 11] {
    [
        ("DATABASE_URL", database),
        ("BIND_ADDR", address),
        ("LOG_FORMAT", "json"),
        ("PUBLIC_URL", "https://verify.example"),
        ("STRIPE_SECRET_KEY", "sk_test_1234567890"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_1234567890"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_test_container"),
        ("APP_NAME", "Acme"),
        ("SUPPORT_URL", "https://acme.example/help"),
        ("PRIVACY_URL", "https://acme.example/privacy"),
        ("HAND_OFF", "on"),
    ]
}

/// The number of the contained process, as it is known outside.
fn contained_process(outermost: u32) -> u32 {
    let children = format!("/proc/{outermost}/task/{outermost}/children");
    let children = fs::read_to_string(children).unwrap();
    let child = children.split_whitespace().next();
    child.map_or(outermost, |child| contained_process(child.parse().unwrap()))
}

fn proc_file(process: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{name}")).unwrap()
}

fn assert_powerless(process: u32) {
    let status = proc_file(process, "status");
    for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
    let users = proc_file(process, "uid_map");
    assert_eq!(users.split_whitespace().next(), Some("65532"));
    let mounts = proc_file(process, "mountinfo");
    assert!(!mounts.is_empty());
    for mount in mounts.lines() {
        let options = mount.split(' ').nth(5).unwrap();
        assert!(
            options.split(',').any(|option| option == "ro"),
            "it can be written to: {mount}"
        );
    }
}

/// Every file and folder with its size.
fn listing(folder: &Path, all: &mut BTreeMap<PathBuf, u64>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        all.insert(path.clone(), about.len());
        if about.is_dir() {
            listing(&path, all);
        }
    }
}

#[tokio::test]
async fn the_root_folder_alone_serves_is_healthy_and_writes_nothing() {
    let (db, root) = (TestDb::new().await, root());
    assert_namespaces(root.path());
    let mut before = BTreeMap::new();
    listing(root.path(), &mut before);

    let database = over_tcp(&db).await;
    let free = settings(&database, "127.0.0.1:0");
    let mut server = Program::spawn(contained(root.path(), &["serve"], &free));
    let address = server.word_after("\"address\":\"").await;
    let address: SocketAddr = address.split('"').next().unwrap().parse().unwrap();
    let ready = request("GET /readyz", &[("Host", "verify.example")], "");
    let ready = send(address, &ready).await;
    assert_eq!(ready.status(), 200, "{}", ready.0);

    let bound = address.to_string();
    let variables = settings(&database, &bound);
    let healthy = finished(contained(root.path(), &["health"], &variables)).await;
    assert!(healthy.status.success(), "{}", said(&healthy));

    let inside = contained_process(server.id());
    assert_powerless(inside);
    let mut after = BTreeMap::new();
    listing(root.path(), &mut after);
    assert_eq!(before, after);

    // As its first process: one that sets no handler would not hear it at all.
    crate::support::signal("-TERM", &[inside]);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.logged());
    let unhealthy = finished(contained(root.path(), &["health"], &variables)).await;
    assert_eq!(unhealthy.status.code(), Some(1));
}

#[test]
fn the_root_folder_holds_only_what_is_linked() {
    let root = root();
    let mut all = BTreeMap::new();
    listing(root.path(), &mut all);
    let names = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().to_owned();
    let files = all.keys().filter(|path| path.is_file()).map(names);
    let expected = [
        "verigate",
        "etc/passwd",
        "etc/group",
        "etc/nsswitch.conf",
        "etc/ssl/certs/ca-certificates.crt",
    ];
    for file in files {
        let is_library = file.to_string_lossy().contains(".so");
        assert!(
            is_library || expected.iter().any(|it| Path::new(it) == file),
            "{}",
            file.display()
        );
    }
    for file in expected {
        let path = root.path().join(file);
        assert!(all.get(&path).is_some_and(|length| *length > 0), "{file}");
    }
}

#[test]
fn the_image_is_built_with_the_toolchain_the_package_asks_for() {
    let manifest = read("Cargo.toml");
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")));
    assert!(dockerfile.contains("--no-default-features"));
}

#[test]
fn the_containers_variables_are_settings_and_its_grace_is_longer_than_a_shutdown() {
    let example = read(".env.example");
    let (dockerfile, compose) = (read("deploy/Dockerfile"), read("deploy/compose.yaml"));
    let of_image = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ENV "))
        .flat_map(|line| line.split(' '))
        .filter_map(|pair| pair.split_once('='));
    let (_, of_server) = compose.split_once("  verigate:\n").unwrap();
    let (of_server, _) = of_server.split_once("\n\n").unwrap();
    let (_, of_compose) = of_server.split_once("    environment:\n").unwrap();
    let of_compose = of_compose
        .lines()
        .take_while(|line| line.starts_with("      "))
        .filter_map(|line| line.trim().split_once(": "));
    let names: Vec<&str> = of_image.chain(of_compose).map(|(name, _)| name).collect();
    assert_eq!(names, ["BIND_ADDR", "LOG_FORMAT", "DATABASE_URL_FILE"]);
    for name in names {
        let name = name.trim_end_matches("_FILE");
        assert!(example.contains(&format!("\n#{name}=")), "{name}");
    }
    let (_, grace) = of_server.split_once("stop_grace_period: ").unwrap();
    let (grace, _) = grace.split_once("s\n").unwrap();
    let grace: u32 = grace.parse().unwrap();
    // The usual delay, and what requests in flight and jobs are given after it.
    assert!(grace > 5 + 25 + 25, "{grace}");
}
