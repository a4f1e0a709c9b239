//! Addresses that belong together: who has one of them has them all.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// The first bits of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(IpNet);

impl Prefix {
    /// One caller: an IPv4 address, or an IPv6 /64, which is the least that anybody is given (RFC 6177).
    #[must_use]
    pub fn of_caller(address: IpAddr) -> Self {
        Self::of(address, 32, 64)
    }

    /// One network: an IPv4 /24, or an IPv6 /48, which is what a site is given at most times.
    #[must_use]
    pub fn of_network(address: IpAddr) -> Self {
        Self::of(address, 24, 48)
    }

    /// So many bits of it. An IPv4 address in the clothes of IPv6 is an IPv4 address.
    fn of(address: IpAddr, v4: u8, v6: u8) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { v4 } else { v6 };
        Self(IpNet::new(address, bits).map_or_else(|_| address.into(), |net| net.trunc()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(of: fn(IpAddr) -> Prefix, address: &str) -> String {
        of(address.parse().unwrap()).to_string()
    }

    #[test]
    fn a_caller_is_an_address_or_a_64_and_a_network_a_24_or_a_48() {
        for (address, caller, network) in [
            ("192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
            ("::1", "::/64", "::/48"),
        ] {
            assert_eq!(said(Prefix::of_caller, address), caller);
            assert_eq!(said(Prefix::of_network, address), network);
        }
    }
}
