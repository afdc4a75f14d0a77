//! What a start asks of Stripe, with no transaction open: its session, made or found.

use super::{Verifier, open::Lease};
use crate::stripe::{
    CreateSession, ListSessions, Page, Priority, Reply, StripeError, VerificationSession,
};

/// What Stripe has for an attempt.
pub(super) enum Found {
    Session(Box<Reply<VerificationSession>>, &'static str),
    /// The session we had is not there.
    Gone,
    /// No session came of the attempt, nor can one.
    Nothing(&'static str),
}

impl Verifier {
    /// The calls to Stripe, with no transaction open.
    pub(super) async fn find_or_create(&self, lease: &Lease) -> Result<Found, StripeError> {
        if let Some(session) = &lease.session {
            return self.read_open(session.as_str(), "read at start").await;
        }
        if lease.key_may_have_expired {
            return self.search(lease).await;
        }
        let Ok(create) = serde_json::from_value::<CreateSession>(lease.parameters.clone()) else {
            return Ok(Found::Nothing(
                "closed: its frozen parameters cannot be read",
            ));
        };
        let key = lease.attempt.to_string();
        match self
            .stripe
            .create_session(&create, &key, Priority::Person)
            .await
        {
            // The stored answer's secrets may be spent.
            Ok(reply) if reply.replayed => self.read_open(&reply.value.id, "created").await,
            Ok(reply) => Ok(Found::Session(Box::new(reply), "created")),
            Err(error) if key_is_spoilt(&error) => self.search(lease).await,
            Err(error) => Err(error),
        }
    }

    async fn read_open(&self, session: &str, cause: &'static str) -> Result<Found, StripeError> {
        match self
            .stripe
            .retrieve_session(session, Priority::Person)
            .await
        {
            Ok(reply) => Ok(Found::Session(Box::new(reply), cause)),
            Err(error) if error.is_missing() => Ok(Found::Gone),
            Err(error) => Err(error),
        }
    }

    /// Looks for a session that an earlier call may have made, when its key can no longer tell.
    async fn search(&self, lease: &Lease) -> Result<Found, StripeError> {
        let attempt = lease.attempt.to_string();
        let list = ListSessions {
            client_reference_id: Some(attempt.clone()),
            page: Page {
                limit: Some(100),
                ..Page::default()
            },
            ..ListSessions::default()
        };
        let found = self
            .stripe
            .list_sessions(&list, Priority::Person)
            .await?
            .value
            .data;
        // Visitors of a static link choose their own client_reference_id; metadata needs our key.
        match found
            .iter()
            .find(|session| session.attempt() == Some(&attempt))
        {
            Some(session) => {
                self.read_open(&session.id, "found by its client_reference_id")
                    .await
            }
            None => Ok(Found::Nothing("closed: Stripe made no session of it")),
        }
    }
}

/// The key brings back a failure for ever, or belongs to a call with other parameters: no session can come by it.
fn key_is_spoilt(error: &StripeError) -> bool {
    error.api().is_some_and(|answer| {
        (answer.replayed && answer.status >= 500)
            || answer.kind.as_deref() == Some("idempotency_error")
                && answer.code.as_deref() != Some("idempotency_key_in_use")
    })
}
