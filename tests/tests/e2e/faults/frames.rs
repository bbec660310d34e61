//! Messages that come twice, in the wrong order, in part, or that no server would send.

use std::time::Duration;

use client_sdk::state::{Code, DashboardState, Source, Status};
use e2e_tests::proxy::Traffic;

use super::setting::Setting;
use crate::virtual_time::VirtualTime;

#[tokio::test]
async fn messages_that_come_twice_count_once() {
    let setting = Setting::live().await;
    let events = kept_events(&setting).await;
    for event in &events {
        setting.proxy.say(event);
        setting.proxy.say(event);
    }
    for event in &events {
        setting.proxy.say(event);
    }
    setting.screen.until_told(Code::EventStale).await;
    let view = setting.converge().await;
    assert_eq!(view.summary.total_mocs, 4);
    assert_eq!(setting.screen.sources(), [Source::None, Source::Live], "and it stayed live");
}

#[tokio::test]
async fn messages_in_the_wrong_order_never_lead_back() {
    let setting = Setting::live().await;
    for event in kept_events(&setting).await.iter().rev() {
        setting.proxy.say(event);
    }
    setting.screen.until_told(Code::EventStale).await;
    // An overtaken addition leaves no other sign: the test compares the view with the server's.
    let time = VirtualTime::start();
    for _ in 0..40 {
        time.pass(Duration::from_millis(250)).await;
    }
    drop(time);
    let view = setting.converge().await;
    assert_eq!(view.summary.total_mocs, 4);
    assert_eq!(setting.screen.sources(), [Source::None, Source::Live], "and it stayed live");
}

#[tokio::test]
async fn absurd_messages_are_skipped_and_the_view_is_compared_soon() {
    let setting = Setting::live().await;
    let before = setting.screen.view();
    for text in absurdities() {
        setting.proxy.say(&text);
    }
    setting.proxy.say_raw(vec![0x82, 3, 1, 2, 3]);
    setting.add("After the nonsense").await;
    setting.converge().await;
    assert_ne!(setting.screen.view(), before);
    let count = |code| setting.screen.count(code);
    assert_eq!(count(Code::EventUnknown), 1, "{:#?}", setting.screen.diagnostics());
    assert!(count(Code::FrameMalformed) >= 5, "{:#?}", setting.screen.diagnostics());
    assert!(count(Code::EventMalformed) >= 10, "{:#?}", setting.screen.diagnostics());
    assert_eq!(setting.screen.sources(), [Source::None, Source::Live], "and it stayed live");
    // One of them may have been a change: 8 s later at most, the view is compared.
    let time = VirtualTime::start();
    time.pass(Duration::from_secs(8)).await;
    drop(time);
    let traffic = setting.proxy.until("a comparison", |traffic| traffic.requests.len() == 2).await;
    assert!(traffic.requests[1].have.is_some());
    setting.converge().await;
    assert_eq!(setting.proxy.traffic().attempts.len(), 1);
}

#[tokio::test]
async fn a_message_cut_short_is_a_lost_connection_and_nothing_of_it_is_applied() {
    let setting = Setting::live().await;
    let events = kept_events(&setting).await;
    let whole = &events[0];
    let length = u8::try_from(whole.len() / 256).unwrap();
    let low = u8::try_from(whole.len() % 256).unwrap();
    let head = [0x81, 126, length, low];
    setting.proxy.say_raw([&head, &whole.as_bytes()[..whole.len() / 2]].concat());
    setting.cut();
    setting.until_status(Status::Backoff).await;
    let view = setting.converge().await;
    assert_eq!(view.summary.total_mocs, 4);
    let timeline = setting.screen.timeline();
    assert_eq!(timeline[3], "live -> backoff SOCKET_CLOSED", "{timeline:#?}");
}

#[tokio::test]
async fn bytes_that_are_no_websocket_end_the_connection_and_it_is_made_again() {
    let setting = Setting::live().await;
    // A reserved bit; a masked frame, which only clients send; text that is not UTF-8.
    for bytes in [vec![0xf3, 0], vec![0x81, 0x81, 1, 2, 3, 4, 5], vec![0x81, 2, 0xc3, 0x28]] {
        let losses = setting.screen.count(Code::SocketClosed);
        setting.proxy.say_raw(bytes);
        let lost = |_: &DashboardState| setting.screen.count(Code::SocketClosed) > losses;
        setting.screen.until("the loss", lost).await;
        setting.add("Afterwards").await;
        setting.converge().await;
    }
    assert_eq!(setting.proxy.traffic().attempts.len(), 4, "one more for each");
}

/// Changes that the client does not hear of; their events, in the server's order.
async fn kept_events(setting: &Setting) -> Vec<String> {
    setting.proxy.keep_events(true);
    for number in 1..=3 {
        setting.add(&format!("Change {number}")).await;
        let events = 3 * number;
        let enough = move |traffic: &Traffic| traffic.kept.len() >= events;
        setting.proxy.until("the change's events", enough).await;
    }
    setting.proxy.keep_events(false);
    setting.proxy.traffic().kept
}

/// What no server of ours sends.
pub(crate) fn absurdities() -> Vec<String> {
    let event = |payload: &str| {
        let envelope = format!(
            r#"{{"eventId":"0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60","type":"dashboard:summaryUpdated","timestamp":"2026-11-23T09:30:00.123Z","revision":9000,"payload":{payload}}}"#
        );
        format!(r#"42/dashboard,["dashboard:summaryUpdated",{envelope}]"#)
    };
    let summary = |total: &str| {
        event(&format!(
            r#"{{"totalMocs":{total},"totalWishlistItems":0,"mocsByBuildStatus":{{"ADDED":1,"IN_PROGRESS":0,"BUILT":0}},"mocsByCoverageStatus":{{"FULL_INVENTORY":0,"PARTIAL_ORDERED":0,"NONE":1}}}}"#
        ))
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        event(&deep),
        format!("42/dashboard,{deep}"),
        event(&"{\"a\":".repeat(50_000)),
        summary("1e400"),
        summary("-1"),
        summary("0.5"),
        summary(&"9".repeat(10_000)),
        summary("\"many\""),
        summary("null"),
        event("[]"),
        event("\"\\ud800\""),
        "42/dashboard,[\"dashboard:somethingNew\",{\"x\":1}]".to_owned(),
        "42/dashboard,[".to_owned(),
        "42/dashboard,".to_owned(),
        "42/elsewhere,[\"x\"]".to_owned(),
        "4".to_owned(),
        "9".to_owned(),
        String::new(),
        "\u{0}\u{fffd}🧱".to_owned(),
    ]
}
