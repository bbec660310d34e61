//! Events: buffered, duplicated, reordered, malformed, unknown (D-RES-5, D-WS-8).

use std::sync::Arc;

use client_sdk::machine::{BUFFERED_EVENTS, EXCERPT_CHARS, Input};
use client_sdk::state::{Code, Level, Status};
use client_sdk::time::Millis;
use serde_json::json;
use shared_types::Revision;

use crate::bench::{Bench, added_event, error_event, event, moc, summary, summary_event};

#[test]
fn events_update_their_section_and_no_other() {
    let mut bench = Bench::at(Status::Live);
    let before = bench.state.view.clone().unwrap();
    bench.pass(Millis(50));
    bench.frame(&summary_event(11));
    let after = bench.state.view.clone().unwrap();
    assert_eq!(after.summary.total_mocs, 11);
    assert_eq!(bench.state.as_of, Some(bench.now));
    assert!(Arc::ptr_eq(&before.recent_mocs, &after.recent_mocs));
    assert!(Arc::ptr_eq(&before.theme_breakdown, &after.theme_breakdown));
    assert!(Arc::ptr_eq(&before.partial_parts_mocs, &after.partial_parts_mocs));
}

#[test]
fn every_type_of_event_is_shown() {
    let mut bench = Bench::at(Status::Live);
    let partial = json!([{
        "id": "00000000-0000-7000-8000-000000000001", "title": "A castle", "theme": "Castle",
        "buildStatus": "IN_PROGRESS", "coveragePercentage": 42,
        "lastUpdatedAt": "2026-11-23T09:30:00Z",
    }]);
    let themes = json!([{ "theme": "Castle", "mocCount": 1, "setCount": 2 }]);
    bench.frame(&summary_event(11));
    bench.frame(&event("dashboard:recentMocsUpdated", 11, &json!([moc(1)])));
    bench.frame(&event("dashboard:partialPartsUpdated", 11, &partial));
    bench.frame(&event("dashboard:themeBreakdownUpdated", 11, &themes));
    bench.frame(&added_event(12, 2));
    let view = bench.state.view.clone().unwrap();
    assert_eq!(view.summary.total_mocs, 11);
    assert_eq!(bench.recent_titles(), ["MOC 2", "MOC 1"]);
    assert_eq!(view.partial_parts_mocs[0].coverage_percentage.get(), 42);
    assert_eq!(view.theme_breakdown[0].set_count, 2);
}

#[test]
fn buffered_events_are_applied_in_order_after_the_snapshot() {
    let mut bench = Bench::at(Status::Syncing);
    bench.frame(&added_event(11, 1));
    bench.frame(&added_event(12, 2));
    bench.frame(&summary_event(12));
    bench.frame(&summary_event(9));
    bench.frame(&event("dashboard:recentMocsUpdated", 10, &json!([])));
    assert_eq!(bench.state.view, None);
    bench.answer(10);
    assert_eq!(bench.state.status, Status::Live);
    assert_eq!(bench.recent_titles(), ["MOC 2", "MOC 1"]);
    assert_eq!(bench.total(), Some(12), "what the snapshot held already was skipped");
    assert_eq!(bench.told(Code::EventStale), 2);
}

#[test]
fn duplicates_and_latecomers_change_nothing() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(&added_event(11, 1));
    bench.frame(&added_event(11, 2));
    bench.frame(&summary_event(12));
    let before = bench.state.clone();
    bench.frame(&added_event(11, 1));
    bench.frame(&added_event(10, 3));
    bench.frame(&summary_event(11));
    bench.frame(&event("dashboard:summaryUpdated", 12, &summary(99)));
    assert_eq!(bench.state, before);
    assert_eq!(bench.told(Code::EventStale), 4);
}

#[test]
fn an_event_that_overtook_another_does_not_hide_it() {
    let mut bench = Bench::at(Status::Live);
    bench.frame(&summary_event(13));
    bench.frame(&added_event(12, 7));
    assert_eq!(bench.recent_titles(), ["MOC 7"]);
    assert_eq!(bench.state.revision.map(Revision::get), Some(13));
}

#[test]
fn too_many_buffered_events_are_made_up_by_a_newer_snapshot() {
    let mut bench = Bench::at(Status::Syncing);
    let last = 100 + BUFFERED_EVENTS as u64;
    for revision in 100..=last {
        bench.frame(&added_event(revision, revision));
    }
    assert_eq!(bench.told(Code::EventsOverflowed), 1);
    bench.answer(last - 1);
    assert_eq!(
        (bench.state.status, bench.reason()),
        (Status::Syncing, Some(Code::EventsOverflowed))
    );
    bench.frame(&summary_event(last + 5));
    while bench.fetch.is_none() {
        bench.pass_until_due();
    }
    bench.answer(last);
    assert_eq!((bench.state.status, bench.total()), (Status::Live, u32::try_from(last + 5).ok()));
}

#[test]
fn what_a_skipped_event_may_have_held_is_fetched_soon() {
    for state in [Status::Live, Status::Syncing] {
        let mut bench = Bench::at(state);
        bench.frame(r#"42/dashboard,["dashboard:new",{"type":"dashboard:new"}]"#);
        bench.frame(r#"42/dashboard,["dashboard:summaryUpdated",{"revision":99}]"#);
        if state == Status::Syncing {
            bench.answer(10);
        }
        assert_eq!((bench.state.status, bench.fetch.is_none()), (Status::Live, true));
        bench.pass(Millis::seconds(8));
        assert!(bench.fetch.is_some(), "the view is compared with the server's");
        bench.answer(99);
        assert_eq!(bench.total(), Some(99));
        bench.pass(Millis::seconds(8));
        assert_eq!(bench.fetch, None, "once");
    }
}

#[test]
fn an_addition_that_newer_ones_overtook_is_fetched_soon() {
    for state in [Status::Live, Status::Syncing] {
        let mut bench = Bench::at(state);
        bench.frame(&added_event(13, 3));
        bench.frame(&added_event(12, 2));
        if state == Status::Syncing {
            bench.answer(10);
        }
        // A duplicate is no reason to ask.
        bench.frame(&added_event(13, 3));
        assert_eq!((bench.state.status, bench.fetch.is_none()), (Status::Live, true));
        bench.pass(Millis::seconds(8));
        assert!(bench.fetch.is_some(), "its MOC may be nowhere else");
        bench.answer(13);
        bench.frame(&added_event(13, 3));
        bench.pass(Millis::seconds(8));
        assert_eq!(bench.fetch, None, "once");
    }
}

#[test]
fn malformed_and_unknown_messages_are_logged_and_skipped() {
    let bad = [
        ("", Code::FrameMalformed),
        ("garbage", Code::FrameMalformed),
        ("42/dashboard,[", Code::EventMalformed),
        ("42/dashboard,[]", Code::EventMalformed),
        ("42/dashboard,[{}]", Code::EventMalformed),
        (r#"42/dashboard,["dashboard:summaryUpdated"]"#, Code::EventMalformed),
        (r#"42/dashboard,["dashboard:summaryUpdated",{"revision":99}]"#, Code::EventMalformed),
        (r#"42/dashboard,["dashboard:new",{"type":"dashboard:new"}]"#, Code::EventUnknown),
        (r#"42/elsewhere,["dashboard:summaryUpdated",{}]"#, Code::FrameMalformed),
        (r#"44/dashboard,{"message":7}"#, Code::FrameMalformed),
        ("451-/dashboard,[]", Code::FrameMalformed),
        ("5", Code::FrameMalformed),
    ];
    for state in [Status::Live, Status::Syncing] {
        let mut bench = Bench::at(state);
        let before = (bench.socket, bench.state.clone());
        for (text, code) in bad {
            let told = bench.diagnostics.len();
            bench.frame(text);
            let (level, reason) = bench.diagnostics.last().unwrap();
            assert_eq!((*level, reason.code), (Level::Warn, code), "{text}");
            assert_eq!(bench.diagnostics.len(), told + 1, "{text}");
        }
        let deep = format!("42/dashboard,{}", "[".repeat(100_000));
        bench.frame(&deep);
        let epoch = bench.socket.unwrap();
        bench.input(Input::BinaryFrame { epoch });
        assert_eq!((bench.socket, bench.state.clone()), before, "the connection stays");
        let longest = bench.diagnostics.iter().map(|(_, reason)| reason.message.chars().count());
        assert!(longest.max().unwrap() < EXCERPT_CHARS * 2, "a bounded part of each is logged");
    }
}

#[test]
fn messages_out_of_turn_mean_nothing() {
    let mut bench = Bench::at(Status::Connecting);
    bench.open();
    bench.frame(&summary_event(11));
    bench.frame(&error_event("TOKEN_EXPIRED", None));
    bench.frame(crate::bench::HANDSHAKE);
    assert_eq!(bench.state.status, Status::Connecting);
    bench.frame(crate::bench::ACCEPTED);
    bench.answer(10);
    let before = bench.state.clone();
    bench.frame(crate::bench::ACCEPTED);
    bench.frame(crate::bench::HANDSHAKE);
    bench.frame("6");
    assert_eq!((bench.state.clone(), bench.sent.len()), (before, 1));
    assert_eq!(bench.told(Code::InputIgnored), 5);
}
