//! Hand-off: the application asks for a person to be verified, and a link of ours signs their browser in, once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::{Verifier, again::again_if_lost};
use crate::{
    domain::{Person, TOKEN_BYTES, Token, TokenHash, UserId, mask_email},
    store::{self, Call, HandOffToKeep, SessionSource, SessionToKeep, StoreError},
};

/// Long enough to get from the application to the link, on another device if need be; short enough that a link found
/// later opens nothing.
const LINK_VALID: Duration = Duration::from_mins(15);
/// How long a browser stays signed in, however busy: a working day's stretch, which no verification comes near.
pub(super) const LONGEST_SESSION: Duration = Duration::from_hours(8);
/// How long one stays signed in that does nothing: time to fetch a passport from the next room, and to wait for a check.
pub(super) const IDLE_SESSION: Duration = Duration::from_mins(30);

/// An application's request to have a person verified.
#[derive(Clone, Debug)]
pub struct NewHandOff {
    /// Whose key asks.
    pub api_key: Uuid,
    /// Who is to be verified.
    pub person: Person,
    /// Name of the set of checks.
    pub policy: String,
    /// The application's word for the person, shown to whoever opens the link.
    pub label: Option<String>,
    /// Where the person goes afterwards; checked against what the key may name.
    pub return_url: Option<String>,
}

/// A hand-off with its link's token, which is told this once.
#[derive(Clone, Debug)]
pub struct HandOff {
    /// Its id.
    pub id: Uuid,
    /// What stands in the link.
    pub token: SecretString,
    /// Until when the link works.
    pub expires_at: DateTime<Utc>,
    /// Who is to be verified.
    pub user: UserId,
}

/// What a link turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It signs a browser in.
    Ready(Asked),
    /// It has signed this very browser in.
    Followed(Asked),
    /// It has signed another browser in.
    Used(Asked),
    /// Its time is over, or the application's key was revoked.
    Expired(Asked),
    /// None of ours: mistyped, cut off, or replaced by a newer one.
    Unknown,
}

/// What whoever holds a link may know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who is meant: the application's word for them, else their e-mail address, masked.
    pub whom: Option<String>,
    /// Where the way back leads.
    pub return_url: Option<String>,
}

/// What a browser brings along to a link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brought<'a> {
    /// The cookie of a session.
    pub session: Option<&'a Token>,
    /// What it was given when it looked at the link, to be known again by.
    pub mark: Option<&'a Token>,
}

/// What became of a link that was followed.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The browser is signed in now, and this is its cookie's value.
    SignedIn(Token),
    /// Nothing was done; the link says why.
    Not(Link),
}

impl Verifier {
    /// Keeps an application's request, as this call, if it has a key; and gives the link's token.
    ///
    /// # Errors
    /// When the database is away, or refuses the data, or another request has taken the call's key over.
    pub async fn hand_off(
        &self,
        new: NewHandOff,
        call: Option<Call<'_>>,
    ) -> Result<HandOff, StoreError> {
        let (id, token) = (Uuid::now_v7(), new_token());
        let (hash, new) = (token.hash(), &new);
        let (user, expires_at) = again_if_lost(|| async move {
            let mut tx = self.db.begin().await?;
            let user = store::lock_person(&mut tx, &new.person).await?.id;
            let keep = HandOffToKeep {
                id,
                api_key: new.api_key,
                user,
                livemode: self.settings.livemode,
                token: &hash,
                policy: &new.policy,
                label: new.label.as_deref(),
                return_url: new.return_url.as_deref(),
                valid: LINK_VALID,
            };
            let expires_at = store::insert_hand_off(&mut tx, &keep).await?;
            if let Some(call) = call {
                store::note_call(&mut tx, call, id).await?;
            }
            tx.commit().await?;
            Ok((user, expires_at))
        })
        .await?;
        Ok(HandOff {
            id,
            token: token.expose().into(),
            expires_at,
            user,
        })
    }

    /// A new token for a hand-off; the one before opens nothing any more. None if a browser was signed in by it, or if
    /// there is no such hand-off.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn remint(&self, hand_off: Uuid) -> Result<Option<HandOff>, StoreError> {
        let token = new_token();
        let (hash, livemode) = (token.hash(), self.settings.livemode);
        let renewed =
            store::renew_hand_off(&self.db, hand_off, livemode, &hash, LINK_VALID).await?;
        Ok(renewed.map(|(user, expires_at)| HandOff {
            id: hand_off,
            token: token.expose().into(),
            expires_at,
            user,
        }))
    }

    /// What a link is, for the browser with this cookie. Changes nothing.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn look_at_link(
        &self,
        link: &Token,
        cookie: Option<&Token>,
    ) -> Result<Link, StoreError> {
        let livemode = self.settings.livemode;
        let Some(found) = store::find_hand_off(&self.db, &link.hash(), livemode).await? else {
            return Ok(Link::Unknown);
        };
        let asked = Asked {
            whom: found
                .label
                .or_else(|| found.email.as_deref().map(mask_email)),
            return_url: found.return_url,
        };
        if found.spent {
            let session = match cookie {
                Some(cookie) => self.find_session(cookie).await?,
                None => None,
            };
            let is_ours = session.is_some_and(|it| it.hand_off == Some(found.id));
            return Ok(if is_ours {
                Link::Followed(asked)
            } else {
                Link::Used(asked)
            });
        }
        Ok(if found.expired {
            Link::Expired(asked)
        } else {
            Link::Ready(asked)
        })
    }

    /// Spends a link and signs the browser in, in place of whoever it was before.
    ///
    /// The session's token comes of the browser's mark and the link, so that a browser whose answer was lost, or that
    /// pressed twice, presses again and gets the same one.
    ///
    /// # Errors
    /// When the database is away: then the link is as it was.
    pub async fn follow_link(
        &self,
        link: &Token,
        brought: Brought<'_>,
    ) -> Result<Followed, StoreError> {
        let known = brought.mark.map(|mark| Token::of_both(mark, link));
        let token = known.clone().unwrap_or_else(new_token);
        let (hash, present) = (token.hash(), brought.session.map(Token::hash));
        let spent = link.hash();
        let signed_in = again_if_lost(|| self.spend(&spent, &hash, present.as_ref())).await?;
        if signed_in {
            return Ok(Followed::SignedIn(token));
        }
        let found = self.look_at_link(link, brought.session).await?;
        if matches!(found, Link::Used(_)) && known.is_some() {
            let again = self.look_at_link(link, known.as_ref()).await?;
            if matches!(again, Link::Followed(_)) {
                return Ok(Followed::SignedIn(token));
            }
        }
        Ok(Followed::Not(found))
    }

    async fn spend(
        &self,
        link: &TokenHash,
        token: &TokenHash,
        present: Option<&TokenHash>,
    ) -> Result<bool, StoreError> {
        let livemode = self.settings.livemode;
        let mut tx = self.db.begin().await?;
        let Some((id, user)) = store::spend_hand_off(&mut tx, link, livemode).await? else {
            return Ok(false);
        };
        store::clear_browser_sessions(&mut tx, present, user).await?;
        let keep = SessionToKeep {
            token,
            user,
            livemode,
            source: SessionSource::HandOff(id),
            longest: LONGEST_SESSION,
        };
        store::insert_browser_session(&mut tx, &keep).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// A mark for a browser that looks at a link, to be known again by.
pub fn new_mark() -> Token {
    new_token()
}

/// A token nobody can guess.
pub(super) fn new_token() -> Token {
    let mut bytes = [0; TOKEN_BYTES];
    rand::fill(&mut bytes);
    Token::from_random(bytes)
}
