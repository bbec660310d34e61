//! Tests that a revision is that of the data beside it, in any order of commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashboard_server::dashboard::query::{self, Owed, QueryError};
use dashboard_server::dashboard::section::Sections;
use dashboard_server::user::UserId;
use sqlx::Executor;

use crate::support::{config, refresh, start, with_database};

const WRITERS: usize = 6;
const ROUNDS: usize = 40;

/// A small generator: the order must be mixed, not secret.
fn shuffled(seed: u64, length: usize) -> Vec<usize> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut order: Vec<usize> = (0..length).collect();
    for place in (1..length).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let other = usize::try_from(state >> 33).unwrap() % (place + 1);
        order.swap(place, other);
    }
    order
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn data_and_revision_agree_while_transactions_commit_in_any_order() {
    with_database(|db| async move {
        let (server, _) = start(config(&db.url)).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        for _ in 0..3 {
            let (pool, stop) = (db.pool.clone(), Arc::clone(&stop));
            readers.push(tokio::spawn(async move {
                // What was read at each revision: items are only ever added.
                let mut read = BTreeMap::new();
                while !stop.load(Ordering::SeqCst) {
                    let (tag, view) = query::snapshot(&pool, "ada").await.unwrap();
                    let (revision, items) = (tag.revision.get(), view.summary.total_wishlist_items);
                    let (last, fewer) = read.last_key_value().map_or((0, 0), |(at, n)| (*at, *n));
                    assert!(revision >= last, "{revision} after {last}");
                    assert_eq!(revision > last, items > fewer, "{items} at {revision}");
                    read.insert(revision, items);
                }
                read
            }));
        }
        let mut connections = Vec::new();
        for _ in 0..WRITERS {
            connections.push(db.connection().await);
        }
        for round in 0..ROUNDS {
            for connection in &mut connections {
                connection.execute("begin").await.unwrap();
                let insert =
                    "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";
                connection.execute(insert).await.unwrap();
            }
            for place in shuffled(round as u64, WRITERS) {
                connections[place].execute("commit").await.unwrap();
            }
        }
        db.settle().await;
        stop.store(true, Ordering::SeqCst);
        server.shutdown().await;
        let mut all = BTreeMap::new();
        for reader in readers {
            for (revision, items) in reader.await.unwrap() {
                assert_eq!(*all.entry(revision).or_insert(items), items, "at {revision}");
            }
        }
        let (_, view) = query::snapshot(&db.pool, "ada").await.unwrap();
        assert_eq!(view.summary.total_wishlist_items as usize, WRITERS * ROUNDS);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_reads_what_its_cursor_did_not_see_and_nothing_else() {
    with_database(|db| async move {
        db.write("insert into collection.sets (user_id, title, theme) values ('ada', 'x', 'y')")
            .await;
        // Begun before what is committed below, and committed after it.
        let mut slow = db.connection().await;
        slow.execute("begin").await.unwrap();
        let wish = "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";
        slow.execute(wish).await.unwrap();
        db.write("insert into collection.mocs (user_id, title, theme) values ('bob', 'x', 'y')")
            .await;
        let before = db.cursor().await;

        let read = refresh(&db.pool, "ada", before, Sections::NONE).await;
        assert_eq!((read.sections, read.tag.revision.get()), (Sections::NONE, 1));
        assert!(read.view.theme_breakdown.is_empty(), "what did not change is not read");

        slow.execute("commit").await.unwrap();
        db.settle().await;
        let read = refresh(&db.pool, "ada", before, Sections::NONE).await;
        assert_eq!((read.sections, read.tag.revision.get()), (Sections::SUMMARY, 3));
        assert_eq!(read.view.summary.total_wishlist_items, 1);
        assert!(read.cursor > before);

        let moc = "insert into collection.mocs (user_id, title, theme) values ('ada', 'x', 'y')
                   returning id";
        let id: uuid::Uuid = db.one(moc).await;
        db.settle().await;
        let again = refresh(&db.pool, "ada", read.cursor, Sections::NONE).await;
        assert_eq!(again.added.iter().map(|added| added.moc).collect::<Vec<_>>(), [Some(id)]);
        assert!(!again.sections.contains(Sections::PARTIAL));
        assert_eq!(again.view.recent_mocs.len(), 1);

        // Changes before the cursor count as well: an addition after it is not all there is.
        let forced = refresh(&db.pool, "ada", read.cursor, Sections::ALL).await;
        assert_eq!(forced.sections, Sections::ALL);
        assert!(forced.added.is_empty());
        let (tag, view) = query::snapshot(&db.pool, "ada").await.unwrap();
        assert_eq!((forced.tag, forced.view), (tag, view));
    })
    .await;
}

#[tokio::test]
async fn tags_of_many_users_come_in_the_order_asked_for() {
    with_database(|db| async move {
        for user in ["ada", "bob", "ada"] {
            db.write(&format!(
                "insert into collection.sets (user_id, title, theme) values ('{user}', 'x', 'y')"
            ))
            .await;
        }
        let users = ["bob", "nobody", "ada"];
        let tags = query::tags(&db.pool, &users.map(UserId::from)).await.unwrap();
        let counts: Vec<_> = tags.iter().map(|tag| tag.revision.get()).collect();
        assert_eq!(counts, [2, 0, 3]);
        for (user, tag) in users.into_iter().zip(tags) {
            assert_eq!(query::snapshot(&db.pool, user).await.unwrap().0, tag, "{user}");
        }
    })
    .await;
}

#[tokio::test]
async fn users_are_read_together_each_with_its_own_changes() {
    with_database(|db| async move {
        let add = |user: &str| {
            format!(
                "insert into collection.mocs (user_id, title, theme) values ('{user}', '{user}', 'y')"
            )
        };
        for user in ["ada", "bob", "cyd"] {
            db.write(&add(user)).await;
        }
        let early = db.cursor().await;
        db.write("insert into collection.wishlist_items (user_id, title) values ('ada', 'x')").await;
        db.write(&add("bob")).await;
        let late = db.cursor().await;
        let owed = |user, since, forced| Owed { user, since, forced };
        let owed = [
            owed("bob", early, Sections::NONE),
            owed("nobody", early, Sections::ALL),
            owed("ada", early, Sections::NONE),
            owed("bob2", early, Sections::NONE),
            owed("cyd", late, Sections::RECENT),
        ];
        let read = query::refresh(&db.pool, &owed).await.unwrap();
        let read: Vec<_> = read.into_iter().map(Result::unwrap).collect();
        let added = Sections::SUMMARY | Sections::THEMES | Sections::RECENT;
        let sections = [added, Sections::ALL, Sections::SUMMARY, Sections::NONE, Sections::RECENT];
        assert_eq!(read.iter().map(|read| read.sections).collect::<Vec<_>>(), sections);
        for (owed, read) in owed.iter().zip(&read) {
            let (tag, view) = query::snapshot(&db.pool, owed.user).await.unwrap();
            assert_eq!(read.tag, tag, "{}", owed.user);
            let (mut expected, is_read) = (view, |section| read.sections.contains(section));
            if !is_read(Sections::SUMMARY) {
                expected.summary = shared_types::DashboardSummary::default();
            }
            if !is_read(Sections::THEMES) {
                expected.theme_breakdown.clear();
            }
            if !is_read(Sections::RECENT) {
                expected.recent_mocs.clear();
            }
            assert_eq!(read.view, expected, "{}", owed.user);
        }
        assert_eq!(read[0].added.len(), 1);
        assert_eq!(query::refresh(&db.pool, &[]).await.unwrap().len(), 0);

        // What one user's data does, it does to no other user.
        for bad in ["12000-01-01", "-infinity"] {
            let set = "update dashboard.mocs set created_at =";
            db.run(&format!("{set} '{bad}' where user_id = 'cyd'")).await;
            let read = query::refresh(&db.pool, &owed).await.unwrap();
            let is_bad = |read: &Result<_, QueryError>| matches!(read, Err(QueryError::Value(_)));
            let bad = read.iter().map(is_bad).collect::<Vec<_>>();
            assert_eq!(bad, [false, false, false, false, true]);
        }
    })
    .await;
}

#[tokio::test]
async fn any_text_may_name_a_user() {
    with_database(|db| async move {
        let long = "é".repeat(127);
        let texts = [
            "null",
            "{a,\"b\"}",
            "' or true --",
            "\\x00",
            "$1 %\n",
            "Ada",
            "ada",
            "ada ",
            "e\u{301}",
            "\u{e9}",
            "\u{1f9f1}",
            &long,
        ];
        for (count, user) in (1..).zip(texts) {
            sqlx::query(
                "insert into collection.wishlist_items (user_id, title)
                 select $1, 'x' from generate_series(1, $2)",
            )
            .bind(user)
            .bind(count)
            .execute(&db.pool)
            .await
            .unwrap();
        }
        db.settle().await;
        let since = db.cursor().await;
        // Each twice, as two answers to the same question.
        let owed: Vec<_> = [texts, texts]
            .as_flattened()
            .iter()
            .map(|user| Owed { user, since, forced: Sections::SUMMARY })
            .collect();
        let read = query::refresh(&db.pool, &owed).await.unwrap();
        let users: Vec<_> = owed.iter().map(|owed| UserId::from(owed.user)).collect();
        let tags = query::tags(&db.pool, &users).await.unwrap();
        let wishes = (1..=texts.len()).cycle();
        for (((owed, read), tag), wishes) in owed.iter().zip(read).zip(tags).zip(wishes) {
            let read = read.unwrap();
            assert_eq!(read.tag, tag, "{:?}", owed.user);
            assert_eq!(read.view.summary.total_wishlist_items as usize, wishes, "{:?}", owed.user);
            let snapshot = query::snapshot(&db.pool, owed.user).await.unwrap();
            assert_eq!(snapshot.0, tag, "{:?}", owed.user);
        }
    })
    .await;
}
