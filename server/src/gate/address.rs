//! Who a stranger is, for counting: an address, or the part of it that one client cannot choose.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// An address for counting. Of IPv6 the first 64 bits: the rest is the client's own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl Address {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        })
    }
}

/// The client that our own proxies tell of: the entry of so many hops from the right, as each of
/// them adds one there.
pub(crate) fn forwarded(headers: &HeaderMap, hops: u32) -> Option<IpAddr> {
    let entries: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let entry = entries.len().checked_sub(usize::try_from(hops).ok()?)?;
    let entry = entries.get(entry)?;
    // Some proxies add the port.
    entry.parse().ok().or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn address(text: &str) -> Address {
        Address::of(text.parse().unwrap())
    }

    #[test]
    fn the_part_that_a_client_chooses_does_not_count() {
        assert_eq!(address("2001:db8:1:2:3::4"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::"), address("2001:db8:1:3::"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[test]
    fn only_what_our_own_proxies_add_is_believed() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded(&headers, 1), None);
        headers.append(FORWARDED_FOR, HeaderValue::from_static("10.9.9.9, 192.0.2.1:4711"));
        headers.append(FORWARDED_FOR, HeaderValue::from_static("[2001:db8::1]:80"));
        let found = |hops| forwarded(&headers, hops).map(|ip| ip.to_string());
        assert_eq!(found(1).as_deref(), Some("2001:db8::1"));
        assert_eq!(found(2).as_deref(), Some("192.0.2.1"));
        assert_eq!(found(3).as_deref(), Some("10.9.9.9"));
        assert_eq!(found(4), None);
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("unknown"));
        assert_eq!(forwarded(&headers, 1), None);
    }
}
