//! Tests how sockets arrive when many come at once: a few at a time. The next one comes as soon as one of them
//! has its snapshot, is gone, or takes too long. The tests use one place, so that each socket waits for the
//! one before.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Frozen, TestDb, TestServer, access, config, start, with_database};

/// How long a client may hold the place, at the least.
const ARRIVAL: Duration = Duration::from_millis(250);
/// How long at the most: as the looks come that often.
const LONGEST: Duration = ARRIVAL.saturating_mul(2);
/// When our clients give up.
const GIVEN_UP: Duration = Duration::from_secs(10);
const CLIENTS: u32 = 24;
const WAITING: usize = 100;
const UPGRADE: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Runs a test on a server where one socket may arrive at a time.
async fn with_one_place<F: Future<Output = ()>>(test: impl FnOnce(TestServer) -> F) {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.max_arriving_sockets = 1;
        config.limits.connect_timeout_ms = 60_000;
        let (server, running) = start(config).await;
        test(running).await;
        server.shutdown().await;
    })
    .await;
}

/// Many clients that want to open sockets, while `open` connections are open. Each sends an upgrade, and
/// then `more`.
async fn wait_in_line(server: &TestServer, open: usize, more: &[u8]) -> Vec<TcpStream> {
    let address = server.base.strip_prefix("http://").unwrap();
    let waiting = join_all((0..WAITING).map(async |_| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[UPGRADE, more].concat()).await.unwrap();
        stream
    }));
    let waiting = waiting.await;
    // And the one that asks.
    let connections = WAITING + open + 1;
    server.await_metric(&format!("dashboard_http_connections {connections}")).await;
    waiting
}

/// The head of the answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_client_with_a_snapshot_makes_room_at_once() {
    with_one_place(|server| async move {
        // While no time passes, no socket makes room because its time is over.
        let _time = Frozen::start();
        for (is_fresh, is_known) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut clients = Vec::new();
            for number in 0..CLIENTS {
                let user = format!("user-{number}");
                let bearer = format!("Bearer {}", access(&user));
                let authorization = ("authorization", bearer.as_str());
                let known = server.get("/api/dashboard", &[authorization]).await;
                clients.push(server.connect(&user).await);
                let tag = known.headers()["etag"].to_str().unwrap();
                let tag = if is_known { tag } else { "\"0-0\"" };
                let answer = if is_fresh {
                    let have = tag.trim_matches('"');
                    let path = format!("/api/dashboard?fresh=a&have={have}");
                    server.get(&path, &[authorization]).await
                } else {
                    server.get("/api/dashboard", &[authorization, ("if-none-match", tag)]).await
                };
                assert_eq!(answer.status(), if is_known && !is_fresh { 304 } else { 200 });
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_gone_makes_room_at_once() {
    with_one_place(|server| async move {
        let _time = Frozen::start();
        for _ in 0..CLIENTS / 2 {
            drop(server.open(&[]).await);
            drop(server.connect("ada").await);
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_client_makes_room_at_once() {
    with_one_place(|server| async move {
        let _time = Frozen::start();
        for _ in 0..CLIENTS {
            let mut client = server.open(&[]).await;
            client.send("40/dashboard,").await;
            assert!(client.frame().await.starts_with("44/dashboard,"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_makes_room_after_a_moment_and_stays() {
    with_one_place(|server| async move {
        let begun = Instant::now();
        let mut first = server.connect("ada").await;
        let _second = server.open(&[]).await;
        assert!(begun.elapsed() >= ARRIVAL, "{:?}", begun.elapsed());
        // Neither refused nor counted as such: it is there, and is heard.
        let metrics = server.metrics().await;
        assert!(metrics.contains("dashboard_limited_total{limit=\"arriving_sockets\"} 0"));
        first.send("41/dashboard,").await;
        server.await_metric("dashboard_connections 0").await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_gives_up_is_not_waited_for() {
    with_one_place(|server| async move {
        let time = Frozen::start();
        // A client that has sent more is not seen to be gone until it is let in.
        for more in [&b""[..], b"more"] {
            let first = server.open(&[]).await;
            let waiting = wait_in_line(&server, 1, more).await;
            drop(waiting);
            // As long as the first may hold the place, and none of it for the others.
            time.pass(LONGEST).await;
            let _next = server.open(&[]).await;
            drop(first);
        }
    })
    .await;
}

#[tokio::test]
async fn no_socket_waits_for_longer_than_clients_do() {
    with_one_place(|server| async move {
        let time = Frozen::start();
        let mut waiting = wait_in_line(&server, 0, b"").await;
        let mut passed = Duration::ZERO;
        while passed + LONGEST < GIVEN_UP {
            time.pass(LONGEST).await;
            passed += LONGEST;
            // A question and its answer: real time, in which those whose turn it is get in.
            server.metrics().await;
        }
        let answers = join_all(waiting.iter_mut().map(head)).await;
        let (told, let_in): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.starts_with("HTTP/1.1 503"));
        assert!(let_in.iter().all(|answer| answer.starts_with("HTTP/1.1 101")), "{let_in:?}");
        assert!(told.len() > WAITING / 2, "{}", told.len());
        assert!(told.iter().all(|answer| answer.contains("retry-after: 1\r\n")), "{told:?}");
        let metrics = server.metrics().await;
        let count = format!("dashboard_limited_total{{limit=\"arriving_sockets\"}} {}", told.len());
        assert!(metrics.contains(&count), "{count}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_lets_no_client_wait() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.max_arriving_sockets = 1;
        let (server, running) = start(config).await;
        let waiting = {
            let _time = Frozen::start();
            wait_in_line(&running, 0, b"").await
        };
        server.shutdown().await;
        let answers = join_all(waiting.into_iter().map(|mut stream| async move {
            let mut answer = String::new();
            // Of those that arrived, frames follow. They are no text, and of no interest.
            stream.read_to_string(&mut answer).await.ok();
            answer
        }));
        let told = answers.await.iter().filter(|text| text.contains("about to stop")).count();
        assert!(told > WAITING / 2, "{told}");
    })
    .await;
}
