//! Measures eight servers on one database: what they cost while nothing happens, and whether each client
//! hears of its changes, no matter which server it is connected to.

use std::time::Duration;

use tokio::time::sleep;

use super::{crowd, latency};
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, quantile};
use crate::socket::{Socket, Target};

const NODES: usize = 8;
const SOCKETS: usize = 2_000;
const WRITES_PER_S: u32 = 200;
const IDLE: Duration = Duration::from_secs(10);

/// Measures them together.
#[expect(clippy::cast_precision_loss, reason = "numbers of changes")]
pub(super) async fn run(database: &Database) -> anyhow::Result<Vec<Figure>> {
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Contender::start_with(Kind::Server, &database.url, crowd::FLAGS).await?);
    }
    sleep(Duration::from_secs(2)).await;
    let alone = per_node(database).await?;
    let mut places: Vec<Vec<Socket>> = Vec::new();
    for (node, contender) in nodes.iter().enumerate() {
        let target = Target::plain(&contender.address);
        let users = (node..SOCKETS).step_by(NODES).map(typical).collect();
        places.push(crowd::join(&target, users).await?);
    }
    let watched = per_node(database).await?;
    // In the order of the users again.
    let mut places: Vec<_> = places.into_iter().map(Vec::into_iter).collect();
    let sockets = (0..SOCKETS).filter_map(|number| places[number % NODES].next()).collect();
    let seen = latency::watch(database, sockets, WRITES_PER_S, Duration::from_secs(15)).await?;
    for node in nodes {
        node.stop().await?;
    }
    let ms = &seen.latencies_ms();
    Ok(vec![
        figure("database CPU per node without sockets", "ms/s", alone),
        figure("database CPU per node with sockets", "ms/s", watched),
        figure("change to client, p50", "ms", quantile(ms, 0.5)),
        figure("change to client, p99", "ms", quantile(ms, 0.99)).promised(Promise::AtMost(60.0)),
        figure("changes missed", "", seen.missed as f64).promised(Promise::AtMost(0.0)),
    ])
}

/// CPU time of the database per server and second while nothing happens, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a number of nodes")]
async fn per_node(database: &Database) -> anyhow::Result<f64> {
    let before = database.cpu_ms()?;
    sleep(IDLE).await;
    Ok((database.cpu_ms()? - before) / IDLE.as_secs_f64() / NODES as f64)
}
