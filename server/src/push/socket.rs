//! One socket, from its upgrade to its end: Engine.IO 4 and Socket.IO 5 over a WebSocket, in a
//! single task (see decision 59).
//!
//! ```text
//! what the client says ──▶ packet ──▶ door (who may enter)
//! replies, then the outbox's events, then a farewell ──▶ wire
//! ```
//!
//! The WebSocket library reads, and answers what is the protocol's own (pings, the closing
//! handshake). What this server says goes out past it as whole frames, which are never copied for a
//! socket: see [`Wire`]. Whoever has something for the socket leaves it in its [`Connection`] and
//! wakes the task, which looks at everything each time.

mod wire;

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use shared_types::event::{INVALID_NAMESPACE, NAMESPACE};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use self::wire::Wire;
use crate::gate::Slot;
use crate::metrics::Limit;
use crate::push::connection::{CLOSING, CUT, Connection};
use crate::push::door::{AUTH_FAILURES, Admission, Door, KEYS_UNAVAILABLE, REFUSED};
use crate::push::frames::{FrameScanner, Violation};
use crate::push::packet::{self, Said};
use crate::push::room::AUTH_TIMEOUT;

/// The library reads in pieces of a frame's header, so that next to nothing is left of a message's
/// buffer behind the message: see [`Socket::heard`].
const READ_BUFFER: usize = 0;
/// So much the library may have to say to a client that does not listen: any two of its frames. Of
/// more pings, the last is answered.
const WRITE_BUFFER: usize = 256;
/// So many bytes of replies wait for a client that asks without listening; then it is cut off.
const MAX_REPLIES: usize = 4 * 1024;
/// How long a socket that closes may take to send what it has.
const LAST_WRITES: Duration = Duration::from_millis(500);
/// The frame that ends a WebSocket: 1000, a normal end.
const GOODBYE: &[u8] = &[0x88, 2, 0x03, 0xe8];
/// The same for a client that said too little: 1008, against the rules.
const GOODBYE_SILENT: &[u8] = &[0x88, 2, 0x03, 0xf0];
/// The same for a client that should try again: 1013.
const GOODBYE_FOR_NOW: &[u8] = &[0x88, 2, 0x03, 0xf5];

/// Why a socket ends.
type Reason = &'static str;

/// One socket. Dropping it is its end.
pub(crate) struct Socket<S> {
    wire: Wire<S>,
    websocket: WebSocketContext,
    connection: Arc<Connection>,
    door: Arc<Door>,
    /// The session is being checked.
    admission: Option<Admission>,
    /// The client is in the namespace: events may go out.
    is_admitted: bool,
    /// What the client said last, until the library has looked for more. It lies in the library's
    /// buffer, which is as large as the token of the handshake, say: while this is held, the library
    /// begins a new one instead of keeping that for the socket's life.
    heard: Utf8Bytes,
    /// Frames that answer the client.
    replies: Vec<u8>,
    phase: Phase,
    /// What the phase waits for comes too late.
    deadline: Pin<Box<Sleep>>,
    /// Its place among the sockets.
    slot: Option<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until the next ping is due.
    Idle,
    /// Until the answer to a ping is due.
    Asked,
    /// Closing: what waits has yet to go out.
    Emptying,
    /// Closing: the client has been told, and may say the same.
    Leaving,
    /// Closing: nothing more is written.
    Shut,
}

impl Phase {
    fn is_closing(self) -> bool {
        matches!(self, Self::Emptying | Self::Leaving | Self::Shut)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket over a stream of which `prefix` has been read already.
    pub(crate) fn new(
        stream: S,
        prefix: Bytes,
        connection: Arc<Connection>,
        slot: Slot,
        door: Arc<Door>,
    ) -> Self {
        let terms = door.terms;
        let max_message = usize::try_from(terms.frames.max_message_bytes).ok();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER)
            .max_message_size(max_message)
            .max_frame_size(max_message);
        Self {
            wire: Wire::new(stream, prefix, FrameScanner::new(terms.frames)),
            websocket: WebSocketContext::new(Role::Server, Some(config)),
            connection,
            admission: None,
            is_admitted: false,
            heard: Utf8Bytes::default(),
            replies: Vec::new(),
            phase: Phase::Idle,
            deadline: Box::pin(sleep(terms.heartbeat.interval)),
            slot: Some(slot),
            door,
        }
    }

    /// Serves the socket to its end.
    #[expect(clippy::manual_async_fn, reason = "an async function would hold the socket twice")]
    pub(crate) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            let end = AssertUnwindSafe(self.live()).catch_unwind().await;
            let reason = end.unwrap_or_else(|_| {
                self.door.metrics.panics.inc();
                "panic"
            });
            // Of somebody who never said who it is, the rest says nothing.
            let is_stranger = self.connection.session.get().is_none();
            let is_gone = matches!(reason, "transport_close" | "transport_error");
            self.connection.ended_by(if is_stranger && is_gone {
                "unauthenticated"
            } else {
                reason
            });
        }
    }

    async fn live(&mut self) -> Reason {
        let reason = match self.greet() {
            Ok(()) => poll_fn(|cx| self.poll(cx)).await,
            Err(reason) => reason,
        };
        // Tried once: with TLS, an end that nobody announces might be anybody's.
        poll_fn(|cx| Poll::Ready(self.wire.poll_shutdown(cx).is_ready())).await;
        reason
    }

    fn greet(&mut self) -> Result<(), Reason> {
        let terms = self.door.terms;
        let max_payload = terms.frames.max_message_bytes;
        self.reply(packet::open(&self.sid(), terms.heartbeat, max_payload))
    }

    /// The name under which clients know the socket: that of the logs.
    fn sid(&self) -> String {
        self.connection.id.simple().to_string()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        // Before anything is looked at, so that nothing that comes meanwhile is missed.
        self.connection.waker.register(cx.waker());
        loop {
            match self.step(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
    }

    /// Does all that can be done now. Whether there may be more to do then.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        self.obey()?;
        let is_answered = self.admit(cx)?;
        let is_sent = self.send(cx)?;
        if is_sent && self.phase == Phase::Leaving {
            match self.wire.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.phase = Phase::Shut,
                Poll::Ready(Err(_)) => return Err("transport_error"),
                Poll::Pending => {}
            }
        }
        let is_heard = self.hear(cx)?;
        let is_due = self.watch(cx)?;
        Ok(is_answered || is_heard || is_due)
    }

    /// Does what the rest of the server has decided about the connection.
    fn obey(&mut self) -> Result<(), Reason> {
        match self.connection.state() {
            CUT => Err("transport_error"),
            CLOSING if !self.phase.is_closing() => {
                self.admission = None;
                // Before the client learns of it: who comes back at once finds a room of its own time.
                self.door.rooms.leave(&self.connection, "server_disconnect");
                self.wait(Phase::Emptying, LAST_WRITES);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn wait(&mut self, phase: Phase, patience: Duration) {
        self.phase = phase;
        self.deadline.as_mut().reset(Instant::now() + patience);
    }

    /// Answers the client once its session has been checked.
    fn admit(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let Some(admission) = &mut self.admission else { return Ok(false) };
        let Poll::Ready(admitted) = admission.as_mut().poll(cx) else { return Ok(false) };
        self.admission = None;
        match admitted {
            Ok(()) => {
                self.is_admitted = true;
                self.reply(packet::accept(&self.sid()))?;
            }
            Err(refused) => {
                if let Some(why) = refused.message() {
                    self.reply(Ok(packet::refuse(NAMESPACE, why, why)))?;
                }
            }
        }
        Ok(true)
    }

    /// Puts a packet behind the other replies.
    fn reply(&mut self, packet: Result<String, packet::Failed>) -> Result<(), Reason> {
        let framed = packet.and_then(|packet| packet::frame(packet, &mut self.replies));
        if let Err(error) = framed {
            tracing::error!(%error, "a reply cannot be written");
            return Err("encoding");
        }
        if self.replies.len() > MAX_REPLIES { Err("slow_consumer") } else { Ok(()) }
    }

    /// Sends what waits. Whether all of it is out.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        loop {
            match self.wire.poll_send(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(broken(&error)),
                Poll::Pending => return Ok(false),
            }
            // The library's answers, and what a buffer below has kept. Before anything more is
            // written: a buffer that takes it would hide that the client takes nothing.
            match self.websocket.flush(&mut self.wire.blocking(cx)) {
                Ok(()) => {}
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(self.end(&error, cx)),
            }
            let next = self.next_frames();
            if next.is_empty() {
                return Ok(true);
            }
            self.wire.send(next);
        }
    }

    /// What goes out next: nothing before the client is in the namespace but what answers it.
    fn next_frames(&mut self) -> Bytes {
        if matches!(self.phase, Phase::Leaving | Phase::Shut) {
            return Bytes::new();
        }
        if !self.replies.is_empty() {
            return std::mem::take(&mut self.replies).into();
        }
        if self.is_admitted
            && let Some(events) = self.connection.outbox.next()
        {
            return events;
        }
        if self.phase == Phase::Emptying {
            self.phase = Phase::Leaving;
            self.wire.end();
            return Bytes::from_static(match self.connection.reason() {
                Some(AUTH_TIMEOUT) => GOODBYE_SILENT,
                Some(KEYS_UNAVAILABLE) => GOODBYE_FOR_NOW,
                _ => GOODBYE,
            });
        }
        Bytes::new()
    }

    /// Takes the next message of the client. Whether there was one.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let message = self.websocket.read(&mut self.wire.blocking(cx));
        self.heard = Utf8Bytes::default();
        match message {
            Ok(Message::Text(text)) => {
                self.on_text(&text, cx)?;
                self.heard = text;
            }
            Ok(Message::Binary(_)) => return Err(self.refuse(CloseCode::Unsupported, cx)),
            // The library answers when it is flushed, and after a close has no more to read.
            Ok(Message::Close(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Err(error) if would_block(&error) => return Ok(false),
            Err(error) => return Err(self.end(&error, cx)),
        }
        Ok(true)
    }

    fn on_text(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Reason> {
        let Ok(said) = packet::read(text) else {
            return Err(self.refuse(CloseCode::Protocol, cx));
        };
        match said {
            Said::Pong if self.phase == Phase::Asked => {
                self.wait(Phase::Idle, self.door.terms.heartbeat.interval);
            }
            Said::Connect(auth) => self.knock(auth)?,
            Said::ConnectElsewhere(namespace) => {
                let refusal = packet::refuse(&namespace, "Invalid namespace", INVALID_NAMESPACE);
                self.reply(Ok(refusal))?;
            }
            Said::Disconnect if self.is_admitted || self.admission.is_some() => {
                // Without the namespace the connection has no purpose. Said first, so that every
                // line of its end names the same reason.
                self.connection.close_soon("client_disconnect");
                self.door.rooms.leave(&self.connection, "client_disconnect");
            }
            // Nobody listens; but only who is in, or about to be, may speak.
            Said::Event if !self.is_admitted && self.admission.is_none() => {
                return Err(self.refuse(CloseCode::Policy, cx));
            }
            Said::Close => return Err("transport_close"),
            Said::Pong | Said::Disconnect | Said::Event | Said::Nothing => {}
        }
        Ok(())
    }

    /// One attempt a connection: who was refused may not try again. A second one of who is in, or
    /// about to be, is passed over, as is one that comes while the socket ends for another reason.
    fn knock(&mut self, auth: Option<serde_json::Value>) -> Result<(), Reason> {
        match self.connection.reason() {
            Some(REFUSED | AUTH_FAILURES) => {
                self.door.metrics.limited(Limit::AuthAttempts);
                return Err("auth_attempts");
            }
            None if !self.is_admitted && self.admission.is_none() => {
                self.admission = Some(self.door.admit(&self.connection, auth));
            }
            None | Some(_) => {}
        }
        Ok(())
    }

    /// Keeps the phase's time. Whether it was up.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        if self.deadline.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        match self.phase {
            Phase::Idle => {
                self.wait(Phase::Asked, self.door.terms.heartbeat.timeout);
                self.reply(Ok(packet::PING.to_owned()))?;
                Ok(true)
            }
            Phase::Asked => Err("heartbeat_timeout"),
            Phase::Emptying | Phase::Leaving | Phase::Shut => Err("transport_error"),
        }
    }

    /// Why the socket ends, and the last word to a client that went too far.
    fn end(&mut self, error: &Error, cx: &mut Context<'_>) -> Reason {
        let violation = match error {
            Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(violation) => *violation,
                None => return broken(error),
            },
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return "transport_close";
            }
            _ => Violation::Malformed,
        };
        let code = match violation {
            Violation::MessageSize => {
                self.door.metrics.limited(Limit::MessageSize);
                CloseCode::Size
            }
            Violation::MessageRate => {
                self.door.metrics.limited(Limit::MessageRate);
                CloseCode::Policy
            }
            Violation::Malformed => CloseCode::Protocol,
        };
        let reason = violation.label();
        tracing::info!(
            socket = %self.connection.id.simple(),
            correlation_id = &*self.connection.correlation_id,
            reason,
            "frame refused"
        );
        self.say_why(code, cx);
        reason
    }

    /// Ends a socket whose client says what it may not.
    fn refuse(&mut self, code: CloseCode, cx: &mut Context<'_>) -> Reason {
        self.say_why(code, cx);
        "parse_error"
    }

    /// A courtesy: whether it gets through makes no difference.
    fn say_why(&mut self, code: CloseCode, cx: &mut Context<'_>) {
        let frame = CloseFrame { code, reason: "".into() };
        let _ = self.websocket.close(&mut self.wire.blocking(cx), Some(frame));
    }
}

impl<S> Drop for Socket<S> {
    fn drop(&mut self) {
        self.connection.outbox.close();
        // Whoever hears that it is over may take its place at once.
        drop(self.slot.take());
        self.door.rooms.over(&self.connection);
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Why a stream broke: it tells clients that take nothing from those that are gone.
fn broken(error: &io::Error) -> Reason {
    if error.kind() == io::ErrorKind::TimedOut { "slow_consumer" } else { "transport_error" }
}

#[cfg(test)]
mod tests;
