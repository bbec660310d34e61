//! Measures a server that stood still while another noted five million changes: it catches up, the
//! application does not notice, and the log becomes short again.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::Executor;
use tokio::time::{sleep, timeout};

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure};
use crate::socket::{Target, wishes};

const SOCKETS: usize = 200;
const CHANGES: i32 = 5_000_000;
const PATIENCE: Duration = Duration::from_mins(2);
/// How long rows are kept here. By default it is ten minutes.
const RETENTION_S: &str = "30";
/// How long they may take to go after that.
const REMOVAL_PATIENCE: Duration = Duration::from_mins(3);
const WRITES: &str = "
\\set n random(1, 100000)
update collection.mocs set title = 'renamed ' || random(), updated_at = now()
where id = (select id from bench.picks where number = :n);
";

/// Measures it.
pub(super) async fn run(database: &Database) -> anyhow::Result<Vec<Figure>> {
    // A server that stands still for half a minute finds its sockets' heartbeats late. This scenario does
    // not measure that.
    let flags = ["--change-retention-s", RETENTION_S, "--ping-timeout-ms", "300000"];
    let server = Contender::start_with(Kind::Server, &database.url, &flags).await?;
    let target = Target::plain(&server.address);
    let mut sockets = crowd::join(&target, (0..SOCKETS).map(typical).collect()).await?;
    let (before, _) = database.pgbench(WRITES, 4, 5).await?;

    // Not while it projects: it would stand still with the turn in its hands.
    database.settled().await?;
    server.stand_still()?;
    // Who writes changes has the turn, so that their numbers are in the order of the commits.
    let mut transaction = database.pool.begin().await?;
    sqlx::query("select from dashboard.turn for update").execute(&mut *transaction).await?;
    sqlx::query(
        "insert into dashboard.changes (user_id, sections, nonce)
         select 'user-' || lpad((n % 20000)::text, 5, '0') || '@bench.test', 1, n
         from generate_series(1, $1) as n",
    )
    .bind(CHANGES)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    sqlx::query("insert into collection.wishlist_items (user_id, title) values ($1, 'bench wish')")
        .bind(typical(0))
        .execute(&database.pool)
        .await?;
    server.go_on()?;

    let back = Instant::now();
    let seen = timeout(PATIENCE, async {
        loop {
            let event = sockets[0].event().await?;
            if wishes(&event) == Some(6) {
                return anyhow::Ok(back.elapsed());
            }
        }
    });
    let (seen, writes) = tokio::join!(seen, database.pgbench(WRITES, 4, 5));
    let (seen, (meanwhile, _)) = (seen??, writes?);
    let short = until_short(database, back).await?;
    database.pool.execute("vacuum dashboard.changes").await?;
    let mib: i64 = sqlx::query_scalar("select pg_table_size('dashboard.changes') / 1048576")
        .fetch_one(&database.pool)
        .await?;
    server.stop().await?;
    let mut figures = vec![
        figure("a change behind 5,000,000 is seen after", "s", seen.as_secs_f64()),
        figure("the application's writes meanwhile", "x", meanwhile / before)
            .promised(Promise::AtLeast(0.5)),
        figure("the log is short again after", "s", short.as_secs_f64()),
    ];
    figures.push(figure("the log's size then", "MiB", f64::from(i32::try_from(mib)?)));
    Ok(figures)
}

/// Waits until the log holds little more than each user's newest row.
async fn until_short(database: &Database, since: Instant) -> anyhow::Result<Duration> {
    loop {
        let left: i64 = sqlx::query_scalar(
            "select count(*) from (select from dashboard.changes limit 1000000) as first",
        )
        .fetch_one(&database.pool)
        .await?;
        if left < 100_000 {
            return Ok(since.elapsed());
        }
        ensure!(since.elapsed() < REMOVAL_PATIENCE, "{left} rows are left");
        sleep(Duration::from_millis(250)).await;
    }
}
