//! The byte stream below a socket, with what the library above it lacks: a way to end it, and limits
//! on what comes in.
//!
//! The library offers no way to close a connection that it has refused, and takes whatever clients
//! send. Both are settled here, below it: [`Guarded`] fails its reads or writes, and the library
//! cleans up as for any broken connection. (A client that stops reading is the matter of the
//! [`Stream`](crate::net::Stream) below this one.)

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};
use tungstenite::protocol::frame::coding::CloseCode;
use uuid::Uuid;

use crate::auth::{AuthError, Session};
use crate::clock;
use crate::gate::{Address, Slot};
use crate::metrics::{Limit, Metrics};
use crate::push::frames::{FrameLimits, FrameScanner, Violation};

/// How long a frame that was just handed to the library has to get into the writer's hands.
const LAST_FRAME: Duration = Duration::from_millis(100);
/// How long a closing connection may take to send what it has.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// The first byte of a WebSocket frame that closes.
const CLOSE_FRAME: u8 = 0x88;

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
    pub(crate) fn new(cookie: Cookie, address: Address, correlation_id: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            id: clock::random_id(),
            correlation_id,
            since: Instant::now(),
            address,
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

    /// Why it ended, if that is known.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.reason.get().copied()
    }

    /// Why it ended: that, if nothing is known that came before.
    pub(crate) fn ended_by(&self, reason: &'static str) -> &'static str {
        self.reason.get_or_init(|| reason)
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
        self.ended_by(reason);
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
    scanner: FrameScanner,
    /// Part of what the library wanted to write has not been taken yet.
    is_mid_write: bool,
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
        let (scanner, slot) = (FrameScanner::new(limits), Some(slot));
        Self { stream, prefix, connection, scanner, is_mid_write: false, metrics, slot, over }
    }

    /// Ends the connection, reads included, where the stream has found its client stalled.
    fn watch<T>(&self, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &progress
            && error.kind() == io::ErrorKind::TimedOut
        {
            self.connection.cut("slow_consumer");
        }
        progress
    }

    fn check_writable(&self, cx: &Context<'_>) -> io::Result<()> {
        self.connection.writer.register(cx.waker());
        if self.connection.state() == CUT {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(&Arc<Connection>)> Guarded<S, F> {
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
        if !self.is_mid_write {
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
        if this.connection.state() != OPEN {
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
        ready!(this.watch(progress))?;
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
        let progress = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.is_mid_write = !matches!(progress, Poll::Ready(Ok(taken)) if taken == buf.len());
        this.watch(progress)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        let progress = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(progress)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable(cx)?;
        let progress = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(progress)
    }
}

impl<S, F: Fn(&Arc<Connection>)> Drop for Guarded<S, F> {
    fn drop(&mut self) {
        // Whoever hears that it is over may take its place at once.
        drop(self.slot.take());
        (self.over)(&self.connection);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    /// A ping without content and without a mask worth the name.
    const EARLY: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
    const LATE: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
    const LIMITS: FrameLimits = FrameLimits { max_message_bytes: 64, messages_per_s: 10 };

    type Parts<S, F> = (Arc<Connection>, Guarded<S, F>, oneshot::Receiver<()>);

    fn guarded<S>(stream: S) -> Parts<S, impl Fn(&Arc<Connection>) + Unpin> {
        let (sender, over) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let address = Address::of([127, 0, 0, 1].into());
        let connection = Connection::new(Cookie::Absent, address, "c-1".into());
        let call_back = move |_: &Arc<Connection>| {
            sender.lock().unwrap().take().unwrap().send(()).ok();
        };
        let prefix = Bytes::from_static(&EARLY);
        let stream = Guarded::new(
            stream,
            prefix,
            Arc::clone(&connection),
            LIMITS,
            Arc::new(Metrics::new()),
            Slot::unlimited(),
            call_back,
        );
        (connection, stream, over)
    }

    #[tokio::test]
    async fn what_came_with_the_request_is_read_first() {
        let (mut client, server) = tokio::io::duplex(64);
        let (_, mut stream, over) = guarded(server);
        client.write_all(&LATE).await.unwrap();
        let mut bytes = [0; 12];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, *[EARLY, LATE].concat());
        drop(stream);
        over.await.unwrap();
    }

    #[tokio::test]
    async fn what_goes_too_far_is_not_handed_on_and_answered_with_a_close() {
        let (mut client, server) = tokio::io::duplex(64);
        let (connection, mut stream, _over) = guarded(server);
        // The head of a text message of 65 bytes, one more than is allowed.
        client.write_all(&[0x81, 0x80 | 0x41]).await.unwrap();
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes[..6]).await.unwrap();
        assert!(stream.read_exact(&mut bytes).await.is_err());
        assert_eq!(connection.reason(), Some("message_size"));
        let mut close = [0; 4];
        client.read_exact(&mut close).await.unwrap();
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1009));
    }

    #[tokio::test]
    async fn a_stalled_client_is_no_longer_listened_to_either() {
        let (connection, mut stream, _over) = guarded(Stalled);
        stream.prefix.clear();
        assert!(stream.write_all(b"event").await.is_err());
        assert_eq!(connection.reason(), Some("slow_consumer"));
        assert!(stream.read_u8().await.is_err());
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

    /// What the stream of a client that takes nothing says in the end.
    struct Stalled;

    impl AsyncRead for Stalled {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stalled {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
