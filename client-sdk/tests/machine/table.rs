//! Every pair of situation and input, as tables that are checked in and read by people: all of them
//! in `transitions.md`, the gist of them in `docs/protocol.md`.
//!
//! A pair that is missing in the machine does not compile. A change of the machine that moves a
//! pair shows up here as a difference. To accept it, run the tests with `UPDATE_GOLDENS=1` and read
//! what changed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use client_sdk::machine::{EffectId, FetchFailure, Input, Response, Secret};
use client_sdk::state::{Code, Status};
use client_sdk::time::Millis;

use crate::bench::{
    ACCEPTED, AUTH_FAILED, Bench, HANDSHAKE, error_event, loss, refusal, snapshot, status,
    summary_event,
};

const GOLDEN: &str = "tests/machine/transitions.md";
const PROTOCOL: &str = "../docs/protocol.md";
/// What stands around the table in the protocol's page.
const MARKS: [&str; 2] = ["<!-- the table begins -->\n", "<!-- the table ends -->\n"];

/// What an earlier life left behind.
const RECORD: &str = concat!(
    "1 900 7\n{\"summary\":{\"totalMocs\":7,\"totalWishlistItems\":0,",
    "\"mocsByBuildStatus\":{\"ADDED\":7,\"IN_PROGRESS\":0,\"BUILT\":0},",
    "\"mocsByCoverageStatus\":{\"FULL_INVENTORY\":0,\"PARTIAL_ORDERED\":0,\"NONE\":7}},",
    "\"themeBreakdown\":[],\"recentMocs\":[],\"partialPartsMocs\":[]}",
);

/// A situation by its name, and how to get there.
type Situation = (&'static str, fn() -> Bench);
/// An input by its name, made for the bench's current socket and request.
type Cause = (&'static str, fn(&Bench) -> Input);

const SITUATIONS: [Situation; 14] = [
    ("idle", || Bench::at(Status::Idle)),
    ("connecting, opening", || Bench::at(Status::Connecting)),
    ("connecting, opened", || {
        let mut bench = Bench::at(Status::Connecting);
        bench.input(opened(&bench));
        bench
    }),
    ("connecting, asked", || {
        let mut bench = Bench::at(Status::Connecting);
        bench.open();
        bench
    }),
    ("syncing, fetching", || Bench::at(Status::Syncing)),
    ("syncing, waiting", || {
        let mut bench = Bench::at(Status::Syncing);
        bench.answer_with(status(500));
        bench
    }),
    ("live", || Bench::at(Status::Live)),
    ("live, revalidating", || {
        let mut bench = Bench::at(Status::Live);
        bench.input(Input::Refresh);
        bench
    }),
    ("backoff, with a view", || {
        let mut bench = Bench::at(Status::Live);
        bench.lose();
        bench
    }),
    ("backoff, without a view", || Bench::at(Status::Backoff)),
    ("degraded, waiting", || {
        let mut bench = Bench::at(Status::Degraded);
        bench.answer(10);
        bench
    }),
    ("degraded, polling and trying", || {
        let mut bench = Bench::at(Status::Degraded);
        bench.answer(10);
        bench.input(Input::Refresh);
        bench.open();
        bench
    }),
    ("authRequired", || Bench::at(Status::AuthRequired)),
    ("closed", || Bench::at(Status::Closed)),
];

const CAUSES: [Cause; 36] = [
    ("start", |_| Input::Start),
    ("stop", |_| Input::Stop),
    ("reauthenticate", |_| Input::Reauthenticate { is_same_user: false }),
    ("reauthenticate, same user", |_| Input::Reauthenticate { is_same_user: true }),
    ("refresh", |_| Input::Refresh),
    ("online", |_| Input::Online),
    ("offline", |_| Input::Offline),
    ("visible", |_| Input::Visible),
    ("deadline", |_| Input::Tick),
    ("opened", opened),
    ("handshake", |bench| frame(bench, HANDSHAKE)),
    ("handshake, malformed", |bench| frame(bench, "0{}")),
    ("ping", |bench| frame(bench, "2")),
    ("accepted", |bench| frame(bench, ACCEPTED)),
    ("refused: AUTH_FAILED", |bench| frame(bench, AUTH_FAILED)),
    ("refused otherwise", |bench| frame(bench, r#"44/dashboard,{"message":"no"}"#)),
    ("event", |bench| frame(bench, &summary_event(11))),
    ("event, stale", |bench| frame(bench, &summary_event(1))),
    ("event, malformed", |bench| frame(bench, "42/dashboard,[]")),
    ("told: TOKEN_EXPIRED", |bench| frame(bench, &error_event("TOKEN_EXPIRED", None))),
    ("told: SERVER_DRAINING", |bench| frame(bench, &error_event("SERVER_DRAINING", Some(500)))),
    ("told: SNAPSHOT_UNAVAILABLE", |bench| {
        frame(bench, &error_event("SNAPSHOT_UNAVAILABLE", None))
    }),
    ("disconnected by the server", |bench| frame(bench, "41/dashboard,")),
    ("frame, malformed", |bench| frame(bench, "?")),
    ("frame, binary", |bench| Input::BinaryFrame { epoch: socket(bench) }),
    ("socket closed", |bench| Input::Closed { epoch: socket(bench), loss: loss(None) }),
    ("snapshot", |bench| answer(bench, snapshot("e", 12))),
    ("snapshot: nothing newer", |bench| answer(bench, status(304))),
    ("snapshot: kept by a cache, of another epoch", |bench| kept(bench, snapshot("f", 12))),
    ("snapshot: kept by a cache, without a tag", |bench| {
        kept(bench, Response { etag: None, ..snapshot("e", 12) })
    }),
    ("snapshot: 401", |bench| answer(bench, refusal(401))),
    ("snapshot: 403", |bench| answer(bench, refusal(403))),
    ("snapshot: 401 or 403, not the server's", |bench| answer(bench, status(403))),
    ("snapshot: 503", |bench| answer(bench, status(503))),
    ("last view", |bench| Input::LastView {
        epoch: bench.recall.unwrap_or(EffectId(0)),
        record: Some(RECORD.to_owned()),
    }),
    ("snapshot failed", |bench| Input::Snapshot {
        epoch: request(bench),
        result: Err(FetchFailure::Network("unreachable".to_owned())),
    }),
];

#[test]
fn every_pair_of_state_and_input_is_as_written() {
    let mut table = String::from("# What the machine does in each situation\n\n");
    table.push_str(
        "Made by `table.rs`. A dash: nothing but a diagnostic. Gate: the answer to something that \
         was given up, or never asked for.\n",
    );
    for (name, arrange) in SITUATIONS {
        write!(table, "\n## {name}\n\n| input | then | effects |\n|-|-|-|\n").unwrap();
        for (cause, input) in CAUSES {
            let (then, effects) = outcome(arrange(), cause, input);
            writeln!(table, "| {cause} | {then} | {effects} |").unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (line, (is, was)) in table.lines().zip(golden.lines()).enumerate() {
        assert_eq!(is, was, "{GOLDEN}:{}", line + 1);
    }
    assert_eq!(table.lines().count(), golden.lines().count());
}

/// The situations that stand for their state in the protocol's page.
const GIST: [&str; 8] = [
    "idle",
    "connecting, asked",
    "syncing, fetching",
    "live",
    "backoff, without a view",
    "degraded, polling and trying",
    "authRequired",
    "closed",
];

#[test]
fn the_protocols_page_shows_the_same_table() {
    let mut table = String::from("| input |");
    for name in GIST {
        write!(table, " {} |", name.split(',').next().unwrap()).unwrap();
    }
    table.push_str("\n|-|-|-|-|-|-|-|-|-|\n");
    for (cause, input) in CAUSES {
        write!(table, "| {cause} |").unwrap();
        for name in GIST {
            let (_, arrange) = SITUATIONS.iter().find(|(known, _)| *known == name).unwrap();
            let (then, effects) = outcome(arrange(), cause, input);
            let state = then.split(':').next().unwrap();
            let cell = match (state, effects.as_str()) {
                ("–" | "gate", _) => "·".to_owned(),
                ("stays", effects) => effects.to_owned(),
                (state, _) => format!("**{state}**"),
            };
            write!(table, " {cell} |").unwrap();
        }
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROTOCOL);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).expect("the table has no beginning");
    let (shown, after) = rest.split_once(MARKS[1]).expect("the table has no end");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, [before, MARKS[0], &table, MARKS[1], after].concat()).unwrap();
    } else {
        assert_eq!(shown, table, "{PROTOCOL} is stale");
    }
}

fn outcome(mut bench: Bench, cause: &str, input: fn(&Bench) -> Input) -> (String, String) {
    if cause == "deadline" {
        let Some(due) = bench.machine.next_timeout() else {
            return ("–".to_owned(), "none is set".to_owned());
        };
        bench.now = due;
    }
    let before = (bench.state.clone(), bench.socket, bench.fetch.clone());
    let (sent, told) = (bench.sent.len(), bench.diagnostics.len());
    let input = input(&bench);
    bench.input(input);
    assert!(bench.machine.poll_effect().is_none());

    let mut effects = Vec::new();
    let codes: Vec<Code> =
        bench.diagnostics[told..].iter().map(|(_, reason)| reason.code).collect();
    if codes.contains(&Code::AnswerStale) {
        return ("gate".to_owned(), String::new());
    }
    match (before.1, bench.socket) {
        (Some(old), Some(new)) if old != new => effects.push("another socket"),
        (Some(_), None) => effects.push("the socket ends"),
        (None, Some(_)) => effects.push("a socket opens"),
        _ => {}
    }
    match (&before.2, &bench.fetch) {
        (Some((old, _)), Some((new, _))) if old != new => {
            effects.push("another snapshot is asked for");
        }
        (Some(_), None) => effects.push("the request ends"),
        (None, Some(_)) => effects.push("a snapshot is asked for"),
        _ => {}
    }
    let names: Vec<String> = bench.sent[sent..].iter().map(|text| kind(text).to_owned()).collect();
    effects.extend(names.iter().map(String::as_str));
    if bench.state.view != before.0.view {
        effects.push(if bench.state.view.is_some() { "shows" } else { "forgets" });
    }
    let changed = bench.state.status != before.0.status;
    // Terminal reasons and the states that nothing but the app ends go together, always.
    if let Some(reason) = bench.state.reason.as_ref().filter(|_| changed) {
        let rests = matches!(bench.state.status, Status::AuthRequired | Status::Closed);
        assert_eq!(reason.code.is_terminal(), rests, "{reason:?} in {:?}", bench.state.status);
    }
    let then = if changed {
        let reason = bench.state.reason.as_ref().map(|reason| reason.code.name());
        [bench.state.status.name(), reason.map_or("", |_| ": "), reason.unwrap_or("")].concat()
    } else if effects.is_empty() && bench.state == before.0 {
        "–".to_owned()
    } else {
        "stays".to_owned()
    };
    // A wait that began must end.
    if matches!(bench.state.status, Status::Backoff | Status::Degraded | Status::Syncing) {
        assert!(bench.machine.next_timeout().is_some_and(|due| due > bench.now + Millis(0)));
    }
    (then, effects.join(", "))
}

fn kind(text: &str) -> &'static str {
    if text == "3" { "PONG" } else { "CONNECT" }
}

fn opened(bench: &Bench) -> Input {
    Input::Opened { epoch: socket(bench), token: Some(Secret::new("token")) }
}

fn frame(bench: &Bench, text: &str) -> Input {
    Input::Frame { epoch: socket(bench), text: text.to_owned() }
}

fn answer(bench: &Bench, response: Response) -> Input {
    let (epoch, result) = match &bench.fetch {
        Some((epoch, query)) => (*epoch, query.answered(response)),
        None => (EffectId(0), response),
    };
    Input::Snapshot { epoch, result: Ok(result) }
}

/// Something between has kept it from another request.
fn kept(bench: &Bench, response: Response) -> Input {
    Input::Snapshot { epoch: request(bench), result: Ok(response) }
}

fn socket(bench: &Bench) -> EffectId {
    bench.socket.unwrap_or(EffectId(0))
}

fn request(bench: &Bench) -> EffectId {
    bench.fetch.as_ref().map_or(EffectId(0), |(epoch, _)| *epoch)
}
