//! Being signed in by a cookie: which cookie it is, and whose.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue,
        header::{COOKIE, SET_COOKIE},
        request::Parts,
    },
    response::Response,
};
use cookie::{Cookie, SameSite};
use url::Url;
use uuid::Uuid;

use super::Identity;
use crate::{
    domain::{Token, UserId},
    http::{error::Error, security::Surface},
    store::{BrowserSession, StoreError},
    verification::Verifier,
};

/// Postgres ends a statement that takes long, unless it stands still itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// With this prefix a browser takes the cookie only from us, over https, and for the whole host: no neighbour under the
/// same domain can plant one.
const SECURE_NAME: &str = "__Host-verigate";
/// Over plain http, in development, browsers take no such prefix.
const PLAIN_NAME: &str = "verigate";
/// What a browser is marked with when it looks at a link, under the same rules.
const SECURE_MARK: &str = "__Host-verigate-mark";
const PLAIN_MARK: &str = "verigate-mark";
/// The same for a browser that is away at the identity provider.
const SECURE_LOGIN_NAME: &str = "__Host-verigate-login";
const PLAIN_LOGIN_NAME: &str = "verigate-login";

/// What a browser that is signed in brings with it.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    /// The session's own.
    pub(crate) id: Uuid,
    /// Who it was that signed in: another of the same name is somebody else.
    pub(crate) user: UserId,
    /// The set of checks that the hand-off asks for.
    pub(crate) policy: Option<String>,
    /// Where the person goes afterwards.
    pub(crate) return_url: Option<Url>,
}

/// How our cookie is called and written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionCookie {
    name: &'static str,
    https: bool,
}

impl SessionCookie {
    /// `https` is whether people reach us by it.
    pub(crate) fn new(https: bool) -> Self {
        let name = if https { SECURE_NAME } else { PLAIN_NAME };
        Self { name, https }
    }

    /// The cookie of a sign-in that has begun.
    pub(crate) fn of_login(https: bool) -> Self {
        let name = if https {
            SECURE_LOGIN_NAME
        } else {
            PLAIN_LOGIN_NAME
        };
        Self { name, https }
    }

    fn mark_name(self) -> &'static str {
        if self.https { SECURE_MARK } else { PLAIN_MARK }
    }

    /// The value that the browser sends, if it can be one of ours.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<Token> {
        sent(headers, self.name).find_map(|cookie| Token::parse(cookie.value()))
    }

    /// The mark that the browser sends, if it can be one of ours.
    pub(crate) fn read_mark(self, headers: &HeaderMap) -> Option<Token> {
        sent(headers, self.mark_name()).find_map(|cookie| Token::parse(cookie.value()))
    }

    /// Marks the browser. It proves nothing by itself.
    pub(crate) fn mark(self, response: &mut Response, mark: &Token) {
        write(response, &self.build(self.mark_name(), mark.expose()));
    }

    /// Signs the browser in. Without an age: it ends with the browser, and on the server it ends sooner.
    pub(crate) fn set(self, response: &mut Response, token: &Token) {
        write(response, &self.build(self.name, token.expose()));
    }

    /// Takes the cookie away.
    pub(crate) fn clear(self, response: &mut Response) {
        let mut cookie = self.build(self.name, "");
        cookie.set_max_age(cookie::time::Duration::ZERO);
        write(response, &cookie);
    }

    /// `Lax`: a link from the application, and the way back from Stripe, bring the cookie along; a form on another site
    /// does not.
    fn build<'a>(self, name: &'static str, value: &'a str) -> Cookie<'a> {
        Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.https)
            .build()
    }
}

fn sent<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = Cookie<'a>> {
    let fields = headers.get_all(COOKIE).iter();
    let fields = fields.filter_map(|value| value.to_str().ok());
    let cookies = fields.flat_map(Cookie::split_parse).flatten();
    cookies.filter(move |cookie| cookie.name() == name)
}

/// A token is letters, digits, dash and underscore: it fits into a header.
fn write(response: &mut Response, cookie: &Cookie<'_>) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The request's cookie turned out to be nobody's.
#[derive(Clone, Debug, Default)]
struct Stale(Arc<AtomicBool>);

/// Takes a cookie away that is nobody's any more. Only with a page: an answer to a script may be late, and arrive after
/// another tab has signed in.
pub(crate) async fn clear_stale(
    cookie: &SessionCookie,
    mut request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if sent(request.headers(), cookie.name).next().is_none() {
        return next(request).await;
    }
    let stale = Stale::default();
    request.extensions_mut().insert(stale.clone());
    let mut response = next(request).await;
    let surface: Surface = response.extensions().get().copied().unwrap_or_default();
    let has_cookie = response.headers().contains_key(SET_COOKIE);
    if stale.0.load(Ordering::Relaxed) && surface != Surface::Data && !has_cookie {
        cookie.clear(&mut response);
    }
    response
}

/// Finds the session of a cookie.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(crate) verifier: Verifier,
    pub(crate) cookie: SessionCookie,
}

impl Sessions {
    /// `None` without a cookie of ours, and when its session is over.
    pub(super) async fn identify(&self, request: &Parts) -> Result<Option<Identity>, Error> {
        let found = match self.cookie.read(&request.headers) {
            Some(token) => within(self.verifier.find_session(&token)).await?,
            None => None,
        };
        if found.is_none()
            && let Some(stale) = request.extensions.get::<Stale>()
        {
            stale.0.store(true, Ordering::Relaxed);
        }
        Ok(found.map(Identity::from))
    }
}

/// Waits for the database, but not for ever.
pub(crate) async fn within<T>(
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => Ok(answer?),
        Err(too_late) => Err(Error::unavailable("unavailable", too_late)),
    }
}

impl From<BrowserSession> for Identity {
    fn from(session: BrowserSession) -> Self {
        let return_url = session.return_url.as_deref();
        Self {
            person: session.person,
            session: Some(SignedIn {
                id: session.id,
                user: session.user,
                policy: session.policy,
                return_url: return_url.and_then(|url| Url::parse(url).ok()),
            }),
        }
    }
}
