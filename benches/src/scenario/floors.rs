//! Measures the floors: what no server could go below on this machine.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::database::Database;
use crate::figures::{Figure, figure, median};

const SECONDS: u32 = 5;
const TIMES: usize = 2_000;

/// Measures the database, the network and the runtime on their own.
pub(super) async fn run(database: &Database) -> anyhow::Result<Vec<Figure>> {
    let script = "\\set n random(1, 100000)\nselect id, title from collection.mocs where id = \
                  (select id from bench.picks where number = :n);";
    let (lookups, lookup_ms) = database.pgbench(script, 1, SECONDS).await?;
    let (many, _) = database.pgbench(script, 16, SECONDS).await?;
    let (commits, commit_ms) =
        database.pgbench("insert into bench.nothing values (1);", 1, SECONDS).await?;
    let (accepts, echo_ms) = (accepts().await?, echo().await?);
    Ok(vec![
        figure("primary-key lookups, 1 client", "1/s", lookups),
        figure("primary-key lookup, 1 client", "ms", lookup_ms),
        figure("primary-key lookups, 16 clients", "1/s", many),
        figure("commits, 1 client", "1/s", commits),
        figure("commit, 1 client", "ms", commit_ms),
        figure("TCP accepts", "1/s", accepts),
        figure("WebSocket echo, p50", "ms", echo_ms),
    ])
}

/// Connections that are made, one after the other, and do nothing.
#[expect(clippy::cast_precision_loss, reason = "a number of connections")]
async fn accepts() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(async move {
        let mut streams = Vec::new();
        while streams.len() < TIMES {
            streams.push(listener.accept().await?.0);
        }
        anyhow::Ok(streams)
    });
    let begun = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..TIMES {
        streams.push(TcpStream::connect(address).await?);
    }
    accepting.await??;
    Ok(TIMES as f64 / begun.elapsed().as_secs_f64())
}

/// A message there and back.
async fn echo() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let echoing = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await?.0).await?;
        while let Some(message) = socket.next().await {
            let message = message?;
            if message.is_close() {
                break;
            }
            socket.send(message).await?;
        }
        anyhow::Ok(())
    });
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = client_async(format!("ws://{address}/"), stream).await?;
    let mut ms = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        socket.send(Message::text("x".repeat(300))).await?;
        socket.next().await;
        ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    socket.close(None).await?;
    tokio::time::timeout(Duration::from_secs(5), echoing).await???;
    Ok(median(&ms))
}
