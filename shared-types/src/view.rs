//! The snapshot: everything that one user's dashboard shows (D-API-2 to D-API-6).

use crate::prelude::*;
use serde::{Deserialize, Serialize};

use crate::scalar::{CoverImageUrl, Id, Percentage, Theme, Timestamp, Title};

/// How many MOCs the recent list holds at most (D-FR-9 allows 5 to 10).
pub const RECENT_MOCS_LIMIT: usize = 10;

/// Everything that one user's dashboard shows (D-API-2).
///
/// A user without data has zeros and empty lists, never absent fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct DashboardView {
    /// Counts over the whole collection (D-FR-1 to D-FR-3).
    pub summary: DashboardSummary,
    /// One entry per theme, most MOCs first, then by name (D-FR-6).
    pub theme_breakdown: Vec<ThemeStats>,
    /// The newest MOCs, newest first, at most [`RECENT_MOCS_LIMIT`] (D-FR-9).
    pub recent_mocs: Vec<RecentMoc>,
    /// Every MOC whose parts are partly covered, lowest coverage first (D-FR-14).
    pub partial_parts_mocs: Vec<PartialPartsMoc>,
}

/// Counts over the whole collection (D-API-3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct DashboardSummary {
    /// MOCs in the collection.
    pub total_mocs: u32,
    /// Things on the wishlist.
    pub total_wishlist_items: u32,
    /// MOCs per build status (D-FR-2).
    #[cfg_attr(feature = "codegen", ts(type = "Record<BuildStatus, number>"))]
    pub mocs_by_build_status: MocsByBuildStatus,
    /// MOCs per coverage status (D-FR-3).
    #[cfg_attr(feature = "codegen", ts(type = "Record<CoverageStatus, number>"))]
    pub mocs_by_coverage_status: MocsByCoverageStatus,
}

/// MOCs per build status; a key for every status, always (D-API-3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "codegen", derive(schemars::JsonSchema))]
pub struct MocsByBuildStatus {
    /// See [`BuildStatus::Added`].
    pub added: u32,
    /// See [`BuildStatus::InProgress`].
    pub in_progress: u32,
    /// See [`BuildStatus::Built`].
    pub built: u32,
}

/// MOCs per coverage status; a key for every status, always (D-API-3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "codegen", derive(schemars::JsonSchema))]
pub struct MocsByCoverageStatus {
    /// See [`CoverageStatus::FullInventory`].
    pub full_inventory: u32,
    /// See [`CoverageStatus::PartialOrdered`].
    pub partial_ordered: u32,
    /// See [`CoverageStatus::None`].
    pub none: u32,
}

/// How far the building of a MOC has come (D-DM-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub enum BuildStatus {
    /// In the collection, not begun.
    Added,
    /// Being built.
    InProgress,
    /// Complete.
    Built,
}

/// How far a MOC's parts are covered by what the user owns or has ordered (D-DM-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub enum CoverageStatus {
    /// Every part is covered, and there is at least one.
    FullInventory,
    /// Some parts are covered, not all.
    PartialOrdered,
    /// No part is covered, or the MOC has no parts list.
    None,
}

/// MOCs and sets of one theme (D-API-4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct ThemeStats {
    /// The theme's name.
    pub theme: Theme,
    /// MOCs of this theme.
    pub moc_count: u32,
    /// Owned sets of this theme.
    pub set_count: u32,
}

/// A row of the recent list (D-API-5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct RecentMoc {
    /// The MOC's id.
    pub id: Id,
    /// The MOC's title.
    pub title: Title,
    /// The MOC's theme.
    pub theme: Theme,
    /// How far its building has come.
    pub build_status: BuildStatus,
    /// Its cover picture, if it has one.
    pub cover_image_url: Option<CoverImageUrl>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A row of the table of MOCs with partly ordered parts (D-API-6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct PartialPartsMoc {
    /// The MOC's id.
    pub id: Id,
    /// The MOC's title.
    pub title: Title,
    /// The MOC's theme.
    pub theme: Theme,
    /// How far its building has come.
    pub build_status: BuildStatus,
    /// Share of its parts that is owned or ordered.
    pub coverage_percentage: Percentage,
    /// When the MOC was last updated, by its own `updated_at`; its coverage does not count.
    pub last_updated_at: Timestamp,
}
