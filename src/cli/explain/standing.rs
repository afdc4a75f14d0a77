//! Where a person stands: under each policy and in each mode for itself, as the page and the API tell it.

use std::{collections::BTreeSet, fmt, iter::once};

use super::settings::Settings;
use crate::{
    domain::{AttemptId, PersonState, UserId, UserStatus},
    store::{AttemptRecord, Db, StoreError, find_standing},
};

/// Where a person stands under one policy in one mode.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) livemode: bool,
    pub(super) policy: String,
    pub(super) state: PersonState,
    /// The attempt that decides it.
    pub(super) decided_by: Option<AttemptId>,
}

impl Standing {
    pub(super) fn is_verified(&self) -> bool {
        self.state.status == UserStatus::Verified
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} mode)", self.policy, mode(self.livemode))
    }
}

/// Under every policy that is set, in the mode of the keys, and those that attempts of this mode are of; without settings
/// under every policy and in every mode that there are attempts of.
pub(super) async fn find_standings(
    db: &Db,
    settings: Option<&Settings>,
    person: UserId,
    attempts: &[AttemptRecord],
) -> Result<Vec<Standing>, StoreError> {
    let of_attempts = attempts.iter().flat_map(|attempt| {
        let policies = once(&attempt.policy).chain(&attempt.policies_asked);
        policies.map(|policy| (attempt.livemode, policy))
    });
    let set = settings.into_iter().flat_map(|settings| {
        let policies = settings.policies.keys();
        policies.map(|policy| (settings.livemode, policy))
    });
    let mut named: BTreeSet<(bool, &String)> = of_attempts.chain(set).collect();
    named.retain(|(livemode, _)| settings.is_none_or(|it| it.livemode == *livemode));
    let mut standings = Vec::with_capacity(named.len());
    let mut tx = db.begin().await?;
    for (livemode, policy) in named {
        let satisfied_by = settings.and_then(|it| it.policies.get(policy)).cloned();
        let satisfied_by = satisfied_by.unwrap_or_else(|| BTreeSet::from([policy.clone()]));
        let standing = find_standing(&mut tx, person, livemode, &satisfied_by).await?;
        standings.push(Standing {
            livemode,
            policy: policy.clone(),
            state: standing.state,
            decided_by: standing.decided_by,
        });
    }
    Ok(standings)
}

pub(super) fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}
