//! When the process is asked to end.

use anyhow::bail;
use tokio::signal;

/// Runs something to its end, which the first signal asks for, or until the second one: somebody does not want to wait.
/// What is in flight then breaks off, as in a crash; nothing that was answered is lost by it.
pub(super) async fn run_until_twice_asked(
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let twice = async {
        interrupted().await;
        interrupted().await;
    };
    tokio::select! {
        ran = run => ran,
        () = twice => bail!("ended at once by a second signal: requests in flight broke off"),
    }
}

/// Returns at the first SIGINT or SIGTERM.
pub async fn interrupted() {
    let interrupt = async {
        if let Err(error) = signal::ctrl_c().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot hear SIGINT"
            );
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match signal::unix::signal(signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot hear SIGTERM"
            );
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}
