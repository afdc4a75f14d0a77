//! Where a request comes from: the other end of its connection, or what our own proxies say of it.
//!
//! Anybody can write `X-Forwarded-For`. Each proxy adds the address it was called from on the right, so the list is read
//! from there, and only as far as those who wrote it are trusted.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;

/// The other end of the connection; noted by whoever accepts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies(Arc<Trust>);

#[derive(Debug)]
struct Trust {
    networks: Box<[IpNet]>,
    /// Somebody was told that nobody is trusted.
    told: AtomicBool,
}

/// The address the person is at, as far as it can be known. Personal data: it stays out of logs and tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

const FORWARDED_FOR: &str = "x-forwarded-for";
/// More proxies than anybody has in a row.
const MOST_HOPS: usize = 16;

impl TrustedProxies {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(Arc::new(Trust {
            networks: networks.into(),
            told: AtomicBool::new(false),
        }))
    }

    /// Behind a proxy that is not named here everybody is at one address, and shares what one address may have.
    fn tell_once(&self, headers: &HeaderMap) {
        let forwarded = self.0.networks.is_empty() && headers.contains_key(FORWARDED_FOR);
        if forwarded && !self.0.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request says that it was forwarded, and no proxy is trusted: if one stands before this server, name it \
                 in TRUSTED_PROXIES, else everybody counts as one address"
            );
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0
            .networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The nearest address that nobody of ours vouches for. Where one of ours hands on what is no address, nothing
    /// further is known, and the request counts as its own.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut known = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        // A line that is no text hides whatever stands left of it.
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        for hop in hops.take(MOST_HOPS) {
            if !self.trusts(known) {
                break;
            }
            let Some(address) = address(hop.trim()) else {
                break;
            };
            known = address;
        }
        known
    }
}

/// Some proxies add the port, and IPv6 then stands in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().map(IpAddr::V6).ok(),
        None => text
            .parse()
            .or_else(|_| text.parse().map(|at: SocketAddr| at.ip()))
            .ok(),
    };
    address.map(|address| address.to_canonical())
}

impl std::fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "ClientAddress(known)",
            None => "ClientAddress(unknown)",
        })
    }
}

impl<S> FromRequestParts<S> for ClientAddress
where
    TrustedProxies: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>();
        let proxies = TrustedProxies::from_ref(state);
        proxies.tell_once(&parts.headers);
        Ok(Self(peer.map(|Peer(peer)| {
            proxies.client(peer.ip(), &parts.headers)
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "2001:db8:5::/48", "192.0.2.10/32"];

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let networks: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let headers = lines.iter().fold(HeaderMap::new(), |mut all, line| {
            let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            all.append(FORWARDED_FOR, value);
            all
        });
        let proxies = TrustedProxies::new(&networks);
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn without_trusted_proxies_nothing_but_the_connection_counts() {
        for spoof in [
            "1.2.3.4",
            "127.0.0.1",
            "10.0.0.1",
            "1.2.3.4, 5.6.7.8",
            "[::1]",
            "",
            "unknown",
        ] {
            assert_eq!(client(&[], "203.0.113.9", &[spoof]), "203.0.113.9");
            // Nor does it from somebody who only is not one of them.
            assert_eq!(client(&PROXIES, "203.0.113.9", &[spoof]), "203.0.113.9");
        }
    }

    #[test]
    fn what_our_proxies_saw_counts_and_what_they_were_told_does_not() {
        for (lines, seen) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["2001:db8:9::1"], "2001:db8:9::1"),
            (&["[2001:db8:9::1]"], "2001:db8:9::1"),
            (&["[2001:db8:9::1]:443"], "2001:db8:9::1"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            (&["  198.51.100.7\t"], "198.51.100.7"),
            // The client wrote the first itself.
            (&["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
            (&["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
            (&["10.9.9.9, 198.51.100.7"], "198.51.100.7"),
            (&["nonsense, 198.51.100.7"], "198.51.100.7"),
            (&["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
            // Through two proxies of ours.
            (&["198.51.100.7, 10.1.1.1"], "198.51.100.7"),
            (&["198.51.100.7", "10.1.1.1"], "198.51.100.7"),
            (
                &["1.2.3.4, 198.51.100.7, 192.0.2.10, 10.1.1.1"],
                "198.51.100.7",
            ),
            (&["1.2.3.4, 198.51.100.7, 2001:db8:5::9"], "198.51.100.7"),
            (&["198.51.100.7, ::ffff:10.1.1.1"], "198.51.100.7"),
        ] {
            assert_eq!(client(&PROXIES, "10.0.0.1", lines), seen, "{lines:?}");
            assert_eq!(client(&PROXIES, "::ffff:10.0.0.1", lines), seen);
        }
    }

    #[test]
    fn behind_what_is_no_address_nothing_is_looked_for() {
        for lines in [
            &[][..],
            &[""],
            &[","],
            &["unknown"],
            &["_hidden"],
            &["1.2.3.4, unknown"],
            &["1.2.3.4,"],
            &["1.2.3.4, 999.1.1.1"],
            &["1.2.3.4, 010.1.1.1"],
            &["1.2.3.4, 0x0a000001"],
            &["1.2.3.4, 167772161"],
            &["1.2.3.4 5.6.7.8"],
            &["1.2.3.4; 5.6.7.8"],
            &["\"1.2.3.4\""],
            &["for=1.2.3.4"],
            &["1.2.3.4, [1.2.3.4]"],
            &["1.2.3.4, [::1"],
            &["1.2.3.4, fe80::1%eth0"],
            &["1.2.3.4", "ünknown"],
        ] {
            assert_eq!(client(&PROXIES, "10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_not_read_to_its_end() {
        let hops = vec!["10.0.0.2"; 10_000].join(",");
        let line = format!("1.2.3.4,{hops}");
        assert_eq!(client(&PROXIES, "10.0.0.1", &[&line]), "10.0.0.2");
    }

    #[test]
    fn an_address_is_not_printed() {
        let address = ClientAddress(Some("198.51.100.7".parse().unwrap()));
        assert!(!format!("{address:?}").contains("198"));
    }
}
