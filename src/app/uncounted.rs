//! Whom the settings of this start no longer count: they would be asked, and billed, once more.

use std::{iter::once, sync::Arc};

use crate::{
    causes::causes,
    config::Config,
    store::{Db, StoreError, count_unknown_policies, count_unknown_realms},
};

/// Warns of verified people whose policy is unknown, and of people whose realm is. Nothing waits for it.
pub(super) async fn warn(db: Db, config: Arc<Config>) {
    if let Err(error) = look(&db, &config).await {
        let error = causes(&error);
        tracing::info!(
            %error,
            "whether the settings still count everybody could not be looked up"
        );
    }
}

async fn look(db: &Db, config: &Config) -> Result<(), StoreError> {
    let policies = config.policies.iter();
    let policies: Vec<String> = policies.flat_map(|it| it.satisfied_by.clone()).collect();
    for of in count_unknown_policies(db, config.stripe.livemode, &policies).await? {
        tracing::warn!(
            policy = of.name,
            verifications = of.many,
            "people who were verified by {} count as not verified: no policy of POLICIES has this name; put it back for \
             as long as they are to count",
            of.name
        );
    }
    let oidc = config.sign_in.oidc.as_ref();
    let issuer = oidc.map(|oidc| oidc.issuer.clone());
    let realms: Vec<String> = once(config.realm.clone()).chain(issuer).collect();
    for of in count_unknown_realms(db, &realms).await? {
        tracing::warn!(
            realm = of.name,
            people = of.many,
            "people of the realm {} count as others: nobody is of a realm that is set by REALM or OIDC_ISSUER",
            of.name
        );
    }
    Ok(())
}
