//! What is kept from one life of a client to the next, and when nothing must be.

use client_sdk::last_view::LastView;
use client_sdk::machine::{EffectId, Input, SAVE_EVERY};
use client_sdk::state::{Code, Source, Status};
use client_sdk::time::{Clock, Millis, Moment};

use crate::bench::{AUTH_FAILED, Bench, refusal, status, summary_event};

/// What a life that went live left behind, 100 ms ago.
pub(super) fn record(revision: u64) -> String {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    bench.now = Moment(bench.now.0 - 100);
    bench.go_live(revision);
    let kept = bench.kept.expect("live, and nothing is kept");
    kept.to_record(&Clock::new(0, bench.now.0))
}

fn recall(bench: &mut Bench, record: Option<String>) {
    let epoch = bench.recall.expect("nothing was looked up");
    bench.input(Input::LastView { epoch, record });
}

fn started_with(record: String) -> Bench {
    let mut bench = Bench::at(Status::Connecting);
    recall(&mut bench, Some(record));
    bench
}

#[test]
fn the_last_view_is_shown_at_once_as_stale_with_its_age() {
    let bench = started_with(record(7));
    let state = &bench.state;
    assert_eq!((state.status, state.source), (Status::Connecting, Source::Stale));
    assert_eq!(
        (bench.total(), state.revision.map(shared_types::Revision::get)),
        (Some(7), Some(7))
    );
    assert_eq!(state.as_of, Some(Moment(bench.now.0 - 100)));
}

#[test]
fn a_first_snapshot_of_any_revision_replaces_the_last_view() {
    for revision in [3, 7, 12] {
        let mut bench = started_with(record(7));
        let before = bench.state.view.clone().unwrap();
        bench.accept();
        assert_eq!(bench.condition(), None, "a record has no authority");
        bench.answer(revision);
        assert_eq!((bench.state.status, bench.state.source), (Status::Live, Source::Live));
        assert_eq!(bench.state.revision.unwrap().get(), revision);
        let after = bench.state.view.as_ref().unwrap();
        assert!(
            std::sync::Arc::ptr_eq(&before.recent_mocs, &after.recent_mocs),
            "equal sections stay"
        );
    }
}

#[test]
fn events_wait_for_the_snapshot_all_the_same() {
    let mut bench = started_with(record(7));
    bench.accept();
    bench.frame(&summary_event(9));
    assert_eq!(bench.total(), Some(7), "nothing is applied to a view without authority");
    bench.answer(8);
    assert_eq!(bench.total(), Some(9));
}

#[test]
fn a_record_that_comes_late_shows_nothing() {
    let mut bench = Bench::at(Status::Connecting);
    bench.go_live(10);
    recall(&mut bench, Some(record(7)));
    assert_eq!((bench.total(), bench.source()), (Some(10), Source::Live));
    bench.lose();
    assert_eq!(bench.total(), Some(10));
}

#[test]
fn records_that_make_no_sense_are_told_and_not_shown() {
    let good = record(7);
    let (head, json) = good.split_once('\n').unwrap();
    let future = Bench::new().now.0 + 1;
    for bad in [
        String::new(),
        "\n".to_owned(),
        json.to_owned(),
        head.to_owned(),
        format!("2 900 7\n{json}"),
        format!("1 900 7 8\n{json}"),
        format!("1 900\n{json}"),
        format!("1 never 7\n{json}"),
        format!("1 900 9007199254740992\n{json}"),
        format!("1 {future} 7\n{json}"),
        "1 900 7\n{}".to_owned(),
        format!("1 900 7\n{}", &json[..json.len() - 1]),
        format!("1 900 7\n{}", json.replace("\"ADDED\":7", "\"ADDED\":-7")),
    ] {
        let mut bench = Bench::at(Status::Connecting);
        recall(&mut bench, Some(bad.clone()));
        assert_eq!((bench.total(), bench.source()), (None, Source::None), "{bad}");
        assert_eq!(bench.told(Code::LastViewFailed), 1, "{bad}");
        bench.go_live(10);
    }
    let mut bench = Bench::at(Status::Connecting);
    recall(&mut bench, None);
    assert_eq!(bench.told(Code::LastViewFailed), 0, "having none is no fault");
}

#[test]
fn a_live_view_is_kept_at_once_and_then_now_and_again() {
    let mut bench = Bench::at(Status::Connecting);
    assert_eq!(bench.kept, None);
    bench.go_live(10);
    let total = |bench: &Bench| bench.kept.as_ref().map(|last| last.view.summary.total_mocs);
    assert_eq!(total(&bench), Some(10));
    for revision in 11..20 {
        bench.frame(&summary_event(revision));
    }
    assert_eq!(total(&bench), Some(10), "not with every event");
    bench.pass(SAVE_EVERY);
    assert_eq!(total(&bench), Some(19));
    let kept = bench.kept.clone().unwrap();
    assert_eq!((kept.revision.get(), Some(kept.as_of)), (19, bench.state.as_of));
}

#[test]
fn what_the_polls_find_is_kept_too() {
    let mut bench = Bench::at(Status::Degraded);
    bench.answer(10);
    assert_eq!(bench.kept.as_ref().map(|last| last.revision.get()), Some(10));
    let before = bench.kept.as_ref().map(|last| last.as_of);
    while bench.fetch.is_none() {
        bench.pass_until_due();
        if bench.socket.is_some() {
            bench.lose();
        }
    }
    bench.answer_with(status(304));
    bench.pass(Millis(1));
    assert!(bench.kept.as_ref().map(|last| last.as_of) > before, "a 304 makes it younger");
}

/// Ways to say that it is no longer certain whose view it is.
const ENDS: [fn(&mut Bench); 5] = [
    |bench| bench.input(Input::Stop),
    |bench| bench.input(Input::Reauthenticate { is_same_user: false }),
    |bench| bench.frame(AUTH_FAILED),
    |bench| {
        bench.input(Input::Refresh);
        bench.answer_with(refusal(401));
    },
    |bench| {
        bench.input(Input::Refresh);
        bench.answer_with(refusal(403));
    },
];

#[test]
fn nothing_is_kept_after_stop_another_session_or_a_refusal() {
    for (number, end) in ENDS.into_iter().enumerate() {
        let mut bench = Bench::at(Status::Live);
        // Something is still waiting to be kept.
        bench.frame(&summary_event(11));
        end(&mut bench);
        assert_eq!(bench.kept, None, "{number}");
        bench.now = bench.now + Millis(SAVE_EVERY.0 * 2);
        bench.input(Input::Tick);
        assert_eq!(bench.kept, None, "{number}: and it stays so");
    }
}

#[test]
fn a_view_that_was_only_remembered_goes_with_a_refusal() {
    let mut bench = started_with(record(7));
    bench.open();
    bench.frame(AUTH_FAILED);
    assert_eq!((bench.total(), bench.source()), (None, Source::None));
    assert_eq!(bench.state.as_of, None);
}

#[test]
fn another_session_is_not_shown_what_was_looked_up_for_the_former() {
    let mut bench = Bench::at(Status::Connecting);
    let asked: EffectId = bench.recall.unwrap();
    bench.input(Input::Reauthenticate { is_same_user: false });
    bench.input(Input::LastView { epoch: asked, record: Some(record(7)) });
    assert_eq!((bench.total(), bench.told(Code::AnswerStale)), (None, 1));
}

#[test]
fn a_record_survives_the_clock_only_as_far_as_its_age_can_be_told() {
    let clock = Clock::new(0, 50_000);
    let kept: LastView = {
        let mut bench = Bench::at(Status::Live);
        bench.kept.take().unwrap()
    };
    let text = kept.to_record(&clock);
    let decoder = client_sdk::decode::json::JsonDecoder;
    let read = |now| LastView::from_record(&decoder, &text, Moment(now));
    assert_eq!(read(60_000).unwrap().as_of, kept.as_of);
    assert_eq!(read(kept.as_of.0 - 1).unwrap_err().code, Code::LastViewFailed, "a clock set back");
}
