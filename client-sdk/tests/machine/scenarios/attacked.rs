//! What a server that is in trouble, or means ill, might bring about.

use client_sdk::machine::Input;
use client_sdk::state::{Code, Status};
use client_sdk::time::Millis;

use crate::bench::{ACCEPTED, Bench, event, status, summary, summary_event};

#[test]
fn a_flood_of_skipped_messages_does_not_hurry_the_comparison() {
    let mut bench = Bench::at(Status::Live);
    let before = bench.fetches;
    // A minute of ten unreadable messages a second.
    for tenth in 0..600 {
        bench.frame("42/dashboard,[\"dashboard:summaryUpdated\",{}]");
        bench.pass(Millis(100));
        if bench.fetch.is_some() {
            bench.answer(10);
        }
        if tenth % 100 == 0 {
            bench.frame("2");
        }
    }
    let asked = bench.fetches - before;
    // The wait is up to 8 s: every 4 s on average, not whenever the luckiest of 80 draws says.
    assert!((5..=25).contains(&asked), "{asked} requests in a minute");
}

#[test]
fn a_304_that_events_have_overtaken_does_not_vouch_for_the_view() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(&summary_event(11));
    let as_of = bench.state.as_of;
    bench.pass(Millis::seconds(1));
    bench.input(Input::Refresh);
    // A replica that lags: the server's data are at 11 at least.
    bench.answer_with(status(304));
    assert_eq!(bench.state.as_of, as_of, "proves nothing of what the replica has not seen");
    let mut waited = Millis(0);
    while bench.fetch.is_none() {
        let span = bench.pass_until_due();
        waited = Millis(waited.0 + span.0);
    }
    assert!(waited <= Millis::seconds(8), "asked again only after {waited:?}");
    bench.answer(12);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, Some(12)));
}

#[test]
fn an_event_of_the_last_revision_is_outvoted_by_304s_too() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(&event("dashboard:summaryUpdated", (1 << 53) - 1, &summary(99)));
    assert_eq!(bench.total(), Some(99));
    let mut minutes = 0;
    while bench.total() != Some(10) && minutes < 30 {
        for _ in 0..6 {
            bench.pass(Millis::seconds(10));
            if bench.socket.is_some() && bench.state.status != Status::Live {
                bench.accept();
            }
            if bench.socket.is_some() {
                bench.frame("2");
            }
            match bench.fetch.clone() {
                Some((_, query)) if query.have.is_some() => bench.answer_with(status(304)),
                Some(_) => bench.answer(10),
                None => {}
            }
        }
        minutes += 1;
    }
    assert_eq!(bench.total(), Some(10), "after {minutes} minutes");
    assert!(minutes <= 12, "{minutes}");
}

#[test]
fn acceptance_is_a_sign_of_life() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    let epoch = bench.socket.unwrap();
    bench.input(Input::Opened { epoch, token: None });
    bench.frame(r#"0{"sid":"s","pingInterval":100,"pingTimeout":100}"#);
    bench.pass(Millis(300));
    bench.frame(ACCEPTED);
    assert_eq!((bench.state.status, bench.told(Code::HeartbeatMissed)), (Status::Syncing, 0));
    bench.pass(Millis(200));
    assert_eq!(bench.state.status, Status::Backoff);
}
