//! Defines the decoder of JSON that the core gets from a driver, and the values that it returns.
//!
//! Native programs use [`json`], on `serde_json`. Browsers use [`checked`], which has a small part
//! of its size. Every decoded value has a checked type from `shared-types`, so it is valid: there
//! is no second validation to forget.

use crate::prelude::*;
use shared_types::event::AUTH_FAILED;
use shared_types::{
    DashboardSummary, DashboardView, ErrorCode, ErrorEvent, PartialPartsMoc, RecentMoc, Revision,
    SnapshotTag, ThemeStats,
};

use crate::time::Millis;

pub mod checked;
#[cfg(all(feature = "json", not(target_arch = "wasm32")))]
pub mod json;
mod tape;

/// Longest heartbeat that is believed, per part.
const LONGEST_HEARTBEAT_MS: u32 = 3_600_000;

/// Reads the JSON of the protocol.
///
/// Total: every text gives a value or an error, at any depth of nesting.
pub trait Decoder {
    /// Engine.IO's handshake object.
    ///
    /// # Errors
    ///
    /// Where the text is no JSON or breaks the contract; the same for the others.
    fn handshake(&self, json: &str) -> Result<Handshake, DecodeError>;

    /// The tag in the object of a `CONNECT`, with which the server accepts: how new its data are.
    /// None where it does not say, or says it in a way that cannot be read.
    fn acceptance(&self, json: &str) -> Option<SnapshotTag>;

    /// The object of a `CONNECT_ERROR` (D-WS-4).
    ///
    /// # Errors
    ///
    /// See [`Decoder::handshake`].
    fn refusal(&self, json: &str) -> Result<Refusal, DecodeError>;

    /// An event: the array of its name and its envelope (D-WS-5, D-WS-6). An envelope whose `type`
    /// is not the event's name is an error.
    ///
    /// # Errors
    ///
    /// See [`Decoder::handshake`].
    fn event(&self, json: &str) -> Result<Event, DecodeError>;

    /// The body of an answer to a request that has named itself.
    ///
    /// # Errors
    ///
    /// See [`Decoder::handshake`].
    fn answer(&self, json: &str) -> Result<Answer, DecodeError>;

    /// A view alone (D-API-2).
    ///
    /// # Errors
    ///
    /// See [`Decoder::handshake`].
    fn snapshot(&self, json: &str) -> Result<DashboardView, DecodeError>;

    /// The server's refusal of a session: its standard error body (D-API-7), with the code
    /// [`ErrorCode::Unauthorized`] or [`ErrorCode::Forbidden`]. A firewall or a proxy that answers
    /// in the server's place has no such body.
    ///
    /// # Errors
    ///
    /// See [`Decoder::handshake`]; also where the code is another one, or `success` is not false.
    fn rest_refusal(&self, json: &str) -> Result<RestRefusal, DecodeError>;
}

/// Where and why a JSON text breaks the contract, such as `payload.totalMocs: missing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(pub String);

/// What matters of Engine.IO's handshake. The session id is left unread: it is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// How long the server may be silent before the connection counts as lost.
    pub patience: Millis,
}

impl Handshake {
    /// From `pingInterval` and `pingTimeout`, both in ms.
    ///
    /// # Errors
    ///
    /// Where one is zero, which would cut off every connection, or over an hour, which would never
    /// notice a dead one.
    pub fn new(ping_interval: u32, ping_timeout: u32) -> Result<Self, DecodeError> {
        let believable = |ms: u32| (1..=LONGEST_HEARTBEAT_MS).contains(&ms);
        if believable(ping_interval) && believable(ping_timeout) {
            Ok(Self { patience: Millis(u64::from(ping_interval) + u64::from(ping_timeout)) })
        } else {
            Err(DecodeError("pingInterval, pingTimeout: must be 1 to 3600000 ms".to_owned()))
        }
    }
}

/// What the server says to one request for a snapshot, and to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name that the request has given itself.
    pub fresh: String,
    /// Which state of the user's data the view shows.
    pub tag: SnapshotTag,
    /// None where the client has that one.
    pub view: Option<DashboardView>,
}

/// Why REST refused us (D-API-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRefusal {
    /// [`ErrorCode::Unauthorized`] or [`ErrorCode::Forbidden`].
    pub code: ErrorCode,
    /// The name that the request has given itself. None in a refusal of another request, which a cache has kept.
    pub fresh: Option<String>,
}

/// Why the namespace refused us (D-WS-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The refusal's message.
    pub message: String,
    /// `data.code`, which some servers add.
    pub code: Option<String>,
}

impl Refusal {
    /// Whether the session was refused, rather than the connection (D-RES-2).
    #[must_use]
    pub fn is_auth_failed(&self) -> bool {
        self.message == AUTH_FAILED || self.code.as_deref() == Some(AUTH_FAILED)
    }
}

/// An event that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part of the view changed.
    Change {
        /// Which state of the user's data it shows.
        revision: Revision,
        /// What changed.
        change: Change,
    },
    /// The server has something to tell.
    Error(ErrorEvent),
    /// An event that this version does not know, by its name (D-WS-8).
    Unknown(String),
}

/// What an event changes in the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The counts, whole (D-FR-5).
    Summary(DashboardSummary),
    /// The themes, whole (D-FR-8).
    ThemeBreakdown(Vec<ThemeStats>),
    /// One more recent MOC, at the head (D-FR-11).
    RecentMocAdded(RecentMoc),
    /// The recent MOCs, whole.
    RecentMocs(Vec<RecentMoc>),
    /// The table of partial parts, whole (D-FR-17).
    PartialParts(Vec<PartialPartsMoc>),
}
