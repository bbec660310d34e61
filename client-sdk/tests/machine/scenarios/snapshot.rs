//! Snapshots that fail, hang, lag or make no sense, while the connection is good.

use client_sdk::backoff;
use client_sdk::machine::{FETCH_TIMEOUT, HURRY_WITHIN, Input, Response, SETTLE_AFTER};
use client_sdk::state::{Code, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{Bench, error_event, snapshot, status, summary_event};

/// Waits for the next request; tells how long that was.
fn until_asked(bench: &mut Bench) -> Millis {
    let start = bench.now;
    while bench.fetch.is_none() {
        bench.pass_until_due_or_pinged();
    }
    bench.now.since(start)
}

#[test]
fn a_failing_snapshot_is_retried_by_the_law_and_the_connection_stays() {
    let mut bench = Bench::at(Status::Syncing);
    let socket = bench.socket;
    for failures in 1..=6 {
        bench.answer_with(status(500));
        bench.frame("2");
        assert_eq!((bench.state.status, bench.socket), (Status::Syncing, socket));
        assert_eq!((bench.state.attempt, bench.reason()), (failures, Some(Code::SnapshotFailed)));
        let due = bench.state.next_retry_at.unwrap();
        let waited = until_asked(&mut bench);
        assert_eq!(bench.now, due);
        assert!(waited >= backoff::FLOOR && waited <= backoff::ceiling(failures), "{waited:?}");
    }
    bench.answer(10);
    assert_eq!((bench.state.status, bench.state.attempt), (Status::Live, 0));
    assert_eq!(bench.reason(), None);
}

#[test]
fn a_hanging_snapshot_is_given_up_after_ten_seconds() {
    let mut bench = Bench::at(Status::Syncing);
    let (late, _) = bench.fetch.clone().unwrap();
    bench.pass(FETCH_TIMEOUT);
    assert_eq!(
        (bench.state.status, bench.reason()),
        (Status::Syncing, Some(Code::SnapshotTimeout))
    );
    bench.input(Input::Snapshot { epoch: late, result: Ok(snapshot("e", 99)) });
    assert_eq!((bench.state.status, bench.total()), (Status::Syncing, None), "too late");
    until_asked(&mut bench);
    bench.answer(10);
    assert_eq!(bench.state.status, Status::Live);
}

#[test]
fn snapshots_that_make_no_sense_are_not_shown() {
    let page =
        Response { body: "<html>Please log in</html>".to_owned(), etag: None, ..snapshot("e", 11) };
    let weak = Response { etag: Some("\"not ours\"".to_owned()), ..snapshot("e", 11) };
    let cut = Response { body: snapshot("e", 11).body[..40].to_owned(), ..snapshot("e", 11) };
    let wrong = Response {
        body: snapshot("e", 11).body.replace("\"totalMocs\":11", "\"totalMocs\":-1"),
        ..snapshot("e", 11)
    };
    for odd in [page, weak, cut, wrong] {
        let mut bench = Bench::at(Status::Live);
        bench.lose();
        bench.pass_until_socket();
        bench.accept();
        bench.answer_with(odd);
        assert_eq!((bench.state.status, bench.total()), (Status::Syncing, Some(10)));
        assert_eq!(
            (bench.reason(), bench.source()),
            (Some(Code::SnapshotMalformed), Source::Stale)
        );
        until_asked(&mut bench);
        bench.answer(11);
        assert_eq!(bench.state.status, Status::Live);
    }
}

#[test]
fn a_snapshot_older_than_what_is_shown_is_fetched_again() {
    for lagging in [snapshot("e", 11), status(304)] {
        let mut bench = Bench::at(Status::Live);
        bench.frame(&summary_event(12));
        bench.lose();
        bench.pass_until_socket();
        bench.accept();
        bench.answer_with(lagging);
        assert_eq!((bench.state.status, bench.total()), (Status::Syncing, Some(12)));
        assert_eq!(bench.reason(), Some(Code::SnapshotStale));
        until_asked(&mut bench);
        bench.answer(12);
        assert_eq!(bench.state.status, Status::Live);
    }
}

#[test]
fn nothing_changed_is_enough_to_be_live_again() {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    bench.pass_until_socket();
    bench.accept();
    bench.frame(&summary_event(11));
    bench.answer_with(status(304));
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(11)));
}

#[test]
fn not_modified_without_a_snapshot_is_a_mistake() {
    let mut bench = Bench::at(Status::Syncing);
    assert_eq!(bench.condition(), None);
    bench.answer_with(status(304));
    assert_eq!(bench.reason(), Some(Code::SnapshotMalformed));
}

#[test]
fn a_busy_server_is_asked_again_when_it_wishes() {
    for code in [429, 503] {
        let mut bench = Bench::at(Status::Syncing);
        bench.answer_with(Response { retry_after: Some(Millis::seconds(17)), ..status(code) });
        bench.input(Input::Refresh);
        assert_eq!(until_asked(&mut bench), Millis::seconds(17));
    }
}

#[test]
fn refresh_online_and_visible_end_the_wait_for_a_snapshot() {
    for input in [Input::Refresh, Input::Online, Input::Visible] {
        let mut bench = Bench::at(Status::Syncing);
        bench.answer_with(status(500));
        assert_eq!(bench.fetch, None);
        bench.input(input);
        assert!(bench.fetch.is_some());
    }
}

#[test]
fn a_server_without_data_makes_the_view_doubtful_until_a_snapshot_comes() {
    let mut bench = Bench::at(Status::Live);
    let socket = bench.socket;
    bench.frame(&error_event("SNAPSHOT_UNAVAILABLE", None));
    assert_eq!((bench.state.status, bench.source()), (Status::Syncing, Source::Stale));
    assert_eq!((bench.reason(), bench.socket), (Some(Code::SnapshotUnavailable), socket));
    bench.frame(&error_event("SNAPSHOT_UNAVAILABLE", None));
    until_asked(&mut bench);
    bench.answer(11);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(11)));
}

/// A client that has failed so often to get its snapshot that it waits for long.
fn waiting_for_long() -> Bench {
    let mut bench = Bench::at(Status::Syncing);
    loop {
        bench.answer_with(status(503));
        bench.frame("2");
        let wait = bench.state.next_retry_at.map(|due| due.since(bench.now));
        if wait > Some(Millis::seconds(10)) {
            return bench;
        }
        until_asked(&mut bench);
    }
}

#[test]
fn an_event_cuts_the_wait_after_a_failure_short_and_only_once() {
    let mut bench = waiting_for_long();
    bench.frame(&summary_event(11));
    let waited = until_asked(&mut bench);
    assert!(waited >= backoff::FLOOR && waited <= HURRY_WITHIN, "{waited:?}");
    // Requests have a way of their own, of which events prove nothing.
    let mut longest = Millis(0);
    for revision in 12..32 {
        bench.answer_with(status(503));
        bench.frame(&summary_event(revision));
        longest = longest.max(until_asked(&mut bench));
        bench.frame("2");
    }
    assert!(longest > Millis::seconds(10), "{longest:?}");
    // A new telling makes the next event news again.
    while bench.fetch.is_some()
        || bench.state.next_retry_at.is_none_or(|due| due.since(bench.now) < Millis::seconds(5))
    {
        if bench.fetch.is_some() {
            bench.answer_with(status(503));
        } else {
            until_asked(&mut bench);
        }
        bench.frame("2");
    }
    bench.frame(&error_event("SNAPSHOT_UNAVAILABLE", None));
    bench.frame(&summary_event(40));
    assert!(until_asked(&mut bench) <= HURRY_WITHIN);
    bench.answer(40);
    assert_eq!(bench.state.status, Status::Live);
}

#[test]
fn an_event_during_the_request_counts_when_that_fails() {
    let mut bench = waiting_for_long();
    until_asked(&mut bench);
    bench.frame(&summary_event(11));
    bench.answer_with(status(503));
    assert!(until_asked(&mut bench) <= HURRY_WITHIN);
}

#[test]
fn no_event_cuts_short_what_the_server_asked_for() {
    let mut bench = Bench::at(Status::Syncing);
    bench.answer_with(Response { retry_after: Some(Millis::seconds(17)), ..status(503) });
    bench.frame(&summary_event(11));
    assert_eq!(until_asked(&mut bench), Millis::seconds(17));
}

#[test]
fn clients_that_see_the_same_event_do_not_ask_at_the_same_time() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let mut bench = Bench::seeded(seed);
        bench.input(Input::Start);
        bench.accept();
        for _ in 0..8 {
            bench.answer_with(status(503));
            bench.frame("2");
            until_asked(&mut bench);
        }
        bench.frame(&summary_event(11));
        bench.answer_with(status(503));
        waits.push(until_asked(&mut bench));
    }
    let within = |low, high| waits.iter().filter(|wait| (low..high).contains(&wait.0)).count();
    for bin in [100, 200, 300, 400] {
        assert!((25..=80).contains(&within(bin, bin + 100)), "{waits:?}");
    }
}

#[test]
fn a_server_that_keeps_saying_that_it_has_no_data_is_asked_less_and_less() {
    let mut bench = Bench::at(Status::Live);
    let start = bench.now;
    let mut asked = 0;
    while bench.now.since(start) < Millis::seconds(600) {
        bench.frame("2");
        bench.frame(&error_event("SNAPSHOT_UNAVAILABLE", None));
        until_asked(&mut bench);
        bench.answer(10);
        asked += 1;
    }
    assert!((30..90).contains(&asked), "{asked}");
    // Forgiven once live has held.
    bench.pass(SETTLE_AFTER);
    bench.frame(&error_event("SNAPSHOT_UNAVAILABLE", None));
    assert!(until_asked(&mut bench) <= backoff::ceiling(1));
}

#[test]
fn losing_the_socket_gives_up_its_snapshot() {
    let mut bench = Bench::at(Status::Syncing);
    let (former, _) = bench.fetch.clone().unwrap();
    bench.lose();
    bench.input(Input::Snapshot { epoch: former, result: Ok(snapshot("e", 99)) });
    assert_eq!((bench.state.status, bench.total()), (Status::Backoff, None));
    assert_eq!(bench.told(Code::AnswerStale), 1);
}
