//! Whose turn it is: a person's one open attempt is found or made, and leased to one request.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Verifier,
    again::again_if_lost,
    lease::Lease,
    policy::{Change, Policy},
    start::{StartError, StartRequest},
};
use crate::{
    domain::{AttemptId, Client, Status, UserId, UserStatus},
    store::{self, LockedUser, NewAttempt, StoreError, Tx, Verification},
    stripe::{ATTEMPT_KEY, CreateSession},
};

/// Whose turn it is, after the first transaction.
pub(super) enum Turn {
    Ours(Box<Lease>),
    /// This person's attempt is leased to somebody else.
    Theirs(UserId),
    Over(StartError),
    /// Whoever wished it was forgotten meanwhile, and is not made anew; nothing of the transaction is kept.
    Forgotten,
    /// It may not cost this person anything more; nothing of the transaction is kept, nor of them if they are new.
    Refused(UserId, StartError),
}

/// One wish to start, from its first turn to its last.
pub(super) struct Wish<'a> {
    pub(super) request: &'a StartRequest,
    pub(super) policy: Arc<Policy>,
    pub(super) holder: Uuid,
    /// Who it is of, once that is known; a cookie knows from the first.
    pub(super) user: Option<UserId>,
}

impl Wish<'_> {
    fn change(&self, open: &Verification, user: &LockedUser) -> Change {
        self.policy.change(open, &user.person, user.details_version)
    }
}

impl Verifier {
    /// The first transaction: the person is locked, their open attempt found or made, its lease taken if it is free.
    pub(super) async fn take_turn(&self, wish: &Wish<'_>) -> Result<Turn, StoreError> {
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let turn = self.choose_turn(&mut tx, wish).await;
            if !matches!(turn, Err(_) | Ok(Turn::Refused(..) | Turn::Forgotten)) {
                tx.commit().await?;
            }
            turn
        })
        .await
    }

    async fn choose_turn(&self, tx: &mut Tx, wish: &Wish<'_>) -> Result<Turn, StoreError> {
        let person = &wish.request.person;
        let user = match wish.user {
            None => store::lock_person(tx, person).await?,
            // Whoever is known already is not made anew, nor is an address written back that may be an old one.
            Some(known) => match store::lock_known(tx, person).await? {
                Some(user) if user.id == known => user,
                _ => return Ok(Turn::Forgotten),
            },
        };
        if !user.is_new
            && let Some(turn) = self.find_turn(tx, &user, wish).await?
        {
            return Ok(turn);
        }
        let user_id = user.id;
        let usage = match self.may_create(tx, &user, wish.request.address).await? {
            Ok(usage) => usage,
            Err(reason) => return Ok(Turn::Refused(user.id, reason)),
        };
        let lease = self.begin_attempt(tx, user, wish).await?;
        let reserved = self.reserve_as(tx, user_id, lease.attempt, &usage);
        Ok(match reserved.await? {
            Ok(()) => Turn::Ours(Box::new(lease)),
            Err(reason) => Turn::Refused(user_id, reason),
        })
    }

    /// Whose turn it is by what there is of the person; `None` if they need a new attempt.
    async fn find_turn(
        &self,
        tx: &mut Tx,
        user: &LockedUser,
        wish: &Wish<'_>,
    ) -> Result<Option<Turn>, StoreError> {
        let livemode = self.settings.livemode;
        let satisfied_by = &wish.policy.satisfied_by;
        let standing = store::find_standing(tx, user.id, livemode, satisfied_by).await?;
        if standing.state.status == UserStatus::Verified {
            return Ok(Some(Turn::Over(StartError::AlreadyVerified)));
        }
        let Some(id) = store::find_current(tx, user.id, livemode).await? else {
            let processing = standing.state.status == UserStatus::Processing;
            return Ok(processing.then_some(Turn::Over(StartError::Processing)));
        };
        let rows = store::lock_verifications(tx, &[id], &[]).await?;
        let current = rows.into_iter().next().ok_or_else(StoreError::moved)?;
        if current.status == Some(Status::Processing) && !is_over(&current) {
            return Ok(Some(Turn::Over(StartError::Processing)));
        }
        if is_over(&current) || store::is_redaction_kept(tx, id).await? {
            store::close_attempt(tx, id).await?;
            return Ok(None);
        }
        let (change, address) = (wish.change(&current, user), wish.request.address);
        // Nothing is closed for another one that may not be made.
        if change == Change::Cancel
            && let Some(retry_after) = self.wait_for_another(tx, user, address).await?
        {
            return Ok(Some(Turn::Refused(
                user.id,
                StartError::RateLimited { retry_after },
            )));
        }
        if !store::claim_lease(tx, id, wish.holder).await? {
            return Ok(Some(Turn::Theirs(user.id)));
        }
        if let Err(reason) = self.reserve(tx, user.id, id).await? {
            return Ok(Some(Turn::Refused(user.id, reason)));
        }
        let lease = Lease::of(current, user.clone(), &wish.policy, wish.holder);
        lease.note_what_is_asked(tx).await?;
        Ok(Some(Turn::Ours(Box::new(lease))))
    }

    async fn begin_attempt(
        &self,
        tx: &mut Tx,
        user: LockedUser,
        wish: &Wish<'_>,
    ) -> Result<Lease, StoreError> {
        let (policy, client) = (&wish.policy, wish.request.client);
        let attempt = AttemptId(Uuid::now_v7());
        let create = policy.put_into(self.create_parameters(attempt, client));
        let parameters = serde_json::to_value(create).unwrap_or_default();
        let new = NewAttempt {
            id: attempt,
            user: user.id,
            livemode: self.settings.livemode,
            client,
            policy: &policy.name,
            details_version: user.details_version,
            parameters: &parameters,
            holder: wish.holder,
            cause: &format!("started by a {} client", client.as_str()),
        };
        store::insert_attempt(tx, &new).await?;
        Ok(Lease {
            holder: wish.holder,
            user: user.id,
            person: user.person,
            attempt,
            is_new: true,
            session: None,
            parameters,
            key_may_have_expired: false,
            policy: Arc::clone(policy),
            change: Change::None,
            policy_before: policy.name.clone(),
            asked_before: Vec::new(),
            details_version: user.details_version,
        })
    }

    fn create_parameters(&self, attempt: AttemptId, client: Client) -> CreateSession {
        let settings = &self.settings;
        let into_app = settings.app_return_url.as_ref();
        let return_url = into_app
            .filter(|_| client == Client::Native)
            .unwrap_or(&settings.return_url);
        CreateSession {
            return_url: Some(return_url.to_string()),
            client_reference_id: Some(attempt.to_string()),
            metadata: [(ATTEMPT_KEY.to_owned(), attempt.to_string())].into(),
            ..CreateSession::default()
        }
    }
}

/// Nothing can come of this attempt any more.
pub(super) fn is_over(row: &Verification) -> bool {
    row.gone
        || row.knowledge.redaction.has_begun()
        || matches!(row.status, Some(Status::Canceled | Status::Verified))
}
