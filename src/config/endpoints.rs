//! Who is told of changes: endpoints of the application's, and where they may be.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use standardwebhooks::Webhook;
use url::{Host, Url};

use super::{
    ConfigError, Mode, parse,
    reader::{Advice, Noted, Reader},
};

/// What there is to hear of.
pub const EVENTS: [&str; 6] = [
    "verification.verified",
    "verification.requires_input",
    "verification.processing",
    "verification.canceled",
    "verification.redacted",
    "user.status_changed",
];
const LONGEST_NAME: usize = 64;
/// What e-mails go by among the deliveries, so that no endpoint may.
pub const MAIL: &str = "mail";
const MOST_SECRETS: usize = 4;
/// What Standard Webhooks asks for: 24 bytes in base64.
const SHORTEST_SECRET: usize = 32;

/// An endpoint that messages are delivered to.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Its name, which our rows keep.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// What it is signed with: all of them, while they are changed.
    pub secrets: Vec<SecretString>,
    /// What it wants to hear of.
    pub events: Vec<String>,
}

/// Everybody who is told.
#[derive(Clone, Debug, Default)]
pub struct EndpointsConfig {
    /// `WEBHOOK_ENDPOINTS`, by name.
    pub all: Vec<EndpointConfig>,
    /// `WEBHOOK_ALLOWED_NETWORKS`: networks of ours that they may be in; else they are on public addresses.
    pub allowed_networks: Vec<IpNet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    url: String,
    secrets: Vec<String>,
    events: Option<Vec<String>>,
}

impl EndpointsConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let networks = reader.parsed("WEBHOOK_ALLOWED_NETWORKS", parse::networks);
        let allowed = networks.clone().ok().flatten().unwrap_or_default();
        let all = reader.document("WEBHOOK_ENDPOINTS", |text| read_endpoints(text, &allowed));
        Ok(Self {
            all: all?.unwrap_or_default(),
            allowed_networks: networks?.unwrap_or_default(),
        })
    }
}

/// `WEBHOOK_ENDPOINTS` alone.
///
/// # Errors
/// When it or `WEBHOOK_ALLOWED_NETWORKS` is not as it has to be.
pub fn endpoints(
    mode: Mode,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<EndpointsConfig, ConfigError> {
    let mut reader = Reader::new(mode, &lookup);
    let found = EndpointsConfig::read(&mut reader);
    reader.finish(found)
}

/// What is wrong is said by the endpoint's name alone: everything else may be secret.
fn read_endpoints(text: &str, allowed: &[IpNet]) -> Result<Vec<EndpointConfig>, Advice> {
    let Ok(drafts) = serde_json::from_str::<BTreeMap<String, Draft>>(text) else {
        return Err("is not a JSON object of endpoints by name, each with a url, secrets and perhaps events, such as \
                    {\"shop\": {\"url\": \"https://shop.example.com/hooks\", \"secrets\": [\"whsec_...\"]}}"
            .into());
    };
    let mut all = Vec::new();
    for (name, draft) in drafts {
        if !is_name(&name) {
            return Err(
                "holds a name that is none: up to 64 small letters, digits, - and _".into(),
            );
        }
        if name == MAIL {
            return Err(
                "names an endpoint mail, which is what e-mails go by: choose another name".into(),
            );
        }
        let wrong = |what: &str| Advice::from(format!("endpoint {name} {what}"));
        let url = url(&draft.url, allowed).map_err(&wrong)?;
        if draft.secrets.is_empty() || draft.secrets.len() > MOST_SECRETS {
            return Err(wrong(
                "needs one secret, or up to four while they are changed",
            ));
        }
        if !draft.secrets.iter().all(|secret| is_secret(secret)) {
            return Err(wrong(
                "has a secret that is none: whsec_ and 24 random bytes or more in base64",
            ));
        }
        let events = draft
            .events
            .unwrap_or_else(|| EVENTS.map(str::to_owned).to_vec());
        if events.is_empty() || !events.iter().all(|event| EVENTS.contains(&event.as_str())) {
            return Err(wrong(
                "wants events that there are not: leave them out for all, or see the README",
            ));
        }
        all.push(EndpointConfig {
            url,
            secrets: draft.secrets.into_iter().map(SecretString::from).collect(),
            events,
            name,
        });
    }
    Ok(all)
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits)
}

fn is_secret(text: &str) -> bool {
    text.strip_prefix("whsec_")
        .is_some_and(|key| key.len() >= SHORTEST_SECRET && Webhook::new(text).is_ok())
}

fn url(text: &str, allowed: &[IpNet]) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "has a url that is none")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(
            "has a url with a user, a password or a fragment: what is sent is signed, use the secret",
        );
    }
    let is_ours = |ip: IpAddr| allowed.iter().any(|net| net.contains(&ip));
    let ours = match url.host() {
        Some(Host::Ipv4(ip)) => is_ours(ip.into()),
        Some(Host::Ipv6(ip)) => is_ours(ip.into()),
        Some(Host::Domain(_)) => false,
        None => return Err("has a url without a host"),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if ours => Ok(url),
        _ => {
            Err("must have a url with https://, or one with an address in WEBHOOK_ALLOWED_NETWORKS")
        }
    }
}
