//! What single values look like; pure, and silent about the value in every error.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use ipnet::IpNet;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::reader::Advice;

/// A heading that would not fit on a phone is no name.
const LONGEST_LINE: usize = 300;

/// What a Postgres address may say behind its question mark. Anything else its driver would leave out, and write into the
/// log with its value.
const CONNECTION_PARAMETERS: [&str; 16] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

pub(super) fn database_url(text: &str) -> Result<SecretString, Advice> {
    let is_known =
        |name: &str| CONNECTION_PARAMETERS.contains(&name) || name.starts_with("options[");
    match Url::parse(text) {
        Ok(url) if ["postgres", "postgresql"].contains(&url.scheme()) => {
            if url.query_pairs().all(|(name, _)| is_known(&name)) {
                Ok(text.into())
            } else {
                let known = CONNECTION_PARAMETERS.join(", ");
                Err(format!("has a parameter behind its question mark that is not one of {known}").into())
            }
        }
        _ => Err("is not a Postgres address: write postgres://user:password@host/database, with special \
                  characters of the password percent-encoded"
            .into()),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Advice> {
    text.parse().map_err(|_| {
        "is not an IP address with a port, such as 127.0.0.1:4242 or [::1]:4242".into()
    })
}

/// Scheme, host and port, and nothing else.
pub(super) fn origin(text: &str) -> Result<Url, Advice> {
    let advice = "is not an origin: write scheme, host and, if need be, port, such as https://verify.example.com";
    let url = web(text).ok_or(advice)?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if bare { Ok(url) } else { Err(advice.into()) }
}

/// A page on the web.
pub(super) fn page(text: &str) -> Result<Url, Advice> {
    web(text)
        .ok_or_else(|| "is not the address of a page: write one that begins with https://".into())
}

/// A page on the web, or an address to write to.
pub(super) fn help(text: &str) -> Result<Url, Advice> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "mailto" && url.path().contains('@') => Ok(url),
        _ => page(text),
    }
}

fn web(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none();
    let is_web = ["http", "https"].contains(&url.scheme()) && url.has_host();
    (is_web && bare).then_some(url)
}

/// Does the address lead to this machine?
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    }
}

pub(super) fn line(text: &str) -> Result<String, Advice> {
    if text.chars().count() <= LONGEST_LINE {
        Ok(text.to_owned())
    } else {
        Err(format!("is longer than {LONGEST_LINE} characters").into())
    }
}

pub(super) fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<u64, Advice> {
    text.parse()
        .ok()
        .filter(|seconds| range.contains(seconds))
        .ok_or_else(|| {
            format!(
                "is not a number of seconds from {} to {}",
                range.start(),
                range.end()
            )
            .into()
        })
}

pub(super) fn switch(text: &str) -> Result<bool, Advice> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".into()),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, Advice> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|_| {
            "is not a log filter: write a level such as info, or info,verigate=debug".into()
        })
}

/// Puts `port` where the address names port 0.
pub(super) fn fill_port(url: &mut Url, port: u16) {
    if url.port() == Some(0) {
        // Fails only for an address without a host, which none of ours is.
        let _ = url.set_port(Some(port));
    }
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, Advice> {
    let network = |one: &str| {
        let one = one.trim();
        let net = one.parse::<IpNet>();
        net.or_else(|_| one.parse::<IpAddr>().map(IpNet::from))
    };
    let all: Result<_, _> = text.split(',').map(network).collect();
    all.map_err(|_| {
        "is not a list of networks: write addresses or CIDRs such as 10.0.0.0/8,2001:db8::/32, separated by commas"
            .into()
    })
}
