//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// A request's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub address: IpAddr,
    /// From this machine and not forwarded by a proxy: a tool, a test, a neighbouring process.
    pub is_plain_loopback: bool,
}

/// The right-most address that no trusted proxy stands for; `peer` is absent for requests made inside the process.
pub(crate) fn origin(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Origin {
    let mut address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip().to_canonical());
    let forwarded = headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED);
    let is_plain_loopback = address.is_loopback() && !forwarded;
    if !forwarded || !is_trusted(address, trusted) {
        return Origin { address, is_plain_loopback };
    }
    // Each proxy adds the peer it saw at the right end; whatever stands left of a stranger is the stranger's claim.
    let hops = headers.get_all(FORWARDED_FOR).iter().rev();
    for hop in hops.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',')) {
        let Some(named) = parse(hop.trim()) else {
            break;
        };
        address = named;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    Origin { address, is_plain_loopback }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it: bare, or with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    fn headers(forwarded_for: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in forwarded_for {
            headers.append(FORWARDED_FOR, value.parse().expect("a header value"));
        }
        headers
    }

    fn address(peer: &str, forwarded_for: &[&str], trusted: &[&str]) -> String {
        let peer = SocketAddr::new(peer.parse().expect("an address"), 4711);
        origin(Some(peer), &headers(forwarded_for), &networks(trusted)).address.to_string()
    }

    #[test]
    fn a_stranger_is_where_he_connects_from_whatever_he_says() {
        assert_eq!(address("192.0.2.1", &[], &[]), "192.0.2.1");
        assert_eq!(address("192.0.2.1", &["198.51.100.9"], &[]), "192.0.2.1");
        assert_eq!(address("192.0.2.1", &["198.51.100.9"], &["10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(address("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_right_most_stranger_counts() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(address("10.0.0.1", &["198.51.100.9"], &trusted), "198.51.100.9");
        assert_eq!(address("10.0.0.1", &["1.1.1.1, 198.51.100.9, 10.0.0.2"], &trusted), "198.51.100.9");
        assert_eq!(address("10.0.0.1", &["1.1.1.1", "198.51.100.9", "10.0.0.2"], &trusted), "198.51.100.9");
        assert_eq!(address("fd00::1", &["[2001:db8::5]:443,10.0.0.2:80"], &trusted), "2001:db8::5");
        assert_eq!(address("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &trusted), "10.0.0.3");
    }

    #[test]
    fn what_cannot_be_read_ends_the_trail() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(address("10.0.0.1", &["198.51.100.9, nonsense"], &trusted), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.9, , 10.0.0.2"], &trusted), "10.0.0.2");
        assert_eq!(address("10.0.0.1", &["198.51.100.9, 한글"], &trusted), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[""], &trusted), "10.0.0.1");
    }

    #[test]
    fn loopback_is_plain_only_without_a_proxy() {
        let loopback = |peer: &str, forwarded: &[&str], trusted: &[&str]| {
            let peer = SocketAddr::new(peer.parse().expect("an address"), 4711);
            origin(Some(peer), &headers(forwarded), &networks(trusted)).is_plain_loopback
        };
        assert!(loopback("127.0.0.1", &[], &[]));
        assert!(loopback("::1", &[], &[]));
        assert!(loopback("::ffff:127.0.0.1", &[], &[]));
        assert!(!loopback("127.0.0.1", &["127.0.0.1"], &[]));
        assert!(!loopback("127.0.0.1", &["127.0.0.1"], &["127.0.0.0/8"]));
        assert!(!loopback("192.0.2.1", &[], &[]));
        assert!(origin(None, &HeaderMap::new(), &[]).is_plain_loopback);
    }
}
