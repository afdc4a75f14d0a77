//! Where deliveries wait to be committed together.
//!
//! While one batch is written the next one gathers, and it is written while the one before reaches the disk. So a lone
//! delivery waits for nobody, and a storm costs a fraction of a commit each. There is no timer.

use std::{
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{
    sync::{
        MutexGuard,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    HearError, Heard, Verifier,
    hear::{Delivery, PATIENCE},
};
use crate::stripe::event::Event;

/// The most in one transaction; as many people as one notification can name.
const MOST: usize = 240;
/// One writes while the other waits for the disk.
const LANES: usize = 2;

type Answer = Result<Heard, HearError>;

/// Where deliveries are handed in; clones hand in at the same place.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Waiting>,
    verifier: Verifier,
}

/// Commits what was handed in. Somebody must run it.
#[derive(Debug)]
pub struct Committer {
    queue: tokio::sync::Mutex<mpsc::Receiver<Waiting>>,
    verifier: Verifier,
}

/// The turn to take deliveries and to write them. It ends when only the disk is waited for.
struct Turn<'a>(Mutex<Option<MutexGuard<'a, mpsc::Receiver<Waiting>>>>);

impl Turn<'_> {
    fn pass(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    answer: oneshot::Sender<Answer>,
}

impl Intake {
    /// An intake in which at most so many deliveries wait.
    pub fn new(verifier: Verifier, room: usize) -> (Self, Committer) {
        let (sender, receiver) = mpsc::channel(room);
        let committer = Committer {
            queue: receiver.into(),
            verifier: verifier.clone(),
        };
        let intake = Self {
            queue: sender,
            verifier,
        };
        (intake, committer)
    }

    /// Hands a delivery in and waits until it is committed. Whoever stops waiting changes nothing.
    ///
    /// # Errors
    /// When it was not committed in time, which it may be later; at once when there is no room to wait.
    pub async fn hear(&self, event: &Event) -> Answer {
        let (answer, answered) = oneshot::channel();
        let delivery = self.verifier.read_delivery(event);
        let waiting = Waiting { delivery, answer };
        self.queue.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => HearError::Full,
            TrySendError::Closed(_) => HearError::Closed,
        })?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(_)) => Err(HearError::Closed),
            Err(_) => Err(HearError::TimedOut),
        }
    }
}

impl Committer {
    /// Commits whatever waits until `end`, and then what still does.
    pub async fn run(self, end: CancellationToken) {
        let lanes = (0..LANES).map(|_| self.work(&end));
        join_all(lanes).await;
    }

    async fn work(&self, end: &CancellationToken) {
        let mut batch = Vec::with_capacity(MOST);
        loop {
            let mut queue = self.queue.lock().await;
            let taken = tokio::select! {
                biased;
                taken = queue.recv_many(&mut batch, MOST) => taken,
                () = end.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            };
            if taken == 0 {
                return;
            }
            metrics::gauge!("verigate_intake_waiting").set(count(queue.len()));
            let turn = Turn(Mutex::new(Some(queue)));
            self.commit(&mut batch, &turn).await;
        }
    }

    async fn commit(&self, batch: &mut Vec<Waiting>, turn: &Turn<'_>) {
        let deliveries: Vec<&Delivery> = batch.iter().map(|waiting| &waiting.delivery).collect();
        metrics::histogram!("verigate_intake_batch_deliveries").record(count(deliveries.len()));
        let written = || turn.pass();
        // A bug must not end the intake with the batch that met it.
        let heard = AssertUnwindSafe(self.verifier.commit_all(&deliveries, &written));
        let Ok(heard) = heard.catch_unwind().await else {
            tracing::error!(
                deliveries = deliveries.len(),
                "a batch met a bug; Stripe sends it again"
            );
            batch.clear();
            return;
        };
        for (waiting, heard) in batch.drain(..).zip(heard) {
            // Nobody may be waiting any more; it is committed all the same.
            let _ = waiting.answer.send(heard);
        }
    }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
