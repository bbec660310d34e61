//! Measures a drain: a server stops on a signal, and its clients go to another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::crowd;
use crate::contender::{Contender, Kind};
use crate::database::{Database, typical};
use crate::figures::{Figure, Promise, figure, quantile};
use crate::rest::Rest;
use crate::socket::Target;
use crate::tokens;

const CLIENTS: usize = 1_000;
/// The server's default.
const WINDOW: Duration = Duration::from_secs(5);
const BIN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_mins(1);

/// A client that has changed over: when it came, and how long its view was unconfirmed after that.
struct Came {
    at: Instant,
    stale: Duration,
}

/// Measures the server.
#[expect(clippy::cast_precision_loss, reason = "numbers of clients")]
pub(super) async fn run(database: &Database) -> anyhow::Result<Vec<Figure>> {
    let leaving = Contender::start_with(Kind::Server, &database.url, crowd::FLAGS).await?;
    let staying = Contender::start(Kind::Server, &database.url).await?;
    let (from, to) = (Target::plain(&leaving.address), Arc::new(Target::plain(&staying.address)));
    let sockets = crowd::join(&from, (0..CLIENTS).map(typical).collect()).await?;
    let mut clients = JoinSet::new();
    for (number, mut socket) in sockets.into_iter().enumerate() {
        let to = Arc::clone(&to);
        clients.spawn(async move {
            let told = socket.event().await?;
            let wait = reconnect_after(&told).with_context(|| told.to_string())?;
            sleep(wait).await;
            change_over(&to, number).await
        });
    }
    let stopped = leaving.terminate().await?;
    let (mut bins, mut stale_ms, mut first) = (BTreeMap::<u128, usize>::new(), Vec::new(), None);
    let mut came = Vec::new();
    while let Some(client) = timeout(PATIENCE, clients.join_next()).await? {
        came.push(client??);
    }
    for Came { at, stale } in &came {
        let first = *first.get_or_insert(came.iter().map(|came| came.at).min().unwrap_or(*at));
        *bins.entry((*at - first).as_millis() / BIN.as_millis()).or_default() += 1;
        stale_ms.push(stale.as_secs_f64() * 1e3);
    }
    staying.stop().await?;
    let fullest = bins.into_values().max().unwrap_or_default() as f64;
    let mean = CLIENTS as f64 * BIN.as_secs_f64() / WINDOW.as_secs_f64();
    Ok(vec![
        figure("the node stopped after", "s", stopped.as_secs_f64()),
        figure("clients in the fullest 100 ms, of the mean", "x", fullest / mean)
            .promised(Promise::AtMost(3.0)),
        figure("live again after coming, p50", "ms", quantile(&stale_ms, 0.5)),
        figure("live again after coming, at most", "ms", quantile(&stale_ms, 1.0))
            .promised(Promise::AtMost(3_000.0)),
    ])
}

/// Opens a socket there and fetches a snapshot.
async fn change_over(to: &Target, number: usize) -> anyhow::Result<Came> {
    let at = Instant::now();
    let user = typical(number);
    let socket = crowd::join(to, vec![user.clone()]).await?;
    let answer = Rest::open(to).await?.snapshot(&tokens::access(&user)?, None).await?;
    ensure!(answer.status == StatusCode::OK, "answered {}", answer.status);
    let stale = at.elapsed();
    drop(socket);
    Ok(Came { at, stale })
}

/// When the server wishes its client to come back.
fn reconnect_after(event: &str) -> Option<Duration> {
    let (_, rest) = event.split_once("\"reconnectAfterMs\":")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    Some(Duration::from_millis(rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wish_is_read() {
        let event = r#"42/dashboard,["x",{"payload":{"code":"y","reconnectAfterMs":750}}]"#;
        assert_eq!(reconnect_after(event), Some(Duration::from_millis(750)));
        assert_eq!(reconnect_after("42/dashboard,[]"), None);
    }
}
