//! Runs the intake on a thread of its own.

use std::{panic::resume_unwind, thread};

use anyhow::Context as _;
use tokio::{runtime::Builder, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{App, crew::Crew, part_with};
use crate::verification::Intake;

/// Deliveries that may wait to be committed; a few batches, so that whoever waits is answered in time.
const ROOM: usize = 1024;

/// Starts it. A batch asks Postgres half a dozen things, one after the other; among the tasks of a crowd's requests each
/// answer would wait for its turn, and all deliveries with it.
pub(super) fn start(app: &App, crew: &mut Crew, end: &CancellationToken) -> anyhow::Result<Intake> {
    let db = app.intake_db.clone();
    let verifier = app.verifier.clone().with_db(db.clone());
    let (intake, committer) = Intake::new(verifier, ROOM);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the intake cannot be started")?;
    let (ended, is_ended) = oneshot::channel::<()>();
    let end = end.clone();
    let work = move || {
        runtime.block_on(async {
            committer.run(end).await;
            // They are of this thread's runtime, which ends with it.
            part_with(db).await;
        });
        let _ = ended.send(());
    };
    let thread = thread::Builder::new().name("intake".to_owned());
    thread.spawn(work).context("the intake has no thread")?;
    crew.start("intake", async {
        if let Err(unsaid) = is_ended.await {
            // The thread met a bug, which is this job's.
            resume_unwind(Box::new(unsaid.to_string()));
        }
    });
    Ok(intake)
}
