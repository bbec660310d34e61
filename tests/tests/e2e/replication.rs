//! The application's tables are a subscription's: no session here writes them.

use client_sdk::state::Status;
use e2e_tests::{OwnCluster, Process, Screen, writer};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const USER: &str = "replication@example.test";
const TABLES: &str = include_str!("../../../server/sources/standalone/tables.sql");

#[tokio::test]
async fn what_logical_replication_applies_is_seen_as_any_other_write_is() {
    let mut cluster = OwnCluster::start().await;
    cluster.execute("alter system set wal_level = logical").await;
    cluster.kill();
    cluster.start_again().await;
    let server = Process::start(&cluster.url(), &[]).await;
    let tokens = server.tokens.clone();
    let screen = Screen::open_with(&server.url(), move || tokens.access(USER));
    let until = async |titles: &[&str], partial: usize, wishes: u32| {
        let what = format!("live with {titles:?}, {partial} of them partial, and {wishes} wishes");
        let fits = |view: &shared_types::DashboardView| {
            let mut shown: Vec<_> = view.recent_mocs.iter().map(|moc| moc.title.as_str()).collect();
            shown.sort_unstable();
            shown == titles
                && view.partial_parts_mocs.len() == partial
                && view.summary.total_wishlist_items == wishes
        };
        screen
            .until(&what, |state| {
                let view = state.view.as_ref();
                state.status == Status::Live
                    && view.is_some_and(|view| fits(&view.to_dashboard_view()))
            })
            .await;
    };
    until(&[], 0, 0).await;

    cluster.execute("create database publisher").await;
    let own = cluster.url();
    let publisher = format!("{}/publisher", own.rsplit_once('/').unwrap().0);
    let mut there = PgConnection::connect(&publisher).await.unwrap();
    for statements in [
        TABLES,
        "create publication collection for all tables",
        // By hand, because a subscription waits for itself where it makes one in its own cluster.
        "select pg_create_logical_replication_slot('collection', 'pgoutput')",
    ] {
        there.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await.unwrap();
    }
    // What is there already is copied.
    let castle = writer::add_moc(&mut there, USER, &writer::NewMoc::new("Castle", "City")).await;
    writer::cover_half(&mut there, USER).await;
    let subscribe = format!(
        "create subscription collection connection '{publisher}' publication collection
         with (create_slot = false, slot_name = 'collection')"
    );
    cluster.execute(&subscribe).await;
    until(&["Castle"], 1, 0).await;
    // What comes later is applied row by row.
    writer::add_moc(&mut there, USER, &writer::NewMoc::new("Tower", "City")).await;
    let wish = writer::add_wish(&mut there, USER, "Titanic").await;
    until(&["Castle", "Tower"], 1, 1).await;
    writer::rename_moc(&mut there, castle, "Keep").await;
    writer::own_parts(&mut there, USER, ("3001", 4, 5)).await;
    writer::remove_wish(&mut there, wish).await;
    until(&["Keep", "Tower"], 0, 0).await;
    writer::delete_moc(&mut there, castle).await;
    until(&["Tower"], 0, 0).await;
    there.execute("truncate collection.mocs cascade").await.unwrap();
    until(&[], 0, 0).await;
    there.close().await.unwrap();
}
