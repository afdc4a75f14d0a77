//! The jobs that ask Stripe, and one round of healing by hand beside them.

use std::time::Duration;

use anyhow::bail;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{App, crew::Crew, interrupted};
use crate::{
    config::Config,
    jobs,
    store::{Holder, Readiness, Worker},
    verification::{HealOrder, HealReport},
};

/// How often somebody who waits for another looks whether that one is done.
const LOOK: Duration = Duration::from_millis(500);
/// After a round by hand, where servers do none.
const EVERY: Duration = Duration::from_mins(5);

impl App {
    pub(super) fn start_askers(&self, crew: &mut Crew, end: &CancellationToken) {
        let (verifier, db) = (&self.verifier, &self.db);
        let refresh = jobs::run_refresh(verifier.clone(), db.clone(), end.clone());
        crew.start("refresh", refresh);
        if let Some(every) = self.config.heal_every {
            let heal = jobs::run_heal(verifier.clone(), db.clone(), every, end.clone());
            crew.start("heal", heal);
        }
    }

    async fn heal_by_hand(
        &self,
        mut waits_for: impl FnMut(&Holder),
        stop: &CancellationToken,
    ) -> anyhow::Result<HealReport> {
        match self.db.readiness().await? {
            Readiness::Ready => {}
            Readiness::MigrationsPending => {
                bail!("the database lacks migrations of this version: run `verigate migrate` first")
            }
            Readiness::ReadOnly => {
                bail!(
                    "the database takes nothing that is new: point DATABASE_URL at the one that does"
                )
            }
        }
        let worker = Worker::start(&self.db).await?;
        let order = HealOrder {
            worker: worker.id(),
            every: self.config.heal_every.unwrap_or(EVERY),
            ahead: Duration::ZERO,
            by_hand: true,
        };
        let mut told = None;
        loop {
            if let Some(report) = self.verifier.heal(order, stop).await? {
                return Ok(report);
            }
            let holder = self.verifier.find_healing().await?.holder;
            if let Some(holder) = holder.filter(|holder| told.as_ref() != Some(holder)) {
                waits_for(&holder);
                told = Some(holder);
            }
            tokio::select! {
                () = stop.cancelled() => bail!("interrupted"),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// Runs one whole round against the configured Stripe and this database. It waits for a server that is at it, and says so.
///
/// # Errors
/// When Stripe or the database cannot be asked. What was read before is committed.
pub async fn heal(
    config: Config,
    database_url: &SecretString,
    waits_for: impl FnMut(&Holder),
) -> anyhow::Result<HealReport> {
    let app = App::build(config, database_url)?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let waiting = tokio::spawn(async move {
        interrupted().await;
        stopping.cancel();
    });
    let healed = app.heal_by_hand(waits_for, &stop).await;
    waiting.abort();
    app.intake_db.close().await;
    app.db.close().await;
    healed
}
