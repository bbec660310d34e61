//! A socket's connection, as the rest of the server sees it: whose it is, what waits for it, and how
//! to end it.
//!
//! What is asked of it here is done by its task, the [`Socket`](super::socket::Socket), which is woken
//! for it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::{AuthError, Session};
use crate::clock;
use crate::gate::{Address, Arrival};
use crate::push::outbox::{Batch, Outbox, Unsent};

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
    /// Its name, in logs and for its client. Whoever reads it can do nothing with it.
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
    /// The socket's task.
    pub(super) waker: AtomicWaker,
}

pub(super) const OPEN: u8 = 0;
/// What waits goes out, and nothing more is taken.
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
            waker: AtomicWaker::new(),
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
        self.waker.wake();
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

    /// Ends the connection once the events that were handed over before have been sent.
    pub(crate) fn close_soon(&self, reason: &'static str) {
        if self.reason.set(reason).is_err() {
            return;
        }
        // Whoever is on the way out asks for nothing.
        self.settle();
        self.advance(CLOSING);
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self, reason: &'static str) {
        // The first reason is the true one.
        self.ended_by(reason);
        self.advance(CUT);
    }

    fn advance(&self, state: u8) {
        self.state.fetch_max(state, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn state(&self) -> u8 {
        self.state.load(Ordering::SeqCst)
    }
}
