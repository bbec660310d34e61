//! Two thousand clients that say nothing, are refused, or take nothing: the server closes them
//! automatically, and frees what they used.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Database, Process, Screen, pause, within};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Of each kind, and there are five.
const EACH: usize = 400;
/// What is given back: all but a tenth.
const TOLERANCE: f64 = 1.1;
/// Each with as many sockets as one user may have.
const USERS: usize = EACH / 20;
/// Each event of theirs is larger than the buffers on the way.
const MOCS: i32 = 1_000;
const FLAGS: [&str; 6] =
    ["--requests-per-s", "100000", "--max-connections-per-address", "10000", "--log", "warn"];
const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_hostile_clients_are_disconnected_and_free_what_they_took() {
    let database = Database::create().await;
    let server = Process::start(&database.url(), &FLAGS).await;
    for user in 0..USERS {
        let mut transaction = database.pool().begin().await.unwrap();
        writer::add_mocs(&mut *transaction, &stuck(user), &"wide ".repeat(30), MOCS).await;
        writer::cover_half(&mut transaction, &stuck(user)).await;
        transaction.commit().await.unwrap();
    }
    database.projected().await;
    let tokens = server.tokens.clone();
    let neighbour = Screen::open_with(&server.url(), move || tokens.access("neighbour"));
    neighbour.until_it_shows(&server.rest(), &server.bearer("neighbour")).await;
    // Once on a small scale: what a server makes at its first use and keeps, such as connections to
    // the database, is not theirs.
    let rest = server.rest();
    let users: Vec<_> = (0..USERS).map(|user| server.bearer(&stuck(user))).collect();
    join_all(users.iter().map(|user| rest.snapshot(user))).await;
    round(&server, &database, USERS).await;
    let before = Costs::of(&server).await;

    round(&server, &database, EACH).await;
    let begun = Instant::now();
    let after = within("what they took to be given back", async {
        loop {
            let now = Costs::of(&server).await;
            if now.is_about(&before) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    println!("before {before:?}, after {after:?}, {:?} after the last was gone", begun.elapsed());
    writer::add_moc(database.pool(), "neighbour", &NewMoc::new("Undisturbed", "City")).await;
    neighbour
        .until("the change, pushed", |state| {
            state.view.as_ref().is_some_and(|view| view.summary.total_mocs == 1)
        })
        .await;
    assert_eq!(server.count("dashboard_connections").await, 1);
}

/// Strangers of each kind; returns when the server has closed all.
async fn round(server: &Process, database: &Database, each: usize) {
    let address: SocketAddr = server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let begun = Instant::now();
    let mut strangers = Vec::new();
    for number in 0..each {
        // Says nothing at all.
        strangers.push(connect(address).await);
        // Begins to say something.
        strangers.push(say(address, &UPGRADE[..40]).await);
        // Asks for a socket, and says no more.
        strangers.push(say(address, UPGRADE).await);
        // Is refused.
        let mut refused = say(address, UPGRADE).await;
        refused.write_all(&text_frame("40/dashboard,{\"token\":\"nonsense\"}")).await.ok();
        strangers.push(refused);
        // Is let in, and takes nothing.
        let token = server.tokens.access(&stuck(number % USERS));
        let mut taking_nothing = say(address, UPGRADE).await;
        let connect = text_frame(&format!("40/dashboard,{{\"token\":\"{token}\"}}"));
        taking_nothing.write_all(&connect).await.unwrap();
        strangers.push(taking_nothing);
    }
    until(server, "dashboard_connections", 1 + u64::try_from(each).unwrap()).await;
    println!("{} strangers after {:?}", strangers.len(), begun.elapsed());
    let begun = Instant::now();
    sqlx::query("update collection.mocs set updated_at = updated_at + interval '1 s' where user_id like 'stuck-%'")
        .execute(database.pool())
        .await
        .unwrap();
    // The neighbour has a socket, and may have a connection for snapshots, as has this question.
    until(server, "dashboard_transports", 1).await;
    server.until_metric("dashboard_http_connections", |count| count < 3.5).await;
    println!("all gone after {:?}", begun.elapsed());
    // Nothing of this round is left to be done in the next.
    database.projected().await;
    let ends = strangers.into_iter().map(|mut stranger| async move {
        let mut rest = Vec::new();
        stranger.read_to_end(&mut rest).await.ok();
    });
    within("the strangers to notice", join_all(ends)).await;
}

async fn until(server: &Process, series: &str, count: u64) {
    within(series, async {
        while server.count(series).await != count {
            pause().await;
        }
    })
    .await;
}

/// What a server holds.
#[derive(Debug)]
struct Costs {
    memory_kib: f64,
    files: f64,
}

impl Costs {
    async fn of(server: &Process) -> Self {
        let metrics = server.metrics().await;
        Self {
            memory_kib: metrics.value("process_resident_memory_bytes") / 1024.0,
            files: metrics.value("process_open_fds"),
        }
    }

    fn is_about(&self, before: &Self) -> bool {
        self.memory_kib <= before.memory_kib * TOLERANCE && self.files <= before.files * TOLERANCE
    }
}

fn stuck(number: usize) -> String {
    format!("stuck-{number}")
}

/// A connection whose client could take little, if it took anything.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    within("a connection", socket.connect(address)).await.unwrap()
}

async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// A text frame, masked with zeros.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let head = match u8::try_from(length) {
        Ok(short) if short < 126 => vec![0x81, 0x80 | short],
        _ => [&[0x81, 0xfe][..], &length.to_be_bytes()].concat(),
    };
    [&head[..], &[0; 4], text.as_bytes()].concat()
}
