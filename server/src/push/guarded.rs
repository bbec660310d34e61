//! The byte stream below a socket, with what the library above it lacks: a way to end it, limits on
//! what comes in, and a way past it for what goes out.
//!
//! The library offers no way to close a connection that it has refused, and takes whatever clients
//! send. Both are settled here, below it: [`Guarded`] fails its reads or writes, and the library
//! cleans up as for any broken connection. (A client that stops reading is the matter of the
//! [`Stream`](crate::net::Stream) below this one.)
//!
//! Events are written here too, between the library's frames (see decision 53). Before each frame of
//! the library's the outbox is emptied, so that what was handed to either first is sent first; and
//! it is emptied whenever the library reads or flushes. None can get stuck:
//!
//! - The library has two halves, in two tasks, with one stream: a reader that always waits in
//!   `poll_read`, and a writer that waits only for what it has to write. Each leaves its waker in the
//!   [`Connection`] before it looks at anything.
//! - Whoever puts events into the outbox wakes the reader afterwards. If they may go out, it sends
//!   them. If not, that is because a frame of the library's is half out, or the acceptance has yet to
//!   come: whoever writes these flushes afterwards, and that sends them.
//! - A stream remembers one waker of those who wait to write. It is always given one that wakes both
//!   halves, whichever of them asks, so neither can push the other out: whatever a half waits for,
//!   be it an event that is half out or the other's frame, it is woken when the stream takes bytes
//!   again, or its client is found stalled.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::gate::Slot;
use crate::metrics::{Limit, Metrics};
use crate::push::connection::{CUT, Connection, OPEN};
use crate::push::frames::{FrameLimits, FrameScanner, Violation};
use crate::push::outgoing::Outgoing;

/// The first byte of a WebSocket frame that closes.
const CLOSE_FRAME: u8 = 0x88;

/// The stream of a [`Connection`]. Dropping it calls back: the connection is over.
pub(crate) struct Guarded<S, F: Fn(&Arc<Connection>)> {
    stream: S,
    /// What was read together with the request's head.
    prefix: Bytes,
    connection: Arc<Connection>,
    scanner: FrameScanner,
    /// How far the library's frames have gone out.
    outgoing: Outgoing,
    /// What has yet to go out of the events that are on their way.
    sending: Bytes,
    /// The stream may have kept some of what it took of events.
    is_unflushed: bool,
    metrics: Arc<Metrics>,
    /// Its place among the sockets.
    slot: Option<Slot>,
    over: F,
}

impl<S, F: Fn(&Arc<Connection>)> Guarded<S, F> {
    /// Guards a stream of which `prefix` has been read already.
    pub(crate) fn new(
        stream: S,
        prefix: Bytes,
        connection: Arc<Connection>,
        limits: FrameLimits,
        metrics: Arc<Metrics>,
        slot: Slot,
        over: F,
    ) -> Self {
        Self {
            stream,
            prefix,
            connection,
            scanner: FrameScanner::new(limits),
            outgoing: Outgoing::new(),
            sending: Bytes::new(),
            is_unflushed: false,
            metrics,
            slot: Some(slot),
            over,
        }
    }

    /// Makes ready to write: nothing is written to a connection that is cut.
    fn check_writable(&self, cx: &Context<'_>) -> io::Result<()> {
        self.connection.writer.register(cx.waker());
        if self.connection.state() == CUT {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(&Arc<Connection>)> Guarded<S, F> {
    /// Sends the events that wait, if they may go out here. Ready once none of them is left, neither
    /// here nor in a buffer below.
    fn poll_send(&mut self) -> Poll<io::Result<()>> {
        if !self.outgoing.is_accepted() || !self.outgoing.is_between_frames() {
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.sending.is_empty() {
                // Before anything more is written: a buffer that takes it would hide that the client
                // takes nothing.
                if self.is_unflushed {
                    let flush = AsyncWrite::poll_flush;
                    ready!(poll_for_both(&mut self.stream, &self.connection, flush))?;
                    self.is_unflushed = false;
                }
                // Also when nothing follows: what has been sent is not to be kept.
                self.sending = self.connection.outbox.next().unwrap_or_default();
                if self.sending.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            let write =
                |stream: Pin<&mut S>, cx: &mut Context<'_>| stream.poll_write(cx, &self.sending);
            let taken = ready!(poll_for_both(&mut self.stream, &self.connection, write))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sending.advance(taken);
            self.is_unflushed = true;
        }
    }

    /// Looks at what a client sent, and ends the connection if it went too far.
    fn scan(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let Err(violation) = self.scanner.scan(bytes, Instant::now().into_std()) else {
            return Ok(());
        };
        let code = match violation {
            Violation::MessageSize => {
                self.metrics.limited(Limit::MessageSize);
                CloseCode::Size
            }
            Violation::MessageRate => {
                self.metrics.limited(Limit::MessageRate);
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
        if self.outgoing.is_between_frames() && self.sending.is_empty() {
            // A courtesy: whether it gets through makes no difference.
            let [high, low] = u16::from(code).to_be_bytes();
            let close = [CLOSE_FRAME, 2, high, low];
            let _ = Pin::new(&mut self.stream).poll_write(cx, &close);
        }
        self.connection.cut(reason);
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl<S, F> AsyncRead for Guarded<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(&Arc<Connection>) + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.reader.register(cx.waker());
        let state = this.connection.state();
        // Also before the end of a connection that closes: last messages wait there.
        if state != CUT
            && let Poll::Ready(Err(error)) = this.poll_send()
        {
            return Poll::Ready(Err(error));
        }
        if state != OPEN {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.prefix.has_remaining() {
            let length = this.prefix.len().min(buf.remaining());
            let early = this.prefix.split_to(length);
            buf.put_slice(&early);
            return Poll::Ready(this.scan(cx, &early));
        }
        let before = buf.filled().len();
        let progress = Pin::new(&mut this.stream).poll_read(cx, buf);
        ready!(watch(&this.connection, progress))?;
        Poll::Ready(this.scan(cx, &buf.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(&Arc<Connection>) + Unpin> AsyncWrite for Guarded<S, F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        let next = if this.outgoing.is_between_frames() {
            ready!(this.poll_send())?;
            buf
        } else {
            // What follows this frame comes back, and is preceded by the events that came meanwhile.
            &buf[..this.outgoing.rest_of_frame(buf)]
        };
        let write = |stream: Pin<&mut S>, cx: &mut Context<'_>| stream.poll_write(cx, next);
        let taken = ready!(poll_for_both(&mut this.stream, &this.connection, write))?;
        this.outgoing.follow(&next[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        ready!(this.poll_send())?;
        poll_for_both(&mut this.stream, &this.connection, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        ready!(this.poll_send())?;
        poll_for_both(&mut this.stream, &this.connection, AsyncWrite::poll_shutdown)
    }
}

impl<S, F: Fn(&Arc<Connection>)> Drop for Guarded<S, F> {
    fn drop(&mut self) {
        self.connection.outbox.close();
        // Whoever hears that it is over may take its place at once.
        drop(self.slot.take());
        (self.over)(&self.connection);
    }
}

/// Asks something of the stream's writing side, on behalf of both halves: see the module.
fn poll_for_both<S: Unpin, T>(
    stream: &mut S,
    connection: &Arc<Connection>,
    ask: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    let both = Waker::from(Arc::clone(connection));
    let progress = ask(Pin::new(stream), &mut Context::from_waker(&both));
    watch(connection, progress)
}

/// Ends the connection, reads included, where the stream has found its client stalled.
fn watch<T>(connection: &Connection, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    if let Poll::Ready(Err(error)) = &progress
        && error.kind() == io::ErrorKind::TimedOut
    {
        connection.cut("slow_consumer");
    }
    progress
}

#[cfg(test)]
mod tests;
