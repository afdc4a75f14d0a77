//! Heals: finds what no delivery told of, in Stripe's list of events and in its list of sessions, and merges it through
//! the one door. One healer at a time, whatever the number of servers.
//!
//! Where it stands is written only after what was read is committed. So one that is killed is taken over by another that
//! reads some of it once more, and merging the same again changes nothing.

mod event;
mod report;
mod search;
mod session;

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::report::{HealReport, HealedBy};
use super::{HearError, Verifier};
use crate::{
    causes::causes,
    domain::{SessionId, refresh::backoff},
    store::{self, Ending, HealTimes, Healer, HealingRecord, ShownSession, Standing, StoreError},
    stripe::{List, Reply, StripeError},
};

/// The most that Stripe gives at once.
const A_PAGE: u8 = 100;
/// Committed together: no more than a slow database manages while a delivery would wait.
const A_COMMIT: usize = 25;
/// The longest sweep goes on in pieces of so many pages, so that what is due more often waits for seconds only.
const PIECE: usize = 100;

/// What is asked of a healer.
#[derive(Clone, Copy, Debug)]
pub struct HealOrder {
    /// Its worker's number.
    pub worker: i32,
    /// How long after a round the next is due.
    pub every: Duration,
    /// How far the database's now is ahead of itself.
    pub ahead: Duration,
    /// Now, and all of it, due or not.
    pub by_hand: bool,
}

/// Why a round was not brought to its end. What was read before is committed.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// Stripe could not be asked, or refuses.
    #[error("Stripe could not be asked for what was missed")]
    Stripe(#[from] StripeError),
    /// The database could not be used.
    #[error("what Stripe says could not be committed")]
    Store(#[from] StoreError),
    /// The same, for events.
    #[error("the events that Stripe lists could not be committed")]
    Hear(#[from] HearError),
    /// The database lost sight of this healer, and another is at it.
    #[error("another process has taken over")]
    TakenOver,
    /// The process stops.
    #[error("it was interrupted; another process may go on")]
    Interrupted,
}

impl HealError {
    /// Would anything else that is asked of Stripe or the database now fail likewise?
    fn ends_round(&self) -> bool {
        match self {
            Self::Stripe(error) => error.retry_after().is_some(),
            Self::Store(_) | Self::Hear(_) | Self::TakenOver | Self::Interrupted => true,
        }
    }
}

/// A healer at work.
struct Round<'a> {
    verifier: &'a Verifier,
    healer: Healer,
    order: HealOrder,
    standing: Standing,
    stop: &'a CancellationToken,
    report: HealReport,
}

impl Verifier {
    /// Asks for a round as soon as somebody can begin one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn ask_for_healing(&self) -> Result<(), StoreError> {
        store::ask_for_healing(&self.db, self.settings.livemode).await
    }

    /// How the healer stands, and who is at it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_healing(&self) -> Result<HealingRecord, StoreError> {
        store::find_healing(&self.db, self.settings.livemode).await
    }

    /// One step of a healer: a whole round, or a piece of the long sweep, if one is due and nobody else is at it.
    ///
    /// # Errors
    /// See [`HealError`]; it is tried again by itself.
    pub async fn heal(
        &self,
        order: HealOrder,
        stop: &CancellationToken,
    ) -> Result<Option<HealReport>, HealError> {
        let healer = Healer {
            livemode: self.settings.livemode,
            worker: order.worker,
        };
        let times = HealTimes {
            every: order.every,
            ahead: order.ahead,
            by_hand: order.by_hand,
        };
        let Some(standing) = store::claim_healing(&self.db, healer, times).await? else {
            return Ok(None);
        };
        let mut round = Round {
            verifier: self,
            healer,
            order,
            standing,
            stop,
            report: HealReport::default(),
        };
        let began = Instant::now();
        let done = round.run().await;
        round.report.took_seconds = began.elapsed().as_secs_f64();
        round.end(done).await.map(Some)
    }
}

impl Round<'_> {
    /// What can be done is done, even if Stripe refuses some of it.
    async fn run(&mut self) -> Result<(), HealError> {
        let mut refused = None;
        if self.standing.round_due {
            let done = self.hear_events().await;
            keep_refusal(done, &mut refused)?;
            let done = self.read_recent().await;
            keep_refusal(done, &mut refused)?;
            let done = self.search().await;
            keep_refusal(done, &mut refused)?;
        }
        if self.standing.all_due {
            let pieces = if self.order.by_hand {
                usize::MAX
            } else {
                PIECE
            };
            let done = self.read_all(pieces).await;
            keep_refusal(done, &mut refused)?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Gives the claim back, and says what came of it.
    async fn end(self, done: Result<(), HealError>) -> Result<HealReport, HealError> {
        let tries = u32::try_from(self.standing.failed_tries).unwrap_or(0);
        let ending = match &done {
            Ok(()) => Ending::Finished {
                report: serde_json::to_value(&self.report).unwrap_or_default(),
                of_round: self.standing.round_due,
            },
            Err(HealError::Interrupted) => Ending::Interrupted,
            Err(_) => Ending::Failed {
                after: backoff(tries.saturating_add(1), rand::random()).min(self.order.every),
            },
        };
        let after = match ending {
            Ending::Failed { after } => after.as_secs(),
            Ending::Finished { .. } | Ending::Interrupted => 0,
        };
        let ended = store::end_healing(&self.verifier.db, self.healer, ending).await;
        self.report.measure();
        match done {
            Ok(()) => {
                if tries > 0 {
                    tracing::info!("what deliveries missed can be looked for again");
                }
                self.report.log(self.standing.round_due);
                ended?;
                Ok(self.report)
            }
            Err(error) => {
                // Once, however long it lasts and whichever process tries.
                if tries == 0 && !matches!(error, HealError::Interrupted) {
                    tracing::warn!(
                        error = %causes(&error),
                        again_in_s = after,
                        "what deliveries missed cannot be looked for; it is tried again"
                    );
                } else {
                    tracing::debug!(
                        error = %causes(&error),
                        again_in_s = after,
                        "a round was not finished"
                    );
                }
                Err(error)
            }
        }
    }

    /// Asks Stripe, unless the process stops.
    async fn ask<T>(
        &mut self,
        call: impl Future<Output = Result<Reply<T>, StripeError>>,
    ) -> Result<Reply<T>, HealError> {
        self.report.requests += 1;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(HealError::Interrupted),
            reply = call => Ok(reply?),
        }
    }

    /// What we show of these sessions now.
    async fn shown(
        &self,
        sessions: &[SessionId],
    ) -> Result<BTreeMap<String, ShownSession>, StoreError> {
        let ids: Vec<String> = sessions.iter().map(|id| id.as_str().to_owned()).collect();
        let shown = store::list_shown(&self.verifier.db, &ids).await?;
        let by_id = shown.into_iter();
        Ok(by_id.map(|it| (it.session_id.clone(), it)).collect())
    }

    /// Counts those of these sessions whose status, or what it came of, is another than before, and how long it was wrong.
    async fn count(
        &mut self,
        by: HealedBy,
        before: &BTreeMap<String, ShownSession>,
        sessions: &BTreeMap<SessionId, i64>,
    ) -> Result<(), StoreError> {
        let ids: Vec<SessionId> = sessions.keys().cloned().collect();
        let after = self.shown(&ids).await?;
        for (session, wrong_seconds) in sessions {
            let Some(after) = after.get(session.as_str()) else {
                continue;
            };
            let before = before.get(session.as_str());
            let status_before = before.and_then(|it| it.status.as_deref());
            let error_before = before.and_then(|it| it.error_code.as_deref());
            let is_right = status_before == after.status.as_deref()
                && error_before == after.error_code.as_deref();
            if is_right {
                continue;
            }
            if !after.claimed && status_before.is_none() {
                self.report.strangers += 1;
                continue;
            }
            self.report.healed(by, *wrong_seconds);
            tracing::debug!(
                stripe.session = %session,
                from = status_before,
                to = after.status.as_deref(),
                wrong_for_s = wrong_seconds,
                by = by.as_str(),
                "a status was wrong, and no delivery said so"
            );
        }
        Ok(())
    }
}

/// A refusal of one list must not keep us from the others.
fn keep_refusal(
    done: Result<(), HealError>,
    refused: &mut Option<HealError>,
) -> Result<(), HealError> {
    match done {
        Err(error) if error.ends_round() => Err(error),
        Err(error) => {
            refused.get_or_insert(error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Where the next page starts, if there is one.
fn next_page<T>(page: &List<T>) -> Option<String> {
    let next = page.last_id.clone().filter(|_| page.has_more);
    if page.has_more && next.is_none() {
        tracing::error!("a page of Stripe's has no id at all; what comes after it is not read");
    }
    next
}
