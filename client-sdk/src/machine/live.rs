//! The state `live`: the view is the server's, from a snapshot and the events after it.

use shared_types::ErrorEventCode;

use super::core::Core;
use super::signal::{Fetched, Signal, unconfirmed};
use super::states::{Buffer, Fetch, Link, Live, Pause, Sign, State, Syncing};
use super::syncing::{disconnected, offline, silent};
use super::{Loss, REVALIDATE_EVERY, SETTLE_AFTER};
use crate::backoff;
use crate::reducer::SnapshotOutcome;
use crate::state::{Code, Reason};
use crate::time::{Millis, Moment};

/// A skipped message is followed by a request within the wait after this number of failures: 8 s.
pub(super) const AS_IF_FAILED: u32 = 4;

impl Core {
    pub(super) fn enter_live(&mut self, link: Link, now: Moment) -> State {
        self.because(Code::Synchronized, "the view is the server's");
        self.reason = None;
        self.polled = false;
        State::Live(Live {
            link,
            settles_at: Some(now + SETTLE_AFTER),
            revalidation: self.revalidate_later(now),
            fetch_failures: 0,
        })
    }

    pub(super) fn live(&mut self, mut live: Live, signal: Signal, now: Moment) -> State {
        match signal {
            Signal::Stop => self.close(),
            Signal::Reauthenticate { is_same_user } => self.begin_anew(is_same_user, now),
            Signal::Offline => self.lose(offline(), None, now),
            // A socket may look open long after its peer is gone. A request tells what was missed;
            // if the socket is dead, the heartbeat tells that.
            Signal::Online | Signal::Visible | Signal::Refresh => match &live.revalidation {
                Fetch::Waiting(pause) if now >= pause.not_before => {
                    live.revalidation = self.new_fetch(now);
                    State::Live(live)
                }
                Fetch::Waiting(_) | Fetch::Asked(_) => self.ignore(State::Live(live), &signal),
            },
            Signal::Due => self.live_due(live, now),
            Signal::Ping => {
                self.answer_ping(&live.link);
                State::Live(live)
            }
            Signal::Change(revision, change) => {
                self.change(revision, change, now);
                State::Live(self.compare_soon(live, now))
            }
            Signal::Told(told) => match told.code {
                ErrorEventCode::TokenExpired => self.renew_token(now),
                ErrorEventCode::ServerDraining => self.drain(&told, live.settles_at.is_none(), now),
                ErrorEventCode::SnapshotUnavailable => self.doubt(&live, now),
            },
            Signal::Refused(refusal) => self.refused_late(&refusal, now),
            Signal::Disconnected => self.lose(disconnected(), None, now),
            Signal::Lost(Loss { reason, retry_after }) => self.lose(reason, retry_after, now),
            Signal::Fetched(fetched) => self.live_fetched(live, fetched, now),
            // Started, opened and accepted already.
            Signal::Start | Signal::Opened(_) | Signal::Handshake(_) | Signal::Accepted(_) => {
                self.ignore(State::Live(live), &signal)
            }
        }
    }

    fn live_due(&mut self, mut live: Live, now: Moment) -> State {
        // First: what slept through both deadlines has not held.
        if live.link.silent_until <= now {
            return self.lose(silent(), None, now);
        }
        if live.settles_at.is_some_and(|settles_at| settles_at <= now) {
            live.settles_at = None;
            self.failures = 0;
            self.doubts = 0;
            self.token_renewed = false;
        }
        if live.revalidation.deadline() > now {
            return State::Live(live);
        }
        match live.revalidation {
            Fetch::Waiting(_) => {
                live.revalidation = self.new_fetch(now);
                State::Live(live)
            }
            Fetch::Asked(_) => self.live_fetched(live, Fetch::timed_out(), now),
        }
    }

    fn live_fetched(&mut self, mut live: Live, fetched: Fetched, now: Moment) -> State {
        match fetched {
            // Nothing that was kept proves that nothing was missed; at most it holds something newer.
            Fetched::Full { tag, is_confirmed: false, .. }
                if self.is_vouched_for(&tag) && Some(tag.revision) == self.shown_revision() =>
            {
                live.revalidation = self.revalidate_later(now);
                State::Live(live)
            }
            Fetched::Full { tag, view, is_confirmed }
                if is_confirmed || self.is_vouched_for(&tag) =>
            {
                match self.show(tag, *view, now) {
                    SnapshotOutcome::Applied => self.revalidated(live, now),
                    // The socket's events cannot be compared with this snapshot; where the session's
                    // user is another one now, they are not even the same user's.
                    SnapshotOutcome::Replaced => {
                        let why = "the server's data counts anew, so the socket is opened anew";
                        self.connect(Reason::new(Code::EpochChanged, why), now)
                    }
                    SnapshotOutcome::Older => self.overtaken(live, now),
                }
            }
            Fetched::Full { .. } | Fetched::Unconfirmed => {
                self.warn(&unconfirmed());
                self.overtaken(live, now)
            }
            Fetched::Unchanged if self.show_unchanged(now) => self.revalidated(live, now),
            Fetched::Unchanged => self.overtaken(live, now),
            Fetched::Refused(why) => self.require_auth(why),
            Fetched::Failed { reason, retry_after } => {
                self.warn(&reason);
                live.fetch_failures = live.fetch_failures.saturating_add(1);
                live.revalidation = self.fetch_later(live.fetch_failures, retry_after, now);
                State::Live(live)
            }
        }
    }

    /// Events are newer than the answer, which proves nothing of what else may have changed since:
    /// it is asked for again.
    fn overtaken(&mut self, mut live: Live, now: Moment) -> State {
        live.fetch_failures = live.fetch_failures.saturating_add(1);
        live.revalidation = self.fetch_later(live.fetch_failures, None, now);
        State::Live(live)
    }

    fn revalidated(&mut self, mut live: Live, now: Moment) -> State {
        live.fetch_failures = 0;
        live.revalidation = self.revalidate_later(now);
        State::Live(live)
    }

    fn revalidate_later(&mut self, now: Moment) -> Fetch {
        if core::mem::take(&mut self.suspicious) {
            return self.fetch_later(AS_IF_FAILED, None, now);
        }
        let until = now + backoff::around(REVALIDATE_EVERY, &mut self.random);
        Fetch::Waiting(Pause { until, not_before: now })
    }

    /// A message was skipped, and with it perhaps a change: the view is compared with the server's
    /// soon. Not at once, as a fault of the server's reaches all of its clients at the same time.
    pub(super) fn suspect(&mut self, now: Moment) {
        self.suspicious = true;
        self.acceptance.has_missed = true;
        let state = core::mem::replace(&mut self.state, State::Closed);
        self.state = match state {
            State::Live(live) => State::Live(self.compare_soon(live, now)),
            state => state,
        };
    }

    /// Where there is a suspicion. What is on its way already may be older than what was skipped;
    /// then the suspicion stays until it is there.
    fn compare_soon(&mut self, mut live: Live, now: Moment) -> Live {
        if let Fetch::Waiting(pause) = &mut live.revalidation
            && core::mem::take(&mut self.suspicious)
        {
            // One draw for all that are skipped meanwhile: the least of many would be at once.
            if pause.until > now + backoff::ceiling(AS_IF_FAILED) {
                let soon = now + backoff::delay(AS_IF_FAILED, &mut self.random);
                pause.until = soon.max(pause.not_before);
            }
        }
        live
    }

    /// The server could not read what it should have pushed: the view may be stale, so it is not
    /// called live until a snapshot has come. The server is in trouble; it is not asked at once, and
    /// the later the more often it has said so.
    fn doubt(&mut self, live: &Live, now: Moment) -> State {
        let reason = Reason::new(Code::SnapshotUnavailable, "the server has no data now");
        self.because(reason.code, &reason.message);
        self.reason = Some(reason);
        self.doubts = self.doubts.saturating_add(1);
        self.acceptance.has_missed = true;
        State::Syncing(Syncing {
            link: live.link,
            fetch: self.fetch_later(self.doubts, None::<Millis>, now),
            fetch_failures: self.doubts,
            sign: Sign::Awaited,
            buffer: Buffer::default(),
        })
    }
}
