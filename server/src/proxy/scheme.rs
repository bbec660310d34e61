//! Determines whether a request came by TLS, from the headers of the proxies that ended it.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::forwarded;

/// What is answered where no proxy says anything.
const SILENCE: &str = "HTTPS is required: the proxy must set X-Forwarded-Proto: https";

/// A header in which proxies say how a request came.
struct Word {
    name: HeaderName,
    /// Whether a line of it says that it was by TLS.
    is_tls: fn(&HeaderValue) -> bool,
    /// What is answered where it does not.
    refusal: &'static str,
}

macro_rules! word {
    ($name:literal, $is_tls:expr) => {
        Word {
            name: HeaderName::from_static($name),
            is_tls: $is_tls,
            refusal: concat!("HTTPS is required: the header ", $name, " does not say so"),
        }
    };
}

/// A port is no statement, so `X-Forwarded-Port` is none of them. Who sends which: docs/operations.md.
static WORDS: [Word; 11] = [
    word!("x-forwarded-proto", names_tls),
    word!("x-forwarded-scheme", names_tls),
    word!("x-forwarded-protocol", names_tls),
    word!("x-scheme", names_tls),
    word!("x-url-scheme", names_tls),
    word!("cloudfront-forwarded-proto", names_tls),
    word!("x-forwarded-ssl", is_on),
    word!("front-end-https", is_on),
    word!("x-appengine-https", is_on),
    word!("cf-visitor", visits_by_tls),
    // Holds the certificate. Without TLS there is no such header.
    word!("x-arr-ssl", |line| !line.as_bytes().trim_ascii().is_empty()),
];

/// Requires that the proxies in front report that the request came by TLS. All their headers have to
/// report it, one or several: the server cannot know which of them to believe, and one may be the client's.
///
/// # Errors
///
/// What the client is answered, if no header says so, or one says something else.
pub(crate) fn require_tls(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut is_said = false;
    for word in &WORDS {
        for line in headers.get_all(&word.name) {
            if !(word.is_tls)(line) {
                return Err(word.refusal);
            }
            is_said = true;
        }
    }
    let refusal = "HTTPS is required: the header forwarded does not say so";
    for element in forwarded::elements(headers).ok_or(refusal)? {
        if let Some(scheme) = element.scheme {
            if !is_secure(scheme.as_bytes()) {
                return Err(refusal);
            }
            is_said = true;
        }
    }
    if is_said { Ok(()) } else { Err(SILENCE) }
}

/// What a scheme with TLS is called. Some proxies name the one of a socket where it asks for one.
fn is_secure(scheme: &[u8]) -> bool {
    is_any(scheme, &[b"https", b"wss", b"ssl"])
}

fn names_tls(line: &HeaderValue) -> bool {
    entries(line).all(is_secure)
}

fn is_on(line: &HeaderValue) -> bool {
    entries(line).all(|entry| is_any(entry, &[b"on", b"yes", b"true", b"1"]))
}

/// Cloudflare's way: `{"scheme":"https"}`.
fn visits_by_tls(line: &HeaderValue) -> bool {
    let visitor: Option<serde_json::Value> = serde_json::from_slice(line.as_bytes()).ok();
    let scheme = visitor.as_ref().and_then(|visitor| visitor.get("scheme")?.as_str());
    scheme.is_some_and(|scheme| is_secure(scheme.as_bytes()))
}

/// Each proxy may add one.
fn entries(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn is_any(text: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = &'static [(&'static str, &'static str)];

    fn told(lines: &[(&'static str, &'static str)]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        require_tls(&headers)
    }

    /// One that says TLS, one that does not, and one that is no word of it.
    const DIALECTS: [(&str, &str, &str, &str); 12] = [
        ("x-forwarded-proto", "https", "http", "on"),
        ("x-forwarded-scheme", "https", "http", "443"),
        ("x-forwarded-protocol", "ssl", "http", "tls1.3"),
        ("x-scheme", "https", "http", "https:"),
        ("x-url-scheme", "https", "http", "https/2"),
        ("cloudfront-forwarded-proto", "https", "http", "h2"),
        ("x-forwarded-ssl", "on", "off", "https"),
        ("front-end-https", "On", "Off", "https"),
        ("x-appengine-https", "on", "off", "https"),
        ("cf-visitor", r#"{"scheme":"https"}"#, r#"{"scheme":"http"}"#, "https"),
        ("x-arr-ssl", "2048|256|C=US, O=x|CN=dash.example.org", "", " "),
        ("forwarded", "for=192.0.2.1;Proto=\"https\"", "proto=http", "https"),
    ];

    #[test]
    fn each_dialect_is_understood_and_may_contradict_each_other_one() {
        for (name, secure, plain, odd) in DIALECTS {
            assert_eq!(told(&[(name, secure)]), Ok(()), "{name}");
            assert_eq!(told(&[(name, secure), (name, secure)]), Ok(()), "{name}");
            for wrong in [plain, odd] {
                let refusal = told(&[(name, wrong)]).unwrap_err();
                assert!(refusal.starts_with("HTTPS is required: "), "{refusal}");
                assert!(refusal.contains(name), "{name}: {wrong}: {refusal}");
                for (other, good, ..) in DIALECTS {
                    for lines in [[(name, wrong), (other, good)], [(other, good), (name, wrong)]] {
                        assert_eq!(told(&lines), Err(refusal), "{lines:?}");
                    }
                }
            }
        }
        let all = DIALECTS.map(|(name, secure, ..)| (name, secure));
        assert_eq!(told(&all), Ok(()));
    }

    #[test]
    fn what_is_no_statement_is_none() {
        const NONE: [Lines; 5] = [
            &[],
            &[("x-forwarded-port", "443")],
            &[("forwarded", "for=192.0.2.1;host=dash.example.org")],
            &[("forwarded", "")],
            &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-host", "https")],
        ];
        for lines in NONE {
            assert_eq!(told(lines), Err(SILENCE), "{lines:?}");
        }
    }

    #[test]
    fn tls_counts_by_the_name_of_either_scheme() {
        for secure in ["https", "wss", "HTTPS", "Wss", " https ", "https, https", "wss,https"] {
            assert_eq!(told(&[("x-forwarded-proto", secure)]), Ok(()), "{secure}");
        }
        for plain in [
            "",
            "http",
            "ws",
            "httpss",
            "https:",
            "https/wss",
            "wss;",
            "on",
            "\"wss\"",
            "https, http",
            "http, https",
            "wss,ws",
            "https,",
        ] {
            assert!(told(&[("x-forwarded-proto", plain)]).is_err(), "{plain}");
        }
        for lines in [["https", "http"], ["http", "https"], ["https", ""]] {
            assert!(told(&lines.map(|value| ("x-forwarded-proto", value))).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn of_several_elements_all_that_name_a_scheme_have_to_name_tls() {
        for (value, is_tls) in [
            ("proto=https", true),
            ("PROTO=HTTPS", true),
            ("proto=wss", true),
            ("for=a;proto=https, for=b", true),
            ("for=a, for=b;proto=\"https\"", true),
            ("proto=https, proto=https", true),
            ("proto=https, proto=http", false),
            ("proto=http, proto=https", false),
            ("proto=https;proto=https", false),
            ("proto=", false),
            ("for=\"a, proto=https", false),
            ("host=\"proto=https\"", false),
        ] {
            assert_eq!(told(&[("forwarded", value)]).is_ok(), is_tls, "{value}");
        }
    }
}
