//! Tokens of the host application: who a bearer is, if somebody we believe has signed that for us.

use std::sync::Arc;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Header, TokenData, Validation, dangerous, decode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    claims::{is_address, is_subject},
    jwks::Jwks,
};
use crate::{
    clock::Clock,
    config::{JwtConfig, JwtKey},
    domain::Person,
};

/// Far more than any issuer writes.
const LONGEST: usize = 8 * 1024;
const LONGEST_KEY_ID: usize = 255;
/// The end of the year 9999. What is later was not counted in seconds.
const LATEST: i64 = 253_402_300_799;
/// Kinds of tokens that say who their bearer is; others are signed with the same keys, and mean something else.
const KINDS: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// Believes the tokens of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: JwtConfig,
    keys: Keys,
    realm: String,
    clock: Clock,
}

#[derive(Debug)]
enum Keys {
    Published(Jwks),
    Fixed(DecodingKey),
}

/// Why a token is not believed; one word, for the operator and nobody else.
type Refusal = &'static str;

/// What is read of a token. A member that is said twice makes it unreadable.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    sub: String,
    email: Option<Value>,
    email_verified: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &String) -> bool {
        match self {
            Self::One(name) => name == audience,
            Self::Several(names) => names.contains(audience),
        }
    }
}

impl Tokens {
    /// `realm` is where those people are unique.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(
        config: JwtConfig,
        realm: String,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let keys = match &config.key {
            JwtKey::Published(url) => Keys::Published(Jwks::new(url.clone(), clock.clone())?),
            JwtKey::Fixed(key) => Keys::Fixed(key.clone()),
        };
        Ok(Self(Arc::new(Shared {
            config,
            keys,
            realm,
            clock,
        })))
    }

    /// Who the bearer is; `None` unless everything about the token is right.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Option<Person> {
        match self.0.identify(headers).await {
            Ok(person) => Some(person),
            Err(reason) => {
                tracing::debug!(reason, "a token is refused");
                metrics::counter!("verigate_tokens_refused_total", "reason" => reason).increment(1);
                None
            }
        }
    }
}

impl Shared {
    /// What costs nothing comes first: no key is looked for on behalf of a token that is of no use anyway.
    async fn identify(&self, headers: &HeaderMap) -> Result<Person, Refusal> {
        let token = bearer(headers)?;
        let unproven: TokenData<Claims> =
            dangerous::insecure_decode(token).map_err(|_| "malformed")?;
        self.check_header(&unproven.header)?;
        self.check_claims(&unproven.claims)?;
        let algorithm = unproven.header.alg;
        let proven = match &self.keys {
            Keys::Fixed(key) => verify(token, key, algorithm),
            Keys::Published(keys) => {
                let id = unproven.header.kid.as_deref();
                let key = keys.find(id, algorithm).await.ok_or("unknown_key")?;
                verify(token, &key, algorithm)
            }
        };
        Ok(self.person(proven?))
    }

    fn check_header(&self, header: &Header) -> Result<(), Refusal> {
        if !self.config.algorithms.contains(&header.alg) {
            return Err("algorithm");
        }
        // Nothing that its maker thinks critical is known here.
        if header.crit.is_some() {
            return Err("critical");
        }
        let kind = header.typ.as_ref().map(|kind| kind.to_ascii_lowercase());
        if kind.is_some_and(|kind| !KINDS.contains(&&*kind)) {
            return Err("type");
        }
        let id = header.kid.as_ref();
        if id.is_some_and(|id| id.is_empty() || id.len() > LONGEST_KEY_ID) {
            return Err("key_id");
        }
        Ok(())
    }

    fn check_claims(&self, claims: &Claims) -> Result<(), Refusal> {
        if claims.iss != self.config.issuer {
            return Err("issuer");
        }
        let audiences = &self.config.audiences;
        if !audiences.iter().any(|name| claims.aud.names(name)) {
            return Err("audience");
        }
        let now = self.clock.unix();
        let leeway = self.config.leeway_seconds.cast_signed();
        if claims.exp > LATEST || claims.nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err("time");
        }
        if claims.exp <= now - leeway {
            return Err("expired");
        }
        if !is_subject(&claims.sub) {
            return Err("subject");
        }
        Ok(())
    }

    fn person(&self, claims: Claims) -> Person {
        Person {
            realm: self.realm.clone(),
            email: claims.verified_email(),
            external_id: claims.sub,
        }
    }
}

impl Claims {
    /// An address that the issuer has checked; a wish of the person's is none.
    fn verified_email(&self) -> Option<String> {
        if self.email_verified.as_ref()?.as_bool() != Some(true) {
            return None;
        }
        let email = self.email.as_ref()?.as_str()?;
        is_address(email).then(|| email.to_owned())
    }
}

/// The one token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err("not_one_header");
    };
    let value = value.to_str().map_err(|_| "malformed")?;
    let (scheme, token) = value.split_once(' ').ok_or("scheme")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("scheme");
    }
    if token.len() > LONGEST {
        return Err("too_long");
    }
    Ok(token.trim())
}

/// Holds the signature to the key. Times are not looked at here: that clock is not ours.
fn verify(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, Refusal> {
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    decode(token, key, &rules)
        .map(|proven| proven.claims)
        .map_err(|_| "signature")
}
