//! Asks Stripe: for a person who waits, and for rows that what we were told does not settle.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{
    Verifier,
    observe::Observation,
    read::{self, Reading},
};
use crate::{
    causes::causes,
    domain::{Person, SessionId, refresh::backoff},
    store::{self, Claim, RefreshClaim, StoreError},
    stripe::{Priority, StripeError},
};

/// How long a person waits for Stripe's answer before they are shown what we know.
const LOOK_PATIENCE: Duration = Duration::from_millis(1500);
/// How long a claimed refresh stays claimed; longer than any call may take with its retries.
const CLAIM_HOLD: Duration = Duration::from_mins(1);
/// Sessions claimed in one step. All are asked about at once: a claim that waited for its turn could run out before it.
const STEP: u8 = 16;

/// What one step of the refresh worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Sessions that Stripe was asked about.
    pub asked: usize,
    /// Those of them that Stripe could not be asked about, and which are due again.
    pub deferred: usize,
}

impl Verifier {
    /// Asks Stripe about the person's open session, if nobody has in the last three seconds. Returns when the answer is
    /// saved or the person has waited long enough; the call itself goes on.
    pub async fn look(&self, person: &Person) -> Result<(), StoreError> {
        let Some(user) = store::find_user(&self.db, person).await? else {
            return Ok(());
        };
        let Some(claim) = store::claim_look(&self.db, user, self.settings.livemode).await? else {
            return Ok(());
        };
        let this = self.clone();
        let call = tokio::spawn(async move {
            let cause = "read because the person waits";
            if let Err(error) = this.read_claimed(&claim, Priority::Person, cause).await {
                tracing::warn!(
                    error = %causes(error.as_ref()),
                    stripe.session = %claim.session,
                    "Stripe could not be asked for a person who waits"
                );
            }
        });
        // Too late is no failure: the page follows live.
        let _ = tokio::time::timeout(LOOK_PATIENCE, call).await;
        Ok(())
    }

    /// One step of a refresh worker: asks Stripe about every session that is due `ahead` of the database's now.
    pub async fn refresh_due(&self, worker: i32, ahead: Duration) -> Result<Refreshed, StoreError> {
        let claim = RefreshClaim {
            worker,
            livemode: self.settings.livemode,
            limit: STEP.into(),
            ahead,
            hold: CLAIM_HOLD,
        };
        let claims = store::claim_refreshes(&self.db, claim).await?;
        let asked = claims.len();
        let deferred = stream::iter(claims)
            .map(|claim| self.refresh_one(claim))
            .buffer_unordered(STEP.into())
            .filter(|deferred| std::future::ready(*deferred))
            .count()
            .await;
        Ok(Refreshed { asked, deferred })
    }

    async fn refresh_one(&self, claim: Claim) -> bool {
        let cause = "read to settle a doubt";
        let Err(error) = self.read_claimed(&claim, Priority::Job, cause).await else {
            return false;
        };
        let tries = u32::try_from(claim.refresh_tries)
            .unwrap_or(0)
            .saturating_add(1);
        let delay = backoff(tries, rand::random());
        tracing::warn!(
            error = %causes(error.as_ref()),
            stripe.session = %claim.session,
            tries,
            again_in_s = delay.as_secs(),
            "Stripe could not be asked; the session stays due"
        );
        if let Err(error) = store::defer_refresh(&self.db, claim.attempt, delay).await {
            // The claim runs out by itself.
            tracing::warn!(
                error = %causes(&error),
                "a refresh could not be put off"
            );
        }
        true
    }

    /// Asks Stripe about a claimed session and merges the answer.
    async fn read_claimed(
        &self,
        claim: &Claim,
        priority: Priority,
        cause: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match self
            .stripe
            .retrieve_session(claim.session.as_str(), priority)
            .await
        {
            Ok(reply) => {
                let observation = read::answer(&reply, Some(claim.hinted), cause);
                self.commit_read(&claim.session, read::naming(&reply.value), observation)
                    .await?;
            }
            Err(error) if error.is_missing() => {
                self.save_gone(&claim.session, cause).await?;
            }
            Err(error) => return Err(Box::<StripeError>::new(error)),
        }
        Ok(())
    }

    /// Merges what Stripe said in a transaction of its own.
    pub(super) async fn commit_read(
        &self,
        session: &SessionId,
        naming: super::observe::Naming,
        observation: Observation,
    ) -> Result<(), StoreError> {
        let reading = Reading {
            session: session.clone(),
            naming,
            observation,
        };
        self.merge_all(&[reading]).await?;
        Ok(())
    }
}
