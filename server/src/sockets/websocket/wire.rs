//! Wraps the byte stream below a socket. Two parts use it in turns: the WebSocket library, for input and for
//! the protocol's own answers, and the socket, which sends whole frames past the library.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::sockets::frames::FrameScanner;

/// So much is taken off the stream at once: most tokens whole, of which the library, with its small
/// buffer, would ask for a piece and another piece.
const CHUNK: usize = 2 * 1024;

/// A stream whose frames are scanned before any other code sees them.
pub(super) struct Wire<S> {
    stream: S,
    /// What was read, with the request's head or later, and the library has yet to see.
    unread: Bytes,
    scanner: FrameScanner,
    /// What has yet to go out of the frames that are on their way.
    sending: Bytes,
    /// The last frame is on its way, or out.
    is_over: bool,
}

/// The stream as the WebSocket library wants it. It reports "would block" where the stream would wait,
/// and while frames are on their way, which the library may not interrupt. The library's own frames go
/// out when it is flushed after them.
pub(super) struct Blocking<'a, 'b, S> {
    wire: &'a mut Wire<S>,
    cx: &'a mut Context<'b>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, prefix: Bytes, scanner: FrameScanner) -> Self {
        Self { stream, unread: prefix, scanner, sending: Bytes::new(), is_over: false }
    }

    pub(super) fn blocking<'a, 'b>(&'a mut self, cx: &'a mut Context<'b>) -> Blocking<'a, 'b, S> {
        Blocking { wire: self, cx }
    }

    /// Whether all frames have gone out.
    pub(super) fn is_free(&self) -> bool {
        self.sending.is_empty()
    }

    /// Takes the frames that are to go out next. Nothing may be on its way.
    pub(super) fn send(&mut self, frames: Bytes) {
        self.sending = frames;
    }

    /// Nothing follows the frames that go out next. The server discards what the library writes from now on.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Ready once all frames are out, or in a buffer below that has yet to be flushed.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_free() {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.sending))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sending.advance(taken);
        }
        // What has been sent is not to be kept.
        self.sending = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Ready once the client has received the end of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> Read for Blocking<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wire = &mut *self.wire;
        if wire.unread.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            unblock(Pin::new(&mut wire.stream).poll_read(self.cx, &mut chunk))?;
            wire.unread = Bytes::copy_from_slice(chunk.filled());
        }
        let length = wire.unread.len().min(buffer.len());
        wire.unread.copy_to_slice(&mut buffer[..length]);
        if wire.unread.is_empty() {
            // What has been read is not to be kept.
            wire.unread = Bytes::new();
        }
        let scanned = wire.scanner.scan(&buffer[..length], Instant::now().into_std());
        scanned.map_err(io::Error::other)?;
        Ok(length)
    }
}

impl<S: AsyncWrite + Unpin> Write for Blocking<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.wire.is_over {
            return Ok(bytes.len());
        }
        if !self.wire.is_free() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A buffer below that takes more would hide that the client takes nothing.
        self.flush()?;
        unblock(Pin::new(&mut self.wire.stream).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        unblock(Pin::new(&mut self.wire.stream).poll_flush(self.cx))
    }
}

fn unblock<T>(progress: Poll<io::Result<T>>) -> io::Result<T> {
    match progress {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
