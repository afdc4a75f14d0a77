//! Attempts that never got their session: a process died between Stripe's making it and our noting it.
//!
//! Most are found in the list of sessions, by the attempt that each names. What is left is asked for one by one, and once
//! after each start; what was reserved for one that Stripe has nothing of is free again.

use super::{HealError, HealedBy, Round, report::count};
use crate::{
    domain::AttemptId,
    store,
    stripe::{ListSessions, Priority},
};

/// In one round. Somebody who clicks again finds their session by themselves.
const MOST: u8 = 50;

impl Round<'_> {
    /// Looks for the sessions of attempts that have none and that nobody is at.
    pub(super) async fn search(&mut self) -> Result<(), HealError> {
        let (db, ahead) = (&self.verifier.db, self.order.ahead);
        let livemode = self.healer.livemode;
        let waiting = store::list_unsearched(db, livemode, MOST.into(), ahead).await?;
        self.report.attempts_searched += count(waiting.len());
        for (attempt, now) in waiting {
            self.search_for(attempt).await?;
            self.verifier.end_search(attempt, now).await?;
        }
        Ok(())
    }

    async fn search_for(&mut self, attempt: AttemptId) -> Result<(), HealError> {
        let name = attempt.to_string();
        let list = ListSessions::created_for(&name);
        let client = self.verifier.stripe.clone();
        let reply = self.ask(client.list_sessions(&list, Priority::Job)).await?;
        let mut found = reply.value.data;
        // Visitors of a static link choose their own client_reference_id; metadata needs our key.
        found.retain(|session| session.attempt() == Some(name.as_str()));
        self.read_page(&found, reply.as_of, HealedBy::Search).await
    }
}
