//! Defines the states, each with its data.
//!
//! The open socket and the request that is on its way are part of the state, so neither can outlive
//! it: [`Core`](super::core::Core) closes what the next state no longer names.

use crate::prelude::*;
use shared_types::Revision;

use super::{BUFFERED_EVENTS, EffectId, Secret};
use crate::decode::Change;
use crate::state::{Code, Status};
use crate::time::{Millis, Moment};

/// Where the client is; see the table in the crate's documentation.
#[derive(Debug)]
pub(super) enum State {
    Idle,
    Connecting(Attempt),
    Syncing(Syncing),
    Live(Live),
    Backoff(Backoff),
    Degraded(Degraded),
    AuthRequired,
    Closed,
}

impl State {
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Idle => Status::Idle,
            Self::Connecting(_) => Status::Connecting,
            Self::Syncing(_) => Status::Syncing,
            Self::Live(_) => Status::Live,
            Self::Backoff(_) => Status::Backoff,
            Self::Degraded(_) => Status::Degraded,
            Self::AuthRequired => Status::AuthRequired,
            Self::Closed => Status::Closed,
        }
    }

    /// The one socket that exists in this state.
    pub(super) fn socket(&self) -> Option<EffectId> {
        match self {
            Self::Connecting(attempt)
            | Self::Degraded(Degraded { retry: Retry::Trying(attempt), .. }) => {
                Some(attempt.socket)
            }
            Self::Syncing(syncing) => Some(syncing.link.socket),
            Self::Live(live) => Some(live.link.socket),
            Self::Degraded(Degraded { retry: Retry::Waiting(_), .. })
            | Self::Idle
            | Self::Backoff(_)
            | Self::AuthRequired
            | Self::Closed => None,
        }
    }

    /// The one request that is on its way in this state.
    pub(super) fn fetch(&self) -> Option<EffectId> {
        let fetch = match self {
            Self::Syncing(syncing) => &syncing.fetch,
            Self::Live(live) => &live.revalidation,
            Self::Degraded(degraded) => &degraded.poll,
            Self::Backoff(backoff) => {
                return backoff.initial_fetch.as_ref().map(|initial_fetch| initial_fetch.epoch);
            }
            Self::Idle | Self::Connecting(_) | Self::AuthRequired | Self::Closed => return None,
        };
        match fetch {
            Fetch::Asked(asked) => Some(asked.epoch),
            Fetch::Waiting(_) => None,
        }
    }

    /// When this state acts without an input.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Idle | Self::AuthRequired | Self::Closed => None,
            Self::Connecting(attempt) => Some(attempt.deadline),
            Self::Backoff(backoff) => {
                let initial_fetch =
                    backoff.initial_fetch.as_ref().map(|initial_fetch| initial_fetch.deadline);
                initial_fetch.into_iter().chain([backoff.pause.until]).min()
            }
            Self::Syncing(syncing) => Some(syncing.link.silent_until.min(syncing.fetch.deadline())),
            Self::Live(live) => {
                let link = live.link.silent_until.min(live.revalidation.deadline());
                Some(live.settles_at.map_or(link, |settles_at| link.min(settles_at)))
            }
            Self::Degraded(degraded) => {
                let retry = match &degraded.retry {
                    Retry::Waiting(pause) => pause.until,
                    Retry::Trying(attempt) => attempt.deadline,
                };
                Some(retry.min(degraded.poll.deadline()))
            }
        }
    }
}

/// Why the client gives up until the app acts. What is not among these is transient, and tried
/// again by the law of waiting; the two never mix, because only these lead to `authRequired` and
/// `closed` (D-RES-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    /// The socket said `AUTH_FAILED`.
    AuthFailed,
    /// REST said 401, in the server's own body.
    Unauthorized,
    /// REST said 403, in the server's own body.
    Forbidden,
    /// The app said stop.
    Stopped,
}

impl Terminal {
    pub(super) const fn code(self) -> Code {
        match self {
            Self::AuthFailed => Code::AuthFailed,
            Self::Unauthorized => Code::Unauthorized,
            Self::Forbidden => Code::Forbidden,
            Self::Stopped => Code::Stopped,
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::AuthFailed | Self::Unauthorized => "the server refused the session",
            Self::Forbidden => "this session may not read this dashboard",
            Self::Stopped => "the app stopped the client",
        }
    }
}

/// A wait that the client may cut short, but not to before `not_before`: the server's `Retry-After`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) until: Moment,
    pub(super) not_before: Moment,
}

/// A socket on its way to being accepted.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) socket: EffectId,
    pub(super) deadline: Moment,
    pub(super) stage: Stage,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// The token is asked for, the socket opens.
    Opening,
    /// Open; the server has not introduced itself. The token is kept no longer than this.
    Opened(Option<Secret>),
    /// CONNECT is sent.
    Asked(Link),
}

/// A socket whose server has introduced itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) socket: EffectId,
    /// How long the server may be silent.
    pub(super) patience: Millis,
    /// When its silence becomes a loss.
    pub(super) silent_until: Moment,
}

impl Link {
    /// The server gave a sign of life.
    pub(super) fn heard(&mut self, now: Moment) {
        self.silent_until = now + self.patience;
    }
}

/// Between two attempts at a socket.
#[derive(Debug)]
pub(super) struct Backoff {
    pub(super) pause: Pause,
    /// Where there is nothing to show yet, REST is asked meanwhile: something behind a proxy that
    /// passes no sockets is better than nothing until the fifth failure.
    pub(super) initial_fetch: Option<Asked>,
}

/// A request for the snapshot: on its way, or due later.
#[derive(Debug)]
pub(super) enum Fetch {
    Waiting(Pause),
    Asked(Asked),
}

/// A request that is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) epoch: EffectId,
    pub(super) deadline: Moment,
}

impl Fetch {
    pub(super) fn deadline(&self) -> Moment {
        match self {
            Self::Waiting(pause) => pause.until,
            Self::Asked(asked) => asked.deadline,
        }
    }
}

#[derive(Debug)]
pub(super) struct Syncing {
    pub(super) link: Link,
    pub(super) fetch: Fetch,
    pub(super) fetch_failures: u32,
    pub(super) sign: Sign,
    pub(super) buffer: Buffer,
}

/// Whether an event has shown that the server can read, so that a request that failed need not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Awaited,
    Seen,
    /// A wait has been cut short for it.
    Used,
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) link: Link,
    /// When earlier failures are forgiven; none once they are.
    pub(super) settles_at: Option<Moment>,
    pub(super) revalidation: Fetch,
    pub(super) fetch_failures: u32,
}

#[derive(Debug)]
pub(super) struct Degraded {
    pub(super) retry: Retry,
    pub(super) poll: Fetch,
}

/// The degraded client's slow attempts at a socket.
#[derive(Debug)]
pub(super) enum Retry {
    Waiting(Pause),
    Trying(Attempt),
}

/// Events that came while the snapshot is on its way.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    events: Vec<(Revision, Change)>,
    /// The newest revision that was dropped for want of room.
    dropped: Option<Revision>,
}

impl Buffer {
    /// Keeps an event; false where there was no room and all were dropped.
    pub(super) fn push(&mut self, revision: Revision, change: Change) -> bool {
        if self.events.len() < BUFFERED_EVENTS {
            self.events.push((revision, change));
            return true;
        }
        let newest = self.events.iter().map(|(kept, _)| *kept).fold(revision, Revision::max);
        self.dropped = Some(self.dropped.map_or(newest, |dropped| dropped.max(newest)));
        self.events.clear();
        false
    }

    /// Whether a snapshot of that revision makes up for what was dropped.
    pub(super) fn is_made_up_by(&self, revision: Revision) -> bool {
        self.dropped.is_none_or(|dropped| revision >= dropped)
    }

    pub(super) fn into_events(self) -> Vec<(Revision, Change)> {
        self.events
    }
}
