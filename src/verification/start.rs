//! Start: hands a person the secret of their one open session, creating it if there is none.

use std::{net::IpAddr, sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{Verifier, policy::Policy};
use crate::{
    causes::causes,
    domain::{AttemptId, Client, Person, SessionId, UserId},
    store::{self, StoreError},
    stripe::{Priority, StripeError},
};

/// Who asks to start, by what, for which checks, and from where.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Who is to be verified.
    pub person: Person,
    /// Whose row `person` was read from, if it was: then it is news of nobody.
    pub user: Option<UserId>,
    /// What opens Stripe's page.
    pub client: Client,
    /// The name of the policy asked for; none is the default one.
    pub policy: Option<String>,
    /// The address the request came from, if known; it counts against the limit for its network.
    pub address: Option<IpAddr>,
}

impl StartRequest {
    /// For the default policy, from nowhere in particular.
    pub fn new(person: Person, client: Client) -> Self {
        Self {
            person,
            user: None,
            client,
            policy: None,
            address: None,
        }
    }
}

/// What a client needs to open Stripe's page. Handed out at once and never kept.
#[derive(Clone, Debug)]
pub struct Started {
    /// Our attempt.
    pub attempt: AttemptId,
    /// Stripe's session.
    pub session: SessionId,
    /// Opens the modal.
    pub client_secret: SecretString,
    /// Opens the hosted page.
    pub url: SecretString,
    /// Opens the native SDK, for clients that are one.
    pub ephemeral_key_secret: Option<SecretString>,
}

/// A session that waits for the person, with its fresh secrets.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) attempt: AttemptId,
    pub(super) session: SessionId,
    pub(super) client_secret: SecretString,
    pub(super) url: SecretString,
}

/// Why there is nothing to hand out. Its causes were logged where they arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// They are verified.
    #[error("the person is verified already")]
    AlreadyVerified,
    /// Their document is being checked.
    #[error("the person's document is being checked")]
    Processing,
    /// Every attempt they may have was billed; the operator can allow another.
    #[error("the person has used every attempt")]
    AttemptsExhausted {
        /// When there is another by itself: only those of the day are used.
        again_in: Option<Duration>,
    },
    /// Too many sessions were made for them, or for their address.
    #[error("too many sessions were made for this person or address")]
    RateLimited {
        /// When the next may be.
        retry_after: Duration,
    },
    /// Nothing is left for anybody who has nothing reserved.
    #[error("the budget is used up")]
    BudgetExhausted {
        /// When the day or the month ends.
        retry_after: Duration,
    },
    /// Another process is at it.
    #[error("another request is opening this person's session; try again")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// Stripe cannot be reached, or limits us.
    #[error("Stripe cannot be reached or limits us; try again")]
    Unreachable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Stripe refuses what we ask for: ours to mend.
    #[error("Stripe refuses the request; see the log for its request id")]
    Refused,
    /// The policy asked for is not configured, or not any more: ours to mend.
    #[error("the policy asked for is not configured")]
    UnknownPolicy,
    /// The database cannot be reached.
    #[error("the database cannot be reached; try again")]
    Unavailable,
    /// They were forgotten while it was under way.
    #[error("the person was forgotten meanwhile")]
    Forgotten,
    /// A row is not as we write it, or the attempt broke off.
    #[error("the start broke off; see the log")]
    Broken,
}

impl Verifier {
    /// Opens the person's session, or says why not. Callers that arrive while one runs share its answer; a native
    /// client gets an ephemeral key of its own each time.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, request: &StartRequest) -> Result<Started, StartError> {
        let (this, asked) = (self.clone(), request.clone());
        let run = async move { this.open(&asked).await };
        let policy = self.policy(request.policy.as_deref())?;
        let opened = self
            .flights
            .join(&request.person, &policy.name, run)
            .await?;
        let ephemeral_key_secret = match request.client {
            Client::Native => Some(self.create_ephemeral_key(&opened.session).await?),
            Client::Modal | Client::Redirect => None,
        };
        Ok(Started {
            attempt: opened.attempt,
            session: opened.session,
            client_secret: opened.client_secret,
            url: opened.url,
            ephemeral_key_secret,
        })
    }

    /// Is this session of Stripe's the person's open one?
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn has_open(&self, person: &Person, session: &str) -> Result<bool, StoreError> {
        store::is_open_session(&self.db, person, self.settings.livemode, session).await
    }

    /// The policy to start under; never another one than was asked for.
    pub(super) fn policy(&self, name: Option<&str>) -> Result<Arc<Policy>, StartError> {
        self.settings.policies.find(name).map_err(|_| {
            tracing::error!(
                policy = name,
                "a start asks for a policy that is not in POLICIES; put it back, or have the application name another"
            );
            StartError::UnknownPolicy
        })
    }

    async fn create_ephemeral_key(&self, session: &SessionId) -> Result<SecretString, StartError> {
        match self
            .stripe
            .create_ephemeral_key(session.as_str(), Priority::Person)
            .await
        {
            Ok(reply) => Ok(reply.value.secret),
            Err(error) => Err(refusal(&error)),
        }
    }
}

/// Logs what Stripe said, once, and tells the caller what it means for the person.
pub(super) fn refusal(error: &StripeError) -> StartError {
    let chain = causes(error);
    if let Some(retry_after) = error.retry_after() {
        tracing::warn!(
            error = %chain,
            stripe.request = error.request_id(),
            "Stripe was not to be had"
        );
        return StartError::Unreachable { retry_after };
    }
    tracing::error!(
        error = %chain,
        stripe.request = error.request_id(),
        "Stripe refuses a call; the request id leads to its reason in the Dashboard, under Developers, Logs"
    );
    StartError::Refused
}
