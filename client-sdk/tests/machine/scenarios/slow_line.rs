//! A phone on a poor line: 400 kbit/s, and a second each way. All that the server sends waits in
//! one queue, so a ping waits behind large messages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use client_sdk::backoff::DEGRADED_AFTER;
use client_sdk::machine::{EffectId, Input, POLL_EVERY};
use client_sdk::state::Status;
use client_sdk::time::Moment;

use crate::bench::{ACCEPTED, Bench, PING_EVERY, snapshot, summary_event};

/// Bytes per ms.
const RATE: u64 = 50;
/// How long each way takes, in ms.
const WAY: u64 = 1_000;
/// A new connection with TLS: its first answer arrives after three times there and back.
const OPENING: u64 = 6 * WAY;
const PING: u64 = 3;
const SMALL: u64 = 300;
const MINUTES: u64 = 60_000;
/// What the client's clock says at the start: the test's own begins at zero.
const BEGUN: u64 = 1_000;

/// In the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    /// At the client.
    Opened(u32),
    Accepted(u32),
    Pinged(u32),
    Changed(u32, u64),
    Answered(u32, u64),
    /// At the server.
    Accept(u32),
    Ping(u32),
    Answer(u32),
    Change,
}

struct Line {
    bench: Bench,
    now: u64,
    agenda: BinaryHeap<Reverse<(u64, Plan)>>,
    /// When the queue towards the client will be empty.
    free: u64,
    socket: Option<EffectId>,
    fetch: Option<EffectId>,
    /// The socket that the server has accepted.
    joined: Option<u32>,
    revision: u64,
    /// How large a snapshot is, and an event.
    snapshot: u64,
    event: u64,
}

impl Line {
    /// A client that starts; the data change every so often.
    fn new(snapshot: u64, event: u64, every: u64) -> Self {
        let mut line = Self {
            bench: Bench::new(),
            now: 0,
            agenda: BinaryHeap::new(),
            free: 0,
            socket: None,
            fetch: None,
            joined: None,
            revision: 10,
            snapshot,
            event,
        };
        let changes = (1..).map(|count| count * every).take_while(|at| *at < 9 * MINUTES);
        line.agenda.extend(changes.map(|at| Reverse((at, Plan::Change))));
        line.at_once(|bench| bench.input(Input::Start));
        line
    }

    fn run_until(&mut self, end: u64) {
        let due = |bench: &Bench| bench.machine.next_timeout().map(|due| due.0 - BEGUN);
        loop {
            let planned = self.agenda.peek().map(|Reverse((at, _))| *at);
            let next = planned.into_iter().chain(due(&self.bench)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next;
            if planned == Some(next)
                && let Some(Reverse((_, plan))) = self.agenda.pop()
            {
                self.happen(plan);
            } else {
                self.at_once(|bench| bench.input(Input::Tick));
            }
        }
        self.now = end;
    }

    /// Does something to the client now, and what it asks for then.
    fn at_once(&mut self, what: impl FnOnce(&mut Bench)) {
        self.bench.now = Moment(self.now + BEGUN);
        what(&mut self.bench);
        let fetch = self.bench.fetch.as_ref().map(|(epoch, _)| *epoch);
        if self.bench.socket != self.socket {
            self.socket = self.bench.socket;
            self.joined = None;
            if let Some(EffectId(socket)) = self.socket {
                self.plan(OPENING, Plan::Opened(socket));
            }
        }
        if fetch != self.fetch {
            self.fetch = fetch;
            if let Some(EffectId(request)) = fetch {
                self.plan(OPENING - WAY, Plan::Answer(request));
            }
        }
    }

    fn happen(&mut self, plan: Plan) {
        let is_open = |number| self.socket == Some(EffectId(number));
        let is_awaited = |number| self.fetch == Some(EffectId(number));
        match plan {
            Plan::Opened(number) if is_open(number) => {
                self.at_once(Bench::open);
                self.plan(WAY, Plan::Accept(number));
                // The server counts from when it answered.
                self.plan(PING_EVERY.0 - WAY, Plan::Ping(number));
            }
            Plan::Accept(number) if is_open(number) => {
                self.joined = Some(number);
                self.send(SMALL, Plan::Accepted(number));
            }
            Plan::Ping(number) if is_open(number) => {
                self.send(PING, Plan::Pinged(number));
                self.plan(PING_EVERY.0, Plan::Ping(number));
            }
            Plan::Change => {
                self.revision += 1;
                if let Some(number) = self.joined {
                    self.send(self.event, Plan::Changed(number, self.revision));
                }
            }
            // What the client has given up goes on filling the line.
            Plan::Answer(number) => {
                let have = self.bench.fetch.as_ref().and_then(|(_, query)| query.have.clone());
                let is_known = have.is_some_and(|tag| tag == format!("e-{}", self.revision));
                let size = if is_known { SMALL } else { self.snapshot };
                self.send(size, Plan::Answered(number, self.revision));
            }
            Plan::Accepted(number) if is_open(number) => {
                self.at_once(|bench| bench.frame(ACCEPTED));
            }
            Plan::Pinged(number) if is_open(number) => self.at_once(|bench| bench.frame("2")),
            Plan::Changed(number, revision) if is_open(number) => {
                self.at_once(|bench| bench.frame(&summary_event(revision)));
            }
            Plan::Answered(number, revision) if is_awaited(number) => {
                self.at_once(|bench| bench.answer_with(snapshot("e", revision)));
            }
            Plan::Opened(_)
            | Plan::Accept(_)
            | Plan::Ping(_)
            | Plan::Accepted(_)
            | Plan::Pinged(_)
            | Plan::Changed(..)
            | Plan::Answered(..) => {}
        }
    }

    /// The server says something: it arrives behind what it has said before, whomever that was for.
    fn send(&mut self, bytes: u64, arrives: Plan) {
        self.free = self.free.max(self.now) + bytes.div_ceil(RATE);
        self.plan(self.free + WAY - self.now, arrives);
    }

    fn plan(&mut self, delay: u64, plan: Plan) {
        self.agenda.push(Reverse((self.now + delay, plan)));
    }
}

#[test]
fn a_large_snapshot_and_large_events_starve_no_ping() {
    // 3.6 s and 4 s of the line.
    let mut line = Line::new(180_000, 200_000, 23_000);
    line.run_until(10 * MINUTES);
    let bench = &line.bench;
    assert_eq!(
        bench.statuses,
        [Status::Idle, Status::Connecting, Status::Syncing, Status::Live],
        "{:#?}",
        bench.diagnostics
    );
    assert_eq!(bench.sockets, 1);
    assert_eq!(bench.total().map(u64::from), Some(line.revision));
}

#[test]
fn a_snapshot_that_the_line_cannot_carry_leads_to_degraded_mode_and_to_no_storm() {
    // 20 s of the line, which are all lost where the client waits for ten.
    let mut line = Line::new(1_000_000, SMALL, 23_000);
    line.run_until(10 * MINUTES);
    let bench = &line.bench;
    assert_eq!(bench.state.status, Status::Degraded, "{:#?}", bench.diagnostics);
    let polls = usize::try_from(10 * MINUTES / (POLL_EVERY.0 * 9 / 10)).unwrap();
    let failures = usize::try_from(DEGRADED_AFTER).unwrap();
    assert!(bench.fetches <= polls + 2 * failures, "{} requests", bench.fetches);
    assert!(bench.sockets <= polls + 2 * failures, "{} sockets", bench.sockets);
}
