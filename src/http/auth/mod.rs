//! Who is asking: the one place that knows every way to be somebody.

mod claims;
mod jwks;
mod jwt;
mod keys;
mod oidc;
mod session;

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    http::{Method, header::AUTHORIZATION, request::Parts},
};
use url::Origin;

pub(crate) use self::{
    jwt::Tokens,
    oidc::{Provider, ProviderError},
};
use super::{
    error::Error,
    security::{Provenance, provenance},
};
use crate::domain::Person;

pub(crate) use session::{SessionCookie, Sessions, SignedIn, clear_stale, within};

/// The ways to be somebody, tried in order; but an `Authorization` header decides alone, whatever else there is.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    sources: Arc<[Source]>,
    own: Origin,
}

/// One way to be somebody.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A browser that was signed in, by its cookie.
    Session(Sessions),
    /// Everybody is the same made-up person: for trying things out on one's own machine.
    #[cfg(feature = "dev")]
    Demo,
    /// Whoever shows a token of the host application's.
    Token(Tokens),
}

impl Source {
    /// `None` if the request says nothing of the kind.
    async fn identify(&self, request: &Parts) -> Result<Option<Identity>, Error> {
        match self {
            Self::Token(tokens) => {
                let person = tokens.identify(&request.headers).await;
                Ok(person.map(Identity::of))
            }
            Self::Session(sessions) => sessions.identify(request).await,
            #[cfg(feature = "dev")]
            Self::Demo => Ok(Some(Identity::of(Person {
                realm: "demo".to_owned(),
                external_id: "demo".to_owned(),
                email: None,
            }))),
        }
    }

    /// Does it read the `Authorization` header?
    fn reads_header(&self) -> bool {
        match self {
            Self::Token(_) => true,
            Self::Session(_) => false,
            #[cfg(feature = "dev")]
            Self::Demo => false,
        }
    }

    /// May the request change something? A browser sends an ambient credential along with whatever page asks it to,
    /// so the page must be ours.
    fn may_change(&self, provenance: Provenance) -> bool {
        match (self, provenance) {
            // No page can make a browser send a token that it does not have.
            (Self::Token(_), _) => true,
            (Self::Session(_), provenance) => provenance == Provenance::SameOrigin,
            // No credential at all: whoever can reach this port with a program may do so.
            #[cfg(feature = "dev")]
            (Self::Demo, provenance) => provenance != Provenance::Elsewhere,
        }
    }
}

/// Who a source found, and what it knows beside.
#[derive(Clone, Debug)]
struct Identity {
    person: Person,
    session: Option<SignedIn>,
}

impl Identity {
    /// Somebody without a browser session.
    fn of(person: Person) -> Self {
        Self {
            person,
            session: None,
        }
    }
}

impl Auth {
    /// `own` is the origin that people see.
    pub(crate) fn new(sources: Vec<Source>, own: Origin) -> Self {
        Self {
            sources: sources.into(),
            own,
        }
    }

    async fn identify(&self, request: &Parts) -> Result<CurrentUser, Error> {
        let by_header = request.headers.contains_key(AUTHORIZATION);
        let changes = !matches!(request.method, Method::GET | Method::HEAD);
        for source in self.sources.iter() {
            if source.reads_header() != by_header {
                continue;
            }
            let Some(identity) = source.identify(request).await? else {
                continue;
            };
            if changes && !source.may_change(provenance(&request.headers, &self.own)) {
                return Err(Error::Forbidden("cross_site"));
            }
            return Ok(CurrentUser(identity));
        }
        Err(if by_header {
            Error::InvalidToken
        } else {
            Error::Unauthorized
        })
    }
}

/// Somebody we know, and for a request that changes something also: who really asked for it.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser(Identity);

impl CurrentUser {
    /// Who it is.
    pub(crate) fn person(&self) -> &Person {
        &self.0.person
    }

    /// The browser session that proves it, if that is the way.
    pub(crate) fn session(&self) -> Option<&SignedIn> {
        self.0.session.as_ref()
    }

    /// The policy they are here for; none is the default one. Whatever a browser sends has no say in it.
    pub(crate) fn policy(&self) -> Option<&str> {
        self.session()?.policy.as_deref()
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Auth: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Auth::from_ref(state).identify(parts).await
    }
}

impl<S> OptionalFromRequestParts<S> for CurrentUser
where
    Auth: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match Auth::from_ref(state).identify(parts).await {
            Ok(user) => Ok(Some(user)),
            Err(Error::Unauthorized) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use url::Url;

    async fn identify(
        sources: Vec<Source>,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Person, Error> {
        let own = Url::parse("http://localhost:4242").unwrap().origin();
        let builder = Request::builder().method(method);
        let request = headers
            .iter()
            .fold(builder, |all, (name, value)| all.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Auth::new(sources, own)
            .identify(&parts)
            .await
            .map(|user| user.person().clone())
    }

    #[tokio::test]
    async fn without_a_way_to_sign_in_nobody_is_anybody() {
        assert!(matches!(
            identify(vec![], "GET", &[]).await,
            Err(Error::Unauthorized)
        ));
        let own = [("sec-fetch-site", "same-origin")];
        assert!(matches!(
            identify(vec![], "POST", &own).await,
            Err(Error::Unauthorized)
        ));
    }

    #[cfg(feature = "dev")]
    #[tokio::test]
    async fn the_demo_user_changes_nothing_at_the_wish_of_a_foreign_page() {
        let demo = async |method, headers| identify(vec![Source::Demo], method, headers).await;
        let foreign = [("sec-fetch-site", "cross-site")];
        assert!(matches!(
            demo("POST", &foreign[..]).await,
            Err(Error::Forbidden("cross_site"))
        ));
        assert!(matches!(
            demo("POST", &[("origin", "null")][..]).await,
            Err(Error::Forbidden("cross_site"))
        ));
        for fine in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", "http://localhost:4242")],
        ] {
            assert_eq!(demo("POST", fine).await.unwrap().external_id, "demo");
        }
        assert_eq!(demo("GET", &foreign[..]).await.unwrap().realm, "demo");
    }

    #[cfg(feature = "dev")]
    #[tokio::test]
    async fn a_header_that_proves_nothing_is_no_reason_to_be_the_demo_user() {
        let bearer = [("authorization", "Bearer nonsense")];
        assert!(matches!(
            identify(vec![Source::Demo], "GET", &bearer).await,
            Err(Error::InvalidToken)
        ));
    }
}
