//! One connection: TLS if there is a certificate, then HTTP/1.1 or 2, with an end to waiting.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::stream::Stream;
use super::tls::Tls;
use crate::gate::{ConnectionSlot, Gate};
use crate::metrics::{Limit, Metrics};

/// How long a connection that is to end may take without any progress.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Requests at the same time over one connection of HTTP/2.
const STREAMS: u32 = 64;
/// What is sent of an answer at a time, in bytes: in the time that a connection may be idle, also
/// whoever is on a slow line takes so much.
const PIECE: usize = 16 * 1024;
/// How often a silent connection of HTTP/2 is asked whether it lives, and how long it may take.
const PING: Duration = Duration::from_secs(20);

/// The other end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What all connections of a listener share.
pub(super) struct Serving {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
}

/// What a connection is waited for.
#[derive(Clone)]
struct Activity(Arc<Mutex<State>>);

struct State {
    in_flight: u32,
    answered: bool,
    since: Instant,
}

/// A request that is being answered, or was given up by its client.
struct InFlight(Activity);

/// An answer's body, in pieces: each that is fetched of it shows that somebody is still there.
struct Sent {
    body: Body,
    /// What has not been sent of the last frame.
    rest: Bytes,
    activity: Activity,
}

/// How a connection was ended from here.
enum Ended {
    ByItself(hyper::Result<()>),
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
    let (limits, activity) = (&serving.gate.limits, Activity::new());
    let head_max = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    let service = {
        let (router, activity) = (serving.router.clone(), activity.clone());
        service_fn(move |mut request: hyper::Request<Incoming>| {
            let in_flight = activity.begin();
            request.extensions_mut().insert(Peer(peer));
            let answer = router.clone().oneshot(request.map(Body::new));
            let sending = activity.clone();
            async move {
                let answer = answer.await;
                drop(in_flight);
                answer.map(|answer| answer.map(|body| Sent::new(body, sending)))
            }
        })
    };
    let stream = TokioIo::new(stream);
    let idle = limits.idle_timeout();
    let ended = if is_http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_header_list_size(limits.max_header_bytes)
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let connection = http.serve_connection(stream, service);
        let finish = http2::Connection::graceful_shutdown;
        drive(connection, finish, &activity, idle, &serving.stop).await
    } else {
        let mut http = http1::Builder::new();
        // Slow heads end like any other idleness: see `Activity`.
        http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head_max);
        let connection = http.serve_connection(stream, service).with_upgrades();
        let finish = http1::UpgradeableConnection::graceful_shutdown;
        drive(connection, finish, &activity, idle, &serving.stop).await
    };
    match ended {
        Ended::ByItself(Ok(())) => {}
        Ended::ByItself(Err(error)) => {
            if error.is_parse_too_large() {
                serving.metrics.limited(Limit::HeaderSize);
            }
            tracing::debug!(%error, "a connection ended early");
        }
        // Kept for later and not needed after all: that is how connections end.
        Ended::Idle if activity.was_useful() => {}
        Ended::Idle => serving.metrics.limited(Limit::IdleTimeout),
    }
}

/// The stream to speak HTTP over, and whether it is HTTP/2.
async fn encrypt(
    stream: TcpStream,
    slot: ConnectionSlot,
    serving: &Serving,
) -> Option<(Stream, bool)> {
    let stall = serving.gate.limits.write_stall_timeout();
    let metrics = Arc::clone(&serving.metrics);
    let Some(tls) = &serving.tls else {
        return Some((Stream::new(Either::Left(stream), Some(slot), stall, metrics), false));
    };
    let handshake = timeout(serving.gate.limits.idle_timeout(), tls.acceptor().accept(stream));
    // Whoever has not asked for anything yet is nobody to wait for.
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
    idle: Duration,
    stop: &CancellationToken,
) -> Ended {
    let mut connection = pin!(connection);
    let is_idle = tokio::select! {
        ended = connection.as_mut() => return Ended::ByItself(ended),
        () = stop.cancelled() => false,
        () = activity.idle_for(idle) => true,
    };
    finish(connection.as_mut());
    activity.touch();
    let ended = tokio::select! {
        biased;
        ended = connection => ended,
        () = activity.idle_for(END_TIMEOUT) => Ok(()),
    };
    if is_idle { Ended::Idle } else { Ended::ByItself(ended) }
}

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State { in_flight: 0, answered: false, since: Instant::now() })))
    }

    fn begin(&self) -> InFlight {
        self.with(|state| state.in_flight += 1);
        InFlight(self.clone())
    }

    /// Something was sent.
    fn touch(&self) {
        self.with(|state| state.since = Instant::now());
    }

    fn was_useful(&self) -> bool {
        self.with(|state| state.answered)
    }

    /// Returns once there has been no request, and no piece of an answer been taken, for so long.
    async fn idle_for(&self, idle: Duration) {
        loop {
            let now = Instant::now();
            let due = self.with(
                |state| {
                    if state.in_flight > 0 { now + idle } else { state.since + idle }
                },
            );
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.in_flight = state.in_flight.saturating_sub(1);
            state.answered = true;
            state.since = Instant::now();
        });
    }
}

impl Sent {
    fn new(body: Body, activity: Activity) -> Self {
        Self { body, rest: Bytes::new(), activity }
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
    use http_body_util::BodyExt;
    use hyper::body::Body as _;

    use super::*;

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
}
