//! Lives that the simulation failed on once, told by hand.

use client_sdk::machine::{BELIEVED_AFTER, BELIEVED_ANSWERS, Input, Response};
use client_sdk::state::{Code, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{Bench, PING_EVERY, snapshot, status, summary_event};

/// Live at revision 10, then lost, and accepted again.
fn syncing_again() -> Bench {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    bench.pass_until_socket();
    bench.accept();
    bench
}

/// Lets time pass until a snapshot is asked for.
fn until_asked(bench: &mut Bench) {
    while bench.fetch.is_none() {
        bench.pass_until_due_or_pinged();
    }
}

#[test]
fn a_wish_about_snapshots_outlives_the_socket() {
    let mut bench = syncing_again();
    let retry_after = Millis::seconds(20);
    bench.answer_with(Response { retry_after: Some(retry_after), ..status(503) });
    let told = bench.now;
    bench.lose();
    bench.pass_until_socket();
    bench.accept();
    assert_eq!((bench.state.status, &bench.fetch), (Status::Syncing, &None));
    bench.input(Input::Refresh);
    assert_eq!(bench.fetch, None, "not even a person hurries it");
    until_asked(&mut bench);
    assert_eq!(bench.now, told + retry_after);
}

#[test]
fn live_that_was_slept_through_has_not_held() {
    let mut bench = syncing_again();
    bench.answer(10);
    assert_eq!((bench.state.status, bench.state.attempt), (Status::Live, 1));
    // One late tick: the five seconds are over, and so is the connection.
    bench.now = bench.now + Millis::seconds(600);
    bench.input(Input::Tick);
    assert_eq!((bench.state.status, bench.state.attempt), (Status::Backoff, 2));
}

#[test]
fn events_from_before_the_data_counted_anew_are_not_mixed_with_what_came_after() {
    for (tag, shown) in [(r#""e-0""#, Some(10)), ("null", Some(3))] {
        let mut bench = Bench::at(Status::Live);
        bench.lose();
        bench.pass_until_socket();
        bench.accept_with(tag);
        bench.frame(&summary_event(50));
        bench.answer_with(snapshot("f", 3));
        assert_eq!((bench.state.status, bench.total()), (Status::Backoff, shown), "{tag}");
        assert_eq!(bench.reason(), Some(Code::EpochChanged));
        bench.pass_until_socket();
        bench.accept_with(r#""f-2""#);
        bench.frame(&summary_event(4));
        bench.answer_with(snapshot("f", 3));
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(4)));
    }
}

#[test]
fn events_that_came_with_the_new_count_are_kept() {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    bench.pass_until_socket();
    bench.accept_with(r#""f-2""#);
    bench.frame(&summary_event(4));
    bench.answer_with(snapshot("f", 3));
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(4)));
}

#[test]
fn a_snapshot_that_fails_before_the_banner_goes_ends_what_was_polled() {
    let fails: [fn(&mut Bench); 2] = [|bench| bench.answer_with(status(500)), Bench::lose];
    for fail in fails {
        let mut bench = Bench::at(Status::Degraded);
        bench.answer(10);
        assert_eq!(bench.source(), Source::Polling);
        bench.pass_until_socket();
        bench.accept();
        assert_eq!((bench.state.status, bench.source()), (Status::Degraded, Source::Polling));
        fail(&mut bench);
        assert_eq!((bench.state.status, bench.source()), (Status::Degraded, Source::Stale));
    }
}

#[test]
fn a_server_that_contradicts_for_long_is_believed() {
    let mut bench = Bench::at(Status::Live);
    // A revision that this server will not reach for a long time.
    bench.frame(&summary_event(1_000_000));
    bench.lose();
    bench.pass_until_socket();
    bench.accept();
    let begun = bench.now;
    let mut answers = 0;
    while bench.state.status == Status::Syncing {
        until_asked(&mut bench);
        // A 304 would say nothing more than that the tag is known.
        let is_asked_anew = bench.condition().is_none();
        bench.answer(11);
        answers += 1;
        let is_over = bench.now.since(begun) >= BELIEVED_AFTER && answers > BELIEVED_ANSWERS;
        assert_eq!(is_asked_anew, bench.total() == Some(11));
        assert!(is_over || !is_asked_anew, "believed after {answers} answers");
    }
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(11)));
}

#[test]
fn a_replica_that_lags_for_long_is_not_believed_while_events_count_on() {
    let mut bench = Bench::at(Status::Live);
    let begun = bench.now;
    let (mut answers, mut revision) = (0, 11);
    while bench.now.since(begun).0 < BELIEVED_AFTER.0 * 3 || answers <= BELIEVED_ANSWERS * 3 {
        bench.frame(&summary_event(revision));
        bench.input(Input::Refresh);
        assert!(bench.condition().is_some(), "outvoted by a replica");
        bench.answer(10);
        answers += 1;
        assert_eq!(
            (bench.state.status, bench.total()),
            (Status::Live, u32::try_from(revision).ok())
        );
        revision += 1;
        bench.frame("2");
        bench.pass(PING_EVERY);
        if bench.fetch.is_some() {
            bench.answer(10);
        }
    }
}
