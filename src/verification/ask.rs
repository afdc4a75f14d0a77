//! What a start asks of Stripe, with no transaction open: its session, made or found, under the wanted policy.

use super::{
    Verifier,
    lease::Lease,
    policy::{Change, provided_details},
};
use crate::stripe::{
    CreateSession, ListSessions, Priority, Reply, StripeError, VerificationSession,
};

/// What Stripe has for an attempt.
pub(super) enum Found {
    Session(Box<Reply<VerificationSession>>, &'static str, Told),
    /// The session we had is not there.
    Gone,
    /// No session came of the attempt, nor can one.
    Nothing(&'static str),
    /// Stripe will not make one of it.
    Refused(StripeError),
}

/// What Stripe said to a change of the session, before it was read.
pub(super) enum Told {
    /// No change was asked for.
    Nothing,
    /// It is as wanted.
    Changed,
    /// It stays as it was.
    Refused(StripeError),
}

impl Verifier {
    /// The calls to Stripe, with no transaction open.
    pub(super) async fn find_or_create(&self, lease: &Lease) -> Result<Found, StripeError> {
        if let Some(session) = &lease.session {
            return self.bring_under(lease, session.as_str()).await;
        }
        if lease.key_may_have_expired {
            return self.search(lease).await;
        }
        let Ok(frozen) = serde_json::from_value::<CreateSession>(lease.parameters.clone()) else {
            return Ok(Found::Nothing(
                "closed: its frozen parameters cannot be read",
            ));
        };
        // Should they have changed since an earlier call with this key, Stripe says so, and its session is searched for.
        let create = CreateSession {
            provided_details: provided_details(&lease.person),
            ..frozen
        };
        let key = lease.attempt.to_string();
        match self
            .stripe
            .create_session(&create, &key, Priority::Person)
            .await
        {
            // The stored answer's secrets may be spent.
            Ok(reply) if reply.replayed => self.read_open(&reply.value.id, "created").await,
            Ok(reply) => Ok(Found::Session(Box::new(reply), "created", Told::Nothing)),
            Err(error) if key_is_spoilt(&error) => self.search(lease).await,
            Err(error) if refuses_to_create(&error) => Ok(Found::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// Changes the open session if need be, and reads it: the answer to a change may hold a secret that is spent.
    async fn bring_under(&self, lease: &Lease, session: &str) -> Result<Found, StripeError> {
        let by = Priority::Person;
        let (told, cause) = match &lease.change {
            Change::None => (Told::Nothing, "read at start"),
            Change::Update(update) => {
                let answer = self.stripe.update_session(session, update, by).await;
                (told(answer)?, "read after a change of its policy")
            }
            Change::Details(update) => {
                let answer = self.stripe.update_session(session, update, by).await;
                (told(answer)?, "read after a change of its person's details")
            }
            Change::Cancel => {
                let answer = self.stripe.cancel_session(session, by).await;
                (told(answer)?, "closed for another policy")
            }
        };
        Ok(match self.read_open(session, cause).await? {
            Found::Session(reply, cause, _) => Found::Session(reply, cause, told),
            other => other,
        })
    }

    async fn read_open(&self, session: &str, cause: &'static str) -> Result<Found, StripeError> {
        match self
            .stripe
            .retrieve_session(session, Priority::Person)
            .await
        {
            Ok(reply) => Ok(Found::Session(Box::new(reply), cause, Told::Nothing)),
            Err(error) if error.is_missing() => Ok(Found::Gone),
            Err(error) => Err(error),
        }
    }

    /// Looks for a session that an earlier call may have made, when its key can no longer tell.
    async fn search(&self, lease: &Lease) -> Result<Found, StripeError> {
        let attempt = lease.attempt.to_string();
        let list = ListSessions::created_for(&attempt);
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

/// Only a definite refusal says that nothing was changed.
fn told<T>(answer: Result<T, StripeError>) -> Result<Told, StripeError> {
    match answer {
        Ok(_) => Ok(Told::Changed),
        Err(error) if error.status() == Some(400) || error.is_missing() => Ok(Told::Refused(error)),
        Err(error) => Err(error),
    }
}

/// The key brings back a failure for ever, or belongs to a call with other parameters: no session can come by it.
fn key_is_spoilt(error: &StripeError) -> bool {
    error.is_replayed_failure() || error.is_idempotency_error() && !error.is_key_in_use()
}

/// The parameters are frozen, so the same call would be refused for ever. Not so where it is our key that is refused, nor
/// where the answer does not speak as Stripe does: then somebody on the way gave it.
fn refuses_to_create(error: &StripeError) -> bool {
    error.is_definite_refusal()
        && !matches!(error.status(), Some(401 | 403))
        && error.api().is_some_and(|answer| answer.kind.is_some())
}
