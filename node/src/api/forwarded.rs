//! Who asks: the address at the other end of the connection, or the one that a proxy tells which the operator named.
//!
//! A proxy adds the address that it was asked from at the end of what it was told. So what is said is read from its end,
//! as far as it leads through proxies that were named; whatever stands before may be anybody's invention.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};

use crate::{
    config::{Proxies, ProxyHeader},
    shares::{Holder, Prefix},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who takes a share for a request that came from `peer`.
pub(super) fn holder(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> Holder {
    Holder::Address(Prefix::of_caller(caller(peer, headers, proxies)))
}

/// The last address that is no proxy's; where there is none, the last that could be read.
fn caller(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let mut caller = peer.to_canonical();
    if !proxies.contains(caller) {
        return caller;
    }
    let name = match proxies.header {
        ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
        ProxyHeader::Forwarded => header::FORWARDED,
    };
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    for hop in hops.into_iter().rev() {
        let told = match proxies.header {
            ProxyHeader::XForwardedFor => address(hop),
            ProxyHeader::Forwarded => element(hop),
        };
        let Some(told) = told else { return caller };
        caller = told;
        if !proxies.contains(caller) {
            return caller;
        }
    }
    caller
}

/// The address in one element of `Forwarded` (RFC 7239 section 4): `for="[2001:db8::1]:4711";proto=https`.
fn element(text: &str) -> Option<IpAddr> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// An address, with or without a port, in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn proxies(header: ProxyHeader) -> Proxies {
        let nets = ["127.0.0.1/32", "10.0.0.0/8", "2001:db8:aa::/48"].map(|net| net.parse().unwrap());
        Proxies { nets: nets.into(), header }
    }

    fn told(peer: &str, header: ProxyHeader, lines: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        caller(peer.parse().unwrap(), &headers, &proxies(header)).to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn only_a_named_proxy_is_believed() {
        let of = |peer, lines: &[_]| told(peer, ProxyHeader::XForwardedFor, lines);
        assert_eq!(of("192.0.2.1", &[(XFF, "203.0.113.9")]), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1", &[(XFF, "203.0.113.9")]), "192.0.2.1");
        assert_eq!(of("127.0.0.1", &[(XFF, "203.0.113.9")]), "203.0.113.9");
        assert_eq!(of("::ffff:10.2.3.4", &[(XFF, "203.0.113.9")]), "203.0.113.9");
        assert_eq!(of("127.0.0.2", &[(XFF, "203.0.113.9")]), "127.0.0.2");
        assert_eq!(of("127.0.0.1", &[]), "127.0.0.1", "the proxy itself asks");
        assert_eq!(of("127.0.0.1", &[("forwarded", "for=203.0.113.9")]), "127.0.0.1", "the other header");
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_counts() {
        let of = |lines: &[_]| told("127.0.0.1", ProxyHeader::XForwardedFor, lines);
        assert_eq!(of(&[(XFF, "198.51.100.1, 203.0.113.9, 10.1.1.1")]), "203.0.113.9");
        assert_eq!(of(&[(XFF, "198.51.100.1"), (XFF, "203.0.113.9"), (XFF, "10.1.1.1")]), "203.0.113.9");
        assert_eq!(of(&[(XFF, "10.1.1.1, 10.1.1.2")]), "10.1.1.1", "nothing but proxies");
        assert_eq!(
            of(&[(XFF, "198.51.100.1, nonsense, 10.1.1.1")]),
            "10.1.1.1",
            "no further than it can be read"
        );
        assert_eq!(of(&[(XFF, "198.51.100.1,")]), "127.0.0.1");
        assert_eq!(of(&[(XFF, "2001:db8::5")]), "2001:db8::5");
        assert_eq!(of(&[(XFF, "[2001:db8::5]:4711, 2001:db8:aa::1")]), "2001:db8::5");
        assert_eq!(of(&[(XFF, "203.0.113.9:4711")]), "203.0.113.9");
        assert_eq!(of(&[(XFF, "::ffff:10.1.1.1")]), "10.1.1.1");
    }

    #[test]
    fn forwarded_is_read_where_the_operator_says_so() {
        let of = |lines: &[_]| told("127.0.0.1", ProxyHeader::Forwarded, lines);
        assert_eq!(
            of(&[("forwarded", "for=198.51.100.1, For=203.0.113.9;proto=https;by=10.0.0.1")]),
            "203.0.113.9"
        );
        assert_eq!(of(&[("forwarded", "proto=https; for=\"[2001:db8::5]:4711\"")]), "2001:db8::5");
        assert_eq!(of(&[("forwarded", "for=198.51.100.1, for=unknown")]), "127.0.0.1");
        assert_eq!(of(&[("forwarded", "for=198.51.100.1, for=_hidden")]), "127.0.0.1");
        assert_eq!(of(&[("forwarded", "by=198.51.100.1")]), "127.0.0.1");
        assert_eq!(of(&[(XFF, "203.0.113.9")]), "127.0.0.1", "the other header may be anybody's invention");
    }
}
