//! The use cases, and the one door for a status change: start, hear, look, refresh, heal, manage and erase.
//!
//! Everything that changes a status goes through `observe`: an observation is merged into its session's row, and
//! the row's status, the history, the reports and the person's status follow in the same transaction.

mod again;
mod ask;
mod books;
mod erase;
mod flight;
mod forget;
mod hand_off;
mod heal;
mod hear;
mod intake;
mod lease;
mod limits;
mod line;
mod manage;
mod observe;
mod open;
mod place;
mod policy;
mod read;
mod refresh;
mod session;
mod sign_in;
mod start;
mod tell;
mod turn;

use std::sync::Arc;

use url::Url;

use crate::{store::Db, stripe};

pub use erase::LONGEST_REDACTION;
pub use forget::{Erasure, forget_person};
pub use hand_off::{Asked, Brought, Followed, HandOff, Link, NewHandOff, new_mark};
pub use heal::{HealError, HealOrder, HealReport, HealedBy};
pub use hear::{HearError, Heard};
pub use intake::{Committer, Intake};
pub use limits::{Limits, Outlook, Tries};
pub use manage::{ManageError, Redacting};
pub use policy::{Check, Policies, Policy, UnknownPolicy};
pub use refresh::Refreshed;
pub use start::{StartError, StartRequest, Started};
pub use tell::{Endpoint, Endpoints};

/// What the use cases need to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Are the keys live ones? Rows and deliveries of the other mode are kept apart.
    pub livemode: bool,
    /// Where Stripe sends the person back to.
    pub return_url: Url,
    /// The same for those who came by an app, if there is a way back into it.
    pub app_return_url: Option<Url>,
    /// What it may cost.
    pub limits: Limits,
    /// What people are asked for.
    pub policies: Policies,
    /// Who is told of changes.
    pub endpoints: Endpoints,
}

/// The use cases. Cheap to clone; holds no state but the starts that are under way.
#[derive(Clone, Debug)]
pub struct Verifier {
    db: Db,
    stripe: stripe::Client,
    settings: Arc<Settings>,
    flights: flight::Flights,
}

impl Verifier {
    /// Wires the use cases to a database and to Stripe.
    pub fn new(db: Db, stripe: stripe::Client, settings: Settings) -> Self {
        let line = line::SharedLine::new(db.clone(), settings.livemode);
        let stripe = stripe.with_line(Arc::new(line));
        Self {
            db,
            stripe,
            settings: Arc::new(settings),
            flights: flight::Flights::default(),
        }
    }

    /// Of which mode's sessions it takes care.
    pub fn livemode(&self) -> bool {
        self.settings.livemode
    }

    /// What people can be asked for.
    pub fn policies(&self) -> &Policies {
        &self.settings.policies
    }

    /// The same use cases, and the same starts under way, over another pool of connections.
    #[must_use]
    pub fn with_db(self, db: Db) -> Self {
        Self { db, ..self }
    }
}
