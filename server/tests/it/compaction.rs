//! Compaction shortens the log without changing any revision or hiding any change.

use std::time::Duration;

use dashboard_server::push::compact;
use dashboard_server::push::query;
use dashboard_server::push::user::UserId;
use sqlx::{Executor, PgPool};

use crate::support::{TestDb, config, start, with_database};

const WISH: &str = "insert into dashboard.wishlist_items (user_id, title) values ('ada', 'x')";

async fn compact(db: &TestDb, retention: Duration) -> u64 {
    compact_in(&db.pool, retention).await
}

async fn compact_in(pool: &PgPool, retention: Duration) -> u64 {
    compact::compact(&mut pool.acquire().await.unwrap(), retention, 1_000).await.unwrap()
}

async fn rows(db: &TestDb) -> i64 {
    db.one("select count(*) from dashboard.changes").await
}

async fn revision(db: &TestDb) -> u64 {
    query::tags(&db.pool, &[UserId::from("ada")]).await.unwrap()[0].revision.get()
}

#[tokio::test]
async fn rows_are_folded_once_they_are_old_and_revisions_stay() {
    with_database(|db| async move {
        for _ in 0..5 {
            db.run(WISH).await;
        }
        // The first pass only notes where it stands.
        assert_eq!(compact(&db, Duration::ZERO).await, 0);
        db.run(WISH).await;
        assert_eq!(compact(&db, Duration::from_mins(10)).await, 0);
        assert_eq!((rows(&db).await, revision(&db).await), (6, 6));
        // The sixth row is younger than the snapshot of the first pass, not of the second.
        assert_eq!(compact(&db, Duration::ZERO).await, 6);
        assert_eq!((rows(&db).await, revision(&db).await), (0, 6));
        db.run(WISH).await;
        assert_eq!(compact(&db, Duration::ZERO).await, 0);
        assert_eq!(compact(&db, Duration::ZERO).await, 1);
        assert_eq!((rows(&db).await, revision(&db).await), (0, 7));
        assert!(db.one::<i64>("select count(*) from dashboard.compactions").await <= 2);
    })
    .await;
}

#[tokio::test]
async fn rows_of_a_transaction_that_commits_late_are_kept_however_old_they_are() {
    with_database(|db| async move {
        let mut slow = db.connection().await;
        slow.execute("begin").await.unwrap();
        slow.execute(WISH).await.unwrap();
        compact(&db, Duration::ZERO).await;
        slow.execute("commit").await.unwrap();
        // The horizon is the snapshot of before the commit.
        assert_eq!(compact(&db, Duration::ZERO).await, 0);
        assert_eq!((rows(&db).await, revision(&db).await), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn one_node_at_a_time_compacts() {
    with_database(|db| async move {
        db.run(WISH).await;
        compact(&db, Duration::ZERO).await;
        let mut other = db.connection().await;
        other.execute("begin").await.unwrap();
        other.execute("select from dashboard.meta for update").await.unwrap();
        assert_eq!(compact(&db, Duration::ZERO).await, 0);
        other.execute("rollback").await.unwrap();
        assert_eq!(compact(&db, Duration::ZERO).await, 1);
    })
    .await;
}

#[tokio::test]
async fn revision_and_data_agree_while_rows_are_folded() {
    with_database(|db| async move {
        let pool = db.pool.clone();
        let folding = tokio::spawn(async move {
            let mut folded = 0;
            while folded < 150 {
                folded += compact_in(&pool, Duration::ZERO).await;
            }
        });
        for count in 1..=150 {
            db.run(WISH).await;
            let (tag, view) = query::snapshot(&db.pool, "ada").await.unwrap();
            assert_eq!(tag.revision.get(), count);
            assert_eq!(u64::from(view.summary.total_wishlist_items), count);
        }
        // The last rows are folded by passes that follow.
        folding.await.unwrap();
        assert_eq!((rows(&db).await, revision(&db).await), (0, 150));
    })
    .await;
}

#[tokio::test]
async fn a_node_that_missed_folded_rows_sends_everything() {
    with_database(|db| async move {
        // This node looks so rarely that it can be overtaken.
        let mut slow = config(&db.url);
        slow.poll_interval_ms = 1_500;
        let (server, node) = start(slow).await;
        let mut client = node.connect("ada").await;
        node.await_metric("dashboard_connections 1").await;
        db.run(WISH).await;
        compact(&db, Duration::ZERO).await;
        assert_eq!(compact(&db, Duration::ZERO).await, 1);
        let all =
            ["summaryUpdated", "themeBreakdownUpdated", "recentMocsUpdated", "partialPartsUpdated"];
        let events = client.events(&all).await;
        assert_eq!(events[0]["payload"]["totalWishlistItems"], 1);
        assert!(events.iter().all(|event| event["revision"] == 1));
        node.await_metric("dashboard_capture_gaps_total 1").await;
        server.shutdown().await;
    })
    .await;
}
