//! The identity provider: where it sends people, and whom it says they are.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::http;
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    SignatureVerificationError, TokenResponse as _,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreIdTokenClaims, CoreIdTokenVerifier,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRequestTokenError, CoreTokenResponse,
        CoreUserInfoClaims,
    },
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use url::Url;

use super::{
    claims::{is_address, is_subject},
    jwks::{is_loopback, is_within},
};
use crate::{
    causes::causes,
    clock::Clock,
    config::OidcConfig,
    domain::{Person, Token},
};

/// A person waits for each answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Far more than any provider says.
const LIMIT: usize = 256 * 1024;
/// How long its description and its keys are taken without asking again.
const FRESH: TimeDelta = TimeDelta::minutes(10);
/// Between two attempts to read them, whatever people do.
const REST: TimeDelta = TimeDelta::seconds(5);

/// Signed with a key that only the provider has. Its secret for us signs nothing: others may know it.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What the two sides of a sign-in are held together by; each is derived from the browser's cookie.
const STATE: &str = "oidc state";
const NONCE: &str = "oidc nonce";
const VERIFIER: &str = "oidc verifier";

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// An identity provider. Clones share what is known of it.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Shared>);

struct Shared {
    config: OidcConfig,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: Http,
    clock: Clock,
    /// Held while it is asked: whoever comes meanwhile waits for the end of that.
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    description: Option<(DateTime<Utc>, Arc<CoreProviderMetadata>)>,
    tried_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// Why nobody was signed in. No word of the provider's is in it but its code for the error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It cannot be asked.
    #[error("the identity provider is away")]
    Away,
    /// It does not take the code, or us.
    #[error("the identity provider refuses the code ({0})")]
    Refused(String),
    /// What it says of the person proves nothing.
    #[error("the identity provider's token is of no use ({0})")]
    Unproven(String),
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the request failed")]
    Transport(#[source] reqwest::Error),
    #[error("the answer is longer than {LIMIT} bytes")]
    TooLong,
    #[error("the answer makes no sense")]
    Odd(#[source] http::Error),
}

impl Provider {
    /// Asks nothing yet. `callback` is where people come back to.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(
        config: OidcConfig,
        callback: &Url,
        clock: Clock,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let issuer = IssuerUrl::new(config.issuer.clone())?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("verigate/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            // A redirect would carry the code and our secret to wherever it points.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(issuer.url()) {
            // A proxy cannot know what runs on this machine.
            builder = builder.no_proxy();
        }
        Ok(Self(Arc::new(Shared {
            config,
            issuer,
            redirect: RedirectUrl::new(callback.as_str().to_owned())?,
            http: Http(builder.build()?),
            clock,
            known: Arc::default(),
        })))
    }

    /// Where to send a browser with this cookie.
    ///
    /// # Errors
    /// When the provider cannot be asked for its description.
    pub(crate) async fn address(&self, login: &Token) -> Result<Url, ProviderError> {
        let client = self.client(FRESH).await?;
        let verifier = PkceCodeVerifier::new(login.derive(VERIFIER).expose().to_owned());
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let state = CsrfToken::new(login.derive(STATE).expose().to_owned());
        let nonce = nonce(login);
        let request = client.authorize_url(flow, || state, || nonce);
        let (address, _, _) = request
            .add_scope(Scope::new("email".to_owned()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(address)
    }

    /// Is an answer for the browser with this cookie, and from this provider, as far as it says?
    pub(crate) fn is_meant(&self, login: &Token, state: &str, issuer: Option<&str>) -> bool {
        use subtle::ConstantTimeEq as _;
        let expected = login.derive(STATE);
        let is_state = expected.expose().as_bytes().ct_eq(state.as_bytes());
        bool::from(is_state) && issuer.is_none_or(|issuer| issuer == self.0.config.issuer)
    }

    /// Who came back to the browser with this cookie.
    ///
    /// # Errors
    /// When the provider cannot be asked, or what it says proves nothing.
    pub(crate) async fn person(
        &self,
        login: &Token,
        code: String,
    ) -> Result<Person, ProviderError> {
        let client = self.client(FRESH).await?;
        let verifier = PkceCodeVerifier::new(login.derive(VERIFIER).expose().to_owned());
        let exchange = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| ProviderError::Unproven(error.to_string()))?
            .set_pkce_verifier(verifier);
        let answer = exchange
            .request_async(&self.0.http)
            .await
            .map_err(refusal)?;
        let claims = match self.claims(&client, &answer, login) {
            Err(error) if is_of_new_key(&error) => {
                let client = self.client(REST).await?;
                self.claims(&client, &answer, login)
            }
            claims => claims,
        };
        let claims = claims.map_err(|error| ProviderError::Unproven(error.to_string()))?;
        if !is_subject(claims.subject()) {
            return Err(ProviderError::Unproven("an odd subject".to_owned()));
        }
        let email = match verified(claims.email(), claims.email_verified()) {
            Some(email) => Some(email),
            None => self.email(&client, &answer, &claims).await,
        };
        Ok(Person {
            realm: self.0.config.issuer.clone(),
            external_id: claims.subject().to_string(),
            email,
        })
    }

    fn claims(
        &self,
        client: &Client,
        answer: &CoreTokenResponse,
        login: &Token,
    ) -> Result<CoreIdTokenClaims, ClaimsVerificationError> {
        let missing = || ClaimsVerificationError::Other("there is none".to_owned());
        let token = answer.id_token().ok_or_else(missing)?;
        let verifier: CoreIdTokenVerifier<'_> = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(|| self.0.clock.now());
        token.claims(&verifier, &nonce(login)).cloned()
    }

    /// Many providers say it only when asked; without it everything works, too.
    async fn email(
        &self,
        client: &Client,
        answer: &CoreTokenResponse,
        claims: &CoreIdTokenClaims,
    ) -> Option<String> {
        let subject = claims.subject().clone();
        let request = client.user_info(answer.access_token().clone(), Some(subject));
        let said: CoreUserInfoClaims = request.ok()?.request_async(&self.0.http).await.ok()?;
        verified(said.email(), said.email_verified())
    }

    /// Built from a description that is not older than this, if the provider can be asked.
    async fn client(&self, age: TimeDelta) -> Result<Client, ProviderError> {
        let description = self.description(age).await.ok_or(ProviderError::Away)?;
        let config = &self.0.config;
        let id = ClientId::new(config.client_id.clone());
        let secret = ClientSecret::new(config.client_secret.expose_secret().to_owned());
        let client = CoreClient::from_provider_metadata((*description).clone(), id, Some(secret));
        Ok(client.set_redirect_uri(self.0.redirect.clone()))
    }

    async fn description(&self, age: TimeDelta) -> Option<Arc<CoreProviderMetadata>> {
        let mut known = Arc::clone(&self.0.known).lock_owned().await;
        let now = self.0.clock.now();
        let is_fresh = known
            .description
            .as_ref()
            .is_some_and(|(at, _)| is_within(*at, now, age));
        let is_tried = known.tried_at.is_some_and(|at| is_within(at, now, REST));
        if !is_fresh && !is_tried {
            known.tried_at = Some(now);
            let shared = Arc::clone(&self.0);
            // In a task of its own: a client that goes away must not end what others wait for.
            let asking = tokio::spawn(async move {
                if let Some(description) = shared.discover().await {
                    known.description = Some((now, Arc::new(description)));
                }
                known.description.clone()
            });
            return asking.await.ok()?.map(|(_, description)| description);
        }
        let (_, description) = known.description.as_ref()?;
        Some(Arc::clone(description))
    }
}

impl Shared {
    async fn discover(&self) -> Option<CoreProviderMetadata> {
        match CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await {
            Ok(description) => Some(description),
            Err(error) => {
                tracing::warn!(
                    error = %causes(&error),
                    "the identity provider does not say how to sign in"
                );
                None
            }
        }
    }
}

/// The library's way out: its requests by a client of ours, with all of its limits.
struct Http(reqwest::Client);

impl Http {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, SendError> {
        let transport = |error: reqwest::Error| SendError::Transport(error.without_url());
        let request = reqwest::Request::try_from(request).map_err(transport)?;
        let mut answer = self.0.execute(request).await.map_err(transport)?;
        let mut whole = http::Response::builder().status(answer.status());
        if let Some(headers) = whole.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > LIMIT {
                return Err(SendError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        whole.body(body).map_err(SendError::Odd)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, SendError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

fn nonce(login: &Token) -> Nonce {
    Nonce::new(login.derive(NONCE).expose().to_owned())
}

/// The provider may have changed its keys since it was asked.
fn is_of_new_key(error: &ClaimsVerificationError) -> bool {
    matches!(
        error,
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)
    )
}

fn verified(
    email: Option<&openidconnect::EndUserEmail>,
    is_verified: Option<bool>,
) -> Option<String> {
    let email = email.filter(|email| is_verified == Some(true) && is_address(email))?;
    Some(email.to_string())
}

fn refusal(error: CoreRequestTokenError<SendError>) -> ProviderError {
    use openidconnect::RequestTokenError::{Other, Parse, Request, ServerResponse};
    match error {
        Request(_) => ProviderError::Away,
        ServerResponse(said) => ProviderError::Refused(said.error().to_string()),
        Parse(..) | Other(_) => ProviderError::Refused("unreadable".to_owned()),
    }
}
