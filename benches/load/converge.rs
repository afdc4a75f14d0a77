//! A storm of shuffled and repeated deliveries must come to what the same events come to in order, one by one.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};

use crate::{
    plan::{self, Plan},
    sender::Run,
    tables::{self, Hash},
};

/// A server, and the database behind it, in which nobody has verified yet.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: SocketAddr,
    pub(crate) database: String,
    pub(crate) secret: SecretString,
}

impl Target {
    async fn deliver(
        &self,
        plan: Plan,
        order: Vec<u32>,
        connections: usize,
    ) -> (Arc<Run>, Duration) {
        plan.seed(&mut self.connect().await).await;
        let run = Run::new(vec![self.server], self.secret.clone(), plan.events(), order);
        let run = Arc::new(run);
        let took = run.deliver(connections).await;
        (run, took)
    }

    /// A look at the database.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database).await.unwrap()
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Converged {
    pub(crate) deliveries: usize,
    pub(crate) events: u32,
    pub(crate) storm_took: Duration,
    pub(crate) calm_took: Duration,
    pub(crate) storm: Vec<Hash>,
    pub(crate) calm: Vec<Hash>,
    /// Rows that only one of them has.
    pub(crate) differences: Vec<String>,
    /// Events that got a 2xx, and are not in the table.
    pub(crate) lost: usize,
}

/// Delivers every event `copies` times to `storm`, over so many connections, and once and in order to `calm`.
pub(crate) async fn converge(
    plan: Plan,
    copies: u32,
    connections: usize,
    storm: &Target,
    calm: &Target,
) -> Converged {
    let order = plan.shuffled(copies, 1);
    let deliveries = order.len();
    let (run, storm_took) = storm.deliver(plan, order, connections).await;
    let (_, calm_took) = calm.deliver(plan, plan.in_order(), 1).await;
    let (mut db, mut reference) = (storm.connect().await, calm.connect().await);
    Converged {
        deliveries,
        events: plan.events(),
        storm_took,
        calm_took,
        lost: lost(&run, &tables::events(&mut db).await),
        storm: tables::hashes(&mut db).await,
        calm: tables::hashes(&mut reference).await,
        differences: tables::differences(&mut db, &mut reference).await,
    }
}

/// How many events of the ledger the table does not have.
pub(crate) fn lost(run: &Run, kept: &[String]) -> usize {
    let kept: HashSet<u32> = plan::numbers(kept.iter().map(String::as_str));
    let taken = run.taken();
    let events = (0..).zip(taken).filter(|&(_, times)| times > 0);
    events.filter(|(event, _)| !kept.contains(event)).count()
}
