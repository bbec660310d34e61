//! Accepts connections until it is stopped, and lets their requests finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Serving, serve};
use super::tls::Tls;
use crate::limits::Limiter;
use crate::metrics::Metrics;

/// How long requests may take to finish when the server stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How many refused clients at a time get an explanation. Beyond this number, they get none.
const EXPLANATIONS: usize = 64;
const EXPLANATION_TIMEOUT: Duration = Duration::from_millis(500);
/// The answer to a connection over the limit. Its client speaks HTTP/1.1, or needs a handshake before any answer.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// Why no address can be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("{setting} {path} {reason}")]
    Tls {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it, as a predicate.
        reason: String,
    },
}

/// An address that is listened on.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { socket: listener, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped, then lets the requests in flight finish. HTTPS if there is a certificate.
    pub(crate) async fn serve(
        self,
        router: Router,
        tls: Option<Arc<Tls>>,
        limiter: Arc<Limiter>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let connections = TaskTracker::new();
        let explanations = Arc::new(Semaphore::new(EXPLANATIONS));
        let serving = Arc::new(Serving { router, tls, limiter, metrics, stop: stop.clone() });
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    prepare(&stream, serving.limiter.limits.write_stall_timeout());
                    if let Some(slot) = serving.limiter.connection(peer) {
                        connections.spawn(serve(stream, peer, slot, Arc::clone(&serving)));
                    } else if serving.tls.is_none()
                        && let Ok(permit) = Arc::clone(&explanations).try_acquire_owned()
                    {
                        connections.spawn(async move {
                            timeout(EXPLANATION_TIMEOUT, explain(stream)).await.ok();
                            drop(permit);
                        });
                    }
                }
                Err(error) => {
                    // Out of descriptors: accepting at full speed would not bring any back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.socket);
        connections.close();
        timeout(FINISH_TIMEOUT, connections.wait()).await.ok();
    }
}

/// Frames are small and each is waited for. And what a client does not take soon fills the kernel's
/// buffers first, where no write of ours is held up by it: the kernel has to notice.
fn prepare(stream: &TcpStream, stall: Duration) {
    stream.set_nodelay(true).ok();
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(stall)).ok();
    #[cfg(not(target_os = "linux"))]
    let _ = stall;
}

/// Tells a client that the server is full. Reads what the client sends in that time: to close with
/// something unread would take the answer from it.
async fn explain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
