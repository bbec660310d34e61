//! Holds what all states share: the view, the counters, the gate, and the one place where a change
//! of state becomes effects.

use crate::prelude::*;
use alloc::collections::VecDeque;
use core::mem;

use shared_types::{DashboardView, Revision, SnapshotTag};

use super::memory::Memory;
use super::signal::{Fetched, Request, Signal};
use super::states::{
    Asked, Attempt, Backoff, Degraded, Fetch, Pause, Retry, Stage, State, Terminal,
};
use super::{
    BELIEVED_AFTER, BELIEVED_ANSWERS, CONNECT_TIMEOUT, Effect, EffectId, FETCH_TIMEOUT, POLL_EVERY,
};
use crate::backoff;
use crate::random::Random;
use crate::reducer::{SnapshotOutcome, VersionedView};
use crate::state::{Code, Level, Publication, Reason, Source, Status};
use crate::time::{Millis, Moment};

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Core {
    pub(super) state: State,
    pub(super) shown: Option<VersionedView>,
    /// What is remembered from one life of the client to the next.
    pub(super) memory: Memory,
    /// When the view was last known to be the server's.
    pub(super) as_of: Option<Moment>,
    /// Data of more than one epoch were shown in this session: it may be another user's than it was.
    pub(super) is_mixed: bool,
    /// What is shown is of a former session, whose user the app takes for this one's. No answer has shown
    /// yet that this is true.
    pub(super) is_carried_over: bool,
    /// Whether the last poll succeeded.
    pub(super) polled: bool,
    /// Consecutive failures to get a socket that lasts.
    pub(super) failures: u32,
    /// How often the server has said that it has no data, without live having held since.
    pub(super) doubts: u32,
    /// Whether an expired token was already answered with an immediate attempt.
    pub(super) token_renewed: bool,
    /// Whether a message was skipped that may have held what the view now lacks.
    pub(super) suspicious: bool,
    /// Why the view is not live.
    pub(super) reason: Option<Reason>,
    pub(super) random: Random,
    pub(super) effects: VecDeque<Effect>,
    /// Why the state changes, while it does.
    why: Reason,
    /// What the server said when it accepted this socket; nothing while there is no socket.
    pub(super) acceptance: Acceptance,
    /// The name of the last request, which its answer repeats.
    fresh: String,
    last_fetch: Option<Moment>,
    /// Since when every answer was older than what is shown, and how many there were.
    contradicted: Option<(Moment, u32)>,
    /// Until when the server wants no request for a snapshot, with or without a socket.
    no_fetch_before: Moment,
    last_epoch: u32,
    published: Publication,
}

/// What an accepted socket says about the server's data.
#[derive(Debug, Default)]
pub(super) struct Acceptance {
    /// How new they were; none where the server did not say so.
    pub(super) tag: Option<SnapshotTag>,
    /// Something may have been missed since, so the socket vouches for nothing.
    pub(super) has_missed: bool,
}

impl Core {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: State::Idle,
            shown: None,
            memory: Memory::default(),
            as_of: None,
            is_mixed: false,
            is_carried_over: false,
            polled: false,
            failures: 0,
            doubts: 0,
            token_renewed: false,
            suspicious: false,
            reason: None,
            random: Random::new(seed),
            effects: VecDeque::new(),
            why: Reason::new(Code::Stopped, ""),
            acceptance: Acceptance::default(),
            fresh: String::new(),
            last_fetch: None,
            contradicted: None,
            no_fetch_before: Moment::default(),
            last_epoch: 0,
            published: Publication::idle(),
        }
    }

    pub(super) fn admits_socket(&self, epoch: EffectId) -> bool {
        self.state.socket() == Some(epoch)
    }

    pub(super) fn admits_fetch(&self, epoch: EffectId) -> bool {
        self.state.fetch() == Some(epoch)
    }

    /// What the request on its way has said of itself.
    pub(super) fn request(&self) -> Request<'_> {
        Request { fresh: &self.fresh, have: self.shown.as_ref().map(VersionedView::tag) }
    }

    pub(super) fn next_timeout(&self) -> Option<Moment> {
        self.state.deadline().into_iter().chain(self.next_save()).min()
    }

    /// A message has come, whatever it says: the server lives, and so does the way from it. A ping may be
    /// behind others, on a slow line.
    pub(super) fn hear(&mut self, now: Moment) {
        match &mut self.state {
            State::Syncing(syncing) => syncing.link.heard(now),
            State::Live(live) => live.link.heard(now),
            State::Idle
            | State::Connecting(_)
            | State::Backoff(_)
            | State::Degraded(_)
            | State::AuthRequired
            | State::Closed => {}
        }
    }

    /// Lets everything happen that was due by now. What one deadline starts is due later, so this
    /// ends.
    pub(super) fn catch_up(&mut self, now: Moment) {
        while self.state.deadline().is_some_and(|deadline| deadline <= now) {
            self.step(Signal::Due, now);
        }
    }

    /// Gives the signal to the state, and turns the difference between the state before and the
    /// state after into effects: what is no longer named is closed, what is new is opened.
    pub(super) fn step(&mut self, signal: Signal, now: Moment) {
        let (status, socket, fetch) =
            (self.state.status(), self.state.socket(), self.state.fetch());
        let is_lost = matches!(signal, Signal::Lost(_));
        let is_fetched = matches!(signal, Signal::Fetched(_));
        let state = mem::replace(&mut self.state, State::Closed);
        self.state = self.next_state(state, signal, now);

        if self.state.status() != status {
            let [from, to] = [status, self.state.status()].map(Status::name);
            let message = [from, " -> ", to, ": ", &self.why.message].concat();
            let reason = Reason::new(self.why.code, message);
            self.tell(level_of(self.state.status()), reason);
        }
        let (new_socket, new_fetch) = (self.state.socket(), self.state.fetch());
        if let Some(epoch) = fetch.filter(|_| fetch != new_fetch && !is_fetched) {
            self.effects.push_back(Effect::AbortFetch { epoch });
        }
        if let Some(epoch) = socket.filter(|_| socket != new_socket && !is_lost) {
            self.effects.push_back(Effect::CloseSocket { epoch });
        }
        if let Some(epoch) = new_socket.filter(|_| socket != new_socket) {
            self.effects.push_back(Effect::OpenSocket { epoch });
        }
        if let Some(epoch) = new_fetch.filter(|_| fetch != new_fetch) {
            self.fresh = self.random.number().to_string();
            let shown = self.shown.as_ref().filter(|_| !self.is_outvoted(now));
            let have = shown.map(|shown| ["&have=", &shown.tag().to_text()].concat());
            let query = ["fresh=", &self.fresh, have.as_deref().unwrap_or_default()].concat();
            self.effects.push_back(Effect::FetchSnapshot { epoch, query });
        }
    }

    /// The table of states and signals. Each state's row is in a separate module.
    fn next_state(&mut self, state: State, signal: Signal, now: Moment) -> State {
        match state {
            State::Idle => self.idle(&signal, now),
            State::Connecting(attempt) => self.connecting(attempt, signal, now),
            State::Syncing(syncing) => self.syncing(syncing, signal, now),
            State::Live(live) => self.live(live, signal, now),
            State::Backoff(backoff) => self.backoff(backoff, signal, now),
            State::Degraded(degraded) => self.degraded(degraded, signal, now),
            State::AuthRequired => self.auth_required(&signal, now),
            State::Closed => self.closed(&signal, now),
        }
    }

    pub(super) fn publish(&mut self) {
        let publication = self.publication();
        if publication != self.published {
            self.published = publication.clone();
            self.effects.push_back(Effect::State(Box::new(publication)));
        }
    }

    pub(super) fn tell(&mut self, level: Level, reason: Reason) {
        self.effects.push_back(Effect::Diagnostic { level, reason });
    }

    /// An input that means nothing here, on purpose.
    pub(super) fn ignore(&mut self, state: State, signal: &Signal) -> State {
        let message = [signal.name(), " means nothing while ", state.status().name()].concat();
        self.tell(Level::Debug, Reason::new(Code::InputIgnored, message));
        state
    }

    // Ways into the states.

    /// Connects, or, where too much has failed, tries to while degraded.
    pub(super) fn connect(&mut self, why: Reason, now: Moment) -> State {
        self.why = why;
        self.acceptance = Acceptance::default();
        let attempt = self.new_attempt(now);
        if self.failures >= backoff::DEGRADED_AFTER {
            // A connection that ends here took its request for a snapshot along.
            self.polled = false;
            let poll = self.next_poll(now);
            return State::Degraded(Degraded { retry: Retry::Trying(attempt), poll });
        }
        State::Connecting(attempt)
    }

    /// One more failure; waits as the law says, and no shorter than the server wishes.
    pub(super) fn lose(&mut self, why: Reason, retry_after: Option<Millis>, now: Moment) -> State {
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause(retry_after, now);
        self.wait(why, pause, now)
    }

    /// Comes back when the server said, which is not counted as a failure.
    pub(super) fn come_back(
        &mut self,
        why: Reason,
        retry_after: Option<Millis>,
        now: Moment,
    ) -> State {
        // To the moment: the server spreads its clients' return.
        let pause = retry_after
            .map_or_else(|| self.pause(None, now), |retry_after| pause_as_asked(retry_after, now));
        self.wait(why, pause, now)
    }

    fn wait(&mut self, why: Reason, pause: Pause, now: Moment) -> State {
        // A request that the socket took with it has not succeeded.
        self.polled = false;
        self.acceptance = Acceptance::default();
        self.reason = Some(why.clone());
        self.why = why;
        if self.failures >= backoff::DEGRADED_AFTER {
            let poll = self.next_poll(now);
            return State::Degraded(Degraded { retry: Retry::Waiting(pause), poll });
        }
        let is_awaited = self.shown.is_none() || self.is_carried_over;
        let fetches = is_awaited && now >= self.no_fetch_before;
        let initial_fetch = fetches.then(|| self.new_request(now));
        State::Backoff(Backoff { pause, initial_fetch })
    }

    /// The only way to `authRequired`.
    pub(super) fn require_auth(&mut self, why: Terminal) -> State {
        if why == Terminal::Forbidden {
            // What this session may not read, it may not go on showing.
            self.forget();
        }
        self.drop_last_view();
        let reason = Reason::new(why.code(), why.message());
        self.reason = Some(reason.clone());
        self.why = reason;
        State::AuthRequired
    }

    /// The only way to `closed`.
    pub(super) fn close(&mut self) -> State {
        self.forget();
        self.drop_last_view();
        self.because(Terminal::Stopped.code(), Terminal::Stopped.message());
        State::Closed
    }

    /// The app starts the client: what was shown last is looked up while it connects.
    pub(super) fn begin(&mut self, now: Moment) -> State {
        self.forget();
        self.look_up_last_view();
        self.connect(Reason::new(Code::Started, "the app started the client"), now)
    }

    /// The session is a new one. Of another user's, perhaps, what is shown may not be theirs, and its
    /// tag could match theirs by chance, so both go, and what is kept with them. The same user's view
    /// stays, unless it may have been taken over from another one on the way.
    pub(super) fn begin_anew(&mut self, is_same_user: bool, now: Moment) -> State {
        let stays = is_same_user && !self.is_mixed;
        let kept = stays.then(|| (self.shown.take(), mem::take(&mut self.memory), self.as_of));
        self.forget();
        match kept {
            Some((shown, memory, as_of)) => {
                (self.shown, self.memory, self.as_of) = (shown, memory, as_of);
                self.is_carried_over = self.shown.is_some();
            }
            None => self.drop_last_view(),
        }
        self.connect(Reason::new(Code::Reauthenticated, "the app has a new session"), now)
    }

    /// The socket is of another epoch than what was carried over: the app was wrong about the user.
    pub(super) fn check_carried_over(&mut self) {
        let is_another =
            self.shown.as_ref().is_some_and(|shown| self.is_of_another_epoch(shown.tag()));
        if self.is_carried_over && is_another {
            (self.shown, self.as_of) = (None, None);
            (self.is_carried_over, self.is_mixed) = (false, true);
            self.drop_last_view();
        }
    }

    pub(super) fn because(&mut self, code: Code, message: &str) {
        self.why = Reason::new(code, message);
    }

    // What the states have in common.

    pub(super) fn new_epoch(&mut self) -> EffectId {
        self.last_epoch = self.last_epoch.wrapping_add(1);
        EffectId(self.last_epoch)
    }

    pub(super) fn new_attempt(&mut self, now: Moment) -> Attempt {
        let socket = self.new_epoch();
        Attempt { socket, deadline: now + CONNECT_TIMEOUT, stage: Stage::Opening }
    }

    pub(super) fn new_fetch(&mut self, now: Moment) -> Fetch {
        Fetch::Asked(self.new_request(now))
    }

    fn new_request(&mut self, now: Moment) -> Asked {
        self.last_fetch = Some(now);
        Asked { epoch: self.new_epoch(), deadline: now + FETCH_TIMEOUT }
    }

    /// A pause before the next attempt at a socket.
    pub(super) fn pause(&mut self, retry_after: Option<Millis>, now: Moment) -> Pause {
        let delay = if self.failures >= backoff::DEGRADED_AFTER {
            backoff::slow_delay(&mut self.random)
        } else {
            backoff::delay(self.failures, &mut self.random)
        };
        pause_at_least(retry_after, delay, now)
    }

    /// A pause before the next attempt at a snapshot.
    pub(super) fn fetch_later(
        &mut self,
        failures: u32,
        retry_after: Option<Millis>,
        now: Moment,
    ) -> Fetch {
        self.apply_retry_after(retry_after, now);
        let until = now + backoff::delay(failures, &mut self.random);
        self.fetch_at(until)
    }

    /// A request at that time, or when the server's last `Retry-After` allows it.
    pub(super) fn fetch_at(&self, until: Moment) -> Fetch {
        let not_before = self.no_fetch_before;
        Fetch::Waiting(Pause { until: until.max(not_before), not_before })
    }

    /// Notes how long the server wants to get no request.
    pub(super) fn apply_retry_after(&mut self, retry_after: Option<Millis>, now: Moment) {
        if let Some(retry_after) = retry_after {
            self.no_fetch_before = now + backoff::capped(retry_after);
        }
    }

    /// A request now, unless the server has asked to be left alone.
    pub(super) fn fetch_soon(&mut self, now: Moment) -> Fetch {
        if now < self.no_fetch_before { self.fetch_at(now) } else { self.new_fetch(now) }
    }

    /// The next poll: a period after the last request of any kind, so that a socket that
    /// comes and goes does not make the client poll more often; at once where nothing is shown.
    pub(super) fn next_poll(&mut self, now: Moment) -> Fetch {
        let period = backoff::around(POLL_EVERY, &mut self.random);
        match self.last_fetch.map(|last| last + period) {
            Some(until) if until > now && self.shown.is_some() => self.fetch_at(until),
            _ => self.fetch_soon(now),
        }
    }

    /// Shows a snapshot, unless it is older than what is shown.
    pub(super) fn show(
        &mut self,
        tag: SnapshotTag,
        view: DashboardView,
        now: Moment,
    ) -> SnapshotOutcome {
        let is_outvoted = self.is_outvoted(now);
        let outcome = if let Some(shown) = &mut self.shown {
            self.is_mixed |= shown.tag().epoch != tag.epoch;
            if is_outvoted {
                *shown = VersionedView::new(tag, view);
                SnapshotOutcome::Replaced
            } else {
                shown.snapshot(tag, view)
            }
        } else {
            self.shown = Some(match self.memory.last.take() {
                Some(last) => VersionedView::in_place_of(last.view, tag, view),
                None => VersionedView::new(tag, view),
            });
            SnapshotOutcome::Applied
        };
        if outcome == SnapshotOutcome::Older {
            let why = "a snapshot older than what is shown was not applied";
            self.tell(Level::Warn, Reason::new(Code::SnapshotStale, why));
            self.contradict(now);
        } else {
            self.confirm(now);
            self.contradicted = None;
        }
        outcome
    }

    /// An answer that nothing has changed since the last snapshot: whether that makes the view the
    /// server's. Of a snapshot that events have overtaken it proves only that a replica lags, and
    /// that what was missed is still missing.
    pub(super) fn show_unchanged(&mut self, now: Moment) -> bool {
        let tag = self.shown.as_ref().map(|shown| shown.tag().revision);
        let is_new =
            self.shown.as_ref().is_some_and(|shown| self.is_as_new_as_accepted(shown.tag()));
        let is_confirmed = is_new && tag >= self.shown_revision();
        if is_confirmed {
            self.confirm(now);
            self.contradicted = None;
        } else {
            self.contradict(now);
        }
        is_confirmed
    }

    /// An event that is the newest of all that is shown: the server counts on from there, so the
    /// answers that contradict it come from a replica that lags. Where a wrong revision is shown,
    /// no true event is the newest.
    pub(super) fn hear_newest(&mut self, revision: Revision) {
        if self.shown_revision() == Some(revision) {
            self.contradicted = None;
        }
    }

    /// Whether a snapshot includes all that the server's data did when it accepted the socket, as far
    /// as it said how new they were.
    pub(super) fn is_as_new_as_accepted(&self, tag: &SnapshotTag) -> bool {
        self.acceptance
            .tag
            .as_ref()
            .is_none_or(|accepted| tag.epoch == accepted.epoch && tag.revision >= accepted.revision)
    }

    /// Whether a snapshot's data count otherwise than those that the socket was accepted with: of
    /// another user, or of a database that has been put back.
    pub(super) fn is_of_another_epoch(&self, tag: &SnapshotTag) -> bool {
        self.acceptance.tag.as_ref().is_some_and(|accepted| tag.epoch != accepted.epoch)
    }

    /// Whether a snapshot that the server may not have made for this request is new enough all the same:
    /// no older than the socket's data, nor than what is shown.
    pub(super) fn is_vouched_for(&self, tag: &SnapshotTag) -> bool {
        let is_old = |shown: &VersionedView| {
            shown.tag().epoch == tag.epoch && tag.revision < shown.revision()
        };
        self.acceptance.tag.is_some()
            && !self.acceptance.has_missed
            && self.is_as_new_as_accepted(tag)
            && !self.shown.as_ref().is_some_and(is_old)
    }

    pub(super) fn contradict(&mut self, now: Moment) {
        let (_, answers) = self.contradicted.get_or_insert((now, 0));
        *answers = answers.saturating_add(1);
    }

    /// Whether the server has contradicted the shown view long enough that it must be right: an
    /// event carried a wrong revision, or came from before the server's data counted anew.
    pub(super) fn is_outvoted(&self, now: Moment) -> bool {
        self.contradicted.is_some_and(|(since, answers)| {
            now.since(since) >= BELIEVED_AFTER && answers >= BELIEVED_ANSWERS
        })
    }

    fn forget(&mut self) {
        self.shown = None;
        self.memory = Memory::default();
        self.as_of = None;
        self.is_mixed = false;
        self.is_carried_over = false;
        self.polled = false;
        self.failures = 0;
        self.doubts = 0;
        self.token_renewed = false;
        self.reason = None;
        self.last_fetch = None;
        self.contradicted = None;
        self.acceptance = Acceptance::default();
        self.no_fetch_before = Moment::default();
    }

    fn publication(&self) -> Publication {
        let is_degraded = self.failures >= backoff::DEGRADED_AFTER;
        let status = match self.state.status() {
            // The banner stays until the client is live again.
            Status::Syncing if is_degraded => Status::Degraded,
            status => status,
        };
        let source = match (&self.shown, status) {
            (None, _) if self.memory.last.is_some() => Source::Stale,
            (None, _) => Source::None,
            (Some(_), Status::Live) => Source::Live,
            (Some(_), Status::Degraded) if self.polled => Source::Polling,
            (Some(_), _) => Source::Stale,
        };
        let waits = match &self.state {
            State::Backoff(Backoff { pause, .. })
            | State::Degraded(Degraded { retry: Retry::Waiting(pause), .. }) => Some(pause.until),
            State::Syncing(syncing) => match &syncing.fetch {
                Fetch::Waiting(pause) => Some(pause.until),
                Fetch::Asked(_) => None,
            },
            State::Degraded(Degraded { retry: Retry::Trying(_), .. })
            | State::Idle
            | State::Connecting(_)
            | State::Live(_)
            | State::AuthRequired
            | State::Closed => None,
        };
        let attempt = match &self.state {
            State::Syncing(syncing) => self.failures.max(syncing.fetch_failures),
            _ => self.failures,
        };
        let (view, last) = (self.shown.as_ref(), self.memory.last.as_ref());
        Publication {
            view: view
                .map_or_else(|| last.map(|last| last.view.clone()), |shown| Some(shown.view())),
            status,
            source,
            revision: view.map(VersionedView::revision).or(last.map(|last| last.revision)),
            as_of: self.as_of.or(last.map(|last| last.as_of)),
            next_retry_at: waits,
            attempt,
            reason: self.reason.clone(),
        }
    }
}

impl Fetch {
    /// A request that took too long has failed.
    pub(super) fn timed_out() -> Fetched {
        Fetched::failed(Code::SnapshotTimeout, "the snapshot took too long")
    }
}

/// The `Retry-After` is a lower bound only: a `Retry-After: 0`, or a date that a wrong clock takes for past,
/// must not turn the law of waiting off.
fn pause_at_least(retry_after: Option<Millis>, delay: Millis, now: Moment) -> Pause {
    let not_before = retry_after.map_or(now, |retry_after| now + backoff::capped(retry_after));
    Pause { until: not_before.max(now + delay), not_before }
}

fn pause_as_asked(retry_after: Millis, now: Moment) -> Pause {
    let until = now + backoff::capped(retry_after);
    Pause { until, not_before: until }
}

fn level_of(status: Status) -> Level {
    match status {
        Status::Idle | Status::Connecting | Status::Syncing | Status::Live | Status::Closed => {
            Level::Info
        }
        Status::Backoff | Status::Degraded => Level::Warn,
        Status::AuthRequired => Level::Error,
    }
}
