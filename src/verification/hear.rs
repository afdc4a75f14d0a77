//! Hears an authentic delivery: committed once, merged, and answered only then.

use std::time::Duration;

use super::{
    Verifier,
    again::again_if_lost,
    observe::Source,
    read::{self, Reading},
};
use crate::{
    store::{self, EventRecord, Outcome, StoreError},
    stripe::event::Event,
};

/// Stripe gets an answer within two seconds, also from a database that stands still.
const PATIENCE: Duration = Duration::from_millis(1800);

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
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// The database did not answer in time.
    #[error("the delivery could not be committed in time; it is asked for again")]
    TimedOut,
    /// The database refused.
    #[error("the delivery could not be committed; it is asked for again")]
    Store(#[from] StoreError),
}

/// A delivery, read: what is kept of it, and what it tells.
#[derive(Debug)]
struct Delivery {
    record: EventRecord,
    outcome: Outcome,
    news: Option<Reading>,
}

impl Verifier {
    /// Commits a delivery and everything that follows from it, exactly once however often it comes.
    pub async fn hear(&self, event: &Event) -> Result<Heard, HearError> {
        let delivery = self.read_delivery(event);
        let committed = tokio::time::timeout(PATIENCE, self.commit_persistently(&delivery)).await;
        let heard = committed.map_err(|_| HearError::TimedOut)??;
        tracing::info!(
            stripe.event = %delivery.record.id,
            stripe.r#type = %delivery.record.kind,
            stripe.session = delivery.record.session_id.as_deref(),
            outcome = heard.as_str(),
            "delivery committed"
        );
        Ok(heard)
    }

    fn read_delivery(&self, event: &Event) -> Delivery {
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

    /// Runs the transaction again after a lost race, and keeps what the database refuses out of the way of the rest.
    async fn commit_persistently(&self, delivery: &Delivery) -> Result<Heard, StoreError> {
        let result = again_if_lost(|| self.commit_delivery(delivery)).await;
        match result {
            Err(error) if error.is_data() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    stripe.event = %delivery.record.id,
                    "the database refuses this delivery's data; it is kept as quarantined"
                );
                self.quarantine(delivery).await
            }
            result => result,
        }
    }

    async fn commit_delivery(&self, delivery: &Delivery) -> Result<Heard, StoreError> {
        let mut tx = self.db.begin().await?;
        if !store::record_event(&mut tx, &delivery.record, delivery.outcome).await? {
            return Ok(Heard::Known);
        }
        if let Some(news) = &delivery.news {
            self.observe(&mut tx, &news.session, news.naming, &news.observation)
                .await?;
        }
        tx.commit().await?;
        Ok(Heard::New(delivery.outcome))
    }

    async fn quarantine(&self, delivery: &Delivery) -> Result<Heard, StoreError> {
        let mut tx = self.db.begin().await?;
        let new = store::record_event(&mut tx, &delivery.record, Outcome::Quarantined).await?;
        tx.commit().await?;
        Ok(if new {
            Heard::New(Outcome::Quarantined)
        } else {
            Heard::Known
        })
    }
}
