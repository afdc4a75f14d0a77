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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const POINT: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";

    fn set(keys: &Value) -> Option<KeySet> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn rsa(modulus_bytes: usize) -> Value {
        // So many letters of base64, none of them a zero; the last says nothing beyond the last byte.
        let modulus = "w".repeat((modulus_bytes * 8).div_ceil(6));
        json!({ "kty": "RSA", "kid": "a", "n": modulus, "e": "AQAB" })
    }

    #[test]
    fn a_key_is_long_enough_or_none() {
        assert!(set(&json!([rsa(256)])).is_some());
        assert!(set(&json!([rsa(255)])).is_none());
        let mut padded = rsa(128);
        let zeros = "A".repeat(256);
        padded["n"] = json!(zeros + padded["n"].as_str().unwrap());
        assert!(set(&json!([padded])).is_none(), "zeros make it no longer");
    }

    #[test]
    fn a_key_checks_only_what_its_kind_and_its_curve_can() {
        let curve =
            |name| json!([{ "kty": "EC", "crv": name, "x": POINT, "y": POINT, "kid": "a" }]);
        let p256 = set(&curve("P-256")).unwrap();
        for (algorithm, fits) in [
            (Algorithm::ES256, true),
            (Algorithm::ES384, false),
            (Algorithm::RS256, false),
            (Algorithm::EdDSA, false),
            (Algorithm::HS256, false),
        ] {
            assert_eq!(
                p256.find(Some("a"), algorithm).is_some(),
                fits,
                "{algorithm:?}"
            );
        }
        for other in ["P-521", "secp256k1", "p-256", ""] {
            assert!(set(&curve(other)).is_none(), "{other}");
        }
        let edwards = |name| json!([{ "kty": "OKP", "crv": name, "x": POINT, "kid": "a" }]);
        assert!(set(&edwards("Ed25519")).is_some());
        assert!(set(&edwards("X25519")).is_none());
        assert!(set(&json!([{ "kty": "oct", "k": POINT, "kid": "a" }])).is_none());
    }

    #[test]
    fn of_two_kinds_by_one_name_the_one_that_fits_is_meant() {
        let point = json!({ "kty": "EC", "crv": "P-256", "x": POINT, "y": POINT, "kid": "a" });
        let both = set(&json!([rsa(256), point])).unwrap();
        assert!(both.find(Some("a"), Algorithm::ES256).is_some());
        assert!(both.find(Some("a"), Algorithm::RS256).is_some());
        assert!(both.find(None, Algorithm::RS256).is_none(), "there are two");
        let twice = set(&json!([rsa(256), rsa(256)])).unwrap();
        assert!(twice.find(Some("a"), Algorithm::RS256).is_none());
    }
}
