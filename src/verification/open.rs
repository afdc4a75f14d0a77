//! The flight of one start: take the lease, ask Stripe with no transaction open, settle.
//!
//! The attempt's row exists before Stripe is called and its id is the Idempotency-Key, so a process may die between any
//! two steps: the next click repeats the call and gets the same session. Whoever outlasts their lease saves what they saw,
//! and begins anew.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    Verifier,
    again::again_if_lost,
    ask::{Found, Told},
    lease::Lease,
    limits::refused,
    observe::{Observation, Source},
    read,
    start::{Opened, StartError, StartRequest, refusal},
    turn::{Turn, Wish, is_over},
};
use crate::{
    causes::causes,
    domain::{SessionId, Status},
    store::{self, StoreError, Verification},
    stripe::{Reply, SessionStatus, StripeError, VerificationSession},
};

/// How long a request waits for another process's lease.
const LEASE_PATIENCE: Duration = Duration::from_secs(10);
/// How often it asks.
const LEASE_POLL: Duration = Duration::from_millis(100);
/// How often a start begins anew because the session turned out not to be open, or not to be under the wanted policy.
const RESTARTS: u32 = 3;

impl Verifier {
    /// Runs one start to its end.
    pub(super) async fn open(&self, request: &StartRequest) -> Result<Opened, StartError> {
        let mut wish = Wish {
            request,
            policy: self.policy(request.policy.as_deref())?,
            holder: Uuid::new_v4(),
            user: request.user,
        };
        let deadline = Instant::now() + LEASE_PATIENCE;
        let mut restarts = 0;
        loop {
            let lease = match self.take_turn(&wish).await.map_err(store_failure)? {
                Turn::Over(reason) => return Err(reason),
                Turn::Refused(user, reason) => return Err(refused(user, reason)),
                Turn::Forgotten => return Err(StartError::Forgotten),
                Turn::Theirs(_) if Instant::now() >= deadline => return Err(busy()),
                Turn::Theirs(user) => {
                    wish.user = Some(user);
                    sleep(LEASE_POLL).await;
                    continue;
                }
                Turn::Ours(lease) => lease,
            };
            if let Some(opened) = self.fly(&lease).await? {
                return Ok(opened);
            }
            wish.user = Some(lease.user);
            restarts += 1;
            if restarts > RESTARTS {
                tracing::error!(verification.id = %lease.attempt, "no session stays open for this person");
                return Err(busy());
            }
        }
    }

    /// Asks Stripe and settles; `None` if the attempt is over and a new one is to be made.
    async fn fly(&self, lease: &Lease) -> Result<Option<Opened>, StartError> {
        match self.find_or_create(lease).await {
            Ok(Found::Session(reply, cause, told)) => {
                let settled = self.settle(lease, &reply, cause, &told).await;
                match (settled.map_err(store_failure)?, told) {
                    (Settled::Open(_), Told::Refused(error)) if !lease.is_only_of_details() => {
                        Err(refusal(&error))
                    }
                    // Made as it was first asked for, it is still to be brought under the wanted policy.
                    (Settled::Open(_), _) if lease.is_half_way() => Ok(None),
                    (Settled::Open(opened), _) => Ok(Some(opened)),
                    (Settled::Over | Settled::Lost, _) => Ok(None),
                    (Settled::Checked, _) => Err(StartError::Processing),
                    (Settled::Refused(reason), _) => Err(refused(lease.user, reason)),
                    (Settled::Unusable, _) => {
                        tracing::error!(
                            verification.id = %lease.attempt,
                            stripe.request = reply.request_id.as_deref(),
                            "Stripe's answer opens nothing, nor does it say that the session is over"
                        );
                        Err(StartError::Refused)
                    }
                }
            }
            Ok(Found::Gone) => {
                self.mark_gone(lease).await.map_err(store_failure)?;
                Ok(None)
            }
            Ok(Found::Nothing(why)) => {
                self.close(lease, why).await.map_err(store_failure)?;
                Ok(None)
            }
            Ok(Found::Refused(error)) => {
                let reason = refusal(&error);
                let why = "closed: Stripe refused to create a session";
                self.close(lease, why).await.map_err(store_failure)?;
                Err(reason)
            }
            Err(error) => {
                let reason = refusal(&error);
                let unsent = lease.is_new && matches!(error, StripeError::RateLimited { .. });
                let done = self.release(lease, unsent).await;
                done.map_err(store_failure)?;
                Err(reason)
            }
        }
    }

    /// The second transaction: links the session, merges what Stripe said, ends the lease.
    async fn settle(
        &self,
        lease: &Lease,
        reply: &Reply<VerificationSession>,
        cause: &str,
        told: &Told,
    ) -> Result<Settled, StoreError> {
        // The client takes no session without an id that can be stored.
        let Some(session) = &SessionId::parse(&reply.value.id) else {
            return Ok(Settled::Unusable);
        };
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let user = store::lock_user(&mut tx, lease.user).await?;
            let is_ours = store::holds_lease(&mut tx, lease.attempt, lease.holder).await?;
            let settled = match self.attach(&mut tx, lease.attempt, session).await? {
                None if is_ours => {
                    store::release_reservations(&mut tx, lease.attempt).await?;
                    Settled::Over
                }
                None => Settled::Lost,
                Some(mut row) => {
                    let observation = read::answer(reply, None, cause);
                    self.fold(&mut tx, &user, &mut row, &observation).await?;
                    if user.forgotten {
                        // What it was asked for is not kept.
                    } else if !is_ours {
                        lease.note_late_change(&mut tx, &row, told).await?;
                    } else if lease.settle_policy(&mut tx, &row, told).await? {
                        self.flights.forget(&user.person);
                    }
                    let kept = store::end_lease(&mut tx, lease.attempt, lease.holder).await?;
                    match Settled::of(&row, session, &reply.value) {
                        _ if !is_ours => Settled::Lost,
                        Settled::Open(_) if kept => Settled::Over,
                        // The answer may have told of a report: then the next one is to be reserved.
                        Settled::Open(opened) => {
                            match self.reserve(&mut tx, user.id, lease.attempt).await? {
                                Ok(()) => Settled::Open(opened),
                                Err(reason) => Settled::Refused(reason),
                            }
                        }
                        settled => settled,
                    }
                }
            };
            if matches!(settled, Settled::Over) {
                store::close_attempt(&mut tx, lease.attempt).await?;
            }
            tx.commit().await?;
            Ok(settled)
        })
        .await
    }

    async fn mark_gone(&self, lease: &Lease) -> Result<(), StoreError> {
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let user = store::lock_user(&mut tx, lease.user).await?;
            let is_ours = store::holds_lease(&mut tx, lease.attempt, lease.holder).await?;
            let rows = store::lock_verifications(&mut tx, &[lease.attempt], &[]).await?;
            if let Some(mut row) = rows
                .into_iter()
                .next()
                .filter(|row| row.session_id.is_some())
            {
                let observation = Observation {
                    cause: "gone: Stripe has no such session (read at start)".to_owned(),
                    source: Source::Gone,
                    ..Observation::default()
                };
                self.fold(&mut tx, &user, &mut row, &observation).await?;
            }
            if is_ours {
                store::release_reservations(&mut tx, lease.attempt).await?;
                store::close_attempt(&mut tx, lease.attempt).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn close(&self, lease: &Lease, why: &str) -> Result<(), StoreError> {
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            store::lock_user(&mut tx, lease.user).await?;
            if !store::holds_lease(&mut tx, lease.attempt, lease.holder).await? {
                return Ok(());
            }
            store::release_reservations(&mut tx, lease.attempt).await?;
            store::close_attempt(&mut tx, lease.attempt).await?;
            store::record_history(&mut tx, lease.attempt, None, None, why).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// What is reserved stays so, unless Stripe was never asked: it may have made a session, and the healer looks.
    async fn release(&self, lease: &Lease, unsent: bool) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        if unsent {
            store::lock_user(&mut tx, lease.user).await?;
            if store::holds_lease(&mut tx, lease.attempt, lease.holder).await? {
                store::release_reservations(&mut tx, lease.attempt).await?;
            }
        }
        store::end_lease(&mut tx, lease.attempt, lease.holder).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What has become of a session that Stripe was asked for.
enum Settled {
    /// It waits for the person.
    Open(Opened),
    /// Nothing can come of it any more: a new one is due.
    Over,
    /// Its document is being checked, or has been.
    Checked,
    /// It took so long that somebody else has the lease, or had it: what is to come of it is theirs to say.
    Lost,
    /// It waits, but what it may yet cost is not to be had.
    Refused(StartError),
    /// Nothing can be said of it, so nothing was changed.
    Unusable,
}

impl Settled {
    /// An answer that travelled for long, or came without a date, may not have moved the row. What it saw counts here
    /// all the same: a second session beside one that is being checked would cost the person a second document.
    fn of(row: &Verification, session: &SessionId, answer: &VerificationSession) -> Self {
        if is_over(row) || answer.status == SessionStatus::Canceled {
            return Self::Over;
        }
        let waits = row
            .status
            .is_none_or(|status| status == Status::RequiresInput);
        match (&answer.status, &answer.client_secret, &answer.url) {
            (SessionStatus::RequiresInput, Some(secret), Some(url)) if waits => {
                Self::Open(Opened {
                    attempt: row.id,
                    session: session.clone(),
                    client_secret: secret.clone(),
                    url: url.clone(),
                })
            }
            (SessionStatus::Processing | SessionStatus::Verified, ..) => Self::Checked,
            _ if row.status == Some(Status::Processing) => Self::Checked,
            _ => Self::Unusable,
        }
    }
}

fn busy() -> StartError {
    StartError::Busy {
        retry_after: Duration::from_secs(1),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(super) fn store_failure(error: StoreError) -> StartError {
    tracing::error!(
        error = %causes(&error),
        "a start could not be saved"
    );
    if error.is_unavailable() {
        StartError::Unavailable
    } else {
        StartError::Broken
    }
}
