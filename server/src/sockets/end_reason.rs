//! Defines the reasons why a socket ends.

use crate::sockets::frames::Violation;

/// Why a socket ends: the label of `dashboard_disconnects_total`, and the field `reason` in the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The client left the namespace.
    ClientDisconnect,
    /// The client closed the transport.
    TransportClose,
    /// The transport broke, or a closing socket took too long.
    TransportError,
    /// The same as the two before, of a client that never authenticated.
    Unauthenticated,
    /// The client never authenticated, for as long as it may take.
    AuthTimeout,
    /// The session was refused.
    Refused,
    /// The session was refused, to an address with too many refusals.
    AuthFailures,
    /// The client tried to authenticate again after a refusal.
    AuthAttempts,
    /// The session cannot be checked now.
    KeysUnavailable,
    /// The session has expired.
    TokenExpired,
    /// The client did not answer a ping.
    HeartbeatTimeout,
    /// The client reads nothing.
    SlowConsumer,
    /// The client sent what is no packet, or one that it may not send.
    ParseError,
    /// A message was too large.
    MessageSize,
    /// Messages came too fast.
    MessageRate,
    /// A WebSocket frame was malformed.
    MalformedFrame,
    /// The client polled twice at the same time.
    PollOverlap,
    /// The same request to poll came twice.
    PollRepeated,
    /// The upgrade to a WebSocket took too long.
    UpgradeTimeout,
    /// Another socket of the user took its place, because it seemed to be dead.
    Replaced,
    /// The server is about to close it.
    ServerDisconnect,
    /// The server stops.
    ServerStopping,
    /// The table of changes was made anew.
    EpochChanged,
    /// The database has lost changes that clients have seen.
    RevisionLost,
    /// A reply could not be written.
    Encoding,
    /// The socket's task panicked.
    Panic,
}

impl EndReason {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::ClientDisconnect => "client_disconnect",
            Self::TransportClose => "transport_close",
            Self::TransportError => "transport_error",
            Self::Unauthenticated => "unauthenticated",
            Self::AuthTimeout => "auth_timeout",
            Self::Refused => "refused",
            Self::AuthFailures => "auth_failures",
            Self::AuthAttempts => "auth_attempts",
            Self::KeysUnavailable => "keys_unavailable",
            Self::TokenExpired => "token_expired",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::ParseError => "parse_error",
            Self::MessageSize => "message_size",
            Self::MessageRate => "message_rate",
            Self::MalformedFrame => "malformed_frame",
            Self::PollOverlap => "poll_overlap",
            Self::PollRepeated => "poll_repeated",
            Self::UpgradeTimeout => "upgrade_timeout",
            Self::Replaced => "replaced",
            Self::ServerDisconnect => "server_disconnect",
            Self::ServerStopping => "server_stopping",
            Self::EpochChanged => "epoch_changed",
            Self::RevisionLost => "revision_lost",
            Self::Encoding => "encoding",
            Self::Panic => "panic",
        }
    }
}

impl From<Violation> for EndReason {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::MessageSize => Self::MessageSize,
            Violation::MessageRate => Self::MessageRate,
            Violation::Malformed => Self::MalformedFrame,
        }
    }
}
