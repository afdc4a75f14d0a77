//! Looks for what no delivery told of: when the server starts, and every few minutes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    causes::causes,
    store::{Db, StoreError, Worker},
    verification::{HealError, HealOrder, Verifier},
};

/// How often somebody looks whether a round is due, or its healer gone: one row of a small table.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until `shutdown`; a round under way ends between two pages, for another process to go on with.
pub async fn run_heal(verifier: Verifier, db: Db, every: Duration, shutdown: CancellationToken) {
    let mut ticks = super::every(LOOK);
    let (mut worker, mut asked) = (None, false);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // What happened while no server was there has told nobody.
        if !asked {
            asked = verifier.ask_for_healing().await.is_ok();
        }
        // What went wrong was told by the round, and a database that is away by the refresh worker.
        if let Err(error) = step(&verifier, &db, &mut worker, every, &shutdown).await {
            tracing::debug!(error = %causes(&error), "no healing");
        }
    }
}

async fn step(
    verifier: &Verifier,
    db: &Db,
    worker: &mut Option<Worker>,
    every: Duration,
    shutdown: &CancellationToken,
) -> Result<(), HealError> {
    let order = HealOrder {
        worker: Worker::ensure(worker, db).await?,
        every,
        ahead: Duration::ZERO,
        by_hand: false,
    };
    let healed = verifier.heal(order, shutdown).await;
    // Above all when it fails.
    measure(verifier).await?;
    healed?;
    Ok(())
}

/// However many servers there are, each shows how long ago the last round ended; infinitely long, if none ever did.
async fn measure(verifier: &Verifier) -> Result<(), StoreError> {
    let age = verifier.find_healing().await?.round_ended_ago;
    metrics::gauge!("verigate_last_heal_age_seconds").set(age.unwrap_or(f64::INFINITY));
    Ok(())
}
