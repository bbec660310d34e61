//! Fuzzes what a client receives on its socket.
//!
//! The input is a script, one entry a line. A line is a frame or, after `!`, another event:
//! `!answer 7` (the snapshot of revision 7 arrives), `!nothing` (the request fails), `!pass 500`
//! (500 ms go by), `!lose` (the socket closes), `!open` (it opens). The target plays the same script
//! to a machine in each of several states. The SDK's own workbench does the effects. It asserts that
//! there is one socket and one request at most, and that no deadline lies in the past.

use client_sdk::codec::{self, Packet};
use client_sdk::machine::{EXCERPT_CHARS, EffectId, Input, Secret};
use client_sdk::state::{Source, Status};
use client_sdk::time::Millis;
use shared_types::event::NAMESPACE;

use crate::decoders::agree;

#[path = "../../../client-sdk/tests/machine/bench.rs"]
#[expect(dead_code, reason = "the SDK's own tests use all of it")]
mod bench;

use bench::{Bench, TOKEN};

/// Longer scripts show nothing that shorter ones do not.
const STEPS: usize = 40;
/// Effects that one input may have beside those that the workbench counts one by one.
const EFFECTS: usize = 8;
const STATES: [Status; 7] = [
    Status::Connecting,
    Status::Syncing,
    Status::Live,
    Status::Backoff,
    Status::Degraded,
    Status::AuthRequired,
    Status::Closed,
];

/// A script of frames.
///
/// # Panics
/// Where a machine does what no frame may make it do.
pub fn client_frames(bytes: &[u8]) {
    let Ok(script) = str::from_utf8(bytes) else { return };
    for line in script.lines().take(STEPS) {
        match codec::decode(NAMESPACE, line) {
            Ok(Packet::Handshake(json)) => drop(agree(json, |decoder| decoder.handshake(json))),
            Ok(Packet::ConnectError(json)) => drop(agree(json, |decoder| decoder.refusal(json))),
            Ok(Packet::Event(json)) => drop(agree(json, |decoder| decoder.event(json))),
            _ => {}
        }
    }
    for status in STATES {
        play(Bench::at(status), script);
    }
}

fn play(mut bench: Bench, script: &str) {
    if bench.state.status == Status::Degraded {
        bench.pass_until_socket();
    }
    open(&mut bench);
    for line in script.lines().take(STEPS) {
        let before = (bench.state.status, bench.diagnostics.len(), bench.sent.len());
        match line.strip_prefix('!') {
            Some(happens) => happen(&mut bench, happens),
            None => hear(&mut bench, line),
        }
        check(&bench, before, line);
    }
    // After any input, a new session begins like any other.
    match bench.state.status {
        Status::Idle | Status::Closed => bench.input(Input::Start),
        _ => bench.input(Input::Reauthenticate { is_same_user: false }),
    }
    bench.accept();
    bench.answer(10);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(10)));
}

fn hear(bench: &mut Bench, frame: &str) {
    // Where there is no socket, the frame is a late one of an earlier.
    let epoch = bench.socket.unwrap_or(EffectId(1));
    bench.input(Input::Frame { epoch, text: frame.to_owned() });
}

fn happen(bench: &mut Bench, what: &str) {
    let (what, number) = what.split_once(' ').unwrap_or((what, ""));
    let number = number.parse::<u32>().unwrap_or(1);
    match what {
        "answer" if bench.fetch.is_some() => bench.answer(number.into()),
        "nothing" if bench.fetch.is_some() => bench.answer_nothing(),
        "lose" if bench.socket.is_some() => bench.lose(),
        // An hour is longer than any of the client's periods.
        "pass" => bench.pass(Millis(u64::from(number) % 3_600_000)),
        "open" => open(bench),
        _ => {}
    }
}

fn open(bench: &mut Bench) {
    if let (Some(epoch), Status::Connecting | Status::Degraded) = (bench.socket, bench.state.status)
    {
        bench.input(Input::Opened { epoch, token: Some(Secret::new(TOKEN)) });
    }
}

fn check(bench: &Bench, (status, told, sent): (Status, usize, usize), line: &str) {
    let state = &bench.state;
    let is_resting = matches!(state.status, Status::Idle | Status::AuthRequired | Status::Closed);
    assert_eq!(is_resting, bench.machine.next_timeout().is_none(), "stuck, or busy: {line}");
    if is_resting {
        assert_eq!((&bench.socket, &bench.fetch), (&None, &None), "{line}");
    }
    if status == Status::Closed || status == Status::AuthRequired {
        assert_eq!(state.status, status, "came back by itself: {line}");
    }
    let is_live = state.status == Status::Live;
    assert!(!is_live || bench.socket.is_some(), "live without a socket: {line}");
    assert_eq!(is_live, state.source == Source::Live, "{line}");
    if line.starts_with('!') {
        // Much may happen while time goes by.
        return;
    }
    assert!(bench.sent.len() - sent <= 1, "{line}: {:?}", bench.sent);
    let new = &bench.diagnostics[told..];
    assert!(new.len() <= EFFECTS, "{line}: {new:?}");
    for (_, reason) in new {
        // What was skipped, and why.
        let length = reason.message.chars().count();
        assert!(length <= 2 * EXCERPT_CHARS + 20, "{length} characters: {line}");
        assert!(!reason.message.chars().any(char::is_control), "{line}: {reason:?}");
    }
}
