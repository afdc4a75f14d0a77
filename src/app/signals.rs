//! When the process is asked to end.

use std::io;

use anyhow::bail;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::causes::causes;

/// Runs something to its end, which the first signal asks for, or until the second one: somebody does not want to wait.
/// What is in flight then breaks off, as in a crash; nothing that was answered is lost by it.
pub(super) async fn run_until_twice_asked(
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let twice = asked(2);
    tokio::select! {
        ran = run => ran,
        () = twice => bail!("ended at once by a second signal: requests in flight broke off"),
    }
}

/// Returns at the first SIGINT or SIGTERM from now on.
pub fn interrupted() -> impl Future<Output = ()> {
    asked(1)
}

/// Returns when so many of them have come from now on, and not only since somebody waits for it.
fn asked(times: usize) -> impl Future<Output = ()> {
    let signals = Signals::new();
    async move {
        let heard = async {
            let mut signals = signals?;
            for _ in 0..times {
                signals.next().await?;
            }
            io::Result::Ok(())
        };
        if let Err(error) = heard.await {
            tracing::error!(
                error = %causes(&error),
                "cannot hear SIGINT and SIGTERM"
            );
            std::future::pending::<()>().await;
        }
    }
}

/// Each is heard from when this was made, also while the one before is being acted on.
#[cfg(unix)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => Ok(()),
            _ = self.terminate.recv() => Ok(()),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
