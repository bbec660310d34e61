//! Makes the two addresses that the drivers open from the one address of the server.
//!
//! Parsers forgive much: they drop blanks, take `\` for `/`, and one reads a port that another one
//! overlooks. So this module refuses an address unless it can be read in one way only, and makes
//! both addresses from the result of one parser. The driver passes in the platform's parser: `url`
//! natively, `URL` in a browser.

use crate::codec;
use crate::prelude::*;
use core::fmt;

/// The addresses of one server. Both have the same host and the same port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The WebSocket's address (D-WS-1). Holds no token: URLs end up in access logs.
    pub socket: String,
    /// The snapshot's address (D-API-1).
    pub snapshot: String,
}

/// The options that hold an address, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOption {
    /// Where the server is.
    Url,
    /// Where below it the REST API is.
    BasePath,
}

/// An option that cannot be the server's address. Tells the option and what is right, never the
/// address, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl {
    /// Which option.
    pub option: AddressOption,
    /// What is right, as the rest of a sentence that begins with the option's name.
    pub rule: &'static str,
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.option {
            AddressOption::Url => "url ",
            AddressOption::BasePath => "base_path ",
        })?;
        f.write_str(self.rule)
    }
}

impl core::error::Error for InvalidUrl {}

impl Endpoints {
    /// The addresses below `url`, such as `https://example.org`, with the REST API at `base_path`,
    /// such as `/api`. A path in `url` is kept before both.
    ///
    /// `parse` reads a URL as the platform does, and writes it in its normal form: `http` or `https`
    /// in lower case, the host in ASCII, no port that is the scheme's own, the path percent-encoded
    /// and with a slash at least. It gives none where the text is no URL. It is asked once, and only
    /// about an address that begins with `http://` or `https://`.
    ///
    /// # Errors
    ///
    /// Where `url` is not plainly `http` or `https` with a host and, if any, a port that can be
    /// connected to; where it has a user name, a query or a fragment, because those are where
    /// secrets hide; and where a path could be read in two ways.
    pub fn new(
        url: &str,
        base_path: &str,
        parse: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Self, InvalidUrl> {
        let invalid = |option| move |rule| InvalidUrl { option, rule };
        let web = server(url, parse).map_err(invalid(AddressOption::Url))?;
        let web = without_end(&web);
        check_base_path(base_path).map_err(invalid(AddressOption::BasePath))?;
        let base_path = without_end(base_path.strip_prefix("/").unwrap_or(base_path));
        let slash = if base_path.is_empty() { "" } else { "/" };
        // `http` becomes `ws`, and `https` becomes `wss`.
        let socket = web.strip_prefix("http").unwrap_or_default();
        Ok(Self {
            socket: ["ws", socket, codec::SOCKET_PATH].concat(),
            snapshot: [web, slash, base_path, "/dashboard"].concat(),
        })
    }
}

/// The address in its normal form, if it can be read in one way only; or what is right.
fn server(url: &str, parse: impl FnOnce(&str) -> Option<String>) -> Result<String, &'static str> {
    let (host, path) = taken_apart(url).ok_or("must begin with http:// or https://")?;
    check_characters(url)?;
    if host.bytes().any(|byte| byte == b'@') {
        return Err("must not hold a user name or a password");
    }
    check_parts(path)?;
    // A port that was forgotten; a parser takes the scheme's instead.
    let is_whole = !is_odd(host.as_bytes()) && !host.ends_with(':');
    let parsed = if is_whole { parse(url) } else { None };
    parsed
        .filter(|url| taken_apart(url).is_some_and(|(host, _)| is_connectable(host)))
        .ok_or("must have a host, and a port of 1 to 65535 or none")
}

/// The host with its port, and the path; none where the scheme is another one.
fn taken_apart(url: &str) -> Option<(&str, &str)> {
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| {
        let is_it = url.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
        url.get(scheme.len()..).filter(|_| is_it)
    })?;
    let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
    Some((rest.get(..end)?, rest.get(end..)?))
}

fn check_base_path(path: &str) -> Result<(), &'static str> {
    if path.contains("://") {
        return Err("must be a path such as /api, and not a URL");
    }
    check_characters(path)?;
    if let [b'/', b'/', ..] | [b'@' | b':', ..] = path.as_bytes() {
        return Err("must be a path such as /api");
    }
    check_parts(path)
}

/// What parsers drop or take for something else, and where an address stops being one.
fn check_characters(text: &str) -> Result<(), &'static str> {
    let is_bad = |byte| matches!(byte, 0..=b' ' | 0x7f | b'\\' | b'?' | b'#');
    if text.bytes().any(is_bad) {
        return Err("must not hold a blank, a control character, \\, ? or #");
    }
    Ok(())
}

/// Parts that parsers resolve, so that the path which is asked for is another one than was written.
fn check_parts(path: &str) -> Result<(), &'static str> {
    let path = without_end(path);
    let path = path.strip_prefix("/").unwrap_or(path).as_bytes();
    if !path.is_empty() && path.split(|byte| *byte == b'/').any(is_odd) {
        return Err("must not have a path with an empty part, . or ..");
    }
    Ok(())
}

/// Without the slashes at its end.
fn without_end(mut path: &str) -> &str {
    while let Some(rest) = path.strip_suffix("/") {
        path = rest;
    }
    path
}

/// At most two dots, each of which may be percent-encoded.
fn is_odd(mut rest: &[u8]) -> bool {
    for _ in 0..2 {
        if let [b'.', after @ ..] | [b'%', b'2', b'e' | b'E', after @ ..] = rest {
            rest = after;
        }
    }
    rest.is_empty()
}

/// Whether the parsed host is one that every later reader takes for the same: letters, digits and
/// what addresses and ports are written with. To port 0 no connection can be made.
fn is_connectable(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    host.bytes().all(is_plain) && !host.ends_with(":0")
}
