//! How people may sign in.

use super::{
    jwt::{self, JwtConfig},
    oidc::{self, OidcConfig},
    parse,
    reader::{Advice, Noted, Reader},
};

/// Who vouches for the ids that applications use, unless they are told apart by name.
const REALM: &str = "app";
const LONGEST_REALM: usize = 64;

/// The ways to sign in that are switched on.
#[derive(Clone, Debug)]
pub struct SignInConfig {
    /// `HAND_OFF`: by one-time links that applications ask for.
    pub hand_off: bool,
    /// `JWT_…`: by the tokens of the host application.
    pub jwt: Option<JwtConfig>,
    /// `OIDC_…`: with an identity provider.
    pub oidc: Option<OidcConfig>,
}

impl SignInConfig {
    /// Is there any way at all?
    pub fn is_any(&self) -> bool {
        self.hand_off || self.jwt.is_some() || self.oidc.is_some()
    }

    /// In production there must be a way, or nobody could ever be verified.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let hand_off = reader.parsed("HAND_OFF", parse::switch);
        let jwt = jwt::read(reader);
        let oidc = oidc::read(reader);
        let config = Self {
            hand_off: hand_off?.unwrap_or(false),
            jwt: jwt?,
            oidc: oidc?,
        };
        if config.is_any() || reader.mode().is_dev() {
            return Ok(config);
        }
        Err(reader.problem(
            "HAND_OFF",
            "is not set: nobody could sign in. Set HAND_OFF=on, and your application sends people here by one-time \
             links; or set JWT_ISSUER and what goes with it, and its pages and apps bring tokens; or set OIDC_ISSUER \
             and what goes with it, and people sign in with your identity provider",
        ))
    }
}

/// `REALM`: whose ids hand-offs name.
pub(super) fn read_realm(reader: &mut Reader<'_>) -> Result<String, Noted> {
    let found = reader.parsed("REALM", parse_realm);
    Ok(found?.unwrap_or_else(|| REALM.to_owned()))
}

/// Without a colon, so that it never is an identity provider's address.
fn parse_realm(text: &str) -> Result<String, Advice> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if text.len() <= LONGEST_REALM && text.chars().all(known) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is not a short name of small letters, digits, dots and dashes, {LONGEST_REALM} at most"
        )
        .into())
    }
}
