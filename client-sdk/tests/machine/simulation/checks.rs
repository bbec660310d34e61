//! What must hold after every step, whatever happened.

use client_sdk::backoff;
use client_sdk::machine::SETTLE_AFTER;
use client_sdk::state::{Publication, Source, Status};
use client_sdk::time::Moment;

use super::server::Seen;
use crate::bench::Bench;

/// Watches a client from outside.
#[derive(Default)]
pub(super) struct Checks {
    last: Option<Publication>,
    seen: Option<Seen>,
    live_since: Option<Moment>,
    /// Sockets so far, and the failures at the opening of the last one.
    sockets: usize,
    failures: u32,
    /// A snapshot, or a 304, came after the acceptance of the socket that is open.
    pub(super) is_synchronized: bool,
    /// The server asked to be left alone at some time, which the law of waiting yields to.
    pub(super) has_wished: bool,
    /// The server said that the session is not accepted.
    pub(super) is_refused: bool,
    /// Sockets and requests so far, when the session was refused.
    refused_at: Option<(usize, usize)>,
}

impl Checks {
    pub(super) fn after_step(&mut self, bench: &Bench, owner_user: u64) {
        let state = &bench.state;
        self.never_back(state);
        if let Some(view) = &state.view {
            assert_eq!(u64::from(Seen::of(view).owner) / 1_000, owner_user, "another user's data");
        }
        self.never_live_without_a_snapshot(bench);
        self.waits_by_the_law(bench);
        self.forgives_only_what_held(bench);
        self.stays_refused(bench);
        assert!(state.as_of.is_none_or(|as_of| as_of <= bench.now), "known in the future");
        assert_eq!(state.view.is_none(), state.source == Source::None);
        assert_eq!(state.view.is_none(), state.as_of.is_none());
        self.last = Some(state.clone());
    }

    /// The session is another one: nothing of the former may be compared.
    pub(super) fn forget(&mut self) {
        let (sockets, has_wished) = (self.sockets, self.has_wished);
        *self = Self { sockets, has_wished, ..Self::default() };
    }

    fn never_back(&mut self, state: &Publication) {
        let seen = state.view.as_ref().map(Seen::of);
        if let (Some(before), Some(now)) = (&self.seen, &seen)
            && before.owner == now.owner
        {
            assert!(now.summary >= before.summary, "{before:?} -> {now:?}");
            assert!(now.themes >= before.themes, "{before:?} -> {now:?}");
            assert!(now.partial >= before.partial, "{before:?} -> {now:?}");
            if let (Some(before), Some(now)) = (before.recent, now.recent) {
                assert!(now >= before, "recent MOCs: {before} -> {now}");
            }
            let last = self.last.as_ref().and_then(|last| last.revision);
            assert!(state.revision >= last, "{last:?} -> {:?}", state.revision);
        }
        self.seen = seen;
    }

    fn never_live_without_a_snapshot(&self, bench: &Bench) {
        let is_live = bench.state.status == Status::Live;
        assert_eq!(is_live, bench.state.source == Source::Live);
        if is_live {
            assert!(self.is_synchronized, "live without a snapshot of this connection");
            assert!(bench.socket.is_some(), "live without a socket");
        }
    }

    fn waits_by_the_law(&self, bench: &Bench) {
        let is_new = self.last.as_ref().is_none_or(|last| {
            (last.next_retry_at, last.attempt) != (bench.state.next_retry_at, bench.state.attempt)
        });
        let Some(retry_at) = bench.state.next_retry_at.filter(|_| is_new) else {
            return;
        };
        let wait = retry_at.since(bench.now);
        assert!(wait >= backoff::FLOOR, "waits {wait:?} only");
        let ceiling = match bench.state.status {
            Status::Degraded => backoff::CAP,
            _ => backoff::ceiling(bench.state.attempt),
        };
        let ceiling = if self.has_wished { backoff::LONGEST_WISH } else { ceiling };
        assert!(wait <= ceiling, "waits {wait:?} after {} failures", bench.state.attempt);
    }

    /// Failures are counted until live has held: a new socket starts with as many as there were.
    fn forgives_only_what_held(&mut self, bench: &Bench) {
        let attempt = bench.state.attempt;
        if self.sockets != bench.sockets {
            self.sockets = bench.sockets;
            self.failures = attempt;
        }
        if bench.state.status != Status::Live {
            self.live_since = None;
            return;
        }
        let held = bench.now.since(*self.live_since.get_or_insert(bench.now));
        if attempt != self.failures {
            assert!(attempt == 0 && held >= SETTLE_AFTER, "{attempt} after {held:?} of live");
            self.failures = 0;
        }
    }

    fn stays_refused(&mut self, bench: &Bench) {
        let asked = (bench.sockets, bench.fetches);
        let is_refused = bench.state.status == Status::AuthRequired;
        assert!(is_refused || !self.is_refused, "a refused session is not taken for refused");
        if is_refused {
            assert_eq!(*self.refused_at.get_or_insert(asked), asked, "tried a refused session");
        } else {
            assert_eq!(self.refused_at, None, "left authRequired by itself");
        }
    }
}
