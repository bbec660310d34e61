//! The states in which the client does nothing: idle, authRequired, closed.
//!
//! Answers of sockets and requests cannot reach them, because the gate knows that they have none.
//! Their rows name those signals all the same, so that each new signal needs a decision here.

use super::core::Core;
use super::signal::Signal;
use super::states::State;
use crate::time::Moment;

impl Core {
    pub(super) fn idle(&mut self, signal: &Signal, now: Moment) -> State {
        match signal {
            Signal::Start => self.begin(now),
            Signal::Stop => self.close(),
            // There is no session yet, and nothing to refresh.
            Signal::Reauthenticate { .. }
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
            | Signal::Accepted(_)
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
            | Signal::Reauthenticate { .. }
            | Signal::Refresh
            | Signal::Online
            | Signal::Offline
            | Signal::Visible
            // No deadline, no socket, no request.
            | Signal::Due
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted(_)
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
            Signal::Reauthenticate { is_same_user } => self.begin_anew(*is_same_user, now),
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
            | Signal::Accepted(_)
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_)
            | Signal::Fetched(_) => self.ignore(State::AuthRequired, signal),
        }
    }
}
