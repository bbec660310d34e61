//! Connects a socket until the server accepts it: in the state `connecting`, and while degraded.

use shared_types::SnapshotTag;
use shared_types::event::NAMESPACE;

use super::core::Core;
use super::signal::{Signal, excerpt};
use super::states::{Attempt, Link, Stage, State, Terminal};
use super::{Effect, Loss, Secret};
use crate::codec;
use crate::state::{Code, Level, Reason};
use crate::time::{Millis, Moment};

/// How an attempt stands after a signal.
pub(super) enum Outcome {
    /// It goes on.
    Pending(Attempt),
    /// The namespace accepted us, and said how new its data are, if it could.
    Accepted(Link, Option<SnapshotTag>),
    /// The session was refused; more attempts would not help (D-RES-2).
    Refused,
    /// It failed, and another may not; the server may have asked to be left alone for a while.
    Failed(Reason, Option<Millis>),
    /// The signal means nothing to it.
    Ignored(Attempt, Signal),
}

impl Core {
    pub(super) fn connecting(&mut self, attempt: Attempt, signal: Signal, now: Moment) -> State {
        match signal {
            Signal::Stop => self.close(),
            Signal::Reauthenticate { is_same_user } => self.begin_anew(is_same_user, now),
            // Already under way: the attempt ends in ten seconds at the latest.
            Signal::Start
            | Signal::Refresh
            | Signal::Online
            | Signal::Offline
            | Signal::Visible
            // No request.
            | Signal::Fetched(_) => self.ignore(State::Connecting(attempt), &signal),
            Signal::Due
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted(_)
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_) => match self.advance(attempt, signal, now) {
                Outcome::Pending(attempt) => State::Connecting(attempt),
                Outcome::Accepted(link, tag) => self.synchronize(link, tag, now),
                Outcome::Refused => self.require_auth(Terminal::AuthFailed),
                Outcome::Failed(why, retry_after) => self.lose(why, retry_after, now),
                Outcome::Ignored(attempt, signal) => {
                    self.ignore(State::Connecting(attempt), &signal)
                }
            },
        }
    }

    /// Takes an attempt further. The caller sees to the signals that are not about the socket.
    pub(super) fn advance(&mut self, attempt: Attempt, signal: Signal, now: Moment) -> Outcome {
        let Attempt { socket, deadline, stage } = attempt;
        let stage = match (stage, signal) {
            (Stage::Opening, Signal::Opened(token)) => Stage::Opened(token),
            (Stage::Opened(token), Signal::Handshake(Ok(handshake))) => {
                let packet = codec::connect(NAMESPACE, token.as_ref().map(Secret::expose));
                self.effects.push_back(Effect::Send { epoch: socket, text: Secret::new(packet) });
                let silent_until = now + handshake.patience;
                Stage::Asked(Link { socket, patience: handshake.patience, silent_until })
            }
            (Stage::Asked(link), Signal::Accepted(tag)) => return Outcome::Accepted(link, tag),
            (Stage::Asked(link), Signal::Ping) => {
                self.answer_ping(&link);
                Stage::Asked(link)
            }
            (_, Signal::Handshake(Err(error))) => {
                let why = ["the server's handshake: ", &excerpt(&error.0)].concat();
                return Outcome::Failed(Reason::new(Code::ProtocolError, why), None);
            }
            (_, Signal::Refused(refusal)) if refusal.is_auth_failed() => return Outcome::Refused,
            (_, Signal::Refused(refusal)) => {
                let why = ["the server refused: ", &excerpt(&refusal.message)].concat();
                return Outcome::Failed(Reason::new(Code::ConnectRefused, why), None);
            }
            (_, Signal::Disconnected) => {
                let why = "the server disconnected before it accepted";
                return Outcome::Failed(Reason::new(Code::Disconnected, why), None);
            }
            (_, Signal::Lost(Loss { reason, retry_after })) => {
                return Outcome::Failed(reason, retry_after);
            }
            (_, Signal::Due) => {
                let why = "the server did not accept within ten seconds";
                return Outcome::Failed(Reason::new(Code::ConnectTimeout, why), None);
            }
            // Packets out of turn, and events that a server may not send before it accepts.
            (
                stage @ (Stage::Opening | Stage::Opened(_) | Stage::Asked(_)),
                signal @ (Signal::Opened(_)
                | Signal::Handshake(Ok(_))
                | Signal::Ping
                | Signal::Accepted(_)
                | Signal::Change(..)
                | Signal::Told(_)
                // Not about the socket.
                | Signal::Start
                | Signal::Stop
                | Signal::Reauthenticate { .. }
                | Signal::Refresh
                | Signal::Online
                | Signal::Offline
                | Signal::Visible
                | Signal::Fetched(_)),
            ) => return Outcome::Ignored(Attempt { socket, deadline, stage }, signal),
        };
        Outcome::Pending(Attempt { socket, deadline, stage })
    }

    pub(super) fn answer_ping(&mut self, link: &Link) {
        let text = Secret::new(codec::PONG);
        self.effects.push_back(Effect::Send { epoch: link.socket, text });
    }

    /// A refusal of an accepted connection.
    pub(super) fn refused_late(&mut self, refusal: &crate::decode::Refusal, now: Moment) -> State {
        if refusal.is_auth_failed() {
            return self.require_auth(Terminal::AuthFailed);
        }
        let why = ["the server refused: ", &excerpt(&refusal.message)].concat();
        self.lose(Reason::new(Code::ConnectRefused, why), None, now)
    }

    /// A failure that leaves the state as it is.
    pub(super) fn warn(&mut self, reason: &Reason) {
        self.tell(Level::Warn, reason.clone());
    }
}
