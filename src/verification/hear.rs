//! Hears authentic deliveries: each committed once, merged, and answered only then.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Verifier,
    again::again_if_lost,
    observe::Source,
    read::{self, Reading},
};
use crate::{
    causes::causes,
    store::{self, EventRecord, Outcome, StoreError},
    stripe::event::Event,
};

/// Stripe gets an answer within two seconds, also from a database that stands still.
pub(super) const PATIENCE: Duration = Duration::from_millis(1800);

/// What became of a delivery. Either way it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// New, with this outcome.
    New(Outcome),
    /// Known already; nothing was done.
    Known,
}

impl Heard {
    /// A word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New(outcome) => outcome.as_str(),
            Self::Known => "known",
        }
    }
}

/// The delivery could not be committed: Stripe must send it again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HearError {
    /// More are waiting already than can be committed soon.
    #[error("too many deliveries wait to be committed; it is asked for again")]
    Full,
    /// The database did not answer in time.
    #[error("the delivery could not be committed in time; it is asked for again")]
    TimedOut,
    /// The process ends, or met a bug.
    #[error("nobody is there to commit the delivery; it is asked for again")]
    Closed,
    /// The database refused.
    #[error("the delivery could not be committed; it is asked for again")]
    Store(#[source] Arc<StoreError>),
}

/// Hears that everything is written, and only to be committed. It may be told so more than once.
pub(super) type Written<'a> = &'a (dyn Fn() + Sync);

/// A delivery, read: what is kept of it, and what it tells.
#[derive(Debug)]
pub(super) struct Delivery {
    record: EventRecord,
    outcome: Outcome,
    news: Option<Reading>,
}

impl Verifier {
    /// Commits a delivery and everything that follows from it, exactly once however often it comes.
    ///
    /// # Errors
    /// When it could not be committed, or not in time.
    pub async fn hear(&self, event: &Event) -> Result<Heard, HearError> {
        let delivery = self.read_delivery(event);
        let mut heard = self.commit_all(&[&delivery], &|| ()).await;
        heard.pop().unwrap_or(Err(HearError::Closed))
    }

    pub(super) fn read_delivery(&self, event: &Event) -> Delivery {
        let record = EventRecord {
            id: event.id.clone(),
            kind: event.type_.clone(),
            created: event.created,
            livemode: event.livemode,
            api_version: event.api_version.clone(),
            account: event.account.clone(),
            session_id: event.session_id.clone(),
        };
        let snapshot_mode = event.session.as_ref().and_then(|session| session.livemode);
        let of_our_mode = [event.livemode, snapshot_mode]
            .into_iter()
            .flatten()
            .all(|m| m == self.settings.livemode);
        let (outcome, news) = match read::event(event) {
            _ if event.account.is_some() => (Outcome::ForeignAccount, None),
            _ if !of_our_mode => (Outcome::WrongMode, None),
            None => (Outcome::Ignored, None),
            Some(news) => {
                let outcome = match news.observation.source {
                    Source::Hint => Outcome::Hint,
                    _ => Outcome::Applied,
                };
                (outcome, Some(news))
            }
        };
        Delivery {
            record,
            outcome,
            news,
        }
    }

    /// Commits deliveries together, and gives what became of each, in their order. What the database refuses is kept out
    /// of the way of the rest. Says so once all is written, and only the disk is waited for.
    pub(super) async fn commit_all(
        &self,
        deliveries: &[&Delivery],
        written: Written<'_>,
    ) -> Vec<Result<Heard, HearError>> {
        let mut all = Vec::with_capacity(deliveries.len());
        // The next part is the last: parts are taken in their order.
        let mut parts = vec![deliveries];
        while let Some(part) = parts.pop() {
            match self.commit_in_time(part, written).await {
                Ok(heard) => all.extend(heard.into_iter().map(Ok)),
                Err(error) if !is_of_one(&error) => {
                    tell_failure(part.len(), &error);
                    all.extend(part.iter().map(|_| Err(error.clone())));
                }
                Err(error) => {
                    if let [delivery] = part {
                        all.push(self.quarantine(delivery, error).await);
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
            }
        }
        all
    }

    async fn commit_in_time(
        &self,
        deliveries: &[&Delivery],
        written: Written<'_>,
    ) -> Result<Vec<Heard>, HearError> {
        let committed = again_if_lost(|| self.commit(deliveries, written));
        match timeout(PATIENCE, committed).await {
            Ok(Ok(heard)) => Ok(heard),
            Ok(Err(error)) => Err(HearError::Store(Arc::new(error))),
            Err(_) => Err(HearError::TimedOut),
        }
    }

    /// One transaction for all of them.
    async fn commit(
        &self,
        deliveries: &[&Delivery],
        written: Written<'_>,
    ) -> Result<Vec<Heard>, StoreError> {
        let mut records = BTreeMap::new();
        for delivery in deliveries {
            let record = (&delivery.record, delivery.outcome);
            records.entry(delivery.record.id.as_str()).or_insert(record);
        }
        let news = deliveries
            .iter()
            .filter_map(|it| Some((&it.record, it.news.as_ref()?)));
        let about: Vec<_> = news
            .map(|(record, news)| news.about(Some(&record.id)))
            .collect();
        let livemode = self.settings.livemode;
        let mut tx = self.db.begin().await?;
        let (mut new, owners) = store::record_and_lock(&mut tx, &records, &about, livemode).await?;
        if new.is_empty() {
            return Ok(vec![Heard::Known; deliveries.len()]);
        }
        let (heard, readings) = take_new(deliveries, &mut new);
        let moved = match readings.as_slice() {
            [] => 0,
            readings => self.merge(&mut tx, owners, readings).await?.moved.len(),
        };
        written();
        tx.commit().await?;
        tracing::debug!(deliveries = heard.len(), moved, "a batch is committed");
        for (delivery, heard) in deliveries.iter().zip(&heard) {
            tracing::debug!(
                stripe.event = %delivery.record.id,
                stripe.r#type = %delivery.record.kind,
                stripe.session = delivery.record.session_id.as_deref(),
                outcome = heard.as_str(),
                "delivery committed"
            );
        }
        Ok(heard)
    }

    /// Keeps of a delivery only that it came, if it is its data that the database refuses.
    async fn quarantine(&self, delivery: &Delivery, error: HearError) -> Result<Heard, HearError> {
        let event = &delivery.record.id;
        if !matches!(&error, HearError::Store(store) if store.is_data()) {
            tracing::error!(error = %causes(&error), stripe.event = %event, "a delivery cannot be committed");
            return Err(error);
        }
        tracing::error!(
            error = %causes(&error),
            stripe.event = %event,
            "the database refuses this delivery's data; it is kept as quarantined"
        );
        let bare = Delivery {
            record: delivery.record.clone(),
            outcome: Outcome::Quarantined,
            news: None,
        };
        let heard = self.commit_in_time(&[&bare], &|| ()).await?;
        heard.first().copied().ok_or(HearError::Closed)
    }
}

/// Those that are new, each once, and what they tell.
fn take_new<'a>(
    deliveries: &[&'a Delivery],
    new: &mut HashSet<String>,
) -> (Vec<Heard>, Vec<&'a Reading>) {
    let mut readings = Vec::with_capacity(new.len());
    let heard = deliveries.iter().map(|delivery| {
        if !new.remove(&delivery.record.id) {
            return Heard::Known;
        }
        readings.extend(&delivery.news);
        Heard::New(delivery.outcome)
    });
    (heard.collect(), readings)
}

/// Can it be one delivery's fault? An outage is everybody's, and trying them one by one would only prolong it.
fn is_of_one(error: &HearError) -> bool {
    matches!(error, HearError::Store(store) if !store.is_unavailable())
}

fn tell_failure(deliveries: usize, error: &HearError) {
    tracing::warn!(
        error = %causes(error),
        deliveries,
        "deliveries could not be committed; Stripe sends them again"
    );
}
