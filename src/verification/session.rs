//! Browser sessions: who a cookie belongs to, and signing in and out.

use super::{
    Verifier,
    again::again_if_lost,
    hand_off::{IDLE_SESSION, LONGEST_SESSION, new_token},
};
use crate::{
    domain::{Person, Token},
    store::{self, BrowserSession, SessionSource, SessionToKeep, StoreError},
};

impl Verifier {
    /// The session of a cookie, noted as in use; none if it is over, or never was.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn find_session(&self, cookie: &Token) -> Result<Option<BrowserSession>, StoreError> {
        let livemode = self.settings.livemode;
        let found =
            store::find_browser_session(&self.db, &cookie.hash(), livemode, IDLE_SESSION).await?;
        if let Some(session) = found.as_ref().filter(|session| session.due) {
            store::touch_browser_session(&self.db, session.id).await?;
        }
        Ok(found)
    }

    /// Signs a person in whom an identity provider vouches for, in place of whoever the browser was before; gives the
    /// cookie's value.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sign_in(
        &self,
        person: &Person,
        cookie: Option<&Token>,
    ) -> Result<Token, StoreError> {
        let token = new_token();
        let (hash, present) = (token.hash(), cookie.map(Token::hash));
        let present = present.as_ref();
        again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let user = store::lock_person(&mut tx, person).await?.id;
            store::clear_browser_sessions(&mut tx, present, user).await?;
            let keep = SessionToKeep {
                token: &hash,
                user,
                livemode: self.settings.livemode,
                source: SessionSource::Oidc,
                longest: LONGEST_SESSION,
            };
            store::insert_browser_session(&mut tx, &keep).await?;
            tx.commit().await
        })
        .await?;
        Ok(token)
    }

    /// Signs a browser out.
    ///
    /// # Errors
    /// When the database is away: then it is still signed in.
    pub async fn sign_out(&self, cookie: &Token) -> Result<(), StoreError> {
        store::delete_browser_session(&self.db, &cookie.hash()).await
    }
}
