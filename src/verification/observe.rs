//! The one door for a status change: merge an observation into its row, and save all that follows, in one transaction.

use std::time::Duration;

use super::Verifier;
use crate::{
    domain::{
        AttemptId, Doubt, Knowledge, Redaction, SessionId, Status, Verdict, derive_person, refresh,
    },
    store::{self, LockedUser, StoreError, Tx, Verification},
};

/// Something we were told of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    /// What it says.
    pub(super) knowledge: Knowledge,
    /// Why the history shows a change.
    pub(super) cause: String,
    /// Where it came from.
    pub(super) source: Source,
}

/// Where an observation came from, with what only that source can say.
#[derive(Clone, Debug, Default)]
pub(super) enum Source {
    /// A webhook that tells a state.
    #[default]
    Event,
    /// A webhook that only says "look".
    Hint,
    /// Stripe was asked. It answers all hints counted when the question was put, if that is known.
    Read {
        answers: Option<i32>,
        unknown_status: Option<String>,
    },
    /// Stripe was asked, and has no such session.
    Gone,
}

/// What the session's own data says of whose attempt it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    /// The attempt named in metadata, which nobody without our key can set.
    pub(super) attempt: Option<AttemptId>,
}

impl Verifier {
    /// Merges an observation into the session's row, which is found, linked or made.
    pub(super) async fn observe(
        &self,
        tx: &mut Tx,
        session: &SessionId,
        naming: Naming,
        observation: &Observation,
    ) -> Result<Verification, StoreError> {
        let (user, mut verification) = self.place(tx, session, naming).await?;
        self.fold(tx, user.as_ref(), &mut verification, observation)
            .await?;
        Ok(verification)
    }

    /// Finds the session's row and locks it, the person first. A session without a row is linked to the attempt it
    /// names, if that one waits for a session; else it gets a row that belongs to nobody yet.
    async fn place(
        &self,
        tx: &mut Tx,
        session: &SessionId,
        naming: Naming,
    ) -> Result<(Option<LockedUser>, Verification), StoreError> {
        let found = store::find_by_session(tx, session).await?;
        if let Some((id, Some(owner))) = found {
            let user = store::lock_user(tx, owner).await?;
            return Ok((Some(user), lock_one(tx, id).await?));
        }
        if let Some(attempt) = naming.attempt {
            if let Some(owner) = store::find_unlinked(tx, attempt, self.settings.livemode).await? {
                let user = store::lock_user(tx, owner).await?;
                if let Some(verification) = self.attach(tx, attempt, session).await? {
                    return Ok((Some(user), verification));
                }
            } else if found.is_none() && store::is_attempt(tx, attempt).await? {
                alarm_second_session(attempt, session);
            }
        }
        if found.is_none() {
            store::insert_unclaimed(tx, session, self.settings.livemode).await?;
        }
        // Somebody may have linked it since we looked; then their lock order is ours too.
        match store::find_by_session(tx, session).await? {
            Some((id, None)) => Ok((None, lock_one(tx, id).await?)),
            Some((id, Some(owner))) => {
                let user = store::lock_user(tx, owner).await?;
                Ok((Some(user), lock_one(tx, id).await?))
            }
            None => Err(StoreError::moved()),
        }
    }

    /// Gives a locked person's attempt its session. An unclaimed row that holds the session already is merged into the
    /// attempt's. `None` if either of them is taken.
    pub(super) async fn attach(
        &self,
        tx: &mut Tx,
        attempt: AttemptId,
        session: &SessionId,
    ) -> Result<Option<Verification>, StoreError> {
        let mut known_before = None;
        match store::find_by_session(tx, session).await? {
            Some((id, _)) if id == attempt => return Ok(Some(lock_one(tx, id).await?)),
            Some((_, Some(_))) => {
                alarm_second_session(attempt, session);
                return Ok(None);
            }
            Some((unclaimed, None)) => {
                let rows = store::lock_verifications(tx, &[unclaimed, attempt]).await?;
                known_before = rows.into_iter().find(|row| row.id == unclaimed);
                if known_before
                    .as_ref()
                    .is_none_or(|row| row.user_id.is_some())
                {
                    return Err(StoreError::moved());
                }
            }
            None => {}
        }
        let waiting = lock_one(tx, attempt).await?;
        if waiting.session_id.is_some() {
            alarm_second_session(attempt, session);
            return Ok(None);
        }
        if let Some(unclaimed) = &known_before {
            store::absorb_unclaimed(tx, unclaimed.id, attempt).await?;
        }
        if !store::link_session(tx, attempt, session, self.settings.livemode).await? {
            return Err(StoreError::moved());
        }
        store::record_history(tx, attempt, None, None, &format!("linked to {session}")).await?;
        let mut linked = lock_one(tx, attempt).await?;
        if let Some(unclaimed) = known_before {
            linked.knowledge.merge(&unclaimed.knowledge);
            linked.hinted += unclaimed.hinted;
            linked.answered += unclaimed.answered;
            linked.gone |= unclaimed.gone;
        }
        Ok(Some(linked))
    }

    /// Merges, saves, and derives the person's status. The person must be locked already.
    pub(super) async fn fold(
        &self,
        tx: &mut Tx,
        user: Option<&LockedUser>,
        verification: &mut Verification,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let before = Shown::of(verification);
        let (from, second) = (verification.status, told_second(verification));
        verification.knowledge.merge(&observation.knowledge);
        let refresh_in = schedule(verification, &observation.source);
        let after = Shown::of(verification);
        verification.status = after.verdict.as_ref().map(|verdict| verdict.status);

        store::save_verification(tx, verification, refresh_in).await?;
        let cost = self.settings.limits.budget.price;
        let reports = &observation.knowledge.reports;
        let new_reports = store::record_reports(tx, verification.id, reports, cost).await?;
        if new_reports > 0
            && let Some(user) = user
        {
            // What is handed out next needs a reservation of its own, even if nothing else has changed.
            self.flights.forget(&user.person);
        }
        if before != after || from != verification.status {
            let to = verification.status;
            store::record_history(tx, verification.id, from, to, &observation.cause).await?;
            if let Some(user) = user {
                if will_not_be_billed(verification) {
                    store::release_reservations(tx, verification.id).await?;
                }
                self.derive(tx, user).await?;
                store::notify_status(tx, user.id).await?;
                self.flights.forget(&user.person);
            }
        } else if let Some(user) = user
            && second != told_second(verification)
        {
            // The same again, from a later event: what came between may still come, and would change nothing then.
            self.derive(tx, user).await?;
        }
        Ok(())
    }

    /// Derives a locked person's status from all of their attempts.
    pub(super) async fn derive(&self, tx: &mut Tx, user: &LockedUser) -> Result<(), StoreError> {
        let facts = store::list_facts(tx, user.id, self.settings.livemode).await?;
        store::save_person(tx, user.id, &derive_person(&facts)).await
    }
}

/// No check can come of it any more. One that was verified has been checked, even if nobody told us its report yet.
fn will_not_be_billed(verification: &Verification) -> bool {
    let over = verification.gone
        || verification.knowledge.redaction != Redaction::None
        || verification.status == Some(Status::Canceled);
    over && verification.status != Some(Status::Verified)
}

/// What of a row people can see.
#[derive(Debug, PartialEq)]
struct Shown {
    verdict: Option<Verdict>,
    redaction: Redaction,
    gone: bool,
}

impl Shown {
    fn of(verification: &Verification) -> Self {
        Self {
            // The second alone is no news: a later look that says the same changes nothing.
            verdict: verification.knowledge.verdict().map(|verdict| Verdict {
                second: 0,
                ..verdict
            }),
            redaction: verification.knowledge.redaction,
            gone: verification.gone,
        }
    }
}

/// When the newest event was told, if that is what the status rests on.
fn told_second(verification: &Verification) -> Option<i64> {
    let second = verification.knowledge.verdict()?.second;
    let events = verification.knowledge.events.as_ref()?;
    (events.second == second).then_some(second)
}

/// Notes what only this source can say, and when Stripe is to be asked next; `None` if there is nothing to ask.
fn schedule(verification: &mut Verification, source: &Source) -> Option<Duration> {
    match source {
        Source::Event => {}
        Source::Hint => verification.hinted += 1,
        Source::Read {
            answers,
            unknown_status,
        } => {
            verification.gone = false;
            verification.answered = verification.answered.max(answers.unwrap_or(0));
            verification.unknown_status.clone_from(unknown_status);
            if unknown_status.is_some() {
                // Asking again would bring the same word. The next delivery makes it due again.
                verification.answered = verification.hinted;
                verification.refresh_tries = 0;
                return None;
            }
        }
        Source::Gone => {
            verification.gone = true;
            verification.current = false;
            verification.answered = verification.hinted;
        }
    }
    let doubt = verification
        .knowledge
        .doubt()
        .filter(|_| !verification.gone);
    let tries = u32::try_from(verification.refresh_tries).unwrap_or(0);
    let due = match source {
        Source::Read { .. } => refresh::after_try(doubt, tries, rand::random()),
        Source::Event | Source::Hint | Source::Gone => refresh::after_observation(doubt),
    };
    if due.is_some_and(|due| due.alarm) {
        tracing::error!(
            verification.id = %verification.id,
            doubt = doubt.map(Doubt::as_str),
            tries,
            "Stripe's answers do not settle this session; look at it in the Dashboard"
        );
    }
    let hinted = !verification.gone && verification.hinted > verification.answered;
    verification.refresh_tries = due
        .and_then(|due| i32::try_from(due.tries).ok())
        .unwrap_or_default();
    due.map(|due| due.after)
        .or(hinted.then_some(refresh::FIRST_DELAY))
}

async fn lock_one(tx: &mut Tx, id: AttemptId) -> Result<Verification, StoreError> {
    store::lock_verifications(tx, &[id])
        .await?
        .pop()
        .ok_or_else(StoreError::moved)
}

fn alarm_second_session(attempt: AttemptId, session: &SessionId) {
    metrics::counter!("verigate_sessions_naming_a_taken_attempt_total").increment(1);
    tracing::error!(
        verification.id = %attempt,
        stripe.session = %session,
        "a second session names an attempt that has one already; it stays unclaimed, find out who created it"
    );
}
