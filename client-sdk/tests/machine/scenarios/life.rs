//! The normal life: start, live, revalidate, stop, another user.

use client_sdk::machine::{Input, SETTLE_AFTER};
use client_sdk::state::{Code, Source, Status};
use client_sdk::time::Millis;
use shared_types::Revision;

use super::last_view::record;
use crate::bench::{ACCEPTED, Bench, HANDSHAKE, TOKEN, refusal, snapshot, status, summary_event};

#[test]
fn live_only_after_acceptance_and_snapshot() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    assert_eq!((bench.state.status, bench.source()), (Status::Connecting, Source::None));
    bench.open();
    assert_eq!(bench.state.status, Status::Connecting, "not accepted yet");
    assert_eq!(bench.fetches, 0, "a snapshot before acceptance could miss what comes between");
    bench.frame(ACCEPTED);
    assert_eq!((bench.state.status, bench.source()), (Status::Syncing, Source::None));
    bench.answer(10);
    assert_eq!((bench.state.status, bench.source()), (Status::Live, Source::Live));
    assert_eq!(bench.total(), Some(10));
    assert_eq!(bench.state.revision.map(Revision::get), Some(10));
    assert_eq!(bench.state.as_of, Some(bench.now));
    assert_eq!(bench.reason(), None);
    let lived = [Status::Idle, Status::Connecting, Status::Syncing, Status::Live];
    assert_eq!(bench.statuses, lived);
}

#[test]
fn the_token_goes_in_the_connect_packet_and_nowhere_else() {
    let mut bench = Bench::at(Status::Live);
    assert_eq!(bench.sent, [format!("40/dashboard,{{\"token\":\"{TOKEN}\"}}")]);
    bench.frame("garbage");
    bench.lose();
    for (_, reason) in &bench.diagnostics {
        assert!(!reason.message.contains(TOKEN), "{reason:?}");
    }
    assert!(!format!("{:?}", bench.machine).contains(TOKEN));

    // Also while the machine holds it.
    bench.pass_until_socket();
    let epoch = bench.socket.unwrap();
    let token = Some(client_sdk::machine::Secret::new(TOKEN));
    bench.input(Input::Opened { epoch, token });
    assert!(!format!("{:?}", bench.machine).contains(TOKEN));
}

#[test]
fn without_a_token_the_cookie_must_do() {
    let mut bench = Bench::at(Status::Connecting);
    let epoch = bench.socket.unwrap();
    bench.input(Input::Opened { epoch, token: None });
    bench.frame(HANDSHAKE);
    assert_eq!(bench.sent, ["40/dashboard,"]);
}

#[test]
fn pings_are_answered_in_every_connected_state() {
    let mut bench = Bench::at(Status::Connecting);
    bench.open();
    bench.frame("2");
    bench.frame(ACCEPTED);
    bench.frame("2");
    bench.answer(10);
    bench.frame("2");
    assert_eq!(bench.sent[1..], ["3", "3", "3"]);
}

#[test]
fn a_live_client_revalidates_every_five_minutes_with_the_snapshots_tag() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(&summary_event(12));
    let start = bench.now;
    while bench.fetch.is_none() {
        bench.pass(Millis::seconds(1));
        bench.frame("2");
    }
    let waited = bench.now.since(start).0;
    assert!((270_000..=331_000).contains(&waited), "{waited}");
    assert_eq!(bench.condition(), Some("e-10"), "never a revision learnt from an event");

    bench.answer(12);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(12)));
    assert_eq!(bench.state.as_of, Some(bench.now), "known to be the server's again");
    assert_eq!(bench.told(Code::SnapshotStale), 0);
}

#[test]
fn a_revalidation_shows_what_was_missed() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Visible);
    bench.answer(15);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(15)));
}

#[test]
fn a_failed_revalidation_is_repeated_and_leaves_the_client_live() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Refresh);
    bench.answer_nothing();
    assert_eq!(bench.state.status, Status::Live);
    let start = bench.now;
    while bench.fetch.is_none() {
        bench.pass_until_due();
    }
    assert!(bench.now.since(start) <= Millis::seconds(1));
}

#[test]
fn a_snapshot_that_events_overtook_is_fetched_again() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Refresh);
    bench.frame(&summary_event(12));
    bench.answer(11);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(12)));
    assert_eq!(bench.told(Code::SnapshotStale), 1);
    bench.pass(Millis::seconds(1));
    assert_eq!(bench.condition(), Some("e-10"));
    bench.answer(12);
    assert_eq!(bench.state.status, Status::Live);
}

#[test]
fn stop_forgets_everything_and_start_begins_anew() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Stop);
    assert_eq!((bench.state.status, bench.source()), (Status::Closed, Source::None));
    assert_eq!((bench.state.view.clone(), bench.state.revision), (None, None));
    assert_eq!((bench.socket, bench.machine.next_timeout()), (None, None));
    bench.pass(Millis::seconds(3_600));
    assert_eq!(bench.state.status, Status::Closed);

    bench.input(Input::Start);
    bench.accept();
    assert_eq!(bench.condition(), None);
    bench.answer(11);
    assert_eq!(bench.total(), Some(11));
}

/// What may have become of a session before the next one.
const FORMER: [Status; 4] = [Status::Live, Status::AuthRequired, Status::Backoff, Status::Degraded];

/// A client that shows something, and came to that state afterwards.
fn shown_then(status: Status) -> Bench {
    let mut bench = Bench::at(Status::Live);
    match status {
        Status::AuthRequired => bench.frame(crate::bench::AUTH_FAILED),
        Status::Backoff => bench.lose(),
        Status::Degraded => bench.fail_until_degraded(),
        _ => {}
    }
    assert_eq!(bench.state.status, status);
    bench
}

#[test]
fn another_user_finds_no_trace_of_the_former_one() {
    for former in FORMER {
        let mut bench = shown_then(former);
        bench.input(Input::Reauthenticate { is_same_user: false });
        assert_eq!(bench.state.view, None, "{former:?}");
        assert_eq!(bench.state.status, Status::Connecting);
        assert_eq!(bench.state.attempt, 0);
        bench.accept();
        assert_eq!(bench.condition(), None, "the former user's tag could match by chance");
        bench.answer(1);
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(1)));
    }
}

#[test]
fn the_same_users_view_stays_until_the_new_sessions_snapshot() {
    for former in FORMER {
        let mut bench = shown_then(former);
        let (socket, as_of) = (bench.socket, bench.state.as_of);
        bench.input(Input::Reauthenticate { is_same_user: true });
        assert_eq!((bench.total(), bench.source()), (Some(10), Source::Stale), "{former:?}");
        assert_eq!((bench.state.status, bench.state.attempt), (Status::Connecting, 0));
        assert_eq!(bench.state.as_of, as_of, "its age is told");
        assert_ne!(bench.socket, socket, "the former session's socket is closed");
        bench.accept();
        assert_eq!(bench.condition(), Some("e-10"), "nothing is sent twice");
        bench.answer_with(status(304));
        assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(10)));
    }
}

/// The app was wrong, as its own books were late.
#[test]
fn another_user_who_is_taken_for_the_same_one_loses_the_former_view_with_the_acceptance() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Reauthenticate { is_same_user: true });
    assert_eq!((bench.total(), bench.source()), (Some(10), Source::Stale));
    bench.accept_with("\"f-3\"");
    assert_eq!((bench.total(), bench.state.as_of, &bench.kept), (None, None, &None));
    assert_eq!(bench.condition(), None);
    bench.frame(&summary_event(11));
    bench.answer_with(snapshot("f", 3));
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(11)));

    // From now on it is known that the app may be wrong.
    assert_eq!(bench.kept, None);
    bench.input(Input::Reauthenticate { is_same_user: true });
    assert_eq!(bench.total(), None);
    // But not in the session after that.
    bench.accept_with("\"f-11\"");
    bench.answer_with(snapshot("f", 11));
    assert!(bench.kept.is_some());
    bench.input(Input::Reauthenticate { is_same_user: true });
    assert_eq!(bench.total(), Some(11));
}

#[test]
fn a_database_that_was_put_back_takes_no_view_away_before_there_is_another() {
    let mut bench = Bench::at(Status::Live);
    bench.lose();
    bench.pass_until_socket();
    bench.accept_with("\"f-3\"");
    assert_eq!((bench.total(), bench.source()), (Some(10), Source::Stale));
}

#[test]
fn what_was_carried_over_is_asked_about_without_a_socket_too() {
    let mut bench = Bench::at(Status::Live);
    bench.input(Input::Reauthenticate { is_same_user: true });
    bench.lose();
    assert_eq!(bench.state.status, Status::Backoff);
    assert_eq!(bench.condition(), Some("e-10"));
    bench.pass(Millis(1));
    bench.answer_with(status(304));
    assert_eq!(bench.state.as_of, Some(bench.now), "the server has vouched for it");
    bench.pass_until_socket();
    bench.lose();
    assert!(bench.fetch.is_none(), "once is enough");

    // And a session that is bad again is known at once.
    bench.input(Input::Reauthenticate { is_same_user: true });
    bench.lose();
    bench.answer_with(refusal(401));
    assert_eq!(bench.state.status, Status::AuthRequired);
}

#[test]
fn a_view_that_is_only_remembered_is_carried_over_as_well() {
    let mut bench = Bench::at(Status::Connecting);
    let asked = bench.recall.unwrap();
    bench.input(Input::Reauthenticate { is_same_user: true });
    bench.input(Input::LastView { epoch: asked, record: Some(record(7)) });
    assert_eq!((bench.total(), bench.source()), (Some(7), Source::Stale));
    bench.input(Input::Reauthenticate { is_same_user: true });
    assert_eq!((bench.total(), bench.source()), (Some(7), Source::Stale));
    bench.input(Input::Reauthenticate { is_same_user: false });
    assert_eq!((bench.total(), bench.source()), (None, Source::None));
}

#[test]
fn another_epoch_replaces_everything_and_opens_the_socket_anew() {
    let mut bench = Bench::at(Status::Live);
    let former = bench.socket;
    bench.input(Input::Refresh);
    bench.answer_with(snapshot("f", 3));
    assert_eq!((bench.total(), bench.state.status), (Some(3), Status::Connecting));
    assert_eq!(bench.reason(), None);
    assert_ne!(bench.socket, former);
    bench.accept_with(r#""f-3""#);
    bench.answer_with(snapshot("f", 3));
    assert_eq!(bench.state.status, Status::Live);
}

#[test]
fn failures_are_forgiven_only_after_live_has_held() {
    let mut bench = Bench::at(Status::Connecting);
    bench.lose();
    bench.pass_until_socket();
    bench.lose();
    bench.pass_until_socket();
    bench.go_live(10);
    bench.pass(Millis(SETTLE_AFTER.0 - 1));
    assert_eq!(bench.state.attempt, 2);
    bench.lose();
    assert_eq!(bench.state.attempt, 3, "live had not held");

    bench.pass_until_socket();
    bench.go_live(10);
    bench.pass(SETTLE_AFTER);
    assert_eq!(bench.state.attempt, 0);
    bench.lose();
    assert_eq!(bench.state.attempt, 1);
}
