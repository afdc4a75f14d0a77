//! Sessions as Stripe lists them, whatever our status: sometimes there is no event at all.

use std::collections::BTreeMap;

use super::{A_COMMIT, A_PAGE, HealError, HealedBy, Round, next_page, report::count};
use crate::{
    causes::causes,
    domain::{Redaction, SessionId},
    store::{self, ShownSession, StoreError},
    stripe::{AsOf, Created, ListSessions, Page, Priority, SessionStatus, VerificationSession},
    verification::read::{self, Reading},
};

const RECENT: i64 = 48 * 3600;
const ALL: i64 = 90 * 86_400;
const CAUSE: &str = "read in Stripe's list";

impl Round<'_> {
    /// Those created in the last 48 hours, or in the 48 hours before the last look.
    pub(super) async fn read_recent(&mut self) -> Result<(), HealError> {
        let now = self.standing.now;
        let before = self.standing.recent_swept.unwrap_or(now).min(now);
        let created = Created {
            gte: Some(before - RECENT),
            ..Created::default()
        };
        let mut list = list(created);
        while self.read_next(&mut list).await?.is_some() {}
        if !store::note_recent_swept(&self.verifier.db, self.healer, now).await? {
            return Err(HealError::TakenOver);
        }
        Ok(())
    }

    /// Those created in the last 90 days, from where it stopped, at most so many pages.
    pub(super) async fn read_all(&mut self, pages: usize) -> Result<(), HealError> {
        let mut list = list(Created {
            gte: Some(self.standing.now - ALL),
            lte: self.standing.all_down_to,
            ..Created::default()
        });
        for _ in 0..pages {
            let down_to = self.read_next(&mut list).await?;
            if !store::note_all_swept(&self.verifier.db, self.healer, down_to).await? {
                return Err(HealError::TakenOver);
            }
            if down_to.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads a page, and turns it. Gives the second in which its oldest session was created; none if it was the last.
    async fn read_next(&mut self, list: &mut ListSessions) -> Result<Option<i64>, HealError> {
        let client = self.verifier.stripe.clone();
        let reply = self.ask(client.list_sessions(list, Priority::Job)).await?;
        let page = reply.value;
        self.report.sessions_read += count(page.data.len());
        self.report.unreadable(page.skipped);
        self.read_page(&page.data, reply.as_of, HealedBy::List)
            .await?;
        list.page.starting_after = next_page(&page);
        let oldest = page.data.iter().filter_map(|it| it.created).min();
        // A page that says nothing of time is gone past, and read again after a crash.
        let down_to = oldest.or(list.created.lte).unwrap_or(self.standing.now);
        Ok(list.page.starting_after.as_ref().map(|_| down_to))
    }

    /// Merges what differs from what we show. The rest would write every row anew, and change nothing.
    pub(super) async fn read_page(
        &mut self,
        sessions: &[VerificationSession],
        as_of: Option<AsOf>,
        by: HealedBy,
    ) -> Result<(), HealError> {
        let ours = sessions
            .iter()
            .filter(|it| it.livemode == self.healer.livemode);
        let found: BTreeMap<SessionId, &VerificationSession> = ours
            .filter_map(|session| Some((SessionId::parse(&session.id)?, session)))
            .collect();
        let ids: Vec<SessionId> = found.keys().cloned().collect();
        let before = self.shown(&ids).await?;
        let differing = found
            .into_iter()
            .filter(|(id, session)| differs(session, before.get(id.as_str())));
        let now = as_of.map_or(self.standing.now, |as_of| as_of.second);
        let mut since = BTreeMap::new();
        let readings: Vec<Reading> = differing
            .map(|(id, session)| {
                let shown = before.get(id.as_str()).map(|shown| shown.updated);
                let last = shown.or(session.created).unwrap_or(now);
                since.insert(id.clone(), now - last);
                Reading {
                    session: id,
                    naming: read::naming(session),
                    observation: read::session(session, as_of, None, CAUSE),
                }
            })
            .collect();
        let moved = self.merge(readings).await?;
        since.retain(|session, _| moved.contains(session));
        self.count(by, &before, &since).await?;
        Ok(())
    }

    /// Merges them, many at once; what the database refuses is kept out of the way of the rest. Gives those that moved.
    async fn merge(&mut self, readings: Vec<Reading>) -> Result<Vec<SessionId>, StoreError> {
        let mut moved = Vec::new();
        let mut parts: Vec<&[Reading]> = readings.chunks(A_COMMIT).collect();
        while let Some(part) = parts.pop() {
            match self.verifier.merge_all(part).await {
                Ok(merged) => moved.extend(merged.moved),
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    if let [reading] = part {
                        self.report.unreadable(1);
                        tracing::error!(
                            error = %causes(&error),
                            stripe.session = %reading.session,
                            "what Stripe lists of this session cannot be saved; it is left out"
                        );
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
            }
        }
        Ok(moved)
    }
}

fn list(created: Created) -> ListSessions {
    ListSessions {
        created,
        page: Page {
            limit: Some(A_PAGE),
            ..Page::default()
        },
        ..ListSessions::default()
    }
}

/// Would merging this session change anything that we show of it?
fn differs(session: &VerificationSession, shown: Option<&ShownSession>) -> bool {
    let Some(shown) = shown else {
        return true;
    };
    let status = session.status.as_str();
    let of_status = match session.status {
        SessionStatus::Unknown(_) => shown.unknown_status.as_deref() != Some(status),
        _ => shown.status.as_deref() != Some(status) || shown.unknown_status.is_some(),
    };
    let error = session.last_error.as_ref().and_then(|it| it.code.as_ref());
    let report = session.last_verification_report.as_ref();
    of_status
        || shown.doubtful
        || shown.gone
        || (!shown.claimed && session.attempt().is_some())
        || shown.error_code.as_ref() != error
        || (report.is_some() && shown.report_id.as_ref() != report)
        || read::redaction(session) > Redaction::parse(&shown.redaction).unwrap_or_default()
}
