//! Whose address counts as one: a household gets one IPv4 address, or an IPv6 network with more addresses than any limit.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(u128);

impl Network {
    /// The network an address is of. An IPv4 address in IPv6 clothes is an IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // In its clothes again: no /64 of IPv6 looks the same, since that one's lower half is empty.
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(prefix(address)),
        }
    }

    /// For whoever makes something else of it that tells no address.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

fn prefix(address: Ipv6Addr) -> u128 {
    address.to_bits() >> 64 << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv4_address_stands_for_itself_in_whatever_clothes() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("192.0.2.1"), network("::ffff:c000:201"));
    }

    #[test]
    fn an_ipv6_address_stands_for_its_64() {
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::9"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_ne!(network("::"), network("0.0.0.0"));
    }
}
