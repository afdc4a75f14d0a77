//! What a transaction has changed, for whoever is to be told.

use super::Verifier;
use crate::{
    domain::{AttemptId, Redaction, Status, UserId, UserStatus},
    store::{StoreError, Tx},
};

/// A change that people can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Whose.
    pub(super) user: UserId,
    /// The person's status before.
    pub(super) user_before: UserStatus,
    /// The person's status after all changes of the transaction.
    pub(super) user_after: UserStatus,
    /// Of which attempt.
    pub(super) verification: AttemptId,
    /// The attempt's status before.
    pub(super) from: Option<Status>,
    /// The attempt's status after.
    pub(super) to: Option<Status>,
    /// What was erased before.
    pub(super) redaction_before: Redaction,
    /// What is erased now.
    pub(super) redaction_after: Redaction,
}

impl Verifier {
    /// Takes in all changes of one transaction. The people are locked, and saved already.
    #[expect(
        clippy::unused_async,
        reason = "whoever is told is written to in the transaction"
    )]
    pub(super) async fn tell(&self, _tx: &mut Tx, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            tracing::debug!(?change, "a verification has changed");
        }
        Ok(())
    }
}
