//! Runs half an hour of changes and churn: nothing is missed, and nothing grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use client_sdk::random::Random;
use client_sdk::time::Millis;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, median};
use crate::rest::Rest;
use crate::socket::{Socket, Target, wishes};
use crate::tokens;

const SOCKETS: usize = 2_000;
const WRITES_PER_S: u64 = 100;
/// How long a client stays, on average: twenty come and go each second.
const STAY: Duration = Duration::from_secs(100);
/// What is under way when the writers stop has come by then.
const PATIENCE: Duration = Duration::from_secs(10);
const SAMPLE: Duration = Duration::from_secs(5);

/// What has been written for one user: how many wishes, and when the last was committed.
#[derive(Default)]
struct Written {
    wishes: usize,
    last: Option<Instant>,
}

/// Measures the server.
#[expect(clippy::cast_precision_loss, reason = "counts")]
pub(super) async fn run(database: &Database, minutes: u64) -> anyhow::Result<Vec<Figure>> {
    let server = Contender::start_with(Kind::Server, &database.url, crowd::FLAGS).await?;
    let target = Arc::new(Target::plain(&server.address));
    let (tasks, files) = (tasks(&server).await?, server.files()?);
    let written: Arc<Vec<Mutex<Written>>> =
        Arc::new((0..SOCKETS).map(|_| Mutex::default()).collect());
    let (end, ended) = watch::channel(false);
    let (events, joins) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..SOCKETS {
        let client = Client {
            number,
            target: Arc::clone(&target),
            token: tokens::access(&typical(number))?,
            random: Random::new(number as u64),
            written: Arc::clone(&written),
            ended: ended.clone(),
            events: Arc::clone(&events),
            joins: Arc::clone(&joins),
        };
        clients.spawn(client.live());
    }
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let writing = write(database, &written, until);
    let sampling = sample(&server, until);
    let (wrote, samples) = tokio::join!(writing, sampling);
    let (wrote, samples) = (wrote?, samples?);
    end.send(true)?;
    let mut missed = 0;
    while let Some(client) = clients.join_next().await {
        missed += client??;
    }
    // The last sockets' tasks end with them.
    let mut left = (0.0, 0);
    for _ in 0..60 {
        left = (self::tasks(&server).await?, server.files()?);
        if left.0 <= tasks && left.1 <= files {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    server.stop().await?;
    // A sixth of the time warms up.
    let warm = &samples[samples.len() / 6..];
    let growth = slope(warm);
    let memory = median(&warm.iter().map(|(_, rss)| *rss).collect::<Vec<_>>());
    Ok(vec![
        figure("growth of memory in 10 minutes", "%", growth).promised(Promise::AtMost(1.0)),
        figure("memory, median", "MiB", memory).sampled(samples),
        figure("changes", "", wrote as f64),
        figure("events", "", events.load(Ordering::Relaxed) as f64),
        figure("connects", "", joins.load(Ordering::Relaxed) as f64),
        figure("changes missed", "", missed as f64).promised(Promise::AtMost(0.0)),
        figure("tasks left", "", left.0 - tasks).promised(Promise::AtMost(0.0)),
        figure("open files left", "", left.1 as f64 - files as f64).promised(Promise::AtMost(0.0)),
    ])
}

struct Client {
    number: usize,
    target: Arc<Target>,
    token: String,
    random: Random,
    written: Arc<Vec<Mutex<Written>>>,
    ended: watch::Receiver<bool>,
    events: Arc<AtomicU64>,
    joins: Arc<AtomicU64>,
}

impl Client {
    /// Comes and goes until the end. Returns how many changes it should have seen and did not.
    async fn live(mut self) -> anyhow::Result<usize> {
        let mut missed = 0;
        loop {
            let mut socket = Socket::join(&self.target, &self.token).await?;
            self.joins.fetch_add(1, Ordering::Relaxed);
            let joined = Instant::now();
            let longest = u64::try_from(STAY.as_millis())? * 2;
            let stay = self.random.span(Millis(1_000), Millis(longest));
            let leave = joined + Duration::from_millis(stay.0);
            let mut seen = 0;
            let ended = loop {
                tokio::select! {
                    event = socket.event() => {
                        self.events.fetch_add(1, Ordering::Relaxed);
                        if let Some(count) = wishes(&event?) {
                            ensure!(count >= seen, "went back from {seen} to {count}");
                            seen = count;
                        }
                    }
                    () = tokio::time::sleep_until(leave.into()) => break false,
                    changed = self.ended.changed() => {
                        changed.context("the writers have gone")?;
                        break true;
                    }
                }
            };
            // What was committed a moment ago may be under way. Wait for it.
            let expected = {
                let written = &self.written[self.number];
                let written = written.lock().unwrap_or_else(PoisonError::into_inner);
                let own = written.last.is_some_and(|last| last > joined);
                if own { written.wishes } else { 0 }
            };
            let until = Instant::now() + PATIENCE;
            while seen < expected {
                match tokio::time::timeout_at(until.into(), socket.event()).await {
                    Ok(event) => seen = wishes(&event?).unwrap_or(seen),
                    Err(_) => break,
                }
            }
            missed += expected.saturating_sub(seen);
            if ended {
                return Ok(missed);
            }
        }
    }
}

/// Writes at a steady rate. Returns how often.
async fn write(
    database: &Database,
    written: &[Mutex<Written>],
    until: Instant,
) -> anyhow::Result<u64> {
    let count = "select count(*) from collection.wishlist_items where user_id = $1";
    let before: i64 = sqlx::query_scalar(count).bind(typical(0)).fetch_one(&database.pool).await?;
    let before = usize::try_from(before)?;
    let mut pace = interval(Duration::from_millis(1_000 / WRITES_PER_S));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut number, mut wrote) = (0, 0);
    while Instant::now() < until {
        pace.tick().await;
        number = (number + 7_919) % written.len();
        let add =
            "insert into collection.wishlist_items (user_id, title) values ($1, 'bench wish')";
        sqlx::query(add).bind(typical(number)).execute(&database.pool).await?;
        wrote += 1;
        let mut written = written[number].lock().unwrap_or_else(PoisonError::into_inner);
        written.wishes = written.wishes.max(before) + 1;
        written.last = Some(Instant::now());
    }
    Ok(wrote)
}

/// Reads the memory now and then: seconds since the start, and MiB.
async fn sample(server: &Contender, until: Instant) -> anyhow::Result<Vec<(f64, f64)>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while Instant::now() < until {
        sleep(SAMPLE).await;
        samples.push((begun.elapsed().as_secs_f64(), server.rss_kib()? / 1024.0));
        if samples.len() % 24 == 0 {
            let (at, rss) = samples[samples.len() - 1];
            println!("    {:>4.0} min  {:.1} MiB", at / 60.0, rss);
        }
    }
    Ok(samples)
}

/// How many tasks run in the server.
async fn tasks(server: &Contender) -> anyhow::Result<f64> {
    let admin = server.admin.as_deref().context("no operators' side")?;
    let answer = Rest::open(&Target::plain(admin)).await?.get("/metrics").await?;
    let text = String::from_utf8_lossy(&answer.body);
    let line = text.lines().find_map(|line| line.strip_prefix("dashboard_tasks "));
    Ok(line.context("no dashboard_tasks")?.trim().parse()?)
}

/// By least squares: percent of the mean in ten minutes.
#[expect(clippy::cast_precision_loss, reason = "a number of samples")]
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let (above, below) = samples.iter().fold((0.0, 0.0), |(above, below), sample| {
        let dx = sample.0 - x;
        (above + dx * (sample.1 - y), below + dx * dx)
    });
    above / below * 600.0 / y * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_reported_in_percent_of_ten_minutes() {
        let samples: Vec<_> = (0..100).map(|n| (f64::from(n) * 6.0, 1_000.0)).collect();
        assert!(slope(&samples).abs() < 1e-9);
        let growing = (-50..=50).map(|n| (f64::from(n) * 6.0, 1_000.0 + f64::from(n)));
        let growth = slope(&growing.collect::<Vec<_>>());
        assert!((growth - 10.0).abs() < 1e-9, "{growth}");
    }
}
