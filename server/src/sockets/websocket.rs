//! Runs a socket over a WebSocket, in a single task.
//!
//! The WebSocket library reads, and answers what is the protocol's own (pings, the closing handshake). The
//! server's own messages go out past the library as whole frames, which are never copied for a socket: see
//! [`Wire`].

mod wire;

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use self::wire::Wire;
use super::session::{Fault, Phase, Session};
use crate::metrics::{Limit, Metrics};
use crate::sockets::connection::{Connection, log_line};
use crate::sockets::end_reason::EndReason;
use crate::sockets::frames::{FrameLimits, FrameScanner, Violation};

/// The library reads in pieces of a frame's header, so that next to nothing is left of a message's
/// buffer behind the message: see [`Link::heard`].
const READ_BUFFER: usize = 0;
/// The bytes that the library may hold for a client that does not listen: any two of its frames. Of
/// more pings, the last is answered.
const WRITE_BUFFER: usize = 256;
/// How long a socket that closes may take to send what it has.
const LAST_WRITES: Duration = Duration::from_millis(500);
/// The frame that ends a WebSocket: 1000, a normal end.
const GOODBYE: &[u8] = &[0x88, 2, 0x03, 0xe8];
/// The same for a client that said too little: 1008, against the rules.
const GOODBYE_SILENT: &[u8] = &[0x88, 2, 0x03, 0xf0];
/// The same for a client that should try again: 1013.
const GOODBYE_FOR_NOW: &[u8] = &[0x88, 2, 0x03, 0xf5];

/// A WebSocket: the bytes below it, and the library that reads them.
pub(crate) struct Link<S> {
    wire: Wire<S>,
    websocket: WebSocketContext,
    /// What the client said last, until the library has looked for more. It lies in the library's
    /// buffer, which is as large as the token of the handshake, say: while this is held, the library
    /// begins a new one instead of keeping that for the socket's life.
    heard: Utf8Bytes,
}

/// What goes out next.
pub(super) enum Frames {
    /// Frames behind which others may follow.
    More(Bytes),
    /// The closing frame: what the library says from now on is for no one.
    Last(&'static [u8]),
}

/// A socket over a WebSocket. Dropping it is its end.
pub(crate) struct WebSocket<S> {
    link: Link<S>,
    session: Session,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A WebSocket over a stream of which `prefix` has been read already.
    pub(crate) fn new(stream: S, prefix: Bytes, limits: FrameLimits) -> Self {
        let max_message = usize::try_from(limits.max_message_bytes).ok();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER)
            .max_message_size(max_message)
            .max_frame_size(max_message);
        Self {
            wire: Wire::new(stream, prefix, FrameScanner::new(limits)),
            websocket: WebSocketContext::new(Role::Server, Some(config)),
            heard: Utf8Bytes::default(),
        }
    }

    /// Sends what is on its way, and then what `next` has, until that is nothing. Whether all of it
    /// is out.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Option<Frames>,
    ) -> Result<bool, Error> {
        loop {
            match self.wire.poll_send(cx) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => return Ok(false),
            }
            // The library's answers, and what a buffer below has kept. Before anything more is
            // written: a buffer that takes it would hide that the client takes nothing.
            match self.websocket.flush(&mut self.wire.blocking(cx)) {
                Ok(()) => {}
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
            match next() {
                Some(Frames::More(frames)) => self.wire.send(frames),
                Some(Frames::Last(frame)) => {
                    self.wire.end();
                    self.wire.send(Bytes::from_static(frame));
                }
                None => return Ok(true),
            }
        }
    }

    /// The client's next message, if there is one now.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<Option<Message>, Error> {
        let message = self.websocket.read(&mut self.wire.blocking(cx));
        self.heard = Utf8Bytes::default();
        match message {
            Ok(message) => {
                if let Message::Text(text) = &message {
                    self.heard = text.clone();
                }
                Ok(Some(message))
            }
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Why the WebSocket ends, and the last word to a client that went too far.
    pub(super) fn fail(
        &mut self,
        error: &Error,
        connection: &Connection,
        metrics: &Metrics,
        cx: &mut Context<'_>,
    ) -> EndReason {
        let violation = match error {
            Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(violation) => *violation,
                None => return broken(error),
            },
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return EndReason::TransportClose;
            }
            _ => Violation::Malformed,
        };
        let code = match violation {
            Violation::MessageSize => {
                metrics.limited(Limit::MessageSize);
                CloseCode::Size
            }
            Violation::MessageRate => {
                metrics.limited(Limit::MessageRate);
                CloseCode::Policy
            }
            Violation::Malformed => CloseCode::Protocol,
        };
        let reason = EndReason::from(violation);
        log_line!(connection, reason = reason.label(), "frame refused");
        self.say_why(code, cx);
        reason
    }

    /// Ends the WebSocket of a client that says what it may not.
    pub(super) fn refuse(&mut self, code: CloseCode, cx: &mut Context<'_>) -> EndReason {
        self.say_why(code, cx);
        EndReason::ParseError
    }

    /// Tries once to tell the client that nothing more comes: with TLS, an end that is not announced
    /// might come from an attacker.
    pub(super) async fn shut(&mut self) {
        poll_fn(|cx| Poll::Ready(self.wire.poll_shutdown(cx).is_ready())).await;
    }

    /// A courtesy: whether it gets through makes no difference.
    fn say_why(&mut self, code: CloseCode, cx: &mut Context<'_>) {
        let frame = CloseFrame { code, reason: "".into() };
        let _ = self.websocket.close(&mut self.wire.blocking(cx), Some(frame));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Goes on with a session over that WebSocket.
    pub(super) fn resume(link: Link<S>, session: Session) -> Self {
        Self { link, session }
    }

    /// Begins a session, and tells the client the rules.
    pub(crate) fn open(stream: S, prefix: Bytes, mut session: Session) -> Self {
        let sid = session.name();
        session.open(&sid, &[]);
        Self::resume(Link::new(stream, prefix, session.context.config.frames), session)
    }

    /// Serves the socket to its end.
    #[expect(clippy::manual_async_fn, reason = "an async function would hold the socket twice")]
    pub(crate) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            let end = AssertUnwindSafe(self.live()).catch_unwind().await;
            let reason = end.unwrap_or_else(|_| self.session.panicked());
            self.session.ended(reason);
        }
    }

    async fn live(&mut self) -> EndReason {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.link.shut().await;
        reason
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        // Before anything is checked, so that nothing that comes in between is missed.
        self.session.connection.waker.register(cx.waker());
        loop {
            match self.step(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
    }

    /// Does all that can be done now. Whether there may be more to do then.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        self.session.apply_state(LAST_WRITES)?;
        let is_answered = self.session.admit(cx)?;
        let is_sent = self.send(cx)?;
        if is_sent && self.session.phase == Phase::Leaving {
            match self.link.wire.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.session.phase = Phase::Shut,
                Poll::Ready(Err(_)) => return Err(EndReason::TransportError),
                Poll::Pending => {}
            }
        }
        let is_heard = self.receive(cx)?;
        let is_due = self.session.poll_deadline(cx)?;
        Ok(is_answered || is_heard || is_due)
    }

    /// Sends what waits. Whether all of it is out.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        let session = &mut self.session;
        let sent = self.link.send(cx, || next_frames(session));
        sent.map_err(|error| self.fail(&error, cx))
    }

    /// Takes the next message of the client. Whether there was one.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        match self.link.read(cx) {
            Ok(Some(Message::Text(text))) => {
                self.session.receive(&text).map_err(|fault| match fault {
                    Fault::Malformed => self.link.refuse(CloseCode::Protocol, cx),
                    Fault::Forbidden => self.link.refuse(CloseCode::Policy, cx),
                    Fault::Over(reason) => reason,
                })?;
            }
            Ok(Some(Message::Binary(_))) => {
                return Err(self.link.refuse(CloseCode::Unsupported, cx));
            }
            // The library answers when it is flushed, and after a close has no more to read.
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(error) => return Err(self.fail(&error, cx)),
        }
        Ok(true)
    }

    fn fail(&mut self, error: &Error, cx: &mut Context<'_>) -> EndReason {
        self.link.fail(error, &self.session.connection, &self.session.context.metrics, cx)
    }
}

/// What goes out next, the goodbye last.
fn next_frames(session: &mut Session) -> Option<Frames> {
    if matches!(session.phase, Phase::Leaving | Phase::Shut) {
        return None;
    }
    if let Some(frames) = session.next_frames() {
        return Some(Frames::More(frames));
    }
    if session.phase != Phase::Emptying {
        return None;
    }
    session.phase = Phase::Leaving;
    Some(Frames::Last(match session.connection.reason() {
        Some(EndReason::AuthTimeout) => GOODBYE_SILENT,
        Some(EndReason::KeysUnavailable) => GOODBYE_FOR_NOW,
        _ => GOODBYE,
    }))
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Why a stream broke: it tells clients that take nothing from those that are gone.
fn broken(error: &io::Error) -> EndReason {
    if error.kind() == io::ErrorKind::TimedOut {
        EndReason::SlowConsumer
    } else {
        EndReason::TransportError
    }
}

#[cfg(test)]
mod tests;
