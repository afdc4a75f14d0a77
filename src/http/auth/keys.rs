//! A set of published keys: which of them may check which token.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// More than any issuer has at a time.
const MOST: usize = 64;
/// 2048 bits; shorter ones are broken.
const SHORTEST_MODULUS: usize = 256;

/// The public keys of an issuer that can check a signature.
#[derive(Clone, Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    decoding: DecodingKey,
    algorithms: Vec<Algorithm>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWK set; keys for other purposes are left out. `None` if nothing is left, which no issuer means.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(bytes).ok()?;
        let keys = document.keys.into_iter().take(MOST);
        let keys: Vec<Key> = keys.filter_map(Key::read).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The one key that a token names. A token that names none is from an issuer with a single key, and where two
    /// have one name nobody knows which is meant.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        if id.is_none() && self.0.len() != 1 {
            return None;
        }
        let mut fitting = self.0.iter().filter(|key| {
            (id.is_none() || key.id.as_deref() == id) && key.algorithms.contains(&algorithm)
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(&key.decoding),
            _ => None,
        }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let is_for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let may_verify = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures || !may_verify {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm).to_vec();
        algorithms.retain(|algorithm| {
            let named = common.key_algorithm;
            named.is_none_or(|named| named == KeyAlgorithm::from(*algorithm))
        });
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty() && is_long_enough(&decoding)).then(|| Self {
            id: jwk.common.key_id,
            decoding,
            algorithms,
        })
    }
}

/// What a key of this kind can check. A secret is not published, so one that is proves nothing.
fn algorithms(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    match parameters {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => &[],
    }
}

fn is_long_enough(key: &DecodingKey) -> bool {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            n.iter().skip_while(|byte| **byte == 0).count() >= SHORTEST_MODULUS
        }
        DecodingKeyKind::SecretOrDer(_) => key.family() != AlgorithmFamily::Rsa,
    }
}
