//! Has Stripe erase what is to be erased, and follows it to its end.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    causes::causes,
    store::{Db, StoreError, Worker},
    verification::Verifier,
};

/// How often what is due is looked for: a look into a small index that finds nothing on most days.
const EVERY: Duration = Duration::from_secs(2);
/// How many looks there are between two at what takes too long.
const WATCH: u32 = 15;

/// Runs until `shutdown`; a step under way is finished first.
pub async fn run_erasure(verifier: Verifier, db: Db, shutdown: CancellationToken) {
    loop {
        let Err(error) = work(&verifier, &db, &shutdown).await else {
            return;
        };
        // The refresh worker, which asks more often, has told of a database that is away.
        tracing::debug!(
            error = %causes(&error),
            "erasures cannot be followed; the worker goes on trying"
        );
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn work(
    verifier: &Verifier,
    db: &Db,
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    let mut worker = Worker::start(db).await?;
    for look in (0..WATCH).cycle() {
        if !worker.is_alive().await {
            worker = Worker::start(db).await?;
        }
        // As long as there is something to do, nobody waits.
        let mut busy = true;
        let mut was_busy = false;
        while busy && !shutdown.is_cancelled() {
            busy = verifier.erase_due(worker.id(), Duration::ZERO).await? > 0;
            was_busy |= busy;
        }
        if look == 0 || was_busy {
            let overdue = verifier.watch_erasures().await?;
            let overdue = u32::try_from(overdue).map_or(f64::MAX, f64::from);
            metrics::gauge!("verigate_redactions_overdue").set(overdue);
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(EVERY) => {}
        }
    }
    Ok(())
}
