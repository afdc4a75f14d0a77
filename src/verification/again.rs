//! Runs a transaction within bounds: not for ever, and again when it lost a race.

use std::time::Duration;

use tokio::time::timeout;

use crate::store::StoreError;

/// Lost races are rare and short; more than a few in a row are a fault to be seen.
const RUNS: u32 = 4;
/// Postgres ends each statement by itself, unless it stands still: then only we can.
const LONGEST: Duration = Duration::from_secs(5);

/// Runs a whole transaction, and runs it again if it lost against another (a deadlock, or a row that moved).
pub(super) async fn again_if_lost<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut run = 1;
    loop {
        let ran = timeout(LONGEST, transaction()).await;
        match ran.unwrap_or(Err(StoreError::TimedOut)) {
            Err(error) if error.is_contention() && run < RUNS => run += 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;

    #[tokio::test]
    async fn a_lost_race_is_run_again_and_a_row_of_them_is_told() {
        let runs = Cell::new(0);
        let won = again_if_lost(|| async {
            runs.set(runs.get() + 1);
            if runs.get() < 3 {
                Err(StoreError::moved())
            } else {
                Ok(7)
            }
        })
        .await;
        assert_eq!((won.unwrap(), runs.get()), (7, 3));

        runs.set(0);
        let lost = again_if_lost(|| async {
            runs.set(runs.get() + 1);
            Err::<(), _>(StoreError::moved())
        })
        .await;
        assert!(lost.unwrap_err().is_contention());
        assert_eq!(runs.get(), RUNS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_stands_still_in_the_middle_holds_nobody_up() {
        let stuck = again_if_lost(pending::<Result<(), StoreError>>)
            .await
            .unwrap_err();
        assert!(matches!(stuck, StoreError::TimedOut));
        assert!(stuck.is_unavailable());
    }
}
