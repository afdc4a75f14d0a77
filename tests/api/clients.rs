//! Stripe's own clients against the sandbox: Node's, Python's and the command line's.
//!
//! They are pinned in `tests/clients` and installed from there when missing or changed.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    sandbox::support::TestSandbox,
    server::{NOW, SECRET, TestServer},
    support::npm,
};

/// Generous: registries and machines may be slow, a hung client must still end.
const INSTALL_LIMIT: Duration = Duration::from_mins(5);
const RUN_LIMIT: Duration = Duration::from_mins(2);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

pub(crate) async fn run(program: impl AsRef<OsStr>, arguments: &[&str], limit: Duration) -> Output {
    let program = program.as_ref();
    let home = tempfile::tempdir().unwrap();
    let command = Command::new(program)
        .args(arguments)
        .current_dir(folder())
        .env("STRIPE_API_KEY", "sk_test_of_the_command_line_client")
        .env("STRIPE_CLI_TELEMETRY_OPTOUT", "1")
        .env("XDG_CONFIG_HOME", home.path())
        .env("NO_PROXY", "127.0.0.1,localhost")
        .kill_on_drop(true)
        .output();
    let name = Path::new(program).display();
    tokio::time::timeout(limit, command)
        .await
        .unwrap_or_else(|_| panic!("{name} {arguments:?} took longer than {limit:?}"))
        .unwrap_or_else(|error| {
            panic!("{name}: {error}; scripts/setup test installs what is missing")
        })
}

async fn succeed(program: impl AsRef<OsStr>, arguments: &[&str], limit: Duration) -> String {
    let output = run(program, arguments, limit).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}:\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Is what was installed what is pinned now?
fn is_current(pinned: &str, installed: &str) -> bool {
    let read = |name: &str| fs::read(folder().join(name));
    read(installed).is_ok_and(|installed| read(pinned).is_ok_and(|pinned| pinned == installed))
}

/// One process at a time: two installs into one folder would tear at each other.
async fn locked() -> fs::File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients.lock");
    tokio::task::spawn_blocking(move || {
        let file = fs::File::create(path).unwrap();
        file.lock().unwrap();
        file
    })
    .await
    .unwrap()
}

/// Installs what `pinned` names into `venv`, and gives the folder of its programs.
pub(crate) async fn install_from_pypi(pinned: &str, venv: &str) -> PathBuf {
    let installed = format!("{venv}/installed-from.txt");
    let programs = folder().join(venv).join("bin");
    let _lock = locked().await;
    if !is_current(pinned, &installed) {
        succeed("python3", &["-m", "venv", "--clear", venv], INSTALL_LIMIT).await;
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        let arguments = [quiet.as_slice(), &["-r", pinned]].concat();
        succeed(programs.join("pip"), &arguments, INSTALL_LIMIT).await;
        fs::copy(folder().join(pinned), folder().join(installed)).unwrap();
    }
    programs
}

/// Our server's webhook: its address, its secret, and what second it is there.
type Receiver = [String; 3];

fn arguments<'a>(
    script: &'a str,
    sandbox: &'a TestSandbox,
    receiver: Option<&'a Receiver>,
) -> Vec<&'a str> {
    let mut arguments = vec![script, sandbox.base.as_str()];
    arguments.extend(receiver.into_iter().flatten().map(String::as_str));
    arguments
}

/// Every check prints a line; returns how many there were.
async fn drive_with_node(sandbox: &TestSandbox, receiver: Option<&Receiver>) -> usize {
    npm::install("clients").await;
    let arguments = arguments("node.mjs", sandbox, receiver);
    checks(&succeed("node", &arguments, RUN_LIMIT).await)
}

/// As [`drive_with_node`].
async fn drive_with_python(sandbox: &TestSandbox, receiver: Option<&Receiver>) -> usize {
    let python = install_from_pypi("requirements.txt", ".venv")
        .await
        .join("python");
    let arguments = arguments("client.py", sandbox, receiver);
    checks(&succeed(python, &arguments, RUN_LIMIT).await)
}

fn checks(output: &str) -> usize {
    output
        .lines()
        .filter(|line| line.starts_with("ok "))
        .count()
}

#[tokio::test]
async fn stripes_client_for_node_does_not_notice() {
    let sandbox = TestSandbox::start().await;
    assert_eq!(drive_with_node(&sandbox, None).await, 9);
}

#[tokio::test]
async fn stripes_client_for_python_does_not_notice() {
    let sandbox = TestSandbox::start().await;
    assert_eq!(drive_with_python(&sandbox, None).await, 9);
}

#[tokio::test]
async fn our_server_accepts_what_stripes_clients_sign() {
    let (sandbox, server) = (TestSandbox::start().await, TestServer::dev().await);
    let url = format!("http://{}/webhook", server.address);
    let receiver = [url, SECRET.to_owned(), NOW.to_string()];
    assert_eq!(drive_with_node(&sandbox, Some(&receiver)).await, 10);
    sandbox.control("/_reset", &json!({})).await;
    assert_eq!(drive_with_python(&sandbox, Some(&receiver)).await, 10);
}

/// The answer's JSON; the exit code is 0 for refusals too, so it says nothing.
async fn stripe(sandbox: &TestSandbox, words: &str, more: &[&str]) -> Value {
    let mut arguments: Vec<&str> = words.split(' ').collect();
    arguments.extend(more);
    arguments.extend(["--api-base", sandbox.base.as_str()]);
    let program = folder().join("node_modules/.bin/stripe");
    let output = run(program, &arguments, RUN_LIMIT).await;
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[tokio::test]
async fn stripes_command_line_client_does_not_notice() {
    npm::install("clients").await;
    let sandbox = TestSandbox::start().await;
    let sessions = "identity verification_sessions";
    let data = ["-d", "options[document][allowed_types][0]=passport"];
    let created = stripe(
        &sandbox,
        &format!("{sessions} create --type document"),
        &data,
    )
    .await;
    assert_eq!(created["status"], "requires_input", "{created}");
    assert_eq!(
        created["options"]["document"]["allowed_types"][0],
        "passport"
    );
    let id = created["id"].as_str().unwrap();
    let read = stripe(&sandbox, &format!("{sessions} retrieve {id}"), &[]).await;
    assert_eq!(read["id"], id);
    let listed = stripe(&sandbox, &format!("{sessions} list --limit 1"), &[]).await;
    assert_eq!(listed["data"][0]["id"], id);
    let canceled = stripe(&sandbox, &format!("{sessions} cancel {id}"), &[]).await;
    assert_eq!(canceled["status"], "canceled");
    let nobody = stripe(&sandbox, &format!("{sessions} retrieve vs_nobody"), &[]).await;
    assert_eq!(nobody["error"]["code"], "resource_missing");
    let refused = stripe(&sandbox, &format!("{sessions} create"), &[]).await;
    assert_eq!(refused["error"]["code"], "parameter_missing");
    let event = stripe(&sandbox, "events list --limit 1", &[]).await;
    assert_eq!(
        event["data"][0]["type"],
        "identity.verification_session.canceled"
    );
}

#[tokio::test]
async fn stripe_trigger_causes_the_events_it_names() {
    npm::install("clients").await;
    for (kind, last_call, event) in [
        ("created", None, "created"),
        ("canceled", Some("cancel"), "canceled"),
        // The redaction's own event comes when it is finished.
        ("redacted", Some("redact"), "canceled"),
    ] {
        let sandbox = TestSandbox::start().await;
        let trigger = format!("trigger identity.verification_session.{kind}");
        stripe(&sandbox, &trigger, &[]).await;
        let calls = sandbox.calls().await;
        assert_eq!(
            calls.len(),
            1 + usize::from(last_call.is_some()),
            "{calls:?}"
        );
        assert!(calls.iter().all(|call| call["status"] == 200), "{calls:?}");
        let path = calls.last().unwrap()["path"].as_str().unwrap();
        assert!(last_call.is_none_or(|last| path.ends_with(last)), "{path}");
        let events = sandbox.get("/v1/events").await.body;
        let newest = events["data"][0]["type"].as_str().unwrap();
        assert_eq!(newest, format!("identity.verification_session.{event}"));
    }
}
