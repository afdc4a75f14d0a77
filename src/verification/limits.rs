//! What a start may cost: who may try once more, who may have a session made, and whether there is money left for it.
//!
//! Everything is decided in the start's own transaction, with the person locked. Only what is refused there is refused:
//! a count in memory may not say what money does.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};

use super::{StartError, Verifier, again::again_if_lost};
use crate::{
    domain::{AttemptId, Budget, Network, Person, UserId},
    store::{self, Call, LockedUser, NetworkKey, NewReservation, StoreError, Tx, Usage},
};

/// The limits that guard money. `None` is no limit.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Billed checks of one person in a day, UTC.
    pub attempts_per_day: Option<u32>,
    /// Billed checks of one person.
    pub attempts_in_total: Option<u32>,
    /// Sessions made for one person in an hour.
    pub creations_per_user_per_hour: Option<u32>,
    /// Sessions made for one client network in an hour.
    pub creations_per_address_per_hour: Option<u32>,
    /// What everybody together may cost.
    pub budget: Budget,
    /// Hides the networks that sessions were made for.
    pub network_key: NetworkKey,
}

impl Limits {
    /// Nothing is limited.
    pub fn none(network_key: NetworkKey) -> Self {
        Self {
            attempts_per_day: None,
            attempts_in_total: None,
            creations_per_user_per_hour: None,
            creations_per_address_per_hour: None,
            budget: Budget::default(),
            network_key,
        }
    }

    fn tries(&self, usage: &Usage) -> Tries {
        let left =
            |most: Option<u32>, used: u64| most.map(|most| u64::from(most).saturating_sub(used));
        let today = left(self.attempts_per_day, usage.today);
        let ever = left(self.attempts_in_total, usage.ever);
        match (today, ever) {
            (_, Some(0)) => Tries::UsedUp,
            (Some(0), _) => Tries::UsedToday {
                day_ends_in: usage.day_ends_in,
            },
            (None, None) => Tries::Unlimited,
            (today, ever) => {
                let left = today.into_iter().chain(ever).min().unwrap_or(0);
                Tries::Left(u32::try_from(left).unwrap_or(u32::MAX))
            }
        }
    }
}

/// How often a person may still try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tries {
    /// As often as they like.
    Unlimited,
    /// So often.
    Left(u32),
    /// Not before tomorrow, UTC.
    UsedToday {
        /// Until then.
        day_ends_in: Duration,
    },
    /// Only if the operator allows another.
    UsedUp,
}

impl Tries {
    /// Why there is none for whom nobody allowed another.
    fn refusal(self) -> Option<StartError> {
        let again_in = match self {
            Self::Unlimited | Self::Left(_) => return None,
            Self::UsedToday { day_ends_in } => Some(day_ends_in),
            Self::UsedUp => None,
        };
        Some(StartError::AttemptsExhausted { again_in })
    }
}

/// What a start would come to, as far as it can be known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// How often the person may still try.
    pub tries: Tries,
    /// The budget is used up, for so long; never for whom something is reserved.
    pub closed_for: Option<Duration>,
}

impl Verifier {
    /// Allows a person one attempt beyond the limits of attempts, as this call, if it has a key. None if we have not met
    /// them.
    ///
    /// # Errors
    /// When the database cannot be asked, or another request has taken the call's key over.
    pub async fn allow_attempt(
        &self,
        person: &Person,
        call: Option<Call<'_>>,
    ) -> Result<Option<UserId>, StoreError> {
        store::allow_attempt(&self.db, person, call).await
    }

    /// What a start would come to, for somebody we have met or, without an id, have not. It promises nothing: the start
    /// itself decides.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn outlook(&self, user: Option<UserId>) -> Result<Outlook, StoreError> {
        let limits = &self.settings.limits;
        let (usage, closed_for) = match user {
            // Of somebody we have not met, only the budget would have to be asked.
            None if !limits.budget.is_limited() => (Usage::default(), None),
            user => self.look_up(user).await?,
        };
        let extra = usage.extra_attempts + u64::from(usage.by_extra);
        let tries = match limits.tries(&usage) {
            tries if tries.refusal().is_some() && extra > 0 => {
                Tries::Left(u32::try_from(extra).unwrap_or(u32::MAX))
            }
            tries => tries,
        };
        Ok(Outlook { tries, closed_for })
    }

    async fn look_up(&self, user: Option<UserId>) -> Result<(Usage, Option<Duration>), StoreError> {
        let (budget, livemode) = (&self.settings.limits.budget, self.settings.livemode);
        let mut tx = self.db.begin().await?;
        let usage = match user {
            Some(user) => store::view_usage(&mut tx, user, livemode).await?,
            None => Usage::default(),
        };
        let closed_for = if usage.reserved || !budget.is_limited() {
            None
        } else {
            let books = store::read_books(&mut tx, livemode).await?;
            budget.closed_for(&books.usage)
        };
        tx.commit().await?;
        Ok((usage, closed_for))
    }

    /// May a session be made for this locked person? Counts it if so, and gives where they stand; the caller forgets all if
    /// not.
    pub(super) async fn may_create(
        &self,
        tx: &mut Tx,
        user: &LockedUser,
        address: Option<IpAddr>,
    ) -> Result<Result<Usage, StartError>, StoreError> {
        let (limits, livemode) = (&self.settings.limits, self.settings.livemode);
        // Nothing counts against somebody who was never here.
        let usage = if user.is_new {
            Usage::default()
        } else {
            store::find_usage(tx, user.id, None, livemode).await?
        };
        if let Some(used) = limits.tries(&usage).refusal()
            && usage.extra_attempts == 0
        {
            return Ok(Err(used));
        }
        // Without the lock, so that a crowd before a closed door is not served one by one.
        if let Err(closed) = self.is_within_budget(tx).await? {
            return Ok(Err(closed));
        }
        if let Some(retry_after) = self.wait_for_another(tx, user, address).await? {
            return Ok(Err(StartError::RateLimited { retry_after }));
        }
        if let Some(most) = limits.creations_per_address_per_hour
            && let Some(address) = address
        {
            let network = limits.network_key.hash(Network::of(address));
            if let Some(retry_after) = store::count_creation(tx, &network, most).await? {
                return Ok(Err(StartError::RateLimited { retry_after }));
            }
        }
        Ok(Ok(usage))
    }

    /// How long a locked person has to wait until another session may be made for them from there. Counts nothing.
    pub(super) async fn wait_for_another(
        &self,
        tx: &mut Tx,
        user: &LockedUser,
        address: Option<IpAddr>,
    ) -> Result<Option<Duration>, StoreError> {
        let (limits, livemode) = (&self.settings.limits, self.settings.livemode);
        if let Some(most) = limits.creations_per_user_per_hour
            && !user.is_new
            && let Some(wait) = store::wait_of_person(tx, user.id, livemode, most).await?
        {
            return Ok(Some(wait));
        }
        match limits.creations_per_address_per_hour.zip(address) {
            Some((most, address)) => {
                let network = limits.network_key.hash(Network::of(address));
                store::wait_of_network(tx, &network, most).await
            }
            None => Ok(None),
        }
    }

    /// Takes the reservation under which a locked person's attempt may be handed out now: for its next report, and once
    /// for each, however often that is asked for. Where something is reserved already, a full budget stops nobody.
    pub(super) async fn reserve(
        &self,
        tx: &mut Tx,
        user: UserId,
        attempt: AttemptId,
    ) -> Result<Result<(), StartError>, StoreError> {
        let livemode = self.settings.livemode;
        let usage = store::find_usage(tx, user, Some(attempt), livemode).await?;
        self.reserve_as(tx, user, attempt, &usage).await
    }

    /// The same for whom and which it is known where they stand; with a new attempt, where they stood before.
    pub(super) async fn reserve_as(
        &self,
        tx: &mut Tx,
        user: UserId,
        attempt: AttemptId,
        usage: &Usage,
    ) -> Result<Result<(), StartError>, StoreError> {
        let (limits, livemode) = (&self.settings.limits, self.settings.livemode);
        let refusal = limits.tries(usage).refusal().filter(|_| !usage.by_extra);
        let needs_extra = refusal.is_some();
        if let Some(used) = refusal
            && usage.extra_attempts == 0
        {
            return Ok(Err(used));
        }
        if !usage.reserved {
            if let Err(closed) = self.is_within_budget(tx).await? {
                return Ok(Err(closed));
            }
            if limits.budget.is_limited() {
                store::lock_budget(tx, livemode).await?;
                if let Err(closed) = self.is_within_budget(tx).await? {
                    return Ok(Err(closed));
                }
            }
        }
        if needs_extra {
            store::take_extra_attempt(tx, user).await?;
        }
        let new = NewReservation {
            attempt,
            reports: usage.reports,
            livemode,
            cost: limits.budget.price,
            extra: needs_extra || usage.by_extra,
        };
        store::put_reservation(tx, &new).await?;
        Ok(Ok(()))
    }

    /// After a search for an attempt's session that began then and may have found none: if so, and if nobody was at it
    /// since, nothing can come of what is reserved for it until it is handed out anew.
    pub(super) async fn end_search(
        &self,
        attempt: AttemptId,
        began: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let is_owned = store::lock_owner(&mut tx, attempt).await?;
            if is_owned && store::is_unused(&mut tx, attempt, began).await? {
                store::release_reservations(&mut tx, attempt).await?;
                store::note_searched(&mut tx, attempt).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn is_within_budget(&self, tx: &mut Tx) -> Result<Result<(), StartError>, StoreError> {
        let budget = &self.settings.limits.budget;
        if !budget.is_limited() {
            return Ok(Ok(()));
        }
        let books = store::read_books(tx, self.settings.livemode).await?;
        Ok(match budget.closed_for(&books.usage) {
            None => Ok(()),
            Some(retry_after) => Err(StartError::BudgetExhausted { retry_after }),
        })
    }
}

/// Counts what the limits kept from being asked of Stripe, and says of whom: no row tells of it.
pub(super) fn refused(user: UserId, reason: StartError) -> StartError {
    let limit = match reason {
        StartError::AttemptsExhausted { .. } => "attempts",
        StartError::RateLimited { .. } => "creations",
        _ => "budget",
    };
    metrics::counter!("verigate_starts_refused_total", "limit" => limit).increment(1);
    tracing::info!(user.id = %user, limit, "a start was refused: {reason}");
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(per_day: Option<u32>, in_total: Option<u32>, today: u64, ever: u64) -> Tries {
        let limits = Limits {
            attempts_per_day: per_day,
            attempts_in_total: in_total,
            ..Limits::none(NetworkKey::derive(b""))
        };
        limits.tries(&Usage {
            today,
            ever,
            ..Usage::default()
        })
    }

    #[test]
    fn the_narrower_of_both_limits_counts_and_the_longer_one_is_told() {
        let tomorrow = Tries::UsedToday {
            day_ends_in: Duration::ZERO,
        };
        assert_eq!(tries(None, None, 9, 9), Tries::Unlimited);
        assert_eq!(tries(Some(5), Some(10), 0, 0), Tries::Left(5));
        assert_eq!(tries(Some(5), Some(10), 1, 8), Tries::Left(2));
        assert_eq!(tries(Some(5), None, 5, 5), tomorrow);
        assert_eq!(tries(Some(5), Some(10), 6, 9), tomorrow);
        assert_eq!(tries(Some(5), Some(10), 5, 10), Tries::UsedUp);
        assert_eq!(tries(None, Some(10), 0, 11), Tries::UsedUp);
        let used = |again_in| Some(StartError::AttemptsExhausted { again_in });
        for (tries, refusal) in [
            (Tries::Unlimited, None),
            (Tries::Left(1), None),
            (tomorrow, used(Some(Duration::ZERO))),
            (Tries::UsedUp, used(None)),
        ] {
            assert_eq!(tries.refusal(), refusal, "{tries:?}");
        }
    }
}
