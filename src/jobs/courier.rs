//! What all who deliver messages do alike: they claim as workers that can be told from dead ones, whenever there may be
//! something to deliver, and try again for three days.

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    causes::causes,
    store::{self, Claimed, ClaimedDelivery, Db, Listener, STATUS_CHANNEL, StoreError, Worker},
};

/// Longer than any delivery takes, a mail too; a worker that died loses its claims at once.
pub(super) const HOLD: Duration = Duration::from_mins(1);
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

/// Who delivers to one place.
pub(super) trait Courier: Sync {
    /// How many it may have in hand at once.
    fn hands(&self) -> usize;

    /// Claims at most so many that are due.
    fn claim(
        &self,
        worker: i32,
        room: usize,
    ) -> impl Future<Output = Result<Claimed, StoreError>> + Send;

    /// Delivers one, or sees to it that it is tried again; an error is the database's.
    fn deliver(
        &self,
        worker: i32,
        delivery: ClaimedDelivery,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Runs until `shutdown`; what is in hand is delivered first. No courier waits for another.
pub(super) async fn run<C: Courier>(db: &Db, shutdown: &CancellationToken, couriers: &[C]) {
    while !shutdown.is_cancelled() {
        let Err(error) = work(db, shutdown, couriers).await else {
            continue;
        };
        tracing::warn!(
            error = %causes(&error),
            "messages cannot be delivered; the worker goes on trying"
        );
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// All couriers share one worker and one connection that hears of changes, however many there are.
async fn work<C: Courier>(
    db: &Db,
    shutdown: &CancellationToken,
    couriers: &[C],
) -> Result<(), StoreError> {
    let mut worker = Worker::start(db).await?;
    let mut changes = store::listen(db, STATUS_CHANNEL).await?;
    // Whoever cannot go on ends all, each after what it has in hand.
    let end = shutdown.child_token();
    let (wake, woken) = watch::channel(());
    let id = worker.id();
    let rounds = couriers
        .iter()
        .map(|courier| go_round(courier, id, woken.clone(), end.clone()));
    let watching = keep_watch(db, &mut worker, &mut changes, &wake, end.clone());
    let (rounds, watched) = tokio::join!(join_all(rounds), watching);
    rounds.into_iter().chain([watched]).collect()
}

/// Claims whenever a hand is free and there may be something to deliver, so that one delivery that takes long keeps none
/// of the others waiting.
async fn go_round<C: Courier>(
    courier: &C,
    worker: i32,
    mut woken: watch::Receiver<()>,
    end: CancellationToken,
) -> Result<(), StoreError> {
    let _all = end.clone().drop_guard();
    let mut in_hand = FuturesUnordered::new();
    let mut result = Ok(());
    let mut may_be_more = true;
    loop {
        let room = courier.hands().saturating_sub(in_hand.len());
        if may_be_more && room > 0 && !end.is_cancelled() {
            // What is in hand goes on meanwhile: it may hold what the claim waits for.
            let mut claiming = pin!(courier.claim(worker, room));
            let claimed = loop {
                tokio::select! {
                    claimed = &mut claiming => break claimed,
                    Some(done) = in_hand.next() => result = result.and(done),
                }
            };
            match claimed {
                Ok(claimed) => {
                    may_be_more = claimed.may_be_more;
                    let deliveries = claimed.deliveries.into_iter();
                    in_hand.extend(deliveries.map(|one| courier.deliver(worker, one)));
                }
                Err(error) => result = Err(error),
            }
        } else {
            tokio::select! {
                Some(done) = in_hand.next() => {
                    result = result.and(done);
                    may_be_more = true;
                }
                _ = woken.changed(), if !end.is_cancelled() => may_be_more = true,
                () = end.cancelled(), if !end.is_cancelled() => {}
                else => return result,
            }
        }
        if result.is_err() {
            end.cancel();
        }
    }
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
            error = %causes(&error),
            "the messages that wait could not be measured"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use chrono::DateTime;
    use tokio::{
        sync::{Notify, Semaphore},
        task::yield_now,
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::MessageType,
        store::{Message, Position},
    };

    /// Has three hands, one turn for all of them, and these to deliver; the first takes for ever.
    struct Slow {
        turn: Semaphore,
        due: Mutex<Vec<u128>>,
        delivered: Mutex<Vec<u128>>,
        changed: Notify,
    }

    fn delivery(id: u128) -> ClaimedDelivery {
        ClaimedDelivery {
            endpoint: "shop".to_owned(),
            tries: 0,
            message: Message {
                position: Position {
                    transaction: 1,
                    id: Uuid::from_u128(id),
                },
                sequence: 1,
                livemode: false,
                kind: MessageType::Verified,
                data: serde_json::Value::Null,
                created_at: DateTime::UNIX_EPOCH,
            },
        }
    }

    impl Courier for Slow {
        fn hands(&self) -> usize {
            3
        }

        async fn claim(&self, _worker: i32, room: usize) -> Result<Claimed, StoreError> {
            let _turn = self.turn.acquire().await;
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let room = room.min(due.len());
            Ok(Claimed {
                deliveries: due.drain(..room).map(delivery).collect(),
                may_be_more: !due.is_empty(),
            })
        }

        async fn deliver(&self, _worker: i32, delivery: ClaimedDelivery) -> Result<(), StoreError> {
            let id = delivery.message.position.id.as_u128();
            if id == 1 {
                std::future::pending::<()>().await;
            }
            let _turn = self.turn.acquire().await;
            yield_now().await;
            let delivered = self.delivered.lock();
            delivered.unwrap_or_else(PoisonError::into_inner).push(id);
            self.changed.notify_one();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_delivery_that_takes_for_ever_holds_up_no_other() {
        let slow = Slow {
            turn: Semaphore::new(1),
            due: Mutex::new((1..=9).collect()),
            delivered: Mutex::default(),
            changed: Notify::new(),
        };
        let (_wake, woken) = watch::channel(());
        let all_others = async {
            loop {
                slow.changed.notified().await;
                let delivered = slow.delivered.lock().unwrap().clone();
                if delivered.len() == 8 {
                    return delivered;
                }
            }
        };
        let delivered = tokio::select! {
            _ = go_round(&slow, 1, woken, CancellationToken::new()) => Vec::new(),
            delivered = all_others => delivered,
        };
        assert_eq!(delivered, (2..=9).collect::<Vec<_>>());
    }

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
