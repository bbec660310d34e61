//! Writes the sections of a view as JSON, in the form of the contract.
//!
//! By hand, because a browser has no other use for a serialiser, and the four shapes are small.
//! `tests/encode.rs` compares the result with serde's.

use crate::codec::push_escaped;
use crate::prelude::*;
use shared_types::{
    BuildStatus, CoverImageUrl, DashboardSummary, PartialPartsMoc, RecentMoc, ThemeStats,
};

use crate::reducer::View;

/// What can be written as JSON, with the names of the contract.
pub trait ToJson {
    /// Appends it to the text.
    fn write_json(&self, json: &mut String);
}

impl ToJson for View {
    fn write_json(&self, json: &mut String) {
        json.push_str("{\"summary\":");
        self.summary.write_json(json);
        json.push_str(",\"themeBreakdown\":");
        self.theme_breakdown.write_json(json);
        json.push_str(",\"recentMocs\":");
        self.recent_mocs.write_json(json);
        json.push_str(",\"partialPartsMocs\":");
        self.partial_parts_mocs.write_json(json);
        json.push('}');
    }
}

impl ToJson for DashboardSummary {
    fn write_json(&self, json: &mut String) {
        let (build, coverage) = (&self.mocs_by_build_status, &self.mocs_by_coverage_status);
        for (before, count) in [
            ("{\"totalMocs\":", self.total_mocs),
            (",\"totalWishlistItems\":", self.total_wishlist_items),
            (",\"mocsByBuildStatus\":{\"ADDED\":", build.added),
            (",\"IN_PROGRESS\":", build.in_progress),
            (",\"BUILT\":", build.built),
            ("},\"mocsByCoverageStatus\":{\"FULL_INVENTORY\":", coverage.full_inventory),
            (",\"PARTIAL_ORDERED\":", coverage.partial_ordered),
            (",\"NONE\":", coverage.none),
        ] {
            json.push_str(before);
            json.push_str(&count.to_string());
        }
        json.push_str("}}");
    }
}

// What stands between two values is written in one go, with the quotes on both sides: there are
// thousands of them in a long list.

impl ToJson for ThemeStats {
    fn write_json(&self, json: &mut String) {
        text(json, "{\"theme\":\"", self.theme.as_str());
        json.push_str("\",\"mocCount\":");
        json.push_str(&self.moc_count.to_string());
        json.push_str(",\"setCount\":");
        json.push_str(&self.set_count.to_string());
        json.push('}');
    }
}

impl ToJson for RecentMoc {
    fn write_json(&self, json: &mut String) {
        plain(json, "{\"id\":\"", self.id.as_str());
        text(json, "\",\"title\":\"", self.title.as_str());
        text(json, "\",\"theme\":\"", self.theme.as_str());
        plain(json, "\",\"buildStatus\":\"", build_status(self.build_status));
        match self.cover_image_url.as_ref().map(CoverImageUrl::as_str) {
            Some(url) => {
                text(json, "\",\"coverImageUrl\":\"", url);
                json.push('"');
            }
            None => json.push_str("\",\"coverImageUrl\":null"),
        }
        plain(json, ",\"createdAt\":\"", self.created_at.as_str());
        json.push_str("\"}");
    }
}

impl ToJson for PartialPartsMoc {
    fn write_json(&self, json: &mut String) {
        plain(json, "{\"id\":\"", self.id.as_str());
        text(json, "\",\"title\":\"", self.title.as_str());
        text(json, "\",\"theme\":\"", self.theme.as_str());
        plain(json, "\",\"buildStatus\":\"", build_status(self.build_status));
        json.push_str("\",\"coveragePercentage\":");
        json.push_str(&self.coverage_percentage.get().to_string());
        plain(json, ",\"lastUpdatedAt\":\"", self.last_updated_at.as_str());
        json.push_str("\"}");
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write_json(&self, json: &mut String) {
        json.push('[');
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            item.write_json(json);
        }
        json.push(']');
    }
}

fn text(json: &mut String, before: &str, value: &str) {
    json.push_str(before);
    push_escaped(json, value);
}

/// A text that by its type holds nothing to escape.
fn plain(json: &mut String, before: &str, value: &str) {
    json.push_str(before);
    json.push_str(value);
}

const fn build_status(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Added => "ADDED",
        BuildStatus::InProgress => "IN_PROGRESS",
        BuildStatus::Built => "BUILT",
    }
}
