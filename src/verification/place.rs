//! Whose session it is: by our own row, and by nothing else that comes from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verifier, read::Reading};
use crate::{
    domain::{AttemptId, SessionId, UserId},
    store::{self, LockedUser, StoreError, Tx, Verification},
};

/// What a transaction has locked: people, with all of their attempts, and rows that nobody owns yet.
#[derive(Debug)]
pub(super) struct Held {
    /// The people.
    pub(super) users: BTreeMap<UserId, LockedUser>,
    /// The rows.
    pub(super) rows: BTreeMap<AttemptId, Verification>,
}

impl Held {
    pub(super) fn new(users: Vec<LockedUser>, rows: Vec<Verification>) -> Self {
        Self {
            users: users.into_iter().map(|user| (user.id, user)).collect(),
            rows: rows.into_iter().map(|row| (row.id, row)).collect(),
        }
    }

    /// Is it the row of somebody who was forgotten?
    pub(super) fn is_forgotten(&self, row: &Verification) -> bool {
        let user = row.user_id.and_then(|user| self.users.get(&user));
        user.is_some_and(|user| user.forgotten)
    }

    /// Whose attempt it is.
    pub(super) fn owner(&self, attempt: AttemptId) -> Option<UserId> {
        self.rows.get(&attempt)?.user_id
    }
}

/// Sessions, and the attempts that each is said to be of.
type Named<'a> = BTreeMap<&'a SessionId, Vec<AttemptId>>;

impl Verifier {
    /// All rows of the people who are locked, and those of the readings' sessions that nobody owns.
    pub(super) async fn hold(
        &self,
        tx: &mut Tx,
        owners: Vec<LockedUser>,
        readings: &[&Reading],
    ) -> Result<Held, StoreError> {
        let ids: Vec<UserId> = owners.iter().map(|user| user.id).collect();
        let mut rows = store::read_attempts(tx, &ids).await?;
        let mut of_nobody: BTreeSet<&SessionId> = readings.iter().map(|r| &r.session).collect();
        for session in rows.iter().filter_map(|row| row.session_id.as_ref()) {
            of_nobody.remove(session);
        }
        if !of_nobody.is_empty() {
            let of_nobody: Vec<SessionId> = of_nobody.into_iter().cloned().collect();
            rows.extend(store::lock_verifications(tx, &[], &of_nobody).await?);
        }
        Ok(Held::new(owners, rows))
    }

    /// The row of each session. A session without one is linked to the attempt it names, if that one waits for a
    /// session; else it gets a row that belongs to nobody yet.
    pub(super) async fn place(
        &self,
        tx: &mut Tx,
        held: &mut Held,
        readings: &[&Reading],
    ) -> Result<BTreeMap<SessionId, AttemptId>, StoreError> {
        let mut named = Named::new();
        for reading in readings {
            let named = named.entry(&reading.session).or_default();
            named.extend(reading.naming.attempt.filter(|id| !named.contains(id)));
        }
        let rows = held.rows.values();
        let mut places: BTreeMap<SessionId, AttemptId> = rows
            .filter_map(|row| Some((row.session_id.clone()?, row.id)))
            .collect();
        let mut strangers = Vec::new();
        for (session, attempts) in named {
            let found = places.get(session).copied();
            match found.and_then(|id| held.owner(id)) {
                Some(owner) if held.users.contains_key(&owner) => continue,
                // Somebody has linked it since we looked.
                Some(_) => return Err(StoreError::moved()),
                None => {}
            }
            if let Some(linked) = self.link(tx, held, session, &attempts).await? {
                places.insert(session.clone(), linked);
            } else if found.is_none() {
                strangers.push(session.clone());
            }
        }
        if !strangers.is_empty() {
            store::insert_unclaimed(tx, &strangers, self.settings.livemode).await?;
            for row in store::lock_verifications(tx, &[], &strangers).await? {
                // It may have been made, and linked, since we looked; then its person is not locked.
                if row.user_id.is_some() {
                    return Err(StoreError::moved());
                }
                places.extend(row.session_id.clone().map(|session| (session, row.id)));
                held.rows.insert(row.id, row);
            }
        }
        Ok(places)
    }

    /// Links a session to the first attempt it names that waits for one and whose person is locked.
    async fn link(
        &self,
        tx: &mut Tx,
        held: &mut Held,
        session: &SessionId,
        attempts: &[AttemptId],
    ) -> Result<Option<AttemptId>, StoreError> {
        let mut rows = held.rows.values();
        let found = rows.find(|row| row.session_id.as_ref() == Some(session));
        let found = found.map(|row| row.id);
        for attempt in attempts {
            let waits = held.rows.get(attempt).is_some_and(|row| {
                row.session_id.is_none()
                    && row.livemode == self.settings.livemode
                    && row
                        .user_id
                        .is_some_and(|user| held.users.contains_key(&user))
            });
            if waits {
                if let Some(linked) = self.attach(tx, *attempt, session).await? {
                    if let Some(unclaimed) = found {
                        held.rows.remove(&unclaimed);
                    }
                    held.rows.insert(linked.id, linked);
                    return Ok(Some(*attempt));
                }
            } else if found.is_none() && store::is_attempt(tx, *attempt).await? {
                alarm_second_session(*attempt, session);
            }
        }
        Ok(None)
    }

    /// Gives a locked person's attempt its session. An unclaimed row that holds the session already is merged into the
    /// attempt's. `None` if either of them is taken.
    pub(super) async fn attach(
        &self,
        tx: &mut Tx,
        attempt: AttemptId,
        session: &SessionId,
    ) -> Result<Option<Verification>, StoreError> {
        let livemode = self.settings.livemode;
        if let Some(linked) = store::link_session(tx, attempt, session, livemode).await? {
            return Ok(Some(linked));
        }
        let unclaimed = match store::find_by_session(tx, session).await? {
            Some((id, _)) if id == attempt => return Ok(Some(lock_one(tx, id).await?)),
            Some((id, None)) => id,
            // One of the two is taken.
            Some((_, Some(_))) | None => {
                alarm_second_session(attempt, session);
                return Ok(None);
            }
        };
        let rows = store::lock_verifications(tx, &[unclaimed, attempt], &[]).await?;
        let (Some(known_before), Some(waiting)) = (of(&rows, unclaimed), of(&rows, attempt)) else {
            return Err(StoreError::moved());
        };
        if known_before.user_id.is_some() {
            return Err(StoreError::moved());
        }
        if waiting.session_id.is_some() {
            alarm_second_session(attempt, session);
            return Ok(None);
        }
        store::absorb_unclaimed(tx, unclaimed, attempt).await?;
        let linked = store::link_session(tx, attempt, session, livemode).await?;
        let mut linked = linked.ok_or_else(StoreError::moved)?;
        linked.knowledge.merge(&known_before.knowledge);
        linked.hinted += known_before.hinted;
        linked.answered += known_before.answered;
        linked.gone |= known_before.gone;
        Ok(Some(linked))
    }
}

fn of(rows: &[Verification], id: AttemptId) -> Option<&Verification> {
    rows.iter().find(|row| row.id == id)
}

async fn lock_one(tx: &mut Tx, id: AttemptId) -> Result<Verification, StoreError> {
    store::lock_verifications(tx, &[id], &[])
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
