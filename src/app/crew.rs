//! What works beside the requests, each by its name.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// All of it. A bug that ends one of them ends the process: without it things would be left undone, and nobody would see.
#[derive(Debug, Default)]
pub(super) struct Crew {
    jobs: JoinSet<()>,
    broken: CancellationToken,
}

impl Crew {
    /// Starts a job, which ends by itself when the process does.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        job: impl Future<Output = ()> + Send + 'static,
    ) {
        let broken = self.broken.clone();
        self.jobs.spawn(async move {
            if let Err(bug) = AssertUnwindSafe(job).catch_unwind().await {
                let bug = words(bug.as_ref());
                tracing::error!(job = name, bug, "a job met a bug; the process ends");
                broken.cancel();
            }
        });
    }

    /// Tells when a bug has ended one of them.
    pub(super) fn broken(&self) -> CancellationToken {
        self.broken.clone()
    }

    /// Waits for all of them. Whatever does not end is dropped.
    pub(super) async fn end(mut self, patience: Duration) {
        let ending = async { while self.jobs.join_next().await.is_some() {} };
        if timeout(patience, ending).await.is_err() {
            tracing::warn!("a job did not end in time; its claims run out by themselves");
        }
    }
}

/// What a panic said.
fn words(bug: &(dyn Any + Send)) -> &str {
    let literal = bug.downcast_ref::<&str>().copied();
    literal
        .or_else(|| bug.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say which")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_bug_that_ends_one_job_is_told_and_the_others_end_by_themselves() {
        let mut crew = Crew::default();
        let end = CancellationToken::new();
        crew.start("steady", end.clone().cancelled_owned());
        crew.start("done", async {});
        let broken = crew.broken();
        tokio::task::yield_now().await;
        assert!(!broken.is_cancelled(), "nothing is wrong with an end");
        crew.start("clumsy", async { panic!("of the test") });
        timeout(SOON, broken.cancelled()).await.unwrap();
        end.cancel();
        timeout(SOON, crew.end(SOON)).await.unwrap();
    }

    #[test]
    fn what_a_bug_said_is_known() {
        assert_eq!(words(&"index 3"), "index 3");
        assert_eq!(words(&format!("index {}", 3)), "index 3");
        assert_eq!(words(&3), "it did not say which");
    }
}
