//! Measures an outage: the database is killed and comes back. Also how soon sockets end that are to end.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use private_postgres::{Cluster, Options};
use sqlx::{Connection, PgConnection};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::typical;
use crate::figures::{Figure, Promise, figure, quantile};
use crate::rest::Rest;
use crate::socket::{Socket, Target, wishes};
use crate::tokens;

const NAME: &str = "outage";
const FOLDER: &str = "target/bench/outage";
const USERS: usize = 500;
const PATIENCE: Duration = Duration::from_mins(1);
/// Snapshots that are asked for while the database is away.
const ASKED: usize = 12;
const REFUSED: usize = 100;
/// Sockets with one token that ends soon.
const EXPIRING: usize = 50;
const SESSION: Duration = Duration::from_secs(5);

/// Measures the server, on a separate cluster.
pub(super) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut cluster = spawn_blocking(begin).await??;
    let url = cluster.url(NAME);
    let contender = Contender::start_with(Kind::Server, &url, crowd::FLAGS).await?;
    let target = Target::plain(&contender.address);
    let (refused_ms, expired_ms) = (refusals(&target).await?, expiries(&target).await?);

    let sockets = crowd::join(&target, (0..USERS).map(typical).collect()).await?;
    let pid = cluster.pid().context("the cluster has ended")?;
    let killed = Instant::now();
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
    let sockets = all(sockets, |event| event.contains("SNAPSHOT_UNAVAILABLE")).await?;
    let told = killed.elapsed();
    let asked_s = ask(&target).await?;

    let cluster = spawn_blocking(move || cluster.restart().map(|()| cluster)).await??;
    let returned = Instant::now();
    let missed = tokio::spawn(all(sockets, |event| wishes(event) == Some(1)));
    write(&url).await?;
    drop(missed.await??);
    let seen = returned.elapsed();

    let open = target.open().await?;
    let stopped = contender.terminate().await?;
    drop(open);
    spawn_blocking(move || cluster.stop()).await??;
    Ok(vec![
        figure("refused sockets are gone after, p95", "ms", quantile(&refused_ms, 0.95))
            .promised(Promise::AtMost(1_000.0)),
        figure("sockets are gone after their token's end", "ms", quantile(&expired_ms, 1.0))
            .promised(Promise::AtMost(1_000.0)),
        figure("database killed: everyone is told after", "s", told.as_secs_f64()),
        figure("snapshots are answered meanwhile, at most", "s", quantile(&asked_s, 1.0))
            .promised(Promise::AtMost(5.0)),
        figure("all have what they missed, after its return", "s", seen.as_secs_f64())
            .promised(Promise::AtMost(2.0)),
        figure("stopped, with a connection that is silent", "s", stopped.as_secs_f64())
            .promised(Promise::AtMost(4.0)),
    ])
}

fn begin() -> anyhow::Result<Cluster> {
    if Path::new(FOLDER).exists() {
        std::fs::remove_dir_all(FOLDER)?;
    }
    std::fs::create_dir_all("target/bench")?;
    let cluster = Cluster::start(&Options::new(FOLDER), &mut |said| println!("{said}"))?;
    cluster.create_database(NAME)?;
    Ok(cluster)
}

/// From the refused attempt to the end of the connection, in milliseconds.
async fn refusals(target: &Target) -> anyhow::Result<Vec<f64>> {
    let mut ms = Vec::new();
    for _ in 0..REFUSED {
        ms.push(Socket::refused(target, "").await?.as_secs_f64() * 1e3);
    }
    Ok(ms)
}

/// From the end of a token to that of its sockets, in milliseconds.
async fn expiries(target: &Target) -> anyhow::Result<Vec<f64>> {
    let (token, end) = tokens::access_for(&typical(0), SESSION)?;
    let mut sockets = Vec::new();
    for _ in 0..EXPIRING {
        sockets.push(Socket::join(target, &token).await?);
    }
    let mut ends = JoinSet::new();
    for mut socket in sockets {
        ends.spawn(async move {
            while socket.event().await.is_ok() {}
            SystemTime::now().duration_since(UNIX_EPOCH)
        });
    }
    let mut ms = Vec::new();
    while let Some(ended) = timeout(PATIENCE, ends.join_next()).await? {
        ms.push(ended??.saturating_sub(end).as_secs_f64() * 1e3);
    }
    Ok(ms)
}

/// Reads each socket up to an event that fits.
async fn all(sockets: Vec<Socket>, fits: fn(&str) -> bool) -> anyhow::Result<Vec<Socket>> {
    let mut reading = JoinSet::new();
    for mut socket in sockets {
        reading.spawn(async move {
            while !fits(&socket.event().await?) {}
            anyhow::Ok(socket)
        });
    }
    let mut sockets = Vec::new();
    while let Some(read) = timeout(PATIENCE, reading.join_next()).await? {
        sockets.push(read??);
    }
    Ok(sockets)
}

/// How long snapshots take while there is no database, in seconds.
async fn ask(target: &Target) -> anyhow::Result<Vec<f64>> {
    let token = tokens::access(&typical(0))?;
    let mut seconds = Vec::new();
    for _ in 0..ASKED {
        let asked = Instant::now();
        let answer = Rest::open(target).await?.snapshot(&token, None).await?;
        seconds.push(asked.elapsed().as_secs_f64());
        ensure!(answer.status == 503 && answer.retry_after.is_some(), "{}", answer.status);
    }
    Ok(seconds)
}

/// One wish for each user, most likely before the server has its connections back.
async fn write(url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let users: Vec<_> = (0..USERS).map(typical).collect();
    sqlx::query(
        "insert into collection.wishlist_items (user_id, title) select unnest($1), 'Missed'",
    )
    .bind(users)
    .execute(&mut connection)
    .await?;
    Ok(connection.close().await?)
}
