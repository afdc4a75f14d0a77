//! The settings that say whose tokens are believed, and what one has to look like.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use url::Url;

use super::{
    parse,
    reader::{Advice, Found, Noted, Reader},
};

const USUAL_LEEWAY: u64 = 30;
const LONGEST_LEEWAY: u64 = 300;
/// As long as the signature is: a shorter secret is the weakest part.
const SHORTEST_SECRET: usize = 32;
/// A key of 2048 bits, written out; shorter ones are broken.
const SHORTEST_RSA: usize = 266;
/// What is taken where nothing is said, as far as the key fits.
const USUAL: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::HS256,
];

/// Whose tokens are believed.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    /// What their signatures are checked with.
    pub key: JwtKey,
    /// `JWT_ISSUER`: who must have made them, to the letter.
    pub issuer: String,
    /// `JWT_AUDIENCE`: whom they must be meant for; any one of these.
    pub audiences: Vec<String>,
    /// `JWT_ALGORITHMS`: how they may be signed. Each fits the key.
    pub algorithms: Vec<Algorithm>,
    /// `JWT_LEEWAY`: by how much the clocks may differ.
    pub leeway_seconds: u64,
}

/// What signatures are checked with.
#[derive(Clone, Debug)]
pub enum JwtKey {
    /// `JWT_JWKS_URL`: the keys that the issuer publishes there.
    Published(Url),
    /// `JWT_PUBLIC_KEY` or `JWT_SECRET`: this one.
    Fixed(DecodingKey),
}

impl JwtKey {
    /// A secret signs in one way only, and a public key, which anybody knows, is never taken for a secret.
    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Published(_) => algorithm.family() != AlgorithmFamily::Hmac,
            Self::Fixed(key) => fits(key, algorithm),
        }
    }
}

fn fits(key: &DecodingKey, algorithm: Algorithm) -> bool {
    let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    match key.family() {
        AlgorithmFamily::Hmac => algorithm == Algorithm::HS256,
        AlgorithmFamily::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
        // One byte for the form, and two numbers as long as the curve says.
        AlgorithmFamily::Ec => match algorithm {
            Algorithm::ES256 => length == 65,
            Algorithm::ES384 => length == 97,
            _ => false,
        },
        AlgorithmFamily::Ed => algorithm == Algorithm::EdDSA && length == 32,
    }
}

/// `None` when no setting of the kind is there.
pub(super) fn read(reader: &mut Reader<'_>) -> Found<JwtConfig> {
    let published = reader.parsed("JWT_JWKS_URL", jwks_url);
    let public = reader.document("JWT_PUBLIC_KEY", public_key);
    let secret = reader.secret("JWT_SECRET", shared_secret);
    let issuer = reader.parsed("JWT_ISSUER", parse::line);
    let audiences = reader.parsed("JWT_AUDIENCE", names);
    let algorithms = reader.parsed("JWT_ALGORITHMS", algorithms);
    let leeway = reader.parsed("JWT_LEEWAY", |text| {
        parse::seconds(text, 0..=LONGEST_LEEWAY)
    });
    let is_unset = matches!(
        (&published, &public, &secret),
        (Ok(None), Ok(None), Ok(None))
    ) && matches!(
        (&issuer, &audiences, &algorithms, &leeway),
        (Ok(None), Ok(None), Ok(None), Ok(None))
    );
    if is_unset {
        return Ok(None);
    }
    let key = one_key(
        reader,
        [
            (
                "JWT_JWKS_URL",
                published.map(|it| it.map(JwtKey::Published)),
            ),
            ("JWT_PUBLIC_KEY", public.map(|it| it.map(JwtKey::Fixed))),
            ("JWT_SECRET", secret.map(|it| it.map(JwtKey::Fixed))),
        ],
    );
    let advice = "tokens are believed only from one issuer: set it to what their `iss` says";
    let issuer = reader.required("JWT_ISSUER", issuer, None, advice);
    let advice = "a token for something else must not sign in here: set it to what `aud` says";
    let audiences = reader.required("JWT_AUDIENCE", audiences, None, advice);
    let key = key?;
    let algorithms = fitting(reader, &key, algorithms?);
    Ok(Some(JwtConfig {
        key,
        issuer: issuer?,
        audiences: audiences?,
        algorithms: algorithms?,
        leeway_seconds: leeway?.unwrap_or(USUAL_LEEWAY),
    }))
}

/// The only one that is set.
fn one_key(
    reader: &mut Reader<'_>,
    all: [(&'static str, Found<JwtKey>); 3],
) -> Result<JwtKey, Noted> {
    let mut set = all
        .into_iter()
        .filter_map(|(name, found)| Some((name, found.transpose()?)));
    let Some((first, key)) = set.next() else {
        let advice = "is not set: give this one, JWT_PUBLIC_KEY or JWT_SECRET, so that signatures can be checked";
        return Err(reader.problem("JWT_JWKS_URL", advice));
    };
    if let Some((other, _)) = set.next() {
        return Err(reader.problem(other, format!("and {first} are both set: remove one")));
    }
    key
}

fn fitting(
    reader: &mut Reader<'_>,
    key: &JwtKey,
    wanted: Option<Vec<Algorithm>>,
) -> Result<Vec<Algorithm>, Noted> {
    let Some(wanted) = wanted else {
        return Ok(USUAL.into_iter().filter(|it| key.fits(*it)).collect());
    };
    match wanted.iter().find(|it| !key.fits(**it)) {
        Some(odd) => Err(reader.problem(
            "JWT_ALGORITHMS",
            format!("names {odd:?}, for which the key is not made: remove it"),
        )),
        None => Ok(wanted),
    }
}

/// Whoever can change the keys on their way can be anybody.
fn jwks_url(text: &str) -> Result<Url, Advice> {
    let url = parse::page(text)?;
    if url.scheme() != "https" && !parse::is_loopback(&url) {
        return Err("must begin with https://, except on this machine".into());
    }
    Ok(url)
}

fn public_key(text: &str) -> Result<DecodingKey, Advice> {
    // A variable often has the line breaks spelled out.
    let text = text.replace("\\n", "\n");
    let label = text
        .trim()
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.split_once("-----"))
        .map_or("", |(label, _)| label);
    if label.contains("PRIVATE") {
        return Err(
            "holds a private key, which belongs to the issuer alone: put its public key here"
                .into(),
        );
    }
    let advice = "is not a public key in PEM: write one that begins with -----BEGIN PUBLIC KEY-----, of RSA with \
                  2048 bits or more, of the curves P-256 or P-384, or of Ed25519";
    if !["PUBLIC KEY", "RSA PUBLIC KEY"].contains(&label) {
        return Err(advice.into());
    }
    let pem = text.as_bytes();
    [
        DecodingKey::from_ec_pem(pem),
        DecodingKey::from_ed_pem(pem),
        DecodingKey::from_rsa_pem(pem),
    ]
    .into_iter()
    .flatten()
    .find(|key| USUAL.iter().any(|it| fits(key, *it)) && is_long_enough(key))
    .ok_or_else(|| advice.into())
}

fn is_long_enough(key: &DecodingKey) -> bool {
    let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    key.family() != AlgorithmFamily::Rsa || length >= SHORTEST_RSA
}

fn shared_secret(text: &str) -> Result<DecodingKey, Advice> {
    if text.len() < SHORTEST_SECRET {
        return Err(format!(
            "is shorter than {SHORTEST_SECRET} bytes, and could be guessed: write what `openssl rand -hex 32` prints"
        )
        .into());
    }
    Ok(DecodingKey::from_secret(text.as_bytes()))
}

fn names(text: &str) -> Result<Vec<String>, Advice> {
    let names = text.split(',').map(|name| match name.trim() {
        "" => Err("has an empty one among several: remove the comma".into()),
        name => parse::line(name),
    });
    names.collect()
}

fn algorithms(text: &str) -> Result<Vec<Algorithm>, Advice> {
    let named = text.split(',').map(|name| {
        name.trim().parse().map_err(|_| {
            "names an algorithm that is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA \
             and HS256"
                .into()
        })
    });
    named.collect()
}
