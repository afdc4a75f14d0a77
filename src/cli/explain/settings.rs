//! What the server's settings make of a person, where this command is given them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use secrecy::SecretString;

use crate::{
    app::App,
    cli::{database, heal::duration},
    config::{self, Config},
    domain::UserId,
    store::StoreError,
    verification::{Tries, Verifier},
};

/// The settings that decide whether somebody is verified, and may try.
pub(super) struct Settings {
    /// The mode of the keys.
    pub(super) livemode: bool,
    /// By its name what satisfies a policy.
    pub(super) policies: BTreeMap<String, BTreeSet<String>>,
    verifier: Verifier,
}

/// None if they cannot be read, or are hardly the server's: in development they all have defaults, which say nothing of
/// a database that is named without a key.
pub(super) fn find_config(lookup: &impl Fn(&str) -> Option<String>) -> Option<Config> {
    let mode = database::mode(lookup);
    let config = Config::from_lookup(mode, lookup).ok()?;
    let has_key = config::livemode(mode, lookup).ok()?.is_some();
    (has_key || config.database_url.is_none()).then_some(config)
}

impl Settings {
    /// None if they cannot be worked with.
    pub(super) fn new(config: Config, database_url: &SecretString) -> Option<Self> {
        let policies = config.policies.iter();
        let policies = policies.map(|it| (it.name.clone(), it.satisfied_by.clone()));
        Some(Self {
            livemode: config.stripe.livemode,
            policies: policies.collect(),
            verifier: App::build(config, database_url).ok()?.verifier().clone(),
        })
    }

    /// Why the limits would refuse a start of theirs now, as the page tells them.
    pub(super) async fn find_refusal(&self, person: UserId) -> Result<Option<String>, StoreError> {
        let outlook = self.verifier.outlook(Some(person)).await?;
        let words = |wait: Duration| duration(wait.as_secs());
        Ok(match (outlook.tries, outlook.closed_for) {
            (Tries::UsedUp, _) => Some(
                "all tries are used (ATTEMPTS_IN_TOTAL), as the person is told; they have none unless you allow another"
                    .to_owned(),
            ),
            (Tries::UsedToday { day_ends_in }, _) => Some(format!(
                "today's tries are used (ATTEMPTS_PER_DAY), as the person is told; they have more in {}",
                words(day_ends_in)
            )),
            (_, Some(wait)) => Some(format!(
                "the budget is used up (BUDGET_…), for {} more; the person is told when to come back",
                words(wait)
            )),
            (Tries::Unlimited | Tries::Left(_), None) => None,
        })
    }
}
