//! The settings that say how to speak with Stripe, and the rules that keep live and test apart.

use std::net::SocketAddr;

use secrecy::SecretString;
use url::Url;

use super::{
    parse,
    reader::{Advice, Found, Noted, Reader},
};

const STRIPE_API: &str = "https://api.stripe.com";
/// Stripe names its script after the release train; ours is the one whose API version we speak.
const STRIPE_JS: &str = "https://js.stripe.com/dahlia/stripe.js";
const STRIPE_VERIFY: &str = "https://verify.stripe.com";
const USUAL_TOLERANCE: u64 = 300;
const LONGEST_TOLERANCE: u64 = 86_400;
/// Below the 25 a second that Stripe allows in test mode and on any one endpoint.
const USUAL_RATE: u32 = 20;
/// More than Stripe allows anybody who has not asked for it.
const HIGHEST_RATE: u32 = 1000;

/// What development uses where no key is set; nothing outside this machine knows them.
#[cfg(feature = "dev")]
const OURS: Option<Ours> = Some(Ours {
    secret_key: "sk_test_verigate_sandbox",
    publishable_key: "pk_test_verigate_sandbox",
    webhook_secret: "whsec_verigate_development",
});
/// A production binary has no secret that anybody knows.
#[cfg(not(feature = "dev"))]
const OURS: Option<Ours> = None;

#[derive(Clone, Copy)]
struct Ours {
    secret_key: &'static str,
    publishable_key: &'static str,
    /// Fixed, so that a delivery can be signed by hand.
    webhook_secret: &'static str,
}

/// How to speak with Stripe.
#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// `STRIPE_SECRET_KEY`.
    pub secret_key: SecretString,
    /// `STRIPE_PUBLISHABLE_KEY`.
    pub publishable_key: String,
    /// `STRIPE_WEBHOOK_SECRET`: one, or several while one is being replaced.
    pub webhook_secrets: Vec<SecretString>,
    /// `STRIPE_API_BASE`: the origin of the API.
    pub api_base: Url,
    /// `STRIPE_JS_URL`: the script that opens the modal.
    pub js_url: Url,
    /// `STRIPE_VERIFY_ORIGINS`: where the hosted pages are.
    pub verify_origins: Vec<String>,
    /// `STRIPE_WEBHOOK_TOLERANCE`: how old a signature may be.
    pub webhook_tolerance_seconds: u64,
    /// `STRIPE_CALLS_PER_SECOND`: how often a process may call the API.
    pub calls_per_second: u32,
    /// Are the keys live ones?
    pub livemode: bool,
    /// Does all of the above mean the sandbox of our own, which then has to run?
    pub is_sandbox: bool,
}

impl StripeConfig {
    /// Puts the sandbox's real port where its address has port 0.
    pub(super) fn name_port(&mut self, port: u16) {
        parse::fill_port(&mut self.api_base, port);
        parse::fill_port(&mut self.js_url, port);
        for origin in &mut self.verify_origins {
            if let Ok(mut url) = Url::parse(origin) {
                parse::fill_port(&mut url, port);
                *origin = url.origin().ascii_serialization();
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Live,
    Test,
}

/// Both keys, of one kind.
#[derive(Debug)]
pub(super) struct Keys {
    secret: SecretString,
    publishable: String,
    are_ours: bool,
}

/// `sandbox` is where development runs its own Stripe.
pub(super) fn read(
    reader: &mut Reader<'_>,
    keys: Result<Keys, Noted>,
    is_live: bool,
    sandbox: Option<SocketAddr>,
) -> Result<StripeConfig, Noted> {
    let webhook_secrets = read_webhook_secrets(reader);
    let are_ours = keys.as_ref().is_ok_and(|keys| keys.are_ours);

    let given = reader.parsed("STRIPE_API_BASE", |text| {
        ours_or_local(parse::origin(text)?, is_live, |url| {
            url.origin().ascii_serialization() == STRIPE_API
        })
    });
    let is_sandbox = are_ours && matches!(given, Ok(None));
    let usual = if is_sandbox {
        sandbox.map(|address| format!("http://{address}"))
    } else {
        Some(STRIPE_API.to_owned())
    };
    let api_base = match (given, usual) {
        (Ok(Some(url)), _) => Ok(url),
        (Ok(None), Some(usual)) => Url::parse(&usual).map_err(|_| Noted),
        (Err(Noted), _) | (Ok(None), None) => Err(Noted),
    };
    // Script and pages come from where the API is, unless they are named.
    let local = api_base.as_ref().ok().filter(|url| parse::is_loopback(url));
    if are_ours && api_base.is_ok() && local.is_none() {
        let advice = "is not set: Stripe itself knows only test keys of your own";
        reader.problem("STRIPE_SECRET_KEY", advice);
    }
    let js_url = read_js_url(reader, is_live, local);
    let verify_origins = read_verify_origins(reader, is_live, local);
    let tolerance = reader.parsed("STRIPE_WEBHOOK_TOLERANCE", |text| {
        parse::seconds(text, 1..=LONGEST_TOLERANCE)
    });
    let rate = reader.parsed("STRIPE_CALLS_PER_SECOND", rate);
    let keys = keys?;
    Ok(StripeConfig {
        secret_key: keys.secret,
        publishable_key: keys.publishable,
        webhook_secrets: webhook_secrets?,
        api_base: api_base?,
        js_url: js_url?,
        verify_origins: verify_origins?,
        webhook_tolerance_seconds: tolerance?.unwrap_or(USUAL_TOLERANCE),
        calls_per_second: rate?.unwrap_or(USUAL_RATE),
        livemode: is_live,
        is_sandbox,
    })
}

/// Reads both keys, and says whether any of them is live, even when they cannot be used.
pub(super) fn read_keys(reader: &mut Reader<'_>) -> (Result<Keys, Noted>, bool) {
    let is_dev = reader.mode().is_dev();
    let secret = reader.secret("STRIPE_SECRET_KEY", |text| {
        let kind = refuse_live(secret_kind(text)?, is_dev)?;
        Ok((SecretString::from(text), kind))
    });
    let publishable = reader.parsed("STRIPE_PUBLISHABLE_KEY", |text| {
        let kind = refuse_live(publishable_kind(text)?, is_dev)?;
        Ok((text.to_owned(), kind))
    });
    // Without any key development uses its own; with one it needs both, like production.
    let are_ours = is_dev && matches!((&secret, &publishable), (Ok(None), Ok(None)));
    let advice = "copy it from https://dashboard.stripe.com/apikeys";
    let all_ours = OURS.filter(|_| are_ours);
    let ours = all_ours.map(|ours| (SecretString::from(ours.secret_key), Kind::Test));
    let secret = reader.required("STRIPE_SECRET_KEY", secret, ours, advice);
    let ours = all_ours.map(|ours| (ours.publishable_key.to_owned(), Kind::Test));
    let publishable = reader.required("STRIPE_PUBLISHABLE_KEY", publishable, ours, advice);

    let is_live =
        matches!(&secret, Ok((_, Kind::Live))) || matches!(&publishable, Ok((_, Kind::Live)));
    let keys = match (secret, publishable) {
        (Ok((secret, kind)), Ok((publishable, same))) if kind == same => Ok(Keys {
            secret,
            publishable,
            are_ours,
        }),
        (Ok(_), Ok(_)) => Err(reader.problem(
            "STRIPE_PUBLISHABLE_KEY",
            "and STRIPE_SECRET_KEY must both be live or both be test keys, and one is not like the other",
        )),
        _ => Err(Noted),
    };
    (keys, is_live)
}

/// The mode of the secret key, if one is set.
pub(super) fn read_livemode(reader: &mut Reader<'_>) -> Found<bool> {
    reader.secret("STRIPE_SECRET_KEY", |text| {
        Ok(secret_kind(text)? == Kind::Live)
    })
}

fn rate(text: &str) -> Result<u32, Advice> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=HIGHEST_RATE).contains(number))
        .ok_or_else(|| format!("is not a number from 1 to {HIGHEST_RATE}").into())
}

fn secret_kind(text: &str) -> Result<Kind, Advice> {
    kind(text, &["sk", "rk"]).ok_or_else(|| {
        "is not a secret key of Stripe's: those begin with sk_live_, rk_live_, sk_test_ or rk_test_".into()
    })
}

fn publishable_kind(text: &str) -> Result<Kind, Advice> {
    if kind(text, &["sk", "rk"]).is_some() {
        return Err(
            "holds a secret key, which every visitor would be shown: put the publishable one here"
                .into(),
        );
    }
    kind(text, &["pk"]).ok_or_else(|| {
        "is not a publishable key of Stripe's: those begin with pk_live_ or pk_test_".into()
    })
}

fn kind(key: &str, prefixes: &[&str]) -> Option<Kind> {
    let (prefix, rest) = key.split_once('_')?;
    let (kind, rest) = rest.split_once('_')?;
    let whole = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match kind {
        _ if !whole || !prefixes.contains(&prefix) => None,
        "live" => Some(Kind::Live),
        "test" => Some(Kind::Test),
        _ => None,
    }
}

fn refuse_live(kind: Kind, is_dev: bool) -> Result<Kind, Advice> {
    if is_dev && kind == Kind::Live {
        return Err("is a live key, and development is for test keys only: remove it, or use `verigate serve`".into());
    }
    Ok(kind)
}

fn read_webhook_secrets(reader: &mut Reader<'_>) -> Result<Vec<SecretString>, Noted> {
    let found = reader.secret("STRIPE_WEBHOOK_SECRET", |text| {
        let secrets = text.split(',').map(|secret| match secret.trim() {
            "" => Err("has an empty one among several: remove the comma".into()),
            one => match one.strip_prefix("whsec_") {
                Some(rest) if !rest.is_empty() => Ok(SecretString::from(one)),
                _ => Err("is not a signing secret of Stripe's: those begin with whsec_".into()),
            },
        });
        secrets.collect()
    });
    let ours = OURS.filter(|_| reader.mode().is_dev());
    let ours = ours.map(|ours| vec![SecretString::from(ours.webhook_secret)]);
    let advice = "copy it from your endpoint in Stripe's Dashboard, or from `stripe listen`";
    reader.required("STRIPE_WEBHOOK_SECRET", found, ours, advice)
}

/// Stripe's own address, or with test keys one of this machine's: no other may be given a key or run a script.
fn ours_or_local(
    url: Url,
    is_live: bool,
    is_stripes: impl Fn(&Url) -> bool,
) -> Result<Url, Advice> {
    if is_stripes(&url) {
        return Ok(url);
    }
    if !parse::is_loopback(&url) {
        return Err("is neither Stripe's address nor one of this machine's: remove it".into());
    }
    if is_live {
        return Err("is not Stripe's address, and the keys are live: remove it".into());
    }
    Ok(url)
}

fn read_js_url(reader: &mut Reader<'_>, is_live: bool, local: Option<&Url>) -> Result<Url, Noted> {
    let given = reader.parsed("STRIPE_JS_URL", |text| {
        ours_or_local(parse::page(text)?, is_live, |url| {
            url.origin().ascii_serialization() == "https://js.stripe.com"
        })
    });
    let usual = match local {
        Some(local) => local.join("stripe.js"),
        None => Url::parse(STRIPE_JS),
    };
    match given? {
        Some(url) => Ok(url),
        None => usual.map_err(|_| Noted),
    }
}

fn read_verify_origins(
    reader: &mut Reader<'_>,
    is_live: bool,
    local: Option<&Url>,
) -> Result<Vec<String>, Noted> {
    let given = reader.parsed("STRIPE_VERIFY_ORIGINS", |text| {
        let origins = text.split(',').map(|origin| {
            let url = ours_or_local(parse::origin(origin.trim())?, is_live, |url| {
                url.scheme() == "https"
                    && url
                        .host_str()
                        .is_some_and(|host| host == "stripe.com" || host.ends_with(".stripe.com"))
            })?;
            Ok(url.origin().ascii_serialization())
        });
        origins.collect()
    });
    let usual = match local {
        Some(local) => local.origin().ascii_serialization(),
        None => STRIPE_VERIFY.to_owned(),
    };
    Ok(given?.unwrap_or_else(|| vec![usual]))
}
