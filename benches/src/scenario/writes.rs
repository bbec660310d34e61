//! Measures what the application's own writes cost with the server's triggers, and without.

use std::time::{Duration, Instant};

use sqlx::Executor;
use tokio::time::sleep;

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, median};
use crate::host::REARM;
use crate::socket::Target;

const SECONDS: u32 = 8;
const SOCKETS: usize = 200;
/// Repetitions of a large transaction.
const TIMES: usize = 5;

/// What an application does all day: a title is changed, a wish is added, a MOC is added.
const MIX: &str = "
\\set what random(1, 10)
\\set n random(1, 100000)
\\set u random(101, 19999)
\\if :what <= 5
update collection.mocs set title = 'renamed ' || random(), updated_at = now()
where id = (select id from bench.picks where number = :n);
\\elif :what <= 8
insert into collection.wishlist_items (user_id, title)
values ('user-' || lpad(:u::text, 5, '0') || '@bench.test', 'bench wish');
\\else
insert into collection.mocs (user_id, title, theme)
values ('user-' || lpad(:u::text, 5, '0') || '@bench.test', 'bench moc', 'City');
\\endif
";

/// Large transactions, by whose rows they touch: 10,000 of one user, as an import does, and one each
/// of 10,000 users, which makes the most changes: each names a user.
const LARGE: [(&str, &str, &str); 2] = [
    (
        "10,000 rows inserted at once",
        "10,000 rows updated at once",
        "insert into collection.mocs (user_id, title, theme)
         select 'user-05000@bench.test', 'bench moc', 'City' from generate_series(1, 10000)",
    ),
    (
        "one row each of 10,000 users inserted",
        "one row each of 10,000 users updated",
        "insert into collection.mocs (user_id, title, theme)
         select id, 'bench moc', 'City' from bench.users where number between 5000 and 14999",
    ),
];
const LARGE_UPDATE: &str = "
    update collection.mocs set title = title || '+', updated_at = now() where title = 'bench moc'";
const TABLES: [&str; 5] = ["mocs", "moc_parts", "inventory", "sets", "wishlist_items"];

/// With the server and its triggers (`Server`), or without either (`Floor`).
pub(super) async fn run(kind: Kind, database: &Database) -> anyhow::Result<Vec<Figure>> {
    let with_us = kind == Kind::Server;
    let server = if with_us {
        let server = Contender::start(kind, &database.url).await?;
        let target = Target::plain(&server.address);
        let sockets = crowd::join(&target, (0..SOCKETS).map(typical).collect()).await?;
        Some((server, crowd::keep(sockets)))
    } else {
        None
    };
    switch_triggers(database, with_us).await?;
    let measured = measure(database, with_us).await;
    switch_triggers(database, true).await?;
    if let Some((server, mut sockets)) = server {
        sockets.shutdown().await;
        server.stop().await?;
    }
    measured
}

async fn measure(database: &Database, with_us: bool) -> anyhow::Result<Vec<Figure>> {
    // Without triggers nothing is noted, and without a server nothing projected.
    let settled = async || if with_us { database.settled().await } else { Ok(()) };
    let mut figures = Vec::new();
    let names = ["writes, 1 writer", "writes, 8 writers", "writes, 32 writers"];
    for (clients, name) in [1, 8, 32].into_iter().zip(names) {
        let (tps, _) = database.pgbench(MIX, clients, SECONDS).await?;
        figures.push(figure(name, "1/s", tps).promised(Promise::RatioAtLeast(0.7)));
        settled().await?;
    }
    for (inserted, updated, insert) in LARGE {
        let (mut inserts, mut updates) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            database.take_back().await?;
            settled().await?;
            // What comes after a large deletion is not what is measured.
            database.pool.execute("vacuum collection.mocs").await?;
            sleep(Duration::from_millis(500)).await;
            for (statement, ms) in [(insert, &mut inserts), (LARGE_UPDATE, &mut updates)] {
                let begun = Instant::now();
                database.pool.execute(statement).await?;
                ms.push(begun.elapsed().as_secs_f64() * 1e3);
                settled().await?;
            }
        }
        for (name, ms) in [(inserted, inserts), (updated, updates)] {
            figures.push(figure(name, "ms", median(&ms)).promised(Promise::RatioAtMost(1.3)));
        }
    }
    Ok(figures)
}

async fn switch_triggers(database: &Database, on: bool) -> anyhow::Result<()> {
    let action = if on { "enable" } else { "disable" };
    for table in TABLES {
        let statement = format!("alter table collection.{table} {action} trigger user");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&database.pool).await?;
    }
    if on {
        database.pool.execute(REARM).await?;
    }
    Ok(())
}
