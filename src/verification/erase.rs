//! Has Stripe erase what was asked for, as soon as it lets us, and follows each redaction to its end.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::{
    ManageError, Verifier,
    manage::Act,
    observe::Observation,
    read::{self, Reading},
};
use crate::{
    causes::causes,
    domain::{AttemptId, Redaction, SessionId, Status},
    store::{
        self, ClaimedRedaction, RedactionClaim, RedactionOutcome, StoreError, Tx, Verification,
    },
    stripe::{Priority, Reply, StripeError, VerificationSession},
};

/// Stripe says that it erases within four days.
pub const LONGEST_REDACTION: Duration = Duration::from_hours(4 * 24);
/// Longer than any call may take with its retries; a worker that died loses its claims at once.
const CLAIM_HOLD: Duration = Duration::from_mins(2);
/// Claimed, and under way, at once.
const STEP: u8 = 8;
/// Before Stripe is asked to erase once more, the first time and at most; most checks are over within a minute.
const FIRST_ASK: Duration = Duration::from_mins(1);
const LONGEST_ASK: Duration = Duration::from_hours(1);
/// Before a redaction under way is looked at, the first time and at most: an event tells of its end, most often.
const FIRST_LOOK: Duration = Duration::from_hours(1);
const LONGEST_LOOK: Duration = Duration::from_hours(6);

impl Verifier {
    /// Keeps a request that Stripe cannot act upon yet.
    pub(super) async fn keep_redaction(&self, attempt: AttemptId) -> Result<(), StoreError> {
        store::keep_redaction(&self.db, attempt, FIRST_ASK).await
    }

    /// One step of the worker: does what is due `ahead` of the database's now. Gives how many redactions that was.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn erase_due(&self, worker: i32, ahead: Duration) -> Result<usize, StoreError> {
        let livemode = self.settings.livemode;
        store::hasten_redactions(&self.db, livemode).await?;
        let claim = RedactionClaim {
            worker,
            livemode,
            limit: STEP.into(),
            ahead,
            hold: CLAIM_HOLD,
        };
        let claimed = store::claim_redactions(&self.db, claim).await?;
        let all = claimed.len();
        let mut done = stream::iter(claimed)
            .map(|claimed| async move { self.erase_one(worker, &claimed).await })
            .buffer_unordered(STEP.into());
        let mut result = Ok(all);
        while let Some(one) = done.next().await {
            if let Err(error) = one {
                result = Err(error);
            }
        }
        result
    }

    /// Raises what takes too long, each once, and notes which erasures are over. Gives how many redactions are overdue.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn watch_erasures(&self) -> Result<i64, StoreError> {
        let livemode = self.settings.livemode;
        for erasure in store::finish_erasures(&self.db).await? {
            let (id, refused) = (erasure.id, erasure.refused);
            if refused == 0 {
                tracing::info!(erasure.id = %id, "nothing is left of somebody who was to be forgotten");
            } else {
                tracing::error!(
                    erasure.id = %id, refused,
                    "somebody is forgotten here, but Stripe keeps sessions of theirs that it does not erase; \
                     the log names each, look at them in the Dashboard"
                );
            }
        }
        let overdue = store::note_overdue_redactions(&self.db, livemode, LONGEST_REDACTION);
        for (attempt, session) in overdue.await? {
            tracing::error!(
                verification.id = %attempt,
                stripe.session = session.as_ref().map(SessionId::as_str),
                "Stripe has not erased this session within four days; ask its support, it is looked at every few hours"
            );
        }
        store::count_overdue_redactions(&self.db, livemode).await
    }

    async fn erase_one(&self, worker: i32, claimed: &ClaimedRedaction) -> Result<(), StoreError> {
        let next = match (&claimed.session, claimed.redaction) {
            (_, Redaction::Redacted) => Next::Over(RedactionOutcome::Redacted),
            _ if claimed.gone => Next::Over(RedactionOutcome::Gone),
            (None, _) => self.search_session(claimed).await?,
            (Some(session), Redaction::None | Redaction::Validated) => {
                self.ask(claimed, session).await
            }
            (Some(session), Redaction::Processing) => self.look_again(claimed, session).await?,
        };
        match next {
            Next::Over(outcome) => {
                store::end_redaction(&self.db, worker, claimed.attempt, outcome).await
            }
            Next::Again(after) => {
                store::defer_redaction(&self.db, worker, claimed.attempt, after).await
            }
        }
    }

    /// Asks Stripe to erase, unless it is at it already.
    async fn ask(&self, claimed: &ClaimedRedaction, session: &SessionId) -> Next {
        let again = backoff(FIRST_ASK, LONGEST_ASK, claimed.tries);
        let asked = self.carry_out(Act::Redact, session, Priority::Job).await;
        match asked {
            // What Stripe said was merged: that ended the claim, if it said that it erases.
            Ok(()) => Next::Again(FIRST_LOOK),
            Err(ManageError::NoSession | ManageError::Unknown) => {
                Next::Over(RedactionOutcome::Gone)
            }
            // Nobody can hand in anything there any more, but earlier tries may have left something.
            Err(ManageError::NotOpen) if claimed.status == Some(Status::Canceled) => {
                tracing::warn!(
                    verification.id = %claimed.attempt, stripe.session = %session,
                    "Stripe does not erase a canceled session; look at it in the Dashboard"
                );
                Next::Over(RedactionOutcome::Refused)
            }
            Err(ManageError::Unreachable { retry_after }) => Next::Again(again.max(retry_after)),
            Err(
                ManageError::Processing
                | ManageError::NotOpen
                | ManageError::Refused
                | ManageError::Unavailable
                | ManageError::Broken,
            ) => Next::Again(again),
        }
    }

    /// Looks whether Stripe has erased by now.
    async fn look_again(
        &self,
        claimed: &ClaimedRedaction,
        session: &SessionId,
    ) -> Result<Next, StoreError> {
        let again = backoff(FIRST_LOOK, LONGEST_LOOK, claimed.tries);
        let id = session.as_str();
        match self.stripe.retrieve_session(id, Priority::Job).await {
            Ok(reply) => {
                let observation = read::answer(&reply, None, "read to follow a redaction");
                let naming = read::naming(&reply.value);
                self.commit_read(session, naming, observation).await?;
                Ok(Next::Again(again))
            }
            Err(error) if error.is_missing() => {
                self.save_gone(session, "read to follow a redaction")
                    .await?;
                Ok(Next::Over(RedactionOutcome::Gone))
            }
            Err(error) => Ok(Next::Again(later(&error, again))),
        }
    }

    /// Looks for the session that an attempt may have got unseen: it is linked, and then erased.
    async fn search_session(&self, claimed: &ClaimedRedaction) -> Result<Next, StoreError> {
        let again = backoff(FIRST_ASK, LONGEST_ASK, claimed.tries);
        if claimed.leased {
            return Ok(Next::Again(FIRST_ASK));
        }
        let reply = match self.list_sessions_of(claimed.attempt).await {
            Ok(reply) => reply,
            Err(error) => return Ok(Next::Again(later(&error, again))),
        };
        let found = reply.value.data.first();
        let Some((found, session)) = found.and_then(|it| Some((it, SessionId::parse(&it.id)?)))
        else {
            // A list may lag behind a session that was only just made.
            if claimed.tries == 0 {
                return Ok(Next::Again(FIRST_ASK));
            }
            self.end_search(claimed.attempt, claimed.claimed_at).await?;
            return Ok(Next::Over(RedactionOutcome::NoSession));
        };
        let reading = found_reading(&reply, found, session);
        self.merge_all(&[reading]).await?;
        Ok(Next::Again(Duration::ZERO))
    }

    /// What follows from what was just merged: a redaction that Stripe has begun is followed, one that it has ended is
    /// over, and whatever turns up of somebody who was forgotten is erased.
    pub(super) async fn follow_redactions(
        &self,
        tx: &mut Tx,
        rows: impl Iterator<Item = Erasable<'_>> + Clone,
    ) -> Result<(), StoreError> {
        let those = |which: fn(&Erasable<'_>) -> bool| -> Vec<AttemptId> {
            let rows = rows.clone().filter(which);
            rows.map(|it| it.row.id).collect()
        };
        let begun = those(|it| !it.row.gone && it.row.knowledge.redaction == Redaction::Processing);
        if !begun.is_empty() {
            store::follow_redactions(tx, &begun, FIRST_LOOK).await?;
        }
        let ended = those(|it| {
            let redacted = Redaction::Redacted;
            it.row.knowledge.redaction == redacted && it.redaction_before != redacted
        });
        if !ended.is_empty() {
            store::end_redactions(tx, &ended).await?;
        }
        let back = those(|it| it.gone_before && !it.row.gone);
        if !back.is_empty() {
            store::reopen_redactions(tx, &back).await?;
        }
        let found =
            those(|it| it.forgotten && !it.row.gone && !it.row.knowledge.redaction.has_begun());
        if !found.is_empty() {
            store::demand_redactions(tx, &found).await?;
        }
        Ok(())
    }
}

/// A row that something was merged into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Erasable<'a> {
    /// As it is now.
    pub(super) row: &'a Verification,
    /// It is of somebody who was forgotten.
    pub(super) forgotten: bool,
    /// What was erased before.
    pub(super) redaction_before: Redaction,
    /// Stripe did not have it before.
    pub(super) gone_before: bool,
}

/// What becomes of a claimed redaction.
enum Next {
    Over(RedactionOutcome),
    Again(Duration),
}

fn found_reading(
    reply: &Reply<crate::stripe::List<VerificationSession>>,
    found: &VerificationSession,
    session: SessionId,
) -> Reading {
    let cause = "found by its client_reference_id";
    let observation: Observation = read::session(found, reply.as_of, None, cause);
    Reading {
        session,
        naming: read::naming(found),
        observation,
    }
}

fn later(error: &StripeError, again: Duration) -> Duration {
    tracing::warn!(
        error = %causes(error),
        "Stripe could not be asked about an erasure; it is asked again"
    );
    again.max(error.retry_after().unwrap_or_default())
}

/// Twice as long each time, up to a bound.
fn backoff(first: Duration, longest: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripe_is_asked_ever_more_rarely_but_never_for_the_last_time() {
        let asks = |tries| backoff(FIRST_ASK, LONGEST_ASK, tries);
        assert_eq!(
            [asks(0), asks(1), asks(2)].map(|it| it.as_secs()),
            [60, 120, 240]
        );
        assert_eq!(asks(u32::MAX), LONGEST_ASK);
        let looks = (0..20).map(|tries| backoff(FIRST_LOOK, LONGEST_LOOK, tries));
        let soon: Vec<Duration> = looks.take_while(|it| *it < LONGEST_LOOK).collect();
        assert_eq!(soon.len(), 3);
    }
}
