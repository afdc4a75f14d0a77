//! The shell that runs Postgres for us, and stops it when our end of a pipe is gone.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{ClusterError, Durability, binaries::Binaries, folder::Folder};

/// Written for any POSIX shell; it has to outlive us, so it cannot be a thread of ours.
const SCRIPT: &str = include_str!("leash.sh");
/// `initdb` on a slow disk, and a server that first recovers from a crash.
const START_PATIENCE: Duration = Duration::from_mins(2);
/// Longer than the script gives Postgres, first kindly, then not.
const STOP_PATIENCE: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(5);
const LOG_LINES: usize = 12;

/// Room for the tests of a machine with many cores. Details would put values into the server's log.
const ALWAYS: &str = "-c listen_addresses='' -c port=5432 -c unix_socket_permissions=0700 \
     -c max_connections=400 -c shared_buffers=64MB -c log_error_verbosity=terse";
const NOTHING_TO_LOSE: &str = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off \
     -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off";

/// Holds the pipe that keeps Postgres alive.
#[derive(Debug)]
pub(super) struct Leash {
    pipe: Option<ChildStdin>,
    shell: Child,
    folder: PathBuf,
}

impl Leash {
    /// Starts the shell and waits until it says that the server is ready.
    pub(super) fn start(
        folder: &Folder,
        binaries: &Binaries,
        lock: File,
        durability: Durability,
    ) -> Result<Self, ClusterError> {
        let (afterwards, options) = match durability {
            Durability::Durable => ("keep", ALWAYS.to_owned()),
            Durability::Throwaway => ("remove", format!("{ALWAYS} {NOTHING_TO_LOSE}")),
        };
        let mut command = folder.command("sh");
        for (name, _) in std::env::vars_os() {
            // A port or a data folder set for other servers would apply to this one.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        let mut shell = command
            .args(["-c", SCRIPT, "verigate-postgres"])
            .arg(folder.path())
            .arg(binaries.folder())
            .arg(folder.sockets_for_the_server())
            .args([afterwards, &options])
            .env("LC_ALL", "C")
            // A group of its own: Ctrl-C in a terminal is for us, and we end it in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(lock))
            .spawn()
            .map_err(ClusterError::run)?;
        let report = shell.stdout.take();
        let leash = Self {
            pipe: shell.stdin.take(),
            shell,
            folder: folder.path().to_owned(),
        };
        match report.and_then(first_line) {
            Some(line) if line == "ready" => Ok(leash),
            said => Err(ClusterError::Server {
                folder: leash.folder.clone(),
                step: said.unwrap_or_else(|| "no answer in time".to_owned()),
                log: end_of_logs(&leash.folder),
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn shell(&self) -> u32 {
        self.shell.id()
    }

    /// Lets go, and waits until the server is down.
    pub(super) fn release(&mut self) -> Result<(), ClusterError> {
        drop(self.pipe.take());
        let start = Instant::now();
        while self.shell.try_wait().map_err(ClusterError::run)?.is_none() {
            if start.elapsed() > STOP_PATIENCE {
                return Err(ClusterError::DoesNotStop {
                    folder: self.folder.clone(),
                });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // There is nobody to tell; whoever comes next finds the server and stops it.
        let _ = self.release();
    }
}

/// Read on a thread, because a pipe has no time-out.
fn first_line(report: impl Read + Send + 'static) -> Option<String> {
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(report).read_line(&mut line);
        let _ = said.send(read.is_ok_and(|bytes| bytes > 0).then_some(line));
    });
    let line = heard.recv_timeout(START_PATIENCE).ok().flatten()?;
    Some(line.trim().to_owned())
}

fn end_of_logs(folder: &Path) -> String {
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let text = format!("{}{}", read("log"), read("server.log"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
