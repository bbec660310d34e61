//! A client's byte stream, which a client that takes nothing cannot hold for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::gate::ConnectionSlot;
use crate::metrics::{Limit, Metrics};

/// A client's stream, with its place among the connections.
pub(crate) struct Stream {
    bytes: WriteStall<Bytes>,
    _slot: ConnectionSlot,
}

enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn plain(
        stream: TcpStream,
        slot: ConnectionSlot,
        stall: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let bytes = WriteStall::new(Bytes::Plain(stream), stall, metrics);
        Self { bytes, _slot: slot }
    }

    pub(crate) fn tls(
        stream: TlsStream<TcpStream>,
        slot: ConnectionSlot,
        stall: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let bytes = WriteStall::new(Bytes::Tls(Box::new(stream)), stall, metrics);
        Self { bytes, _slot: slot }
    }
}

/// Fails a write with [`io::ErrorKind::TimedOut`] that cannot go on for so long: the kernel's buffers
/// are full, and the client takes nothing of them. Where they are not full, the kernel fails the
/// stream in the same way (see [`Listener`](super::Listener)); both are counted here.
struct WriteStall<S> {
    inner: S,
    timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    is_counted: bool,
    metrics: Arc<Metrics>,
}

impl<S> WriteStall<S> {
    fn new(inner: S, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self { inner, timeout, stalled: None, is_counted: false, metrics }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return self.count(progress);
        }
        let timeout = self.timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        self.stalled = None;
        // Whoever tries again has waited long enough.
        self.timeout = Duration::ZERO;
        self.count(Poll::Ready(Err(io::ErrorKind::TimedOut.into())))
    }

    fn count<T>(&mut self, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let is_stalled = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        if matches!(&progress, Poll::Ready(Err(error)) if is_stalled(error)) && !self.is_counted {
            self.is_counted = true;
            self.metrics.limited(Limit::WriteStall);
        }
        progress
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteStall<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.count(progress)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStall<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.watch(cx, progress)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, progress)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, progress)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

impl AsyncRead for Bytes {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;
    use crate::metrics::LimitLabel;

    const STALL: Duration = Duration::from_secs(10);

    fn stalls(metrics: &Metrics) -> u64 {
        metrics.limited.get_or_create(&LimitLabel { limit: "write_stall" }).get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_and_counted_once() {
        let (_client, server) = tokio::io::duplex(8);
        let metrics = Arc::new(Metrics::new());
        let mut stream = WriteStall::new(server, STALL, Arc::clone(&metrics));
        let start = Instant::now();
        let error = stream.write_all(b"more than eight bytes").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), STALL);
        assert!(stream.write_all(b"again").await.is_err());
        assert_eq!(stalls(&metrics), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_something_is_not() {
        let (mut client, server) = tokio::io::duplex(8);
        let metrics = Arc::new(Metrics::new());
        let mut stream = WriteStall::new(server, STALL, Arc::clone(&metrics));
        let writer = tokio::spawn(async move { stream.write_all(&[0; 64]).await });
        let mut chunk = [0; 8];
        for _ in 0..8 {
            tokio::time::advance(STALL / 2).await;
            client.read_exact(&mut chunk).await.unwrap();
        }
        writer.await.unwrap().unwrap();
        assert_eq!(stalls(&metrics), 0);
    }
}
