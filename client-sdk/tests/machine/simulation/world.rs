//! Time, network and app of the simulated world.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use client_sdk::machine::{EffectEpoch, FetchFailure, Input, Response, Secret};
use client_sdk::random::Random;
use client_sdk::state::{Source, Status};
use client_sdk::time::{Millis, Moment};

use super::checks::Checks;
use super::server::Server;
use crate::bench::{ACCEPTED, AUTH_FAILED, Bench, HANDSHAKE, error_event, loss, status};

/// What a run must have seen often.
pub(super) const EVERYTHING: &[&str] = &[
    "another user",
    "app: online, offline, visible, refresh",
    "event corrupted",
    "event duplicated",
    "event reordered",
    "live",
    "network lies dead",
    "server drains",
    "server restored with a new epoch",
    "session refused",
    "sleep",
    "snapshot 304",
    "snapshot 503",
    "snapshot by a lagging replica",
    "snapshot hangs",
    "snapshot is a web page",
    "snapshot unreachable",
    "socket reset",
    "socket refused",
    "stopped and started",
    "token expired",
    "degraded",
];

const STORM: Millis = Millis::seconds(900);
/// Longer than the longest wish of a server and a revalidation together.
const CALM: Millis = Millis::seconds(700);
const PING_EVERY: Millis = Millis::seconds(25);

pub(super) struct World {
    pub(super) bench: Bench,
    pub(super) happened: BTreeMap<&'static str, u64>,
    random: Random,
    server: Server,
    /// The server some changes ago, for a replica that lags.
    past: Server,
    checks: Checks,
    agenda: BinaryHeap<Reverse<(Moment, u64, usize)>>,
    plans: Vec<Option<Plan>>,
    /// The socket that the server has accepted.
    joined: Option<EffectEpoch>,
    /// A socket whose packets are lost both ways, without a close.
    dead: Option<EffectEpoch>,
    /// Frames on their way.
    in_flight: usize,
    /// Something was withheld from this socket's client: it may be stale without knowing.
    is_cheated: bool,
    /// When the last frame of the socket arrives: a stream keeps its order.
    stream_until: Moment,
    seen_socket: Option<EffectEpoch>,
    seen_fetch: Option<EffectEpoch>,
    is_storm: bool,
    /// Nothing is written to the database any more.
    is_quiet: bool,
}

/// What will happen.
enum Plan {
    Change,
    Weather,
    Ping(EffectEpoch),
    Opened(EffectEpoch),
    Connect(EffectEpoch),
    Frame(EffectEpoch, String),
    Close(EffectEpoch),
    Ask(EffectEpoch, Option<String>),
    Answer(EffectEpoch, Result<Response, FetchFailure>),
    Reauthenticate,
    Start,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let server = Server::new(1, 1, 100);
        Self {
            bench: Bench::seeded(seed),
            happened: BTreeMap::new(),
            random: Random::new(seed ^ 0x5eed),
            past: server.clone(),
            server,
            checks: Checks::default(),
            agenda: BinaryHeap::new(),
            plans: Vec::new(),
            joined: None,
            dead: None,
            in_flight: 0,
            is_cheated: false,
            stream_until: Moment(0),
            seen_socket: None,
            seen_fetch: None,
            is_storm: true,
            is_quiet: false,
        }
    }

    /// A storm, then calm; at the end the client shows what the server has.
    pub(super) fn run(&mut self) {
        self.give(Input::Start);
        self.plan(Millis(10), Plan::Change);
        self.plan(Millis(500), Plan::Weather);
        let storm_ends = self.bench.now + STORM;
        self.run_until(storm_ends);

        self.is_storm = false;
        match self.bench.state.status {
            Status::AuthRequired => self.another_user(),
            Status::Closed => self.give(Input::Start),
            _ => {}
        }
        let calm_ends = self.bench.now + CALM;
        self.run_until(calm_ends);
        self.is_quiet = true;
        let last_arrives = self.bench.now + Millis::seconds(1);
        self.run_until(last_arrives);

        let state = &self.bench.state;
        assert_eq!((state.status, state.source), (Status::Live, Source::Live), "at the end");
        let view = state.view.as_ref().expect("a view at the end");
        assert!(self.server.is_shown_by(view), "at the end: {view:?}");
    }

    fn run_until(&mut self, end: Moment) {
        loop {
            let planned = self.agenda.peek().map(|Reverse((at, _, _))| *at);
            let due = self.bench.machine.next_timeout();
            let next = planned.into_iter().chain(due).min().expect("something is always planned");
            if next > end {
                self.bench.now = end.max(self.bench.now);
                return;
            }
            self.bench.now = next.max(self.bench.now);
            if planned.is_some_and(|at| at <= next) {
                let Some(Reverse((_, _, index))) = self.agenda.pop() else { return };
                if let Some(plan) = self.plans[index].take() {
                    self.happen(plan);
                }
            } else {
                self.give(Input::Tick);
            }
        }
    }

    fn give(&mut self, input: Input) {
        self.bench.input(input);
        let (socket, fetch) =
            (self.bench.socket, self.bench.fetch.as_ref().map(|(epoch, _)| *epoch));
        if socket != self.seen_socket {
            self.seen_socket = socket;
            self.joined = None;
            self.checks.is_synchronized = false;
            if let Some(epoch) = socket {
                self.open(epoch);
            }
        }
        if fetch != self.seen_fetch {
            self.seen_fetch = fetch;
            if let Some((epoch, condition)) = self.bench.fetch.clone() {
                let latency = self.latency();
                self.plan(latency, Plan::Ask(epoch, condition));
            }
        }
        match self.bench.state.status {
            Status::Live => self.count("live"),
            Status::Degraded => self.count("degraded"),
            _ => {}
        }
        self.checks.after_step(&self.bench, self.server.user);
        self.live_is_current();
    }

    /// Where nothing is on its way and nothing was withheld, live means exactly what it says.
    fn live_is_current(&self) {
        let is_joined = self.joined.is_some() && self.joined == self.bench.socket;
        if self.bench.state.status == Status::Live
            && is_joined
            && !self.is_cheated
            && self.in_flight == 0
        {
            let view = self.bench.state.view.as_ref().expect("live has a view");
            assert!(self.server.is_shown_by(view), "live is not current: {view:?}");
        }
    }

    fn open(&mut self, epoch: EffectEpoch) {
        let latency = self.latency();
        if self.storm(25) {
            self.count("socket refused");
            self.plan(latency, Plan::Close(epoch));
        } else if self.storm(10) {
            self.count("network lies dead");
        } else {
            self.plan(latency, Plan::Opened(epoch));
        }
    }

    fn happen(&mut self, plan: Plan) {
        match plan {
            Plan::Change => self.change(),
            Plan::Weather => self.weather(),
            Plan::Ping(epoch) if self.joined == Some(epoch) => {
                self.send(epoch, "2".to_owned());
                self.plan(PING_EVERY, Plan::Ping(epoch));
            }
            Plan::Opened(epoch) if self.bench.socket == Some(epoch) => {
                let token = Some(Secret::new("token"));
                self.give(Input::Opened { epoch, token });
                self.stream_until = self.bench.now;
                self.send(epoch, HANDSHAKE.to_owned());
                let round_trip = Millis(self.latency().0 * 2);
                self.plan(round_trip, Plan::Connect(epoch));
            }
            Plan::Connect(epoch) if self.bench.socket == Some(epoch) => {
                if self.storm(4) {
                    self.count("session refused");
                    self.send(epoch, AUTH_FAILED.to_owned());
                } else {
                    self.joined = Some(epoch);
                    self.is_cheated = false;
                    self.send(epoch, ACCEPTED.to_owned());
                    self.plan(PING_EVERY, Plan::Ping(epoch));
                }
            }
            Plan::Frame(epoch, text) => {
                self.in_flight -= 1;
                if self.dead != Some(epoch) {
                    self.checks.is_refused |=
                        text == AUTH_FAILED && self.bench.socket == Some(epoch);
                    self.give(Input::Frame { epoch, text });
                }
            }
            Plan::Close(epoch) => {
                if self.dead != Some(epoch) {
                    self.give(Input::Closed { epoch, loss: loss(None) });
                }
            }
            Plan::Ask(epoch, condition) => self.ask(epoch, condition.as_deref()),
            Plan::Answer(epoch, result) => {
                let is_good = matches!(&result, Ok(Response { status: 200 | 304, etag, .. })
                    if etag.is_some() || matches!(&result, Ok(Response { status: 304, .. })));
                if self.seen_fetch == Some(epoch) {
                    // Also where it turns out too old; then the client must not be live.
                    self.checks.is_synchronized |= is_good;
                    let is_401 = matches!(&result, Ok(Response { status: 401, .. }));
                    self.checks.is_refused |= is_401;
                }
                self.give(Input::Snapshot { epoch, result });
            }
            Plan::Reauthenticate => {
                if self.bench.state.status == Status::AuthRequired {
                    self.another_user();
                }
            }
            Plan::Start => self.give(Input::Start),
            // The socket is gone.
            Plan::Ping(_) | Plan::Opened(_) | Plan::Connect(_) => {}
        }
        if self.bench.state.status == Status::AuthRequired && self.one_in(50) {
            self.plan(Millis(1), Plan::Reauthenticate);
        }
    }

    fn change(&mut self) {
        if self.is_quiet {
            return;
        }
        if self.one_in(8) {
            self.past = self.server.clone();
        }
        let mut frames = self.server.change(&mut self.random);
        if let Some(epoch) = self.joined {
            if self.storm(5) {
                self.count("event reordered");
                self.is_cheated = true;
                frames.reverse();
            }
            for frame in frames {
                if self.storm(4) {
                    self.count("event corrupted");
                    self.is_cheated = true;
                    let cut = self.random.span(Millis(0), Millis(frame.len() as u64)).0;
                    let cut = usize::try_from(cut).unwrap();
                    self.send(epoch, frame.chars().take(cut).collect());
                    // Such a server owes the client a disconnect, or the next event, or time.
                    continue;
                }
                if self.storm(5) {
                    self.count("event duplicated");
                    self.send(epoch, frame.clone());
                }
                self.send(epoch, frame);
            }
        }
        let pause = self.random.span(Millis(20), Millis(4_000));
        self.plan(pause, Plan::Change);
    }

    fn weather(&mut self) {
        let pause = self.random.span(Millis(500), Millis(40_000));
        self.plan(pause, Plan::Weather);
        if !self.is_storm {
            return;
        }
        let socket = self.bench.socket;
        match self.random.span(Millis(0), Millis(11)).0 {
            0 | 1 => {
                if let Some(epoch) = socket {
                    self.count("socket reset");
                    self.plan(Millis(0), Plan::Close(epoch));
                }
            }
            2 => {
                self.dead = socket.or(self.dead);
                self.joined = None;
                self.count("network lies dead");
            }
            3 => {
                self.count("sleep");
                let slept = self.random.span(Millis::seconds(30), Millis::seconds(900));
                self.bench.now = self.bench.now + slept;
                self.give(Input::Visible);
            }
            4 | 5 => {
                self.count("app: online, offline, visible, refresh");
                let input = match self.random.span(Millis(0), Millis(3)).0 {
                    0 => Input::Online,
                    1 => Input::Offline,
                    2 => Input::Visible,
                    _ => Input::Refresh,
                };
                self.give(input);
            }
            6 => self.tell("token expired", &error_event("TOKEN_EXPIRED", None)),
            7 => {
                self.checks.has_wished = true;
                let ms = u32::try_from(self.random.span(Millis(0), Millis(5_000)).0).unwrap();
                self.tell("server drains", &error_event("SERVER_DRAINING", Some(ms)));
            }
            8 => self.tell("server without data", &error_event("SNAPSHOT_UNAVAILABLE", None)),
            9 => {
                self.count("server restored with a new epoch");
                let (user, epoch) = (self.server.user, self.server.epoch + 1);
                self.server = Server::new(user, epoch, 5);
                self.past = self.server.clone();
                if let Some(epoch) = socket {
                    self.joined = None;
                    self.plan(Millis(0), Plan::Close(epoch));
                }
            }
            10 => {
                self.count("stopped and started");
                self.checks.forget();
                self.give(Input::Stop);
                self.checks.forget();
                let pause = self.random.span(Millis(0), Millis(3_000));
                self.plan(pause, Plan::Start);
            }
            _ => self.another_user(),
        }
    }

    fn tell(&mut self, what: &'static str, frame: &str) {
        if let Some(epoch) = self.joined.take() {
            self.count(what);
            self.send(epoch, frame.to_owned());
            if what == "server without data" {
                self.joined = Some(epoch);
            } else {
                self.plan(Millis(400), Plan::Close(epoch));
            }
        }
    }

    fn another_user(&mut self) {
        self.count("another user");
        // The same epoch and nearby revisions: the worst case for a tag that was not forgotten.
        let (user, epoch) = (self.server.user + 1, self.server.epoch);
        let revision =
            self.random.span(Millis(self.server.revision), Millis(self.server.revision + 1));
        self.server = Server::new(user, epoch, revision.0);
        self.past = self.server.clone();
        self.joined = None;
        self.checks.forget();
        self.give(Input::Reauthenticate);
    }

    fn ask(&mut self, epoch: EffectEpoch, condition: Option<&str>) {
        let result = if self.storm(8) {
            self.count("snapshot hangs");
            return;
        } else if self.storm(10) {
            self.count("snapshot unreachable");
            Err(FetchFailure::Network("unreachable".to_owned()))
        } else if self.storm(6) {
            self.count("snapshot 503");
            let retry_after = self.one_in(2).then(|| Millis::seconds(3));
            self.checks.has_wished |= retry_after.is_some();
            Ok(Response { retry_after, ..status(503) })
        } else if self.storm(5) {
            self.count("snapshot is a web page");
            Ok(Response { body: "<html>".to_owned(), ..status(200) })
        } else if self.storm(1) {
            self.count("session refused");
            Ok(status(401))
        } else {
            let source = if self.storm(10) {
                self.count("snapshot by a lagging replica");
                self.is_cheated = true;
                &self.past
            } else {
                &self.server
            };
            let tag = source.tag();
            let answer = if condition == Some(&tag) { status(304) } else { source.snapshot() };
            if answer.status == 304 {
                self.count("snapshot 304");
            }
            Ok(answer)
        };
        let latency = self.latency();
        self.plan(latency, Plan::Answer(epoch, result));
    }

    /// Frames of one socket arrive in order, as a stream's do.
    fn send(&mut self, epoch: EffectEpoch, text: String) {
        self.in_flight += 1;
        let arrival = (self.bench.now + self.latency()).max(self.stream_until);
        self.stream_until = arrival;
        let delay = arrival.since(self.bench.now);
        self.plan(delay, Plan::Frame(epoch, text));
    }

    fn plan(&mut self, delay: Millis, plan: Plan) {
        let index = self.plans.len();
        self.plans.push(Some(plan));
        self.agenda.push(Reverse((self.bench.now + delay, index as u64, index)));
    }

    fn latency(&mut self) -> Millis {
        let longest = if self.storm(10) { 8_000 } else { 120 };
        self.random.span(Millis(1), Millis(longest))
    }

    /// In the storm, true that often in percent.
    fn storm(&mut self, percent: u64) -> bool {
        self.is_storm && self.random.span(Millis(1), Millis(100)).0 <= percent
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.random.span(Millis(1), Millis(of)).0 == 1
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}
