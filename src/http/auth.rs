//! Who is asking: the one place that knows every way to be somebody.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    http::{Method, request::Parts},
};
use url::Origin;

use super::{
    error::Error,
    security::{Provenance, provenance},
};
use crate::domain::Person;

/// The ways to be somebody, tried in order.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    sources: Arc<[Source]>,
    own: Origin,
}

/// One way to be somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Everybody is the same made-up person: for trying things out on one's own machine.
    #[cfg(feature = "dev")]
    Demo,
}

impl Source {
    #[cfg_attr(
        feature = "dev",
        expect(
            clippy::unnecessary_wraps,
            reason = "every other way can fail to find somebody"
        )
    )]
    fn identify(self, _request: &Parts) -> Option<Person> {
        match self {
            #[cfg(feature = "dev")]
            Self::Demo => Some(Person {
                realm: "demo".to_owned(),
                external_id: "demo".to_owned(),
                email: None,
            }),
        }
    }

    /// May the request change something? A browser sends an ambient credential along with whatever page asks it to,
    /// so the page must be ours.
    fn may_change(self, provenance: Provenance) -> bool {
        match (self, provenance) {
            // No credential at all: whoever can reach this port with a program may do so.
            #[cfg(feature = "dev")]
            (Self::Demo, provenance) => provenance != Provenance::Elsewhere,
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

    fn identify(&self, request: &Parts) -> Result<CurrentUser, Error> {
        let mut found = self.sources.iter().filter_map(|source| {
            let person = source.identify(request)?;
            Some((*source, person))
        });
        let (source, person) = found.next().ok_or(Error::Unauthorized)?;
        let changes = !matches!(request.method, Method::GET | Method::HEAD);
        if changes && !source.may_change(provenance(&request.headers, &self.own)) {
            return Err(Error::Forbidden("cross_site"));
        }
        Ok(CurrentUser(person))
    }
}

/// Somebody we know, and for a request that changes something also: who really asked for it.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser(Person);

impl CurrentUser {
    /// Who it is.
    pub(crate) fn person(&self) -> &Person {
        &self.0
    }

    /// Who it is.
    pub(crate) fn into_person(self) -> Person {
        self.0
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Auth: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Auth::from_ref(state).identify(parts)
    }
}

impl<S> OptionalFromRequestParts<S> for CurrentUser
where
    Auth: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match Auth::from_ref(state).identify(parts) {
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

    fn identify(
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
            .map(CurrentUser::into_person)
    }

    #[test]
    fn without_a_way_to_sign_in_nobody_is_anybody() {
        assert!(matches!(
            identify(vec![], "GET", &[]),
            Err(Error::Unauthorized)
        ));
        let own = [("sec-fetch-site", "same-origin")];
        assert!(matches!(
            identify(vec![], "POST", &own),
            Err(Error::Unauthorized)
        ));
    }

    #[cfg(feature = "dev")]
    #[test]
    fn the_demo_user_changes_nothing_at_the_wish_of_a_foreign_page() {
        let demo = |method, headers| identify(vec![Source::Demo], method, headers);
        let foreign = [("sec-fetch-site", "cross-site")];
        assert!(matches!(
            demo("POST", &foreign),
            Err(Error::Forbidden("cross_site"))
        ));
        assert!(matches!(
            demo("POST", &[("origin", "null")]),
            Err(Error::Forbidden("cross_site"))
        ));
        for fine in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", "http://localhost:4242")],
        ] {
            assert_eq!(demo("POST", fine).unwrap().external_id, "demo");
        }
        assert_eq!(demo("GET", &foreign).unwrap().realm, "demo");
    }
}
