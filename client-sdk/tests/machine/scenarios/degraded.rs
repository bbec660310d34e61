//! Degraded: polling while the socket fails, and the way back (D-RES-4).

use client_sdk::backoff;
use client_sdk::machine::Input;
use client_sdk::state::{Code, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{Bench, HANDSHAKE, PING_EVERY, snapshot, status};

fn degraded_after_life() -> Bench {
    let mut bench = Bench::at(Status::Live);
    bench.fail_until_degraded();
    bench
}

/// Answers polls and loses sockets for the span; returns when polls were sent.
fn polls(bench: &mut Bench, span: Millis, answer: impl Fn(&mut Bench)) -> Vec<u64> {
    let end = bench.now + span;
    let mut at = Vec::new();
    while bench.now < end {
        if bench.fetch.is_some() {
            at.push(bench.now.0);
            answer(bench);
        }
        if bench.socket.is_some() {
            bench.lose();
        }
        assert_eq!(bench.state.status, Status::Degraded);
        bench.pass_until_due();
    }
    at
}

#[test]
fn five_failures_lead_to_polling_every_thirty_seconds() {
    let mut bench = degraded_after_life();
    assert_eq!((bench.state.attempt, bench.reason()), (5, Some(Code::SocketClosed)));
    assert_eq!(bench.source(), Source::Stale, "nothing was polled yet");
    let at = polls(&mut bench, Millis::seconds(600), |bench| {
        assert_eq!(bench.condition(), Some("e-10"));
        bench.answer_with(status(304));
        assert_eq!((bench.source(), bench.state.as_of), (Source::Polling, Some(bench.now)));
    });
    assert!(at.len() >= 18, "{at:?}");
    for pair in at.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((27_000..=33_000).contains(&gap), "{gap}");
    }
}

#[test]
fn a_client_that_never_had_a_view_gets_one_by_polling() {
    let mut bench = Bench::at(Status::Degraded);
    assert_eq!((bench.condition(), bench.source()), (None, Source::None));
    bench.answer(7);
    assert_eq!((bench.total(), bench.source()), (Some(7), Source::Polling));
}

#[test]
fn the_socket_is_tried_on_slowly_meanwhile() {
    let mut bench = Bench::at(Status::Degraded);
    let sockets = bench.sockets;
    let start = bench.now;
    polls(&mut bench, Millis::seconds(1_200), |bench| bench.answer(10));
    let tries = bench.sockets - sockets;
    let span = bench.now.since(start).0 / 1_000;
    assert!((span / 30..span / 8).contains(&(tries as u64)), "{tries} in {span} s");
}

#[test]
fn an_accepted_socket_ends_the_polling_and_live_ends_the_banner() {
    let mut bench = degraded_after_life();
    while bench.fetch.is_none() || bench.socket.is_none() {
        bench.pass_until_due();
        if bench.socket.is_some() && bench.fetch.is_none() {
            bench.lose();
        }
    }
    let poll = bench.fetch.clone();
    bench.statuses.clear();
    bench.accept();
    assert_ne!(bench.fetch, poll, "the poll made way for the snapshot");
    assert_eq!(bench.state.status, Status::Degraded, "connected, and not yet live");
    bench.answer(12);
    assert_eq!((bench.state.status, bench.source()), (Status::Live, Source::Live));
    assert_eq!(bench.statuses, [Status::Live], "nothing in between");

    let fetches = bench.fetches;
    for _ in 0..8 {
        bench.pass(PING_EVERY);
        bench.frame("2");
    }
    assert_eq!(bench.fetches, fetches, "no more polls");
}

#[test]
fn a_socket_that_comes_and_goes_does_not_make_it_poll_more() {
    let mut bench = degraded_after_life();
    for _ in 0..20 {
        bench.pass_until_socket();
        bench.accept();
        assert!(bench.fetch.is_some(), "an accepted socket asks for its snapshot");
        bench.lose();
        assert_eq!((bench.state.status, &bench.fetch), (Status::Degraded, &None));
        let asked_at = bench.now;
        while bench.fetch.is_none() && bench.now.since(asked_at) < Millis::seconds(26) {
            if bench.socket.is_some() {
                bench.lose();
            }
            bench.pass_until_due();
        }
        let waited = bench.now.since(asked_at);
        assert!(bench.fetch.is_none() || waited >= Millis::seconds(27), "polled after {waited:?}");
        if bench.fetch.is_some() {
            bench.answer(11);
        }
        if bench.socket.is_some() {
            bench.lose();
        }
    }
}

#[test]
fn polls_that_fail_say_so_and_go_on() {
    let mut bench = degraded_after_life();
    while bench.fetch.is_none() {
        bench.pass_until_due();
        if bench.socket.is_some() {
            bench.lose();
        }
    }
    bench.answer(11);
    assert_eq!(bench.source(), Source::Polling);
    let shown_at = bench.state.as_of;
    let at = polls(&mut bench, Millis::seconds(120), Bench::answer_nothing);
    assert!(at.len() >= 3);
    assert_eq!((bench.source(), bench.state.as_of), (Source::Stale, shown_at), "its age is told");
    polls(&mut bench, Millis::seconds(40), |bench| bench.answer(12));
    assert_eq!((bench.source(), bench.total()), (Source::Polling, Some(12)));
}

#[test]
fn a_poll_that_hangs_is_given_up() {
    let mut bench = Bench::at(Status::Degraded);
    let (epoch, _) = bench.fetch.clone().unwrap();
    let end = bench.now + Millis::seconds(10);
    while bench.now < end {
        if bench.socket.is_some() {
            bench.lose();
        }
        let rest = end.since(bench.now);
        let step = bench.machine.next_timeout().unwrap().since(bench.now).min(rest);
        bench.pass(step);
    }
    assert_eq!(bench.fetch, None);
    assert_eq!(bench.told(Code::SnapshotTimeout), 1);
    bench.input(Input::Snapshot { epoch, result: Ok(snapshot("e", 99)) });
    assert_eq!(bench.total(), None, "too late");
}

#[test]
fn a_busy_server_is_polled_when_it_wishes() {
    let mut bench = Bench::at(Status::Degraded);
    let busy =
        client_sdk::machine::Response { retry_after: Some(Millis::seconds(90)), ..status(503) };
    bench.answer_with(busy);
    let start = bench.now;
    bench.input(Input::Refresh);
    while bench.fetch.is_none() {
        if bench.socket.is_some() {
            bench.lose();
        }
        bench.pass_until_due();
    }
    assert_eq!(bench.now.since(start), Millis::seconds(90));
}

#[test]
fn refresh_polls_and_tries_at_once() {
    let mut bench = Bench::at(Status::Degraded);
    bench.answer(10);
    let (sockets, fetches) = (bench.sockets, bench.fetches);
    bench.input(Input::Refresh);
    assert_eq!((bench.sockets, bench.fetches), (sockets + 1, fetches + 1));
    bench.input(Input::Refresh);
    assert_eq!((bench.sockets, bench.fetches), (sockets + 1, fetches + 1), "both under way");
}

#[test]
fn a_loss_before_live_has_held_is_degraded_again() {
    let mut bench = degraded_after_life();
    bench.pass_until_socket();
    bench.go_live(11);
    bench.pass(Millis::seconds(4));
    bench.lose();
    assert_eq!((bench.state.status, bench.state.attempt), (Status::Degraded, 6));
    assert_eq!(bench.source(), Source::Stale);

    bench.pass_until_socket();
    bench.go_live(11);
    bench.pass(Millis::seconds(5));
    bench.lose();
    assert_eq!((bench.state.status, bench.state.attempt), (Status::Backoff, 1));
}

#[test]
fn a_slow_attempt_that_hangs_is_one_more_failure() {
    let mut bench = Bench::at(Status::Degraded);
    bench.answer(10);
    bench.pass_until_socket();
    let epoch = bench.socket.unwrap();
    bench.input(Input::Opened { epoch, token: None });
    bench.frame(HANDSHAKE);
    while bench.socket == Some(epoch) {
        bench.pass_until_due();
        if bench.fetch.is_some() {
            bench.answer(10);
        }
    }
    assert_eq!((bench.state.attempt, bench.reason()), (6, Some(Code::ConnectTimeout)));
    assert!(bench.state.next_retry_at.unwrap().since(bench.now) <= backoff::CAP);
}
