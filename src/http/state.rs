//! What the handlers work with; each asks for its own part and never for the whole.

use std::{borrow::Cow, sync::Arc};

use axum::{extract::FromRef, http::header::InvalidHeaderValue};
use secrecy::SecretString;

use super::{
    address::TrustedProxies,
    api::Backend,
    app_return::{AppLinks, NoAppLink},
    auth::{Auth, CurrentUser, Provider, SessionCookie, Sessions, Source, Tokens, within},
    cors::Sharing,
    error::Error,
    hub::Hub,
    lifecycle::Lifecycle,
    router::CALLBACK,
    security::{AllowedHosts, HeaderPolicy, Origins},
    sign_in::Entrance,
    start_link::Door,
    throttle::Throttle,
    views::Chrome,
};
use crate::{
    clock::Clock,
    config::Config,
    domain::Person,
    store::{self, Db, PersonView, StoreError},
    verification::{Intake, Policies, Verifier},
};

/// What the HTTP layer is built from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The database for pages and probes.
    pub db: Db,
    /// The use cases.
    pub verifier: Verifier,
    /// Where deliveries are handed in.
    pub deliveries: Intake,
    /// Live status; somebody must run it.
    pub hub: Hub,
    /// What time it is.
    pub clock: Clock,
    /// When the process goes away.
    pub life: Lifecycle,
}

/// Everything the routes share. One pointer, since axum clones it for every layer of every request.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

macro_rules! shared {
    ($($part:ident: $kind:ty,)*) => {
        #[derive(Debug)]
        pub(crate) struct Shared {
            $(pub(crate) $part: $kind,)*
        }

        $(impl FromRef<AppState> for $kind {
            fn from_ref(state: &AppState) -> Self {
                state.0.$part.clone()
            }
        })*
    };
}

// Each handler is given a clone of its own part.
shared! {
    hosts: AllowedHosts,
    headers: HeaderPolicy,
    site: Site,
    sharing: Sharing,
    cookie: SessionCookie,
    auth: Auth,
    people: People,
    starter: Starter,
    door: Door,
    entrance: Entrance,
    proxies: TrustedProxies,
    links: AppLinks,
    webhook: Webhook,
    backend: Backend,
    hub: Hub,
    db: Db,
    life: Lifecycle,
}

impl AppState {
    /// What the layers work with.
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Puts everything together once.
    ///
    /// # Errors
    /// When a setting turns out to be of no use.
    pub fn new(parts: Parts<'_>) -> Result<Self, StateError> {
        let Parts {
            config,
            db,
            verifier,
            deliveries,
            hub,
            clock,
            life,
        } = parts;
        let is_dev = config.mode.is_dev();
        let origins = Origins {
            script: &config.stripe.js_url,
            api: &config.stripe.api_base,
            verify: &config.stripe.verify_origins,
        };
        let https = config.public_url.scheme() == "https";
        let sessions = Sessions {
            verifier: verifier.clone(),
            cookie: SessionCookie::new(https),
        };
        Ok(Self(Arc::new(Shared {
            hosts: AllowedHosts::new(&config.public_url, is_dev),
            headers: HeaderPolicy::new(&origins, https)?,
            site: Site::new(config),
            sharing: Sharing::new(&config.allowed_origins)?,
            auth: Auth::new(
                sources(config, &clock, sessions.clone())?,
                config.public_url.origin(),
            ),
            cookie: sessions.cookie,
            people: People {
                db: db.clone(),
                livemode: config.stripe.livemode,
                policies: verifier.policies().clone(),
            },
            entrance: entrance(config, &clock, &sessions)?,
            door: Door {
                verifier: verifier.clone(),
                cookie: sessions.cookie,
                own: config.public_url.origin(),
                hand_off: config.sign_in.hand_off,
            },
            backend: Backend::new(config, db.clone(), verifier.clone()),
            starter: Starter {
                verifier,
                native: config.native.on,
            },
            proxies: TrustedProxies::new(&config.limits.trusted_proxies),
            links: AppLinks::new(&config.native.links, config.stripe.livemode)?,
            webhook: Webhook::new(config, clock, deliveries),
            hub,
            db,
            life,
        })))
    }
}

/// Why the settings cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A configured address is none for a header.
    #[error("a configured address cannot stand in a header")]
    Header(#[from] InvalidHeaderValue),
    /// A link of `APP_LINKS`.
    #[error("APP_LINKS cannot be used")]
    AppLinks(#[from] NoAppLink),
    /// The machine's own certificates cannot be used, most likely.
    #[error("the client that asks whoever vouches for people cannot be built")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Every way to sign in that is switched on; in development everybody is the demo user if none is.
fn sources(config: &Config, clock: &Clock, sessions: Sessions) -> Result<Vec<Source>, StateError> {
    let mut sources = Vec::new();
    if let Some(jwt) = &config.sign_in.jwt {
        let tokens = Tokens::new(jwt.clone(), config.realm.clone(), clock.clone())
            .map_err(|error| StateError::Client(error.into()))?;
        sources.push(Source::Token(tokens));
    }
    if config.sign_in.hand_off || config.sign_in.oidc.is_some() {
        sources.push(Source::Session(sessions));
    }
    #[cfg(feature = "dev")]
    if config.mode.is_dev() && !config.sign_in.is_any() {
        sources.push(Source::Demo);
    }
    Ok(sources)
}

/// Where people sign in who come by themselves.
fn entrance(config: &Config, clock: &Clock, sessions: &Sessions) -> Result<Entrance, StateError> {
    let provider = config.sign_in.oidc.as_ref().map(|oidc| {
        let mut callback = config.public_url.clone();
        callback.set_path(CALLBACK);
        Provider::new(oidc.clone(), &callback, clock.clone())
    });
    Ok(Entrance {
        verifier: sessions.verifier.clone(),
        provider: provider.transpose().map_err(StateError::Client)?,
        session: sessions.cookie,
        login: SessionCookie::of_login(config.public_url.scheme() == "https"),
    })
}

/// What every page says about the application that asks.
#[derive(Clone, Debug)]
pub(crate) struct Site(Arc<SiteText>);

#[derive(Debug)]
struct SiteText {
    chrome: Chrome,
    publishable_key: String,
    stripe_js_url: String,
    can_sign_in: bool,
    mails: bool,
}

impl Site {
    pub(crate) fn new(config: &Config) -> Self {
        let optional = |url: &Option<url::Url>| url.as_ref().map(ToString::to_string);
        Self(Arc::new(SiteText {
            chrome: Chrome {
                app_name: config.app.name.clone(),
                purpose: config.app.purpose.clone(),
                support_url: config.app.support_url.to_string(),
                privacy_url: config.app.privacy_url.to_string(),
                alternative_url: optional(&config.app.alternative_url),
                home_url: optional(&config.app.home_url),
                test_mode: !config.stripe.livemode,
                signed_in: false,
            },
            publishable_key: config.stripe.publishable_key.clone(),
            stripe_js_url: config.stripe.js_url.to_string(),
            can_sign_in: config.sign_in.oidc.is_some(),
            mails: config.mail.is_some(),
        }))
    }

    pub(crate) fn chrome(&self) -> &Chrome {
        &self.0.chrome
    }

    /// For somebody who was sent here: the way back is then theirs.
    pub(crate) fn chrome_for(&self, user: &CurrentUser) -> Cow<'_, Chrome> {
        let Some(session) = user.session() else {
            return Cow::Borrowed(&self.0.chrome);
        };
        Cow::Owned(Chrome {
            signed_in: true,
            ..self.chrome_towards(session.return_url.as_ref().map(ToString::to_string))
        })
    }

    /// With another way back, if there is one.
    pub(crate) fn chrome_towards(&self, return_url: Option<String>) -> Chrome {
        let chrome = self.0.chrome.clone();
        Chrome {
            home_url: return_url.or(chrome.home_url),
            ..chrome
        }
    }

    /// May people sign in who come by themselves?
    pub(crate) fn can_sign_in(&self) -> bool {
        self.0.can_sign_in
    }

    /// Are people told by e-mail?
    pub(crate) fn mails(&self) -> bool {
        self.0.mails
    }

    pub(crate) fn publishable_key(&self) -> &str {
        &self.0.publishable_key
    }

    pub(crate) fn stripe_js_url(&self) -> &str {
        &self.0.stripe_js_url
    }
}

/// Reads where a person stands.
#[derive(Clone, Debug)]
pub(crate) struct People {
    db: Db,
    livemode: bool,
    policies: Policies,
}

impl People {
    /// Is somebody still signed in whom a browser session proves? Whom something else proves, always is.
    pub(crate) async fn knows(&self, user: &CurrentUser) -> Result<bool, Error> {
        match user.session() {
            Some(session) => within(store::is_signed_in(&self.db, session.id)).await,
            None => Ok(true),
        }
    }

    /// How somebody stands under a policy, or under the default one; `None` for somebody we have not met.
    pub(crate) async fn find(
        &self,
        person: &Person,
        policy: Option<&str>,
    ) -> Result<Option<PersonView>, Error> {
        let policy = self.policies.find(policy).map_err(Error::internal)?;
        let view = store::find_person_view(&self.db, person, self.livemode, &policy.satisfied_by);
        within(view).await
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_)
            | StoreError::TimedOut
            | StoreError::Contention(_)
            | StoreError::Moved => Self::unavailable("unavailable", error),
            StoreError::Data(_) | StoreError::Inconsistent { .. } | StoreError::Unexpected(_) => {
                Self::internal(error)
            }
        }
    }
}

/// Starts a verification, and looks after it.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    pub(crate) verifier: Verifier,
    /// Does a program that does not say what it is get a key for the phone SDKs?
    pub(crate) native: bool,
}

/// Checks and takes in deliveries.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) intake: Intake,
    pub(crate) clock: Clock,
    pub(crate) secrets: Arc<[SecretString]>,
    pub(crate) tolerance_seconds: u64,
    /// Tells of deliveries that nobody has signed, or not well.
    pub(crate) forged: Throttle,
    /// Tells of deliveries that could not be committed.
    pub(crate) away: Throttle,
}

impl Webhook {
    fn new(config: &Config, clock: Clock, intake: Intake) -> Self {
        Self {
            intake,
            clock,
            secrets: config.stripe.webhook_secrets.clone().into(),
            tolerance_seconds: config.stripe.webhook_tolerance_seconds,
            forged: Throttle::default(),
            away: Throttle::default(),
        }
    }
}
