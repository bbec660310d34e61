//! The state `degraded`, after too many failures: polls REST and retries the socket slowly
//! (D-RES-4).

use super::POLL_EVERY;
use super::connecting::Outcome;
use super::core::Core;
use super::signal::{Fetched, Signal, unconfirmed};
use super::states::{Degraded, Fetch, Retry, State, Terminal};
use crate::backoff;
use crate::reducer::SnapshotOutcome;
use crate::state::Reason;
use crate::time::{Millis, Moment};

impl Core {
    pub(super) fn degraded(&mut self, degraded: Degraded, signal: Signal, now: Moment) -> State {
        match signal {
            Signal::Stop => self.close(),
            Signal::Reauthenticate { is_same_user } => self.begin_anew(is_same_user, now),
            Signal::Online | Signal::Visible | Signal::Refresh => {
                self.hurry(degraded, &signal, now)
            }
            Signal::Due => self.degraded_due(degraded, now),
            Signal::Fetched(fetched) => self.polled(degraded, fetched, now),
            // Already started. The polls find out whether the network is gone.
            Signal::Start | Signal::Offline => self.ignore(State::Degraded(degraded), &signal),
            Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted(_)
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_) => self.retried(degraded, signal, now),
        }
    }

    /// A signal of the socket that is being tried.
    fn retried(&mut self, degraded: Degraded, signal: Signal, now: Moment) -> State {
        let Degraded { retry, poll } = degraded;
        let attempt = match retry {
            Retry::Trying(attempt) => attempt,
            Retry::Waiting(_) => {
                return self.ignore(State::Degraded(Degraded { retry, poll }), &signal);
            }
        };
        let retry = match self.advance(attempt, signal, now) {
            Outcome::Pending(attempt) => Retry::Trying(attempt),
            Outcome::Accepted(link, tag) => {
                // A poll that is given up for the new connection's snapshot has not succeeded.
                self.polled &= matches!(poll, Fetch::Waiting(_));
                return self.synchronize(link, tag, now);
            }
            Outcome::Refused => return self.require_auth(Terminal::AuthFailed),
            Outcome::Failed(reason, retry_after) => self.retry_later(reason, retry_after, now),
            Outcome::Ignored(attempt, signal) => {
                let retry = Retry::Trying(attempt);
                return self.ignore(State::Degraded(Degraded { retry, poll }), &signal);
            }
        };
        State::Degraded(Degraded { retry, poll })
    }

    fn degraded_due(&mut self, mut degraded: Degraded, now: Moment) -> State {
        if degraded.poll.deadline() <= now {
            match degraded.poll {
                Fetch::Waiting(_) => degraded.poll = self.new_fetch(now),
                Fetch::Asked(_) => return self.polled(degraded, Fetch::timed_out(), now),
            }
        }
        match &degraded.retry {
            Retry::Waiting(pause) if pause.until <= now => {
                degraded.retry = Retry::Trying(self.new_attempt(now));
                State::Degraded(degraded)
            }
            Retry::Trying(attempt) if attempt.deadline <= now => {
                self.retried(degraded, Signal::Due, now)
            }
            Retry::Waiting(_) | Retry::Trying(_) => State::Degraded(degraded),
        }
    }

    /// Something speaks for trying now: both the poll and the socket, if they only wait.
    fn hurry(&mut self, mut degraded: Degraded, signal: &Signal, now: Moment) -> State {
        let polls = matches!(&degraded.poll, Fetch::Waiting(pause) if now >= pause.not_before);
        let retries = matches!(&degraded.retry, Retry::Waiting(pause) if now >= pause.not_before);
        if polls {
            degraded.poll = self.new_fetch(now);
        }
        if retries {
            degraded.retry = Retry::Trying(self.new_attempt(now));
        }
        if polls || retries {
            State::Degraded(degraded)
        } else {
            self.ignore(State::Degraded(degraded), signal)
        }
    }

    fn retry_later(&mut self, reason: Reason, retry_after: Option<Millis>, now: Moment) -> Retry {
        self.failures = self.failures.saturating_add(1);
        self.warn(&reason);
        self.reason = Some(reason);
        Retry::Waiting(self.pause(retry_after, now))
    }

    fn polled(&mut self, mut degraded: Degraded, fetched: Fetched, now: Moment) -> State {
        let mut retry_after = None;
        // No socket vouches for what a cache may have kept.
        match fetched.confirmed() {
            Fetched::Full { tag, view, .. } => {
                self.polled = self.show(tag, *view, now) != SnapshotOutcome::Older;
            }
            Fetched::Unchanged => self.polled = self.show_unchanged(now),
            Fetched::Unconfirmed => {
                self.polled = false;
                self.warn(&unconfirmed());
            }
            Fetched::Refused(why) => return self.require_auth(why),
            Fetched::Failed { reason, retry_after: asked } => {
                self.polled = false;
                self.warn(&reason);
                retry_after = asked;
            }
        }
        self.apply_retry_after(retry_after, now);
        let until = now + backoff::around(POLL_EVERY, &mut self.random);
        degraded.poll = self.fetch_at(until);
        State::Degraded(degraded)
    }
}
