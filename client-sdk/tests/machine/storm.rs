//! Any input in any state, in any order, at any time: what no server, platform or program may
//! bring about. The bench holds that there is never a second socket or request, and that no
//! deadline is in the past; here is what else must hold after every input.

use client_sdk::machine::{EffectId, FetchFailure, Input, Response, Secret};
use client_sdk::random::Random;
use client_sdk::state::{Level, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{
    ACCEPTED, AUTH_FAILED, Bench, HANDSHAKE, added_event, error_event, event, loss, refusal,
    snapshot, status, summary,
};

const LIVES: u64 = 200;
const INPUTS: usize = 400;
const NEWEST: u64 = (1 << 53) - 1;
const TEN_YEARS: u64 = 10 * 365 * 86_400_000;

struct Storm {
    bench: Bench,
    dice: Random,
    /// The newest epoch that was asked for; a driver answers only what the machine asked.
    newest: u32,
}

impl Storm {
    fn draw(&mut self, below: usize) -> usize {
        let top = Millis(below as u64 - 1);
        usize::try_from(self.dice.span(Millis(0), top).0).unwrap_or_default()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.draw(all.len())]
    }

    fn revision(&mut self) -> u64 {
        let near = self.draw(40) as u64;
        self.one_of(&[near, near, near, near, 0, NEWEST - 1, NEWEST])
    }

    /// Mostly the one that is open; else any that was.
    fn epoch(&mut self, open: Option<EffectId>) -> EffectId {
        self.newest = self.newest.max(open.map_or(0, |EffectId(open)| open));
        let drawn = self.dice.span(Millis(0), Millis(self.newest.into())).0;
        let any = EffectId(u32::try_from(drawn).unwrap_or_default());
        let all = [open.unwrap_or(any), open.unwrap_or(any), open.unwrap_or(any), any];
        self.one_of(&all)
    }

    fn retry_after(&mut self) -> Option<Millis> {
        let all = [None, None, Some(0), Some(7_000), Some(86_400_000), Some(u64::MAX)];
        self.one_of(&all).map(Millis)
    }

    fn frame(&mut self) -> String {
        let revision = self.revision();
        let ms = self.one_of(&[None, Some(0), Some(5_000), Some(u32::MAX)]);
        match self.draw(16) {
            0..=2 => HANDSHAKE.to_owned(),
            3 => r#"0{"sid":"s","pingInterval":1,"pingTimeout":1}"#.to_owned(),
            4..=6 => ACCEPTED.to_owned(),
            7 => {
                self.one_of(&["2", "6", "1", "41/dashboard", "garbage", "42/dashboard,[1]"]).into()
            }
            8 => self
                .one_of(&[AUTH_FAILED, r#"44/dashboard,{"message":"no"}"#, "44/dashboard,{}"])
                .to_owned(),
            9..=11 => {
                let total = self.draw(100) as u64;
                event("dashboard:summaryUpdated", revision, &summary(total))
            }
            12..=13 => added_event(revision, self.draw(30) as u64),
            _ => {
                let codes = ["SERVER_DRAINING", "TOKEN_EXPIRED", "SNAPSHOT_UNAVAILABLE"];
                error_event(self.one_of(&codes), ms)
            }
        }
    }

    /// As this request gets it, or as another one did.
    fn answer(&mut self) -> Result<Response, FetchFailure> {
        let answer = self.plain_answer();
        match self.bench.fetch.clone().filter(|_| self.draw(3) > 0) {
            Some((_, query)) => answer.map(|answer| query.answered(answer)),
            None => answer,
        }
    }

    fn plain_answer(&mut self) -> Result<Response, FetchFailure> {
        let revision = self.revision();
        let epoch = self.one_of(&["e", "e", "e", "f"]);
        let retry_after = self.retry_after();
        match self.draw(11) {
            0..=4 => {
                let etag = Some(format!("\"{epoch}-{revision}\""));
                Ok(Response { etag, ..snapshot(epoch, 10) })
            }
            5 => Ok(status(304)),
            6 => {
                let code = self.one_of(&[401, 403, 200, 404, 500, 0, 65_535]);
                Ok(Response { retry_after, ..status(code) })
            }
            7 => Ok(Response { retry_after, ..status(503) }),
            8 => Err(FetchFailure::TokenUnavailable),
            9 => Ok(Response { retry_after, ..refusal(self.one_of(&[401, 403])) }),
            _ => Err(FetchFailure::Network("unreachable".to_owned())),
        }
    }

    /// What takes it further, so that no state is rare.
    fn step(&mut self) -> Input {
        let epoch = self.bench.socket.unwrap_or(EffectId(0));
        let opens = self.draw(3) == 0;
        match self.bench.state.status {
            Status::Idle | Status::Closed => Input::Start,
            Status::AuthRequired => Input::Reauthenticate { is_same_user: opens },
            Status::Backoff => Input::Online,
            Status::Connecting | Status::Degraded if opens => Input::Opened { epoch, token: None },
            Status::Connecting | Status::Degraded => {
                Input::Frame { epoch, text: self.one_of(&[HANDSHAKE, ACCEPTED]).to_owned() }
            }
            Status::Syncing => {
                let epoch = self.epoch(self.bench.fetch.as_ref().map(|asked| asked.0));
                let answer = match &self.bench.fetch {
                    Some((_, query)) => query.answered(snapshot("e", 40)),
                    None => snapshot("e", 40),
                };
                Input::Snapshot { epoch, result: Ok(answer) }
            }
            Status::Live => Input::Frame { epoch, text: "2".to_owned() },
        }
    }

    fn input(&mut self) -> Input {
        if self.draw(2) == 0 {
            return self.step();
        }
        let (socket, fetch) = (self.bench.socket, self.bench.fetch.as_ref().map(|asked| asked.0));
        match self.draw(32) {
            0..=1 => Input::Start,
            2 if self.draw(3) == 0 => Input::Stop,
            3 => Input::Reauthenticate { is_same_user: self.draw(2) == 0 },
            4 => Input::Refresh,
            5 => Input::Online,
            6 => Input::Offline,
            2 | 7 => Input::Visible,
            8..=9 => Input::Tick,
            10..=13 => Input::Opened { epoch: self.epoch(socket), token: Some(Secret::new("t")) },
            14..=22 => Input::Frame { epoch: self.epoch(socket), text: self.frame() },
            23 => Input::BinaryFrame { epoch: self.epoch(socket) },
            24 => Input::Closed { epoch: self.epoch(socket), loss: loss(self.retry_after()) },
            25..=30 => Input::Snapshot { epoch: self.epoch(fetch), result: self.answer() },
            _ => {
                let recall = self.bench.recall;
                Input::LastView { epoch: self.epoch(recall), record: Some("2 0 0\n{}".into()) }
            }
        }
    }

    fn pass(&mut self) {
        let span = match self.draw(24) {
            0..=16 => 0,
            17..=19 => self.draw(200) as u64,
            20..=21 => self.draw(40_000) as u64,
            22 => self.bench.machine.next_timeout().map_or(1, |due| due.since(self.bench.now).0),
            _ => self.one_of(&[3_600_000, 400_000, TEN_YEARS]),
        };
        // One late reading of the clock, or a tick whenever one is due; a long way is too many.
        if span < 100_000 && self.draw(2) == 0 {
            self.bench.pass(Millis(span));
        } else {
            self.bench.now = self.bench.now + Millis(span);
        }
    }
}

#[test]
fn the_promises_hold_for_every_input() {
    let mut seen = [0_u32; 8];
    for seed in 1..=LIVES {
        let mut storm = Storm { bench: Bench::seeded(seed), dice: Random::new(seed), newest: 0 };
        for _ in 0..INPUTS {
            storm.pass();
            let input = storm.input();
            let (before, told) = (storm.bench.state.status, storm.bench.diagnostics.len());
            let (sockets, fetches) = (storm.bench.sockets, storm.bench.fetches);
            let what = format!("seed {seed}: {before:?} {input:?}");
            let is_stop = matches!(input, Input::Stop);
            let is_way_out = matches!(input, Input::Reauthenticate { .. } | Input::Stop);
            let starts = matches!(input, Input::Start | Input::Reauthenticate { .. });
            let may_stay = matches!(input, Input::Reauthenticate { is_same_user: true });
            storm.bench.input(input);

            let Bench { machine, state, socket, fetch, kept, .. } = &storm.bench;
            seen[state.status as usize] += 1;
            let is_resting =
                matches!(state.status, Status::Idle | Status::AuthRequired | Status::Closed);
            assert_eq!(is_resting, machine.next_timeout().is_none(), "stuck, or busy: {what}");
            if is_resting {
                assert_eq!((socket, fetch, kept), (&None, &None, &None), "{what}");
            }
            if is_stop {
                assert_eq!((state.status, &state.view), (Status::Closed, &None), "{what}");
            }
            if starts && before != Status::Closed && before != Status::Idle && is_way_out {
                assert_eq!(state.status, Status::Connecting, "{what}");
                assert!(may_stay || state.view.is_none(), "{what}");
            }
            if before == Status::AuthRequired && !is_way_out {
                assert_eq!(state.status, before, "{what}");
                let more = (storm.bench.sockets - sockets, storm.bench.fetches - fetches);
                assert_eq!(more, (0, 0), "{what}");
            }
            if state.status == Status::Live {
                assert!(socket.is_some() && state.source == Source::Live, "{what}");
            } else {
                assert_ne!(state.source, Source::Live, "{what}");
            }
            let new = &storm.bench.diagnostics[told..];
            assert!(new.len() <= 8, "{what}: {new:?}");
            assert!(new.iter().all(|(level, _)| *level <= Level::Error), "{what}");
        }
        survives(storm, seed);
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

/// Nothing of a storm is left in a new session.
fn survives(mut storm: Storm, seed: u64) {
    let bench = &mut storm.bench;
    match bench.state.status {
        Status::Idle | Status::Closed => bench.input(Input::Start),
        _ => bench.input(Input::Reauthenticate { is_same_user: false }),
    }
    bench.accept();
    bench.answer(10);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(10)), "seed {seed}");
}
