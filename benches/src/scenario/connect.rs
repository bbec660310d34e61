//! Measures what a crowd costs that connects, stays idle and leaves.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::crowd;
use crate::contender::{self, Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, quantile};
use crate::rest::Rest;
use crate::socket::{Socket, Target};
use crate::tokens;

/// How long memory may take to come back.
const BACK: Duration = Duration::from_mins(2);
/// Sockets of each user where everyone gets a large event.
const EACH: usize = 100;
/// Themes that make a large event.
const THEMES: usize = 240;
/// How many sockets come in a second where none asks for a snapshot.
const PACE: u32 = 1_000;
/// What is called large, in bytes.
const LARGE: usize = 16 * 1024;
/// What has not come by then will not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Connects that many, one for each user.
#[expect(clippy::cast_precision_loss, reason = "numbers of sockets")]
pub(super) async fn run(
    kind: Kind,
    database: &Database,
    sockets: usize,
    tls: bool,
) -> anyhow::Result<Vec<Figure>> {
    let (contender, target) = start(kind, database, tls).await?;
    let before = contender.settled_rss_kib().await?;
    let (cpu, begun) = (contender.cpu_ms()?, Instant::now());
    let joined = crowd::join(&target, (0..sockets).map(typical).collect()).await?;
    let (took, cpu) = (begun.elapsed(), contender.cpu_ms()? - cpu);
    let mut kept = crowd::keep(joined);
    let during = contender.settled_rss_kib().await?;
    kept.shutdown().await;
    let (after, back) = until_back(&contender, before).await?;
    contender.stop().await?;
    let count = sockets as f64;
    let limit = if tls { 24.0 } else { 16.0 };
    Ok(vec![
        figure("memory per idle connection", "KiB", (during - before) / count)
            .promised(Promise::AtMost(limit)),
        figure("CPU per connect", "ms", cpu / count).promised(Promise::RatioAtMost(0.35)),
        figure("connects", "1/s", count / took.as_secs_f64()),
        figure("memory at the start", "MiB", before / 1024.0),
        figure("memory after all left, of the start", "x", after / before)
            .promised(Promise::AtMost(1.2)),
        figure("memory back after", "s", back.as_secs_f64()),
    ])
}

/// Connects that many, and sends each an event of 16 KiB.
#[expect(clippy::cast_precision_loss, reason = "numbers of sockets")]
pub(super) async fn large_event(
    kind: Kind,
    database: &Database,
    sockets: usize,
) -> anyhow::Result<Vec<Figure>> {
    let users: Vec<_> = (0..sockets.div_ceil(EACH)).map(typical).collect();
    let (contender, target) = start(kind, database, false).await?;
    let before = contender.settled_rss_kib().await?;
    let all = users.iter().flat_map(|user| std::iter::repeat_n(user.clone(), EACH));
    let mut joined = crowd::join(&target, all.collect()).await?;
    let idle = contender.settled_rss_kib().await?;
    for user in &users {
        sqlx::query(
            "insert into collection.sets (user_id, title, theme)
             select $1, 'bench set', 'A theme with a name of quite usual length ' || n
             from generate_series(1, $2) as n",
        )
        .bind(user)
        .bind(i32::try_from(THEMES)?)
        .execute(&database.pool)
        .await?;
    }
    for socket in &mut joined {
        // Many rows are projected in pieces, so a smaller event or two may come first.
        let large = async {
            while socket.event().await?.len() <= LARGE {}
            anyhow::Ok(())
        };
        timeout(PATIENCE, large).await.context("no event was large")??;
    }
    let mut kept = crowd::keep(joined);
    let large = contender.settled_rss_kib().await?;
    kept.shutdown().await;
    contender.stop().await?;
    let count = sockets as f64;
    Ok(vec![
        figure("memory per connection before", "KiB", (idle - before) / count),
        figure("memory per connection after", "KiB", (large - before) / count),
        figure("left by the event", "KiB", (large - idle) / count)
            .promised(Promise::RatioAtMost(1.0)),
    ])
}

/// Lets that many come at an even pace, none of which asks for a snapshot, and the server treat them as it
/// does by default: how long each takes to be in.
#[expect(clippy::cast_precision_loss, reason = "numbers of sockets")]
pub(super) async fn unasked(database: &Database, sockets: usize) -> anyhow::Result<Vec<Figure>> {
    let contender = Contender::start(Kind::Server, &database.url).await?;
    let target = Target::plain(&contender.address);
    let (mut joining, begun) = (JoinSet::new(), Instant::now());
    for number in 0..sockets {
        let due = begun + Duration::from_secs(1) * u32::try_from(number)? / PACE;
        sleep_until(due.into()).await;
        let (target, token) = (target.clone(), tokens::access(&typical(number))?);
        joining.spawn(async move {
            let socket = Socket::join(&target, &token).await?;
            anyhow::Ok((due.elapsed(), socket))
        });
    }
    let (mut waits, mut joined) = (Vec::new(), Vec::new());
    while let Some(done) = joining.join_next().await {
        let (wait, socket) = done??;
        waits.push(wait.as_secs_f64() * 1e3);
        joined.push(socket);
    }
    let took = begun.elapsed();
    drop(joined);
    contender.stop().await?;
    let pace = f64::from(PACE);
    Ok(vec![
        figure("connects", "1/s", sockets as f64 / took.as_secs_f64())
            .promised(Promise::AtLeast(0.95 * pace)),
        figure("connect p50", "ms", quantile(&waits, 0.5)),
        figure("connect p95", "ms", quantile(&waits, 0.95)),
    ])
}

/// A contender that has done each step once.
async fn start(kind: Kind, database: &Database, tls: bool) -> anyhow::Result<(Contender, Target)> {
    let (contender, target) = if tls {
        let certificate = contender::certificate()?;
        let (url, tls) = (&database.url, certificate.clone());
        let contender = Contender::start_tls(kind, url, tls, crowd::FLAGS).await?;
        let target = Target::tls(&contender.address, &certificate)?;
        (contender, target)
    } else {
        let contender = Contender::start_with(kind, &database.url, crowd::FLAGS).await?;
        let target = Target::plain(&contender.address);
        (contender, target)
    };
    for number in 0..20 {
        let token = tokens::access(&typical(number))?;
        drop(Socket::join(&target, &token).await?);
        Rest::open(&target).await?.snapshot(&token, None).await?;
    }
    Ok((contender, target))
}

/// Waits until memory is within a fifth of what it was. Returns how much it is then, and how long that
/// took.
async fn until_back(contender: &Contender, start: f64) -> anyhow::Result<(f64, Duration)> {
    let begun = Instant::now();
    loop {
        let now = contender.rss_kib()?;
        if now <= start * 1.2 || begun.elapsed() > BACK {
            return Ok((now, begun.elapsed()));
        }
        sleep(Duration::from_millis(250)).await;
    }
}
