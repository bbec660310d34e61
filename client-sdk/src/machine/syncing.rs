//! The state `syncing`: connected, and the snapshot is on its way. Events wait for it (D-RES-3).

use super::core::{Acceptance, Core};
use super::live::AS_IF_FAILED;
use super::signal::{Fetched, Signal, unconfirmed};
use super::states::{Buffer, Fetch, Link, Sign, State, Syncing};
use super::{HURRY_WITHIN, Loss};
use crate::backoff;
use crate::decode::Change;
use crate::prelude::*;
use crate::reducer::{ChangeOutcome, SnapshotOutcome};
use crate::state::{Code, Level, Reason};
use crate::time::{Millis, Moment};
use shared_types::{ErrorEvent, ErrorEventCode, Revision, SnapshotTag};

impl Core {
    /// Accepted: the snapshot that is asked for now holds all that was missed.
    pub(super) fn synchronize(
        &mut self,
        mut link: Link,
        accepted: Option<SnapshotTag>,
        now: Moment,
    ) -> State {
        link.heard(now);
        self.acceptance = Acceptance { tag: accepted, has_missed: false };
        self.check_carried_over();
        self.because(Code::Accepted, "the server accepted, the snapshot is asked for");
        let fetch = self.fetch_soon(now);
        let buffer = Buffer::default();
        State::Syncing(Syncing { link, fetch, fetch_failures: 0, sign: Sign::Awaited, buffer })
    }

    pub(super) fn syncing(&mut self, mut syncing: Syncing, signal: Signal, now: Moment) -> State {
        match signal {
            Signal::Stop => self.close(),
            Signal::Reauthenticate { is_same_user } => self.begin_anew(is_same_user, now),
            Signal::Offline => self.lose(offline(), None, now),
            Signal::Online | Signal::Visible | Signal::Refresh => match &syncing.fetch {
                Fetch::Waiting(pause) if now >= pause.not_before => {
                    syncing.fetch = self.new_fetch(now);
                    State::Syncing(syncing)
                }
                Fetch::Waiting(_) | Fetch::Asked(_) => {
                    self.ignore(State::Syncing(syncing), &signal)
                }
            },
            Signal::Due => self.syncing_due(syncing, now),
            Signal::Ping => {
                self.answer_ping(&syncing.link);
                State::Syncing(syncing)
            }
            Signal::Change(revision, change) => {
                self.keep(&mut syncing.buffer, revision, change);
                if syncing.sign == Sign::Awaited {
                    syncing.sign = Sign::Seen;
                }
                self.hurry_fetch(&mut syncing, now);
                State::Syncing(syncing)
            }
            Signal::Told(told) => match told.code {
                // Being fetched anyway.
                ErrorEventCode::SnapshotUnavailable => {
                    self.acceptance.has_missed = true;
                    syncing.sign = Sign::Awaited;
                    self.warn(&Reason::new(
                        Code::SnapshotUnavailable,
                        "the server has no data now",
                    ));
                    State::Syncing(syncing)
                }
                ErrorEventCode::TokenExpired => self.renew_token(now),
                ErrorEventCode::ServerDraining => self.drain(&told, false, now),
            },
            Signal::Refused(refusal) => self.refused_late(&refusal, now),
            Signal::Disconnected => self.lose(disconnected(), None, now),
            Signal::Lost(Loss { reason, retry_after }) => self.lose(reason, retry_after, now),
            Signal::Fetched(fetched) => self.syncing_fetched(syncing, fetched, now),
            // Started, opened and accepted already.
            Signal::Start | Signal::Opened(_) | Signal::Handshake(_) | Signal::Accepted(_) => {
                self.ignore(State::Syncing(syncing), &signal)
            }
        }
    }

    fn syncing_due(&mut self, mut syncing: Syncing, now: Moment) -> State {
        if syncing.link.silent_until <= now {
            return self.lose(silent(), None, now);
        }
        match syncing.fetch {
            Fetch::Waiting(_) => {
                syncing.fetch = self.new_fetch(now);
                State::Syncing(syncing)
            }
            Fetch::Asked(_) => self.syncing_fetched(syncing, Fetch::timed_out(), now),
        }
    }

    fn syncing_fetched(&mut self, syncing: Syncing, fetched: Fetched, now: Moment) -> State {
        match fetched {
            Fetched::Full { tag, is_confirmed: false, .. } if !self.is_vouched_for(&tag) => {
                self.fetch_past_caches(syncing, now)
            }
            Fetched::Unconfirmed => self.fetch_past_caches(syncing, now),
            Fetched::Full { tag, .. } if self.is_of_another_epoch(&tag) => {
                self.lose(other_data(), None, now)
            }
            Fetched::Full { tag, .. }
                if !self.is_as_new_as_accepted(&tag) && !self.is_outvoted(now) =>
            {
                self.contradict(now);
                self.fetch_again(syncing, stale(), None, now)
            }
            Fetched::Full { tag, view, .. } => {
                let revision = tag.revision;
                match self.show(tag, *view, now) {
                    SnapshotOutcome::Older => self.fetch_again(syncing, stale(), None, now),
                    // The socket did not say whose data it is for, nor how they count.
                    SnapshotOutcome::Replaced if self.acceptance.tag.is_none() => {
                        self.lose(other_data(), None, now)
                    }
                    SnapshotOutcome::Replaced | SnapshotOutcome::Applied => {
                        self.go_live(syncing, revision, now)
                    }
                }
            }
            Fetched::Unchanged
                if self
                    .shown
                    .as_ref()
                    .is_some_and(|shown| self.is_of_another_epoch(shown.tag())) =>
            {
                self.lose(other_data(), None, now)
            }
            Fetched::Unchanged => match self.shown.as_ref().map(|shown| shown.tag().revision) {
                Some(revision) if self.show_unchanged(now) => self.go_live(syncing, revision, now),
                _ => self.fetch_again(syncing, stale(), None, now),
            },
            Fetched::Refused(why) => self.require_auth(why),
            Fetched::Failed { reason, retry_after } => {
                self.fetch_again(syncing, reason, retry_after, now)
            }
        }
    }

    /// The connection is good, so it stays; only the snapshot is asked for again, later.
    fn fetch_again(
        &mut self,
        mut syncing: Syncing,
        reason: Reason,
        retry_after: Option<Millis>,
        now: Moment,
    ) -> State {
        self.warn(&reason);
        self.reason = Some(reason);
        self.polled = false;
        syncing.fetch_failures = syncing.fetch_failures.saturating_add(1);
        syncing.fetch = self.fetch_later(syncing.fetch_failures, retry_after, now);
        self.hurry_fetch(&mut syncing, now);
        State::Syncing(syncing)
    }

    /// A cache that answers costs the server nothing, and may give way at any time: so it is asked
    /// past it soon, however often that has failed.
    fn fetch_past_caches(&mut self, mut syncing: Syncing, now: Moment) -> State {
        let vouches = self.acceptance.tag.is_some() && !self.acceptance.has_missed;
        if !vouches && syncing.fetch_failures >= AS_IF_FAILED {
            // Another socket may vouch for what this one cannot.
            return self.lose(unconfirmed(), None, now);
        }
        syncing.fetch_failures = syncing.fetch_failures.min(AS_IF_FAILED - 1);
        self.fetch_again(syncing, unconfirmed(), None, now)
    }

    fn go_live(&mut self, syncing: Syncing, revision: Revision, now: Moment) -> State {
        if !syncing.buffer.is_made_up_by(revision) {
            let why = "more events came during the snapshot than are kept";
            let reason = Reason::new(Code::EventsOverflowed, why);
            return self.fetch_again(syncing, reason, None, now);
        }
        for (revision, change) in syncing.buffer.into_events() {
            self.change(revision, change, now);
        }
        self.enter_live(syncing.link, now)
    }

    /// An event shows that the server can read again, so a request that failed need not wait as the
    /// law says. Within a span, as all clients see that at the same time; and once, as an event
    /// proves nothing of the requests' own way: if that one fails too, the law holds. So does the
    /// server's `Retry-After`, which may come from a proxy in front that knows only its own load.
    fn hurry_fetch(&mut self, syncing: &mut Syncing, now: Moment) {
        if let Fetch::Waiting(pause) = &mut syncing.fetch
            && syncing.sign == Sign::Seen
        {
            syncing.sign = Sign::Used;
            let soon = now + self.random.span(backoff::FLOOR, HURRY_WITHIN);
            pause.until = pause.until.min(soon.max(pause.not_before));
        }
    }

    fn keep(&mut self, buffer: &mut Buffer, revision: Revision, change: Change) {
        if !buffer.push(revision, change) {
            let why = "the events that wait for the snapshot were dropped";
            self.tell(Level::Warn, Reason::new(Code::EventsOverflowed, why));
        }
    }

    /// Applies an event, unless it is not newer than what is shown.
    pub(super) fn change(&mut self, revision: Revision, change: Change, now: Moment) {
        let outcome = self.shown.as_mut().map(|shown| shown.change(revision, change));
        if outcome == Some(ChangeOutcome::Applied) {
            self.confirm(now);
            self.hear_newest(revision);
        } else {
            if outcome == Some(ChangeOutcome::Overtaken) {
                (self.suspicious, self.acceptance.has_missed) = (true, true);
            }
            let why = ["skipped an event of revision ", &revision.get().to_string()].concat();
            self.tell(Level::Debug, Reason::new(Code::EventStale, why));
        }
    }

    /// The first expired token is answered with a fresh one at once; if that is refused for its
    /// age as well, something else is wrong, and the law of waiting holds.
    pub(super) fn renew_token(&mut self, now: Moment) -> State {
        let reason = Reason::new(Code::TokenExpired, "the session's token ran out");
        if self.token_renewed {
            return self.lose(reason, None, now);
        }
        self.token_renewed = true;
        self.reason = Some(reason.clone());
        self.connect(reason, now)
    }

    /// The server says when to come back. That is no failure where the connection had held; where
    /// it had not, it counts as one, so that a server that drains for ever is given up.
    pub(super) fn drain(&mut self, told: &ErrorEvent, is_settled: bool, now: Moment) -> State {
        let reason = Reason::new(Code::ServerDraining, "the server is about to stop");
        let retry_after = told.reconnect_after_ms.map(|ms| Millis(ms.into()));
        if is_settled {
            self.come_back(reason, retry_after, now)
        } else {
            self.lose(reason, retry_after, now)
        }
    }

    pub(super) fn shown_revision(&self) -> Option<Revision> {
        self.shown.as_ref().map(crate::reducer::VersionedView::revision)
    }
}

pub(super) fn offline() -> Reason {
    Reason::new(Code::Offline, "the network is gone")
}

pub(super) fn silent() -> Reason {
    Reason::new(Code::HeartbeatMissed, "the server has been silent for too long")
}

pub(super) fn disconnected() -> Reason {
    Reason::new(Code::Disconnected, "the server ended the connection")
}

fn other_data() -> Reason {
    Reason::new(Code::EpochChanged, "the snapshot is of other data than the socket")
}

fn stale() -> Reason {
    Reason::new(Code::SnapshotStale, "the server's snapshot is older than what is shown")
}
