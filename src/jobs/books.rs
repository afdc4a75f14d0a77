//! Watches the budget: measures it, warns, and clears away what no limit counts any more.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{causes::causes, verification::Verifier};

/// How late a warning may be; the limits themselves are kept by every start.
const EVERY: Duration = Duration::from_secs(5);

/// Runs until `shutdown`; a step under way is finished first.
pub async fn run_books(verifier: Verifier, shutdown: CancellationToken) {
    let mut ticks = super::every(EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = verifier.keep_books().await {
            // The refresh worker, which asks more often, has told of a database that is away.
            tracing::debug!(
                error = %causes(&error),
                "the budget could not be watched"
            );
        }
    }
}
