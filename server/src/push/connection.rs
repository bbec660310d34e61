//! A socket's connection, as the rest of the server sees it: whose it is, what waits for it, and how
//! to end it.
//!
//! What it says is carried out by its stream, [`Guarded`](super::guarded::Guarded), which belongs to
//! the Socket.IO library and can only be woken from here.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Wake;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::auth::{AuthError, Session};
use crate::clock;
use crate::gate::{Address, Arrival};
use crate::push::outbox::{Batch, Outbox, Unsent};

/// How long a frame that was just handed to the library has to get into the writer's hands.
const LAST_FRAME: Duration = Duration::from_millis(100);
/// How long a closing connection may take to send what it has.
pub(super) const LAST_WRITES: Duration = Duration::from_millis(500);

/// How long a socket counts as one that arrives, at most and give or take the next look.
pub(crate) const ARRIVAL: Duration = Duration::from_millis(250);

/// What the handshake's request bore as the session cookie.
#[derive(Debug, Default)]
pub(crate) enum Cookie {
    /// No cookie, or one that has been used up.
    #[default]
    Absent,
    /// A cookie that cannot be used, such as that of a page that may not use it.
    Refused(AuthError),
    /// The token in the cookie.
    Token(String),
}

/// One WebSocket connection, from the upgrade to the end of its stream.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Our own name for it: the library's would let whoever reads it impersonate the client.
    pub(crate) id: Uuid,
    /// Of the request that opened it.
    pub(crate) correlation_id: Arc<str>,
    /// When it was opened.
    pub(crate) since: Instant,
    /// Where it comes from.
    pub(crate) address: Address,
    /// Whose it is, once it has authenticated.
    pub(crate) session: OnceLock<Session>,
    cookie: Mutex<Cookie>,
    /// Its place among those who arrive, until its user has a snapshot.
    arrival: Mutex<Option<Arrival>>,
    state: AtomicU8,
    reason: OnceLock<&'static str>,
    /// Events on their way to the client.
    pub(super) outbox: Outbox,
    /// Whoever of the library's two halves reads the stream, and whoever writes to it.
    pub(super) reader: AtomicWaker,
    pub(super) writer: AtomicWaker,
}

pub(super) const OPEN: u8 = 0;
/// Reads fail, so that the library ends the session; writes go on.
pub(super) const CLOSING: u8 = 1;
/// Nothing works any more.
pub(super) const CUT: u8 = 2;

impl Connection {
    /// A connection that has just been upgraded.
    pub(crate) fn new(
        cookie: Cookie,
        address: Address,
        correlation_id: Arc<str>,
        arrival: Arrival,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: clock::random_id(),
            correlation_id,
            since: Instant::now(),
            address,
            session: OnceLock::new(),
            cookie: Mutex::new(cookie),
            arrival: Mutex::new(Some(arrival)),
            state: AtomicU8::new(OPEN),
            reason: OnceLock::new(),
            outbox: Outbox::default(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        })
    }

    /// The cookie, which is not kept.
    pub(crate) fn take_cookie(&self) -> Cookie {
        std::mem::take(&mut *self.cookie.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes room for the next one to arrive. Safe to call again and again.
    pub(crate) fn settle(&self) {
        drop(self.arrival.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Hands over events. They go out in this order, once the client has been told that it is
    /// accepted.
    pub(crate) fn send(&self, batch: &Batch) -> Result<(), Unsent> {
        if self.state() != OPEN {
            return Err(Unsent::Closed);
        }
        self.outbox.push(batch)?;
        // The library always reads, and the stream looks into the outbox whenever it does.
        self.reader.wake();
        Ok(())
    }

    /// Why it ended, if that is known.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.reason.get().copied()
    }

    /// Why it ended: that, if nothing is known that came before.
    pub(crate) fn ended_by(&self, reason: &'static str) -> &'static str {
        self.reason.get_or_init(|| reason)
    }

    /// Ends the connection once the frames that were handed over before have been sent, the library's
    /// included.
    pub(crate) fn close_soon(self: &Arc<Self>, reason: &'static str) {
        if self.reason.set(reason).is_err() {
            return;
        }
        // Whoever is on the way out asks for nothing.
        self.settle();
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            sleep(LAST_FRAME).await;
            connection.advance(CLOSING);
            sleep(LAST_WRITES).await;
            connection.advance(CUT);
        });
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self, reason: &'static str) {
        // The first reason is the true one.
        self.ended_by(reason);
        self.advance(CUT);
    }

    pub(super) fn advance(&self, state: u8) {
        self.state.fetch_max(state, Ordering::SeqCst);
        self.wake_both();
    }

    fn wake_both(&self) {
        self.reader.wake();
        self.writer.wake();
    }

    pub(super) fn state(&self) -> u8 {
        self.state.load(Ordering::SeqCst)
    }
}

/// Wakes both halves of the stream's user.
impl Wake for Connection {
    fn wake(self: Arc<Self>) {
        self.wake_both();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_both();
    }
}
