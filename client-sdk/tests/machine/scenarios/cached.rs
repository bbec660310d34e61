//! What answers in the server's place: caches, service workers, proxies that drop a query or a tag.
//! Nothing that it kept is called live, and nothing of another user is shown.

use client_sdk::machine::{Input, Response};
use client_sdk::state::{Code, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{Bench, Query, error_event, snapshot, status, summary_event};

/// How soon a client is live again at the latest once a cache has given way.
const SOON: Millis = Millis::seconds(8);

/// A snapshot as a cache has it: by itself, or named by the request that it was made for.
fn kept(epoch: &str, revision: u64) -> [Response; 2] {
    let other = Query { fresh: "another".to_owned(), have: None };
    [snapshot(epoch, revision), other.answered(snapshot(epoch, revision))]
}

/// Accepted, with data of revision 20, by a client that shows nothing.
fn first_visit() -> Bench {
    let mut bench = Bench::at(Status::Connecting);
    bench.accept_with(r#""e-20""#);
    bench
}

#[test]
fn a_first_visit_is_not_live_with_what_a_cache_kept() {
    for old in [kept("e", 19), kept("f", 99)].concat() {
        let mut bench = first_visit();
        bench.answer_as_it_is(old);
        assert_eq!((bench.state.status, bench.total()), (Status::Syncing, None));
        assert_eq!(bench.reason(), Some(Code::SnapshotStale));
        bench.pass_until_request();
        bench.answer(20);
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)));
    }
}

#[test]
fn each_request_has_a_unique_name() {
    let mut bench = first_visit();
    let mut names = Vec::new();
    for _ in 0..5 {
        names.push(bench.fetch.as_ref().map(|(_, query)| query.fresh.clone()).unwrap());
        bench.answer_with(status(500));
        bench.pass_until_request();
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric())));
}

/// Answers with a small number of MOCs, for as long as it takes a server to be believed.
#[test]
fn a_cache_is_never_believed_however_long_it_lasts() {
    for old in kept("e", 1) {
        let mut bench = Bench::at(Status::Live);
        bench.lose();
        bench.pass_until_socket();
        bench.accept_with(r#""e-10""#);
        let begun = bench.now;
        while bench.now.since(begun) < Millis::seconds(1_800) {
            bench.answer_as_it_is(old.clone());
            assert_eq!((bench.state.status, bench.total()), (Status::Syncing, Some(10)));
            assert_eq!(bench.source(), Source::Stale);
            let pause = bench.pass_until_request();
            assert!(pause <= SOON, "asked past it after {pause:?}");
        }
        bench.answer(10);
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(10)));
    }
}

#[test]
fn what_a_cache_kept_is_shown_where_the_socket_tells_that_it_is_new() {
    for new in kept("e", 20) {
        let mut bench = first_visit();
        bench.answer_as_it_is(new);
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)));
        // An event is newer than what the cache goes on giving.
        bench.frame(&summary_event(21));
        bench.input(Input::Refresh);
        bench.answer_as_it_is(snapshot("e", 20));
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(21)));
        assert_eq!(bench.told(Code::SnapshotStale), 1);
    }
}

#[test]
fn without_the_sockets_word_only_an_answer_to_this_request_counts() {
    for word in ["null", "7", r#""e""#, r#""e-1-gzip""#] {
        let mut bench = Bench::at(Status::Connecting);
        bench.accept_with(word);
        for old in kept("e", 30) {
            bench.answer_as_it_is(old);
            assert_eq!((bench.state.status, bench.total()), (Status::Syncing, None), "{word}");
            bench.pass_until_request();
        }
        bench.answer(20);
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)), "{word}");
    }
}

#[test]
fn a_socket_that_has_missed_something_vouches_for_nothing() {
    let missed: [fn(&mut Bench); 2] = [
        |bench| bench.frame(&error_event("SNAPSHOT_UNAVAILABLE", None)),
        |bench| bench.frame("42/dashboard,[\"dashboard:summaryUpdated\",{\"cut"),
    ];
    for miss in missed {
        for copy in kept("e", 10) {
            let mut bench = Bench::at(Status::Live);
            let as_of = bench.state.as_of;
            miss(&mut bench);
            bench.pass_until_request();
            let status = bench.state.status;
            bench.answer_as_it_is(copy);
            assert_eq!((bench.state.status, bench.state.as_of), (status, as_of));
            let pause = bench.pass_until_request();
            assert!(pause <= SOON, "asked again after {pause:?}");
            bench.answer(12);
            assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(12)));
        }
    }
}

#[test]
fn a_socket_without_a_word_is_given_up_where_only_a_cache_answers() {
    let mut bench = Bench::at(Status::Connecting);
    bench.accept_with("null");
    while bench.state.status == Status::Syncing {
        bench.answer_as_it_is(snapshot("e", 20));
        if bench.state.status == Status::Syncing {
            bench.pass_until_request();
        }
    }
    assert_eq!((bench.state.status, bench.reason()), (Status::Backoff, Some(Code::SnapshotStale)));
    bench.pass_until_socket();
    bench.accept_with(r#""e-20""#);
    bench.answer_as_it_is(snapshot("e", 20));
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)));
}

#[test]
fn polls_are_not_judged_by_a_socket_that_is_gone() {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    bench.fail_until_degraded();
    bench.pass_until_request();
    bench.answer_with(snapshot("f", 5));
    for _ in 0..2 {
        assert_eq!((bench.source(), bench.total()), (Source::Polling, Some(5)));
        bench.pass_until_request();
        bench.answer_with(status(304));
    }
    assert_eq!(bench.source(), Source::Polling);
}

#[test]
fn data_of_another_epoch_than_the_sockets_make_it_connect_anew() {
    let answers = [status(304), snapshot("f", 3)];
    for answer in answers {
        let mut bench = Bench::at(Status::Live);
        bench.lose();
        bench.pass_until_socket();
        bench.accept_with(if answer.status == 200 { r#""e-10""# } else { r#""f-3""# });
        bench.answer_with(answer);
        assert_eq!((bench.state.status, bench.total()), (Status::Backoff, Some(10)));
        assert_eq!(bench.reason(), Some(Code::EpochChanged));
    }
}

#[test]
fn a_socket_without_a_word_is_not_kept_for_data_of_another_epoch() {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    bench.pass_until_socket();
    bench.accept_with("null");
    bench.answer_with(snapshot("f", 3));
    assert_eq!((bench.state.status, bench.total()), (Status::Backoff, Some(3)));
    assert_eq!(bench.reason(), Some(Code::EpochChanged));
}

#[test]
fn a_former_users_snapshot_is_never_shown() {
    for old in kept("e", 10) {
        let mut bench = Bench::at(Status::Live);
        bench.input(Input::Reauthenticate { is_same_user: false });
        bench.accept_with(r#""f-5""#);
        bench.answer_as_it_is(old.clone());
        assert_eq!(bench.total(), None);
        // Asked while it waits, as nothing is shown; and polled.
        bench.lose();
        bench.answer_as_it_is(old.clone());
        assert_eq!(bench.total(), None);
        bench.fail_until_degraded();
        bench.answer_as_it_is(old.clone());
        assert_eq!((bench.total(), bench.source()), (None, Source::None));

        bench.pass_until_socket();
        bench.accept_with(r#""f-5""#);
        bench.answer_with(snapshot("f", 5));
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(5)));
        bench.input(Input::Refresh);
        bench.answer_as_it_is(old);
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(5)));
    }
}

#[test]
fn a_poll_that_a_cache_answers_is_no_poll() {
    let mut bench = Bench::at(Status::Degraded);
    bench.answer(10);
    assert_eq!(bench.source(), Source::Polling);
    let as_of = bench.state.as_of;
    for answer in kept("e", 12) {
        bench.pass_until_request();
        bench.answer_as_it_is(answer);
        assert_eq!((bench.source(), bench.total()), (Source::Stale, Some(10)));
        assert_eq!(bench.state.as_of, as_of);
    }
    bench.pass_until_request();
    bench.answer(12);
    assert_eq!((bench.source(), bench.total()), (Source::Polling, Some(12)));
}

#[test]
fn a_tag_that_a_proxy_rewrites_costs_nothing_and_one_that_it_drops_costs_a_request() {
    for etag in ["\"e-20-gzip\"", "W/\"e-20\"", "e-20"] {
        let mut bench = first_visit();
        bench.answer_as_it_is(Response { etag: Some(etag.to_owned()), ..snapshot("e", 20) });
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)), "{etag}");
    }
    for etag in [None, Some("\"5f3c1a\"".to_owned())] {
        let mut bench = first_visit();
        bench.answer_as_it_is(Response { etag, ..snapshot("e", 20) });
        assert_eq!((bench.state.status, bench.total()), (Status::Syncing, None));
        bench.pass_until_request();
        bench.answer_with(Response { etag: Some("\"e-20\"".to_owned()), ..snapshot("e", 20) });
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)));
    }
}

#[test]
fn a_snapshot_older_than_the_sockets_data_is_not_live() {
    let mut bench = first_visit();
    bench.answer(19);
    assert_eq!((bench.state.status, bench.total()), (Status::Syncing, None));
    assert_eq!(bench.reason(), Some(Code::SnapshotStale));
    bench.pass_until_request();
    bench.answer(20);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(20)));
    // The same of an answer that nothing is newer than the snapshot of before.
    bench.lose();
    bench.pass_until_socket();
    bench.accept_with(r#""e-21""#);
    bench.answer_with(status(304));
    assert_eq!((bench.state.status, bench.source()), (Status::Syncing, Source::Stale));
    bench.pass_until_request();
    bench.answer(21);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(21)));
}

#[test]
fn nothing_newer_than_something_else_is_no_answer() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Refresh);
    let (_, query) = bench.fetch.clone().unwrap();
    let Response { body, .. } = query.answered(status(304));
    for wrong in [body.replace("e-10", "e-11"), body.replace(&query.fresh, "another")] {
        bench.answer_as_it_is(Response { body: wrong, ..status(200) });
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(10)));
        assert!(bench.diagnostics.last().is_some_and(|(_, reason)| matches!(
            reason.code,
            Code::SnapshotMalformed | Code::SnapshotStale
        )));
        bench.pass_until_request();
    }
}
