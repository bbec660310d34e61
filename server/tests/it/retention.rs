//! Tests that old changes are removed without changing any revision or hiding any change.

use std::time::Duration;

use dashboard_server::changes::retention;
use dashboard_server::dashboard::query;
use dashboard_server::user::UserId;
use sqlx::{Executor, PgPool};

use crate::support::{TestDb, config, start, with_database};

fn wish(user: &str) -> String {
    format!("insert into collection.wishlist_items (user_id, title) values ('{user}', 'x')")
}

async fn remove(pool: &PgPool, retention: Duration) -> u64 {
    retention::remove(&mut pool.acquire().await.unwrap(), retention, 1_000).await.unwrap().rows
}

async fn rows(db: &TestDb) -> i64 {
    db.one("select count(*) from dashboard.changes").await
}

async fn revisions(db: &TestDb) -> Vec<u64> {
    let tags = query::tags(&db.pool, &["ada", "bob"].map(UserId::from)).await.unwrap();
    tags.iter().map(|tag| tag.revision.get()).collect()
}

#[tokio::test]
async fn old_rows_go_and_each_user_s_newest_stays() {
    with_database(|db| async move {
        for user in ["ada", "bob", "ada", "ada"] {
            db.write(&wish(user)).await;
        }
        let before = revisions(&db).await;
        assert_eq!(remove(&db.pool, Duration::from_mins(10)).await, 0);
        assert_eq!(rows(&db).await, 4);
        assert_eq!(remove(&db.pool, Duration::ZERO).await, 2);
        assert_eq!((rows(&db).await, revisions(&db).await), (2, before.clone()));
        assert_eq!(remove(&db.pool, Duration::ZERO).await, 0);
        // A younger one makes it superfluous.
        db.write(&wish("bob")).await;
        assert_eq!(remove(&db.pool, Duration::from_mins(10)).await, 0);
        assert_eq!(remove(&db.pool, Duration::ZERO).await, 1);
        let after = revisions(&db).await;
        assert_eq!((rows(&db).await, after[0]), (2, before[0]));
        assert!(after[1] > before[0]);
    })
    .await;
}

#[tokio::test]
async fn a_pass_that_ends_at_its_limit_says_that_there_is_more() {
    with_database(|db| async move {
        for _ in 0..5 {
            db.write(&wish("ada")).await;
        }
        let mut connection = db.connection().await;
        let mut passes = Vec::new();
        for _ in 0..3 {
            let removed = retention::remove(&mut connection, Duration::ZERO, 2).await.unwrap();
            passes.push((removed.rows, removed.has_more));
        }
        assert_eq!(passes, [(1, true), (2, true), (1, false)]);
    })
    .await;
}

#[tokio::test]
async fn one_node_at_a_time_removes() {
    with_database(|db| async move {
        db.write(&wish("ada")).await;
        db.write(&wish("ada")).await;
        let mut other = db.connection().await;
        other.execute("begin").await.unwrap();
        other.execute("select from dashboard.meta for update").await.unwrap();
        assert_eq!(remove(&db.pool, Duration::ZERO).await, 0);
        other.execute("rollback").await.unwrap();
        assert_eq!(remove(&db.pool, Duration::ZERO).await, 1);
    })
    .await;
}

#[tokio::test]
async fn revision_and_data_agree_while_rows_are_removed() {
    with_database(|db| async move {
        let pool = db.pool.clone();
        let removing = tokio::spawn(async move {
            let mut removed = 0;
            while removed < 99 {
                removed += remove(&pool, Duration::ZERO).await;
            }
        });
        let mut last = 0;
        for count in 1..=100 {
            db.write(&wish("ada")).await;
            let (tag, view) = query::snapshot(&db.pool, "ada").await.unwrap();
            assert!(tag.revision.get() > last);
            last = tag.revision.get();
            assert_eq!(view.summary.total_wishlist_items, count);
        }
        removing.await.unwrap();
        assert_eq!((rows(&db).await, revisions(&db).await[0]), (1, last));
    })
    .await;
}

/// Rows are gone that a server has not read: it cannot know what it missed, so it sends everything.
#[tokio::test]
async fn a_node_that_missed_removed_rows_sends_everything() {
    with_database(|db| async move {
        let (server, node) = start(config(&db.url)).await;
        let mut client = node.connect("ada").await;
        node.await_metric("dashboard_connections 1").await;
        // Written and removed in one transaction, which is the same to a server as between two looks.
        db.run(
            "begin;
             insert into dashboard.changes (user_id, sections, nonce) values ('ada', 1, 1), ('ada', 2, 2);
             delete from dashboard.changes where user_id = 'ada' and sections = 1;
             update dashboard.meta set removed_to = (select max(id) from dashboard.changes);
             commit",
        )
        .await;
        let all =
            ["summaryUpdated", "themeBreakdownUpdated", "recentMocsUpdated", "partialPartsUpdated"];
        let events = client.events(&all).await;
        assert!(events.iter().all(|event| event["revision"] == 2), "{events:?}");
        server.shutdown().await;
    })
    .await;
}
