//! The network between a server and its database, which may fall silent: connections stay open, and
//! nothing passes in either direction. Neither side gets a sign.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::waiting::within;

/// A link; it ends with this value.
#[derive(Debug)]
pub struct DatabaseLink {
    url: String,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

/// What becomes of the connections that a silence caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// They go on where they were, with what was held back.
    GoOn,
    /// They stay silent for ever, as behind a router that has forgotten them.
    Forgotten,
}

#[derive(Debug)]
struct Shared {
    database: SocketAddr,
    state: watch::Sender<State>,
    /// Falls silent before this passes towards the database.
    trigger: Mutex<Option<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    silent: bool,
    /// Counts the silences.
    silences: u64,
    /// Connections from before this silence stay silent.
    forgotten: u64,
    /// How long a new connection takes to be made.
    connecting: Duration,
}

impl DatabaseLink {
    /// A link to the database at that address.
    pub async fn to(url: &str) -> Self {
        let address = url.split_once('@').and_then(|(_, rest)| rest.split_once('/'));
        let (address, _) = address.expect("an address with user and name");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            database: address.parse().expect("a number and a port"),
            state: watch::Sender::default(),
            trigger: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            url: url.replacen(address, &own.to_string(), 1),
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// The database's address by way of this link.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Falls silent.
    pub fn silence(&self) {
        self.shared.silence();
    }

    /// Falls silent once the server sends that text, which does not pass any more.
    pub fn silence_at(&self, text: &str) {
        *self.shared.trigger() = Some(text.as_bytes().to_vec());
    }

    /// Whether it is silent.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.shared.state.borrow().silent
    }

    /// Waits until it is silent.
    pub async fn until_silent(&self) {
        let mut state = self.shared.state.subscribe();
        let silent = state.wait_for(|state| state.silent);
        within("the silence", silent).await.expect("it lives");
    }

    /// From now on connections take that long to be made.
    pub fn connect_slowly(&self, connecting: Duration) {
        self.shared.state.send_modify(|state| state.connecting = connecting);
    }

    /// Ends the silence.
    pub fn end_silence(&self, caught: Caught) {
        self.shared.state.send_modify(|state| {
            state.silent = false;
            if caught == Caught::Forgotten {
                state.forgotten = state.silences;
            }
        });
    }
}

impl Shared {
    fn silence(&self) {
        self.state.send_modify(|state| {
            state.silent = true;
            state.silences += 1;
        });
    }

    fn trigger(&self) -> std::sync::MutexGuard<'_, Option<Vec<u8>>> {
        self.trigger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that is what the link was to fall silent at. A statement's text is sent at once.
    fn is_triggered_by(&self, bytes: &[u8]) -> bool {
        let mut trigger = self.trigger();
        trigger
            .take_if(|text| bytes.windows(text.len()).any(|window| window == text.as_slice()))
            .is_some()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, Arc::clone(&shared)));
    }
}

/// Carries one connection. Born during a silence, it is caught by it as well.
async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let born = shared.state.borrow().silences;
    let born = if shared.state.borrow().silent { born.saturating_sub(1) } else { born };
    shared.audible(born).await;
    let connecting = shared.state.borrow().connecting;
    tokio::time::sleep(connecting).await;
    let Ok(server) = TcpStream::connect(shared.database).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(from_client, to_server, &shared, born, true);
    let down = pump(from_server, to_client, &shared, born, false);
    tokio::join!(up, down);
}

impl Shared {
    /// Returns as soon as connections of that age are not silent.
    async fn audible(&self, born: u64) {
        let mut state = self.state.subscribe();
        state.wait_for(|state| !state.silent && born >= state.forgotten).await.ok();
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    born: u64,
    up: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if up && shared.is_triggered_by(&buffer[..read]) {
            shared.silence();
        }
        // The end of a connection is held back as well.
        shared.audible(born).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            to.shutdown().await.ok();
            return;
        }
    }
}
