use std::collections::BTreeMap;

use e2e_tests::{Database, TestApp};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::*;
use crate::{seed, stage};

/// Nearly an hour at the demo's pace: more than thirty rounds.
const MANY: usize = 800;

#[tokio::test]
async fn the_suggested_steps_work_while_the_author_makes_changes() {
    let app = TestApp::start().await;
    let catalogue = Catalogue::load().unwrap();
    seed::plant(app.db(), &catalogue).await.unwrap();
    let mut author = Author::new(app.db(), &catalogue);
    // As `cargo xtask psql` sees it.
    let mut psql = PgConnection::connect(&app.database.url()).await.unwrap();
    let search_path = "set search_path = collection, dashboard, public";
    sqlx::raw_sql(search_path).execute(&mut psql).await.unwrap();
    // The author's own MOC first: what is added now is the newest when it comes to renaming.
    let (mut said, mut changed) = (vec![author.next().await.unwrap()], Vec::new());
    for statement in stage::STATEMENTS {
        let outcome = sqlx::raw_sql(statement).execute(&mut psql).await.unwrap();
        changed.push(outcome.rows_affected());
        for _ in 0..ROUND.len() {
            said.push(author.next().await.unwrap());
        }
    }
    let log = said.join("\n");
    assert!(log.contains("new title"), "{log}");
    assert!(changed[0] == 1 && changed[1] > 10 && changed[2] == 1, "{changed:?}\n{log}");
}

#[tokio::test]
async fn the_collection_stays_as_it_began_however_long_it_is_worked_on() {
    let database = Database::create().await;
    let catalogue = Catalogue::load().unwrap();
    seed::plant(database.pool(), &catalogue).await.unwrap();
    let begun = Looks::of(database.pool()).await;
    assert!(begun.partial >= 10 && begun.themes >= 15, "{begun:?}");
    let mut author = Author::new(database.pool(), &catalogue);
    assert_eq!(author.counts().await.unwrap(), author.beginning, "what is planned is planted");
    let mut kinds = BTreeMap::new();
    for number in 1..=MANY {
        let said = author.next().await.unwrap();
        *kinds.entry(said[..13].trim().to_owned()).or_insert(0) += 1;
        // Looking takes longer than changing. Seven and a round have no common divisor.
        if number % 7 != 0 {
            continue;
        }
        let now = Looks::of(database.pool()).await;
        let told = format!("after {number} changes, {said}: {now:?}, which began as {begun:?}");
        assert!((now.mocs - begun.mocs).abs() * 100 <= begun.mocs * 15, "{told}");
        for count in [now.added, now.in_progress, now.built] {
            assert!(count * 100 >= now.mocs * 15, "{told}");
        }
        assert!((3..=20).contains(&now.partial), "{told}");
        assert!((now.complete - begun.complete).abs() <= 8, "{told}");
        assert!((5..=25).contains(&now.wishes), "{told}");
        assert!((now.sets - begun.sets).abs() <= 8, "{told}");
        assert!(now.themes >= 12, "{told}");
    }
    // Nothing has come to a standstill either.
    let round = MANY / ROUND.len();
    for kind in ["new MOC", "parts", "building", "sold", "new title", "wishlist", "set"] {
        assert!(kinds.get(kind).is_some_and(|count| *count >= round), "{kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn the_collection_recovers_from_what_others_do_to_it() {
    let database = Database::create().await;
    let catalogue = Catalogue::load().unwrap();
    seed::plant(database.pool(), &catalogue).await.unwrap();
    let mut author = Author::new(database.pool(), &catalogue);
    for statement in [
        "delete from collection.mocs where user_id = $1 and build_status = 'BUILT'",
        "delete from collection.wishlist_items where user_id = $1",
        "update collection.mocs set build_status = 'IN_PROGRESS' where user_id = $1",
    ] {
        sqlx::query(statement).bind(USERS[0].0).execute(database.pool()).await.unwrap();
    }
    let near = |now: Counts, then: Counts| {
        let pairs = [
            (now.added, then.added),
            (now.in_progress, then.in_progress),
            (now.built, then.built),
            (now.partial, then.partial),
            (now.wishes, then.wishes),
        ];
        pairs.iter().all(|(now, then)| (now - then).abs() <= SLACK)
    };
    assert!(!near(author.counts().await.unwrap(), author.beginning));
    for _ in 0..40 * ROUND.len() {
        author.next().await.unwrap();
    }
    let now = author.counts().await.unwrap();
    assert!(near(now, author.beginning), "{now:?}, which began as {:?}", author.beginning);
}

#[tokio::test]
async fn every_change_is_seen_on_the_dashboard() {
    let app = TestApp::start().await;
    let catalogue = Catalogue::load().unwrap();
    seed::plant(app.db(), &catalogue).await.unwrap();
    app.projected().await;
    let mut author = Author::new(app.db(), &catalogue);
    let (rest, ada) = (app.rest(), app.bearer(USERS[0].0));
    let (mut before, _) = rest.snapshot(&ada).await;
    for _ in 0..2 * ROUND.len() {
        let said = author.next().await.unwrap();
        app.projected().await;
        let (after, _) = rest.snapshot(&ada).await;
        assert_ne!(before, after, "{said}");
        before = after;
    }
}

/// The whole collection, also what others have added.
#[derive(Debug)]
struct Looks {
    mocs: i64,
    added: i64,
    in_progress: i64,
    built: i64,
    partial: i64,
    complete: i64,
    themes: i64,
    sets: i64,
    wishes: i64,
}

impl Looks {
    async fn of(database: &PgPool) -> Self {
        let look = format!(
            "with moc as (select * from collection.mocs where user_id = $1),
                  covered as ({})
             select (select count(*) from moc) as mocs,
                    (select count(*) from moc where build_status = 'ADDED') as added,
                    (select count(*) from moc where build_status = 'IN_PROGRESS') as in_progress,
                    (select count(*) from moc where build_status = 'BUILT') as built,
                    (select count(*) from covered
                     where covered > 0 and covered < total) as partial,
                    (select count(*) from covered where covered = total) as complete,
                    (select count(distinct theme) from moc) as themes,
                    (select count(*) from collection.sets where user_id = $1) as sets,
                    (select count(*) from collection.wishlist_items where user_id = $1) as wishes",
            coverage::OF_MOCS
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(look)).bind(USERS[0].0);
        let row = row.fetch_one(database).await.unwrap();
        Self {
            mocs: row.get("mocs"),
            added: row.get("added"),
            in_progress: row.get("in_progress"),
            built: row.get("built"),
            partial: row.get("partial"),
            complete: row.get("complete"),
            themes: row.get("themes"),
            sets: row.get("sets"),
            wishes: row.get("wishes"),
        }
    }
}
