//! Serves one connection: TLS if there is a certificate, then HTTP/1.1 or 2, with a limit on every wait.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::activity::{Activity, Heard, Patience, Sending};
use super::stream::Stream;
use super::tls::Tls;
use crate::limits::{ConnectionSlot, Limiter};
use crate::metrics::{Limit, Metrics};

/// How long a connection that is to end may take without any progress.
const END_TIMEOUT: Duration = Duration::from_secs(1);
const ENDING: Patience = Patience { idle: END_TIMEOUT, kept: END_TIMEOUT };
/// Requests at the same time over one connection of HTTP/2.
const STREAMS: u32 = 64;
/// What is sent of an answer at a time, in bytes. Even a client on a slow line takes this much in the
/// time that a connection may be idle.
const PIECE: usize = 16 * 1024;
/// How often a silent connection of HTTP/2 is pinged, and how long the answer may take.
const PING: Duration = Duration::from_secs(20);

/// The other end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What all connections of a listener share.
pub(super) struct Serving {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
}

/// An answer's body, in pieces. Each piece that is fetched shows that the client is still there.
struct Sent {
    body: Body,
    /// What has not been sent of the last frame.
    rest: Bytes,
    activity: Activity,
    _sending: Sending,
}

/// How a connection was ended.
enum Ended {
    ByItself(hyper::Result<()>),
    /// From here: it was kept for later.
    Kept,
    /// From here: it was waited for.
    Idle,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    serving: Arc<Serving>,
) {
    let Some((stream, is_http2)) = encrypt(stream, slot, &serving).await else {
        return;
    };
    match speak(stream, is_http2, peer, &serving).await {
        // A connection that is kept for later and not needed after all ends like that.
        Ended::ByItself(Ok(())) | Ended::Kept => {}
        Ended::ByItself(Err(error)) => {
            if error.is_parse_too_large() {
                serving.metrics.limited(Limit::HeaderSize);
            }
            tracing::debug!(%error, "a connection ended early");
        }
        Ended::Idle => serving.metrics.limited(Limit::IdleTimeout),
    }
}

/// The stream below a connection that was upgraded, and what was read of it already. None if it is not
/// one of this server's.
pub(crate) fn below(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Heard<Stream>>>().ok()?;
    Some((parts.io.into_inner().into_inner(), parts.read_buf))
}

/// Speaks HTTP until the connection ends.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    is_http2: bool,
    peer: SocketAddr,
    serving: &Serving,
) -> Ended {
    let (limits, activity) = (&serving.limiter.limits, Activity::new());
    let head_max = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    let service = {
        let (router, activity) = (serving.router.clone(), activity.clone());
        service_fn(move |mut request: hyper::Request<Incoming>| {
            let in_flight = activity.begin();
            request.extensions_mut().insert(Peer(peer));
            let answer = router.clone().oneshot(request.map(Body::new));
            let activity = activity.clone();
            async move {
                let answer = answer.await;
                let answer = answer.map(|answer| answer.map(|body| Sent::new(body, activity)));
                drop(in_flight);
                answer
            }
        })
    };
    if is_http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_header_list_size(limits.max_header_bytes)
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        // What comes between requests is no head there, but what the protocol says to itself.
        let connection = http.serve_connection(TokioIo::new(stream), service);
        drive(connection, http2::Connection::graceful_shutdown, &activity, peer, serving).await
    } else {
        let mut http = http1::Builder::new();
        // Slow heads end like any other idleness: see `Activity`.
        http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head_max);
        let stream = TokioIo::new(Heard::new(stream, activity.clone()));
        let connection = http.serve_connection(stream, service).with_upgrades();
        drive(connection, http1::UpgradeableConnection::graceful_shutdown, &activity, peer, serving)
            .await
    }
}

/// The stream to speak HTTP over, and whether it is HTTP/2.
async fn encrypt(
    stream: TcpStream,
    slot: ConnectionSlot,
    serving: &Serving,
) -> Option<(Stream, bool)> {
    let stall = serving.limiter.limits.write_stall_timeout();
    let metrics = Arc::clone(&serving.metrics);
    let Some(tls) = &serving.tls else {
        return Some((Stream::new(Either::Left(stream), Some(slot), stall, metrics), false));
    };
    let handshake = timeout(serving.limiter.limits.idle_timeout(), tls.acceptor().accept(stream));
    // A client that has not asked for anything yet is no reason to wait.
    let error = match serving.stop.run_until_cancelled(handshake).await? {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let bytes = Either::Right(Box::new(stream));
            return Some((Stream::new(bytes, Some(slot), stall, metrics), is_http2));
        }
        Ok(Err(error)) => error,
        Err(_) => {
            metrics.limited(Limit::TlsTimeout);
            io::ErrorKind::TimedOut.into()
        }
    };
    tracing::debug!(%error, "a TLS handshake failed");
    None
}

/// Serves until the connection ends, is idle for too long, or the server stops. `finish` lets it end
/// after what is under way.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    finish: impl Fn(Pin<&mut C>),
    activity: &Activity,
    peer: SocketAddr,
    serving: &Serving,
) -> Ended {
    let mut connection = pin!(connection);
    let limits = &serving.limiter.limits;
    let patience = Patience { idle: limits.idle_timeout(), kept: limits.keep_alive_timeout() };
    let ended = tokio::select! {
        ended = connection.as_mut() => return Ended::ByItself(ended),
        () = serving.stop.cancelled() => None,
        () = activity.end(patience, || serving.limiter.is_crowded(peer)) => {
            Some(if activity.is_kept() { Ended::Kept } else { Ended::Idle })
        }
    };
    finish(connection.as_mut());
    activity.touch();
    let by_itself = tokio::select! {
        biased;
        ended = connection => ended,
        () = activity.end(ENDING, || false) => Ok(()),
    };
    ended.unwrap_or(Ended::ByItself(by_itself))
}

impl Sent {
    fn new(body: Body, activity: Activity) -> Self {
        let sending = activity.send();
        Self { body, rest: Bytes::new(), activity, _sending: sending }
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.activity.touch();
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use clap::Parser;
    use http_body_util::BodyExt;
    use hyper::body::Body as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::config::Config;

    const IDLE: Duration = Duration::from_secs(10);
    const KEPT: Duration = Duration::from_secs(75);
    /// Longer than balancers keep theirs.
    const ALMOST: Duration = Duration::from_secs(74);
    const SECOND: Duration = Duration::from_secs(1);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn an_answer_is_sent_in_pieces_and_whole() {
        let length = 2 * PIECE + 5;
        let mut sent = Sent::new(vec![b'x'; length].into(), Activity::new());
        for expected in [PIECE, PIECE, 5] {
            assert!(!sent.is_end_stream());
            let frame = sent.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), expected);
        }
        assert!(sent.is_end_stream() && sent.frame().await.is_none());
        let mut sent = Sent::new(vec![b'x'; length].into(), Activity::new());
        sent.frame().await.unwrap().unwrap();
        assert_eq!(sent.size_hint().exact(), Some((length - PIECE) as u64));
    }

    /// A connection in virtual time.
    struct Client {
        stream: DuplexStream,
        served: JoinHandle<Ended>,
        serving: Arc<Serving>,
    }

    impl Client {
        /// To a server that takes that number of connections.
        fn connect(max_connections: u32) -> Self {
            let mut limits = Config::parse_from(["dashboard-server"]).limits;
            limits.max_connections = max_connections;
            let metrics = Arc::new(Metrics::new());
            let long = "x".repeat(10 * PIECE);
            let router = Router::new()
                .route("/", get(async || "answered"))
                .route("/post", post(async |body: Bytes| body))
                .route("/slow", get(async || sleep(2 * KEPT).await))
                .route("/long", get(async || long));
            let serving = Arc::new(Serving {
                router,
                tls: None,
                limiter: Arc::new(Limiter::new(limits, false, Arc::clone(&metrics))),
                metrics,
                stop: CancellationToken::new(),
            });
            let (stream, end) = duplex(PIECE);
            let peer = SocketAddr::from(([127, 0, 0, 1], 1));
            let served = {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { speak(end, false, peer, &serving).await })
            };
            Self { stream, served, serving }
        }

        async fn say(&mut self, bytes: &[u8]) {
            self.stream.write_all(bytes).await.unwrap();
        }

        async fn ask(&mut self) {
            self.say(REQUEST).await;
            let mut answer = Vec::new();
            while !answer.ends_with(b"answered") {
                assert!(self.stream.read_buf(&mut answer).await.unwrap() > 0);
            }
        }

        /// How long it takes from now until the connection is ended, and how it is.
        async fn end(mut self) -> (Duration, Ended) {
            let begun = Instant::now();
            self.stream.read_to_end(&mut Vec::new()).await.unwrap();
            (begun.elapsed(), self.served.await.unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_has_little_time() {
        let (took, ended) = Client::connect(100).end().await;
        assert_eq!(took, IDLE);
        assert!(matches!(ended, Ended::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_byte_by_byte_has_no_more_time() {
        for asks_first in [false, true] {
            let mut client = Client::connect(100);
            if asks_first {
                client.ask().await;
                sleep(ALMOST).await;
            }
            let begun = Instant::now();
            for byte in REQUEST {
                if client.stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(SECOND).await;
            }
            assert!(matches!(client.served.await.unwrap(), Ended::Idle), "{asks_first}");
            assert!(begun.elapsed() < IDLE + 3 * SECOND, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_served_outlives_those_of_a_balancer() {
        let mut client = Client::connect(100);
        for _ in 0..3 {
            client.ask().await;
            sleep(ALMOST).await;
        }
        client.ask().await;
        let (took, ended) = client.end().await;
        assert_eq!(took, KEPT);
        assert!(matches!(ended, Ended::Kept));
    }

    /// Some clients send head and body one after the other.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_behind_its_head_is_no_next_request() {
        let mut client = Client::connect(100);
        client.say(b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n").await;
        sleep(SECOND).await;
        client.say(b"answered").await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"answered") {
            assert!(client.stream.read_buf(&mut answer).await.unwrap() > 0);
        }
        let (took, ended) = client.end().await;
        assert_eq!(took, KEPT);
        assert!(matches!(ended, Ended::Kept));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_longer_than_a_connection_is_kept() {
        let mut client = Client::connect(100);
        client.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let begun = Instant::now();
        assert!(client.stream.read(&mut [0; 1024]).await.unwrap() > 0);
        assert_eq!(begun.elapsed(), 2 * KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_which_nothing_is_taken_is_no_reason_to_keep_a_connection() {
        let mut client = Client::connect(100);
        client.say(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let begun = Instant::now();
        assert!(matches!((&mut client.served).await.unwrap(), Ended::Idle));
        // The library may take one more piece when it is woken.
        assert!(begun.elapsed() < 3 * IDLE, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn while_connections_are_scarce_none_is_kept_for_long() {
        let mut client = Client::connect(4);
        let take = || client.serving.limiter.connection(SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut others = vec![take(), take()];
        client.ask().await;
        sleep(2 * IDLE).await;
        let take = || client.serving.limiter.connection(SocketAddr::from(([127, 0, 0, 1], 1)));
        others.push(take());
        let (took, ended) = client.end().await;
        assert!(took <= IDLE, "{took:?}");
        assert!(matches!(ended, Ended::Kept));
        assert!(others.iter().all(Option::is_some));
    }
}
