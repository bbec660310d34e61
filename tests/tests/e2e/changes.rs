//! Each way that data changes, from the writer's commit to the app's screen.

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Payload, writer::Lot};
use shared_types::{BuildStatus, CoverImageUrl, EventType, ThemeStats};

use crate::watched::Watched;

const USER: &str = "changes@example.test";
const BRICK: &str = "3001";

#[tokio::test]
async fn d_fr_5_d_fr_11_a_moc_added() {
    let mut watched = Watched::start(USER).await;
    let cover = "https://pictures.example.test/castle.jpg";
    let moc = NewMoc {
        cover_image_url: Some(cover),
        build_status: "IN_PROGRESS",
        ..NewMoc::new("Lion Knights' Keep", "Castle")
    };
    let id = writer::add_moc(watched.app.db(), USER, &moc).await.to_string();
    let change = watched.settle().await;
    change.assert_events(&[
        EventType::SummaryUpdated,
        EventType::ThemeBreakdownUpdated,
        EventType::RecentMocAdded,
    ]);
    let added = change.payload(|payload| match payload {
        Payload::RecentMocAdded(moc) => Some(moc.clone()),
        _ => None,
    });
    assert_eq!(added.id.as_str(), id);
    assert_eq!((added.title.as_str(), added.theme.as_str()), (moc.title, moc.theme));
    assert_eq!(added.build_status, BuildStatus::InProgress);
    assert_eq!(added.cover_image_url.as_ref().map(CoverImageUrl::as_str), Some(cover));
    assert_eq!(change.before.summary.total_mocs, 0);
    assert_eq!(change.after.summary.total_mocs, 1);
    assert_eq!(change.after.summary.mocs_by_build_status.in_progress, 1);
    assert_eq!(change.after.summary.mocs_by_coverage_status.none, 1);
    assert_eq!(change.after.recent_mocs, [added]);
    assert_eq!(themes(&change.after.theme_breakdown), [("Castle", 1, 0)]);
}

#[tokio::test]
async fn a_moc_renamed() {
    let mut watched = Watched::start(USER).await;
    let moc = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Barn", "City")).await;
    watched.settle().await;
    writer::rename_moc(watched.app.db(), moc, "Barn with Silo").await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::RecentMocsUpdated]);
    assert_eq!(change.before.recent_mocs[0].title.as_str(), "Barn");
    assert_eq!(change.after.recent_mocs[0].title.as_str(), "Barn with Silo");
    assert_eq!(change.after.recent_mocs[0].created_at, change.before.recent_mocs[0].created_at);
}

#[tokio::test]
async fn d_dm_1_a_mocs_build_status_changed() {
    let mut watched = Watched::start(USER).await;
    let moc = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Tram", "City")).await;
    watched.settle().await;
    for (status, expected) in [("IN_PROGRESS", (0, 1, 0)), ("BUILT", (0, 0, 1))] {
        writer::set_build_status(watched.app.db(), moc, status).await;
        let change = watched.settle().await;
        change.assert_events(&[EventType::SummaryUpdated, EventType::RecentMocsUpdated]);
        let counts = change.after.summary.mocs_by_build_status;
        assert_eq!((counts.added, counts.in_progress, counts.built), expected);
    }
    assert_eq!(watched.settle().await.after.recent_mocs[0].build_status, BuildStatus::Built);
}

#[tokio::test]
async fn a_moc_deleted() {
    let mut watched = Watched::start(USER).await;
    let keep = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Kept", "Space")).await;
    let gone = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Gone", "Castle")).await;
    watched.settle().await;
    writer::delete_moc(watched.app.db(), gone).await;
    let change = watched.settle().await;
    change.assert_events(&[
        EventType::SummaryUpdated,
        EventType::ThemeBreakdownUpdated,
        EventType::RecentMocsUpdated,
    ]);
    assert_eq!(change.after.summary.total_mocs, 1);
    let ids: Vec<_> = change.after.recent_mocs.iter().map(|moc| moc.id.to_string()).collect();
    assert_eq!(ids, [keep.to_string()]);
    assert_eq!(themes(&change.after.theme_breakdown), [("Space", 1, 0)]);
}

#[tokio::test]
async fn d_fr_17_d_dm_2_parts_ordered_then_completed() {
    let mut watched = Watched::start(USER).await;
    let moc = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Mill", "Castle")).await;
    let lots: [Lot; 2] = [(BRICK, 4, 30), ("3020", 15, 10)];
    writer::add_parts(watched.app.db(), moc, &lots).await;
    let change = watched.settle().await;
    assert_eq!(change.after.partial_parts_mocs, []);

    // Enters PARTIAL_ORDERED: 25 of 40 parts.
    writer::order_parts(watched.app.db(), USER, (BRICK, 4, 25)).await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::SummaryUpdated, EventType::PartialPartsUpdated]);
    let partial = &change.after.partial_parts_mocs;
    assert_eq!(partial.len(), 1);
    assert_eq!(partial[0].id.as_str(), moc.to_string());
    assert_eq!(partial[0].coverage_percentage.get(), 62);
    assert_eq!(change.before.summary.mocs_by_coverage_status.none, 1);
    let counts = &change.after.summary.mocs_by_coverage_status;
    assert_eq!((counts.none, counts.partial_ordered, counts.full_inventory), (0, 1, 0));

    // Stays there, with more of it covered; the counts do not move.
    writer::own_parts(watched.app.db(), USER, ("3020", 15, 7)).await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::PartialPartsUpdated]);
    assert_eq!(change.after.partial_parts_mocs[0].coverage_percentage.get(), 80);

    // A part that no MOC needs in that colour changes nothing: no event at all.
    writer::order_parts(watched.app.db(), USER, (BRICK, 5, 100)).await;
    let change = watched.settle().await;
    change.assert_events(&[]);
    assert_eq!(change.after, change.before);

    // Leaves it, complete; what is ordered beyond the need covers nothing more.
    let mut transaction = watched.app.db().begin().await.unwrap();
    writer::order_parts(&mut *transaction, USER, (BRICK, 4, 500)).await;
    writer::order_parts(&mut *transaction, USER, ("3020", 15, 3)).await;
    transaction.commit().await.unwrap();
    let change = watched.settle().await;
    change.assert_events(&[EventType::SummaryUpdated, EventType::PartialPartsUpdated]);
    assert_eq!(change.after.partial_parts_mocs, []);
    let counts = &change.after.summary.mocs_by_coverage_status;
    assert_eq!((counts.none, counts.partial_ordered, counts.full_inventory), (0, 0, 1));
}

#[tokio::test]
async fn a_partial_moc_renamed_changed_and_deleted() {
    let mut watched = Watched::start(USER).await;
    let moc = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Pier", "City")).await;
    writer::add_parts(watched.app.db(), moc, &[(BRICK, 1, 3)]).await;
    writer::order_parts(watched.app.db(), USER, (BRICK, 1, 1)).await;
    let change = watched.settle().await;
    assert_eq!(change.after.partial_parts_mocs[0].coverage_percentage.get(), 33);

    writer::rename_moc(watched.app.db(), moc, "Pier 39").await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::RecentMocsUpdated, EventType::PartialPartsUpdated]);
    let (before, after) =
        (&change.before.partial_parts_mocs[0], &change.after.partial_parts_mocs[0]);
    assert_eq!(after.title.as_str(), "Pier 39");
    assert!(after.last_updated_at.as_str() > before.last_updated_at.as_str());

    writer::set_build_status(watched.app.db(), moc, "IN_PROGRESS").await;
    let change = watched.settle().await;
    assert_eq!(change.after.partial_parts_mocs[0].build_status, BuildStatus::InProgress);

    writer::delete_moc(watched.app.db(), moc).await;
    let change = watched.settle().await;
    change.assert_events(&[
        EventType::SummaryUpdated,
        EventType::ThemeBreakdownUpdated,
        EventType::RecentMocsUpdated,
        EventType::PartialPartsUpdated,
    ]);
    assert_eq!(change.after.partial_parts_mocs, []);
}

#[tokio::test]
async fn d_dm_4_d_fr_8_a_set_added() {
    let mut watched = Watched::start(USER).await;
    writer::add_moc(watched.app.db(), USER, &NewMoc::new("Rover", "Space")).await;
    watched.settle().await;
    writer::add_set(watched.app.db(), USER, "Galaxy Explorer", "Space").await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::ThemeBreakdownUpdated]);
    assert_eq!(themes(&change.before.theme_breakdown), [("Space", 1, 0)]);
    assert_eq!(themes(&change.after.theme_breakdown), [("Space", 1, 1)]);
    // A theme that has sets only.
    writer::add_set(watched.app.db(), USER, "Main Street", "City").await;
    let change = watched.settle().await;
    assert_eq!(themes(&change.after.theme_breakdown), [("Space", 1, 1), ("City", 0, 1)]);
}

#[tokio::test]
async fn d_fr_1_the_wishlist_added_to_and_removed_from() {
    let mut watched = Watched::start(USER).await;
    let wish = writer::add_wish(watched.app.db(), USER, "Eiffel Tower").await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::SummaryUpdated]);
    let counts = |view: &shared_types::DashboardView| view.summary.total_wishlist_items;
    assert_eq!((counts(&change.before), counts(&change.after)), (0, 1));
    writer::remove_wish(watched.app.db(), wish).await;
    let change = watched.settle().await;
    change.assert_events(&[EventType::SummaryUpdated]);
    assert_eq!(counts(&change.after), counts(&change.before) - 1);
}

#[tokio::test]
async fn a_thousand_mocs_in_one_transaction() {
    let mut watched = Watched::start(USER).await;
    let mut transaction = watched.app.db().begin().await.unwrap();
    writer::add_mocs(&mut *transaction, USER, "Castle", 500).await;
    // Row by row, as a scraper writes.
    for number in 0..500 {
        let title = format!("Scraped {number}");
        writer::add_moc(&mut *transaction, USER, &NewMoc::new(&title, "Space")).await;
    }
    transaction.commit().await.unwrap();
    let change = watched.settle().await;
    // So much is projected in pieces: a type may come more than once, but by no means for each row.
    // And the one row that a piece may hold is announced as an addition.
    let mut types = change.types();
    types.remove(EventType::RecentMocAdded.name());
    let expected =
        [EventType::SummaryUpdated, EventType::ThemeBreakdownUpdated, EventType::RecentMocsUpdated];
    assert_eq!(types, expected.map(EventType::name).into());
    assert!(change.events.len() < 1000, "{} events for one commit", change.events.len());
    assert_eq!(change.after.summary.total_mocs, 1000);
    assert_eq!(themes(&change.after.theme_breakdown), [("Castle", 500, 0), ("Space", 500, 0)]);
    assert_eq!(change.after.recent_mocs.len(), 10);
}

#[tokio::test]
async fn many_small_transactions_are_coalesced() {
    let mut watched = Watched::start(USER).await;
    for number in 0..200 {
        let title = format!("MOC {number}");
        writer::add_moc(watched.app.db(), USER, &NewMoc::new(&title, "City")).await;
    }
    let change = watched.settle().await;
    assert_eq!(change.after.summary.total_mocs, 200);
    assert_eq!(change.after.recent_mocs[0].title.as_str(), "MOC 199");
    let summaries =
        change.events.iter().filter(|event| event.event_type == EventType::SummaryUpdated);
    let summaries = summaries.count();
    assert!(summaries < 200, "{summaries} summaries for 200 commits");
}

#[tokio::test]
async fn a_rolled_back_change_causes_no_event() {
    let mut watched = Watched::start(USER).await;
    let mut transaction = watched.app.db().begin().await.unwrap();
    writer::add_moc(&mut *transaction, USER, &NewMoc::new("Never", "Castle")).await;
    writer::add_wish(&mut *transaction, USER, "Never either").await;
    transaction.rollback().await.unwrap();
    let change = watched.settle().await;
    change.assert_events(&[]);
    assert_eq!(change.after, change.before);
}

#[tokio::test]
async fn a_change_that_changes_nothing_shown_causes_no_event() {
    let mut watched = Watched::start(USER).await;
    let moc = writer::add_moc(watched.app.db(), USER, &NewMoc::new("Same", "Castle")).await;
    watched.settle().await;
    writer::rename_moc(watched.app.db(), moc, "Same").await;
    watched.settle().await.assert_events(&[]);
}

#[tokio::test]
async fn a_commit_that_was_long_in_coming_is_not_missed() {
    let mut watched = Watched::start(USER).await;
    let mut slow = watched.app.db().begin().await.unwrap();
    writer::add_moc(&mut *slow, USER, &NewMoc::new("Begun first", "Castle")).await;
    // Written later, committed earlier: the order of ids and times is not that of commits.
    writer::add_moc(watched.app.db(), USER, &NewMoc::new("Committed first", "Castle")).await;
    let change = watched.settle().await;
    assert_eq!(change.after.summary.total_mocs, 1);
    slow.commit().await.unwrap();
    let change = watched.settle().await;
    assert_eq!(change.after.summary.total_mocs, 2);
    // It is not the newest, so it is not announced as the new head of the list.
    change.assert_events(&[
        EventType::SummaryUpdated,
        EventType::ThemeBreakdownUpdated,
        EventType::RecentMocsUpdated,
    ]);
}

fn themes(breakdown: &[ThemeStats]) -> Vec<(&str, u32, u32)> {
    breakdown.iter().map(|theme| (theme.theme.as_str(), theme.moc_count, theme.set_count)).collect()
}
