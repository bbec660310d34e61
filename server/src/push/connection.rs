//! The byte stream below a socket, with the two things that the library above it lacks: a way to
//! end it, and an end to waiting for a client that takes nothing.
//!
//! The library offers no way to close a connection that it has refused, and waits for ever on a
//! client that stops reading. Both are settled here, below it: [`Guarded`] fails its reads or
//! writes, and the library cleans up as for any broken connection.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use uuid::Uuid;

use crate::auth::{AuthError, Session};
use crate::clock;

/// How long a frame that was just handed to the library has to get into the writer's hands.
const LAST_FRAME: Duration = Duration::from_millis(100);
/// How long a closing connection may take to send what it has.
const LAST_WRITES: Duration = Duration::from_secs(1);

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
    /// When it was opened.
    pub(crate) since: Instant,
    /// Whose it is, once it has authenticated.
    pub(crate) session: OnceLock<Session>,
    cookie: Mutex<Cookie>,
    state: AtomicU8,
    reason: OnceLock<&'static str>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

const OPEN: u8 = 0;
/// Reads fail, so that the library ends the session; writes go on.
const CLOSING: u8 = 1;
/// Nothing works any more.
const CUT: u8 = 2;

impl Connection {
    /// A connection that has just been upgraded.
    pub(crate) fn new(cookie: Cookie) -> Arc<Self> {
        Arc::new(Self {
            id: clock::random_id(),
            since: Instant::now(),
            session: OnceLock::new(),
            cookie: Mutex::new(cookie),
            state: AtomicU8::new(OPEN),
            reason: OnceLock::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        })
    }

    /// The cookie, which is not kept.
    pub(crate) fn take_cookie(&self) -> Cookie {
        std::mem::take(&mut *self.cookie.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why it ended, if this side ended it.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.reason.get().copied()
    }

    /// Ends the connection once the frames that were handed over before have been sent.
    pub(crate) fn close_soon(self: &Arc<Self>, reason: &'static str) {
        if self.reason.set(reason).is_err() {
            return;
        }
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
        self.reason.get_or_init(|| reason);
        self.advance(CUT);
    }

    fn advance(&self, state: u8) {
        self.state.fetch_max(state, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::SeqCst)
    }
}

/// The stream of a [`Connection`]. Dropping it calls back: the connection is over.
pub(crate) struct Guarded<S, F: Fn(&Arc<Connection>)> {
    stream: S,
    /// What was read together with the request's head.
    prefix: Bytes,
    connection: Arc<Connection>,
    stall_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    over: F,
}

impl<S, F: Fn(&Arc<Connection>)> Guarded<S, F> {
    /// Guards a stream. A write that cannot go on for `stall_timeout` ends it.
    pub(crate) fn new(
        stream: S,
        prefix: Bytes,
        connection: Arc<Connection>,
        stall_timeout: Duration,
        over: F,
    ) -> Self {
        Self { stream, prefix, connection, stall_timeout, stalled: None, over }
    }

    /// Bounds how long a write may be pending.
    fn watch<T>(&mut self, cx: &mut Context<'_>, progress: Poll<T>) -> Poll<io::Result<T>> {
        if let Poll::Ready(value) = progress {
            self.stalled = None;
            return Poll::Ready(Ok(value));
        }
        let timeout = self.stall_timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        self.connection.cut("slow_consumer");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn check_writable(&self, cx: &Context<'_>) -> io::Result<()> {
        self.connection.writer.register(cx.waker());
        if self.connection.state() == CUT {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin, F: Fn(&Arc<Connection>) + Unpin> AsyncRead for Guarded<S, F> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.reader.register(cx.waker());
        if this.connection.state() != OPEN {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.prefix.has_remaining() {
            let length = this.prefix.len().min(buf.remaining());
            buf.put_slice(&this.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
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
        let progress = Pin::new(&mut this.stream).poll_write(cx, buf);
        Poll::Ready(ready!(this.watch(cx, progress))?)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        let progress = Pin::new(&mut this.stream).poll_flush(cx);
        Poll::Ready(ready!(this.watch(cx, progress))?)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        let progress = Pin::new(&mut this.stream).poll_shutdown(cx);
        Poll::Ready(ready!(this.watch(cx, progress))?)
    }
}

impl<S, F: Fn(&Arc<Connection>)> Drop for Guarded<S, F> {
    fn drop(&mut self) {
        (self.over)(&self.connection);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    const STALL: Duration = Duration::from_secs(10);

    type Parts<S, F> = (Arc<Connection>, Guarded<S, F>, oneshot::Receiver<()>);

    fn guarded<S>(stream: S) -> Parts<S, impl Fn(&Arc<Connection>) + Unpin> {
        let (sender, over) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let connection = Connection::new(Cookie::Absent);
        let call_back = move |_: &Arc<Connection>| {
            sender.lock().unwrap().take().unwrap().send(()).ok();
        };
        let prefix = Bytes::from_static(b"early ");
        let stream = Guarded::new(stream, prefix, Arc::clone(&connection), STALL, call_back);
        (connection, stream, over)
    }

    #[tokio::test]
    async fn what_came_with_the_request_is_read_first() {
        let (mut client, server) = tokio::io::duplex(64);
        let (_, mut stream, over) = guarded(server);
        client.write_all(b"late").await.unwrap();
        let mut text = [0; 10];
        stream.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"early late");
        drop(stream);
        over.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let (_client, server) = tokio::io::duplex(8);
        let (connection, mut stream, _over) = guarded(server);
        let start = Instant::now();
        let error = stream.write_all(b"more than eight bytes").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), STALL);
        assert_eq!(connection.reason(), Some("slow_consumer"));
        // The reader learns it too: the library ends the session from there.
        assert!(stream.read_u8().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_something_is_not() {
        let (mut client, server) = tokio::io::duplex(8);
        let (connection, mut stream, _over) = guarded(server);
        let writer = tokio::spawn(async move {
            stream.write_all(&[0; 64]).await.unwrap();
            stream
        });
        let mut chunk = [0; 8];
        for _ in 0..8 {
            tokio::time::advance(STALL / 2).await;
            client.read_exact(&mut chunk).await.unwrap();
        }
        drop(writer.await.unwrap());
        assert_eq!(connection.reason(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_lets_the_last_frames_out() {
        let (mut client, server) = tokio::io::duplex(64);
        let (connection, stream, _over) = guarded(server);
        let (mut read, mut write) = tokio::io::split(stream);
        let mut prefix = [0; 6];
        read.read_exact(&mut prefix).await.unwrap();
        let reader = tokio::spawn(async move { read.read_u8().await });
        connection.close_soon("refused");
        assert!(reader.await.unwrap().is_err());
        write.write_all(b"goodbye").await.unwrap();
        let mut text = [0; 7];
        client.read_exact(&mut text).await.unwrap();
        assert_eq!((&text, connection.reason()), (b"goodbye", Some("refused")));
        sleep(LAST_WRITES * 2).await;
        assert!(write.write_all(b"more").await.is_err());
    }
}
