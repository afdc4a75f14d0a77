//! Which `Host` we answer to: our own names and nobody else's.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, header::HOST, uri::Authority},
    response::{IntoResponse, Response},
};
use url::Url;

use crate::http::{error::Error, router::PROBES};

/// The names under which this server may be called. Anything else is a stranger's name that was pointed at our
/// address, so that a page of theirs would count as same-origin with us (DNS rebinding).
#[derive(Clone, Debug)]
pub(crate) struct AllowedHosts(Arc<[String]>);

/// The names of this very machine, which no stranger's DNS can claim.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl AllowedHosts {
    /// The host of `public_url`; with `loopback` also this machine's own names. Ports are not compared: whoever can
    /// listen on another port of our host, or forwards one, is not the stranger this is about.
    pub(crate) fn new(public_url: &Url, loopback: bool) -> Self {
        let own = public_url.host_str().map(str::to_ascii_lowercase);
        let local = LOOPBACK
            .iter()
            .filter(|_| loopback)
            .map(|name| (*name).to_owned());
        Self(own.into_iter().chain(local).collect())
    }

    fn allows(&self, host: &str) -> bool {
        self.0.iter().any(|name| name == host)
    }
}

/// Refuses a request that does not call us by a name of ours.
pub(crate) async fn check_host(
    allowed: &AllowedHosts,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let named = named_host(request.headers(), request.uri());
    // Orchestrators and the container's own check ask for health by address, and a name that is an address cannot be
    // rebound.
    let is_probe = PROBES.contains(&request.uri().path());
    let may_pass = match &named {
        Some(host) => allowed.allows(host) || (is_probe && is_address(host)),
        // Plain HTTP/1.0, as some balancers ask, names nobody at all.
        None => {
            is_probe && !request.headers().contains_key(HOST) && request.uri().authority().is_none()
        }
    };
    if may_pass {
        next(request).await
    } else {
        Error::Misdirected.into_response()
    }
}

/// The host that the request names: one name, said once or twice the same, without a port. `None` when there is none,
/// or when two places disagree.
fn named_host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let mut fields = headers.get_all(HOST).iter();
    let header = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let said = header.to_str().ok().and_then(host_of)?;
    match uri.authority() {
        Some(authority) if host_of(authority.as_str())? != said => None,
        _ => Some(said),
    }
}

fn host_of(authority: &str) -> Option<String> {
    if authority.contains('@') {
        return None;
    }
    let authority: Authority = authority.parse().ok()?;
    Some(authority.host().to_ascii_lowercase()).filter(|host| !host.is_empty())
}

fn is_address(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    host == "localhost" || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: &'static [u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, axum::http::HeaderValue::from_bytes(value).unwrap());
        named_host(&headers, &Uri::from_static("/verify"))
    }

    #[test]
    fn a_host_is_compared_without_its_port_and_case() {
        assert_eq!(
            host(b"Verify.Example:8443").as_deref(),
            Some("verify.example")
        );
        assert_eq!(host(b"[::1]:4242").as_deref(), Some("[::1]"));
    }

    #[test]
    fn a_host_that_could_be_read_in_two_ways_is_none() {
        for odd in [
            &b""[..],
            b"a@localhost",
            b"localhost/x",
            b"local host",
            b"\xff",
        ] {
            assert_eq!(host(odd), None, "{}", String::from_utf8_lossy(odd));
        }
        let mut twice = HeaderMap::new();
        twice.append(HOST, "localhost".parse().unwrap());
        twice.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(named_host(&twice, &Uri::from_static("/")), None);
        assert_eq!(named_host(&HeaderMap::new(), &Uri::from_static("/")), None);
    }

    #[test]
    fn an_absolute_address_must_agree_with_the_host_header() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost:4242".parse().unwrap());
        let foreign = Uri::from_static("http://evil.example/verify");
        assert_eq!(named_host(&headers, &foreign), None);
        let own = Uri::from_static("http://localhost:4242/verify");
        assert_eq!(named_host(&headers, &own).as_deref(), Some("localhost"));
    }

    #[test]
    fn only_dev_answers_to_the_names_of_this_machine() {
        let public = Url::parse("https://Verify.example").unwrap();
        let serve = AllowedHosts::new(&public, false);
        assert!(serve.allows("verify.example"));
        assert!(!serve.allows("localhost") && !serve.allows("127.0.0.1"));
        let dev = AllowedHosts::new(&public, true);
        for name in ["verify.example", "localhost", "127.0.0.1", "[::1]"] {
            assert!(dev.allows(name), "{name}");
        }
        assert!(!dev.allows("localhost.") && !dev.allows("evil.example") && !dev.allows(""));
    }

    #[test]
    fn an_address_is_no_name() {
        assert!(is_address("10.1.2.3") && is_address("[fe80::1]") && is_address("localhost"));
        assert!(!is_address("verify.example") && !is_address("10.1.2.3.evil.example"));
    }
}
