//! The wire contract of the dashboard, and nothing else.
//!
//! Use these types on both ends of every connection: the server serialises them, the client SDK
//! deserialises them, and the TypeScript, `OpenAPI` and `AsyncAPI` documents are generated from
//! them. Every constraint that a client may rely on is held by a type, so a value that
//! deserialises is a value that is valid; there is no second validation step to forget.
//!
//! - [`view`]: what `GET /api/dashboard` returns (D-API-2 to D-API-6)
//! - [`event`]: what the Socket.IO namespace pushes (D-WS-5, D-WS-6)
//! - [`error`]: the standard error body (D-API-7)
//! - [`tag`]: the revision that orders snapshots and events
//! - [`scalar`]: the checked building blocks: ids, timestamps, titles, percentages

#![cfg_attr(all(target_arch = "wasm32", not(test)), no_std)]

extern crate alloc;

pub mod error;
pub mod event;
mod prelude;
pub mod scalar;
pub mod tag;
pub mod view;

pub use error::{ErrorBody, ErrorCode, ErrorDetail};
pub use event::{DashboardEvent, ErrorEvent, ErrorEventCode, EventType};
pub use scalar::{CoverImageUrl, Id, Invalid, Percentage, Theme, Timestamp, Title};
pub use tag::{Epoch, Revision, SnapshotTag};
pub use view::{
    BuildStatus, CoverageStatus, DashboardSummary, DashboardView, MocsByBuildStatus,
    MocsByCoverageStatus, PartialPartsMoc, RecentMoc, ThemeStats,
};
