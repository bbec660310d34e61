//! Measures what the heartbeats of idle sockets cost the server.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, figure};
use crate::socket::Target;

/// What is compared: how often, and how long an answer may take, in ms.
const BEATS: [(&str, &str, &str); 2] = [
    ("CPU per idle connection, asked every 25 s", "25000", "20000"),
    ("CPU per idle connection, asked every 10 s", "10000", "5000"),
];
/// All are asked equally often in it, whichever it is.
const WINDOW: Duration = Duration::from_secs(50);
/// By then each has been asked for the first time.
const SETTLED: Duration = Duration::from_secs(25);

/// Measures one after the other, each on a separate server.
pub(super) async fn run(database: &Database, sockets: usize) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, interval, timeout) in BEATS {
        let flags = ["--ping-interval-ms", interval, "--ping-timeout-ms", timeout];
        let flags = [crowd::FLAGS, &flags].concat();
        let contender = Contender::start_with(Kind::Server, &database.url, &flags).await?;
        // A server with sockets looks for changes more often than one without: that is not theirs.
        let alone = cost(&contender, 1).await?;
        let all = cost(&contender, sockets).await?;
        contender.stop().await?;
        #[expect(clippy::cast_precision_loss, reason = "a number of sockets")]
        let each = (all - alone) / sockets as f64;
        figures.push(figure(name, "us/s", each * 1e3));
    }
    Ok(figures)
}

/// CPU time that the server takes in a second while it has that many sockets, in ms.
async fn cost(contender: &Contender, sockets: usize) -> anyhow::Result<f64> {
    let target = Target::plain(&contender.address);
    let mut kept = crowd::keep(crowd::join(&target, (0..sockets).map(typical).collect()).await?);
    sleep(SETTLED).await;
    let (cpu, begun) = (contender.cpu_ms()?, Instant::now());
    sleep(WINDOW).await;
    let cost = (contender.cpu_ms()? - cpu) / begun.elapsed().as_secs_f64();
    // One that has ended would cost nothing.
    if let Some(ended) = kept.try_join_next() {
        ended??;
        anyhow::bail!("a socket ended by itself");
    }
    kept.shutdown().await;
    Ok(cost)
}
