//! Wraps a client's byte stream, so that a client that takes nothing cannot hold it for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::limits::ConnectionSlot;
use crate::metrics::{Limit, Metrics};

/// The bytes below a [`Stream`]: a socket's own, or those of a TLS session over it.
pub(crate) type Bytes = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A client's stream, with its place among the connections.
///
/// A write that cannot go on for `stall` fails with [`io::ErrorKind::TimedOut`]: the kernel's buffers
/// are full, and the client takes nothing of them. Where they are not full, the kernel fails the
/// stream in the same way (see [`Listener`](super::Listener)). Both are counted here.
pub(crate) struct Stream<S = Bytes> {
    bytes: S,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    is_counted: bool,
    metrics: Arc<Metrics>,
    _slot: Option<ConnectionSlot>,
}

impl<S> Stream<S> {
    pub(crate) fn new(
        bytes: S,
        slot: Option<ConnectionSlot>,
        stall: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { bytes, stall, stalled: None, is_counted: false, metrics, _slot: slot }
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
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        self.stalled = None;
        // A caller that tries again has waited long enough.
        self.stall = Duration::ZERO;
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

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.bytes).poll_read(cx, buf);
        this.count(progress)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.bytes).poll_write(cx, buf);
        this.watch(cx, progress)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.bytes).poll_flush(cx);
        this.watch(cx, progress)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = Pin::new(&mut this.bytes).poll_shutdown(cx);
        this.watch(cx, progress)
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
        let mut stream = Stream::new(server, None, STALL, Arc::clone(&metrics));
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
        let mut stream = Stream::new(server, None, STALL, Arc::clone(&metrics));
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
