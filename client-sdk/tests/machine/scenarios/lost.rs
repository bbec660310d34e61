//! Lost connections: how they are noticed, how long is waited, what comes before live.

use client_sdk::backoff;
use client_sdk::machine::{CONNECT_TIMEOUT, FETCH_TIMEOUT, Input, Loss, Response};
use client_sdk::state::{Code, Reason, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{ACCEPTED, Bench, error_event, loss, refusal, snapshot, status, summary_event};

#[test]
fn after_a_loss_the_snapshot_comes_before_live() {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    assert_eq!((bench.state.status, bench.source()), (Status::Backoff, Source::Stale));
    assert_eq!((bench.reason(), bench.total()), (Some(Code::SocketClosed), Some(10)));
    let retry_at = bench.state.next_retry_at.expect("a retry is due");
    let waited = bench.pass_until_socket();
    assert_eq!(bench.now, retry_at);
    assert!(waited >= backoff::FLOOR && waited <= backoff::BASE);

    bench.open();
    bench.frame(ACCEPTED);
    bench.frame(&summary_event(13));
    assert_eq!((bench.state.status, bench.total()), (Status::Syncing, Some(10)));
    assert_eq!(bench.condition(), Some("e-10"));
    bench.answer(12);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(13)));
}

#[test]
fn waits_double_and_stay_within_the_law() {
    for seed in 0..200 {
        let mut bench = Bench::seeded(seed);
        bench.input(Input::Start);
        for failures in 1..backoff::DEGRADED_AFTER {
            bench.lose();
            assert_eq!((bench.state.status, bench.state.attempt), (Status::Backoff, failures));
            let waited = bench.pass_until_socket();
            assert!(waited >= backoff::FLOOR && waited <= backoff::ceiling(failures), "{waited:?}");
        }
    }
}

#[test]
fn a_silent_server_is_noticed_at_the_heartbeats_deadline() {
    let mut bench = Bench::at(Status::Live);
    bench.pass(Millis::seconds(10));
    bench.frame("2");
    bench.pass(Millis(14_999));
    assert_eq!(bench.state.status, Status::Live);
    bench.pass(Millis(1));
    assert_eq!(
        (bench.state.status, bench.reason()),
        (Status::Backoff, Some(Code::HeartbeatMissed))
    );
    assert_eq!(bench.socket, None);
}

/// On a slow line a ping may be behind anything.
#[test]
fn every_message_is_a_sign_of_life() {
    let stale = summary_event(1);
    for frame in ["2", "6", "42/dashboard,[\"news\",{}]", "nonsense", &stale] {
        for state in [Status::Syncing, Status::Live] {
            let mut bench = Bench::at(state);
            bench.pass(Millis(14_999));
            bench.frame(frame);
            bench.pass(Millis(14_999));
            assert_eq!(bench.state.status, state, "{frame}");
            let epoch = bench.socket.unwrap();
            bench.input(Input::BinaryFrame { epoch });
            bench.pass(Millis(14_999));
            assert_eq!(bench.state.status, state);
            bench.pass(Millis(1));
            assert_eq!(bench.state.status, Status::Backoff);
        }
    }
}

#[test]
fn a_silent_server_is_noticed_while_syncing_too() {
    let mut bench = Bench::at(Status::Syncing);
    while bench.state.status == Status::Syncing {
        bench.pass(Millis::seconds(1));
        if bench.fetch.is_some() {
            bench.answer_nothing();
        }
    }
    assert_eq!(bench.reason(), Some(Code::HeartbeatMissed));
}

#[test]
fn a_message_from_before_a_sleep_is_no_sign_of_life() {
    let mut bench = Bench::at(Status::Live);
    let socket = bench.socket.unwrap();
    bench.now = bench.now + Millis::seconds(600);
    bench.input(Input::Frame { epoch: socket, text: "2".to_owned() });
    assert_eq!(
        (bench.state.status, bench.reason()),
        (Status::Backoff, Some(Code::HeartbeatMissed))
    );
    assert!(!bench.sent.contains(&"3".to_owned()));
    assert_eq!(bench.told(Code::AnswerStale), 1);
}

#[test]
fn an_attempt_that_hangs_is_given_up_after_ten_seconds() {
    for stage in 0..3 {
        let mut bench = Bench::at(Status::Connecting);
        if stage > 0 {
            bench.open();
        }
        if stage > 1 {
            bench.frame("2");
        }
        bench.pass(CONNECT_TIMEOUT);
        let outcome = (bench.state.status, bench.reason(), bench.socket);
        assert_eq!(outcome, (Status::Backoff, Some(Code::ConnectTimeout), None));
    }
}

#[test]
fn every_way_of_losing_the_connection_is_retried() {
    for frame in ["41/dashboard,", "1", r#"44/dashboard,{"message":"Invalid namespace"}"#] {
        for state in [Status::Connecting, Status::Syncing, Status::Live] {
            let mut bench = Bench::at(state);
            if state == Status::Connecting {
                bench.open();
            }
            bench.frame(frame);
            assert_eq!(bench.state.status, Status::Backoff, "{frame} while {state:?}");
            assert_eq!(bench.socket, None);
            assert_eq!(bench.fetch.is_some(), state != Status::Live, "asked where none is shown");
            bench.pass_until_socket();
        }
    }
    let mut bench = Bench::at(Status::Connecting);
    let epoch = bench.socket.unwrap();
    bench.input(Input::Opened { epoch, token: None });
    bench.frame("0{\"pingInterval\":0}");
    assert_eq!((bench.state.status, bench.reason()), (Status::Backoff, Some(Code::ProtocolError)));
}

#[test]
fn online_visible_and_refresh_end_a_wait() {
    for input in [Input::Online, Input::Visible, Input::Refresh] {
        let mut bench = Bench::at(Status::Backoff);
        bench.input(input);
        assert_eq!(bench.state.status, Status::Connecting);
    }
}

#[test]
fn offline_is_a_loss_and_online_is_an_attempt() {
    for state in [Status::Live, Status::Syncing] {
        let mut bench = Bench::at(state);
        bench.input(Input::Offline);
        assert_eq!((bench.state.status, bench.reason()), (Status::Backoff, Some(Code::Offline)));
        bench.input(Input::Offline);
        bench.input(Input::Online);
        assert_eq!(bench.state.status, Status::Connecting);
    }
}

#[test]
fn seen_again_a_live_client_makes_sure_of_its_view() {
    for input in [Input::Visible, Input::Online, Input::Refresh] {
        let mut bench = Bench::at(Status::Live);
        bench.input(input.clone());
        bench.input(input);
        assert_eq!((bench.fetches, bench.condition()), (2, Some("e-10")), "one, not two");
        bench.answer_with(crate::bench::status(304));
        assert_eq!(bench.state.status, Status::Live);
    }
}

#[test]
fn a_draining_server_says_when_to_come_back() {
    let mut bench = Bench::at(Status::Live);
    bench.pass(Millis::seconds(6));
    bench.frame(&error_event("SERVER_DRAINING", Some(2_750)));
    assert_eq!((bench.state.status, bench.reason()), (Status::Backoff, Some(Code::ServerDraining)));
    assert_eq!(bench.state.attempt, 0, "planned, hence no failure");
    assert_eq!(bench.socket, None);
    bench.input(Input::Visible);
    assert_eq!(bench.state.status, Status::Backoff, "the server's retry_after stands");
    assert_eq!(bench.pass_until_socket(), Millis(2_750));
    bench.go_live(11);
}

#[test]
fn a_server_that_drains_for_ever_counts_as_failing() {
    let mut bench = Bench::at(Status::Connecting);
    while bench.state.status != Status::Degraded {
        bench.pass_until_socket();
        bench.accept();
        bench.frame(&error_event("SERVER_DRAINING", Some(0)));
    }
    assert_eq!(bench.state.attempt, backoff::DEGRADED_AFTER);
}

#[test]
fn a_handshake_may_answer_with_retry_after() {
    let mut bench = Bench::at(Status::Connecting);
    let epoch = bench.socket.unwrap();
    bench.input(Input::Closed { epoch, loss: loss(Some(Millis::seconds(20))) });
    bench.input(Input::Online);
    assert_eq!(bench.pass_until_socket(), Millis::seconds(20));
}

#[test]
fn answers_of_an_earlier_socket_are_dropped() {
    let mut bench = Bench::at(Status::Live);
    let former = bench.socket.unwrap();
    bench.lose();
    bench.pass_until_socket();
    bench.accept();
    let before = bench.diagnostics.len();
    bench.input(Input::Frame { epoch: former, text: summary_event(99) });
    bench.input(Input::Frame { epoch: former, text: "1".to_owned() });
    bench.input(Input::Opened { epoch: former, token: None });
    bench.input(Input::BinaryFrame { epoch: former });
    bench.input(Input::Closed { epoch: former, loss: loss(None) });
    assert_eq!(bench.told(Code::AnswerStale), 5);
    assert_eq!(bench.diagnostics.len(), before + 5);
    bench.answer(11);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(11)));
}

#[test]
fn where_nothing_is_shown_rest_is_asked_while_waiting() {
    let mut bench = Bench::at(Status::Connecting);
    bench.lose();
    assert_eq!((bench.state.status, bench.source()), (Status::Backoff, Source::None));
    bench.answer(10);
    assert_eq!(
        (bench.state.status, bench.source(), bench.total()),
        (Status::Backoff, Source::Stale, Some(10))
    );
    assert_eq!(bench.reason(), Some(Code::SocketClosed));
    bench.pass_until_socket();
    bench.lose();
    assert_eq!(bench.fetch, None, "once there is something to show, it is left at that");
    bench.pass_until_socket();
    bench.accept();
    assert_eq!(bench.condition(), Some("e-10"));
    bench.answer_with(status(304));
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(10)));
}

#[test]
fn what_is_asked_while_waiting_is_given_up_for_the_attempt() {
    let mut bench = Bench::at(Status::Connecting);
    bench.lose();
    let (former, _) = bench.fetch.clone().unwrap();
    bench.pass_until_socket();
    assert_eq!((bench.state.status, bench.fetch.clone()), (Status::Connecting, None));
    bench.input(Input::Snapshot { epoch: former, result: Ok(snapshot("e", 9)) });
    assert_eq!((bench.total(), bench.told(Code::AnswerStale)), (None, 1));
}

#[test]
fn a_refusal_while_waiting_is_final_and_a_wish_is_kept() {
    for (code, reason) in [(401, Code::Unauthorized), (403, Code::Forbidden)] {
        let mut bench = Bench::at(Status::Connecting);
        bench.lose();
        bench.answer_with(refusal(code));
        assert_eq!((bench.state.status, bench.reason()), (Status::AuthRequired, Some(reason)));
        bench.pass(Millis::seconds(600));
        assert_eq!((bench.sockets, bench.fetches), (1, 1));
    }
    let mut bench = Bench::at(Status::Connecting);
    bench.lose();
    bench.answer_with(Response { retry_after: Some(Millis::seconds(40)), ..status(503) });
    bench.input(Input::Visible);
    assert_eq!(bench.pass_until_socket(), Millis::seconds(40));
}

#[test]
fn a_request_that_hangs_while_waiting_does_not_hold_the_attempt_back() {
    let mut bench = Bench::at(Status::Connecting);
    let reason = Reason::new(Code::SocketFailed, "busy");
    let loss = Loss { reason, retry_after: Some(Millis::seconds(60)) };
    bench.input(Input::Closed { epoch: bench.socket.unwrap(), loss });
    bench.pass(FETCH_TIMEOUT);
    assert_eq!((bench.fetch.clone(), bench.told(Code::SnapshotTimeout)), (None, 1));
    assert_eq!(bench.pass_until_socket(), Millis::seconds(50));
}
