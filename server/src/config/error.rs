//! Defines the errors for configurations that the server refuses.

use std::net::SocketAddr;

/// A configuration that the server refuses to start with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Without keys every request would be refused.
    #[error(
        "no key to check sessions with: set DASHBOARD_JWT_JWKS_URL or DASHBOARD_JWT_JWKS_FILE \
         (with DASHBOARD_JWT_ISSUER and DASHBOARD_JWT_CLIENT_IDS), or DASHBOARD_JWT_HS256_SECRET \
         for development"
    )]
    NoKeys,
    /// More than one kind of key would let the weaker one speak for all.
    #[error(
        "set only one of DASHBOARD_JWT_HS256_SECRET, DASHBOARD_JWT_JWKS_URL and \
         DASHBOARD_JWT_JWKS_FILE"
    )]
    ManyKeys,
    /// RFC 7518 asks for a key as long as the hash.
    #[error("DASHBOARD_JWT_HS256_SECRET must have at least 32 bytes; try: openssl rand -hex 32")]
    WeakSecret,
    /// Published keys sign the tokens of every application of the provider.
    #[error(
        "published keys need DASHBOARD_JWT_ISSUER and DASHBOARD_JWT_CLIENT_IDS: without them any \
         application of the provider could sign in here"
    )]
    OpenIssuer,
    /// Keys that come over plain HTTP prove nothing.
    #[error("DASHBOARD_JWT_JWKS_URL must begin with https:// (http:// only for loopback)")]
    PlainJwks,
    /// D-NFR-3.
    #[error(
        "{0} is not a loopback address, and plain HTTP is served on loopback only: set \
         DASHBOARD_TLS_CERT and DASHBOARD_TLS_KEY, or DASHBOARD_BEHIND_PROXY=true if a proxy in \
         front ends TLS"
    )]
    PlainHttp(SocketAddr),
    /// One is nothing without the other.
    #[error("DASHBOARD_TLS_CERT and DASHBOARD_TLS_KEY belong together: set both or neither")]
    HalfTls,
    /// One of the two listeners would find its address taken.
    #[error(
        "DASHBOARD_BIND and DASHBOARD_ADMIN_BIND both ask for port {0}: give one of them another"
    )]
    OneAddress(u16),
    /// A prefix that no path could begin with.
    #[error("DASHBOARD_BASE_PATH must begin with / and hold only letters, digits, - _ . ~ and /")]
    BasePath,
    /// An origin is a scheme and a host, nothing else.
    #[error(
        "{text:?} in DASHBOARD_ALLOWED_ORIGINS is not an origin as browsers write it: {}",
        remedy(meant.as_deref())
    )]
    Origin {
        /// As it was written.
        text: String,
        /// What may have been meant.
        meant: Option<String>,
    },
    /// The name goes into a comparison with request headers.
    #[error("DASHBOARD_AUTH_COOKIE must be the name of a cookie")]
    Cookie,
    /// Refreshes must leave connections for snapshots.
    #[error(
        "DASHBOARD_REFRESH_CONCURRENCY ({refreshes}) must be less than \
         DASHBOARD_DATABASE_CONNECTIONS ({connections}), or snapshots would wait for refreshes"
    )]
    Concurrency {
        /// Refreshes at the same time.
        refreshes: u32,
        /// Connections in the pool.
        connections: u32,
    },
    /// A filter that would drop everything is as bad as none.
    #[error(
        "DASHBOARD_LOG is {0:?}, and must be a level (error, warn, info, debug, trace or off), or \
         parts of the program with theirs: info,dashboard_server::changes=debug"
    )]
    Log(String),
}

fn remedy(meant: Option<&str>) -> String {
    match meant {
        Some(origin) => format!("write {origin}"),
        None => "a scheme and a host, such as https://app.example.org; name each one".to_owned(),
    }
}
