//! The line of all servers' jobs before Stripe, kept in the database.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};

use crate::{
    causes::causes,
    store::{self, Db},
    stripe::JobLine,
};

/// One line for every server on this database, one a mode.
#[derive(Debug)]
pub(super) struct SharedLine {
    db: Db,
    livemode: bool,
}

impl SharedLine {
    pub(super) fn new(db: Db, livemode: bool) -> Self {
        Self { db, livemode }
    }
}

impl JobLine for SharedLine {
    fn take_place(&self, per_second: u32, patience: Duration) -> BoxFuture<'_, Option<Duration>> {
        let apart = Duration::from_secs(1) / per_second.max(1);
        async move {
            let place = store::take_place(&self.db, self.livemode, apart, patience).await;
            // Whoever cannot wait for the others does not go before them either: a job can wait.
            place.unwrap_or_else(|error| {
                tracing::debug!(
                    error = %causes(&error),
                    "no place in the line of jobs"
                );
                None
            })
        }
        .boxed()
    }
}
