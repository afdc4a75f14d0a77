//! Where deliveries wait to be committed together.
//!
//! While one batch is written the next one gathers; once it has gathered well it is written beside it, and in any case
//! when the one before only waits for the disk. So a lone delivery waits for nobody, and a storm costs a fraction of a
//! commit each. There is no timer.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinSet,
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
/// Two write, while another waits for the disk.
const LANES: usize = 3;

type Answer = Result<Heard, HearError>;

/// Where deliveries are handed in; clones hand in at the same place.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Waiting>,
    writing: Arc<Writing>,
    verifier: Verifier,
}

/// Commits what was handed in. Somebody must run it.
#[derive(Debug)]
pub struct Committer {
    queue: tokio::sync::Mutex<mpsc::Receiver<Waiting>>,
    writing: Arc<Writing>,
    verifier: Verifier,
}

/// How many deliveries are being written now. Those that only wait for the disk do not count.
#[derive(Debug, Default)]
struct Writing {
    deliveries: AtomicUsize,
    /// Rung when it may be somebody's turn.
    turn: Notify,
}

impl Writing {
    /// Are so many worth a transaction beside those that are being written?
    fn is_turn(&self, waiting: usize) -> bool {
        waiting >= self.deliveries.load(Ordering::Acquire)
    }

    fn ring_if_turn(&self, waiting: usize) {
        if self.is_turn(waiting) {
            self.turn.notify_one();
        }
    }

    fn begin(&self, deliveries: usize) -> Share<'_> {
        self.deliveries.fetch_add(deliveries, Ordering::AcqRel);
        Share {
            of: self,
            deliveries: deliveries.into(),
        }
    }
}

/// A batch's part of what is being written, until it is given back.
struct Share<'a> {
    of: &'a Writing,
    deliveries: AtomicUsize,
}

impl Share<'_> {
    fn give_back(&self) {
        let deliveries = self.deliveries.swap(0, Ordering::AcqRel);
        if deliveries > 0 {
            self.of.deliveries.fetch_sub(deliveries, Ordering::AcqRel);
            self.of.turn.notify_one();
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.give_back();
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
        let writing = Arc::<Writing>::default();
        let committer = Committer {
            queue: receiver.into(),
            writing: Arc::clone(&writing),
            verifier: verifier.clone(),
        };
        let intake = Self {
            queue: sender,
            writing,
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
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        self.writing.ring_if_turn(waiting);
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
        let this = Arc::new(self);
        // Each a task, so that what one waits for wakes no other.
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (this, end) = (Arc::clone(&this), end.clone());
            lanes.spawn(async move { this.work(&end).await });
        }
        lanes.join_all().await;
    }

    async fn work(&self, end: &CancellationToken) {
        let mut batch = Vec::with_capacity(MOST);
        while let Some(share) = self.take(&mut batch, end).await {
            self.commit(&mut batch, &share).await;
        }
    }

    /// Takes what waits, once it is worth a transaction; `None` at the end.
    async fn take(&self, batch: &mut Vec<Waiting>, end: &CancellationToken) -> Option<Share<'_>> {
        let mut queue = self.queue.lock().await;
        while !queue.is_closed() && !self.writing.is_turn(queue.len()) {
            tokio::select! {
                () = self.writing.turn.notified() => {}
                () = end.cancelled() => queue.close(),
            }
        }
        loop {
            tokio::select! {
                biased;
                taken = queue.recv_many(batch, MOST) => {
                    metrics::gauge!("verigate_intake_waiting").set(count(queue.len()));
                    return (taken > 0).then(|| self.writing.begin(taken));
                }
                () = end.cancelled(), if !queue.is_closed() => queue.close(),
            }
        }
    }

    async fn commit(&self, batch: &mut Vec<Waiting>, share: &Share<'_>) {
        let deliveries: Vec<&Delivery> = batch.iter().map(|waiting| &waiting.delivery).collect();
        metrics::histogram!("verigate_intake_batch_deliveries").record(count(deliveries.len()));
        let written = || share.give_back();
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
