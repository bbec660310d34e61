//! Checks which host a request is for. A request must name exactly one host, beyond doubt.
//!
//! Otherwise a proxy before us and a program behind us might each assume another host (RFC 9112, 3.2).

use std::net::Ipv6Addr;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};

/// Refuses a request without a valid host, in plain text.
pub(crate) async fn require(request: Request, next: Next) -> Response {
    match check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(message) => (StatusCode::BAD_REQUEST, format!("{message}\n")).into_response(),
    }
}

/// Checks the host of a request. A request may name it twice, in `Host` and in the address, as HTTP/2
/// and requests to proxies do. Then both names must be the same.
pub(crate) fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut lines = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let line = lines.next();
    if lines.next().is_some() {
        return Err("The request names more than one host");
    }
    let Some(host) = line else {
        // Its address has one in HTTP/2, and before HTTP/1.1 there were no others.
        let is_needed = version == Version::HTTP_11;
        return if is_needed { Err("The request names no host") } else { Ok(()) };
    };
    if !is_host(host) {
        return Err("The header Host is malformed");
    }
    let named = uri.authority().map(|authority| authority.as_str().as_bytes());
    if named.is_some_and(|named| !named.eq_ignore_ascii_case(host)) {
        return Err("The request names more than one host");
    }
    Ok(())
}

/// A name or an address as in a URL, and maybe a port (RFC 3986, 3.2.2). Empty where a request is for no
/// host in particular.
fn is_host(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let (is_name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        (is_name(name.as_bytes()), port)
    };
    let is_port = |port: &str| port.is_empty() || is_number(port);
    is_name && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_number(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() => rest,
            [byte, rest @ ..] if b"-._~!$&'()*+,;=".contains(byte) => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, uri: &'static str, hosts: &[&[u8]]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_bytes(host).unwrap());
        }
        check(version, &Uri::from_static(uri), &headers)
    }

    #[test]
    fn a_request_names_one_host() {
        const MANY: Result<(), &str> = Err("The request names more than one host");
        let one = |uri, hosts| checked(Version::HTTP_11, uri, hosts);
        assert_eq!(one("/", &[b"a.test"]), Ok(()));
        assert_eq!(one("http://a.test/", &[b"A.test"]), Ok(()));
        assert_eq!(one("/", &[b"a.test", b"b.test"]), MANY);
        assert_eq!(one("/", &[b"a.test", b"a.test"]), MANY);
        assert_eq!(one("http://b.test/", &[b"a.test"]), MANY);
        assert_eq!(one("http://b.test/", &[b"b.test", b"a.test"]), MANY);
        assert_eq!(one("http://a.test@b.test/", &[b"b.test"]), MANY);
        assert_eq!(checked(Version::HTTP_10, "/", &[b"a.test", b"a.test"]), MANY);
        assert_eq!(checked(Version::HTTP_2, "http://b.test/", &[b"a.test"]), MANY);
    }

    #[test]
    fn only_http_1_1_needs_the_header() {
        for uri in ["/", "http://a.test/"] {
            for (version, is_fine) in
                [(Version::HTTP_10, true), (Version::HTTP_11, false), (Version::HTTP_2, true)]
            {
                assert_eq!(checked(version, uri, &[]).is_ok(), is_fine, "{version:?} {uri}");
            }
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_maybe_a_port() {
        for host in [
            "",
            ":80",
            "a.test",
            "a.test:",
            "a.test:8443",
            "A_b~c.test",
            "xn--bcher-kva.test",
            "b%C3%BCcher.test",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[::ffff:192.0.2.1]:443",
        ] {
            assert_eq!(checked(Version::HTTP_11, "/", &[host.as_bytes()]), Ok(()), "{host}");
        }
        for host in [
            "a b",
            "a.test/",
            "a.test?x",
            "a.test#x",
            "a\\b",
            "user@a.test",
            "http://a.test",
            "a.test:80:80",
            "a.test:x",
            "a.test:+80",
            "a.test:65536",
            "a%2",
            "a%zz",
            "<a>",
            "a\"b",
            "a^b",
            "bücher.test",
            "[::1",
            "[::1]x",
            "[a.test]",
            "2001:db8::1",
            "a\tb",
        ] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                let told = checked(version, "/", &[host.as_bytes()]);
                assert_eq!(told, Err("The header Host is malformed"), "{host}");
            }
        }
    }
}
