//! Where the server is: one address makes the two that the drivers open.

use crate::codec;
use crate::prelude::*;
use core::fmt;

/// The addresses of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The WebSocket's address (D-WS-1). Bears no token: URLs end up in access logs.
    pub socket: String,
    /// The snapshot's address (D-API-1).
    pub snapshot: String,
}

/// An address that cannot be the server's; says why, never the address, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl(pub &'static str);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for InvalidUrl {}

impl Endpoints {
    /// The addresses below `url`, such as `https://example.org`, with the REST API at `base_path`,
    /// such as `/api`. A path in `url` is kept before both.
    ///
    /// # Errors
    ///
    /// Where `url` is not plainly `http` or `https` with a host, or bears a user name, a query or
    /// a fragment: those are where secrets hide.
    pub fn new(url: &str, base_path: &str) -> Result<Self, InvalidUrl> {
        let (secure, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(InvalidUrl("the server's URL must begin with http:// or https://"));
        };
        let rest = rest.trim_end_matches('/');
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() || authority.starts_with(':') {
            return Err(InvalidUrl("the server's URL has no host"));
        }
        if authority.contains('@') {
            return Err(InvalidUrl("the server's URL must not bear a user name or a password"));
        }
        let plain = |text: &str| {
            !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || b"?#\\".contains(&byte))
        };
        if !plain(rest) || !plain(base_path) {
            return Err(InvalidUrl("the server's URL must not bear a query, fragment or blank"));
        }
        let base_path = base_path.trim_matches('/');
        let slash = if base_path.is_empty() { "" } else { "/" };
        let (web_socket, web) = if secure { ("wss://", "https://") } else { ("ws://", "http://") };
        Ok(Self {
            socket: [web_socket, rest, codec::SOCKET_PATH].concat(),
            snapshot: [web, rest, slash, base_path, "/dashboard"].concat(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_makes_two() {
        let made = |url, base| {
            let endpoints = Endpoints::new(url, base).unwrap();
            (endpoints.socket, endpoints.snapshot)
        };
        assert_eq!(
            made("http://127.0.0.1:9112", "/api"),
            (
                "ws://127.0.0.1:9112/socket.io/?EIO=4&transport=websocket".to_owned(),
                "http://127.0.0.1:9112/api/dashboard".to_owned()
            )
        );
        assert_eq!(
            made("https://example.org/app/", ""),
            (
                "wss://example.org/app/socket.io/?EIO=4&transport=websocket".to_owned(),
                "https://example.org/app/dashboard".to_owned()
            )
        );
        assert_eq!(made("https://e.org", "v1/api/").1, "https://e.org/v1/api/dashboard");
    }

    #[test]
    fn addresses_with_room_for_secrets_are_refused() {
        for bad in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "http:///path",
            "http://:80",
            "https://user:secret@example.org",
            "https://example.org/?token=secret",
            "https://example.org/#a",
            "https://exa mple.org",
        ] {
            let error = Endpoints::new(bad, "/api").unwrap_err();
            assert!(!error.to_string().contains("secret"), "{bad}");
        }
        assert!(Endpoints::new("https://example.org", "/api?x").is_err());
    }
}
