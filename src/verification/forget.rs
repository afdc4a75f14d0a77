//! Forgetting a person: what is here goes at once, in one transaction, and Stripe is followed until it has erased the rest.

use uuid::Uuid;

use super::{Verifier, again::again_if_lost};
use crate::{
    domain::Person,
    store::{self, Db, StoreError},
};

/// That somebody is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// A random reference, which leads to nobody.
    pub id: Uuid,
    /// How many verifications Stripe has yet to erase.
    pub waiting: i64,
}

impl Verifier {
    /// Forgets a person; none if we have not met them. `api_key` asks for it.
    ///
    /// # Errors
    /// When the database is away: then nothing was done.
    pub async fn forget(
        &self,
        person: &Person,
        api_key: Uuid,
    ) -> Result<Option<Erasure>, StoreError> {
        let erasure = forget_person(&self.db, person, Some(api_key)).await?;
        // Nothing that was opened for them is handed out again.
        self.flights.forget(person);
        Ok(erasure)
    }
}

/// Forgets a person, for a key's owner or for the operator; none if we have not met them.
///
/// The running server has Stripe erase their sessions. Whatever else is told of these leads to nobody any more, and the
/// rows that are left take it up, so that nobody else gets them.
///
/// # Errors
/// When the database is away: then nothing was done.
pub async fn forget_person(
    db: &Db,
    person: &Person,
    api_key: Option<Uuid>,
) -> Result<Option<Erasure>, StoreError> {
    again_if_lost(|| async move {
        let mut tx = db.begin().await?;
        let Some(user) = store::lock_known(&mut tx, person).await? else {
            return Ok(None);
        };
        store::anonymise_user(&mut tx, user.id).await?;
        store::bare_attempts(&mut tx, user.id).await?;
        store::delete_belongings(&mut tx, user.id).await?;
        store::demand_redactions_of(&mut tx, user.id).await?;
        let id = Uuid::new_v4();
        let left = store::insert_erasure(&mut tx, id, user.id, api_key).await?;
        tx.commit().await?;
        let waiting = left.waiting;
        tracing::info!(erasure.id = %id, waiting, "somebody is forgotten; Stripe is asked to erase the rest");
        if left.gone > 0 {
            tracing::warn!(
                erasure.id = %id,
                gone = left.gone,
                "Stripe said it does not have some of their sessions; if they are of another account of yours, erase them there"
            );
        }
        Ok(Some(Erasure { id, waiting }))
    })
    .await
}
