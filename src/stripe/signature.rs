//! Stripe's webhook signature, both ways: `verify` for the receiver, `sign` for who plays Stripe.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// While a secret is rolled Stripe sends two; whoever sends hundreds is not Stripe.
const MOST_SIGNATURES: usize = 64;
/// Longer than any honest header (two signatures and their fake twins need some 300 bytes).
const LONGEST_HEADER: usize = 8 * 1024;

/// A delivery whose sender knows one of our secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentic {
    /// When it was signed, by the sender's clock, in unix seconds.
    pub timestamp: i64,
}

/// Why a delivery is not taken; never repeats the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("the delivery carries no signature")]
    Missing,
    /// The header is not one Stripe would send.
    #[error("the signature header is malformed")]
    Malformed,
    /// No signature matches any of our secrets.
    #[error("no signature matches; check that the webhook secret is this endpoint's")]
    NoMatch,
    /// Signed by who knows the secret, but too long ago.
    #[error("the signature is too old; check this machine's clock")]
    TooOld {
        /// When it was signed.
        timestamp: i64,
    },
    /// Signed by who knows the secret, but in the future.
    #[error("the signature is from the future; check this machine's clock")]
    TooNew {
        /// When it was signed; `None` for a number beyond any clock.
        timestamp: Option<i64>,
    },
}

impl SignatureError {
    /// A short word for metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::NoMatch => "no_match",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
        }
    }
}

/// The `Stripe-Signature` header for a payload.
pub fn sign(payload: &[u8], secret: &SecretString, timestamp: i64) -> String {
    let timestamp = timestamp.to_string();
    let signature = expected(payload, secret, timestamp.as_bytes()).unwrap_or_default();
    format!("t={timestamp},v1={signature}")
}

/// Checks a delivery against every configured secret; `now` and `tolerance` are in seconds.
///
/// Nothing of the payload is parsed here, and the timestamp only after a signature matched.
pub fn verify(
    payload: &[u8],
    header: &str,
    secrets: &[SecretString],
    now: i64,
    tolerance: u64,
) -> Result<Authentic, SignatureError> {
    let header = Header::parse(header)?;
    // Neither loop stops early: how long it takes must not tell which secret or signature was near.
    let mut matched = Choice::from(0);
    for secret in secrets {
        let Some(expected) = expected(payload, secret, header.timestamp.as_bytes()) else {
            continue;
        };
        for candidate in &header.signatures {
            matched |= expected.as_bytes().ct_eq(candidate.as_bytes());
        }
    }
    if !bool::from(matched) {
        return Err(SignatureError::NoMatch);
    }
    within(header.timestamp, now, tolerance)
}

/// Stripe's own libraries only refuse the old; a signature dated years ahead could be kept for later.
fn within(digits: &str, now: i64, tolerance: u64) -> Result<Authentic, SignatureError> {
    let Ok(timestamp) = digits.parse::<i64>() else {
        return Err(SignatureError::TooNew { timestamp: None });
    };
    if now.abs_diff(timestamp) <= tolerance {
        Ok(Authentic { timestamp })
    } else if timestamp < now {
        Err(SignatureError::TooOld { timestamp })
    } else {
        Err(SignatureError::TooNew {
            timestamp: Some(timestamp),
        })
    }
}

/// Lower-case hex, as the header carries it. `None` for an empty secret, which anybody knows.
fn expected(payload: &[u8], secret: &SecretString, timestamp: &[u8]) -> Option<String> {
    let secret = secret.expose_secret().as_bytes();
    if secret.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(timestamp);
    mac.update(b".");
    mac.update(payload);
    Some(hex::encode(mac.finalize().into_bytes()))
}

struct Header<'a> {
    /// As received: the signature covers these very bytes, leading zeros included.
    timestamp: &'a str,
    signatures: Vec<&'a str>,
}

impl<'a> Header<'a> {
    fn parse(header: &'a str) -> Result<Self, SignatureError> {
        if header.trim().is_empty() {
            return Err(SignatureError::Missing);
        }
        if header.len() > LONGEST_HEADER {
            return Err(SignatureError::Malformed);
        }
        let (mut timestamp, mut signatures) = (None, Vec::new());
        for (scheme, value) in header.split(',').filter_map(|item| item.split_once('=')) {
            match scheme {
                "t" if timestamp.is_some() => return Err(SignatureError::Malformed),
                "t" => timestamp = Some(value),
                "v1" => signatures.push(value),
                // Among them `v0`, a fake scheme on test events that must not count.
                _ => {}
            }
        }
        let timestamp = timestamp
            .filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(SignatureError::Malformed)?;
        if signatures.is_empty() || signatures.len() > MOST_SIGNATURES {
            return Err(SignatureError::Malformed);
        }
        Ok(Self {
            timestamp,
            signatures,
        })
    }
}
