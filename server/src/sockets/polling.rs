//! Runs a socket over HTTP long-polling. Its client asks for packets with one request after the other, and
//! sends its own with others.
//!
//! One task holds the session and answers the requests, which reach it through a [`Poller`]. Any request
//! that shows the session's [`Sid`] acts for it, so the `Sid` is a secret: the logs name the connection
//! instead.
//!
//! Packets that a client did not get are lost, and clients start over when a request of theirs fails. But
//! browsers and proxies repeat requests automatically, and then no client learns of the loss. So a request
//! that comes twice ends the session (promise 2).

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::session::{Fault, Phase, Session};
use crate::clock;
use crate::metrics::Limit;
use crate::sockets::connection::Connection;
use crate::sockets::end_reason::EndReason;
use crate::sockets::frames::{FrameLimits, MessageRate, Violation};
use crate::sockets::packet;

/// How long a socket that closes waits for its client to fetch what is left. A client may be between
/// two requests.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// A body takes no more packets once it has this number of bytes.
const FULL: usize = 1024 * 1024;
/// Requests of one session that may wait for its task. Honest clients have two at most.
const REQUESTS: usize = 4;

/// The name of a session in the addresses of its client's requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sid(Uuid);

/// Why a request of a session is not answered as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The session is over, maybe because of this request.
    Over,
    /// The client may not send that.
    Malformed,
    /// The client sends more than it may.
    TooMany,
    /// The client has more requests under way than it may.
    Crowded,
}

/// The sessions that poll.
#[derive(Default)]
pub(crate) struct Polls(Mutex<HashMap<Sid, Poller>>);

/// The way from a request to the session that it names.
#[derive(Clone)]
pub(crate) struct Poller {
    pub(crate) connection: Arc<Connection>,
    requests: mpsc::Sender<Request>,
}

/// What is asked of a session's task.
pub(super) enum Request {
    /// Packets for the client. `mark` tells a request from those before it, if the client sets one.
    Poll { mark: Option<u64>, answer: oneshot::Sender<Vec<u8>> },
    /// Takes packets of the client.
    Post { body: String, answer: oneshot::Sender<Result<(), Unanswered>> },
    /// The client may change to a WebSocket for as long as this lives. It must not wait for packets in that
    /// time.
    Probed(Weak<()>),
    /// Hands the session to that WebSocket.
    Upgrade(oneshot::Sender<Session>),
}

/// A socket whose client polls. Dropping it is its end.
pub(crate) struct Polling {
    session: Session,
    exchange: Exchange,
}

/// The requests of a session.
struct Exchange {
    requests: mpsc::Receiver<Request>,
    /// The request that waits for packets.
    poll: Option<oneshot::Sender<Vec<u8>>>,
    /// What is answered once the session has ended and its place is free: a client may open the next
    /// one as soon as it learns of the end.
    last: Option<Last>,
    /// The mark of the last request for packets.
    mark: Option<u64>,
    rate: MessageRate,
    limits: FrameLimits,
    /// Lives while the client may change to a WebSocket.
    probe: Weak<()>,
    entry: Entry,
}

/// An answer that ends a session.
enum Last {
    Poll(oneshot::Sender<Vec<u8>>),
    Post(oneshot::Sender<Result<(), Unanswered>>, Result<(), Unanswered>),
}

/// A session's place in the table.
struct Entry {
    sid: Sid,
    polls: Arc<Polls>,
}

/// What a session's task has come to.
enum Outcome {
    Over(EndReason),
    Upgrade(oneshot::Sender<Session>),
}

impl Sid {
    fn random() -> Self {
        Self(clock::random_id())
    }

    /// The name that an address shows, if it can be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sid")
    }
}

impl Polls {
    /// The way to that session, while it lives.
    pub(crate) fn get(&self, sid: Sid) -> Option<Poller> {
        self.lock().get(&sid).cloned()
    }

    /// A panic elsewhere does not leave the table in a state that would be wrong.
    fn lock(&self) -> MutexGuard<'_, HashMap<Sid, Poller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Poller {
    /// Packets for the client, as the body of an answer, as soon as there are some.
    pub(crate) async fn poll(&self, mark: Option<u64>) -> Result<Vec<u8>, Unanswered> {
        let (answer, body) = oneshot::channel();
        self.try_ask(Request::Poll { mark, answer })?;
        body.await.map_err(|_| Unanswered::Over)
    }

    /// Hands over packets of the client, as they stand in the body of a request.
    pub(crate) async fn post(&self, body: String) -> Result<(), Unanswered> {
        let (answer, taken) = oneshot::channel();
        self.try_ask(Request::Post { body, answer })?;
        taken.await.map_err(|_| Unanswered::Over)?
    }

    pub(super) async fn ask(&self, request: Request) -> Result<(), Unanswered> {
        self.requests.send(request).await.map_err(|_| Unanswered::Over)
    }

    /// Returns once the session is over, or another transport has it.
    pub(crate) async fn over(&self) {
        self.requests.closed().await;
    }

    fn try_ask(&self, request: Request) -> Result<(), Unanswered> {
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => Unanswered::Over,
            mpsc::error::TrySendError::Full(_) => Unanswered::Crowded,
        })
    }
}

impl Polling {
    /// Begins a session. The first packets hold the rules, and answer its first request.
    pub(crate) fn open(mut session: Session, polls: &Arc<Polls>) -> (Self, Poller) {
        let sid = Sid::random();
        session.open(&sid.0.simple().to_string(), &["websocket"]);
        let (sender, requests) = mpsc::channel(REQUESTS);
        let poller = Poller { connection: Arc::clone(&session.connection), requests: sender };
        polls.lock().insert(sid, poller.clone());
        let exchange = Exchange {
            requests,
            poll: None,
            last: None,
            mark: None,
            rate: MessageRate::default(),
            limits: session.context.config.frames,
            probe: Weak::new(),
            entry: Entry { sid, polls: Arc::clone(polls) },
        };
        (Self { session, exchange }, poller)
    }

    /// Serves the socket to its end, or until a WebSocket takes it over.
    pub(crate) async fn run(self) {
        let Self { mut session, mut exchange } = self;
        let reason = loop {
            let outcome = poll_fn(|cx| exchange.poll(&mut session, cx));
            match AssertUnwindSafe(outcome).catch_unwind().await {
                Ok(Outcome::Over(reason)) => break reason,
                Ok(Outcome::Upgrade(taker)) => match taker.send(session) {
                    Ok(()) => return,
                    // The WebSocket is gone: the client goes on polling, or starts over.
                    Err(kept) => session = kept,
                },
                Err(_) => break session.panicked(),
            }
        };
        session.ended(reason);
        drop(session);
        exchange.end(reason);
    }
}

impl Exchange {
    fn poll(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Poll<Outcome> {
        // Before anything is checked, so that nothing that comes in between is missed.
        session.connection.waker.register(cx.waker());
        match self.advance(session, cx) {
            Ok(Some(taker)) => Poll::Ready(Outcome::Upgrade(taker)),
            Ok(None) => Poll::Pending,
            Err(reason) => Poll::Ready(Outcome::Over(reason)),
        }
    }

    /// Does all that can be done now. The WebSocket that is to take over, if there is one.
    fn advance(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
    ) -> Result<Option<oneshot::Sender<Session>>, EndReason> {
        loop {
            session.apply_state(LAST_WRITES)?;
            // A client that never authenticated and waits for nothing is not waited for.
            if self.poll.is_none() && session.connection.reason() == Some(EndReason::AuthTimeout) {
                return Err(EndReason::TransportError);
            }
            let is_admitted = session.admit(cx)?;
            let is_due = session.poll_deadline(cx)?;
            self.answer(session, cx)?;
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(Request::Upgrade(taker))) => return Ok(Some(taker)),
                Poll::Ready(Some(request)) => self.take(request, session)?,
                // The table keeps the other end for as long as this task runs.
                Poll::Ready(None) => return Err(EndReason::TransportError),
                Poll::Pending if is_admitted || is_due => {}
                Poll::Pending => return Ok(None),
            }
        }
    }

    fn take(&mut self, request: Request, session: &mut Session) -> Result<(), EndReason> {
        match request {
            Request::Poll { mark, answer } => {
                if mark.is_some() && mark == self.mark {
                    return Err(EndReason::PollRepeated);
                }
                self.mark = mark;
                if self.poll.replace(answer).is_some() {
                    self.poll = None;
                    return Err(EndReason::PollOverlap);
                }
            }
            Request::Post { body, answer } => {
                if let Err(fault) = self.receive(&body, session) {
                    let (reason, answered) = match fault {
                        Fault::Malformed | Fault::Forbidden => {
                            (EndReason::ParseError, Err(Unanswered::Malformed))
                        }
                        Fault::Over(reason @ EndReason::TransportClose) => (reason, Ok(())),
                        Fault::Over(reason @ EndReason::MessageRate) => {
                            (reason, Err(Unanswered::TooMany))
                        }
                        Fault::Over(reason) => (reason, Err(Unanswered::Over)),
                    };
                    self.last = Some(Last::Post(answer, answered));
                    return Err(reason);
                }
                // A client that no longer waits has sent its packets all the same.
                let _ = answer.send(Ok(()));
            }
            Request::Probed(probe) => self.probe = probe,
            Request::Upgrade(_) => {}
        }
        Ok(())
    }

    fn receive(&mut self, body: &str, session: &mut Session) -> Result<(), Fault> {
        for packet in packet::split(body) {
            let paid = self.rate.pay(self.limits, Instant::now().into_std());
            if paid == Err(Violation::MessageRate) {
                session.context.metrics.limited(Limit::MessageRate);
                return Err(Fault::Over(EndReason::MessageRate));
            }
            session.receive(packet)?;
        }
        Ok(())
    }

    /// Answers the request that waits for packets, if there is something to say.
    fn answer(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Result<(), EndReason> {
        let Some(poll) = &mut self.poll else { return Ok(()) };
        if poll.poll_closed(cx).is_ready() {
            return Err(EndReason::TransportError);
        }
        let mut body = Vec::new();
        while body.len() < FULL
            && let Some(frames) = session.next_frames()
        {
            packet::unframe(&frames, &mut body);
        }
        if body.is_empty() {
            match session.phase {
                // Never behind others: socket.io-client drops the events of a body that ends with it.
                Phase::Emptying => {
                    self.last = self.poll.take().map(Last::Poll);
                    // The first reason stays.
                    return Err(EndReason::TransportError);
                }
                _ if self.probe.strong_count() == 0 => return Ok(()),
                _ => packet::add(packet::EMPTY.as_bytes(), &mut body),
            }
        }
        match self.poll.take().map(|poll| poll.send(body)) {
            Some(Ok(())) => Ok(()),
            _ => Err(EndReason::TransportError),
        }
    }

    /// Answers what ends with the session.
    fn end(self, reason: EndReason) {
        let Self { poll, last, entry, .. } = self;
        drop(entry);
        // That a client no longer waits makes no difference.
        if reason == EndReason::TransportClose
            && let Some(poll) = poll
        {
            let _ = poll.send(packet::EMPTY.into());
        }
        match last {
            Some(Last::Poll(poll)) => drop(poll.send(packet::END.into())),
            Some(Last::Post(post, answer)) => drop(post.send(answer)),
            None => {}
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.polls.lock().remove(&self.sid);
    }
}

#[cfg(test)]
mod tests;
