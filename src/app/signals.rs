//! When the process is asked to end.

use tokio::signal;

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
