//! The server-to-server API: `/v1`, for applications' backends, with a key.

mod document;
mod events;
mod forget;
mod hand_offs;
mod idempotent;
mod input;
mod key;
mod manage;
pub(crate) mod outline;
mod problem;
mod users;
mod verifications;

use std::sync::Arc;

use crate::{
    config::{Config, Policies},
    domain::Person,
    http::auth::within as read,
    store::{Db, Owner},
    verification::Verifier,
};

// A route's description is a hidden type of the same name beside its handler.
pub(crate) use self::{
    document::{about, complete, show_docs, show_document},
    events::*,
    forget::*,
    hand_offs::*,
    manage::*,
    problem::word_problem,
    users::*,
    verifications::*,
};

/// Everything here is of the first version.
const VERSION: &str = "/v1";

/// Is this an address of the API, whether or not there is anything?
pub(crate) fn is_call(path: &str) -> bool {
    let rest = path.strip_prefix(VERSION);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the API works with.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    db: Db,
    verifier: Verifier,
    policies: Arc<Policies>,
    realm: Arc<str>,
    /// Where links lead.
    origin: Arc<str>,
    livemode: bool,
    /// Do links sign anybody in?
    hand_off: bool,
}

impl Backend {
    pub(crate) fn new(config: &Config, db: Db, verifier: Verifier) -> Self {
        Self {
            db,
            verifier,
            policies: Arc::new(config.policies.clone()),
            realm: config.realm.as_str().into(),
            origin: config.public_url.origin().ascii_serialization().into(),
            livemode: config.stripe.livemode,
            hand_off: config.sign_in.hand_off,
        }
    }

    /// A person, by the application's own id.
    fn person(&self, user_id: String) -> Person {
        Person {
            realm: self.realm.as_ref().to_owned(),
            external_id: user_id,
            email: None,
        }
    }

    /// Whose people all of this is about.
    fn owner(&self) -> Owner<'_> {
        Owner {
            realm: &self.realm,
            livemode: self.livemode,
        }
    }
}
