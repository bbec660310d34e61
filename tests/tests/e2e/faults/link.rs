//! The link fails: refused, reset, silent, slow, or coming and going.

use std::time::Duration;

use client_sdk::state::{Code, Source, Status};
use e2e_tests::proxy::{Fault, Lane, Traffic};
use e2e_tests::{Proxy, TestApp};
use tokio::time::Instant;

use super::setting::{Setting, USER, open};
use crate::virtual_time::VirtualTime;

#[tokio::test]
async fn a_connection_that_is_refused_is_tried_until_it_is_accepted() {
    let app = TestApp::start().await;
    let mut proxy = Proxy::before(&app.url()).await;
    proxy.refuse().await;
    let screen = open(&app, &proxy);
    let state = screen.until_status(Status::Backoff).await;
    assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::SocketFailed));
    proxy.accept().await;
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(
        screen.timeline(),
        [
            "idle -> connecting STARTED",
            "connecting -> backoff SOCKET_FAILED",
            "backoff -> connecting RETRYING",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    assert_eq!(screen.sources(), [Source::None, Source::Live]);
}

#[tokio::test]
async fn a_reset_connection_is_made_again_and_what_was_missed_is_there() {
    let setting = Setting::live().await;
    setting.proxy.set(Lane::Socket, Fault::Reset);
    setting.proxy.cut(Lane::Socket);
    setting.until_status(Status::Backoff).await;
    setting.add("While it was cut off").await;
    setting.proxy.set(Lane::Socket, Fault::Pass);
    let view = setting.converge().await;
    assert_eq!(view.recent_mocs[0].title.as_str(), "While it was cut off");
    let timeline = setting.screen.timeline();
    assert_eq!(timeline[3], "live -> backoff SOCKET_CLOSED", "{timeline:#?}");
    assert_eq!(
        timeline[timeline.len() - 3..],
        [
            "backoff -> connecting RETRYING",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    assert_eq!(setting.screen.sources(), [Source::None, Source::Live, Source::Stale, Source::Live]);
    setting.assert_one_of_each();
}

#[tokio::test]
async fn a_black_hole_is_noticed_within_the_heartbeat_that_the_server_promised() {
    let flags = ["--ping-interval-ms", "500", "--ping-timeout-ms", "2500"];
    let setting = Setting::with_flags(&flags).await;
    setting.converge().await;
    // Some beats of the heart are answered, so it lives by them.
    setting.proxy.set_both(&Fault::BlackHole);
    let time = VirtualTime::start();
    let begun = Instant::now();
    let lost = |setting: &Setting| setting.screen.client.state().status != Status::Live;
    setting.pass_until(&time, "not live", lost).await;
    // The server promised a ping within 3 s. One that had passed the proxy may still have been
    // unread, and counts from when it is read.
    let noticed = begun.elapsed();
    assert!(noticed < Duration::from_secs(6), "{noticed:?}");
    let state = setting.screen.client.state();
    drop(time);
    assert_eq!(state.freshness.source, Source::Stale);
    assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::HeartbeatMissed));
    setting.add("In the dark").await;
    // The way is free again, for new attempts.
    setting.proxy.set_both(&Fault::Pass);
    setting.cut();
    let view = setting.converge().await;
    assert_eq!(view.summary.total_mocs, 2);
    let timeline = setting.screen.timeline();
    assert_eq!(timeline[3], "live -> backoff HEARTBEAT_MISSED", "{timeline:#?}");
}

#[tokio::test]
async fn a_flapping_link_leads_to_degraded_mode_and_never_to_a_storm() {
    let setting = Setting::live().await;
    for failure in 1..=4 {
        setting.proxy.cut(Lane::Socket);
        let counted = move |state: &client_sdk::state::DashboardState| {
            state.status == Status::Backoff && state.freshness.attempt == failure
        };
        setting.screen.until("one more failure", counted).await;
        setting.add(&format!("Flap {failure}")).await;
        setting.screen.client.refresh();
        setting.converge().await;
    }
    // It was live five times, but never for long enough to be forgiven.
    setting.proxy.cut(Lane::Socket);
    let state = setting.screen.until_status(Status::Degraded).await;
    assert_eq!(state.freshness.attempt, 5);
    setting.screen.client.refresh();
    setting.converge().await;
    let traffic = setting.proxy.traffic();
    assert_eq!(traffic.attempts.len(), 6, "one attempt for each loss: {traffic:#?}");
    let timeline = setting.screen.timeline();
    assert_eq!(
        timeline[timeline.len() - 3..],
        [
            "live -> degraded SOCKET_CLOSED",
            "degraded -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    // Of requests the proxy may see two: what the client gives up ends there a moment later.
    assert_eq!(traffic.sockets.most, 1);
}

#[tokio::test]
async fn a_slow_link_is_slow_and_nothing_else() {
    let setting = Setting::new().await;
    setting.proxy.set_both(&Fault::Late(Duration::from_millis(150)));
    setting.converge().await;
    setting.add("By the slow road").await;
    setting.converge().await;
    assert_eq!(
        setting.screen.timeline(),
        [
            "idle -> connecting STARTED",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    setting.assert_one_of_each();
}

#[tokio::test]
async fn a_client_that_starts_and_stops_in_a_hurry_ends_with_one_socket() {
    let setting = Setting::new().await;
    let client = &setting.screen.client;
    for _ in 0..20 {
        client.stop();
        client.restart();
        client.reauthenticate();
        client.refresh();
    }
    setting.converge().await;
    let one = |traffic: &Traffic| (traffic.sockets.now, traffic.in_flight.now) == (1, 0);
    setting.proxy.until("one socket, and no request", one).await;
    client.stop();
    setting.until_status(Status::Closed).await;
    setting.proxy.until("no socket", |traffic| traffic.sockets.now == 0).await;
    assert_eq!(setting.screen.view(), None);
}
