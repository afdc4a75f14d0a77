//! Cancel and redact: what an application may do to a verification, through Stripe and the one door.

use std::time::Duration;

use super::{
    Verifier,
    observe::{Naming, Observation, Source},
    read,
};
use crate::{
    causes::causes,
    domain::{AttemptId, SessionId, Status},
    store::{self, Owner, StoreError, VerificationView},
    stripe::{Priority, Reply, SessionStatus, StripeError, VerificationSession},
};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Cancel,
    Redact,
}

/// How far it is with having something erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redacting {
    /// Stripe is at it, or done.
    Begun,
    /// The document is being checked: it is kept, and done once that is over.
    Kept,
}

/// Why it was not done. Its causes were logged where they arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// There is no such verification of this owner's.
    #[error("there is no such verification")]
    Unknown,
    /// Stripe has no session of it, not yet or not any more.
    #[error("Stripe has no session of this verification")]
    NoSession,
    /// Its document is being checked, or was until just now: Stripe lets nobody interfere.
    #[error("the document is being checked")]
    Processing,
    /// It is in a state in which that cannot be done.
    #[error("the verification's state does not allow that")]
    NotOpen,
    /// Stripe cannot be reached, or limits us. It may have acted all the same; then a delivery will say so.
    #[error("Stripe cannot be reached or limits us; try again")]
    Unreachable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Stripe refuses, for a reason of ours to mend.
    #[error("Stripe refuses the request; see the log for its request id")]
    Refused,
    /// The database cannot be reached.
    #[error("the database cannot be reached; try again")]
    Unavailable,
    /// A row is not as we write it.
    #[error("the state could not be saved; see the log")]
    Broken,
}

impl Verifier {
    /// Calls a verification off, for good. One that is called off already stays so.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn cancel(&self, owner: Owner<'_>, id: AttemptId) -> Result<(), ManageError> {
        self.manage(owner, id, Act::Cancel).await
    }

    /// Has Stripe erase what a verification collected, for good; one that waits for the person is called off by it, and
    /// one that is being checked is erased after that.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn redact(&self, owner: Owner<'_>, id: AttemptId) -> Result<Redacting, ManageError> {
        match self.manage(owner, id, Act::Redact).await {
            Ok(()) => Ok(Redacting::Begun),
            Err(ManageError::Processing) => {
                self.keep_redaction(id).await.map_err(store_failure)?;
                Ok(Redacting::Kept)
            }
            Err(error) => Err(error),
        }
    }

    async fn manage(&self, owner: Owner<'_>, id: AttemptId, act: Act) -> Result<(), ManageError> {
        let view = store::find_verification(&self.db, owner, id).await;
        let view = view.map_err(store_failure)?.ok_or(ManageError::Unknown)?;
        if act.is_done(&view) {
            return Ok(());
        }
        let session = view.session_id.filter(|_| !view.gone);
        let session = session.ok_or(ManageError::NoSession)?;
        self.carry_out(act, &session, Priority::Person).await
    }

    /// Asks Stripe, and saves what it says.
    pub(super) async fn carry_out(
        &self,
        act: Act,
        session: &SessionId,
        priority: Priority,
    ) -> Result<(), ManageError> {
        match self.act(act, session, priority).await {
            Ok(reply) => self.save(session, &reply, act.cause()).await,
            Err(error) if error.is_missing() => self.note_gone(session, act).await,
            // Stripe says so in words only; the session itself tells why.
            Err(error) if error.status() == Some(400) => {
                self.explain(session, act, &error, priority).await
            }
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn act(
        &self,
        act: Act,
        session: &SessionId,
        priority: Priority,
    ) -> Result<Reply<VerificationSession>, StripeError> {
        let id = session.as_str();
        match act {
            Act::Cancel => self.stripe.cancel_session(id, priority).await,
            Act::Redact => self.stripe.redact_session(id, priority).await,
        }
    }

    /// Reads the session that Stripe would not touch: what it is now says what the refusal means.
    async fn explain(
        &self,
        session: &SessionId,
        act: Act,
        refused: &StripeError,
        priority: Priority,
    ) -> Result<(), ManageError> {
        let read = self.stripe.retrieve_session(session.as_str(), priority);
        let reply = match read.await {
            Ok(reply) => reply,
            Err(error) if error.is_missing() => return self.note_gone(session, act).await,
            Err(error) => return Err(refusal(&error)),
        };
        self.save(session, &reply, "read after a refusal").await?;
        // Stripe's own word: the row may still weigh it against another of the same second.
        match &reply.value.status {
            SessionStatus::Canceled if act == Act::Cancel => Ok(()),
            _ if act == Act::Redact && read::redaction(&reply.value).has_begun() => Ok(()),
            SessionStatus::Processing => Err(ManageError::Processing),
            // The check ended between the two calls, most likely; whatever it is, the wish is not lost.
            SessionStatus::Verified | SessionStatus::RequiresInput if act == Act::Redact => {
                tracing::warn!(
                    error = %causes(refused),
                    stripe.request = refused.request_id(),
                    stripe.session = %session,
                    "Stripe does not erase a session that nothing is checked of any more; it is asked again"
                );
                Err(ManageError::Processing)
            }
            SessionStatus::Verified | SessionStatus::Canceled => Err(ManageError::NotOpen),
            SessionStatus::RequiresInput | SessionStatus::Unknown(_) => Err(refusal(refused)),
        }
    }

    async fn save(
        &self,
        session: &SessionId,
        reply: &Reply<VerificationSession>,
        cause: &str,
    ) -> Result<(), ManageError> {
        let observation = read::answer(reply, None, cause);
        let naming = read::naming(&reply.value);
        let saved = self.commit_read(session, naming, observation).await;
        saved.map_err(store_failure)
    }

    async fn note_gone(&self, session: &SessionId, act: Act) -> Result<(), ManageError> {
        let saved = self.save_gone(session, act.cause()).await;
        saved.map_err(store_failure)?;
        Err(ManageError::NoSession)
    }

    /// Saves that Stripe has no such session, as was seen when it was asked for this reason.
    pub(super) async fn save_gone(&self, session: &SessionId, why: &str) -> Result<(), StoreError> {
        let observation = Observation {
            cause: format!("gone: Stripe has no such session ({why})"),
            source: Source::Gone,
            ..Observation::default()
        };
        let naming = Naming { attempt: None };
        self.commit_read(session, naming, observation).await
    }
}

impl Act {
    fn cause(self) -> &'static str {
        match self {
            Self::Cancel => "canceled by the application",
            Self::Redact => "redacted on request",
        }
    }

    fn is_done(self, view: &VerificationView) -> bool {
        match self {
            Self::Cancel => view.status == Some(Status::Canceled),
            Self::Redact => view.redaction.has_begun(),
        }
    }
}

/// Logs what Stripe said, once.
fn refusal(error: &StripeError) -> ManageError {
    let chain = causes(error);
    let request = error.request_id();
    if let Some(retry_after) = error.retry_after() {
        tracing::warn!(
            error = %chain,
            stripe.request = request,
            "Stripe was not to be had"
        );
        return ManageError::Unreachable { retry_after };
    }
    tracing::error!(
        error = %chain,
        stripe.request = request,
        "Stripe refuses a call; the request id leads to its reason in the Dashboard, under Developers, Logs"
    );
    ManageError::Refused
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn store_failure(error: StoreError) -> ManageError {
    let chain = causes(&error);
    tracing::error!(error = %chain, "a verification could not be read or saved");
    if error.is_unavailable() {
        ManageError::Unavailable
    } else {
        ManageError::Broken
    }
}
