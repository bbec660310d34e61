//! Converts the statements' rows into values of the contract.

use std::cmp::Reverse;

use shared_types::scalar::{THEME_MAX_UNITS, TITLE_MAX_UNITS};
use shared_types::{
    BuildStatus, CoverImageUrl, CoverageStatus, DashboardView, Epoch, PartialPartsMoc, Percentage,
    RecentMoc, Revision, SnapshotTag, Theme, ThemeStats, Title,
};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::QueryError;
use crate::clock;
use crate::source::columns::is_address;

/// The kinds of rows: their first column.
pub(super) const HEAD: i16 = 0;
const MOC_CELL: i16 = 1;
const SETS: i16 = 2;
const WISHLIST: i16 = 3;
const RECENT: i16 = 4;
const PARTIAL: i16 = 5;

pub(super) const NO_HEAD: QueryError = QueryError::Value("dashboard.meta is empty");

/// Gathers a user's rows into a view.
#[derive(Default)]
pub(super) struct Reader {
    tag: Option<SnapshotTag>,
    view: DashboardView,
    recent: Vec<(OffsetDateTime, Uuid, RecentMoc)>,
    partial: Vec<(Percentage, OffsetDateTime, Uuid, PartialPartsMoc)>,
}

impl Reader {
    /// Takes a row and tells its kind.
    pub(super) fn read(&mut self, row: &PgRow) -> Result<i16, QueryError> {
        let kind = row.try_get(0)?;
        match kind {
            HEAD => self.tag = Some(tag(row.try_get(3)?, row.try_get(1)?)?),
            MOC_CELL => self.moc_cell(row)?,
            SETS => {
                let count = count(row)?;
                self.theme(theme(row)?).set_count += count;
            }
            WISHLIST => self.view.summary.total_wishlist_items = count(row)?,
            RECENT => {
                let (id, at) = (row.try_get(2)?, instant(row)?);
                self.recent.push((at, id, recent_moc(row, id, at)?));
            }
            PARTIAL => {
                let (id, at) = (row.try_get(2)?, instant(row)?);
                let moc = partial_moc(row, id, at)?;
                self.partial.push((moc.coverage_percentage, at, id, moc));
            }
            _ => return Err(QueryError::Value("a row of unknown kind")),
        }
        Ok(kind)
    }

    /// MOCs of one theme, build status and coverage status, or of all themes where the request names none.
    fn moc_cell(&mut self, row: &PgRow) -> Result<(), QueryError> {
        let count = count(row)?;
        let summary = &mut self.view.summary;
        summary.total_mocs += count;
        let by_build = &mut summary.mocs_by_build_status;
        *match build_status(row)? {
            BuildStatus::Added => &mut by_build.added,
            BuildStatus::InProgress => &mut by_build.in_progress,
            BuildStatus::Built => &mut by_build.built,
        } += count;
        let by_coverage = &mut summary.mocs_by_coverage_status;
        *match coverage_status(row)? {
            CoverageStatus::FullInventory => &mut by_coverage.full_inventory,
            CoverageStatus::PartialOrdered => &mut by_coverage.partial_ordered,
            CoverageStatus::None => &mut by_coverage.none,
        } += count;
        if row.try_get::<Option<&str>, _>(4)?.is_some() {
            self.theme(theme(row)?).moc_count += count;
        }
        Ok(())
    }

    fn theme(&mut self, theme: Theme) -> &mut ThemeStats {
        let themes = &mut self.view.theme_breakdown;
        let place = themes.iter().position(|stats| stats.theme == theme).unwrap_or_else(|| {
            themes.push(ThemeStats { theme, moc_count: 0, set_count: 0 });
            themes.len() - 1
        });
        &mut themes[place]
    }

    /// UNION ALL promises no order, so the lists get theirs here.
    pub(super) fn finish(mut self) -> Result<(SnapshotTag, DashboardView), QueryError> {
        let tag = self.tag.ok_or(NO_HEAD)?;
        self.view
            .theme_breakdown
            .sort_by(|a, b| b.moc_count.cmp(&a.moc_count).then_with(|| a.theme.cmp(&b.theme)));
        self.recent.sort_by_key(|(at, id, _)| Reverse((*at, *id)));
        self.view.recent_mocs = self.recent.into_iter().map(|(.., moc)| moc).collect();
        self.partial.sort_by_key(|(percent, at, id, _)| (*percent, Reverse(*at), *id));
        self.view.partial_parts_mocs = self.partial.into_iter().map(|(.., moc)| moc).collect();
        Ok((tag, self.view))
    }
}

pub(super) fn tag(epoch: Option<&str>, newest: i64) -> Result<SnapshotTag, QueryError> {
    let epoch = epoch.ok_or(QueryError::Incomplete)?;
    let epoch = Epoch::try_from(epoch).map_err(|invalid| QueryError::Value(invalid.0))?;
    let newest = u64::try_from(newest).map_err(|_| QueryError::Value("a negative revision"))?;
    let revision = Revision::try_from(newest).map_err(|invalid| QueryError::Value(invalid.0))?;
    Ok(SnapshotTag { epoch, revision })
}

fn count(row: &PgRow) -> Result<u32, QueryError> {
    u32::try_from(row.try_get::<i64, _>(1)?)
        .map_err(|_| QueryError::Value("a count beyond 32 bits"))
}

fn title(row: &PgRow) -> Result<Title, QueryError> {
    let text: String = row.try_get(3)?;
    Title::try_from(cut(text, TITLE_MAX_UNITS)).map_err(|invalid| QueryError::Value(invalid.0))
}

fn theme(row: &PgRow) -> Result<Theme, QueryError> {
    let text: String = row.try_get(4)?;
    Theme::try_from(cut(text, THEME_MAX_UNITS)).map_err(|invalid| QueryError::Value(invalid.0))
}

fn build_status(row: &PgRow) -> Result<BuildStatus, QueryError> {
    match row.try_get(5)? {
        "ADDED" => Ok(BuildStatus::Added),
        "IN_PROGRESS" => Ok(BuildStatus::InProgress),
        "BUILT" => Ok(BuildStatus::Built),
        _ => Err(QueryError::Value("an unknown build status")),
    }
}

fn coverage_status(row: &PgRow) -> Result<CoverageStatus, QueryError> {
    match row.try_get(6)? {
        "FULL_INVENTORY" => Ok(CoverageStatus::FullInventory),
        "PARTIAL_ORDERED" => Ok(CoverageStatus::PartialOrdered),
        "NONE" => Ok(CoverageStatus::None),
        _ => Err(QueryError::Value("an unknown coverage status")),
    }
}

/// The text, or as much of it as the contract can express. The projector cuts by the same rule. But the row
/// may be an older one's, or the database's encoding may have other lengths.
fn cut(mut text: String, units: usize) -> String {
    // No text has more units than bytes.
    if text.len() > units {
        let mut taken = 0;
        let beyond = text.char_indices().find(|(_, letter)| {
            taken += letter.len_utf16();
            taken > units
        });
        if let Some((end, _)) = beyond {
            text.truncate(end);
        }
    }
    text
}

/// A picture, if its address is one. One that cannot be shown is no reason to show nothing at all.
fn picture(address: String) -> Option<CoverImageUrl> {
    is_address(&address).then(|| CoverImageUrl::try_from(address).ok()).flatten()
}

fn recent_moc(row: &PgRow, id: Uuid, at: OffsetDateTime) -> Result<RecentMoc, QueryError> {
    let cover: Option<String> = row.try_get(7)?;
    Ok(RecentMoc {
        id: clock::id(id),
        title: title(row)?,
        theme: theme(row)?,
        build_status: build_status(row)?,
        cover_image_url: cover.and_then(picture),
        created_at: timestamp(at)?,
    })
}

fn partial_moc(row: &PgRow, id: Uuid, at: OffsetDateTime) -> Result<PartialPartsMoc, QueryError> {
    let percent = u8::try_from(row.try_get::<i64, _>(1)?)
        .ok()
        .and_then(|percent| Percentage::try_from(percent).ok())
        .ok_or(QueryError::Value("a percentage beyond 0 to 100"))?;
    Ok(PartialPartsMoc {
        id: clock::id(id),
        title: title(row)?,
        theme: theme(row)?,
        build_status: build_status(row)?,
        coverage_percentage: percent,
        last_updated_at: timestamp(at)?,
    })
}

/// The database's dates go beyond what the contract, and [`OffsetDateTime`], can express: up to
/// `infinity`. The library's own reading panics there. So this reads what the wire carries: the
/// microseconds since the year 2000.
fn instant(row: &PgRow) -> Result<OffsetDateTime, QueryError> {
    let since = time::Duration::microseconds(row.try_get_unchecked(8)?);
    datetime!(2000-01-01 00:00 UTC).checked_add(since).ok_or(BAD_DATE)
}

const BAD_DATE: QueryError = QueryError::Value("a date beyond the year 9999");

fn timestamp(at: OffsetDateTime) -> Result<shared_types::Timestamp, QueryError> {
    clock::timestamp(at).ok_or(BAD_DATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_letters() {
        for (text, kept) in [
            ("x".repeat(200), 200),
            ("x".repeat(201), 200),
            ("é".repeat(201), 200),
            ("🧱".repeat(100), 100),
            ("🧱".repeat(150), 100),
            ("x".to_owned() + &"🧱".repeat(150), 100),
            ("x".repeat(199) + "🧱", 199),
            ("x".repeat(198) + "🧱x", 199),
        ] {
            let cut = cut(text.clone(), TITLE_MAX_UNITS);
            assert!(text.starts_with(&cut) && Title::try_from(cut.as_str()).is_ok(), "{text}");
            assert_eq!(cut.chars().count(), kept, "{text}");
        }
    }

    /// What Node's `new URL()` takes, and what it does not.
    #[test]
    fn a_picture_is_what_a_url_can_be_made_of() {
        const ADDRESSES: &str = include_str!("../../../tests/it/projector/addresses.json");
        let addresses: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(ADDRESSES).unwrap();
        for (kind, addresses) in addresses {
            for address in addresses.as_array().unwrap() {
                let address = address.as_str().unwrap();
                let is_picture = picture(address.to_owned()).is_some();
                match kind.as_str() {
                    "shown" => assert!(is_picture, "{address:?}"),
                    "refused" | "refusedLate" => assert!(!is_picture, "{address:?}"),
                    // The standard takes it. Our own rules are narrower.
                    "unusual" => assert!(is_address(address), "{address:?}"),
                    other => panic!("{other}"),
                }
            }
        }
    }
}
