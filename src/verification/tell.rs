//! What applications are told of a change: messages, written in its transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::place::Held;
use crate::{
    domain::{AttemptId, MessageType, PersonState, Redaction, SessionId, Status, UserId},
    store::{self, LockedUser, NewMessage, StoreError, Verification},
};

/// Somebody who is told by us, rather than asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// What it wants to hear of.
    pub types: BTreeSet<MessageType>,
}

/// Everybody who is told; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Arc<[Endpoint]>);

impl FromIterator<Endpoint> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// A change that people can see, of a row that is somebody's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// The row as it is now.
    pub(super) row: &'a Verification,
    /// Whose.
    pub(super) user: UserId,
    /// The status, or why the last try failed, is another one.
    pub(super) of_status: bool,
    /// What was erased before.
    pub(super) redaction_before: Redaction,
}

impl Endpoints {
    /// The messages about all changes of one transaction, each person's numbered on from their last.
    pub(super) fn messages(
        &self,
        changes: &[Change<'_>],
        held: &Held,
        people: &BTreeMap<UserId, PersonState>,
    ) -> Result<Vec<NewMessage>, StoreError> {
        let message = |kind, user: UserId, row: &Verification| -> Result<_, StoreError> {
            let wanted = self.0.iter().filter(|it| it.types.contains(&kind));
            // Nothing is told of somebody who was forgotten.
            let whose = held.users.get(&user).filter(|it| !it.forgotten);
            let Some((whose, state)) = whose.zip(people.get(&user)) else {
                return Ok(None);
            };
            Ok(Some(NewMessage {
                user,
                sequence: 0,
                livemode: row.livemode,
                kind,
                data: store::encode(&WholeState::of(whose, state, row))?,
                endpoints: wanted.map(|endpoint| endpoint.name.clone()).collect(),
            }))
        };
        let mut messages = Vec::with_capacity(changes.len());
        let mut last_change = BTreeMap::new();
        for change in changes {
            last_change.insert(change.user, change.row);
            for kind in change.types() {
                messages.extend(message(kind, change.user, change.row)?);
            }
        }
        for (user, row) in last_change {
            let before = held.users.get(&user).map(|saved| saved.status);
            let after = people.get(&user).map(|state| state.status);
            if before != after {
                let kind = MessageType::UserStatusChanged;
                messages.extend(message(kind, user, row)?);
            }
        }
        let mut sequences = BTreeMap::new();
        for message in &mut messages {
            let saved = held
                .users
                .get(&message.user)
                .map_or(0, |user| user.sequence);
            let sequence = sequences.entry(message.user).or_insert(saved);
            *sequence += 1;
            message.sequence = *sequence;
        }
        Ok(messages)
    }
}

impl Change<'_> {
    fn types(&self) -> impl Iterator<Item = MessageType> {
        let status = self.row.status.filter(|_| self.of_status);
        let redacted = Redaction::Redacted;
        let is_erased =
            self.redaction_before != redacted && self.row.knowledge.redaction == redacted;
        let status = status.map(MessageType::from).into_iter();
        status.chain(is_erased.then_some(MessageType::Redacted))
    }
}

/// The whole state as of a change: ids, statuses, codes and times, and nothing else may be in a message.
#[derive(Serialize)]
struct WholeState<'a> {
    user: UserState<'a>,
    verification: VerificationState<'a>,
}

#[derive(Serialize)]
struct UserState<'a> {
    id: &'a str,
    realm: &'a str,
    status: &'static str,
    verified_at: Option<String>,
}

#[derive(Serialize)]
struct VerificationState<'a> {
    id: AttemptId,
    session_id: Option<&'a str>,
    policy: &'a str,
    status: Option<&'static str>,
    last_error: Option<LastError>,
    redaction: &'static str,
    gone: bool,
    created_at: String,
}

#[derive(Serialize)]
struct LastError {
    code: String,
}

impl<'a> WholeState<'a> {
    fn of(user: &'a LockedUser, state: &PersonState, row: &'a Verification) -> Self {
        let error = row.knowledge.verdict().and_then(|verdict| verdict.error);
        let verified_at = state
            .verified_at_second
            .and_then(|second| DateTime::from_timestamp(second, 0));
        Self {
            user: UserState {
                id: &user.person.external_id,
                realm: &user.person.realm,
                status: state.status.as_str(),
                verified_at: verified_at.map(|at| written(&at)),
            },
            verification: VerificationState {
                id: row.id,
                session_id: row.session_id.as_ref().map(SessionId::as_str),
                policy: &row.policy,
                status: row.status.map(Status::as_str),
                last_error: error.map(|code| LastError { code }),
                redaction: row.knowledge.redaction.as_str(),
                gone: row.gone,
                created_at: written(&row.created_at),
            },
        }
    }
}

fn written(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
