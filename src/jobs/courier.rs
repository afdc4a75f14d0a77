//! What all who deliver messages do alike: they claim as workers that can be told from dead ones, whenever there may be
//! something to deliver, and try again for three days.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all, stream};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::store::{self, ClaimedDelivery, Db, Listener, STATUS_CHANNEL, StoreError, Worker};

/// How often due messages are looked for where nobody says that there are any.
const EVERY: Duration = Duration::from_secs(1);
/// Before the database is asked again after it could not be.
const PAUSE: Duration = Duration::from_secs(1);
/// Before each try but the first, in seconds: three days in all.
const DELAYS: [u64; 10] = [
    5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000,
];

/// How long to wait after so many tries; `None` is for ever. `chance` in 0..1 spreads those that failed together.
pub(super) fn delay(tries: u32, chance: f64) -> Option<Duration> {
    let delay = *DELAYS.get(usize::try_from(tries).ok()?.checked_sub(1)?)?;
    Some(Duration::from_secs(delay).mul_f64(0.8 + 0.4 * chance))
}

/// What became of a delivery, for whoever watches.
pub(super) fn count(endpoint: &str, outcome: &'static str) {
    let endpoint = endpoint.to_owned();
    metrics::counter!("verigate_messages_total", "endpoint" => endpoint, "outcome" => outcome)
        .increment(1);
}

/// Delivers all that was claimed at once. Gives how many that was, unless the database could not be asked for one.
pub(super) async fn deliver_all<F>(
    claimed: Vec<ClaimedDelivery>,
    deliver: impl Fn(ClaimedDelivery) -> F,
) -> Result<usize, StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let all = claimed.len();
    let mut done = stream::iter(claimed)
        .map(deliver)
        .buffer_unordered(all.max(1));
    let mut result = Ok(all);
    while let Some(one) = done.next().await {
        if let Err(error) = one {
            result = Err(error);
        }
    }
    result
}

/// Runs until `shutdown`. Each of the `steps` is taken again and again, whatever the others are waiting for, and one
/// under way is finished first. A step is given the worker's number and gives how much it did.
pub(super) async fn run<S, F>(db: &Db, shutdown: &CancellationToken, steps: &[S])
where
    S: Fn(i32) -> F + Sync,
    F: Future<Output = Result<usize, StoreError>> + Send,
{
    while !shutdown.is_cancelled() {
        let Err(error) = work(db, shutdown, steps).await else {
            continue;
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "messages cannot be delivered; the worker goes on trying"
        );
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// All steps share one worker and one connection that hears of changes, however many there are.
async fn work<S, F>(db: &Db, shutdown: &CancellationToken, steps: &[S]) -> Result<(), StoreError>
where
    S: Fn(i32) -> F + Sync,
    F: Future<Output = Result<usize, StoreError>> + Send,
{
    let mut worker = Worker::start(db).await?;
    let mut changes = store::listen(db, STATUS_CHANNEL).await?;
    // Whoever cannot go on ends all, each after the step it is at.
    let end = shutdown.child_token();
    let (wake, woken) = watch::channel(());
    let id = worker.id();
    let lanes = steps
        .iter()
        .map(|step| lane(step, id, woken.clone(), end.clone()));
    let watching = keep_watch(db, &mut worker, &mut changes, &wake, end.clone());
    let (lanes, watched) = tokio::join!(join_all(lanes), watching);
    lanes.into_iter().chain([watched]).collect()
}

async fn lane<S, F>(
    step: &S,
    worker: i32,
    mut woken: watch::Receiver<()>,
    end: CancellationToken,
) -> Result<(), StoreError>
where
    S: Fn(i32) -> F,
    F: Future<Output = Result<usize, StoreError>>,
{
    let _all = end.clone().drop_guard();
    while !end.is_cancelled() {
        // As long as there is something to do, nobody waits.
        while step(worker).await? > 0 && !end.is_cancelled() {}
        tokio::select! {
            () = end.cancelled() => {}
            _ = woken.changed() => {}
        }
    }
    Ok(())
}

/// Says when there may be something to do, for as long as the worker lives.
async fn keep_watch(
    db: &Db,
    worker: &mut Worker,
    changes: &mut Listener,
    wake: &watch::Sender<()>,
    end: CancellationToken,
) -> Result<(), StoreError> {
    let _all = end.clone().drop_guard();
    // A storm of changes is no reason to look more often.
    let mut looks = super::every(EVERY);
    while !end.is_cancelled() {
        tokio::select! {
            () = end.cancelled() => {}
            change = changes.next() => {
                change?;
            }
            _ = looks.tick() => {
                if !worker.is_alive().await {
                    break;
                }
                measure(db).await;
            }
        }
        wake.send_replace(());
    }
    Ok(())
}

/// Nothing depends on it: without it, messages are delivered all the same.
async fn measure(db: &Db) {
    match store::measure_deliveries(db).await {
        Ok((age, dead)) => {
            metrics::gauge!("verigate_oldest_message_seconds").set(age);
            metrics::gauge!("verigate_dead_messages")
                .set(u32::try_from(dead).map_or(f64::MAX, f64::from));
        }
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the messages that wait could not be measured"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tried_for_three_days_at_growing_distances() {
        let all: u64 = DELAYS.iter().sum();
        assert!((70 * 3600..=74 * 3600).contains(&all), "{all} s");
        assert!(DELAYS.is_sorted());
        assert_eq!(delay(1, 0.5), Some(Duration::from_secs(5)));
        assert!(delay(2, 0.0) < delay(2, 0.9));
        assert!(delay(10, 0.0).is_some());
        assert_eq!(delay(11, 0.0), None);
    }
}
