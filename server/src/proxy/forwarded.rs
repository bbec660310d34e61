//! Parses the header `Forwarded` (RFC 7239): one element for each proxy, the nearest one's last.

use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};

/// What one proxy says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// `for`: from whom it had the request. An address, or a word that hides it.
    pub(super) node: Option<String>,
    /// `proto`: by which scheme.
    pub(super) scheme: Option<String>,
}

/// The elements of all lines, in order. `None` if any of them is malformed: what is behind a quotation
/// mark that never ends could be anything.
pub(super) fn elements(headers: &HeaderMap) -> Option<Vec<Element>> {
    let lines = headers.get_all(FORWARDED).iter().map(HeaderValue::to_str);
    let lines: Vec<&str> = lines.collect::<Result<_, _>>().ok()?;
    let mut elements = Vec::new();
    for line in lines {
        for element in split(line, b',')? {
            elements.push(parse(element)?);
        }
    }
    Some(elements)
}

fn parse(element: &str) -> Option<Element> {
    let mut parsed = Element::default();
    for pair in split(element, b';')? {
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value.trim_ascii())?;
        let place = match name.trim_ascii().to_ascii_lowercase().as_str() {
            "for" => &mut parsed.node,
            "proto" => &mut parsed.scheme,
            _ => continue,
        };
        // Twice in one element is against the rules: which one is meant?
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some(parsed)
}

/// The parts between separators that are in no quotes. Empty ones are allowed, and left out.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if byte == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    let parts = parts.into_iter().map(str::trim_ascii).filter(|part| !part.is_empty());
    (!is_quoted).then(|| parts.collect())
}

/// A token as it is, or what is in quotes. Addresses with a colon belong into quotes, and are often
/// written without.
fn unquote(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.is_empty() && !value.contains('"')).then(|| value.to_owned());
    };
    let (mut text, mut rest) = (String::new(), rest.chars());
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(text),
            '\\' => text.push(rest.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> Option<Vec<(Option<String>, Option<String>)>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, HeaderValue::from_static(line));
        }
        let elements = elements(&headers)?.into_iter();
        Some(elements.map(|element| (element.node, element.scheme)).collect())
    }

    #[test]
    fn elements_are_read_as_the_standard_has_them() {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (lines, expected) in [
            (&[][..], &[][..]),
            (&["", " , "], &[]),
            (&["for=192.0.2.43"], &[("192.0.2.43", "")]),
            (&["For=\"_gazonk\""], &[("_gazonk", "")]),
            (&["For=\"[2001:db8:cafe::17]:4711\""], &[("[2001:db8:cafe::17]:4711", "")]),
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"], &[("192.0.2.60", "http")]),
            (&["for=192.0.2.43, for=198.51.100.17"], &[("192.0.2.43", ""), ("198.51.100.17", "")]),
            (&["for=a", "PROTO=\"https\" ; FOR=b,for=c"], &[("a", ""), ("b", "https"), ("c", "")]),
            // In quotes, separators separate nothing.
            (&["by=\"a,for=x;proto=http\\\",\";proto=https"], &[("", "https")]),
            (&["for=\"a\\\"b\\\\\""], &[("a\"b\\", "")]),
            // Not as the standard has it, and met all the same.
            (&["for=192.0.2.1:80;;proto=https;"], &[("192.0.2.1:80", "https")]),
            (&["for=[2001:db8::1]:80"], &[("[2001:db8::1]:80", "")]),
            (&["host=example.org"], &[("", "")]),
        ] {
            let expected = expected.iter().map(|(node, scheme)| (some(node), some(scheme)));
            assert_eq!(read(lines), Some(expected.collect()), "{lines:?}");
        }
    }

    #[test]
    fn what_is_malformed_says_nothing_at_all() {
        for lines in [
            &["https"][..],
            &["for=\"a"],
            &["for=\"a, for=192.0.2.1;proto=https"],
            &["for=\"a\"b"],
            &["for=a\"b\""],
            &["for="],
            &["for=\"a\\"],
            &["for=a;for=b"],
            &["proto=https;Proto=http"],
            &["for=192.0.2.1;proto=https", "for"],
        ] {
            assert_eq!(read(lines), None, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED, HeaderValue::from_bytes(b"for=\xe9").unwrap());
        assert_eq!(elements(&headers), None);
    }
}
