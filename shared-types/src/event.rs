//! What the Socket.IO namespace `/dashboard` pushes (D-WS-5, D-WS-6).
//!
//! The Socket.IO event name equals the envelope's `type`, so a client knows how to read the payload
//! before it reads the envelope.

use crate::prelude::*;
use serde::{Deserialize, Serialize};

use crate::scalar::{Id, Timestamp};
use crate::tag::Revision;

/// The Socket.IO namespace (D-WS-1).
pub const NAMESPACE: &str = "/dashboard";
/// The whole message of the `CONNECT_ERROR` that refuses a client, and the `code` in its `data`
/// (D-WS-4).
pub const AUTH_FAILED: &str = "AUTH_FAILED";
/// The same for a client whose user has as many sockets as one may have: no fault of the session,
/// so it may try again later.
pub const TOO_MANY_SOCKETS: &str = "TOO_MANY_SOCKETS";
/// The `code` in the `data` of the `CONNECT_ERROR` for another namespace (D-WS-1). Its message is
/// that of the official server.
pub const INVALID_NAMESPACE: &str = "INVALID_NAMESPACE";

/// The envelope around every event (D-WS-5), with one addition: `revision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
#[cfg_attr(feature = "codegen", schemars(rename = "DashboardEventOf{T}"))]
pub struct DashboardEvent<T> {
    /// Names this event; a UUID of version 7, so ids sort by time.
    pub event_id: Id,
    /// What the payload is; equals the Socket.IO event name.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "codegen", ts(type = "string"))]
    pub event_type: EventType,
    /// When the server made the event.
    pub timestamp: Timestamp,
    /// Which state of the user's data the payload shows. An event is applied only where it is
    /// newer than what is shown. The snapshot's `ETag` has the same number.
    pub revision: Revision,
    /// The section's whole new value, or the one new MOC, or the error.
    pub payload: T,
}

/// The types of event (D-WS-6, D-FR-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub enum EventType {
    /// Payload: [`DashboardSummary`](crate::DashboardSummary).
    #[serde(rename = "dashboard:summaryUpdated")]
    SummaryUpdated,
    /// Payload: one [`RecentMoc`](crate::RecentMoc), new at the head of the list (D-FR-11).
    #[serde(rename = "dashboard:recentMocAdded")]
    RecentMocAdded,
    /// Payload: the whole recent list. Sent where it changed otherwise than by a new MOC: a
    /// rename, a new status, a deletion. An addition to the PRD, without which the card goes stale.
    #[serde(rename = "dashboard:recentMocsUpdated")]
    RecentMocsUpdated,
    /// Payload: the whole list of [`PartialPartsMoc`](crate::PartialPartsMoc).
    #[serde(rename = "dashboard:partialPartsUpdated")]
    PartialPartsUpdated,
    /// Payload: the whole list of [`ThemeStats`](crate::ThemeStats).
    #[serde(rename = "dashboard:themeBreakdownUpdated")]
    ThemeBreakdownUpdated,
    /// Payload: [`ErrorEvent`].
    #[serde(rename = "dashboard:error")]
    Error,
}

impl EventType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::SummaryUpdated,
        Self::RecentMocAdded,
        Self::RecentMocsUpdated,
        Self::PartialPartsUpdated,
        Self::ThemeBreakdownUpdated,
        Self::Error,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SummaryUpdated => "dashboard:summaryUpdated",
            Self::RecentMocAdded => "dashboard:recentMocAdded",
            Self::RecentMocsUpdated => "dashboard:recentMocsUpdated",
            Self::PartialPartsUpdated => "dashboard:partialPartsUpdated",
            Self::ThemeBreakdownUpdated => "dashboard:themeBreakdownUpdated",
            Self::Error => "dashboard:error",
        }
    }

    /// The type of that name, if this version knows it (D-WS-8).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event_type| event_type.name() == name)
    }
}

/// Payload of `dashboard:error`: something that the client must know of (D-WS-6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct ErrorEvent {
    /// What happened.
    pub code: ErrorEventCode,
    /// The same for people.
    pub message: String,
    /// With [`ErrorEventCode::ServerDraining`]: how long to wait before the next attempt, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "codegen", ts(optional))]
    pub reconnect_after_ms: Option<u32>,
}

/// What a `dashboard:error` event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub enum ErrorEventCode {
    /// The session's token ran out; the server disconnects. Connect again with a fresh token.
    TokenExpired,
    /// The server cannot read the database now, or changes wait for too long to be projected: what is
    /// shown may be stale. Fetch a snapshot.
    SnapshotUnavailable,
    /// The server is about to stop; come back after `reconnectAfterMs`.
    ServerDraining,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_the_serialised_ones() {
        for event_type in EventType::ALL {
            let json = serde_json::to_value(event_type).unwrap();
            assert_eq!(json, event_type.name());
            assert_eq!(EventType::from_name(event_type.name()), Some(event_type));
        }
        assert_eq!(EventType::from_name("dashboard:somethingNew"), None);
    }
}
