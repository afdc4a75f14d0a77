//! Events that no delivery brought: each is handed in by the same door as a delivery.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{A_COMMIT, A_PAGE, HealError, HealedBy, Round, next_page, report::count};
use crate::{
    domain::SessionId,
    store,
    stripe::{Created, Event, ListEvents, Page, Priority},
    verification::{HearError, Heard},
};

/// All there are; `*` would leave out the last, and bring what is none of ours.
const TYPES: [&str; 6] = [
    "identity.verification_session.created",
    "identity.verification_session.processing",
    "identity.verification_session.requires_input",
    "identity.verification_session.canceled",
    "identity.verification_session.verified",
    "identity.verification_session.redacted",
];
/// The list may show an event later than it happened.
const OVERLAP: i64 = 600;
/// Stripe keeps no more.
const KEPT: i64 = 30 * 86_400;

impl Round<'_> {
    /// Every event since the last look.
    pub(super) async fn hear_events(&mut self) -> Result<(), HealError> {
        let oldest = self.standing.now - KEPT;
        let since = self
            .standing
            .events_until
            .map(|until| (until - OVERLAP).max(oldest));
        let mut list = ListEvents {
            types: TYPES.map(str::to_owned).into(),
            created: Created {
                gte: since,
                ..Created::default()
            },
            page: Page {
                limit: Some(A_PAGE),
                ..Page::default()
            },
        };
        // Stripe's clock when the newest page was read: what happens later is the next round's.
        let mut until = None;
        loop {
            let client = self.verifier.stripe.clone();
            let reply = self.ask(client.list_events(&list, Priority::Job)).await?;
            let page = reply.value;
            let newest = page.data.iter().filter_map(|event| event.created).max();
            let read_at = reply.as_of.map(|as_of| as_of.second).or(newest);
            until = until.or(read_at);
            self.report.events_read += count(page.data.len());
            self.report.unreadable(page.skipped);
            self.hear_page(&page.data, read_at.unwrap_or(self.standing.now))
                .await?;
            list.page.starting_after = next_page(&page);
            if list.page.starting_after.is_none() {
                break;
            }
        }
        let Some(until) = until else {
            return Ok(());
        };
        if !store::note_events_heard(&self.verifier.db, self.healer, until).await? {
            return Err(HealError::TakenOver);
        }
        Ok(())
    }

    async fn hear_page(&mut self, events: &[Event], now: i64) -> Result<(), HealError> {
        let db = &self.verifier.db;
        let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        let unknown: HashSet<String> = store::find_unknown_events(db, &ids)
            .await?
            .into_iter()
            .collect();
        let new: Vec<&Event> = events
            .iter()
            .filter(|it| unknown.contains(&it.id))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let sessions: BTreeSet<SessionId> = new.iter().copied().filter_map(session).collect();
        let sessions: Vec<SessionId> = sessions.into_iter().collect();
        let before = self.shown(&sessions).await?;
        let deliveries: Vec<_> = new
            .iter()
            .map(|event| self.verifier.read_delivery(event))
            .collect();
        let deliveries: Vec<_> = deliveries.iter().collect();
        let mut heard = Vec::with_capacity(deliveries.len());
        for part in deliveries.chunks(A_COMMIT) {
            heard.extend(self.verifier.commit_all(part, &|| ()).await);
        }
        let mut told = BTreeMap::<SessionId, i64>::new();
        for (event, heard) in new.iter().zip(heard) {
            let heard = match heard {
                // What only this event meets must not keep us from the others, and from the sessions that are listed.
                Err(HearError::Store(error)) if !error.is_unavailable() => {
                    self.report.unreadable(1);
                    continue;
                }
                heard => heard?,
            };
            // A delivery may have come in between.
            if let Heard::New(_) = heard {
                self.report.events_new += 1;
                if let Some(session) = session(event) {
                    let wrong = event.created.map_or(0, |second| now - second);
                    let least = told.entry(session).or_insert(wrong);
                    *least = wrong.min(*least);
                }
            }
        }
        self.count(HealedBy::Event, &before, &told).await?;
        Ok(())
    }
}

fn session(event: &Event) -> Option<SessionId> {
    event.session_id.as_deref().and_then(SessionId::parse)
}
