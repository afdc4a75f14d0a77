//! What the test binaries share: a database for each test, and a Postgres that a test may stop.
//!
//! Name it in a binary's `main.rs`: `#[path = "../support/mod.rs"] mod support;`
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails by panicking"
)]

pub(crate) mod database;
pub(crate) mod npm;
pub(crate) mod outage;

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Far longer than anything takes, so that a slow machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A folder of its own below the temporary one, not yet made.
pub(crate) fn new_folder(name: &str) -> PathBuf {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    env::temp_dir().join(format!("verigate-{name}-{}", &unique[..12]))
}

/// Asks again and again until `attempt` has an answer.
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = attempt().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal, such as `-STOP`, to processes; those that are gone do not matter.
pub(crate) fn signal(name: &str, processes: &[u32]) {
    for process in processes {
        // The shell's own `kill`: not every machine has the program.
        Command::new("sh")
            .args(["-c", "kill \"$1\" \"$2\"", "sh", name, &process.to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }
}
