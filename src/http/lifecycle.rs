//! The two moments of going away: not ready any more, and closing.

use tokio_util::sync::CancellationToken;

/// Tells the whole HTTP layer that the process is about to end; clones share one life.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    leaving: CancellationToken,
    closing: CancellationToken,
}

impl Lifecycle {
    /// From now on `/readyz` says 503, so that nobody sends new people here; everything still works.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// From now on nothing new is accepted, and streams that would never end by themselves do.
    pub fn close(&self) {
        self.leaving.cancel();
        self.closing.cancel();
    }

    /// Returns once [`Self::close`] was called: the signal for a server's graceful shutdown.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }
}
