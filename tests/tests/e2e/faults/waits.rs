//! How long the client waits: as the server wishes, and as the law of degraded mode says. Time is
//! virtual; sockets and requests are real.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client_sdk::state::{DashboardState, Source, Status};
use e2e_tests::proxy::{Canned, Fault, Lane, Traffic};
use e2e_tests::writer::{self, NewMoc};
use serde_json::json;
use tokio::time::Instant;

use super::setting::{Setting, USER, told};
use crate::virtual_time::VirtualTime;

#[tokio::test]
async fn a_snapshot_that_is_put_off_is_asked_for_when_the_server_said() {
    let setting = Setting::live().await;
    let seconds = || "20".to_owned();
    let date = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20));
    let wishes: [(u16, &dyn Fn() -> String); 3] = [(429, &seconds), (503, &seconds), (503, &date)];
    for (status, wish) in wishes {
        let (begun, wish) = (now(), wish());
        let before = setting.proxy.traffic();
        let canned = Canned::new(status).with("Retry-After", &wish);
        setting.proxy.set(Lane::Rest, Fault::Answer(canned));
        setting.screen.client.reauthenticate();
        let put_off = |state: &DashboardState| {
            state.status == Status::Syncing && state.freshness.next_retry_at.is_some()
        };
        let state = setting.screen.until("put off", put_off).await;
        let time = VirtualTime::start();
        let wait = wait(&state, begun, 20_000);
        setting.proxy.set(Lane::Rest, Fault::Pass);
        // Not even a person hurries it.
        setting.screen.client.refresh();
        time.pass(Duration::from_millis(wait.saturating_sub(1_000))).await;
        assert_eq!(setting.proxy.traffic().requests.len(), before.requests.len() + 1);
        time.pass(Duration::from_secs(2)).await;
        drop(time);
        setting.converge().await;
        let traffic = setting.proxy.traffic();
        assert_eq!(traffic.requests.len(), before.requests.len() + 2, "{wish}");
        assert_eq!(traffic.attempts.len(), before.attempts.len() + 1, "{wish}");
    }
}

#[tokio::test]
async fn a_socket_that_is_put_off_is_opened_when_the_server_said() {
    let setting = Setting::live().await;
    for status in [429, 503] {
        let (begun, before) = (now(), setting.proxy.traffic().attempts.len());
        let canned = Canned::new(status).with("Retry-After", "40");
        setting.proxy.set(Lane::Socket, Fault::Answer(canned));
        setting.screen.client.reauthenticate();
        let put_off = |state: &DashboardState| {
            state.status == Status::Backoff && state.freshness.next_retry_at.is_some()
        };
        let state = setting.screen.until("put off", put_off).await;
        let time = VirtualTime::start();
        let wait = wait(&state, begun, 40_000);
        setting.proxy.set(Lane::Socket, Fault::Pass);
        setting.screen.client.refresh();
        time.pass(Duration::from_millis(wait.saturating_sub(1_000))).await;
        assert_eq!(setting.proxy.traffic().attempts.len(), before + 1);
        time.pass(Duration::from_secs(2)).await;
        drop(time);
        setting.converge().await;
        assert_eq!(setting.proxy.traffic().attempts.len(), before + 2);
    }
}

#[tokio::test]
async fn a_server_that_drains_is_left_alone_for_as_long_as_it_said() {
    let setting = Setting::live().await;
    let begun = now();
    setting.proxy.say(&told("SERVER_DRAINING", json!({ "reconnectAfterMs": 9_000 })));
    let state = setting.screen.until_status(Status::Backoff).await;
    let time = VirtualTime::start();
    let wait = wait(&state, begun, 9_000);
    setting.add("While it drained").await;
    setting.screen.client.refresh();
    time.pass(Duration::from_millis(wait.saturating_sub(1_000))).await;
    assert_eq!(setting.proxy.traffic().attempts.len(), 1);
    time.pass(Duration::from_secs(2)).await;
    drop(time);
    setting.converge().await;
    assert_eq!(
        setting.screen.timeline()[3..],
        [
            "live -> backoff SERVER_DRAINING",
            "backoff -> connecting RETRYING",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
}

#[tokio::test]
async fn d_res_4_degraded_mode_polls_the_real_server_and_gives_way_to_its_socket() {
    let setting = Setting::live().await;
    setting.proxy.set(Lane::Socket, Fault::Reset);
    let time = VirtualTime::start();
    setting.proxy.cut(Lane::Socket);
    setting
        .pass_until(&time, "degraded", |setting| {
            setting.screen.client.state().status == Status::Degraded
        })
        .await;
    assert_eq!(setting.proxy.traffic().attempts.len(), 5, "the first, and four in vain");

    let mut polls = Vec::new();
    let begun = setting.proxy.traffic().requests.len();
    for poll in 0..4 {
        let answered = move |traffic: &Traffic| {
            traffic.requests.get(begun + poll).is_some_and(|request| request.status.is_some())
        };
        setting.pass_until(&time, "a poll", |setting| answered(&setting.proxy.traffic())).await;
        polls.push(Instant::now());
    }
    for pair in polls.windows(2) {
        // 30 s, ten percent more or less, in steps of this test.
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!((26.7..=33.3).contains(&gap), "{gap} s");
    }
    let requests = &setting.proxy.traffic().requests[begun..];
    assert!(requests.iter().all(|request| request.unchanged), "{requests:#?}");
    let state = setting.screen.client.state();
    assert_eq!((state.status, state.freshness.source), (Status::Degraded, Source::Polling));

    writer::add_moc(setting.app.db(), USER, &NewMoc::new("Polled", "City")).await;
    setting
        .pass_until(&time, "the change", |setting| {
            setting.screen.view().is_some_and(|view| view.summary.total_mocs == 2)
        })
        .await;
    assert_eq!(setting.screen.client.state().status, Status::Degraded);

    setting.proxy.set(Lane::Socket, Fault::Pass);
    setting
        .pass_until(&time, "live", |setting| setting.screen.client.state().status == Status::Live)
        .await;
    drop(time);
    setting.converge().await;
    assert_eq!(
        setting.screen.timeline()[3..],
        [
            "live -> backoff SOCKET_CLOSED",
            "backoff -> connecting RETRYING",
            "connecting -> backoff SOCKET_FAILED",
            "backoff -> connecting RETRYING",
            "connecting -> degraded SOCKET_FAILED",
            "degraded -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    // Of requests the proxy may see two: one that is still on its way to it when the client's virtual time
    // gives it up, and the next.
    assert_eq!(setting.proxy.traffic().sockets.most, 1);
}

/// How long the client still waits, in ms. It means to wait for `ms` from a moment after `begun`.
fn wait(state: &DashboardState, begun: u64, ms: u64) -> u64 {
    let due = state.freshness.next_retry_at.unwrap();
    // A wish for a date has no fractions of a second; and two clocks of whole ms may differ by one.
    let expected = begun + ms - 1_000..=now() + ms + 1;
    assert!(expected.contains(&due), "{due} is not in {expected:?}");
    due.saturating_sub(now())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
