//! Opens many sockets at once.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use crate::socket::{Socket, Target};
use crate::tokens;

/// How many connect at the same time.
const AT_ONCE: usize = 64;
/// For the server that a crowd of bare sockets connects to. Unlike the SDK, none of them asks for a
/// snapshot, and a server admits such sockets slowly. A crowd is not meant to measure that.
pub(super) const FLAGS: &[&str] = &["--max-arriving-sockets", "1000000"];
/// Longer than any measurement.
const LONG: Duration = Duration::from_hours(6);

/// Opens a socket for each of those users, in that order.
pub(super) async fn join(target: &Target, users: Vec<String>) -> anyhow::Result<Vec<Socket>> {
    let joining = users.into_iter().map(|user| async move {
        let token = tokens::access(&user)?;
        Socket::join(target, &token).await
    });
    stream::iter(joining).buffered(AT_ONCE).try_collect().await
}

/// Keeps sockets alive, each in a separate task, until the returned set is dropped.
pub(super) fn keep(sockets: Vec<Socket>) -> JoinSet<anyhow::Result<()>> {
    let until = Instant::now() + LONG;
    sockets.into_iter().map(|mut socket| async move { socket.idle(until).await }).collect()
}
