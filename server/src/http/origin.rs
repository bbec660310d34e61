//! Determines which page sends a request, and whether it may use the session cookie.
//!
//! Browsers send the cookie automatically, so the cookie alone does not prove that the user wants the
//! request. The page does prove it, if it is ours or of an origin that the operator allows. The server
//! compares origins to the letter, as browsers write them. An origin that only looks like ours is refused.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};

use crate::config::Config;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The sender of a request, as far as browsers report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A page that may use the cookie.
    TrustedPage,
    /// A page that may not.
    ForeignPage,
    /// The request names no origin: it has no browser, or its page reads from its own origin. Browsers name
    /// the origin with every socket, and with every request whose answer another origin's page could read.
    Unnamed,
}

/// The sender of the request with that address and these headers.
pub(crate) fn sender(config: &Config, uri: &Uri, headers: &HeaderMap) -> Sender {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        // A sibling's page is as foreign as any until it is allowed, and then it is named above.
        return match text(headers, SEC_FETCH_SITE) {
            Some("cross-site" | "same-site") => Sender::ForeignPage,
            _ => Sender::Unnamed,
        };
    };
    let allowed = origins.next().is_none()
        && origin.to_str().is_ok_and(|origin| {
            config.allowed_origins.iter().any(|allowed| allowed == origin)
                || own(config, uri, headers).is_some_and(|own| own == origin)
        });
    if allowed { Sender::TrustedPage } else { Sender::ForeignPage }
}

/// This server's own origin, as a browser that sent the request writes it. HTTP/2 has the host in
/// the address.
fn own(config: &Config, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(headers, HOST))?;
    let (scheme, port) = if config.is_https() { ("https", ":443") } else { ("http", ":80") };
    // Some proxies name the port that browsers leave out.
    let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    Some(format!("{scheme}://{host}"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use http::HeaderValue;

    use super::*;

    const HOST_NAME: &str = "dash.example.org:8443";

    fn config(https: bool) -> Config {
        let mut config = Config::parse_from(["dashboard-server"]);
        config.allowed_origins = vec!["https://app.example.org".to_owned()];
        config.behind_proxy = https;
        config.tls_cert = None;
        config
    }

    fn by(https: bool, uri: &'static str, headers: &[(&'static str, &str)]) -> Sender {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        sender(&config(https), &Uri::from_static(uri), &map)
    }

    #[test]
    fn origins_are_compared_to_the_letter() {
        let cases = [
            ("https://dash.example.org:8443", Sender::TrustedPage),
            ("https://app.example.org", Sender::TrustedPage),
            ("http://dash.example.org:8443", Sender::ForeignPage),
            ("https://dash.example.org", Sender::ForeignPage),
            ("https://dash.example.org:8444", Sender::ForeignPage),
            ("https://DASH.example.org:8443", Sender::ForeignPage),
            ("https://app.example.org:443", Sender::ForeignPage),
            ("https://app.example.org.evil.test", Sender::ForeignPage),
            ("https://evil-app.example.org", Sender::ForeignPage),
            ("https://app.example.org/", Sender::ForeignPage),
            ("HTTPS://app.example.org", Sender::ForeignPage),
            ("http://app.example.org", Sender::ForeignPage),
            ("https://app.example.org https://evil.test", Sender::ForeignPage),
            ("null", Sender::ForeignPage),
            ("", Sender::ForeignPage),
            ("*", Sender::ForeignPage),
        ];
        for (origin, expected) in cases {
            let got = by(true, "/", &[("host", HOST_NAME), ("origin", origin)]);
            assert_eq!(got, expected, "{origin}");
        }
        // Two say nothing.
        let app = ("origin", "https://app.example.org");
        assert_eq!(by(true, "/", &[("host", HOST_NAME), app, app]), Sender::ForeignPage);
    }

    #[test]
    fn the_host_is_written_in_more_than_one_way() {
        let own = ("origin", "https://dash.example.org");
        for host in ["dash.example.org", "Dash.Example.org", "dash.example.org:443"] {
            assert_eq!(by(true, "/", &[("host", host), own]), Sender::TrustedPage, "{host}");
        }
        assert_eq!(by(true, "https://dash.example.org/x", &[own]), Sender::TrustedPage);
        assert_eq!(by(true, "/", &[own]), Sender::ForeignPage);
        let plain = [("host", "127.0.0.1:9112"), ("origin", "http://127.0.0.1:9112")];
        assert_eq!(by(false, "/", &plain), Sender::TrustedPage);
    }

    #[test]
    fn without_an_origin_only_the_browser_can_tell() {
        assert_eq!(by(true, "/", &[]), Sender::Unnamed);
        for (site, expected) in [
            ("same-origin", Sender::Unnamed),
            ("none", Sender::Unnamed),
            ("same-site", Sender::ForeignPage),
            ("cross-site", Sender::ForeignPage),
        ] {
            assert_eq!(by(true, "/", &[("sec-fetch-site", site)]), expected, "{site}");
        }
    }
}
