//! Keeps messages out of networks that are not the internet: whoever can name an endpoint, or change where a name leads,
//! could otherwise make this server call whatever only it can reach.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// IANA's special-purpose registries: what no public server can have. IPv6 is public only within
/// `2000::/3`.
const SPECIAL: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Tunnels and translations, whose other end is an address of version 4.
    "2001::/23",
    "2002::/16",
    "2001:db8::/32",
    "3fff::/20",
];

/// Who knows where names lead. Nothing it says is believed to be public.
pub type NameServer =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Which addresses may be called.
#[derive(Clone)]
pub(super) struct Guard {
    special: Arc<[IpNet]>,
    allowed: Arc<[IpNet]>,
    names: NameServer,
}

/// A name leads nowhere that may be called.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name leads to no public address; list its network in WEBHOOK_ALLOWED_NETWORKS if it is yours"
)]
struct NotPublic;

/// The machine's own.
pub(super) fn system_names() -> NameServer {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    })
}

/// Did a request come to nothing because of where a name leads?
pub(super) fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Guard {
    /// Public addresses, and those of these networks.
    pub(super) fn new(allowed: &[IpNet], names: NameServer) -> Self {
        let special = SPECIAL.iter().filter_map(|net| net.parse().ok());
        Self {
            special: special.collect(),
            allowed: allowed.into(),
            names,
        }
    }

    /// Only public addresses, or ones that were allowed by name, may be called.
    pub(super) fn allows(&self, ip: IpAddr) -> bool {
        // An address of version 4 in other clothes is one of version 4.
        let ip = ip.to_canonical();
        if self.allowed.iter().any(|net| net.contains(&ip)) {
            return true;
        }
        let is_global = match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
        };
        is_global && !self.special.iter().any(|net| net.contains(&ip))
    }

    /// Names are looked at when they are resolved; an address in the URL itself never is.
    pub(super) fn allows_host_of(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.allows(ip.into()),
            Some(Host::Ipv6(ip)) => self.allows(ip.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }
}

/// What is resolved here is what is connected to, so that a second answer of the name server's changes nothing.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let mut allowed = (guard.names)(name.as_str().to_owned()).await?;
            let none_at_all = allowed.is_empty();
            allowed.retain(|it| guard.allows(it.ip()));
            if allowed.is_empty() && !none_at_all {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKS: &str = "
        127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 017700000001 0177.0.0.1 0
        0.0.0.0 0x0 10.0.0.1 10.255.255.255 012.0.0.1 167772161 172.16.0.1 172.31.255.255 192.168.0.1
        192.168.255.255 3232235521 0xc0a80001 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376
        169.254.0.1 100.64.0.1 100.127.255.255 198.18.0.1 198.19.255.255 192.0.0.1 192.0.2.1 198.51.100.1
        203.0.113.1 192.88.99.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 [::] [::1]
        [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1] [::ffff:169.254.169.254]
        [::127.0.0.1] [::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::1] [2002:7f00:1::]
        [2002:a00:1::1] [2001::1] [2001:0:53aa:64c::] [2001:db8::1] [3fff::1] [100::1] [fc00::1]
        [fd00:ec2::254] [fe80::1] [fec0::1] [ff02::1] [5f00::1] [::ffff:0:127.0.0.1] ①②⑦.0.0.1 127。0。0。1
        %31%32%37.0.0.1";

    fn guard(allowed: &[IpNet]) -> Guard {
        Guard::new(allowed, system_names())
    }

    fn host(text: &str) -> Option<Url> {
        Url::parse(&format!("https://{text}/hooks")).ok()
    }

    #[test]
    fn no_address_that_only_this_machine_can_reach_is_called() {
        let guard = guard(&[]);
        assert!(TRICKS.split_whitespace().count() >= 60);
        for trick in TRICKS.split_whitespace() {
            let refused = host(trick).is_none_or(|url| !guard.allows_host_of(&url));
            assert!(refused, "{trick}");
        }
    }

    #[test]
    fn public_addresses_are_called_and_networks_that_were_allowed() {
        let guard = guard(&["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for fine in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "[2606:4700::1111]",
            "10.1.2.3",
            "[fd12::1]",
            "[::ffff:10.1.2.3]",
        ] {
            assert!(guard.allows_host_of(&host(fine).unwrap()), "{fine}");
        }
        for other in ["10.2.0.1", "127.0.0.1", "[fc00::1]"] {
            assert!(!guard.allows_host_of(&host(other).unwrap()), "{other}");
        }
    }

    #[test]
    fn every_special_network_is_written_as_one() {
        let guard = guard(&[]);
        assert_eq!(guard.special.len(), SPECIAL.len());
        assert!(!guard.allows([127, 0, 0, 1].into()));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_resolved() {
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(guard(&[]).resolve(name()).await.is_err());
        let ours = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let found = guard(&ours).resolve(name()).await;
        assert!(found.unwrap_or_else(|error| panic!("{error}")).count() > 0);
    }
}
