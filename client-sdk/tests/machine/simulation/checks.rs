//! Checks what must hold after every step.
//!
//! The checks see what a driver sees: inputs, effects and publications. They keep books of their
//! own and never ask the machine why.

use client_sdk::View;
use client_sdk::backoff;
use client_sdk::machine::{
    BELIEVED_AFTER, BELIEVED_ANSWERS, EffectId, FETCH_TIMEOUT, POLL_EVERY, SAVE_EVERY, SETTLE_AFTER,
};
use client_sdk::state::{Code, Publication, Source, Status};
use client_sdk::time::{Millis, Moment, WALL_TOLERANCE};

use super::decoder::Remembering;
use super::host::Host;
use super::server::Seen;
use crate::bench::Bench;

/// `pingInterval` and `pingTimeout` of the handshake together: no silence is longer.
const PATIENCE: Millis = Millis::seconds(15);
/// The shortest and the longest period of polling.
const SOONEST_POLL: Millis = Millis(POLL_EVERY.0 - POLL_EVERY.0 / 10);
const LATEST_POLL: Millis = Millis(POLL_EVERY.0 + POLL_EVERY.0 / 10);
/// How late the timers of a hidden tab are, for two deadlines in a row.
const THROTTLED: u64 = 120_000;

/// What was given to the machine, as far as it matters to the checks.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// A start, a stop, another session: the books were closed before.
    App,
    /// Something that lets a client hurry: online, visible, refresh; or offline.
    Nudge,
    /// Time passed.
    Tick,
    /// The socket is open, or gave something unreadable.
    Socket,
    Frame(EffectId, Says),
    Closed(Option<Millis>),
    Answer(Answer),
    LastView,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Something,
    /// With whose data there are, and how new they are, if the server said so.
    Accepted(Option<Vouched>),
    AuthFailed,
    TokenExpired,
    Drains(Millis),
}

/// Owner and revision of the server's data when it accepted a socket.
pub(super) type Vouched = (u64, u64);

/// What an answer to a request says.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Answer {
    /// A snapshot, or that nothing is newer, from the server or a replica; or something kept that is as new as
    /// the socket's data.
    pub(super) tag: Option<String>,
    /// A cache gave it, or nothing shows that none did.
    pub(super) is_unconfirmed: bool,
    pub(super) is_refused: bool,
    pub(super) is_forbidden: bool,
    /// Not the server's at all: it says nothing about the session.
    pub(super) is_strangers: bool,
    pub(super) retry_after: Option<Millis>,
}

/// Watches a client from outside.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "books of facts that do not depend on each other"
)]
pub(super) struct Checks {
    last: Option<Publication>,
    /// The view that is shown, as revisions.
    pub(super) seen: Option<Seen>,
    shown: Option<View>,
    live_since: Option<Moment>,
    /// Sockets, requests and diagnostics so far, and the failures at the opening of the last socket.
    sockets: usize,
    fetches: usize,
    told: usize,
    failures: u32,
    /// The socket whose acceptance the client knows of, and what the server said then.
    accepted: Option<EffectId>,
    pub(super) vouched: Option<Vouched>,
    /// What the server has said since the view was last known to be right.
    answers: u32,
    /// The request on its way was asked for after that.
    is_fetch_of_accepted: bool,
    is_fetching: bool,
    /// A snapshot, or a 304, came in answer to such a request.
    is_synchronized: bool,
    /// When the socket last said something, on the client's time line and awake.
    heard: Option<(EffectId, Moment, u64)>,
    /// An expired token was answered with an immediate attempt, and live has not held since.
    is_renewed: bool,
    last_fetch: Option<Moment>,
    /// How many sockets had ended at the last request of a client that had nothing to show.
    asked_at: Option<usize>,
    fetch_ended: Option<Moment>,
    /// Until when the server wants no socket and no request.
    no_socket_before: Moment,
    no_fetch_before: Moment,
    /// When the view was last known to be right, in ms awake.
    as_of_awake: u64,
    /// What is shown came from an earlier life, and is about to be replaced.
    is_recalled: bool,
    /// Which view is kept for the next life, by its age, and since when.
    kept: Option<(Moment, Moment)>,
    /// The tags that this session's server sent.
    tags: Vec<String>,
    /// One of its answers has been shown, or has confirmed what is.
    has_shown: bool,
    /// The server said that the session is not accepted, or may not read.
    is_refused: bool,
    is_forbidden: bool,
    /// The app took another user for the same one, and the server has not told of its data since.
    is_misled: bool,
    /// Sockets and requests so far, when the session was refused.
    refused_at: Option<(usize, usize)>,
}

impl Checks {
    pub(super) fn after_step(
        &mut self,
        bench: &Bench<Remembering>,
        host: &Host,
        cause: &Cause,
        user: u64,
    ) {
        let state = &bench.state;
        if bench.socket.is_none() || bench.socket != self.accepted {
            self.accepted = None;
            self.vouched = None;
            self.is_synchronized = false;
        }
        let news = bench.diagnostics.get(self.told..).unwrap_or_default();
        let is_admitted = !news.iter().any(|(_, reason)| reason.code == Code::AnswerStale);
        self.told = bench.diagnostics.len();
        if is_admitted {
            self.learn(bench, host, cause);
        }
        self.look(bench, host, cause);
        self.never_back(state, bench.now);
        if let Some(seen) = &self.seen {
            assert!(self.is_misled || seen.owner / 1_000 == user, "another user's data is shown");
        }
        self.remembers_what_held(bench);
        self.opens_sockets_by_the_law(bench, cause);
        self.asks_by_the_law(bench, cause);
        self.waits_by_the_law(bench);
        self.never_live_without_a_snapshot(bench);
        self.forgives_only_what_held(bench);
        self.stays_refused(bench);
        Self::rests(bench);
        self.notices_silence(bench, host);
        self.polls_honestly(state, host, is_admitted.then_some(cause));
        self.believes_no_stranger(bench, cause);
        self.keeps_what_it_may(bench, user);
        assert!(
            self.has_shown || matches!(state.source, Source::None | Source::Stale),
            "unconfirmed"
        );
        assert!(state.as_of.is_none_or(|as_of| as_of <= bench.now), "known in the future");
        let as_of = state.as_of.map(|as_of| host.clock().wall(as_of));
        let latest = host.wall() + WALL_TOLERANCE;
        assert!(as_of.is_none_or(|as_of| as_of <= latest), "known in the wall's future");
        assert_eq!(state.view.is_none(), state.source == Source::None, "a view from nowhere");
        assert_eq!(state.view.is_none(), state.as_of.is_none(), "a view of no age");
        self.last = Some(state.clone());
    }

    /// The session is another one: nothing of the former may be compared.
    pub(super) fn forget(&mut self) {
        let Self { sockets, fetches, told, is_fetching, .. } = *self;
        *self = Self { sockets, fetches, told, is_fetching, ..Self::default() };
    }

    /// The session is another one of the same user, as the app says: the view goes on, and the law begins
    /// anew. Where the app is wrong, the client cannot know before the server has told of its data.
    pub(super) fn go_on(&mut self, is_misled: bool) {
        let before = std::mem::take(self);
        self.last = before.last;
        (self.seen, self.shown, self.as_of_awake) = (before.seen, before.shown, before.as_of_awake);
        (self.kept, self.tags) = (before.kept, before.tags);
        (self.sockets, self.fetches) = (before.sockets, before.fetches);
        (self.told, self.is_fetching) = (before.told, before.is_fetching);
        self.is_misled = is_misled || before.is_misled;
    }

    /// Between the steps: a dead socket is noticed in time, even if timers are late.
    pub(super) fn between_steps(&self, bench: &Bench<Remembering>, host: &Host) {
        if let Some((epoch, _, heard)) = self.heard
            && bench.socket == Some(epoch)
            && self.accepted == Some(epoch)
        {
            let late = if host.is_hidden { THROTTLED } else { 0 };
            let silence = host.awake() - heard;
            assert!(silence <= PATIENCE.0 + late, "silence unnoticed for {silence} ms");
        }
    }

    fn learn(&mut self, bench: &Bench<Remembering>, host: &Host, cause: &Cause) {
        match cause {
            Cause::Frame(epoch, says) => {
                self.heard = Some((*epoch, bench.now, host.awake()));
                match says {
                    Says::Accepted(vouched) => {
                        (self.accepted, self.vouched) = (bench.socket, *vouched);
                        self.is_misled &= vouched.is_none();
                    }
                    Says::AuthFailed => self.is_refused = true,
                    Says::Drains(retry_after) => {
                        self.no_socket_before = bench.now + backoff::capped(*retry_after);
                    }
                    Says::Something | Says::TokenExpired => {}
                }
            }
            Cause::Closed(Some(retry_after)) => {
                self.no_socket_before = bench.now + backoff::capped(*retry_after);
            }
            Cause::Answer(answer) => {
                if answer.tag.is_some() && !answer.is_unconfirmed {
                    self.answers += 1;
                    self.is_misled = false;
                }
                if let Some(tag) = &answer.tag {
                    // What an earlier life showed has no authority: anything may follow it.
                    self.is_recalled = !self.has_shown && self.seen.is_some();
                    self.tags.push(tag.clone());
                    // Also where it turns out too old; then the client must not be live.
                    self.is_synchronized |= self.is_fetch_of_accepted;
                }
                self.is_refused |= answer.is_refused;
                self.is_forbidden |= answer.is_forbidden;
                if let Some(retry_after) = answer.retry_after {
                    self.no_fetch_before = bench.now + backoff::capped(retry_after);
                }
            }
            // The client may know better than to go on with what it showed.
            Cause::App => self.has_shown &= bench.state.view.is_some(),
            Cause::Nudge | Cause::Tick | Cause::Socket | Cause::LastView | Cause::Closed(None) => {}
        }
    }

    /// Reads the view, if it is another one.
    fn look(&mut self, bench: &Bench<Remembering>, host: &Host, cause: &Cause) {
        let state = &bench.state;
        let is_told = matches!(cause, Cause::Answer(Answer { tag: Some(_), .. }));
        self.has_shown |= is_told && state.as_of == Some(bench.now);
        if self.last.as_ref().is_none_or(|last| last.as_of != state.as_of) {
            self.as_of_awake = host.awake();
            self.answers = 0;
        }
        let is_same = match (&self.shown, &state.view) {
            (Some(before), Some(now)) => is_same(before, now),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.shown.clone_from(&state.view);
        }
    }

    fn never_back(&mut self, state: &Publication, now: Moment) {
        let last = self.last.as_ref();
        if let (Some(before), Some(now)) = (last.and_then(|last| last.view.as_ref()), &state.view)
            && is_same(before, now)
        {
            return;
        }
        let seen = state.view.as_ref().map(Seen::of);
        let is_recalled = std::mem::take(&mut self.is_recalled);
        // The server is believed again, if it has long contradicted what is shown.
        let as_of = last.and_then(|last| last.as_of);
        let is_old = as_of.is_some_and(|as_of| now.since(as_of) >= BELIEVED_AFTER)
            && self.answers >= BELIEVED_ANSWERS;
        if let (Some(before), Some(now)) = (&self.seen, &seen)
            && before.owner == now.owner
            && !is_recalled
            && !is_old
        {
            let is_newer = now.summary >= before.summary
                && now.themes >= before.themes
                && now.partial >= before.partial;
            assert!(is_newer, "the view went back: {before:?} -> {now:?}");
            if let (Some(before), Some(now)) = (before.newest_recent(), now.newest_recent()) {
                assert!(now >= before, "the view went back: recent MOCs {before} -> {now}");
            }
            let last = last.and_then(|last| last.revision);
            assert!(state.revision >= last, "the view went back: {last:?} -> {:?}", state.revision);
        }
        self.seen = seen;
    }

    fn never_live_without_a_snapshot(&self, bench: &Bench<Remembering>) {
        let is_live = bench.state.status == Status::Live;
        assert_eq!(is_live, bench.state.source == Source::Live, "live in one word only");
        if is_live {
            assert!(self.is_synchronized, "live without a snapshot of this connection");
            let seen = self.seen.as_ref().zip(bench.state.revision);
            let is_new = seen.zip(self.vouched).is_none_or(|((seen, shown), (owner, revision))| {
                seen.owner == owner && shown.get() >= revision
            });
            assert!(is_new, "live with less than the server had when it accepted");
            assert!(bench.socket.is_some(), "live without a socket");
        }
    }

    fn opens_sockets_by_the_law(&mut self, bench: &Bench<Remembering>, cause: &Cause) {
        if bench.sockets == self.sockets {
            return;
        }
        // What was overdue comes first, so a late step may open one and end it at once.
        let most = if matches!(cause, Cause::App) { 2 } else { 1 };
        assert!(bench.sockets <= self.sockets + most, "several sockets in one step");
        assert!(bench.now >= self.no_socket_before, "a socket although the server asked for peace");
        let due = self.last.as_ref().and_then(|last| last.next_retry_at);
        if due.is_some_and(|due| due <= bench.now) {
            return;
        }
        match cause {
            // The last: the server's data counts anew, which an answer of another epoch told.
            Cause::App | Cause::Nudge | Cause::Answer(Answer { tag: Some(_), .. }) => {}
            Cause::Frame(_, Says::TokenExpired) => {
                assert!(!self.is_renewed, "a second immediate attempt for an expired token");
                self.is_renewed = true;
            }
            cause => panic!("a socket before its time, after {cause:?}"),
        }
    }

    fn asks_by_the_law(&mut self, bench: &Bench<Remembering>, cause: &Cause) {
        if bench.fetches != self.fetches {
            // A late step may ask for what was overdue, and end it at once.
            assert!(bench.fetches <= self.fetches + 2, "several requests in one step");
            let is_accepted = matches!(cause, Cause::Frame(_, Says::Accepted(_)));
            self.fetches = bench.fetches;
            assert!(
                bench.now >= self.no_fetch_before,
                "a request although the server asked for peace"
            );
            if let Some(tag) = bench.fetch.as_ref().and_then(|(_, query)| query.have.as_ref()) {
                let is_ours = self.tags.contains(tag);
                assert!(is_ours, "asked with {tag}, which this session never got");
            }
            let is_nudged = matches!(cause, Cause::Nudge);
            self.is_fetch_of_accepted = self.accepted.is_some();
            if bench.fetch.is_none() || is_nudged {
            } else if self.is_fetch_of_accepted && !is_accepted {
                let pause = self.fetch_ended.map(|ended| bench.now.since(ended));
                assert!(pause >= Some(backoff::FLOOR), "asked again after {pause:?}");
            } else if !self.is_fetch_of_accepted && !self.has_shown {
                // Where there is nothing to show, each failed attempt may ask once.
                let ended = bench.sockets - usize::from(bench.socket.is_some());
                let is_asked = self.asked_at == Some(ended);
                let pause = self.last_fetch.map_or(SOONEST_POLL, |last| bench.now.since(last));
                assert!(!is_asked || pause >= SOONEST_POLL, "asked twice, after {pause:?}");
                self.asked_at = Some(ended);
            } else if !self.is_fetch_of_accepted {
                let pause = self.last_fetch.map_or(SOONEST_POLL, |last| bench.now.since(last));
                assert!(pause >= SOONEST_POLL, "polled again after {pause:?}");
            }
            self.last_fetch = Some(bench.now);
        }
        if bench.fetch.is_none() && self.is_fetching {
            self.fetch_ended = Some(bench.now);
        }
        self.is_fetching = bench.fetch.is_some();
    }

    fn waits_by_the_law(&self, bench: &Bench<Remembering>) {
        let is_new = self.last.as_ref().is_none_or(|last| {
            (last.next_retry_at, last.attempt) != (bench.state.next_retry_at, bench.state.attempt)
        });
        let Some(retry_at) = bench.state.next_retry_at.filter(|_| is_new) else {
            return;
        };
        // What is left of a `Retry-After` may be anything.
        if retry_at == self.no_socket_before || retry_at == self.no_fetch_before {
            return;
        }
        let wait = retry_at.since(bench.now);
        assert!(wait >= backoff::FLOOR, "waits {wait:?} only");
        let ceiling = match bench.state.status {
            Status::Degraded => backoff::CAP,
            _ => backoff::ceiling(bench.state.attempt),
        };
        assert!(wait <= ceiling, "waits {wait:?} after {} failures", bench.state.attempt);
    }

    fn remembers_what_held(&mut self, bench: &Bench<Remembering>) {
        // A late step may find that live has held, and that it is over; a connection that was
        // silent for too long has not held.
        let is_heard = self.heard.is_some_and(|(_, heard, _)| bench.now.since(heard) < PATIENCE);
        if let Some(since) = self.live_since
            && bench.state.status != Status::Live
            && bench.now.since(since) >= SETTLE_AFTER
            && is_heard
        {
            self.failures = 0;
            self.is_renewed = false;
        }
    }

    /// Failures are counted until live has held: a new socket starts with as many as there were.
    fn forgives_only_what_held(&mut self, bench: &Bench<Remembering>) {
        let attempt = bench.state.attempt;
        if self.sockets != bench.sockets {
            self.sockets = bench.sockets;
            // One late step may open a socket and then be refused, which forgets everything.
            let is_refused = bench.state.status == Status::AuthRequired;
            let is_kept = is_refused || attempt >= self.failures;
            assert!(is_kept, "failures forgiven: {} -> {attempt}", self.failures);
            self.failures = attempt;
        }
        if bench.state.status != Status::Live {
            self.live_since = None;
            return;
        }
        let held = bench.now.since(*self.live_since.get_or_insert(bench.now));
        if held >= SETTLE_AFTER {
            self.is_renewed = false;
        }
        if attempt != self.failures {
            let is_due = attempt == 0 && held >= SETTLE_AFTER;
            assert!(is_due, "failures forgiven: {} -> {attempt} after {held:?}", self.failures);
            self.failures = 0;
        }
    }

    fn stays_refused(&mut self, bench: &Bench<Remembering>) {
        let asked = (bench.sockets, bench.fetches);
        let is_refused = bench.state.status == Status::AuthRequired;
        if is_refused {
            assert_eq!(*self.refused_at.get_or_insert(asked), asked, "tried a refused session");
        } else {
            assert_eq!(self.refused_at, None, "left authRequired by itself");
        }
        assert!(is_refused || !self.is_refused, "a refused session is not taken for refused");
        assert!(
            !is_refused || self.is_refused,
            "a session that was not refused is taken for refused"
        );
        assert!(bench.state.view.is_none() || !self.is_forbidden, "shows what is forbidden");
    }

    /// Where nothing should be going on, nothing is.
    fn rests(bench: &Bench<Remembering>) {
        match bench.state.status {
            Status::Idle | Status::Closed | Status::AuthRequired => {
                assert!(bench.socket.is_none() && bench.fetch.is_none(), "does not rest");
            }
            Status::Backoff => assert!(bench.socket.is_none(), "does not wait"),
            Status::Connecting | Status::Syncing | Status::Live | Status::Degraded => {}
        }
        if matches!(bench.state.status, Status::Idle | Status::Closed) {
            assert!(bench.state.view.is_none(), "shows something although closed");
        }
    }

    fn notices_silence(&self, bench: &Bench<Remembering>, host: &Host) {
        self.between_steps(bench, host);
        if let Some((epoch, heard, _)) = self.heard
            && bench.socket == Some(epoch)
            && self.accepted == Some(epoch)
        {
            let silence = bench.now.since(heard);
            assert!(silence < PATIENCE, "silence unnoticed for {silence:?}");
        }
    }

    /// What is not the server's takes nothing away: not the view, and not what is kept of it.
    fn believes_no_stranger(&self, bench: &Bench<Remembering>, cause: &Cause) {
        if let Cause::Answer(Answer { is_strangers: true, .. }) = cause {
            let last = self.last.as_ref();
            let was_shown = last.is_some_and(|last| last.view.is_some());
            assert!(!was_shown || bench.state.view.is_some(), "a stranger took the view away");
            assert!(was_shown || bench.state.view.is_none(), "a stranger's view is shown");
            let as_of = last.and_then(|last| last.as_of);
            assert_eq!(bench.state.as_of, as_of, "a stranger made the view younger");
            let was_live = last.is_some_and(|last| last.status == Status::Live);
            let is_live = bench.state.status == Status::Live;
            assert!(was_live || !is_live, "a stranger made the client live");
            let is_kept = self.kept.is_none() || bench.kept.is_some();
            assert!(is_kept, "a stranger took the last view away");
        }
    }

    /// The last view is this user's, is not written too often, and is gone where it is not certain
    /// whose it is.
    fn keeps_what_it_may(&mut self, bench: &Bench<Remembering>, user: u64) {
        let Some(kept) = &bench.kept else {
            self.kept = None;
            return;
        };
        let may = !matches!(bench.state.status, Status::Closed | Status::AuthRequired);
        assert!(may && self.has_shown, "keeps a view that nobody vouches for");
        if let Some((as_of, since)) = self.kept {
            if as_of == kept.as_of {
                return;
            }
            let pause = bench.now.since(since);
            assert!(pause >= SAVE_EVERY, "kept a view again after {pause:?}");
        }
        assert_eq!(Seen::of(&kept.view).owner / 1_000, user, "keeps another user's view");
        self.kept = Some((kept.as_of, bench.now));
    }

    /// What is called polled was confirmed within a period and a request.
    fn polls_honestly(&self, state: &Publication, host: &Host, cause: Option<&Cause>) {
        if state.source == Source::Polling {
            let is_kept = matches!(cause, Some(Cause::Answer(Answer { is_unconfirmed: true, .. })));
            assert!(!is_kept, "called polled after an answer that a cache may have kept");
            let age = host.awake() - self.as_of_awake;
            let late = if host.was_hidden(FETCH_TIMEOUT.0) { THROTTLED } else { 0 };
            let longest = LATEST_POLL.0 + FETCH_TIMEOUT.0 + late;
            assert!(age <= longest, "called polled after {age} ms");
        }
    }
}

fn is_same(before: &View, now: &View) -> bool {
    use std::sync::Arc;
    Arc::ptr_eq(&before.summary, &now.summary)
        && Arc::ptr_eq(&before.theme_breakdown, &now.theme_breakdown)
        && Arc::ptr_eq(&before.recent_mocs, &now.recent_mocs)
        && Arc::ptr_eq(&before.partial_parts_mocs, &now.partial_parts_mocs)
}
