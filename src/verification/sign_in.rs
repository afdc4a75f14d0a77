//! Signing in with an identity provider: what is remembered while the browser is there.

use std::time::Duration;

use super::{Verifier, hand_off::new_token};
use crate::{
    domain::Token,
    store::{self, StoreError},
};

/// How long a person may take there.
const LONGEST_LOGIN: Duration = Duration::from_mins(10);

impl Verifier {
    /// A browser leaves for the identity provider, to come back to this path; gives the cookie's value.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_login(&self, return_path: &str) -> Result<Token, StoreError> {
        let token = new_token();
        store::insert_oidc_login(&self.db, &token.hash(), return_path, LONGEST_LOGIN).await?;
        Ok(token)
    }

    /// It is back: where it began, once. `None` if it never left, was back before, or took too long.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn end_login(&self, cookie: &Token) -> Result<Option<String>, StoreError> {
        store::take_oidc_login(&self.db, &cookie.hash()).await
    }
}
