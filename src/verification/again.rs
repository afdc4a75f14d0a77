//! Runs a transaction again when it lost a race.

use crate::store::StoreError;

/// Lost races are rare and short; more than a few in a row are a fault to be seen.
const RUNS: u32 = 4;

/// Runs a whole transaction, and runs it again if it lost against another (a deadlock, or a row that moved).
pub(super) async fn again_if_lost<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut run = 1;
    loop {
        match transaction().await {
            Err(error) if error.is_contention() && run < RUNS => run += 1,
            result => return result,
        }
    }
}
