//! Represents a socket to the rest of the server: its user, the events that wait for it, and how to end it.
//!
//! The connection's task does what is requested here, and a request wakes it. The task is in
//! [`websocket`](super::websocket) or [`polling`](super::polling).

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::{AuthError, Session};
use crate::clock;
use crate::dashboard::tags;
use crate::limits::{Address, Arrival};
use crate::sockets::end_reason::EndReason;
use crate::sockets::message::Message;
use crate::sockets::outbox::{Closed, Outbox};
use crate::sockets::packet;

/// Writes a line about a connection into the log: as one for developers only, where its address has
/// had its share of lines.
macro_rules! log_line {
    ($connection:expr, $($rest:tt)+) => {{
        let connection = &$connection;
        let (socket, correlation_id) = (connection.id.simple(), &*connection.correlation_id);
        if connection.is_logged {
            tracing::info!(%socket, correlation_id, $($rest)+);
        } else {
            tracing::debug!(%socket, correlation_id, $($rest)+);
        }
    }};
}
pub(crate) use log_line;

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

/// What carries a socket's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A WebSocket.
    WebSocket,
    /// HTTP long-polling.
    Polling,
}

impl Transport {
    /// Socket.IO's own name, for the logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

/// What is known of a connection when it is asked for.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) transport: Transport,
    pub(crate) cookie: Cookie,
    pub(crate) address: Address,
    pub(crate) correlation_id: Arc<str>,
    /// Whether its address may have lines in the log for it.
    pub(crate) is_logged: bool,
}

/// One socket's connection, from its opening to its end, over a WebSocket or many requests.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Its name, in logs and for its client. The name gives its reader no rights.
    pub(crate) id: Uuid,
    /// Of the request that opened it.
    pub(crate) correlation_id: Arc<str>,
    /// Whether its address may have lines in the log for it.
    pub(crate) is_logged: bool,
    /// When it was opened.
    pub(crate) since: Instant,
    /// Where it comes from.
    pub(crate) address: Address,
    /// The session of its user, once it has authenticated.
    pub(crate) session: OnceLock<Session>,
    cookie: Mutex<Cookie>,
    /// Its place among the arriving sockets, until its user has a snapshot.
    place: Mutex<Option<Place>>,
    /// That place was taken away before its user had one.
    is_late: AtomicBool,
    /// When the client was asked whether it is there, and has not answered since: milliseconds since it was
    /// opened, plus one. Zero if it has answered.
    asked: AtomicU64,
    /// It is to be asked now.
    is_to_be_asked: AtomicBool,
    state: AtomicU8,
    is_polling: AtomicBool,
    reason: OnceLock<EndReason>,
    /// Events on their way to the client.
    pub(super) outbox: Outbox,
    /// The socket's task.
    pub(super) waker: AtomicWaker,
}

/// A place among the arriving sockets.
#[derive(Debug)]
struct Place {
    #[expect(dead_code, reason = "held")]
    arrival: Arrival,
    /// When it was the server's turn, to read the tag that belongs into the acceptance.
    begun: Option<Instant>,
    /// When the acceptance was ready.
    accepted: Option<Instant>,
}

impl Place {
    /// For how long the client has kept the server waiting since that moment. What the server takes itself does not
    /// count, as long as it keeps to its own limit.
    fn kept(&self, since: Instant, now: Instant) -> Duration {
        let until = self.accepted.unwrap_or(now);
        let reading = self.begun.map(|begun| until.saturating_duration_since(begun));
        let reading = reading.unwrap_or_default().min(tags::PATIENCE);
        now.saturating_duration_since(since).saturating_sub(reading)
    }
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Open,
    /// What waits goes out, and nothing more is taken.
    Closing,
    /// Nothing works any more.
    Cut,
}

impl Connection {
    /// A connection that begins.
    pub(crate) fn new(opening: Opening, arrival: Arrival) -> Arc<Self> {
        let Opening { transport, cookie, address, correlation_id, is_logged } = opening;
        Arc::new(Self {
            id: clock::random_id(),
            correlation_id,
            is_logged,
            since: Instant::now(),
            address,
            session: OnceLock::new(),
            cookie: Mutex::new(cookie),
            place: Mutex::new(Some(Place { arrival, begun: None, accepted: None })),
            is_late: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            is_to_be_asked: AtomicBool::new(false),
            state: AtomicU8::new(State::Open as u8),
            is_polling: AtomicBool::new(transport == Transport::Polling),
            reason: OnceLock::new(),
            outbox: Outbox::default(),
            waker: AtomicWaker::new(),
        })
    }

    /// What carries it now.
    pub(crate) fn transport(&self) -> Transport {
        if self.is_polling.load(Ordering::SeqCst) {
            Transport::Polling
        } else {
            Transport::WebSocket
        }
    }

    /// Notes that a WebSocket carries it from now on.
    pub(crate) fn upgraded(&self) {
        self.is_polling.store(false, Ordering::SeqCst);
    }

    /// The cookie, which is not kept.
    pub(crate) fn take_cookie(&self) -> Cookie {
        std::mem::take(&mut *self.cookie.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that the client has done its part: now its tag is read.
    pub(crate) fn accepting(&self) {
        if let Some(place) = &mut *self.place() {
            place.begun = Some(Instant::now());
        }
    }

    /// Notes that the acceptance goes out. The client acts next.
    pub(crate) fn accepted(&self) {
        if let Some(place) = &mut *self.place() {
            place.accepted = Some(Instant::now());
        }
    }

    /// Makes room for the next one to arrive. Safe to call again and again.
    pub(crate) fn release_arrival(&self) {
        self.place().take();
    }

    /// The same, if the client has taken that long or longer until now. Whether it held a place and does no more.
    pub(crate) fn take_away(&self, patience: Duration, now: Instant) -> bool {
        let place = self.place().take_if(|place| place.kept(self.since, now) >= patience);
        if place.is_some() {
            self.is_late.store(true, Ordering::Relaxed);
        }
        place.is_some()
    }

    /// The same, because its user has a snapshot. Whether that took too long.
    pub(crate) fn served(&self) -> bool {
        self.release_arrival();
        self.is_late.swap(false, Ordering::Relaxed)
    }

    /// Has the client asked whether it is there, without waiting for the next time.
    pub(crate) fn ask(&self) {
        self.is_to_be_asked.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Takes the wish that it be asked, if there is one.
    pub(super) fn take_ask(&self) -> bool {
        self.is_to_be_asked.load(Ordering::SeqCst)
            && self.is_to_be_asked.swap(false, Ordering::SeqCst)
    }

    /// Notes that the client has just been asked whether it is there.
    pub(super) fn asked(&self) {
        let at = self.since.elapsed().as_millis();
        let at = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1);
        self.asked.store(at, Ordering::SeqCst);
    }

    /// Notes that it has answered.
    pub(super) fn answered(&self) {
        self.asked.store(0, Ordering::SeqCst);
    }

    /// For how long the client has owed an answer. None if it owes none.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let asked = self.asked.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.since.elapsed().saturating_sub(Duration::from_millis(asked)))
    }

    /// Hands over events. They go out in this order, once the client has received its acceptance. Returns how
    /// many waiting ones they replace.
    pub(crate) fn send(&self, messages: &[Message]) -> Result<usize, Closed> {
        if self.state() != State::Open {
            return Err(Closed);
        }
        let superseded = self.outbox.push(messages)?;
        self.waker.wake();
        Ok(superseded)
    }

    /// The same for a packet that is no event.
    pub(crate) fn send_packet(&self, packet: impl Into<Bytes>) -> Result<(), Closed> {
        let mut frame = Vec::new();
        if self.state() != State::Open || packet::frame(packet, &mut frame).is_err() {
            return Err(Closed);
        }
        self.outbox.push_packet(frame.into())?;
        self.waker.wake();
        Ok(())
    }

    /// Why it ended, if that is known.
    pub(crate) fn reason(&self) -> Option<EndReason> {
        self.reason.get().copied()
    }

    /// Why it ended: that, if nothing is known that came before.
    pub(crate) fn ended_by(&self, reason: EndReason) -> EndReason {
        *self.reason.get_or_init(|| reason)
    }

    /// Ends the connection once the events that were handed over before have been sent.
    pub(crate) fn close_soon(&self, reason: EndReason) {
        if self.reason.set(reason).is_err() {
            return;
        }
        // A socket that is closing asks for nothing.
        self.release_arrival();
        self.advance(State::Closing);
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self, reason: EndReason) {
        // The first reason is the true one.
        self.ended_by(reason);
        self.advance(State::Cut);
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, state: State) {
        self.state.fetch_max(state as u8, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::SeqCst) {
            0 => State::Open,
            1 => State::Closing,
            _ => State::Cut,
        }
    }
}

#[cfg(test)]
impl Opening {
    /// From this machine, with nothing to show.
    pub(crate) fn local(transport: Transport) -> Self {
        Self {
            transport,
            cookie: Cookie::Absent,
            address: Address::of([127, 0, 0, 1].into()),
            correlation_id: "c-1".into(),
            is_logged: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn arriving() -> Arc<Connection> {
        Connection::new(Opening::local(Transport::WebSocket), Arrival::unlimited())
    }

    fn take_away(connection: &Connection) -> bool {
        connection.take_away(PATIENCE, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_takes_for_the_tag_is_not_counted_against_the_client() {
        let connection = arriving();
        advance(Duration::from_millis(100)).await;
        connection.accepting();
        advance(tags::PATIENCE).await;
        assert!(!take_away(&connection));
        connection.accepted();
        advance(Duration::from_millis(149)).await;
        assert!(!take_away(&connection));
        advance(Duration::from_millis(1)).await;
        assert!(take_away(&connection));
        assert!(!take_away(&connection), "it has none any more");
        assert!(connection.served(), "that it comes late is known");
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_is_kept_for_ever() {
        let (says_nothing, is_never_accepted) = (arriving(), arriving());
        is_never_accepted.accepting();
        advance(PATIENCE).await;
        assert!(take_away(&says_nothing) && !take_away(&is_never_accepted));
        advance(tags::PATIENCE).await;
        assert!(take_away(&is_never_accepted));
    }
}
