//! Defines what apps see: one immutable state, and the diagnostics beside it.
//!
//! The machine has its own time line. A driver maps the machine's moments to the wall clock here,
//! so that apps get plain milliseconds since 1970.

use core::fmt;

use crate::prelude::*;
use crate::reducer::View;
use crate::time::{Clock, Moment};

/// Everything that an app shows: the view, how the connection is, and how fresh the view is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(rename_all = "camelCase"))]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct DashboardState {
    /// What to show; null until the first snapshot.
    #[cfg_attr(feature = "codegen", ts(as = "Option<shared_types::DashboardView>"))]
    pub view: Option<View>,
    /// How the connection is.
    pub status: Status,
    /// How fresh the view is.
    pub freshness: Freshness,
}

impl DashboardState {
    /// The state at that reading of the clock.
    #[must_use]
    pub fn new(publication: &Publication, clock: &Clock) -> Self {
        let at = |moment: Option<Moment>| moment.map(|moment| clock.wall(moment));
        Self {
            view: publication.view.clone(),
            status: publication.status,
            freshness: Freshness {
                source: publication.source,
                revision: publication.revision,
                as_of: at(publication.as_of),
                next_retry_at: at(publication.next_retry_at),
                attempt: publication.attempt,
                reason: publication.reason.clone(),
            },
        }
    }
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(rename = "DashboardStatus"))]
#[cfg_attr(feature = "codegen", ts(rename_all = "camelCase"))]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub enum Status {
    /// Not started.
    Idle,
    /// The socket is being opened.
    Connecting,
    /// Connected; the snapshot is on its way.
    Syncing,
    /// Snapshot plus events: the view is current.
    Live,
    /// The connection was lost; waiting to try again.
    Backoff,
    /// Five attempts failed: the view is polled. Stays until the client is live again, also while
    /// a new connection is being made, so a banner can follow this one value (D-RES-4).
    Degraded,
    /// The session is not accepted; nothing happens until the app reauthenticates (D-RES-2).
    AuthRequired,
    /// Stopped.
    Closed,
}

impl Status {
    /// The name that apps see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Syncing => "syncing",
            Self::Live => "live",
            Self::Backoff => "backoff",
            Self::Degraded => "degraded",
            Self::AuthRequired => "authRequired",
            Self::Closed => "closed",
        }
    }
}

/// How fresh the view is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(rename_all = "camelCase"))]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct Freshness {
    /// Where the view comes from.
    pub source: Source,
    /// The newest revision that any section of the view shows.
    #[cfg_attr(feature = "codegen", ts(as = "Option<shared_types::Revision>"))]
    pub revision: Option<shared_types::Revision>,
    /// When the view was last known to be the server's, in ms since 1970.
    #[cfg_attr(feature = "codegen", ts(type = "number | null"))]
    pub as_of: Option<u64>,
    /// When the next attempt for something better is due, in ms since 1970.
    #[cfg_attr(feature = "codegen", ts(type = "number | null"))]
    pub next_retry_at: Option<u64>,
    /// How many attempts have failed in a row: to connect, or, while syncing, to fetch.
    pub attempt: u32,
    /// Why the view is not live; null while it is, and while nothing has gone wrong.
    pub reason: Option<Reason>,
}

/// Where the view comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(rename = "FreshnessSource"))]
#[cfg_attr(feature = "codegen", ts(rename_all = "camelCase"))]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub enum Source {
    /// Snapshot plus events: current.
    Live,
    /// The last poll succeeded: at most about 30 s old.
    Polling,
    /// Older, by as much as `asOf` says.
    Stale,
    /// There is no view.
    None,
}

impl Source {
    /// The name that apps see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Polling => "polling",
            Self::Stale => "stale",
            Self::None => "none",
        }
    }
}

/// Why something is as it is, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(rename = "StateReason"))]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reason {
    /// For programs.
    #[cfg_attr(feature = "codegen", ts(type = "ReasonCode"))]
    pub code: Code,
    /// For people.
    pub message: String,
    /// What kind of fault it is, where the native driver can tell. Not in the JSON, which is the npm
    /// package's.
    #[cfg(not(target_arch = "wasm32"))]
    #[cfg_attr(feature = "codegen", ts(skip))]
    #[cfg_attr(feature = "json", serde(skip))]
    pub fault: Option<Fault>,
}

impl Reason {
    /// A reason with its sentence.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            #[cfg(not(target_arch = "wasm32"))]
            fault: None,
        }
    }
}

/// What kind of fault is behind [`Code::SocketFailed`] or [`Code::SnapshotFailed`]. The client
/// keeps retrying after each of them, because a network in between can cause each for a while. A
/// person has to fix one that stays.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The server's certificate is not to be trusted: of an unknown authority, or run out.
    Certificate,
    /// The server's certificate is for another name than the URL's.
    CertificateName,
    /// The server wants a certificate of the client's, or refuses the one that it was shown.
    ClientCertificate,
    /// There is no address for the URL's host.
    HostNotFound,
    /// The server knows no such path (404): the URL or the base path is another one.
    NotFound,
    /// The proxy cannot be reached, or makes no connection.
    Proxy,
    /// Nothing listens at that port.
    ConnectionRefused,
    /// Connecting took too long.
    Timeout,
    /// What answers does not speak what the URL's scheme says: `https` where there is no TLS, perhaps, or
    /// `http` where there is.
    Scheme,
}

/// An entry of the log that the app's developers read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Diagnostic {
    /// When, in ms since 1970.
    #[cfg_attr(feature = "codegen", ts(type = "number"))]
    pub at: u64,
    /// How much it matters.
    pub level: Level,
    /// For programs.
    #[cfg_attr(feature = "codegen", ts(type = "ReasonCode"))]
    pub code: Code,
    /// For people. Bears at most 500 characters of what was received, and never a token.
    pub message: String,
}

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(rename = "DiagnosticLevel"))]
#[cfg_attr(feature = "codegen", ts(rename_all = "camelCase"))]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub enum Level {
    /// Ordinary, and of interest only in a search for a fault.
    Debug,
    /// A change of state.
    Info,
    /// Something was lost, refused or skipped; the client copes.
    Warn,
    /// Only the app or a person can fix it.
    Error,
}

impl Level {
    /// The name that apps see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

macro_rules! shown_by_name {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    )+};
}

shown_by_name!(Status, Source, Level, Code);

/// As in `SOCKET_FAILED: the socket failed`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())?;
        f.write_str(": ")?;
        f.write_str(&self.message)
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What the machine publishes: a [`DashboardState`] on its own time line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// See [`DashboardState::view`].
    pub view: Option<View>,
    /// See [`DashboardState::status`].
    pub status: Status,
    /// See [`Freshness::source`].
    pub source: Source,
    /// See [`Freshness::revision`].
    pub revision: Option<shared_types::Revision>,
    /// See [`Freshness::as_of`].
    pub as_of: Option<Moment>,
    /// See [`Freshness::next_retry_at`].
    pub next_retry_at: Option<Moment>,
    /// See [`Freshness::attempt`].
    pub attempt: u32,
    /// See [`Freshness::reason`].
    pub reason: Option<Reason>,
}

impl Publication {
    /// What is published before anything has happened.
    #[must_use]
    pub fn idle() -> Self {
        Self {
            view: None,
            status: Status::Idle,
            source: Source::None,
            revision: None,
            as_of: None,
            next_retry_at: None,
            attempt: 0,
            reason: None,
        }
    }
}

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal,)+) => {
        /// Why a state changed, or what a diagnostic is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $doc] $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name that apps see.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Whether the client has given up until the app acts. All other codes are transient:
            /// the client goes on by itself (D-RES-2, D-RES-3).
            #[must_use]
            pub const fn is_terminal(self) -> bool {
                matches!(
                    self,
                    Self::AuthFailed | Self::Unauthorized | Self::Forbidden | Self::Stopped
                )
            }

            /// What it means, for the types that other languages get.
            #[cfg(feature = "codegen")]
            #[must_use]
            pub const fn docs(self) -> &'static str {
                match self {
                    $(Self::$name => $doc,)+
                }
            }
        }
    };
}

codes! {
    /// The app started the client.
    Started = "STARTED",
    /// The app stopped the client.
    Stopped = "STOPPED",
    /// The app says that the session is a new one.
    Reauthenticated = "REAUTHENTICATED",
    /// The wait is over.
    Retrying = "RETRYING",
    /// The network is back.
    Online = "ONLINE",
    /// The network is gone.
    Offline = "OFFLINE",
    /// The page is seen again.
    Visible = "VISIBLE",
    /// The app asked for fresh data.
    Refreshed = "REFRESHED",
    /// The namespace accepted us.
    Accepted = "ACCEPTED",
    /// The view is the server's.
    Synchronized = "SYNCHRONIZED",
    /// The session was refused on the socket (D-RES-2).
    AuthFailed = "AUTH_FAILED",
    /// The session was refused by REST: 401, with the server's own body.
    Unauthorized = "UNAUTHORIZED",
    /// The session may not read this dashboard: 403, with the server's own body.
    Forbidden = "FORBIDDEN",
    /// The session's token ran out.
    TokenExpired = "TOKEN_EXPIRED",
    /// The app could not give a token.
    TokenUnavailable = "TOKEN_UNAVAILABLE",
    /// The app took longer than eight seconds to give a token.
    TokenTimeout = "TOKEN_TIMEOUT",
    /// The socket could not be opened.
    SocketFailed = "SOCKET_FAILED",
    /// The socket was closed.
    SocketClosed = "SOCKET_CLOSED",
    /// The server put us out of the namespace, or closed the Engine.IO session.
    Disconnected = "DISCONNECTED",
    /// The namespace refused us, for another reason than the session.
    ConnectRefused = "CONNECT_REFUSED",
    /// Ten seconds passed without acceptance.
    ConnectTimeout = "CONNECT_TIMEOUT",
    /// The server has been silent for longer than it promised.
    HeartbeatMissed = "HEARTBEAT_MISSED",
    /// The server does not speak the protocol.
    ProtocolError = "PROTOCOL_ERROR",
    /// The server is about to stop.
    ServerDraining = "SERVER_DRAINING",
    /// The server cannot read the database.
    SnapshotUnavailable = "SNAPSHOT_UNAVAILABLE",
    /// The snapshot could not be fetched, or something between client and server answered instead.
    SnapshotFailed = "SNAPSHOT_FAILED",
    /// The snapshot took longer than ten seconds.
    SnapshotTimeout = "SNAPSHOT_TIMEOUT",
    /// The snapshot breaks the contract.
    SnapshotMalformed = "SNAPSHOT_MALFORMED",
    /// The snapshot is older than what is known, or may be one that a cache has kept.
    SnapshotStale = "SNAPSHOT_STALE",
    /// More events came during the snapshot than are kept.
    EventsOverflowed = "EVENTS_OVERFLOWED",
    /// The server's change log was rebuilt, or the session's user is another one.
    EpochChanged = "EPOCH_CHANGED",
    /// A frame is not of the protocol, and was skipped (D-RES-5).
    FrameMalformed = "FRAME_MALFORMED",
    /// An event is of a type that this version does not know, and was skipped (D-WS-8).
    EventUnknown = "EVENT_UNKNOWN",
    /// An event breaks the contract, and was skipped (D-RES-5).
    EventMalformed = "EVENT_MALFORMED",
    /// An event is not newer than what is shown, and was skipped.
    EventStale = "EVENT_STALE",
    /// An input means nothing in this state.
    InputIgnored = "INPUT_IGNORED",
    /// An answer belongs to something that was given up.
    AnswerStale = "ANSWER_STALE",
    /// The last view could not be kept, or what was kept cannot be shown.
    LastViewFailed = "LAST_VIEW_FAILED",
    /// The app's callback threw.
    CallbackFailed = "CALLBACK_FAILED",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    #[test]
    fn moments_become_dates() {
        let mut clock = Clock::new(0, 1_700_000_000_000);
        let now = clock.read(1_000, 1_700_000_001_000);
        assert_eq!(now, Moment(1_700_000_001_000));
        let mut publication = Publication::idle();
        publication.as_of = Some(Moment(1_700_000_000_400));
        publication.next_retry_at = Some(now + Millis(250));
        let state = DashboardState::new(&publication, &clock);
        assert_eq!(state.freshness.as_of, Some(1_700_000_000_400));
        assert_eq!(state.freshness.next_retry_at, Some(1_700_000_001_250));
    }

    #[test]
    fn codes_have_names_of_their_own() {
        let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
