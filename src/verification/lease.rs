//! One attempt, ours alone for a while: which policy its session is under, and which it is to come under.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    ask::Told,
    policy::{Change, Policy},
};
use crate::{
    causes::causes,
    domain::{AttemptId, Person, SessionId, Status, UserId},
    store::{self, LockedUser, StoreError, Tx, Verification},
    stripe::CreateSession,
};

/// One attempt, ours alone for a while.
pub(super) struct Lease {
    pub(super) holder: Uuid,
    pub(super) user: UserId,
    pub(super) person: Person,
    pub(super) attempt: AttemptId,
    /// The attempt was made just now: nobody has asked Stripe for anything yet.
    pub(super) is_new: bool,
    pub(super) session: Option<SessionId>,
    pub(super) parameters: serde_json::Value,
    pub(super) key_may_have_expired: bool,
    /// Under which policy the session is to be handed out.
    pub(super) policy: Arc<Policy>,
    /// What brings it there, once it exists.
    pub(super) change: Change,
    /// The policy it was under last, and those Stripe was asked for since, without an answer.
    pub(super) policy_before: String,
    pub(super) asked_before: Vec<String>,
    /// Which of the person's details it is told.
    pub(super) details_version: i32,
}

impl Lease {
    /// Of an open attempt whose lease was just taken.
    pub(super) fn of(
        open: Verification,
        user: LockedUser,
        policy: &Arc<Policy>,
        holder: Uuid,
    ) -> Self {
        let change = policy.change(&open, &user.person, user.details_version);
        Self {
            holder,
            user: user.id,
            person: user.person,
            attempt: open.id,
            is_new: false,
            session: open.session_id,
            parameters: open.parameters,
            key_may_have_expired: open.key_may_have_expired,
            policy: Arc::clone(policy),
            change,
            policy_before: open.policy,
            asked_before: open.policies_asked,
            details_version: user.details_version,
        }
    }

    /// Is the session still to be brought under the wanted policy, after it was made as first asked for?
    pub(super) fn is_half_way(&self) -> bool {
        self.session.is_none() && self.change != Change::None
    }

    /// Does the session ask for what is wanted already, whatever Stripe says to the change?
    pub(super) fn is_only_of_details(&self) -> bool {
        matches!(self.change, Change::Details(_))
    }

    /// Before Stripe is asked: from then on nobody knows which of the policies the session is under, until it answers.
    pub(super) async fn note_what_is_asked(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let known =
            self.policy_before == self.policy.name || self.asked_before.contains(&self.policy.name);
        if self.session.is_none() || known || !matches!(self.change, Change::Update(_)) {
            return Ok(());
        }
        let mut asked = self.asked_before.clone();
        asked.push(self.policy.name.clone());
        store::note_asked_policies(tx, self.attempt, &asked).await
    }

    /// After Stripe has answered, but too late: whoever took the lease may have changed the policy before us or after, so
    /// ours is one that the session may be under, and no more.
    pub(super) async fn note_late_change(
        &self,
        tx: &mut Tx,
        now: &Verification,
        told: &Told,
    ) -> Result<(), StoreError> {
        let ours = &self.policy.name;
        let known = now.policy == *ours || now.policies_asked.contains(ours);
        if known || !matches!((told, &self.change), (Told::Changed, Change::Update(_))) {
            return Ok(());
        }
        let mut asked = now.policies_asked.clone();
        asked.push(ours.clone());
        store::note_asked_policies(tx, self.attempt, &asked).await
    }

    /// After Stripe has answered. True if the session is under another policy now.
    pub(super) async fn settle_policy(
        &self,
        tx: &mut Tx,
        now: &Verification,
        told: &Told,
    ) -> Result<bool, StoreError> {
        if let (Told::Refused(error), Change::Details(_)) = (told, &self.change) {
            tracing::warn!(
                verification.id = %self.attempt,
                error = %causes(error),
                stripe.request = error.request_id(),
                "Stripe does not take a person's new details; their session goes on without"
            );
        }
        let waits = now.status == Some(Status::RequiresInput);
        match (told, &self.change) {
            // Stripe's refusal of details is final, unless it takes nothing at all while it checks.
            (Told::Refused(_), Change::Details(_)) if !waits => Ok(false),
            (Told::Changed, Change::Update(_))
            | (Told::Changed | Told::Refused(_), Change::Details(_)) => {
                let frozen = serde_json::from_value::<CreateSession>(self.parameters.clone());
                let wanted = self.policy.put_into(frozen.unwrap_or_default());
                let parameters = serde_json::to_value(wanted).unwrap_or_default();
                let (policy, details) = (&self.policy.name, self.details_version);
                store::save_policy(tx, self.attempt, policy, &parameters, details).await?;
                if self.policy_before == self.policy.name && self.asked_before.is_empty() {
                    return Ok(false);
                }
                let cause = format!("asked for under the policy {policy}");
                store::record_history(tx, self.attempt, None, None, &cause).await?;
                Ok(true)
            }
            (Told::Refused(_), Change::Update(_)) => {
                store::note_asked_policies(tx, self.attempt, &self.asked_before).await?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}
