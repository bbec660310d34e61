//! Tests the same for the collection in our own tables: what is counted is what plain loops over its rows count.

use std::collections::BTreeMap;

use dashboard_server::source::Source;
use rand::prelude::IndexedRandom;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::Host;

const TABLES: &str = include_str!("../../../sources/standalone/tables.sql");

/// By key: owner, title, theme, build status, covered, total.
type Mocs = BTreeMap<String, (String, String, String, String, i64, i64)>;

#[tokio::test]
async fn all_writes_to_a_collection_are_projected() {
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut host = Host::of(&Source::built_in("standalone").unwrap(), TABLES, &[]).await;
        for step in 0..150 {
            let statement = statement(&mut random, step);
            let ran = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut host.connection);
            if let Err(error) = ran.await {
                assert!(error.as_database_error().is_some(), "{statement}: {error}");
                sqlx::raw_sql("rollback").execute(&mut host.connection).await.unwrap();
            }
            host.settle().await;
            let expected = expected(&mut host.connection).await;
            let projected = projected(&mut host.node).await;
            assert_eq!(projected, expected, "seed {seed}, step {step}: {statement}");
            assert_eq!(
                counts(&mut host.node, "select user_id, theme from dashboard.sets").await,
                counts(&mut host.connection, "select user_id, theme from collection.sets").await
            );
        }
        host.end().await;
    }
}

fn statement(random: &mut StdRng, step: u32) -> String {
    let user = *["ada", "ada", "bob"].choose(random).unwrap();
    let mut id = || Uuid::from_u128(0x4000_8000_0000_0000_0000 + random.random_range(0..6));
    let (id, other) = (id(), id());
    let part = *["3001", "3002"].choose(random).unwrap();
    let (quantity, owned) = (random.random_range(1..9), random.random_range(0..6));
    let status = *["ADDED", "IN_PROGRESS", "BUILT"].choose(random).unwrap();
    match random.random_range(0..16) {
        0..=3 => format!(
            "insert into collection.mocs (id, user_id, title, theme, build_status)
             values ('{id}', '{user}', 'Title {step}', 'City', '{status}')
             on conflict (id) do update set title = excluded.title"
        ),
        4..=6 => format!(
            "insert into collection.moc_parts values ('{id}', '{part}', 1, {quantity})
             on conflict (moc_id, part_num, color_id) do update set quantity = excluded.quantity"
        ),
        7..=8 => format!(
            "insert into collection.inventory values ('{user}', '{part}', 1, {owned}, {quantity})
             on conflict (user_id, part_num, color_id) do update
             set owned_quantity = excluded.owned_quantity"
        ),
        // What was only ordered is cancelled.
        9 => format!("delete from collection.inventory where user_id = '{user}'"),
        10 => format!("update collection.mocs set user_id = '{user}' where id = '{id}'"),
        11 => format!("update collection.moc_parts set moc_id = '{other}' where moc_id = '{id}'"),
        12 => format!("delete from collection.mocs where id = '{id}'"),
        13 => format!(
            "begin; delete from collection.moc_parts;
             insert into collection.moc_parts select id, '{part}', 1, {quantity} from collection.mocs;
             update collection.mocs set build_status = '{status}'; commit"
        ),
        14 => format!("insert into collection.sets (user_id, title, theme) values ('{user}', '', 'City')"),
        _ => "truncate collection.moc_parts, collection.sets".to_owned(),
    }
}

async fn expected(connection: &mut PgConnection) -> Mocs {
    let lots: Vec<(String, String, i32, i64)> = sqlx::query_as(
        "select user_id, part_num, color_id, owned_quantity::int8 + ordered_quantity
         from collection.inventory",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let lots: BTreeMap<_, _> =
        lots.into_iter().map(|(user, part, color, have)| ((user, part, color), have)).collect();
    let parts: Vec<(Uuid, String, i32, i32)> =
        sqlx::query_as("select moc_id, part_num, color_id, quantity from collection.moc_parts")
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    let mocs: Vec<(Uuid, String, String, String, String)> =
        sqlx::query_as("select id, user_id, title, theme, build_status::text from collection.mocs")
            .fetch_all(connection)
            .await
            .unwrap();
    mocs.into_iter()
        .map(|(id, user, title, theme, status)| {
            let (mut covered, mut total) = (0, 0);
            for (_, part, color, quantity) in parts.iter().filter(|(moc, ..)| *moc == id) {
                let have = lots.get(&(user.clone(), part.clone(), *color)).copied().unwrap_or(0);
                total += i64::from(*quantity);
                covered += i64::from(*quantity).min(have);
            }
            (id.to_string(), (user, title, theme, status, covered, total))
        })
        .collect()
}

async fn projected(connection: &mut PgConnection) -> Mocs {
    let mocs: Vec<(String, String, String, String, String, i64, i64)> = sqlx::query_as(
        "select key, user_id, title, theme, build_status::text, covered_parts::int8, total_parts::int8
         from dashboard.mocs",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    let row = |(key, user, title, theme, status, covered, total)| {
        (key, (user, title, theme, status, covered, total))
    };
    mocs.into_iter().map(row).collect()
}

async fn counts(
    connection: &mut PgConnection,
    query: &'static str,
) -> BTreeMap<(String, String), usize> {
    let rows: Vec<(String, String)> = sqlx::query_as(query).fetch_all(connection).await.unwrap();
    rows.into_iter().fold(BTreeMap::new(), |mut counts, row| {
        *counts.entry(row).or_default() += 1;
        counts
    })
}
