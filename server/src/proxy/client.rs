//! Determines who sent a request, from what our own proxies report.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::forwarded;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a header says of the client.
#[derive(PartialEq, Eq)]
enum Told {
    /// Nothing: the header is absent, or speaks of something else.
    Nothing,
    /// That it has no address, or none that can be read.
    Unknown,
    Client(IpAddr),
}

/// The client's address: the entry that is `hops` from the right, because each proxy adds one there. A stranger
/// may have written what stands further left.
///
/// `None` if no header names it. Also `None` where `X-Forwarded-For` and `Forwarded` name different clients:
/// a proxy that writes one of them may pass the other on, and then strangers would choose their address.
pub(crate) fn client(headers: &HeaderMap, hops: u32) -> Option<IpAddr> {
    let hops = usize::try_from(hops).ok()?;
    let told = match (listed(headers, hops), standard(headers, hops)) {
        (told, Told::Nothing) | (Told::Nothing, told) => told,
        (listed, standard) if listed == standard => listed,
        _ => Told::Unknown,
    };
    match told {
        Told::Client(address) => Some(address),
        Told::Nothing | Told::Unknown => None,
    }
}

/// The client by `X-Forwarded-For`.
fn listed(headers: &HeaderMap, hops: usize) -> Told {
    if !headers.contains_key(X_FORWARDED_FOR) {
        return Told::Nothing;
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    let entries: Vec<_> = texts.flat_map(|text| text.split(',')).map(Some).collect();
    address(&entries, hops)
}

/// The client by `Forwarded`.
fn standard(headers: &HeaderMap, hops: usize) -> Told {
    let Some(elements) = forwarded::elements(headers) else { return Told::Unknown };
    let nodes: Vec<_> = elements.iter().map(|element| element.node.as_deref()).collect();
    if nodes.iter().all(Option::is_none) { Told::Nothing } else { address(&nodes, hops) }
}

fn address(entries: &[Option<&str>], hops: usize) -> Told {
    let entry = entries.len().checked_sub(hops).and_then(|at| entries.get(at)?.as_ref());
    let address = entry.and_then(|entry| node(entry.trim_ascii()));
    address.map_or(Told::Unknown, |address| Told::Client(address.to_canonical()))
}

/// The address in `address`, `address:port`, `[address]` or `[address]:port`. None for any other name,
/// such as `unknown` or `_hidden`.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (IpAddr::V6(address.parse().ok()?), port)
    } else {
        let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (IpAddr::V4(address.parse().ok()?), port)
    };
    // A port may be hidden too.
    let is_port = |port: &str| {
        port.parse::<u16>().is_ok() || port.strip_prefix('_').is_some_and(|name| !name.is_empty())
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(address)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(lines: &[(&'static str, &'static str)], hops: u32) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        client(&headers, hops).map(|address| address.to_string())
    }

    #[test]
    fn only_what_our_own_proxies_add_is_believed() {
        let lines = [
            ("x-forwarded-for", "10.9.9.9, 192.0.2.1:4711"),
            ("x-forwarded-for", "[2001:db8::1]:80"),
        ];
        assert_eq!(found(&lines, 1).as_deref(), Some("2001:db8::1"));
        assert_eq!(found(&lines, 2).as_deref(), Some("192.0.2.1"));
        assert_eq!(found(&lines, 3).as_deref(), Some("10.9.9.9"));
        assert_eq!(found(&lines, 4), None);
        let lines = [
            ("forwarded", "for=10.9.9.9, for=\"192.0.2.1:4711\";proto=https"),
            ("forwarded", "proto=https;for=\"[2001:db8::1]:80\""),
        ];
        assert_eq!(found(&lines, 1).as_deref(), Some("2001:db8::1"));
        assert_eq!(found(&lines, 2).as_deref(), Some("192.0.2.1"));
        assert_eq!(found(&lines, 3).as_deref(), Some("10.9.9.9"));
        assert_eq!(found(&lines, 4), None);
        assert_eq!(found(&[], 1), None);
        // A proxy that names no client is a hop all the same.
        assert_eq!(found(&[("forwarded", "for=192.0.2.1, proto=https")], 1), None);
    }

    #[test]
    fn an_address_is_written_in_several_ways() {
        for (entry, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("192.0.2.1:_hidden", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]:_x", "2001:db8::1"),
        ] {
            assert_eq!(node(entry).map(|ip| ip.to_string()).as_deref(), Some(expected), "{entry}");
        }
        for entry in [
            "",
            "unknown",
            "_hidden",
            "unknown:80",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:70000",
            "192.0.2.1 80",
            "192.0.2.256",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "[::1]x",
            "example.org",
        ] {
            assert_eq!(node(entry), None, "{entry}");
        }
    }

    #[test]
    fn where_two_headers_tell_of_different_clients_neither_is_believed() {
        let listed = |value| ("x-forwarded-for", value);
        let standard = |value| ("forwarded", value);
        let both = [listed("10.9.9.9, 192.0.2.1"), standard("for=192.0.2.1")];
        assert_eq!(found(&both, 1).as_deref(), Some("192.0.2.1"));
        let mapped = [listed("::ffff:192.0.2.1"), standard("for=\"192.0.2.1:80\"")];
        assert_eq!(found(&mapped, 1).as_deref(), Some("192.0.2.1"));
        let silent = [listed("192.0.2.1"), standard("proto=https")];
        assert_eq!(found(&silent, 1).as_deref(), Some("192.0.2.1"));
        for other in ["for=192.0.2.2", "for=unknown", "for=_x", "for=192.0.2.1, for=_x", "for=\""] {
            assert_eq!(found(&[listed("192.0.2.1"), standard(other)], 1), None, "{other}");
        }
        assert_eq!(found(&[listed("unknown"), standard("for=192.0.2.1")], 1), None);
    }
}
