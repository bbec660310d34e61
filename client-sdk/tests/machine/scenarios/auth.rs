//! Refused sessions and expired tokens (D-WS-4, D-RES-2).

use client_sdk::backoff;
use client_sdk::machine::{FetchFailure, Input, Loss, Response};
use client_sdk::state::{Code, Level, Reason, Source, Status};
use client_sdk::time::Millis;

use crate::bench::{
    AUTH_FAILED, Bench, error_body, error_event, kept_refusals, refusal, status, strangers_bodies,
};

/// Nothing but the app gets the client out of here.
fn assert_stays_refused(bench: &mut Bench) {
    assert_eq!(bench.state.status, Status::AuthRequired);
    assert_eq!((bench.socket, bench.fetch.clone()), (None, None));
    let (sockets, fetches) = (bench.sockets, bench.fetches);
    for input in [Input::Online, Input::Offline, Input::Visible, Input::Refresh, Input::Start] {
        bench.input(input);
        bench.pass(Millis::seconds(3_600));
    }
    assert_eq!(bench.state.status, Status::AuthRequired);
    assert_eq!((bench.sockets, bench.fetches), (sockets, fetches), "no retry and no poll");
    bench.input(Input::Reauthenticate { is_same_user: false });
    bench.go_live(20);
}

#[test]
fn auth_failed_is_not_retried() {
    for refusal in [
        AUTH_FAILED,
        r#"44/dashboard,{"message":"AUTH_FAILED","data":{"code":"AUTH_FAILED"}}"#,
        r#"44/dashboard,{"message":"Unauthorized","data":{"code":"AUTH_FAILED"}}"#,
    ] {
        let mut bench = Bench::at(Status::Connecting);
        bench.open();
        bench.frame(refusal);
        assert_eq!(bench.reason(), Some(Code::AuthFailed));
        assert_eq!(bench.state.next_retry_at, None);
        assert_stays_refused(&mut bench);
    }
}

#[test]
fn auth_failed_after_hours_of_life_is_not_retried_either() {
    for state in [Status::Live, Status::Syncing] {
        let mut bench = Bench::at(state);
        bench.frame(AUTH_FAILED);
        assert_stays_refused(&mut bench);
    }
}

#[test]
fn auth_failed_while_degraded_ends_the_polling() {
    let mut bench = Bench::at(Status::Degraded);
    bench.answer(10);
    bench.pass_until_socket();
    bench.open();
    bench.frame(AUTH_FAILED);
    assert_stays_refused(&mut bench);
}

#[test]
fn rest_401_is_a_refused_session_too() {
    for state in [Status::Syncing, Status::Live, Status::Degraded] {
        let mut bench = Bench::at(state);
        if bench.fetch.is_none() {
            bench.input(Input::Refresh);
        }
        bench.answer_with(refusal(401));
        assert_eq!(bench.reason(), Some(Code::Unauthorized));
        assert_stays_refused(&mut bench);
    }
}

#[test]
fn the_view_stays_for_the_prompt_but_is_called_stale() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(AUTH_FAILED);
    assert_eq!((bench.total(), bench.source()), (Some(10), Source::Stale));
}

#[test]
fn rest_403_is_terminal_with_a_separate_code_and_shows_nothing() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Refresh);
    bench.answer_with(refusal(403));
    assert_eq!((bench.reason(), bench.total()), (Some(Code::Forbidden), None));
    assert_stays_refused(&mut bench);
}

/// Every answer of a 401 or a 403 that is not the server's refusal of this request.
fn pages() -> impl Iterator<Item = Response> {
    let pages = [401, 403].into_iter().flat_map(|code| {
        strangers_bodies().into_iter().map(move |body| Response { body, ..status(code) })
    });
    // The server's own bodies under a status that they do not have there.
    let swapped = [
        Response { body: error_body("FORBIDDEN"), ..status(401) },
        Response { body: error_body("UNAUTHORIZED"), ..status(403) },
    ];
    pages.chain(swapped).chain(kept_refusals())
}

#[test]
fn a_firewalls_page_is_a_failure_of_the_network_and_the_view_stays() {
    for page in pages() {
        for state in [Status::Syncing, Status::Live, Status::Degraded] {
            let what = format!("{state:?}: {page:?}");
            let mut bench = Bench::at(Status::Live);
            match state {
                Status::Syncing => {
                    bench.lose();
                    bench.pass_until_socket();
                    bench.accept();
                }
                Status::Degraded => bench.fail_until_degraded(),
                _ => bench.input(Input::Refresh),
            }
            bench.pass_until_request();
            let told = bench.diagnostics.len();
            if kept_refusals().contains(&page) {
                bench.answer_as_it_is(page.clone());
            } else {
                // With the request's nonce, where there is room for one.
                bench.answer_with(page.clone());
            }
            assert_eq!((bench.state.status, bench.total()), (state, Some(10)), "{what}");
            assert!(bench.kept.is_some(), "the last view is kept: {what}");
            let expected = format!(
                "something between the client and the server answered HTTP {} with a page that is \
                 not the server's answer to this request",
                page.status
            );
            let (level, reason) = &bench.diagnostics[told];
            assert_eq!((*level, reason.code), (Level::Warn, Code::SnapshotFailed), "{what}");
            assert_eq!(reason.message, expected, "{what}");

            let wait = bench.pass_until_request();
            assert!(wait >= backoff::FLOOR, "asked again after {wait:?}: {what}");
            bench.answer_with(status(304));
            assert_eq!(bench.total(), Some(10), "{what}");
        }
    }
}

#[test]
fn firewalls_pages_are_asked_again_ever_later_and_at_last_the_view_comes() {
    let mut bench = Bench::at(Status::Syncing);
    for failures in 1..=12 {
        bench.answer_with(Response { body: "<html>".to_owned(), ..status(403) });
        assert_eq!((bench.state.status, bench.state.attempt), (Status::Syncing, failures));
        assert_eq!(bench.reason(), Some(Code::SnapshotFailed));
        let wait = bench.pass_until_request();
        assert!(wait >= backoff::FLOOR && wait <= backoff::ceiling(failures), "{wait:?}");
    }
    bench.answer(11);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(11)));
    assert_eq!((bench.sockets, bench.told(Code::Unauthorized)), (1, 0));
}

#[test]
fn a_page_may_say_when_to_ask_again() {
    let mut bench = Bench::at(Status::Syncing);
    bench.answer_with(Response { retry_after: Some(Millis::seconds(44)), ..status(403) });
    assert_eq!(bench.pass_until_request(), Millis::seconds(44));
}

#[test]
fn a_page_while_waiting_to_connect_does_not_hold_the_attempt_back() {
    let mut bench = Bench::at(Status::Connecting);
    bench.lose();
    bench.answer_with(Response { body: "<html>".to_owned(), ..status(401) });
    assert_eq!((bench.state.status, bench.told(Code::SnapshotFailed)), (Status::Backoff, 1));
    bench.pass_until_socket();
    bench.go_live(11);
}

#[test]
fn an_expired_token_is_answered_with_a_fresh_one_at_once() {
    for state in [Status::Live, Status::Syncing] {
        let mut bench = Bench::at(state);
        let former = bench.socket;
        bench.frame(&error_event("TOKEN_EXPIRED", None));
        assert_eq!(bench.state.status, Status::Connecting);
        assert_eq!(bench.state.attempt, 0);
        assert!(bench.socket.is_some() && bench.socket != former, "the socket is opened anew");
        bench.go_live(12);
    }
}

#[test]
fn a_fresh_token_that_is_expired_as_well_waits_by_the_law() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(&error_event("TOKEN_EXPIRED", None));
    bench.go_live(12);
    bench.frame(&error_event("TOKEN_EXPIRED", None));
    assert_eq!((bench.state.status, bench.reason()), (Status::Backoff, Some(Code::TokenExpired)));
    assert_eq!(bench.state.attempt, 1);

    bench.pass_until_socket();
    bench.go_live(13);
    bench.pass(Millis::seconds(6));
    bench.frame(&error_event("TOKEN_EXPIRED", None));
    assert_eq!(bench.state.status, Status::Connecting, "live has held: at once again");
}

#[test]
fn an_expired_token_while_degraded_does_not_take_the_banner_away() {
    let mut bench = Bench::at(Status::Degraded);
    bench.answer(10);
    bench.pass_until_socket();
    bench.accept();
    bench.frame(&error_event("TOKEN_EXPIRED", None));
    assert_eq!(bench.state.status, Status::Degraded);
    assert!(bench.socket.is_some(), "tried at once all the same");
    assert!(!bench.statuses.contains(&Status::Live));
}

#[test]
fn an_app_that_has_no_token_now_is_asked_again_later() {
    let mut bench = Bench::at(Status::Connecting);
    let epoch = bench.socket.unwrap();
    let reason = Reason::new(Code::TokenUnavailable, "the app gave no token");
    bench.input(Input::Closed { epoch, loss: Loss { reason, retry_after: None } });
    assert_eq!(
        (bench.state.status, bench.reason()),
        (Status::Backoff, Some(Code::TokenUnavailable))
    );

    bench.pass_until_socket();
    bench.accept();
    let (epoch, _) = bench.fetch.clone().unwrap();
    bench.input(Input::Snapshot { epoch, result: Err(FetchFailure::TokenUnavailable) });
    assert_eq!(
        (bench.state.status, bench.reason()),
        (Status::Syncing, Some(Code::TokenUnavailable))
    );
}
