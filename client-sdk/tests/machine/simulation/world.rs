//! The simulated world: its agenda, and what happens at each time of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use client_sdk::machine::{EffectId, FetchFailure, Input, Loss, Response, Secret};
use client_sdk::random::Random;
use client_sdk::state::{Level, Source, Status};
use client_sdk::time::Millis;

use super::checks::{Answer, Cause, Checks, Says};
use super::decoder::Remembering;
use super::faults::{Kind, Schedule};
use super::host::Host;
use super::network::Network;
use super::server::Server;
use super::tally::Tally;
use crate::bench::{Bench, HANDSHAKE, PING_EVERY, Query, accepted};

/// How long it takes until nothing that began in the storm goes on, in ms.
const RUN_OUT: u64 = 30_000;
/// Longer than the longest `Retry-After` of a server and a revalidation together, in ms.
const CALM: u64 = 700_000;
/// How long it is watched whether the client stays as it should, in ms.
const AFTERWARDS: u64 = 10_000;
/// One schedule in this number decodes each text anew.
const FORGETFUL_ONE_IN: u64 = 10;

pub(super) struct World {
    pub(super) bench: Bench<Remembering>,
    pub(super) tally: Tally,
    /// What happened, for a reader; kept only if it will be read.
    pub(super) story: Option<Vec<String>>,
    pub(super) schedule: Schedule,
    pub(super) host: Host,
    pub(super) network: Network,
    pub(super) server: Server,
    /// The server some changes ago, for a replica that lags.
    pub(super) past: Server,
    pub(super) checks: Checks,
    /// What an earlier life left to this one: whose it is, and the record.
    pub(super) kept: Option<(u64, String)>,
    /// Something was withheld from this socket's client: it may be stale without knowing.
    pub(super) is_cheated: bool,
    /// Ordinary life: when the data changes and how, and how long things take.
    pub(super) data: Random,
    pub(super) random: Random,
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    plans: Vec<Option<Plan>>,
    seen_socket: Option<EffectId>,
    seen_fetch: Option<EffectId>,
    seen_diagnostics: usize,
    is_reauthentication_planned: bool,
    /// Nothing is written to the database any more.
    is_quiet: bool,
}

/// What will happen.
#[derive(Debug)]
pub(super) enum Plan {
    Change,
    /// The fault of that number in the schedule.
    Fault(usize),
    Ping(EffectId),
    Opened(EffectId),
    Connect(EffectId),
    Frame(EffectId, Says, String),
    Binary(EffectId),
    Close(EffectId, Loss),
    Ask(EffectId, Query),
    Answer(EffectId, Result<Response, FetchFailure>, Answer),
    /// The link is cut now and then until that time.
    Flap(u64, Random),
    LastView(EffectId, Option<String>),
    Nudge(Input),
    Show,
    Reauthenticate,
    Start,
    Stop,
}

impl Plan {
    /// Whether it ends with the client's process.
    fn is_of_the_process(&self) -> bool {
        match self {
            Self::Change | Self::Fault(_) | Self::Flap(..) | Self::Show => false,
            Self::Ping(_)
            | Self::Opened(_)
            | Self::Connect(_)
            | Self::Frame(..)
            | Self::Binary(_)
            | Self::Close(..)
            | Self::Ask(..)
            | Self::Answer(..)
            | Self::LastView(..)
            | Self::Nudge(_)
            | Self::Reauthenticate
            | Self::Start
            | Self::Stop => true,
        }
    }
}

impl World {
    pub(super) fn new(schedule: Schedule) -> Self {
        let server = Server::new(1, 1, 100);
        let seed = schedule.seed;
        let is_forgetful = seed.is_multiple_of(FORGETFUL_ONE_IN);
        Self {
            bench: Bench::with(Remembering { is_forgetful }, seed),
            tally: Tally::default(),
            story: None,
            host: Host::new(schedule.steady_runs_asleep),
            schedule,
            network: Network::default(),
            past: server.clone(),
            server,
            checks: Checks::default(),
            kept: None,
            is_cheated: false,
            data: Random::new(seed ^ 0xda7a),
            random: Random::new(seed ^ 0x5eed),
            agenda: BinaryHeap::new(),
            plans: Vec::new(),
            seen_socket: None,
            seen_fetch: None,
            seen_diagnostics: 0,
            is_reauthentication_planned: false,
            is_quiet: false,
        }
    }

    /// A storm, then calm; at the end the client shows what the server has, and goes on doing so.
    pub(super) fn run(&mut self) {
        for (number, fault) in self.schedule.faults.iter().enumerate() {
            self.plans.push(Some(Plan::Fault(number)));
            self.agenda.push(Reverse((fault.at, number)));
        }
        self.checks.forget();
        self.give(Input::Start, &Cause::App);
        self.plan(10, Plan::Change);
        self.run_until(self.schedule.storm, |_| false);

        self.note("calm");
        self.network.calm();
        self.is_quiet = true;
        if self.host.is_hidden {
            self.show();
        }
        self.run_until(self.host.now + RUN_OUT, |_| false);
        self.run_until(self.host.now + CALM, Self::is_converged);
        self.must_be_converged();

        self.is_quiet = false;
        self.change();
        self.is_quiet = true;
        self.run_until(self.host.now + AFTERWARDS, |_| false);
        self.must_be_converged();
        assert_eq!(self.bench.state.attempt, 0, "failures are not forgiven");
        self.tally.schedules += 1;
        self.tally.virtual_ms += self.host.now;
    }

    fn is_converged(&self) -> bool {
        let state = &self.bench.state;
        (state.status, state.source) == (Status::Live, Source::Live)
            && self.is_joined()
            && self.is_current()
    }

    fn must_be_converged(&self) {
        let state = &self.bench.state;
        assert!(
            self.is_converged(),
            "does not converge: {:?}, shown {:?}, the server has {:?}",
            state.status,
            self.checks.seen,
            self.server
        );
    }

    /// The server and the client mean the same socket.
    fn is_joined(&self) -> bool {
        self.network.joined.is_some() && self.network.joined == self.bench.socket
    }

    fn is_current(&self) -> bool {
        self.checks.seen.as_ref().is_some_and(|seen| self.server.is_shown_by(seen))
    }

    fn run_until(&mut self, end: u64, is_enough: fn(&Self) -> bool) {
        while !is_enough(self) {
            let planned = self.agenda.peek().map(|Reverse((at, _))| *at);
            let next = planned.into_iter().chain(self.host.alarm).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.host.now = self.host.now.max(end);
                return;
            };
            self.host.now = self.host.now.max(next);
            if planned.is_some_and(|at| at <= next) {
                let Some(Reverse((_, index))) = self.agenda.pop() else { return };
                if let Some(plan) = self.plans[index].take() {
                    self.happen(plan);
                    self.checks.between_steps(&self.bench, &self.host);
                }
            } else {
                self.give(Input::Tick, &Cause::Tick);
            }
        }
    }

    /// Gives the machine an input at this time, does its effects, and checks everything.
    pub(super) fn give(&mut self, input: Input, cause: &Cause) {
        self.bench.now = self.host.read();
        self.bench.input(input);
        self.host.set_alarm(self.bench.machine.next_timeout());
        self.tell_story();
        let (socket, fetch) =
            (self.bench.socket, self.bench.fetch.as_ref().map(|(epoch, _)| *epoch));
        if socket != self.seen_socket {
            self.seen_socket = socket;
            self.network.joined = None;
            if let Some(epoch) = socket {
                self.open(epoch);
            }
        }
        if fetch != self.seen_fetch {
            self.seen_fetch = fetch;
            if let Some((epoch, query)) = self.bench.fetch.clone() {
                let latency = self.latency();
                self.plan(latency, Plan::Ask(epoch, query));
            }
        }
        if let Some(epoch) = self.bench.recall.take() {
            self.look_up(epoch);
        }
        self.tally.step(&self.bench.state);
        self.checks.after_step(&self.bench, &self.host, cause, self.server.user);
        self.live_is_current();
        let is_refused = self.bench.state.status == Status::AuthRequired;
        if is_refused && !self.is_reauthentication_planned {
            self.is_reauthentication_planned = true;
            let pause = self.draw(1, 30_000);
            self.plan(pause, Plan::Reauthenticate);
        }
    }

    /// Where nothing is on its way and nothing was withheld, live means exactly what it says.
    fn live_is_current(&mut self) {
        let is_live = self.bench.state.status == Status::Live;
        if !is_live || !self.is_joined() || self.network.in_flight > 0 {
            return;
        }
        if self.is_cheated {
            self.is_cheated = !self.is_current();
            return;
        }
        assert!(
            self.is_current(),
            "live is not current: shown {:?}, the server has {:?}",
            self.checks.seen,
            self.server
        );
    }

    fn happen(&mut self, plan: Plan) {
        match plan {
            Plan::Change => {
                self.change();
                let pause = self.draw_data(20, self.schedule.pause);
                self.plan(pause, Plan::Change);
            }
            Plan::Fault(number) => self.fault(number),
            Plan::Ping(epoch) if self.network.joined == Some(epoch) => {
                self.send(epoch, Says::Something, "2".to_owned());
                self.plan(PING_EVERY.0, Plan::Ping(epoch));
            }
            Plan::Opened(epoch) if self.bench.socket == Some(epoch) => {
                let token = Some(Secret::new("token"));
                self.give(Input::Opened { epoch, token }, &Cause::Socket);
                self.network.stream_until = self.host.now;
                self.send(epoch, Says::Something, HANDSHAKE.to_owned());
                let round_trip = self.latency() * 2;
                self.plan(round_trip, Plan::Connect(epoch));
            }
            Plan::Connect(epoch) if self.bench.socket == Some(epoch) => {
                if self.struck(&[Kind::AuthFailed]).is_some() {
                    self.refuse(epoch);
                } else if self.network.is_up(self.host.now) {
                    self.network.joined = Some(epoch);
                    self.is_cheated = false;
                    let is_silent = self.struck(&[Kind::AcceptedWithoutTag]).is_some();
                    let vouched = (self.server.owner(), self.server.revision);
                    let tag = format!("\"{}\"", self.server.tag());
                    let says = Says::Accepted((!is_silent).then_some(vouched));
                    self.send(epoch, says, accepted(if is_silent { "null" } else { &tag }));
                    self.plan(PING_EVERY.0, Plan::Ping(epoch));
                }
            }
            Plan::Frame(epoch, says, text) => {
                self.network.in_flight -= 1;
                if self.network.dead != Some(epoch) {
                    self.give(Input::Frame { epoch, text }, &Cause::Frame(epoch, says));
                }
            }
            Plan::Binary(epoch) => {
                self.give(Input::BinaryFrame { epoch }, &Cause::Frame(epoch, Says::Something));
            }
            Plan::Close(epoch, loss) => {
                if self.network.dead != Some(epoch) {
                    let cause = Cause::Closed(loss.retry_after);
                    let times = if self.struck(&[Kind::LostTwice]).is_some() { 2 } else { 1 };
                    for _ in 0..times {
                        self.give(Input::Closed { epoch, loss: loss.clone() }, &cause);
                    }
                }
            }
            Plan::Ask(epoch, query) => self.ask(epoch, &query),
            Plan::Answer(epoch, result, answer) => {
                self.give(Input::Snapshot { epoch, result }, &Cause::Answer(answer));
            }
            Plan::Flap(until, random) => self.flap(until, random),
            Plan::LastView(epoch, record) => {
                self.give(Input::LastView { epoch, record }, &Cause::LastView);
            }
            Plan::Nudge(input) => self.give(input, &Cause::Nudge),
            Plan::Show if self.host.is_hidden => self.show(),
            Plan::Reauthenticate => {
                self.is_reauthentication_planned = false;
                if self.bench.state.status == Status::AuthRequired {
                    self.reauthenticate();
                }
            }
            Plan::Start => self.give(Input::Start, &Cause::App),
            Plan::Stop => {
                self.checks.forget();
                self.give(Input::Stop, &Cause::App);
                self.checks.forget();
            }
            // The socket is gone, or the tab is seen already.
            Plan::Ping(_) | Plan::Opened(_) | Plan::Connect(_) | Plan::Show => {}
        }
    }

    /// The process ends without a word, and another one begins.
    pub(super) fn reload(&mut self, seed: u64) {
        let last = self.bench.kept.take();
        self.kept = last.map(|last| (self.server.user, last.to_record(self.host.clock())));
        for plan in &mut self.plans {
            plan.take_if(|plan| plan.is_of_the_process());
        }
        self.network.forget();
        self.host.restart();
        self.bench = Bench::with(Remembering { is_forgetful: false }, seed);
        (self.seen_socket, self.seen_fetch, self.seen_diagnostics) = (None, None, 0);
        self.is_reauthentication_planned = false;
        self.checks = Checks::default();
    }

    fn show(&mut self) {
        self.host.show();
        self.give(Input::Visible, &Cause::Nudge);
    }

    /// A change of the data, and its events.
    pub(super) fn change(&mut self) {
        if self.is_quiet {
            return;
        }
        if self.draw_data(1, 8) == 1 {
            self.past = self.server.clone();
        }
        let frames = self.server.change(&mut self.data);
        if let Some(epoch) = self.network.joined {
            self.push(epoch, frames);
        }
    }

    pub(super) fn plan(&mut self, delay: u64, plan: Plan) {
        self.agenda.push(Reverse((self.host.now + delay, self.plans.len())));
        self.plans.push(Some(plan));
    }

    pub(super) fn draw(&mut self, low: u64, high: u64) -> u64 {
        self.random.span(Millis(low), Millis(high)).0
    }

    fn draw_data(&mut self, low: u64, high: u64) -> u64 {
        self.data.span(Millis(low), Millis(high)).0
    }

    /// Writes a line of the story.
    pub(super) fn note(&mut self, what: &str) {
        let Some(story) = &mut self.story else { return };
        let (seconds, ms) = (self.host.now / 1_000, self.host.now % 1_000);
        story.push(format!("{seconds:>6}.{ms:03} s  {what}"));
    }

    fn tell_story(&mut self) {
        if self.story.is_none() {
            return;
        }
        let told = self.bench.diagnostics.iter().skip(self.seen_diagnostics);
        let told: Vec<String> = told
            .filter(|(level, _)| *level > Level::Debug)
            .map(|(_, reason)| format!("  client: {}", reason.message))
            .collect();
        self.seen_diagnostics = self.bench.diagnostics.len();
        for line in told {
            self.note(&line);
        }
        if self.bench.socket != self.seen_socket
            && let Some(EffectId(number)) = self.bench.socket
        {
            self.note(&format!("  client: opens socket {number}"));
        }
        let fetch = self.bench.fetch.as_ref().map(|(epoch, _)| *epoch);
        if fetch != self.seen_fetch
            && let Some(EffectId(number)) = fetch
        {
            self.note(&format!("  client: asks for a snapshot ({number})"));
        }
    }
}
