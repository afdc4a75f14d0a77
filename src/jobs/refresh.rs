//! Asks Stripe about sessions whose status is in doubt, when they are due.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    causes::causes,
    domain::refresh::TRIES_BEFORE_ALARM,
    store::{self, Db, StoreError, Worker},
    verification::Verifier,
};

/// How often due sessions are looked for: an index scan that finds nothing on most days.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until `shutdown`; a step under way is finished first.
pub async fn run_refresh(verifier: Verifier, db: Db, shutdown: CancellationToken) {
    let mut ticks = super::every(EVERY);
    let mut worker = None;
    let mut reachable = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let step = step(&verifier, &db, &mut worker).await;
        // A database that is away is told once, not every second.
        if let Err(error) = &step
            && reachable
        {
            let error = causes(error);
            tracing::warn!(
                %error,
                "the refresh worker cannot reach the database; it goes on trying"
            );
        } else if step.is_ok() && !reachable {
            tracing::info!("the refresh worker reaches the database again");
        }
        reachable = step.is_ok();
    }
}

async fn step(verifier: &Verifier, db: &Db, worker: &mut Option<Worker>) -> Result<(), StoreError> {
    let worker = Worker::ensure(worker, db).await?;
    verifier.refresh_due(worker, Duration::ZERO).await?;
    let (age, unsettled) =
        store::measure_doubts(db, verifier.livemode(), TRIES_BEFORE_ALARM).await?;
    metrics::gauge!("verigate_oldest_doubt_seconds").set(age);
    metrics::gauge!("verigate_unsettled_sessions")
        .set(u32::try_from(unsettled).map_or(f64::MAX, f64::from));
    Ok(())
}
