//! Tests a pooler between the server and its database. A pooler that lends sessions by the transaction is refused
//! before a start, and no pooler is asked for settings that it may not know.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::process::command;
use crate::support::{SECRET, TestDb, create_database, drop_database, pause};

/// What a client says who asks for encryption.
const ASKS_FOR_TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();

/// As `PgBouncer` is with `pool_mode=transaction` and `server_round_robin=1`: the sessions of the first few
/// clients are lent to all, each to the client that is next, until its transaction ends.
struct Pooler {
    target: (String, u16),
    /// How many sessions it has with the database.
    size: usize,
    /// Counts those that are not lent.
    free: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: VecDeque<TcpStream>,
    opened: usize,
    /// What the database says once it has let a client in.
    greeting: Vec<u8>,
    /// The settings that clients named as they began.
    named: BTreeSet<String>,
}

impl Pooler {
    /// Starts one before the database at `url`. Returns its own address.
    async fn start(url: &str, size: usize) -> (Arc<Self>, String) {
        let options: PgConnectOptions = url.parse().unwrap();
        let target = (options.get_host().to_owned(), options.get_port());
        let (free, state) = (Semaphore::new(0), Mutex::default());
        let pooler = Arc::new(Self { target, size, free, state });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = Arc::clone(&pooler);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let pooler = Arc::clone(&serving);
                tokio::spawn(async move { pooler.serve(client).await });
            }
        });
        let own = options.host("127.0.0.1").port(port);
        (pooler, own.to_url_lossy().to_string())
    }

    /// Until the client leaves.
    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut start = packet(&mut client).await?;
        if start[4..] == ASKS_FOR_TLS {
            client.write_all(b"N").await?;
            start = packet(&mut client).await?;
        }
        self.greet(&mut client, start).await?;
        loop {
            let first = message(&mut client).await?;
            if first[0] == b'X' {
                return Ok(());
            }
            self.free.acquire().await.unwrap().forget();
            let mut session = self.state.lock().unwrap().sessions.pop_front().unwrap();
            transaction(&mut client, &mut session, first).await?;
            self.state.lock().unwrap().sessions.push_back(session);
            self.free.add_permits(1);
        }
    }

    /// Lets a client in: by the database, while there are too few sessions, else by what that said before.
    async fn greet(&self, client: &mut TcpStream, start: Vec<u8>) -> io::Result<()> {
        let is_first = {
            let mut state = self.state.lock().unwrap();
            let texts: Vec<_> = start[8..].split(|byte| *byte == 0).collect();
            let names = texts.iter().step_by(2).filter(|name| !name.is_empty());
            state.named.extend(names.map(|name| String::from_utf8_lossy(name).into_owned()));
            state.opened += 1;
            state.opened <= self.size
        };
        if !is_first {
            // Another is about to be let in by the database.
            while self.state.lock().unwrap().greeting.is_empty() {
                pause().await;
            }
            let greeting = self.state.lock().unwrap().greeting.clone();
            return client.write_all(&greeting).await;
        }
        let mut session = TcpStream::connect((self.target.0.as_str(), self.target.1)).await?;
        session.write_all(&start).await?;
        let mut greeting = Vec::new();
        loop {
            let said = message(&mut session).await?;
            client.write_all(&said).await?;
            let asks = said[0] == b'R' && ![[0; 4], 12_u32.to_be_bytes()].contains(&code(&said));
            if asks {
                session.write_all(&message(client).await?).await?;
            } else if said[0] != b'R' || code(&said) == [0; 4] {
                greeting.extend(&said);
            }
            if said[0] == b'Z' {
                break;
            }
        }
        let mut state = self.state.lock().unwrap();
        state.greeting = greeting;
        state.sessions.push_back(session);
        self.free.add_permits(1);
        Ok(())
    }
}

/// Passes on what both say until the session is in no transaction.
async fn transaction(
    client: &mut TcpStream,
    session: &mut TcpStream,
    first: Vec<u8>,
) -> io::Result<()> {
    let mut said = first;
    loop {
        session.write_all(&said).await?;
        // A query, or the end of some steps of one: now the database is to answer.
        if [b'Q', b'S'].contains(&said[0]) && answer(client, session).await? {
            return Ok(());
        }
        said = message(client).await?;
    }
}

/// Passes on what the database answers. Returns whether its session is in no transaction then.
async fn answer(client: &mut TcpStream, session: &mut TcpStream) -> io::Result<bool> {
    loop {
        let answer = message(session).await?;
        client.write_all(&answer).await?;
        if let [b'Z', .., state] = answer[..] {
            return Ok(state == b'I');
        }
    }
}

/// A message with its kind.
async fn message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut whole = vec![from.read_u8().await?];
    whole.extend(packet(from).await?);
    Ok(whole)
}

/// A message without a kind, as the first one of a client: its length, and what it says.
async fn packet(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.resize(length as usize, 0);
    from.read_exact(&mut whole[4..]).await?;
    Ok(whole)
}

/// What kind of a message about the log-in it is.
fn code(message: &[u8]) -> [u8; 4] {
    message[5..9].try_into().unwrap()
}

/// All that a command says.
async fn said(mut command: Command) -> (bool, String) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

fn dashboard_server(url: &str, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(arguments).env("DATABASE_URL", url).env("DASHBOARD_JWT_HS256_SECRET", SECRET);
    command
}

#[tokio::test]
async fn a_pooler_that_lends_sessions_by_the_transaction_is_refused_before_anything_is_done() {
    let (name, url) = create_database().await;
    for size in [1, 2] {
        for arguments in [&["check"][..], &["source", "check"], &["source", "install"], &[]] {
            let (_, through) = Pooler::start(&url, size).await;
            let (is_fine, text) = said(dashboard_server(&through, arguments)).await;
            assert!(!is_fine && text.contains("pool_mode=session"), "{size} {arguments:?}: {text}");
        }
    }
    let pool = sqlx::PgPool::connect_lazy(&url).unwrap();
    let db = TestDb { url, pool };
    let has_schema = "select to_regnamespace('dashboard') is not null";
    assert!(!db.one::<bool>(has_schema).await, "it was changed");
    drop_database(&name).await;
}

/// `PgBouncer` refuses a session that names any other setting as it begins.
#[tokio::test]
async fn a_session_begins_without_settings_that_a_pooler_may_not_know() {
    let (name, url) = create_database().await;
    let (pooler, through) = Pooler::start(&url, 1).await;
    assert!(!said(dashboard_server(&through, &["check"])).await.0);
    let known =
        ["DateStyle", "TimeZone", "application_name", "client_encoding", "database", "user"];
    let named = pooler.state.lock().unwrap().named.clone();
    assert_eq!(named, known.map(str::to_owned).into());
    drop_database(&name).await;
}

/// As `PgBouncer` is with `pool_mode=session`: a client has its session until it leaves. Others wait for one.
async fn session_pooler(url: &str, size: usize) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    let target = (options.get_host().to_owned(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let free = Arc::new(Semaphore::new(size));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (free, target) = (Arc::clone(&free), target.clone());
            tokio::spawn(async move {
                let _session = free.acquire().await.unwrap();
                let mut session = TcpStream::connect((target.0.as_str(), target.1)).await.unwrap();
                copy_bidirectional(&mut client, &mut session).await.ok();
            });
        }
    });
    options.host("127.0.0.1").port(port).to_url_lossy().to_string()
}

#[tokio::test]
async fn a_pool_that_is_too_small_is_reported_before_a_start() {
    let (name, url) = create_database().await;
    let through = session_pooler(&url, 5).await;
    let (is_fine, text) = said(dashboard_server(&through, &["check"])).await;
    assert!(
        !is_fine && text.contains("needs 6 connections") && text.contains("pool_size"),
        "{text}"
    );
    let through = session_pooler(&url, 6).await;
    let (is_fine, text) = said(dashboard_server(&through, &["check"])).await;
    assert!(is_fine, "{text}");
    drop_database(&name).await;
}
