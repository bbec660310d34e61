//! Measures a storm: the server is killed, and all clients come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client_sdk::backoff;
use client_sdk::random::Random;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, quantile};
use crate::rest::Rest;
use crate::socket::{Socket, Target};
use crate::tokens;

pub(super) const SMALL: usize = 2_000;
const PATIENCE: Duration = Duration::from_mins(2);
/// How often the load generator looks whether it is late.
const PROBE: Duration = Duration::from_millis(20);

/// What a client reports.
enum News {
    /// It shows a fresh snapshot, and its socket is open.
    Live(Fetched),
    /// A snapshot was not to be had just then.
    Refused,
}

/// What a snapshot took, as its client sees it, in milliseconds.
#[derive(Clone, Copy)]
struct Fetched {
    /// To be connected to the server.
    connect_ms: f64,
    /// That, and the answer.
    whole_ms: f64,
}

/// Measures one contender with that many clients.
#[expect(clippy::cast_precision_loss, reason = "numbers of clients")]
pub(super) async fn run(
    kind: Kind,
    database: &Database,
    clients: usize,
) -> anyhow::Result<Vec<Figure>> {
    let mut contender = Contender::start(kind, &database.url).await?;
    let target = Arc::new(Target::plain(&contender.address));
    let (report, mut news) = mpsc::unbounded_channel();
    let mut living = JoinSet::new();
    for number in 0..clients {
        let (target, report) = (Arc::clone(&target), report.clone());
        let token = tokens::access(&typical(number))?;
        living.spawn(async move { live(&target, &token, number, &report).await });
    }
    until_live(&mut news, clients).await?;
    let down = contender.restart().await?;
    let back = Instant::now();
    let stop = CancellationToken::new();
    let late = tokio::spawn(lateness(stop.clone()));
    let (fetched, refused) = until_live(&mut news, clients).await?;
    let took = back.elapsed();
    stop.cancel();
    let late = late.await?;
    let of = |part: fn(&Fetched) -> f64| fetched.iter().map(part).collect::<Vec<_>>();
    let snapshots = of(|fetched| fetched.whole_ms);
    let connects = of(|fetched| fetched.connect_ms);
    living.shutdown().await;
    contender.stop().await?;
    Ok(vec![
        figure("the server did not answer for", "s", down.as_secs_f64()),
        figure("all live again after", "s", took.as_secs_f64()).promised(Promise::AtMost(20.0)),
        figure("snapshot meanwhile, p50", "ms", quantile(&snapshots, 0.5)),
        figure("snapshot meanwhile, p95", "ms", quantile(&snapshots, 0.95))
            .promised(Promise::AtMost(600.0)),
        figure("of that, being connected, p95", "ms", quantile(&connects, 0.95)),
        figure("the load generator's own delay, at most", "ms", quantile(&late, 1.0)),
        figure("snapshots asked for again", "", refused as f64),
    ])
}

/// Waits until this number of clients more have become live. Returns how long each snapshot took, and
/// how many were refused.
async fn until_live(
    news: &mut mpsc::UnboundedReceiver<News>,
    clients: usize,
) -> anyhow::Result<(Vec<Fetched>, usize)> {
    let (mut snapshots, mut refused) = (Vec::new(), 0);
    let all = async {
        while snapshots.len() < clients {
            match news.recv().await {
                Some(News::Live(fetched)) => snapshots.push(fetched),
                Some(News::Refused) => refused += 1,
                None => break,
            }
        }
    };
    let ended = timeout(PATIENCE, all).await;
    anyhow::ensure!(ended.is_ok(), "only {} of {clients} are live", snapshots.len());
    Ok((snapshots, refused))
}

/// How late this process's own timers are, in milliseconds: what of a wait is the load generator's.
async fn lateness(stop: CancellationToken) -> Vec<f64> {
    let mut late = Vec::new();
    while !stop.is_cancelled() {
        let due = Instant::now() + PROBE;
        sleep_until(due.into()).await;
        late.push(due.elapsed().as_secs_f64() * 1e3);
    }
    late
}

/// A client by the SDK's law: it waits before each attempt, and longer after each failure.
async fn live(
    target: &Target,
    token: &str,
    number: usize,
    report: &mpsc::UnboundedSender<News>,
) -> anyhow::Result<()> {
    let mut random = Random::new(number as u64);
    let mut failures = 0;
    loop {
        if let Ok(mut socket) = Socket::join(target, token).await {
            fetch(target, token, &mut random, report).await;
            failures = 0;
            let far = Instant::now() + PATIENCE * 4;
            socket.idle(far).await.ok();
        }
        failures += 1;
        sleep(Duration::from_millis(backoff::delay(failures, &mut random).0)).await;
    }
}

/// Fetches the snapshot, again if it must.
async fn fetch(
    target: &Target,
    token: &str,
    random: &mut Random,
    report: &mpsc::UnboundedSender<News>,
) {
    let mut failures = 0;
    loop {
        let asked = Instant::now();
        let answer = async {
            let mut rest = Rest::open(target).await?;
            let connect_ms = asked.elapsed().as_secs_f64() * 1e3;
            anyhow::Ok((connect_ms, rest.snapshot(token, None).await?))
        };
        let wait = match answer.await {
            Ok((connect_ms, answer)) if answer.status == StatusCode::OK => {
                let whole_ms = asked.elapsed().as_secs_f64() * 1e3;
                report.send(News::Live(Fetched { connect_ms, whole_ms })).ok();
                return;
            }
            Ok((_, answer)) => answer.retry_after.unwrap_or_default(),
            Err(_) => 0,
        };
        report.send(News::Refused).ok();
        failures += 1;
        let delay = Duration::from_millis(backoff::delay(failures, random).0);
        sleep(Duration::from_secs(wait) + delay).await;
    }
}
