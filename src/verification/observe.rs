//! The one door for a status change: merge what we were told into its rows, and save all that follows, in one transaction.
//!
//! It takes any number of observations of any number of sessions. One alone is a batch of one.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Verifier, again::again_if_lost, erase::Erasable, place::Held, read::Reading, tell::Change,
};
use crate::{
    domain::{
        AttemptFacts, AttemptId, Doubt, Knowledge, PersonState, Redaction, SessionId, Status,
        UserId, Verdict, derive_person, refresh,
    },
    store::{self, LockedUser, NewMessage, News, Noted, StoreError, Tx, Verification},
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

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The sessions of which anything changed that people can see, those that nobody owns included.
    pub(super) moved: Vec<SessionId>,
}

impl Verifier {
    /// Merges any number of readings in a transaction of its own.
    pub(super) async fn merge_all(&self, readings: &[Reading]) -> Result<Merged, StoreError> {
        let readings: Vec<&Reading> = readings.iter().collect();
        let about: Vec<_> = readings.iter().map(|it| it.about(None)).collect();
        let (readings, about) = (&readings, &about);
        let livemode = self.settings.livemode;
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let (_, owners) =
                store::record_and_lock(&mut tx, &BTreeMap::new(), about, livemode).await?;
            let merged = self.merge(&mut tx, owners, readings).await?;
            tx.commit().await?;
            Ok(merged)
        })
        .await
    }

    /// Merges readings into their sessions' rows, which are found, linked or made. The people they are about are locked.
    pub(super) async fn merge(
        &self,
        tx: &mut Tx,
        owners: Vec<LockedUser>,
        readings: &[&Reading],
    ) -> Result<Merged, StoreError> {
        let mut held = self.hold(tx, owners, readings).await?;
        let places = self.place(tx, &mut held, readings).await?;
        let mut told = Vec::with_capacity(readings.len());
        for reading in readings {
            let place = places.get(&reading.session);
            let attempt = *place.ok_or_else(StoreError::moved)?;
            told.push((attempt, &reading.observation));
        }
        self.merge_into(tx, &mut held, &told).await
    }

    /// Merges one observation into a locked person's row, and saves it with whatever it holds that is not saved yet.
    pub(super) async fn fold(
        &self,
        tx: &mut Tx,
        user: &LockedUser,
        verification: &mut Verification,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let id = verification.id;
        let rows = store::read_attempts(tx, &[user.id]).await?;
        let mut held = Held::new(vec![user.clone()], rows);
        held.rows.insert(id, verification.clone());
        self.merge_into(tx, &mut held, &[(id, observation)]).await?;
        let saved = held.rows.remove(&id);
        *verification = saved.ok_or_else(StoreError::moved)?;
        Ok(())
    }

    /// Merges observations into rows that are held, and saves everything that follows. This is the door.
    async fn merge_into(
        &self,
        tx: &mut Tx,
        held: &mut Held,
        told: &[(AttemptId, &Observation)],
    ) -> Result<Merged, StoreError> {
        let mut touched = BTreeMap::<AttemptId, Touched<'_>>::new();
        for (attempt, observation) in told {
            let row = held.rows.get_mut(attempt);
            let row = row.ok_or_else(StoreError::moved)?;
            let touched = touched.entry(*attempt);
            let touched = touched.or_insert_with(|| Touched::new(row, &observation.cause));
            touched.tell(row, observation);
        }
        let held = &*held;
        let rows: Vec<(&Verification, Touched<'_>)> = touched
            .into_iter()
            .filter_map(|(attempt, touched)| Some((held.rows.get(&attempt)?, touched)))
            .collect();
        let people = self.derive(held, rows.iter().filter_map(|(row, _)| row.user_id));
        let changes = rows.iter().filter(|(_, touched)| touched.has_changed());
        let changes: Vec<Change<'_>> = changes
            .filter_map(|(row, touched)| touched.change(row))
            .collect();
        let messages = self.settings.endpoints.messages(&changes, held, &people)?;
        let news = self.news(held, &rows, &people, messages);
        let outgrown = store::save_news(tx, &news).await?;
        if !outgrown.holding.is_empty() {
            store::release_all_reservations(tx, &outgrown.holding).await?;
        }
        let erasable = rows.iter().map(|(row, touched)| Erasable {
            row,
            forgotten: held.is_forgotten(row),
            redaction_before: touched.before.redaction,
            gone_before: touched.before.gone,
        });
        self.follow_redactions(tx, erasable).await?;
        // What is handed out next needs a reservation of its own, even if nothing but a report is new.
        let reported = outgrown.reported.iter();
        let reported = reported.filter_map(|attempt| held.owner(*attempt));
        for user in reported.chain(news.notified.iter().copied()) {
            if let Some(user) = held.users.get(&user) {
                self.flights.forget(&user.person);
            }
        }
        let moved = rows.iter().filter(|(_, touched)| touched.has_changed());
        Ok(Merged {
            moved: moved
                .filter_map(|(row, _)| row.session_id.clone())
                .collect(),
        })
    }

    /// The status of these people, each from all of their attempts.
    fn derive(
        &self,
        held: &Held,
        users: impl Iterator<Item = UserId>,
    ) -> BTreeMap<UserId, PersonState> {
        let mut facts: BTreeMap<UserId, Vec<AttemptFacts>> =
            users.map(|user| (user, Vec::new())).collect();
        for row in held.rows.values() {
            if let Some(of_user) = row.user_id.and_then(|user| facts.get_mut(&user)) {
                of_user.push(AttemptFacts {
                    status: row.status,
                    second: row.verdict_second,
                    gone: row.gone,
                    created_order: (row.created_at, row.id),
                    has_session: row.session_id.is_some(),
                    livemode_matches: row.livemode == self.settings.livemode,
                });
            }
        }
        let people = facts.into_iter();
        people
            .map(|(user, facts)| (user, derive_person(&facts)))
            .collect()
    }

    fn news<'a>(
        &self,
        held: &Held,
        rows: &'a [(&Verification, Touched<'_>)],
        people: &BTreeMap<UserId, PersonState>,
        messages: Vec<NewMessage>,
    ) -> News<'a> {
        let changed = || rows.iter().filter(|(_, touched)| touched.has_changed());
        let over = changed().filter(|(row, _)| row.user_id.is_some() && will_not_be_billed(row));
        // Each person's messages are numbered upwards.
        let told: BTreeMap<UserId, i64> =
            messages.iter().map(|it| (it.user, it.sequence)).collect();
        let moved = |(user, state): (&UserId, &PersonState)| {
            let saved = held.users.get(user)?;
            let sequence = told.get(user).copied();
            let differs =
                (saved.status, saved.verified_second) != (state.status, state.verified_at_second);
            (differs || sequence.is_some()).then_some((
                *user,
                *state,
                sequence.unwrap_or(saved.sequence),
            ))
        };
        News {
            verifications: rows
                .iter()
                .map(|(row, touched)| (*row, touched.refresh_in))
                .collect(),
            price: self.settings.limits.budget.price,
            history: changed()
                .map(|(row, touched)| Noted {
                    attempt: row.id,
                    from: touched.from,
                    to: row.status,
                    cause: touched.cause,
                })
                .collect(),
            people: people.iter().filter_map(moved).collect(),
            notified: changed().filter_map(|(row, _)| row.user_id).collect(),
            over: over.map(|(row, _)| row.id).collect(),
            messages,
        }
    }
}

/// A row that something was told of, and what that did to it.
#[derive(Debug)]
struct Touched<'a> {
    from: Option<Status>,
    before: Shown,
    after: Shown,
    /// What told the state that it has now.
    cause: &'a str,
    refresh_in: Option<Duration>,
}

impl<'a> Touched<'a> {
    fn new(row: &Verification, cause: &'a str) -> Self {
        Self {
            from: row.status,
            before: Shown::of(row),
            after: Shown::of(row),
            cause,
            refresh_in: None,
        }
    }

    /// Merges an observation into the row.
    fn tell(&mut self, row: &mut Verification, observation: &'a Observation) {
        row.knowledge.merge(&observation.knowledge);
        self.refresh_in = schedule(row, &observation.source);
        conclude(row);
        let shown = Shown::of(row);
        if shown != self.after {
            self.after = shown;
            self.cause = &observation.cause;
        }
    }

    fn to(&self) -> Option<Status> {
        self.after.verdict.as_ref().map(|verdict| verdict.status)
    }

    /// Is there anything that people can see?
    fn has_changed(&self) -> bool {
        self.before != self.after || self.from != self.to()
    }

    /// What there is to tell of, if the row is somebody's.
    fn change<'row>(&self, row: &'row Verification) -> Option<Change<'row>> {
        let error = |shown: &Shown| shown.verdict.as_ref().and_then(|it| it.error.clone());
        Some(Change {
            row,
            user: row.user_id?,
            of_status: self.from != self.to() || error(&self.before) != error(&self.after),
            redaction_before: self.before.redaction,
        })
    }
}

/// Puts the verdict into the row.
fn conclude(row: &mut Verification) {
    let verdict = row.knowledge.verdict();
    let status = verdict.as_ref().map(|verdict| verdict.status);
    let second = verdict.map(|verdict| verdict.second);
    let told = row.knowledge.events.as_ref().map(|events| events.second);
    // A look that finds what the last one found does not move the time: only events carry their own.
    if status.is_none() || status != row.status || second == told {
        row.verdict_second = second;
    } else {
        row.verdict_second = row.verdict_second.or(second);
    }
    row.status = status;
}

/// No check can come of it any more. One that was verified has been checked, even if nobody told us its report yet.
fn will_not_be_billed(verification: &Verification) -> bool {
    let over = verification.gone
        || verification.knowledge.redaction.has_begun()
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
    // It is told of, so Stripe may have it after all.
    let told_of = verification.gone && matches!(source, Source::Event | Source::Hint);
    let hinted = told_of || !verification.gone && verification.hinted > verification.answered;
    verification.refresh_tries = due
        .and_then(|due| i32::try_from(due.tries).ok())
        .unwrap_or_default();
    due.map(|due| due.after)
        .or(hinted.then_some(refresh::FIRST_DELAY))
}
