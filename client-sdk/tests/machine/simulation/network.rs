//! What lies between the client and the server's data: connections, frames, answers.

use client_sdk::machine::{EffectId, FetchFailure, Loss, Response};
use client_sdk::random::Random;
use client_sdk::state::{Code, Reason};
use client_sdk::time::Millis;

use super::checks::{Answer, Says};
use super::faults::Kind;
use super::server::Server;
use super::world::{Plan, World};
use crate::bench::{AUTH_FAILED, Query, kept_refusals, loss, refusal, status, strangers_bodies};

/// The faults that wait for an operation, by what they strike.
const OF_CONNECTIONS: [Kind; 4] =
    [Kind::TokenUnavailable, Kind::ConnectionRefused, Kind::ConnectionHangs, Kind::HandshakeBusy];
const OF_EVENTS: [Kind; 3] = [Kind::FrameCut, Kind::FrameDuplicated, Kind::FrameReordered];
const OF_REQUESTS: [Kind; 15] = [
    Kind::TokenUnavailable,
    Kind::SnapshotUnreachable,
    Kind::SnapshotHangs,
    Kind::SnapshotBadGateway,
    Kind::SnapshotPage,
    Kind::SnapshotStranger,
    Kind::SnapshotNotOurs,
    Kind::SnapshotBusy,
    Kind::SnapshotWish,
    Kind::SnapshotAbsurd,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::LaggingReplica,
    Kind::EventsDuringSnapshot,
    Kind::FloodDuringSnapshot,
];

/// How the network stands.
#[derive(Default)]
pub(super) struct Network {
    /// The socket that the server has accepted.
    pub(super) joined: Option<EffectId>,
    /// A socket whose packets are lost both ways, without a close.
    pub(super) dead: Option<EffectId>,
    /// Frames on their way.
    pub(super) in_flight: usize,
    /// When the last frame of the socket arrives: a stream keeps its order.
    pub(super) stream_until: u64,
    /// Until when there is no network, no server, no speed.
    pub(super) offline_until: u64,
    pub(super) down_until: u64,
    pub(super) slow_until: u64,
    /// What a cache answers in the server's place, and until when.
    kept: Option<(u64, Kept)>,
    /// Until when a proxy drops queries, and what it makes of tags.
    query_lost: Option<(u64, Rewritten)>,
    /// Faults that wait for their operation.
    pub(super) armed: Vec<Armed>,
    /// Events that later ones shall overtake.
    held: Vec<(EffectId, String)>,
}

/// What a cache has kept: an answer to another request.
pub(super) struct Kept {
    pub(super) server: Server,
    pub(super) answer: Response,
}

/// What becomes of a tag on its way.
#[derive(Clone, Copy)]
pub(super) enum Rewritten {
    Not,
    Compressed,
    Weak,
    Dropped,
    Strangers,
}

impl Rewritten {
    pub(super) fn drawn(dice: u64) -> Self {
        match dice {
            0 => Self::Not,
            1 => Self::Compressed,
            2 => Self::Weak,
            3 => Self::Dropped,
            _ => Self::Strangers,
        }
    }

    fn of(self, tag: &str) -> Option<String> {
        match self {
            Self::Not => Some(format!("\"{tag}\"")),
            Self::Compressed => Some(format!("\"{tag}-gzip\"")),
            Self::Weak => Some(format!("W/\"{tag}\"")),
            Self::Dropped => None,
            Self::Strangers => Some("\"5f3c1a\"".to_owned()),
        }
    }
}

/// A fault that strikes a number of the next operations of its kind.
pub(super) struct Armed {
    pub(super) kind: Kind,
    pub(super) left: u64,
    pub(super) random: Random,
}

impl Network {
    pub(super) fn is_up(&self, now: u64) -> bool {
        now >= self.offline_until && now >= self.down_until
    }

    /// From now on nothing goes wrong; what went wrong before stays so until it is noticed.
    pub(super) fn calm(&mut self) {
        self.armed.clear();
        self.held.clear();
        (self.offline_until, self.down_until, self.slow_until) = (0, 0, 0);
        (self.kept, self.query_lost) = (None, None);
    }

    /// From now on a cache answers in the server's place, with what it has of another request.
    pub(super) fn keep(&mut self, until: u64, kept: Kept) {
        self.kept = Some((until, kept));
    }

    fn kept(&self, now: u64) -> Option<&Kept> {
        self.kept.as_ref().filter(|(until, _)| now < *until).map(|(_, kept)| kept)
    }

    pub(super) fn lose_queries(&mut self, until: u64, tags: Rewritten) {
        self.query_lost = Some((until, tags));
    }

    fn without_query(&self, now: u64) -> Option<Rewritten> {
        self.query_lost.filter(|(until, _)| now < *until).map(|(_, tags)| tags)
    }

    /// The client's process has ended, and its connections with it.
    pub(super) fn forget(&mut self) {
        (self.joined, self.dead, self.in_flight) = (None, None, 0);
        self.held.clear();
    }

    /// Packets of the socket are lost from now on, without a sign.
    pub(super) fn kill(&mut self, socket: Option<EffectId>) {
        self.dead = socket.or(self.dead);
        self.joined = None;
    }
}

impl World {
    /// The first of those faults that waits for an operation, which it strikes herewith.
    pub(super) fn struck(&mut self, kinds: &[Kind]) -> Option<(Kind, Random)> {
        let armed = &mut self.network.armed;
        let index = armed.iter().position(|armed| kinds.contains(&armed.kind))?;
        let Armed { kind, left, random } = armed.get_mut(index)?;
        let kind = *kind;
        // Each operation gets its own dice.
        let dice = Random::new(random.span(Millis(0), Millis(u64::MAX - 1)).0);
        *left -= 1;
        if *left == 0 {
            armed.swap_remove(index);
        }
        self.happened(kind);
        Some((kind, dice))
    }

    pub(super) fn happened(&mut self, kind: Kind) {
        self.tally.count(kind);
        self.note(kind.name());
    }

    pub(super) fn open(&mut self, epoch: EffectId) {
        let latency = self.latency();
        let closes = |loss| Plan::Close(epoch, loss);
        if !self.network.is_up(self.host.now) {
            self.plan(latency, closes(loss(None)));
            return;
        }
        match self.struck(&OF_CONNECTIONS) {
            None => self.plan(latency, Plan::Opened(epoch)),
            // The machine's own time runs out.
            Some((Kind::ConnectionHangs, _)) => {}
            Some((Kind::HandshakeBusy, mut dice)) => {
                let retry_after = retry_after(&mut dice);
                self.plan(latency, closes(loss(Some(retry_after))));
            }
            Some((Kind::TokenUnavailable, _)) => {
                let reason = Reason::new(Code::TokenUnavailable, "the app gave no token");
                self.plan(latency, closes(Loss { reason, retry_after: None }));
            }
            Some(_) => self.plan(latency, closes(loss(None))),
        }
    }

    /// The server refuses the session, and closes the connection.
    pub(super) fn refuse(&mut self, epoch: EffectId) {
        self.network.joined = None;
        self.send(epoch, Says::AuthFailed, AUTH_FAILED.to_owned());
        self.plan(400, Plan::Close(epoch, loss(None)));
    }

    /// The connection is closed, and the client hears of it at once.
    pub(super) fn reset(&mut self) {
        if let Some(epoch) = self.bench.socket {
            self.network.joined = None;
            self.plan(0, Plan::Close(epoch, loss(None)));
        }
    }

    /// The link comes and goes until that time.
    pub(super) fn flap(&mut self, until: u64, mut random: Random) {
        if self.host.now < until {
            self.reset();
            let pause = random.span(Millis(100), Millis(6_000)).0;
            self.plan(pause, Plan::Flap(until, random));
        }
    }

    /// Pushes the events of a change, not always as a server should.
    pub(super) fn push(&mut self, epoch: EffectId, frames: Vec<String>) {
        let held = std::mem::take(&mut self.network.held);
        for frame in frames {
            match self.struck(&OF_EVENTS) {
                Some((Kind::FrameCut, mut dice)) => {
                    self.is_cheated = true;
                    let end = dice.span(Millis(0), Millis(frame.len() as u64 - 1)).0;
                    let cut: String = frame.chars().take(usize::try_from(end).unwrap()).collect();
                    self.send(epoch, Says::Something, cut);
                }
                Some((Kind::FrameReordered, _)) => {
                    self.is_cheated = true;
                    self.network.held.push((epoch, frame));
                }
                Some(_) => {
                    self.send(epoch, Says::Something, frame.clone());
                    self.send(epoch, Says::Something, frame);
                }
                None => self.send(epoch, Says::Something, frame),
            }
        }
        for (of, frame) in held {
            if of == epoch {
                self.send(epoch, Says::Something, frame);
            }
        }
        if let Some((_, mut dice)) = self.struck(&[Kind::FrameAbsurd]) {
            match super::absurd::frame(&mut dice) {
                Some(text) => self.send(epoch, Says::Something, text),
                None => self.plan(0, Plan::Binary(epoch)),
            }
        }
    }

    /// The request has arrived; decides what the answer will be.
    pub(super) fn ask(&mut self, epoch: EffectId, query: &Query) {
        let latency = self.latency();
        let mut answer = Answer::default();
        let unreachable = || Err(FetchFailure::Network("unreachable".to_owned()));
        if !self.network.is_up(self.host.now) {
            // A proxy outlives the server that it stands before.
            let is_proxied = self.network.offline_until <= self.host.now && self.draw(0, 1) == 0;
            let result = if is_proxied { Ok(status(502)) } else { unreachable() };
            self.plan(latency, Plan::Answer(epoch, result, answer));
            return;
        }
        if let Some(kept) = self.network.kept(self.host.now) {
            // As new as the socket's data, it may be shown; of any other nothing may be seen.
            let is_new = self.checks.vouched.is_some_and(|(owner, revision)| {
                kept.server.owner() == owner && kept.server.revision >= revision
            });
            answer.is_unconfirmed = true;
            answer.tag = is_new.then(|| kept.server.tag());
            let result = Ok(kept.answer.clone());
            self.plan(latency, Plan::Answer(epoch, result, answer));
            return;
        }
        let page = "<!doctype html><title>Bad gateway</title>".to_owned();
        let struck = self.struck(&OF_REQUESTS);
        let result = match struck {
            Some((Kind::SnapshotHangs, _)) => return,
            Some((Kind::TokenUnavailable, _)) => Err(FetchFailure::TokenUnavailable),
            Some((Kind::SnapshotUnreachable, _)) => unreachable(),
            Some((Kind::SnapshotBadGateway, _)) => Ok(Response { body: page, ..status(502) }),
            Some((Kind::SnapshotPage, _)) => Ok(Response { body: page, ..status(200) }),
            Some((Kind::SnapshotNotOurs, mut dice)) => {
                answer.is_strangers = true;
                Ok(not_ours(&mut dice))
            }
            Some((Kind::SnapshotStranger, mut dice)) => {
                answer.is_strangers = true;
                Ok(strangers(&mut dice))
            }
            Some((Kind::SnapshotBusy, mut dice)) => Ok(busy(&mut dice, None)),
            Some((Kind::SnapshotWish, mut dice)) => {
                let retry_after = retry_after(&mut dice);
                answer.retry_after = Some(retry_after);
                Ok(busy(&mut dice, Some(retry_after)))
            }
            Some((Kind::SnapshotAbsurd, mut dice)) => {
                let whole = self.server.snapshot();
                Ok(Response { body: super::absurd::body(&whole.body, &mut dice), ..whole })
            }
            Some((Kind::Unauthorized, _)) => {
                answer.is_refused = true;
                Ok(query.answered(refusal(401)))
            }
            Some((Kind::Forbidden, _)) => {
                (answer.is_refused, answer.is_forbidden) = (true, true);
                Ok(query.answered(refusal(403)))
            }
            struck => {
                let is_lagging = matches!(struck, Some((Kind::LaggingReplica, _)));
                self.is_cheated |= is_lagging;
                let source = if is_lagging { &self.past } else { &self.server };
                let tag = source.tag();
                let result = if let Some(rewritten) = self.network.without_query(self.host.now) {
                    answer.is_unconfirmed = true;
                    Response { etag: rewritten.of(&tag), ..source.snapshot() }
                } else if query.have.as_ref() == Some(&tag) {
                    query.answered(status(304))
                } else {
                    query.answered(source.snapshot())
                };
                answer.tag = Some(tag);
                match struck {
                    // Read before, delivered after.
                    Some((Kind::EventsDuringSnapshot, mut dice)) => {
                        for _ in 0..dice.span(Millis(1), Millis(6)).0 {
                            self.change();
                        }
                    }
                    Some((Kind::FloodDuringSnapshot, _)) => {
                        for _ in 0..140 {
                            self.change();
                        }
                    }
                    _ => {}
                }
                Ok(result)
            }
        };
        self.plan(latency, Plan::Answer(epoch, result, answer));
    }

    /// Frames of one socket arrive in order, as a stream's do.
    pub(super) fn send(&mut self, epoch: EffectId, says: Says, text: String) {
        self.network.in_flight += 1;
        let latency = self.latency();
        let arrival = (self.host.now + latency).max(self.network.stream_until);
        self.network.stream_until = arrival;
        self.plan(arrival - self.host.now, Plan::Frame(epoch, says, text));
    }

    pub(super) fn latency(&mut self) -> u64 {
        let longest = if self.host.now < self.network.slow_until { 8_000 } else { 120 };
        self.draw(1, longest)
    }
}

/// A wait that a server asks for: mostly seconds, sometimes absurd.
fn retry_after(dice: &mut Random) -> Millis {
    let seconds = match dice.span(Millis(0), Millis(9)).0 {
        0 => 0,
        1 => 86_400,
        _ => dice.span(Millis(1), Millis(40)).0,
    };
    Millis::seconds(seconds)
}

/// What a device in between answers that lets nothing through: a page, its own JSON, or what the
/// server answered to another request.
fn strangers(dice: &mut Random) -> Response {
    let code = if dice.span(Millis(0), Millis(1)).0 == 0 { 401 } else { 403 };
    let pages = strangers_bodies().into_iter().map(|body| Response { body, ..status(code) });
    let mut answers: Vec<_> = pages.chain(kept_refusals()).collect();
    answers.swap_remove(drawn(dice, answers.len()))
}

/// Any status with any body, of which none is a snapshot: what portals, proxies, gateways and browsers answer.
fn not_ours(dice: &mut Random) -> Response {
    const STATUSES: [u16; 21] = [
        0, 103, 200, 200, 200, 204, 206, 301, 302, 304, 307, 400, 404, 407, 410, 451, 500, 502,
        504, 511, 65_535,
    ];
    let mut bodies = strangers_bodies();
    bodies.extend(["[]", "0", "\"\"", "{\"fresh\":\"0\"}", "\u{feff}{}", "\0"].map(str::to_owned));
    bodies.push(r#"{"fresh":"0","tag":"e-1","view":null}"#.to_owned());
    let body = bodies.swap_remove(drawn(dice, bodies.len()));
    // A tag does not make the answer the server's.
    let etag = (drawn(dice, 2) == 0).then(|| "\"e-1\"".to_owned());
    Response { body, etag, ..status(STATUSES[drawn(dice, STATUSES.len())]) }
}

/// A random number from zero on, below `count`.
fn drawn(dice: &mut Random, count: usize) -> usize {
    let last = Millis(count as u64 - 1);
    usize::try_from(dice.span(Millis(0), last).0).unwrap_or_default()
}

fn busy(dice: &mut Random, retry_after: Option<Millis>) -> Response {
    let code = if dice.span(Millis(0), Millis(1)).0 == 0 { 429 } else { 503 };
    Response { retry_after, ..status(code) }
}
