//! Tracks the activity on a connection, and how long to wait for the next one.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// What has happened on a connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    /// Requests that are being answered.
    in_flight: u32,
    /// Answers that are being taken.
    sending: u32,
    answered: bool,
    /// Something came since the last request: the head of the next one has begun.
    has_begun: bool,
    since: Instant,
}

/// How long a connection may stay as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a complete head, or with an answer of which nothing is taken.
    pub(super) idle: Duration,
    /// Between an answer and the first byte of the next request.
    pub(super) kept: Duration,
}

/// A request that is being answered, or was given up by its client.
pub(super) struct InFlight(Activity);

/// An answer that is being taken.
pub(super) struct Sending(Activity);

/// A stream that tells when something comes.
pub(crate) struct Heard<S> {
    stream: S,
    activity: Activity,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            in_flight: 0,
            sending: 0,
            answered: false,
            has_begun: false,
            since: Instant::now(),
        })))
    }

    /// A request is there.
    pub(super) fn begin(&self) -> InFlight {
        self.with(|state| {
            state.in_flight += 1;
            state.has_begun = false;
        });
        InFlight(self.clone())
    }

    /// There is an answer to it.
    pub(super) fn send(&self) -> Sending {
        self.with(|state| state.sending += 1);
        Sending(self.clone())
    }

    /// Something was taken of an answer.
    pub(super) fn touch(&self) {
        self.with(|state| state.since = Instant::now());
    }

    /// Something came. The first of a next request only ends the waiting for one: a client that sends the rest
    /// byte by byte gains no time. What comes while a request is answered is its body.
    fn hear(&self) {
        self.with(|state| {
            if state.in_flight > 0 {
                return;
            }
            if !state.has_begun && state.is_kept() {
                state.since = Instant::now();
            }
            state.has_begun = true;
        });
    }

    /// Whether it is kept for later: all is answered and taken, and nothing has come since.
    pub(super) fn is_kept(&self) -> bool {
        self.with(|state| state.is_kept())
    }

    /// Returns once nothing has happened for the time of `patience`. While connections are scarce, one that
    /// is kept for later has no more time than any other.
    pub(super) async fn end(&self, patience: Patience, is_scarce: impl Fn() -> bool) {
        // No longer at a time: what happens in that time may leave less time than there was.
        let step = patience.idle.min(patience.kept);
        loop {
            let now = Instant::now();
            let (is_busy, is_kept, since) =
                self.with(|state| (state.in_flight > 0, state.is_kept(), state.since));
            let allowed = if is_kept && !is_scarce() { patience.kept } else { patience.idle };
            let due = if is_busy { now + step } else { since + allowed };
            if due <= now {
                return;
            }
            sleep_until(due.min(now + step)).await;
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn is_kept(&self) -> bool {
        self.answered && !self.has_begun && self.in_flight == 0 && self.sending == 0
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

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.sending = state.sending.saturating_sub(1);
            state.since = Instant::now();
        });
    }
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let progress = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.activity.hear();
        }
        progress
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
