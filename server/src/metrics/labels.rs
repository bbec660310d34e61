//! Defines the labels of the metrics. They are bounded: route templates instead of paths, reasons and
//! types of fixed lists, and never users.

use prometheus_client::encoding::EncodeLabelSet;

/// A request and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The HTTP method. `other` for those that nothing here uses.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// The HTTP method. `other` for those that nothing here uses.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
}

/// Why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// One of a fixed list.
    pub reason: &'static str,
}

/// A type of event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabel {
    /// The name on the wire.
    pub r#type: &'static str,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok` or `error`.
    pub result: &'static str,
}

/// What a database connection does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PoolLabel {
    /// `idle` or `used`.
    pub state: &'static str,
}

/// A limit that can be crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Connections in all.
    Connections,
    /// Connections of one address.
    ConnectionsPerAddress,
    /// Sockets in all.
    Sockets,
    /// Sockets of one user.
    SocketsPerUser,
    /// Sockets that arrive at the same time.
    ArrivingSockets,
    /// Time to authenticate.
    AuthTimeout,
    /// Attempts to authenticate on one connection: one.
    AuthAttempts,
    /// Refused sessions from one address.
    AuthFailures,
    /// Size of a message from a client.
    MessageSize,
    /// Messages from a client.
    MessageRate,
    /// Requests from one address, or snapshots for one user.
    RequestRate,
    /// Size of a request's head.
    HeaderSize,
    /// Size of a request's body.
    BodySize,
    /// Time to send a first request.
    IdleTimeout,
    /// Time for the TLS handshake.
    TlsTimeout,
    /// Time without taking anything.
    WriteStall,
}

/// A limit's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabel {
    /// One of [`Limit`].
    pub limit: &'static str,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 16] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::Sockets,
        Self::SocketsPerUser,
        Self::ArrivingSockets,
        Self::AuthTimeout,
        Self::AuthAttempts,
        Self::AuthFailures,
        Self::MessageSize,
        Self::MessageRate,
        Self::RequestRate,
        Self::HeaderSize,
        Self::BodySize,
        Self::IdleTimeout,
        Self::TlsTimeout,
        Self::WriteStall,
    ];

    /// The name in the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Sockets => "sockets",
            Self::SocketsPerUser => "sockets_per_user",
            Self::ArrivingSockets => "arriving_sockets",
            Self::AuthTimeout => "auth_timeout",
            Self::AuthAttempts => "auth_attempts",
            Self::AuthFailures => "auth_failures",
            Self::MessageSize => "message_size",
            Self::MessageRate => "message_rate",
            Self::RequestRate => "request_rate",
            Self::HeaderSize => "header_size",
            Self::BodySize => "body_size",
            Self::IdleTimeout => "idle_timeout",
            Self::TlsTimeout => "tls_timeout",
            Self::WriteStall => "write_stall",
        }
    }
}
