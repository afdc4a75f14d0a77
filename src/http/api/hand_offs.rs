//! Hand-offs: having a person verified, by a link that signs their browser in.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Backend,
    idempotent::{Held, IdempotencyKey, REPLAYED, Turn, YES},
    input::{self, LONGEST_USER_ID, Object},
    key::{ApiKey, Write},
    read,
};
use crate::{
    domain::{Person, ReturnAddress, ReturnRule},
    http::{error::Error, router::START_PREFIX},
    verification::{HandOff, NewHandOff},
};

const LONGEST_EMAIL: usize = 254;
const LONGEST_LABEL: usize = 100;

/// A person to be verified.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewVerification)]
pub(crate) struct Wanted {
    /// The application's own id of the person: anything, in one line.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "user_42"
    )]
    user_id: String,
    /// Their e-mail address; Stripe is told, and the page shows it masked if there is no `label`.
    #[schema(max_length = 254, format = "email")]
    email: Option<String>,
    /// What the page calls the person before they sign in, such as "Ada L.".
    #[schema(min_length = 1, max_length = 100)]
    label: Option<String>,
    /// The set of checks; the default one if left out.
    #[schema(max_length = 255)]
    policy: Option<String>,
    /// Where the person goes afterwards: an address that the key may name (`keys create --return-to`).
    #[schema(max_length = 2048, format = "uri")]
    return_url: Option<String>,
}

/// A hand-off: send the person to `url`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HandOffAnswer {
    /// The hand-off's.
    id: Uuid,
    /// Signs one browser in, once. Send the person there at once; it is not shown again.
    #[schema(format = "uri")]
    url: String,
    /// Until when the link works.
    expires_at: DateTime<Utc>,
    /// As given.
    user_id: String,
    /// The set of checks.
    policy: String,
    /// As given.
    #[schema(required)]
    return_url: Option<String>,
}

/// The body as it comes; each member is looked at by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    user_id: Option<Value>,
    email: Option<Value>,
    label: Option<Value>,
    policy: Option<Value>,
    return_url: Option<Value>,
}

impl Body {
    fn read(self, backend: &Backend, key: &ApiKey<Write>) -> Result<Wanted, Error> {
        let user_id = input::text("user_id", self.user_id, LONGEST_USER_ID)?;
        let user_id = user_id
            .filter(|id| input::is_user_id(id))
            .ok_or_else(|| input::wrong("user_id", "is required, and neither . nor .."))?;
        let email = input::text("email", self.email, LONGEST_EMAIL)?;
        if email
            .as_deref()
            .is_some_and(|email| !input::is_email(email))
        {
            return Err(input::wrong("email", "is not an e-mail address"));
        }
        let policy = input::text("policy", self.policy, 255)?;
        let policy = policy.unwrap_or_else(|| backend.policies.default_name().to_owned());
        if backend.policies.find(&policy).is_none() {
            return Err(input::wrong(
                "policy",
                "is not one of this server's policies",
            ));
        }
        let return_url = input::text("return_url", self.return_url, 2048)?;
        if let Some(address) = &return_url {
            let rules = key.return_to().iter();
            let rules = rules.filter_map(|rule| ReturnRule::parse(rule, backend.livemode).ok());
            let rules: Vec<ReturnRule> = rules.collect();
            ReturnAddress::parse(address, &rules)
                .map_err(|refusal| input::wrong("return_url", &refusal.to_string()))?;
        }
        Ok(Wanted {
            user_id,
            email,
            label: input::label("label", self.label, LONGEST_LABEL)?,
            policy: Some(policy),
            return_url,
        })
    }
}

/// Have a person verified
///
/// Answers with a link that works once, for 15 minutes: send the person's browser there. A repeated call with the
/// same `Idempotency-Key` gets the same hand-off with a new link, and the one before stops working.
#[utoipa::path(
    post, path = "/v1/verifications", tag = "verifications",
    request_body = Wanted,
    params(("Idempotency-Key" = Option<String>, Header, description = "Your name for this call, so that repeating it makes nothing twice; remembered for a day.", min_length = 1, max_length = 255, pattern = "^[\\x21-\\x7e]+$")),
    responses(
        (status = 201, description = "Handed over.", body = HandOffAnswer),
        (status = 409, description = "A call with this key is running (`idempotency_key_in_use`), or its link was followed already (`hand_off_used`).", content_type = "application/problem+json", body = super::problem::Problem),
    ),
    security(("api_key" = ["verifications:write"])),
)]
pub(crate) async fn create_verification(
    key: ApiKey<Write>,
    State(backend): State<Backend>,
    idempotency: IdempotencyKey,
    Object(body): Object<Body>,
) -> Result<Response, Error> {
    if !backend.hand_off {
        return Err(Error::Forbidden("hand_off_off"));
    }
    let wanted = body.read(&backend, &key)?;
    let request = ("create_verification", &wanted);
    match idempotency.claim(&backend, key.id(), &request).await? {
        Turn::First(claimed) => {
            let (verifier, new) = (
                backend.verifier.clone(),
                wanted.hand_off(&backend, key.id()),
            );
            let held = claimed.held();
            let work = async move {
                let call = held.as_ref().map(Held::call);
                Ok(verifier.hand_off(new, call).await?)
            };
            let made = claimed.run(work).await?;
            let answer = wanted.answer(&backend, &made);
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
        Turn::Done(id) => {
            let again = read(backend.verifier.remint(id)).await?;
            let again = again.ok_or(Error::Conflict("hand_off_used"))?;
            let answer = wanted.answer(&backend, &again);
            Ok((StatusCode::CREATED, [(REPLAYED, YES)], Json(answer)).into_response())
        }
    }
}

impl Wanted {
    fn hand_off(&self, backend: &Backend, api_key: Uuid) -> NewHandOff {
        NewHandOff {
            api_key,
            person: Person {
                email: self.email.clone(),
                ..backend.person(self.user_id.clone())
            },
            policy: self.policy.clone().unwrap_or_default(),
            label: self.label.clone(),
            return_url: self.return_url.clone(),
        }
    }

    fn answer(self, backend: &Backend, made: &HandOff) -> HandOffAnswer {
        let token = made.token.expose_secret();
        HandOffAnswer {
            id: made.id,
            url: format!("{}{START_PREFIX}{token}", backend.origin),
            expires_at: made.expires_at,
            user_id: self.user_id,
            policy: self.policy.unwrap_or_default(),
            return_url: self.return_url,
        }
    }
}
