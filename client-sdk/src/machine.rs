//! The machine decides what the client does. It does nothing itself.
//!
//! Inputs and the time go in, effects come out. A driver carries the effects out and reports back.
//! The machine has no clock, I/O, `async` or randomness, so a test can replay any life of the
//! client.
//!
//! ```text
//! machine.handle(input, now);
//! while let Some(effect) = machine.poll_effect() { … do it … }
//! … call again with Input::Tick at machine.next_timeout(), or with an earlier input
//! ```
//!
//! Every effect that will be answered carries an [`EffectId`], and one gate drops the answers to
//! effects that were given up. The state alone (`states::State`) determines which socket and which
//! request exist, so there is never a second one of either.

use crate::prelude::*;
mod backing_off;
mod connecting;
mod core;
mod degraded;
mod inactive;
mod live;
mod memory;
mod signal;
mod states;
mod syncing;

use ::core::fmt;

use shared_types::event::NAMESPACE;

use crate::decode::Decoder;
use crate::last_view::LastView;
use crate::state::{Code, Level, Publication, Reason};
use crate::time::{Millis, Moment};

use self::core::Core;

/// How many events are kept while a snapshot is on its way.
pub const BUFFERED_EVENTS: usize = 128;
/// How long an attempt may take until the namespace accepts it.
pub const CONNECT_TIMEOUT: Millis = Millis::seconds(10);
/// How long a snapshot may take.
pub const FETCH_TIMEOUT: Millis = Millis::seconds(10);
/// How long live must hold until earlier failures are forgiven.
pub const SETTLE_AFTER: Millis = Millis::seconds(5);
/// How soon a snapshot that could not be had is asked for again once an event shows that the server
/// can read: within this span, spread over it.
pub const HURRY_WITHIN: Millis = Millis(500);
/// The degraded client's period of polling, give or take a tenth (D-RES-4).
pub const POLL_EVERY: Millis = Millis::seconds(30);
/// How often a live client makes sure that it missed nothing, give or take a tenth.
pub const REVALIDATE_EVERY: Millis = Millis::seconds(300);
/// For how long, and in how many answers, the server may say that its data are older than what is
/// shown, as a replica does that lags; after both, what is shown is the error.
pub const BELIEVED_AFTER: Millis = Millis::seconds(300);
/// See [`BELIEVED_AFTER`].
pub const BELIEVED_ANSWERS: u32 = 10;
/// How often a view that changes is kept for the next life of the client.
pub const SAVE_EVERY: Millis = Millis::seconds(2);
/// How much of a skipped frame a diagnostic contains, in characters.
pub const EXCERPT_CHARS: usize = 500;

/// Which socket or request an answer belongs to; never used twice in a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EffectId(pub u32);

/// Text that must not appear in logs: a token, or a frame that contains one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes custody of the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be sent where it belongs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The app starts the client.
    Start,
    /// The app stops the client; nothing of the view is kept.
    Stop,
    /// The app says that the session is a new one, and the client connects again.
    Reauthenticate {
        /// The app knows that it is of the user whose view is shown, which then stays, as stale.
        /// Otherwise nothing of it is kept.
        is_same_user: bool,
    },
    /// A person wants fresh data now.
    Refresh,
    /// The platform says that the network is back.
    Online,
    /// The platform says that the network is gone.
    Offline,
    /// The page is seen again after having been hidden.
    Visible,
    /// The time that [`Machine::next_timeout`] told has come, or may have.
    Tick,
    /// The socket is open; here is the token, asked of the app for this attempt.
    Opened {
        /// Which socket.
        epoch: EffectId,
        /// None where the session is in a cookie.
        token: Option<Secret>,
    },
    /// A text message arrived.
    Frame {
        /// On which socket.
        epoch: EffectId,
        /// All of it.
        text: String,
    },
    /// A binary message arrived, which the protocol does not have.
    BinaryFrame {
        /// On which socket.
        epoch: EffectId,
    },
    /// The socket closed, or never opened.
    Closed {
        /// Which socket.
        epoch: EffectId,
        /// Why.
        loss: Loss,
    },
    /// The snapshot's request was answered, or failed.
    Snapshot {
        /// Which request.
        epoch: EffectId,
        /// The answer, of any status.
        result: Result<Response, FetchFailure>,
    },
    /// The last view was looked up.
    LastView {
        /// Which request.
        epoch: EffectId,
        /// The record that was kept, if there is one of this user's.
        record: Option<String>,
    },
}

/// Why a socket is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// [`Code::SocketFailed`], [`Code::SocketClosed`] or [`Code::TokenUnavailable`], with what the
    /// platform tells.
    pub reason: Reason,
    /// How long the server wants to be left alone, if it answered the handshake with 429 or 503.
    pub retry_after: Option<Millis>,
}

/// The answer to a request for the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Header `ETag`.
    pub etag: Option<String>,
    /// Header `Retry-After`: how long the server wants to be left alone.
    pub retry_after: Option<Millis>,
    /// The body: with 200 the answer or, where the query was lost on the way, a view; with 401 and 403 what tells the server's refusal (D-API-7) of this
    /// request from a page of something between. Not looked at with any other status.
    pub body: String,
}

/// Why a request for the snapshot was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchFailure {
    /// The app could not give a token.
    TokenUnavailable,
    /// The network failed, as the platform tells it.
    Network(String),
}

/// What a driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the app for a token, then open the socket; answered by `Opened` and `Frame`, ended by
    /// `Closed`. Never asked for while another socket is open.
    OpenSocket {
        /// Names the socket.
        epoch: EffectId,
    },
    /// Send a text message.
    Send {
        /// On which socket.
        epoch: EffectId,
        /// May contain a token.
        text: Secret,
    },
    /// Close the socket, or give up opening it; closing a closed one is nothing.
    CloseSocket {
        /// Which socket.
        epoch: EffectId,
    },
    /// Ask the app for a token, then fetch the snapshot; answered by `Snapshot`. Never asked for
    /// while another request is on its way.
    FetchSnapshot {
        /// Names the request.
        epoch: EffectId,
        /// The query of the address, without its `?`. It names the request once more (`fresh`), for
        /// the server to repeat: so no answer that something between has kept passes for a new
        /// one. And it says which snapshot is shown (`have`), which need not come again.
        query: String,
    },
    /// Give up the request.
    AbortFetch {
        /// Which request.
        epoch: EffectId,
    },
    /// Look up the record of the last view; answered by `LastView`. Where none is kept, it need
    /// not be answered.
    LoadLastView {
        /// Names the request.
        epoch: EffectId,
    },
    /// Keep this view ([`LastView::to_record`]) in the place of any other.
    SaveLastView(Box<LastView>),
    /// Keep no view, and none that is still being written.
    DropLastView,
    /// Tell the app; only ever asked for when something changed.
    State(Box<Publication>),
    /// Tell the app's developers.
    Diagnostic {
        /// How much it matters.
        level: Level,
        /// What it is about.
        reason: Reason,
    },
}

/// The client's mind; see the [module](self).
#[derive(Debug)]
pub struct Machine<D> {
    decoder: D,
    core: Core,
}

impl<D: Decoder> Machine<D> {
    /// A machine that is idle. `seed` comes from the platform's randomness and spreads retries.
    #[must_use]
    pub fn new(decoder: D, seed: u64) -> Self {
        Self { decoder, core: Core::new(seed) }
    }

    /// Takes an input at a moment. Time goes first: what was due by `now` happens before the
    /// input does, so after a sleep a message from before it cannot pass for a sign of life.
    pub fn handle(&mut self, input: Input, now: Moment) {
        self.core.catch_up(now);
        match input {
            Input::Start => self.core.step(signal::Signal::Start, now),
            Input::Stop => self.core.step(signal::Signal::Stop, now),
            Input::Reauthenticate { is_same_user } => {
                self.core.step(signal::Signal::Reauthenticate { is_same_user }, now);
            }
            Input::Refresh => self.core.step(signal::Signal::Refresh, now),
            Input::Online => self.core.step(signal::Signal::Online, now),
            Input::Offline => self.core.step(signal::Signal::Offline, now),
            Input::Visible => self.core.step(signal::Signal::Visible, now),
            Input::Tick => {}
            Input::Opened { epoch, token } if self.core.admits_socket(epoch) => {
                self.core.step(signal::Signal::Opened(token), now);
            }
            Input::Frame { epoch, text } if self.core.admits_socket(epoch) => {
                self.core.hear(now);
                match signal::read_frame(&self.decoder, NAMESPACE, &text) {
                    signal::Read::Signal(signal) => self.core.step(signal, now),
                    signal::Read::Nothing => {}
                    signal::Read::Skipped(reason) => {
                        // An event of a type that is news to us changes nothing that we show.
                        if reason.code != Code::EventUnknown {
                            self.core.suspect(now);
                        }
                        self.core.tell(Level::Warn, reason);
                    }
                }
            }
            Input::BinaryFrame { epoch } if self.core.admits_socket(epoch) => {
                self.core.hear(now);
                let reason = Reason::new(Code::FrameMalformed, "skipped a binary message");
                self.core.tell(Level::Warn, reason);
            }
            Input::Closed { epoch, loss } if self.core.admits_socket(epoch) => {
                self.core.step(signal::Signal::Lost(loss), now);
            }
            Input::Snapshot { epoch, result } if self.core.admits_fetch(epoch) => {
                let fetched = signal::read_answer(&self.decoder, self.core.request(), result);
                self.core.step(signal::Signal::Fetched(fetched), now);
            }
            Input::LastView { epoch, record } if self.core.admits_last_view(epoch) => {
                let read = record.map(|text| LastView::from_record(&self.decoder, &text, now));
                self.core.recall(read);
            }
            // The gate: an answer to something that was given up.
            Input::LastView { .. }
            | Input::Opened { .. }
            | Input::Frame { .. }
            | Input::BinaryFrame { .. }
            | Input::Closed { .. }
            | Input::Snapshot { .. } => {
                let reason = Reason::new(Code::AnswerStale, "dropped the answer to an earlier try");
                self.core.tell(Level::Debug, reason);
            }
        }
        self.core.publish();
        self.core.save(now);
    }

    /// The next thing to do, in order; none when all is done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.core.effects.pop_front()
    }

    /// When to call [`Machine::handle`] with [`Input::Tick`], if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        self.core.next_timeout()
    }
}
