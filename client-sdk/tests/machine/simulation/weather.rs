//! The faults, as they begin: some happen at once, some wait for an operation to strike.

use client_sdk::machine::{EffectId, Input};
use client_sdk::random::Random;
use client_sdk::time::Millis;

use super::checks::{Cause, Says};
use super::faults::{Fault, Kind};
use super::network::{Armed, Kept, Rewritten};
use super::server::Server;
use super::world::{Plan, World};
use crate::bench::{Query, error_event, loss};

const HOUR: u64 = 3_600_000;

impl World {
    /// The fault of that number begins.
    pub(super) fn fault(&mut self, number: usize) {
        let fault = self.schedule.faults[number].clone();
        let has_begun = self.fault_of_network(&fault)
            || self.fault_of_host(&fault)
            || self.fault_of_server(&fault)
            || self.fault_of_app(&fault);
        if !has_begun {
            let Fault { kind, size, dice, .. } = fault;
            self.network.armed.push(Armed { kind, left: size, random: Random::new(dice) });
        }
    }

    /// Whether the fault is one of the network's, which has begun then.
    fn fault_of_network(&mut self, fault: &Fault) -> bool {
        let Fault { kind, size, .. } = *fault;
        let mut random = Random::new(fault.dice);
        let mut draw = |low, high| random.span(Millis(low), Millis(high)).0;
        let now = self.host.now;
        match kind {
            // There is nothing to strike.
            Kind::Reset | Kind::BlackHole if self.bench.socket.is_none() => {}
            Kind::Reset => {
                self.happened(kind);
                self.reset();
            }
            Kind::BlackHole => {
                self.happened(kind);
                self.network.kill(self.bench.socket);
            }
            Kind::Flapping => {
                self.happened(kind);
                self.flap(now + size, random);
            }
            Kind::SlowNetwork => {
                self.happened(kind);
                self.network.slow_until = now + size;
            }
            Kind::SnapshotKept => {
                self.happened(kind);
                // Of now, of some changes ago, of another epoch, of another user.
                let mut server = if draw(0, 1) == 0 { &self.server } else { &self.past }.clone();
                match draw(0, 3) {
                    0 => server.epoch += 500,
                    1 => server.user += 500,
                    _ => {}
                }
                let query = Query { fresh: "1".to_owned(), have: None };
                let answer = match draw(0, 2) {
                    0 => server.snapshot(),
                    _ => query.answered(server.snapshot()),
                };
                self.network.keep(now + size, Kept { server, answer });
            }
            Kind::QueryLost => {
                self.happened(kind);
                self.network.lose_queries(now + size, Rewritten::drawn(draw(0, 4)));
            }
            Kind::Offline => {
                self.happened(kind);
                self.network.kill(self.bench.socket);
                self.network.offline_until = now + size;
                // Platforms tell both, or only one, or neither.
                let (tells_loss, tells_return) = (draw(0, 3) > 0, draw(0, 3) > 0);
                if tells_return {
                    self.plan(size, Plan::Nudge(Input::Online));
                }
                if tells_loss {
                    self.give(Input::Offline, &Cause::Nudge);
                }
            }
            _ => return false,
        }
        true
    }

    /// The same of the machine that the client runs on.
    fn fault_of_host(&mut self, fault: &Fault) -> bool {
        let Fault { kind, size, .. } = *fault;
        let mut random = Random::new(fault.dice);
        let mut draw = |low, high| random.span(Millis(low), Millis(high)).0;
        match kind {
            // It is hidden already.
            Kind::Hidden if self.host.is_hidden => {}
            Kind::Sleep | Kind::SleepHalfOpen => {
                self.happened(kind);
                if kind == Kind::SleepHalfOpen {
                    self.network.kill(self.bench.socket);
                }
                let tells = (draw(0, 2) > 0).then(|| draw(0, 20_000));
                self.host.sleep(size);
                if let Some(delay) = tells {
                    self.plan(delay, Plan::Nudge(Input::Visible));
                }
            }
            Kind::Hidden => {
                self.happened(kind);
                if size >= HOUR / 2 {
                    self.tally.long_hidden += 1;
                }
                self.host.is_hidden = true;
                self.host.set_alarm(self.bench.machine.next_timeout());
                self.plan(size, Plan::Show);
            }
            Kind::ClockBack | Kind::ClockForward => {
                self.happened(kind);
                let span = if draw(0, 1) == 0 { draw(2, 60_000) } else { draw(1, 48) * HOUR };
                let span = i64::try_from(span).unwrap_or_default();
                self.host.set_wall(if kind == Kind::ClockBack { -span } else { span });
            }
            _ => return false,
        }
        true
    }

    /// The same of the server.
    fn fault_of_server(&mut self, fault: &Fault) -> bool {
        let Fault { kind, size, .. } = *fault;
        let now = self.host.now;
        match kind {
            Kind::ServerRestart => {
                self.happened(kind);
                self.network.down_until = now + size;
                self.reset();
            }
            Kind::ServerDrains => {
                let ms = u32::try_from(size).unwrap_or_default();
                let frame = error_event("SERVER_DRAINING", Some(ms));
                self.dismiss(kind, Says::Drains(Millis(size)), &frame);
            }
            Kind::ServerKicks => self.dismiss(kind, Says::Something, "41/dashboard,"),
            Kind::TokenExpired => {
                self.dismiss(kind, Says::TokenExpired, &error_event("TOKEN_EXPIRED", None));
            }
            Kind::ServerWithoutData => {
                if let Some(epoch) = self.network.joined {
                    self.happened(kind);
                    let frame = error_event("SNAPSHOT_UNAVAILABLE", None);
                    self.send(epoch, Says::Something, frame);
                }
            }
            Kind::AuthFailedLate => {
                if let Some(epoch) = self.network.joined {
                    self.happened(kind);
                    self.refuse(epoch);
                }
            }
            Kind::NewEpoch => {
                self.happened(kind);
                let Server { user, epoch, .. } = self.server;
                self.server = Server::new(user, epoch + 1, 5);
                self.past = self.server.clone();
                self.reset();
            }
            _ => return false,
        }
        true
    }

    /// The same of the app and the person before it.
    fn fault_of_app(&mut self, fault: &Fault) -> bool {
        let Fault { kind, size, .. } = *fault;
        let mut random = Random::new(fault.dice);
        let mut draw = |low, high| random.span(Millis(low), Millis(high)).0;
        match kind {
            Kind::UserSwitched => {
                self.happened(kind);
                self.another_user();
            }
            Kind::StopStart => {
                self.happened(kind);
                let mut at = 0;
                for _ in 0..size {
                    self.plan(at, Plan::Stop);
                    at += draw(0, 1) * draw(1, 2_000);
                    self.plan(at, Plan::Start);
                    at += draw(0, 1) * draw(1, 2_000);
                }
            }
            Kind::Nudged => {
                self.happened(kind);
                let mut at = 0;
                for _ in 0..size {
                    let input = match draw(0, 3) {
                        0 => Input::Online,
                        1 => Input::Offline,
                        2 => Input::Visible,
                        _ => Input::Refresh,
                    };
                    self.plan(at, Plan::Nudge(input));
                    at += draw(0, 1) * draw(1, 3_000);
                }
            }
            Kind::Reloaded | Kind::ReloadedByAnother => {
                self.happened(kind);
                self.reload(draw(0, u64::MAX - 1));
                if kind == Kind::ReloadedByAnother {
                    self.other_data();
                }
                self.give(Input::Start, &Cause::App);
            }
            _ => return false,
        }
        true
    }

    /// The server says a last word to an accepted socket, and closes it.
    fn dismiss(&mut self, kind: Kind, says: Says, frame: &str) {
        if let Some(epoch) = self.network.joined.take() {
            self.happened(kind);
            self.send(epoch, says, frame.to_owned());
            self.plan(400, Plan::Close(epoch, loss(None)));
        }
    }

    /// The session was refused; the same person logs in again, or another one. The app may not know who it is,
    /// or may be wrong about it.
    pub(super) fn reauthenticate(&mut self) {
        let is_another = self.draw(0, 1) == 0;
        let is_same_user = self.draw(0, 1) == 0;
        if is_another {
            self.other_data();
        }
        self.network.joined = None;
        if is_same_user {
            self.checks.go_on(is_another);
        } else {
            self.checks.forget();
        }
        self.give(Input::Reauthenticate { is_same_user }, &Cause::App);
    }

    /// The client looks up what it showed last. The store gives a record to its user only.
    pub(super) fn look_up(&mut self, epoch: EffectId) {
        let kept = self.kept.take().filter(|(user, _)| *user == self.server.user);
        let mut record = kept.map(|(_, record)| record);
        if let Some((_, mut dice)) = self.struck(&[Kind::LastViewBroken]) {
            let Some(broken) = super::absurd::record(record, &mut dice) else { return };
            record = Some(broken);
        }
        let latency = self.draw(0, 1_000);
        self.plan(latency, Plan::LastView(epoch, record));
    }

    fn another_user(&mut self) {
        self.other_data();
        self.network.joined = None;
        self.checks.forget();
        self.give(Input::Reauthenticate { is_same_user: false }, &Cause::App);
    }

    fn other_data(&mut self) {
        // The same epoch and nearby revisions: the worst case for a tag that was not forgotten.
        let Server { user, epoch, revision, .. } = self.server;
        let revision = revision + self.draw(0, 1);
        self.server = Server::new(user + 1, epoch, revision);
        self.past = self.server.clone();
    }
}
