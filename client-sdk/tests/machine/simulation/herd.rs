//! Thousands of clients of one server, which goes away and comes back.
//!
//! Each client is a separate machine. The checks cover what the server sees of all of them
//! together: that they do not come back in waves, and that all do come back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use client_sdk::backoff::{BASE, CAP, FLOOR};
use client_sdk::machine::{EffectId, FetchFailure, Input, Response, Secret};
use client_sdk::random::Random;
use client_sdk::state::Status;
use client_sdk::time::{Millis, Moment};

use super::decoder::Remembering;
use super::server::Server;
use crate::bench::{Bench, HANDSHAKE, PING_EVERY, accepted, error_event, loss, status};

const CLIENTS: usize = 2_000;
const SECOND: u64 = 1_000;

struct Herd {
    now: u64,
    clients: Vec<Client>,
    server: Server,
    is_up: bool,
    random: Random,
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    plans: Vec<Option<(usize, Plan)>>,
    /// When sockets and requests arrived at the server's address.
    sockets: Vec<u64>,
    fetches: Vec<u64>,
}

struct Client {
    bench: Bench<Remembering>,
    socket: Option<EffectId>,
    fetch: Option<EffectId>,
    is_joined: bool,
}

enum Plan {
    Tick,
    Opened(EffectId),
    Frame(EffectId, String),
    Accept(EffectId),
    Ping(EffectId),
    Close(EffectId),
    Answer(EffectId, Result<Response, FetchFailure>),
}

impl Herd {
    /// All clients are live; they came one after the other.
    fn live(seed: u64) -> Self {
        let client = |number: usize| Client {
            bench: Bench::with(Remembering { is_forgetful: false }, seed << 16 | number as u64),
            socket: None,
            fetch: None,
            is_joined: false,
        };
        let mut herd = Self {
            now: 0,
            clients: (0..CLIENTS).map(client).collect(),
            server: Server::new(1, 1, 100),
            is_up: true,
            random: Random::new(seed),
            agenda: BinaryHeap::new(),
            plans: Vec::new(),
            sockets: Vec::new(),
            fetches: Vec::new(),
        };
        for client in 0..CLIENTS {
            herd.give(client, Input::Start);
        }
        herd.run_for(60 * SECOND);
        assert_eq!(herd.live_clients(), CLIENTS);
        herd.sockets.clear();
        herd.fetches.clear();
        herd
    }

    fn live_clients(&self) -> usize {
        let is_live = |client: &&Client| client.bench.state.status == Status::Live;
        self.clients.iter().filter(is_live).count()
    }

    /// The server dies, or ends its connections with a last word to each.
    fn end_all(&mut self, mut word: impl FnMut(&mut Random) -> Option<String>) {
        for client in 0..CLIENTS {
            let Some(epoch) = self.clients[client].socket else { continue };
            if let Some(text) = word(&mut self.random) {
                self.give(client, Input::Frame { epoch, text });
            }
            self.clients[client].is_joined = false;
            if self.clients[client].socket == Some(epoch) {
                self.give(client, Input::Closed { epoch, loss: loss(None) });
            }
        }
    }

    fn run_for(&mut self, span: u64) {
        let end = self.now + span;
        while let Some(Reverse((at, index))) =
            self.agenda.peek().copied().filter(|it| it.0.0 <= end)
        {
            self.agenda.pop();
            self.now = at;
            if let Some((client, plan)) = self.plans[index].take() {
                self.happen(client, plan);
            }
        }
        self.now = end;
    }

    fn give(&mut self, number: usize, input: Input) {
        let client = &mut self.clients[number];
        client.bench.now = Moment(self.now + SECOND);
        client.bench.input(input);
        let due = client.bench.machine.next_timeout().map(|due| due.since(client.bench.now).0);
        let (socket, fetch) = (client.bench.socket, client.bench.fetch.clone());
        let is_new_socket = socket != client.socket;
        let is_new_fetch = fetch.as_ref().map(|(epoch, _)| *epoch) != client.fetch;
        client.socket = socket;
        client.fetch = fetch.as_ref().map(|(epoch, _)| *epoch);
        if let Some(epoch) = socket.filter(|_| is_new_socket) {
            client.is_joined = false;
            self.sockets.push(self.now);
            let plan = if self.is_up { Plan::Opened(epoch) } else { Plan::Close(epoch) };
            self.plan(number, plan);
        }
        if let Some((epoch, query)) = fetch.filter(|_| is_new_fetch) {
            self.fetches.push(self.now);
            let answer = if !self.is_up {
                Err(FetchFailure::Network("unreachable".to_owned()))
            } else if query.have == Some(self.server.tag()) {
                Ok(query.answered(status(304)))
            } else {
                Ok(query.answered(self.server.snapshot()))
            };
            self.plan(number, Plan::Answer(epoch, answer));
        }
        if let Some(due) = due {
            self.plan_in(due, number, Plan::Tick);
        }
    }

    fn happen(&mut self, number: usize, plan: Plan) {
        let socket = self.clients[number].socket;
        match plan {
            Plan::Tick => {
                // Timers that were set for an earlier deadline find nothing to do.
                let bench = &self.clients[number].bench;
                let is_due = |due: Moment| due <= Moment(self.now + SECOND);
                if bench.machine.next_timeout().is_some_and(is_due) {
                    self.give(number, Input::Tick);
                }
            }
            Plan::Opened(epoch) if socket == Some(epoch) => {
                self.give(number, Input::Opened { epoch, token: Some(Secret::new("token")) });
                self.plan(number, Plan::Frame(epoch, HANDSHAKE.to_owned()));
                self.plan_in(200, number, Plan::Accept(epoch));
            }
            Plan::Accept(epoch) if socket == Some(epoch) && self.is_up => {
                self.clients[number].is_joined = true;
                let text = accepted(&format!("\"{}\"", self.server.tag()));
                self.give(number, Input::Frame { epoch, text });
                self.plan_in(PING_EVERY.0, number, Plan::Ping(epoch));
            }
            Plan::Ping(epoch) if socket == Some(epoch) && self.clients[number].is_joined => {
                self.give(number, Input::Frame { epoch, text: "2".to_owned() });
                self.plan_in(PING_EVERY.0, number, Plan::Ping(epoch));
            }
            Plan::Frame(epoch, text) => self.give(number, Input::Frame { epoch, text }),
            Plan::Close(epoch) => self.give(number, Input::Closed { epoch, loss: loss(None) }),
            Plan::Answer(epoch, result) => self.give(number, Input::Snapshot { epoch, result }),
            Plan::Opened(_) | Plan::Accept(_) | Plan::Ping(_) => {}
        }
    }

    fn plan(&mut self, client: usize, plan: Plan) {
        let latency = self.random.span(Millis(1), Millis(100)).0;
        self.plan_in(latency, client, plan);
    }

    fn plan_in(&mut self, delay: u64, client: usize, plan: Plan) {
        self.agenda.push(Reverse((self.now + delay, self.plans.len())));
        self.plans.push(Some((client, plan)));
    }

    /// All clients show what the server has.
    fn must_be_current(&self) {
        assert_eq!(self.live_clients(), CLIENTS, "not all have come back");
        for client in &self.clients {
            let seen = client.bench.state.view.as_ref().map(super::server::Seen::of);
            assert!(seen.is_some_and(|seen| self.server.is_shown_by(&seen)));
        }
    }
}

/// How many of the times fall into each of `parts` equal parts of the span.
fn histogram(times: &[u64], from: u64, span: u64, parts: u64) -> Vec<usize> {
    let mut counts = vec![0; usize::try_from(parts).unwrap()];
    for time in times.iter().filter(|time| (from..from + span).contains(time)) {
        counts[usize::try_from((time - from) * parts / span).unwrap()] += 1;
    }
    counts
}

/// No part has much more, or much less, than its share: with full jitter, the waits are uniform.
fn must_be_even(counts: &[usize]) {
    let share = counts.iter().sum::<usize>() / counts.len();
    assert!(share >= 50, "too few to tell: {counts:?}");
    let is_even = |count: &usize| *count > share / 2 && *count < share * 3 / 2;
    assert!(counts.iter().all(is_even), "a wave: {counts:?}");
}

#[test]
fn a_herd_comes_back_from_a_short_restart_spread_over_the_first_wait() {
    let mut herd = Herd::live(1);
    let died = herd.now;
    herd.end_all(|_| None);
    herd.server.change(&mut Random::new(1));
    herd.run_for(BASE.0);
    assert_eq!(herd.sockets.len(), CLIENTS, "one attempt each within the first wait");
    must_be_even(&histogram(&herd.sockets, died + FLOOR.0, BASE.0 - FLOOR.0, 10));
    herd.run_for(5 * SECOND);
    assert_eq!(herd.sockets.len(), CLIENTS, "nobody had to try twice");
    assert_eq!(herd.fetches.len(), CLIENTS, "one snapshot each");
    herd.must_be_current();
}

#[test]
fn a_herd_waits_for_a_long_restart_without_waves() {
    let mut herd = Herd::live(2);
    herd.is_up = false;
    herd.end_all(|_| None);
    // Long enough that all have given up hurrying.
    herd.run_for(180 * SECOND);
    let degraded = herd.clients.iter().filter(|it| it.bench.state.status == Status::Degraded);
    assert_eq!(degraded.count(), CLIENTS);
    let knocks = histogram(&herd.sockets, herd.now - 60 * SECOND, 60 * SECOND, 30);
    must_be_even(&knocks);
    // A wait is 15 s on average, and a refusal takes a moment.
    let expected = CLIENTS * 60 / 15;
    let knocks: usize = knocks.iter().sum();
    assert!(knocks < expected * 11 / 10, "{knocks} knocks in a minute");
    // The period is nearly the same for all, so their spread is that of the failures before: some
    // seconds. No client polls more often, and no second gets many polls.
    let polls = histogram(&herd.fetches, herd.now - 60 * SECOND, 60 * SECOND, 60);
    assert!(polls.iter().sum::<usize>() < CLIENTS * 60 / 27, "polled too often: {polls:?}");
    assert!(polls.iter().all(|count| *count < CLIENTS / 8), "a wave: {polls:?}");

    let back = herd.now;
    herd.is_up = true;
    herd.server.change(&mut Random::new(1));
    herd.run_for(CAP.0 + 5 * SECOND);
    must_be_even(&histogram(&herd.sockets, back, CAP.0 / 2, 5));
    herd.must_be_current();
}

#[test]
fn a_herd_comes_back_when_the_draining_server_said() {
    let mut herd = Herd::live(3);
    let told = herd.now;
    herd.end_all(|random| {
        let retry_after = random.span(Millis(0), Millis(10_000)).0;
        Some(error_event("SERVER_DRAINING", u32::try_from(retry_after).ok()))
    });
    herd.run_for(10_500);
    assert_eq!(herd.sockets.len(), CLIENTS);
    must_be_even(&histogram(&herd.sockets, told, 10_001, 10));
    herd.run_for(5 * SECOND);
    herd.must_be_current();
}
