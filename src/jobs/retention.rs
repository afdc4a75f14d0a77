//! Clears away what is old: a thousand rows at a time, and in one process at a time.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    causes::causes,
    config::RetentionConfig,
    store::{self, Db, StoreError},
};

/// How often what is old is looked for.
const EVERY: Duration = Duration::from_mins(10);
/// Between two batches, so that nobody waits for Postgres because of them.
const PAUSE: Duration = Duration::from_millis(20);
/// Rows looked at by one statement.
const BATCH: u16 = 1000;

/// What is kept for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    History,
    Sessions,
    HandOffs,
    OidcLogins,
    Calls,
}

impl Kind {
    /// Browsers before the links that signed them in.
    const ALL: [Self; 6] = [
        Self::Events,
        Self::History,
        Self::Sessions,
        Self::HandOffs,
        Self::OidcLogins,
        Self::Calls,
    ];

    /// Its table.
    const fn table(self) -> &'static str {
        match self {
            Self::Events => "stripe_events",
            Self::History => "verification_history",
            Self::Sessions => "browser_sessions",
            Self::HandOffs => "hand_offs",
            Self::OidcLogins => "oidc_logins",
            Self::Calls => "idempotency_keys",
        }
    }
}

/// Runs until `shutdown`; a batch under way is finished first.
pub async fn run_retention(db: Db, keep: RetentionConfig, shutdown: CancellationToken) {
    let mut ticks = super::every(EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = clear_old(&db, &keep, &shutdown).await {
            tracing::warn!(
                error = %causes(&error),
                "what is old could not be cleared away; it is tried again later"
            );
        }
    }
}

/// Clears away everything that is old by now, unless another process is at it. Gives how many rows that was.
///
/// # Errors
/// When the database cannot be asked; whole batches are gone or there.
pub async fn clear_old(
    db: &Db,
    keep: &RetentionConfig,
    shutdown: &CancellationToken,
) -> Result<u64, StoreError> {
    let mut all = 0;
    for kind in Kind::ALL {
        let mut cleared = Some(u64::from(BATCH));
        // A batch that is not full was the last.
        while cleared == Some(u64::from(BATCH)) && !shutdown.is_cancelled() {
            cleared = clear_batch(db, keep, kind).await?;
            all += count(kind.table(), cleared.unwrap_or(0));
            sleep(PAUSE).await;
        }
    }
    let mut next = Some(None);
    while let Some(after) = next.filter(|_| !shutdown.is_cancelled()) {
        let (cleared, last) = clear_messages(db, keep, after).await?;
        all += count("outbox", cleared);
        next = last.map(Some);
        sleep(PAUSE).await;
    }
    if all > 0 {
        tracing::info!(rows = all, "what was old is cleared away");
    }
    Ok(all)
}

/// One batch; none if another process has the turn.
async fn clear_batch(
    db: &Db,
    keep: &RetentionConfig,
    kind: Kind,
) -> Result<Option<u64>, StoreError> {
    let limit = i64::from(BATCH);
    let mut tx = db.begin().await?;
    if !store::take_turn_to_clear(&mut tx).await? {
        return Ok(None);
    }
    let cleared = match kind {
        Kind::Events => store::clear_events(&mut tx, keep.events_days, limit).await?,
        Kind::History => store::clear_history(&mut tx, keep.history_days, limit).await?,
        Kind::Sessions => store::clear_sessions(&mut tx, limit).await?,
        Kind::HandOffs => store::clear_hand_offs(&mut tx, limit).await?,
        Kind::OidcLogins => store::clear_oidc_logins(&mut tx, limit).await?,
        Kind::Calls => store::clear_calls(&mut tx, limit).await?,
    };
    tx.commit().await?;
    Ok(Some(cleared))
}

/// One batch of messages after this one, and after which to go on: those that somebody waits for are passed over.
async fn clear_messages(
    db: &Db,
    keep: &RetentionConfig,
    after: Option<Uuid>,
) -> Result<(u64, Option<Uuid>), StoreError> {
    let mut tx = db.begin().await?;
    if !store::take_turn_to_clear(&mut tx).await? {
        return Ok((0, None));
    }
    let days = keep.messages_days;
    let old = store::lock_old_messages(&mut tx, after, days, BATCH.into()).await?;
    let cleared = store::delete_messages(&mut tx, &old.ids, keep.dead_messages_days).await?;
    tx.commit().await?;
    Ok((cleared, old.last))
}

fn count(table: &'static str, rows: u64) -> u64 {
    metrics::counter!("verigate_rows_cleared_total", "table" => table).increment(rows);
    rows
}
