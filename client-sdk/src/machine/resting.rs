//! The states without a socket: idle, backoff, authRequired, closed.
//!
//! Answers of sockets and requests cannot reach them, because the gate knows that they have none;
//! their rows name those signals all the same, so that a new signal must be thought about here.

use super::core::Core;
use super::phases::{Pause, State};
use super::signal::Signal;
use crate::state::{Code, Reason};
use crate::time::Moment;

impl Core {
    pub(super) fn idle(&mut self, signal: &Signal, now: Moment) -> State {
        match signal {
            Signal::Start => self.begin(now),
            Signal::Stop => self.close(),
            // There is no session yet, and nothing to refresh.
            Signal::Reauthenticate
            | Signal::Refresh
            // Not asked to be connected.
            | Signal::Online
            | Signal::Offline
            | Signal::Visible
            // No deadline, no socket, no request.
            | Signal::Due
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_)
            | Signal::Fetched(_) => self.ignore(State::Idle, signal),
        }
    }

    pub(super) fn closed(&mut self, signal: &Signal, now: Moment) -> State {
        match signal {
            Signal::Start => self.begin(now),
            // Stopped already, and stays so until the app starts it.
            Signal::Stop
            | Signal::Reauthenticate
            | Signal::Refresh
            | Signal::Online
            | Signal::Offline
            | Signal::Visible
            // No deadline, no socket, no request.
            | Signal::Due
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_)
            | Signal::Fetched(_) => self.ignore(State::Closed, signal),
        }
    }

    /// Nothing but the app leads out of here: no retry, no polling (D-RES-2).
    pub(super) fn auth_required(&mut self, signal: &Signal, now: Moment) -> State {
        match signal {
            Signal::Stop => self.close(),
            Signal::Reauthenticate => self.begin_anew(now),
            // Started already.
            Signal::Start
            // The session would be refused again.
            | Signal::Refresh
            | Signal::Online
            | Signal::Offline
            | Signal::Visible
            // No deadline, no socket, no request.
            | Signal::Due
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_)
            | Signal::Fetched(_) => self.ignore(State::AuthRequired, signal),
        }
    }

    pub(super) fn backoff(&mut self, pause: Pause, signal: &Signal, now: Moment) -> State {
        let code = match signal {
            Signal::Stop => return self.close(),
            Signal::Reauthenticate => return self.begin_anew(now),
            Signal::Due => Code::Retrying,
            // Something speaks for an attempt now, unless the server asked to be left alone.
            Signal::Online if now >= pause.not_before => Code::Online,
            Signal::Visible if now >= pause.not_before => Code::Visible,
            Signal::Refresh if now >= pause.not_before => Code::Refreshed,
            Signal::Online
            | Signal::Visible
            | Signal::Refresh
            // Started already.
            | Signal::Start
            // Not believed so far as to stop trying: platforms err about it.
            | Signal::Offline
            // No socket, no request.
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_)
            | Signal::Fetched(_) => return self.ignore(State::Backoff(pause), signal),
        };
        self.connect(Reason::new(code, "trying again"), now)
    }
}
