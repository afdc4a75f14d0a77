//! Attempts that never got their session: a process died between Stripe's making it and our noting it.
//!
//! Most are found in the list of sessions, by the attempt that each names. What is left is asked for one by one, and once
//! after each start; what was reserved for one that Stripe has nothing of is free again.

use super::{HealError, HealedBy, Round, report::count};
use crate::{
    domain::AttemptId,
    store,
    stripe::{List, ListSessions, Priority, Reply, StripeError, VerificationSession},
    verification::Verifier,
};

/// In one round. Somebody who clicks again finds their session by themselves.
const MOST: u8 = 50;

impl Verifier {
    /// The sessions that were made for an attempt, newest first, as far as one answer has them.
    pub(in crate::verification) async fn list_sessions_of(
        &self,
        attempt: AttemptId,
    ) -> Result<Reply<List<VerificationSession>>, StripeError> {
        let name = attempt.to_string();
        let list = ListSessions::created_for(&name);
        let mut reply = self.stripe.list_sessions(&list, Priority::Job).await?;
        let sessions = &mut reply.value.data;
        // Visitors of a static link choose their own client_reference_id; metadata needs our key.
        sessions.retain(|session| session.attempt() == Some(name.as_str()));
        Ok(reply)
    }
}

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
        let verifier = self.verifier;
        let reply = self.ask(verifier.list_sessions_of(attempt)).await?;
        self.read_page(&reply.value.data, reply.as_of, HealedBy::Search)
            .await
    }
}
