//! A network that fails on demand: a proxy between a client and the server under test.
//!
//! It stands on loopback, passes everything on, and spoils what a test asks it to spoil, separately
//! for the two lanes that the SDK uses: the socket and the snapshot's requests. What a page is made
//! of always passes. Every connection carries one request, so a lane's fault meets each of them.
//!
//! What it saw is a value, [`Traffic`], that a test reads or awaits.

mod http;
mod rest;
mod socket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use crate::waiting::DEADLINE;

pub use self::http::Canned;

/// How many injected messages may wait for a socket.
const MESSAGES: usize = 256;

/// A running proxy; ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<AbortHandle>,
}

/// One of the two ways that the SDK uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// `/socket.io/`
    Socket,
    /// `/api/`
    Rest,
}

/// What is wrong with a lane.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// What is asked is reset: the connection ends with RST, without an answer.
    Reset,
    /// Nothing passes in either direction, and nothing is closed; open sockets included.
    BlackHole,
    /// What is asked gets this answer, and the server never hears of it.
    Answer(Canned),
    /// REST's answers wait at the proxy, as old as they are, until the fault is another one.
    Hold,
    /// Answers and messages come so much later.
    Late(Duration),
    /// REST's answers are kept, and given again to who asks for the same.
    Cache {
        /// Whether addresses that differ in the query only are different.
        by_query: bool,
    },
    /// REST's requests arrive without their query, and the answers' tags are rewritten.
    DropQueries(Tags),
}

/// What becomes of the header `ETag` on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `"…-gzip"`, as Apache writes it.
    Compressed,
    /// There is none.
    Dropped,
}

/// What the proxy saw.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The snapshot's requests, in the order in which they came.
    pub requests: Vec<Request>,
    /// When each socket was asked for.
    pub attempts: Vec<Instant>,
    /// Sockets now, and the most that there ever were at a time.
    pub sockets: Count,
    /// Requests on their way now, and the most that there ever were at a time.
    pub in_flight: Count,
    /// Events that were kept from the client; see [`Proxy::keep_events`].
    pub kept: Vec<String>,
}

/// A request for the snapshot.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// The tag of the snapshot that the client has, if it says so.
    pub have: Option<String>,
    /// What it was answered with, if only as far as the proxy; none while it is not.
    pub status: Option<u16>,
    /// The answer was that the client has the newest already.
    pub unchanged: bool,
}

/// How many there are, and were at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Now.
    pub now: usize,
    /// At most.
    pub most: usize,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    socket: watch::Sender<Fault>,
    rest: watch::Sender<Fault>,
    keeps_events: watch::Sender<bool>,
    /// Counts the calls of [`Proxy::cut`]. Each task that sees it grow resets its connection.
    cuts: watch::Sender<Cuts>,
    messages: broadcast::Sender<Arc<[u8]>>,
    /// What [`Fault::Cache`] has kept, by address.
    cached: Mutex<HashMap<String, Vec<u8>>>,
    /// A script of the test's own, by its path.
    script: OnceLock<(&'static str, &'static str)>,
    traffic: watch::Sender<Traffic>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    socket: u32,
    rest: u32,
    /// Also those that have asked for nothing yet.
    all: u32,
}

impl Proxy {
    /// Before the server at that address, such as `http://127.0.0.1:40123`.
    pub async fn before(url: &str) -> Self {
        let server = url.strip_prefix("http://").and_then(|address| address.parse().ok());
        let shared = Arc::new(Shared {
            server: server.unwrap_or_else(|| panic!("{url} is no address on loopback")),
            socket: watch::Sender::new(Fault::Pass),
            rest: watch::Sender::new(Fault::Pass),
            keeps_events: watch::Sender::new(false),
            cuts: watch::Sender::default(),
            messages: broadcast::Sender::new(MESSAGES),
            cached: Mutex::default(),
            script: OnceLock::new(),
            traffic: watch::Sender::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut proxy = Self { address, shared, listening: None };
        proxy.listen(listener);
        proxy
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks a lane, or repairs it.
    pub fn set(&self, lane: Lane, fault: Fault) {
        match lane {
            Lane::Socket => self.shared.socket.send_replace(fault),
            Lane::Rest => self.shared.rest.send_replace(fault),
        };
    }

    /// Serves a script at that path, as if the site had it.
    pub fn serve_script(&self, path: &'static str, text: &'static str) {
        self.shared.script.set((path, text)).expect("there is one script at most");
    }

    /// Does the same to both lanes.
    pub fn set_both(&self, fault: &Fault) {
        self.set(Lane::Socket, fault.clone());
        self.set(Lane::Rest, fault.clone());
    }

    /// Resets the open connections of a lane.
    pub fn cut(&self, lane: Lane) {
        self.shared.cuts.send_modify(|cuts| match lane {
            Lane::Socket => cuts.socket += 1,
            Lane::Rest => cuts.rest += 1,
        });
    }

    /// Stops listening, and resets every connection: who connects is refused.
    pub async fn refuse(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            self.shared.cuts.send_modify(|cuts| cuts.all += 1);
            // The port is closed when the task has been dropped.
            crate::within("a refusal", async {
                while TcpStream::connect(self.address).await.is_ok() {
                    crate::pause().await;
                }
            })
            .await;
        }
    }

    /// Listens again, at the same address.
    pub async fn accept(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        self.listen(listener);
    }

    /// Sends every open socket a text message, as if it came from the server.
    pub fn say(&self, text: &str) {
        self.say_raw(socket::frame(text));
    }

    /// Sends every open socket these bytes, which need not be a frame.
    pub fn say_raw(&self, bytes: impl Into<Arc<[u8]>>) {
        let heard = self.shared.messages.send(bytes.into());
        assert!(heard.is_ok_and(|sockets| sockets > 0), "there is a socket to talk to");
    }

    /// Keeps events from the client, into [`Traffic::kept`], or lets them pass again. Heartbeats
    /// pass.
    pub fn keep_events(&self, keep: bool) {
        self.shared.keeps_events.send_replace(keep);
    }

    /// What it saw so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic.borrow().clone()
    }

    /// Waits for traffic that fits.
    pub async fn until(&self, what: &str, fits: impl Fn(&Traffic) -> bool) -> Traffic {
        let mut traffic = self.shared.traffic.subscribe();
        let found = tokio::time::timeout(DEADLINE, traffic.wait_for(fits)).await;
        let Ok(found) = found else {
            panic!("the proxy waited in vain: {what}; it saw {:#?}", self.traffic());
        };
        found.expect("the proxy lives").clone()
    }

    fn listen(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).carry(client));
            }
        });
        self.listening = Some(listening.abort_handle());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        self.shared.cuts.send_modify(|cuts| cuts.all += 1);
    }
}

impl Shared {
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let first = *cuts.borrow();
        let _ = client.set_nodelay(true);
        let head = tokio::select! {
            head = http::Head::read(&mut client) => head,
            _ = cuts.wait_for(|cuts| cuts.all > first.all) => return reset(&client),
        };
        let Some(head) = head else { return };
        let lane = head.lane();
        let is_cut = |cuts: &Cuts| {
            cuts.all > first.all
                || lane == Some(Lane::Socket) && cuts.socket > first.socket
                || lane == Some(Lane::Rest) && cuts.rest > first.rest
        };
        let end = tokio::select! {
            end = async {
                match lane {
                    Some(Lane::Socket) => socket::carry(&self, &mut client, &head).await,
                    Some(Lane::Rest) => rest::carry(&self, &mut client, &head).await,
                    None => match self.script.get().filter(|(path, _)| head.target() == *path) {
                        Some((_, text)) => {
                            let _ = Canned::script(text).write(&mut client).await;
                            End::Closed
                        }
                        None => http::pass(self.server, &mut client, &head).await,
                    },
                }
            } => end,
            _ = cuts.wait_for(is_cut) => End::Reset,
        };
        if matches!(end, End::Reset) {
            reset(&client);
        }
    }
}

/// How a connection ends.
enum End {
    /// In the ordinary way.
    Closed,
    /// With RST.
    Reset,
}

/// Counts something for as long as this value lives.
struct Counted<'a> {
    traffic: &'a watch::Sender<Traffic>,
    which: fn(&mut Traffic) -> &mut Count,
}

impl<'a> Counted<'a> {
    fn new(traffic: &'a watch::Sender<Traffic>, which: fn(&mut Traffic) -> &mut Count) -> Self {
        traffic.send_modify(|traffic| {
            let count = which(traffic);
            count.now += 1;
            count.most = count.most.max(count.now);
        });
        Self { traffic, which }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.traffic.send_modify(|traffic| (self.which)(traffic).now -= 1);
    }
}

/// Makes the stream's end a RST.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
