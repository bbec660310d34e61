//! Measures the way from a change to the clients that are to see it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::Executor;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, quantile};
use crate::socket::{Socket, Target, wishes};

/// How long changes are made.
const DURATION: Duration = Duration::from_secs(20);
/// The same with a snapshot of the database held open, and how much of it is compared.
const HELD: Duration = Duration::from_mins(10);
const PART: Duration = Duration::from_mins(1);
/// What has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the product's requirements promise of the 95th percentile, in milliseconds.
const D_NFR_2: f64 = 2_000.0;
/// Connections that write.
const WRITERS: usize = 8;

/// How many sockets, and how much happens.
#[derive(Clone, Copy)]
pub(super) struct Load {
    sockets: usize,
    writes_per_s: u32,
    /// In milliseconds.
    p50: f64,
    p99: f64,
}

pub(super) const SMALL: Load = Load { sockets: 2_000, writes_per_s: 200, p50: 15.0, p99: 45.0 };

pub(super) fn crowd(sockets: usize) -> Load {
    Load { sockets, writes_per_s: 500, p50: f64::INFINITY, p99: 150.0 }
}

/// When the wishes of a user were made, in their order, from before each statement was sent.
pub(super) type Log = Arc<Mutex<Vec<Instant>>>;

/// Measures one contender.
#[expect(clippy::cast_precision_loss, reason = "numbers of events")]
pub(super) async fn run(
    kind: Kind,
    database: &Database,
    load: Load,
) -> anyhow::Result<Vec<Figure>> {
    let contender = Contender::start_with(kind, &database.url, crowd::FLAGS).await?;
    let target = Target::plain(&contender.address);
    let joined = crowd::join(&target, (0..load.sockets).map(typical).collect()).await?;
    // The crowd's coming is over.
    sleep(Duration::from_secs(2)).await;
    let (cpu, database_cpu) = (contender.cpu_ms()?, database.cpu_ms()?);
    let seen = watch(database, joined, load.writes_per_s, DURATION).await?;
    let cpu = contender.cpu_ms()? - cpu;
    let database_cpu = database.cpu_ms()? - database_cpu;
    contender.stop().await?;
    let events = seen.events as f64;
    let ms = &seen.latencies_ms();
    let p50 = if load.p50.is_finite() { Promise::AtMost(load.p50) } else { Promise::None };
    Ok(vec![
        figure("change to client, p50", "ms", quantile(ms, 0.5)).promised(p50),
        figure("change to client, p95", "ms", quantile(ms, 0.95))
            .promised(Promise::AtMost(D_NFR_2)),
        figure("change to client, p99", "ms", quantile(ms, 0.99))
            .promised(Promise::AtMost(load.p99)),
        figure("changes missed", "", seen.missed as f64).promised(Promise::AtMost(0.0)),
        figure("CPU per delivered event", "ms", cpu / events).promised(Promise::RatioAtMost(0.35)),
        figure("database CPU per delivered event", "ms", database_cpu / events),
        figure("events delivered", "1/s", events / DURATION.as_secs_f64()),
    ])
}

/// What the clients saw.
pub(super) struct Seen {
    /// For each change, when it was made and how long it took to its client.
    changes: Vec<(Instant, Duration)>,
    pub(super) events: usize,
    pub(super) missed: usize,
}

impl Seen {
    /// How long changes took to their clients.
    pub(super) fn latencies_ms(&self) -> Vec<f64> {
        self.latencies_ms_of(|_| true)
    }

    /// The same for those that were made at some time.
    fn latencies_ms_of(&self, is_meant: impl Fn(Instant) -> bool) -> Vec<f64> {
        let meant = self.changes.iter().filter(|(made, _)| is_meant(*made));
        meant.map(|(_, took)| took.as_secs_f64() * 1e3).collect()
    }
}

/// What the server does while another program's transaction holds an old snapshot, so that no row which
/// has been deleted since can be removed.
#[expect(clippy::cast_precision_loss, reason = "numbers of changes")]
pub(super) async fn held(database: &Database) -> anyhow::Result<Vec<Figure>> {
    const BEGIN: &str = "begin isolation level repeatable read; select pg_current_xact_id()";
    let contender = Contender::start_with(Kind::Server, &database.url, crowd::FLAGS).await?;
    let users = (0..SMALL.sockets).map(typical).collect();
    let joined = crowd::join(&Target::plain(&contender.address), users).await?;
    sleep(Duration::from_secs(2)).await;
    let mut holder = database.pool.acquire().await?;
    holder.execute(BEGIN).await?;
    let began = Instant::now();
    let seen = watch(database, joined, SMALL.writes_per_s, HELD).await?;
    holder.execute("rollback").await?;
    contender.stop().await?;
    let first = seen.latencies_ms_of(|made| made < began + PART);
    let last = seen.latencies_ms_of(|made| made + PART >= began + HELD);
    let growth = quantile(&last, 0.5) / quantile(&first, 0.5);
    Ok(vec![
        figure("first minute, p50", "ms", quantile(&first, 0.5)),
        figure("first minute, p99", "ms", quantile(&first, 0.99)),
        figure("last minute, p50", "ms", quantile(&last, 0.5)),
        figure("last minute, p99", "ms", quantile(&last, 0.99)),
        figure("last minute, p50, of the first's", "x", growth).promised(Promise::AtMost(1.2)),
        figure("changes missed", "", seen.missed as f64).promised(Promise::AtMost(0.0)),
    ])
}

/// Makes changes for the users of those sockets, the first for `typical(0)` and so on, and waits
/// until each has come.
pub(super) async fn watch(
    database: &Database,
    sockets: Vec<Socket>,
    writes_per_s: u32,
    duration: Duration,
) -> anyhow::Result<Seen> {
    let logs: Vec<Log> = sockets.iter().map(|_| Log::default()).collect();
    let before = wishes_before(database).await?;
    let (done, end) = tokio::sync::watch::channel(false);
    let mut readers = JoinSet::new();
    for (mut socket, log) in sockets.into_iter().zip(&logs) {
        let (log, mut end) = (Arc::clone(log), end.clone());
        readers.spawn(async move {
            let (mut changes, mut events) = (Vec::new(), 0_usize);
            // Until all is written and all that was written has come, or too long after.
            let reading = async {
                loop {
                    if *end.borrow() && changes.len() == made(&log) {
                        return anyhow::Ok(());
                    }
                    tokio::select! {
                        event = socket.event() => {
                            let (now, event) = (Instant::now(), event?);
                            events += 1;
                            let Some(count) = wishes(&event) else { continue };
                            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
                            let new = log.iter().take(count.saturating_sub(before));
                            let new = new.skip(changes.len()).map(|made| (*made, now - *made));
                            changes.extend(new);
                        }
                        ended = end.changed() => ended.context("the writers have gone")?,
                    }
                }
            };
            match timeout(duration * 2 + PATIENCE, reading).await {
                Ok(ended) => ended?,
                Err(_) => eprintln!("a client has not seen everything"),
            }
            anyhow::Ok((changes, events, log))
        });
    }
    write(database, &logs, writes_per_s, duration).await?;
    done.send(true)?;
    let mut seen = Seen { changes: Vec::new(), events: 0, missed: 0 };
    while let Some(reader) = readers.join_next().await {
        let (changes, events, log) = reader??;
        seen.missed += made(&log) - changes.len();
        seen.events += events;
        seen.changes.extend(changes);
    }
    Ok(seen)
}

/// Makes wishes at a steady rate, each for another user.
async fn write(
    database: &Database,
    logs: &[Log],
    writes_per_s: u32,
    duration: Duration,
) -> anyhow::Result<()> {
    let mut writers = JoinSet::new();
    let until = Instant::now() + duration;
    for writer in 0..WRITERS {
        let (pool, logs) = (database.pool.clone(), logs.to_vec());
        let pause = Duration::from_secs(1) * u32::try_from(WRITERS)? / writes_per_s;
        writers.spawn(async move {
            let mut connection = pool.acquire().await?;
            let mut ticks = interval(pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // A step that has no divisor in common with any number of sockets that people choose.
            let mut number = writer * 7_919;
            while Instant::now() < until {
                ticks.tick().await;
                // Each writer has separate users, so that their logs are in the order of commits.
                number += 7_919 * WRITERS;
                let place = number % logs.len() / WRITERS * WRITERS + writer;
                let Some(log) = logs.get(place) else { continue };
                let user = typical(place);
                log.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                sqlx::query(
                    "insert into collection.wishlist_items (user_id, title) values ($1, 'bench wish')",
                )
                .bind(user)
                .execute(&mut *connection)
                .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(())
}

/// How many wishes each typical user has before.
async fn wishes_before(database: &Database) -> anyhow::Result<usize> {
    let count = "select count(*) from collection.wishlist_items where user_id = $1";
    let count: i64 = sqlx::query_scalar(count).bind(typical(0)).fetch_one(&database.pool).await?;
    Ok(usize::try_from(count)?)
}

fn made(log: &Log) -> usize {
    log.lock().unwrap_or_else(PoisonError::into_inner).len()
}
