//! Makes the view from snapshots and events: decides which is newer, and what changes.
//!
//! It keeps a revision per section. An event shows one section only, so it proves nothing about the
//! others. With a single revision, an event that overtook another one would make the other look
//! old, and its section would stay stale.

use crate::prelude::*;
use alloc::sync::Arc;

use shared_types::view::RECENT_MOCS_LIMIT;
use shared_types::{
    DashboardSummary, DashboardView, PartialPartsMoc, RecentMoc, Revision, SnapshotTag, ThemeStats,
};

use crate::decode::Change;

/// What an app shows: the sections of a [`DashboardView`], each shared.
///
/// A section that did not change keeps its identity from one state to the next
/// ([`Arc::ptr_eq`]), so an app redraws only what changed. A clone of it costs nothing much; what
/// wants the plain value of the contract gets it by [`to_dashboard_view`](Self::to_dashboard_view).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Counts over the whole collection (D-FR-1 to D-FR-3).
    pub summary: Arc<DashboardSummary>,
    /// One entry per theme (D-FR-6).
    pub theme_breakdown: Arc<Vec<ThemeStats>>,
    /// The newest MOCs, newest first (D-FR-9).
    pub recent_mocs: Arc<Vec<RecentMoc>>,
    /// Every MOC whose parts are partly covered (D-FR-14).
    pub partial_parts_mocs: Arc<Vec<PartialPartsMoc>>,
}

impl View {
    /// The same as one plain value.
    #[must_use]
    pub fn to_dashboard_view(&self) -> DashboardView {
        DashboardView {
            summary: DashboardSummary::clone(&self.summary),
            theme_breakdown: Vec::clone(&self.theme_breakdown),
            recent_mocs: Vec::clone(&self.recent_mocs),
            partial_parts_mocs: Vec::clone(&self.partial_parts_mocs),
        }
    }
}

/// As a [`DashboardView`] is written.
#[cfg(feature = "json")]
impl serde::Serialize for View {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut view = serializer.serialize_struct("DashboardView", 4)?;
        view.serialize_field("summary", &*self.summary)?;
        view.serialize_field("themeBreakdown", &*self.theme_breakdown)?;
        view.serialize_field("recentMocs", &*self.recent_mocs)?;
        view.serialize_field("partialPartsMocs", &*self.partial_parts_mocs)?;
        view.end()
    }
}

impl From<DashboardView> for View {
    fn from(view: DashboardView) -> Self {
        Self {
            summary: Arc::new(view.summary),
            theme_breakdown: Arc::new(view.theme_breakdown),
            recent_mocs: Arc::new(view.recent_mocs),
            partial_parts_mocs: Arc::new(view.partial_parts_mocs),
        }
    }
}

/// A view with the revision of each of its sections.
#[derive(Clone, Debug)]
pub struct VersionedView {
    summary: Section<DashboardSummary>,
    theme_breakdown: Section<Vec<ThemeStats>>,
    recent_mocs: Section<Vec<RecentMoc>>,
    partial_parts_mocs: Section<Vec<PartialPartsMoc>>,
    tag: SnapshotTag,
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// It is shown.
    Applied,
    /// It is shown; revisions count anew, so what is shown now cannot be compared with what was.
    Replaced,
    /// It is older than a section that is shown, and was not applied.
    Older,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It is shown.
    Applied,
    /// It was not newer than its section, and was not applied.
    Stale,
    /// It was not applied either, and what is shown need not hold what it told.
    Overtaken,
}

#[derive(Clone, Debug)]
struct Section<T> {
    value: Arc<T>,
    revision: Revision,
}

impl VersionedView {
    /// What a first snapshot shows (D-FR-4).
    #[must_use]
    pub fn new(tag: SnapshotTag, view: DashboardView) -> Self {
        let revision = tag.revision;
        Self {
            summary: Section::new(view.summary, revision),
            theme_breakdown: Section::new(view.theme_breakdown, revision),
            recent_mocs: Section::new(view.recent_mocs, revision),
            partial_parts_mocs: Section::new(view.partial_parts_mocs, revision),
            tag,
        }
    }

    /// What a first snapshot shows in the place of a view that had no authority: sections that
    /// are equal keep their identity.
    #[must_use]
    pub fn in_place_of(last: View, tag: SnapshotTag, view: DashboardView) -> Self {
        let revision = tag.revision;
        let mut shown = Self {
            summary: Section { value: last.summary, revision },
            theme_breakdown: Section { value: last.theme_breakdown, revision },
            recent_mocs: Section { value: last.recent_mocs, revision },
            partial_parts_mocs: Section { value: last.partial_parts_mocs, revision },
            tag: tag.clone(),
        };
        shown.replace(tag, view);
        shown
    }

    /// The sections.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            summary: Arc::clone(&self.summary.value),
            theme_breakdown: Arc::clone(&self.theme_breakdown.value),
            recent_mocs: Arc::clone(&self.recent_mocs.value),
            partial_parts_mocs: Arc::clone(&self.partial_parts_mocs.value),
        }
    }

    /// The newest revision that any section shows.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.summary
            .revision
            .max(self.theme_breakdown.revision)
            .max(self.recent_mocs.revision)
            .max(self.partial_parts_mocs.revision)
    }

    /// The tag of the last snapshot, which requests say to have.
    ///
    /// Always a snapshot's, never made of a revision learnt from an event: "nothing newer" must prove
    /// that nothing at all changed since a moment at which *every* section was known, and an event
    /// knows one section only.
    #[must_use]
    pub fn tag(&self) -> &SnapshotTag {
        &self.tag
    }

    /// Takes a snapshot, unless it is older than what is shown.
    pub fn snapshot(&mut self, tag: SnapshotTag, view: DashboardView) -> SnapshotOutcome {
        if tag.epoch != self.tag.epoch {
            *self = Self::new(tag, view);
            return SnapshotOutcome::Replaced;
        }
        if tag.revision < self.revision() {
            return SnapshotOutcome::Older;
        }
        self.replace(tag, view);
        SnapshotOutcome::Applied
    }

    fn replace(&mut self, tag: SnapshotTag, view: DashboardView) {
        self.summary.set(view.summary, tag.revision);
        self.theme_breakdown.set(view.theme_breakdown, tag.revision);
        self.recent_mocs.set(view.recent_mocs, tag.revision);
        self.partial_parts_mocs.set(view.partial_parts_mocs, tag.revision);
        self.tag = tag;
    }

    /// Takes an event, unless its section is as new already.
    pub fn change(&mut self, revision: Revision, change: Change) -> ChangeOutcome {
        match change {
            Change::Summary(summary) => self.summary.update(summary, revision),
            Change::ThemeBreakdown(themes) => self.theme_breakdown.update(themes, revision),
            Change::RecentMocs(mocs) => self.list_recent(mocs, revision),
            Change::PartialParts(mocs) => self.partial_parts_mocs.update(mocs, revision),
            Change::RecentMocAdded(moc) => self.add_recent(moc, revision),
        }
    }

    fn list_recent(&mut self, mocs: Vec<RecentMoc>, revision: Revision) -> ChangeOutcome {
        if revision <= self.recent_mocs.revision && *self.recent_mocs.value != mocs {
            return self.skipped_recent(revision);
        }
        self.recent_mocs.update(mocs, revision)
    }

    /// Several additions may have one revision, the oldest first, hence "not older" than the section where whole
    /// sections demand "newer"; the id tells a duplicate. A snapshot holds all of its own revision.
    fn add_recent(&mut self, moc: RecentMoc, revision: Revision) -> ChangeOutcome {
        let section = &self.recent_mocs;
        if section.value.iter().any(|shown| shown.id == moc.id) {
            return ChangeOutcome::Stale;
        }
        if revision < section.revision || revision <= self.tag.revision {
            return self.skipped_recent(revision);
        }
        let mut mocs = Vec::with_capacity(RECENT_MOCS_LIMIT);
        mocs.push(moc);
        mocs.extend(section.value.iter().take(RECENT_MOCS_LIMIT - 1).cloned());
        self.recent_mocs.set(mocs, revision);
        ChangeOutcome::Applied
    }

    /// An addition says nothing of what came before it, so a list that was added to need not hold
    /// what an older event told; the last snapshot did, as far as it goes.
    fn skipped_recent(&self, revision: Revision) -> ChangeOutcome {
        if revision > self.tag.revision { ChangeOutcome::Overtaken } else { ChangeOutcome::Stale }
    }
}

impl<T: PartialEq> Section<T> {
    fn new(value: T, revision: Revision) -> Self {
        Self { value: Arc::new(value), revision }
    }

    fn update(&mut self, value: T, revision: Revision) -> ChangeOutcome {
        if revision <= self.revision {
            return ChangeOutcome::Stale;
        }
        self.set(value, revision);
        ChangeOutcome::Applied
    }

    /// An equal value keeps the identity of the one that is shown.
    fn set(&mut self, value: T, revision: Revision) {
        self.revision = revision;
        if *self.value != value {
            self.value = Arc::new(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared_types::{BuildStatus, Epoch, Id, Theme, Timestamp, Title};

    use super::*;

    fn revision(count: u64) -> Revision {
        Revision::try_from(count).unwrap()
    }

    fn tag(epoch: &str, count: u64) -> SnapshotTag {
        SnapshotTag { epoch: Epoch::try_from(epoch).unwrap(), revision: revision(count) }
    }

    fn counts(total_mocs: u32) -> DashboardSummary {
        DashboardSummary { total_mocs, ..DashboardSummary::default() }
    }

    fn snapshot(total_mocs: u32) -> DashboardView {
        DashboardView { summary: counts(total_mocs), ..DashboardView::default() }
    }

    fn moc(number: u32) -> RecentMoc {
        RecentMoc {
            id: Id::try_from(format!("00000000-0000-7000-8000-{number:012}")).unwrap(),
            title: Title::try_from("A castle").unwrap(),
            theme: Theme::try_from("Castle").unwrap(),
            build_status: BuildStatus::Added,
            cover_image_url: None,
            created_at: Timestamp::try_from("2026-11-23T09:30:00Z").unwrap(),
        }
    }

    #[test]
    fn whole_sections_only_grow_newer() {
        let mut shown = VersionedView::new(tag("e", 5), snapshot(1));
        let mut apply = |at, total| shown.change(revision(at), Change::Summary(counts(total)));
        assert_eq!(apply(5, 9), ChangeOutcome::Stale, "the snapshot holds it already");
        assert_eq!(apply(4, 9), ChangeOutcome::Stale);
        assert_eq!(apply(7, 2), ChangeOutcome::Applied);
        assert_eq!(apply(6, 9), ChangeOutcome::Stale, "overtaken");
        assert_eq!(apply(7, 9), ChangeOutcome::Stale, "a duplicate");
        assert_eq!(shown.view().summary.total_mocs, 2);
        assert_eq!(shown.revision(), revision(7));
    }

    #[test]
    fn an_event_does_not_make_other_sections_newer() {
        let mut shown = VersionedView::new(tag("e", 5), snapshot(1));
        shown.change(revision(9), Change::Summary(counts(2)));
        let themes = vec![ThemeStats {
            theme: Theme::try_from("Castle").unwrap(),
            moc_count: 1,
            set_count: 0,
        }];
        let late = shown.change(revision(8), Change::ThemeBreakdown(themes.clone()));
        assert_eq!(
            (late, shown.view().theme_breakdown),
            (ChangeOutcome::Applied, Arc::new(themes))
        );
    }

    #[test]
    fn recent_mocs_are_prepended_once_and_trimmed() {
        let mut shown = VersionedView::new(tag("e", 5), DashboardView::default());
        let held = shown.change(revision(5), Change::RecentMocAdded(moc(99)));
        assert_eq!(held, ChangeOutcome::Stale, "the snapshot would have it");
        for number in 0..12 {
            let added = shown.change(revision(6), Change::RecentMocAdded(moc(number)));
            assert_eq!(added, ChangeOutcome::Applied, "one transaction adds several");
        }
        let shown_mocs = shown.view().recent_mocs;
        let numbers: Vec<RecentMoc> = (2..12).rev().map(moc).collect();
        assert_eq!(*shown_mocs, numbers);
        let twice = shown.change(revision(7), Change::RecentMocAdded(moc(11)));
        assert_eq!(twice, ChangeOutcome::Stale);
        let late = shown.change(revision(5), Change::RecentMocAdded(moc(99)));
        assert_eq!(late, ChangeOutcome::Stale, "the snapshot has seen it");
        shown.change(revision(8), Change::RecentMocs(vec![]));
        let overtaken = shown.change(revision(7), Change::RecentMocAdded(moc(3)));
        assert_eq!(overtaken, ChangeOutcome::Overtaken, "a deleted MOC does not come back");
        let list = |shown: &mut VersionedView, at, mocs| {
            shown.change(revision(at), Change::RecentMocs(mocs))
        };
        assert_eq!(list(&mut shown, 7, vec![moc(3)]), ChangeOutcome::Overtaken);
        assert_eq!(list(&mut shown, 8, vec![]), ChangeOutcome::Stale, "a duplicate");
        assert_eq!(list(&mut shown, 5, vec![moc(3)]), ChangeOutcome::Stale);
    }

    #[test]
    fn an_older_snapshot_is_not_shown() {
        let mut shown = VersionedView::new(tag("e", 5), snapshot(1));
        shown.change(revision(7), Change::Summary(counts(2)));
        assert_eq!(shown.snapshot(tag("e", 6), snapshot(9)), SnapshotOutcome::Older);
        assert_eq!((shown.view().summary.total_mocs, shown.tag()), (2, &tag("e", 5)));
        assert_eq!(shown.snapshot(tag("e", 7), snapshot(2)), SnapshotOutcome::Applied);
        assert_eq!(shown.tag(), &tag("e", 7));
    }

    #[test]
    fn events_do_not_change_the_snapshots_tag() {
        let mut shown = VersionedView::new(tag("e", 5), snapshot(1));
        shown.change(revision(7), Change::Summary(counts(2)));
        assert_eq!(shown.tag(), &tag("e", 5));
    }

    #[test]
    fn another_epoch_replaces_everything() {
        let mut shown = VersionedView::new(tag("e", 500), snapshot(1));
        assert_eq!(shown.snapshot(tag("f", 2), snapshot(3)), SnapshotOutcome::Replaced);
        assert_eq!((shown.view().summary.total_mocs, shown.revision()), (3, revision(2)));
    }

    #[test]
    fn what_is_equal_keeps_its_identity() {
        let mut shown = VersionedView::new(tag("e", 5), snapshot(1));
        let before = shown.view();
        shown.snapshot(tag("e", 6), snapshot(2));
        let after = shown.view();
        assert!(!Arc::ptr_eq(&before.summary, &after.summary));
        assert!(Arc::ptr_eq(&before.theme_breakdown, &after.theme_breakdown));
        assert!(Arc::ptr_eq(&before.recent_mocs, &after.recent_mocs));
        assert!(Arc::ptr_eq(&before.partial_parts_mocs, &after.partial_parts_mocs));
        shown.change(revision(7), Change::Summary(counts(2)));
        assert!(Arc::ptr_eq(&after.summary, &shown.view().summary), "an equal event");
    }
}
