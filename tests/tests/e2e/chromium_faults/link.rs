//! The link fails: refused, reset, silent, or coming and going.

use std::time::{Duration, Instant};

use e2e_tests::browser::by_test_id;
use e2e_tests::proxy::{Fault, Lane};

use super::stage::Stage;

#[tokio::test]
async fn a_page_that_cannot_connect_says_so_and_fills_when_it_can() {
    let stage = Stage::set_with(&[], |proxy| {
        proxy.set(Lane::Socket, Fault::Reset);
        proxy.set(Lane::Rest, Fault::Reset);
    });
    let stage = stage.await;
    stage.until_told("backoff none SOCKET_FAILED").await;
    stage.freeze().await;
    stage.page.until(&format!("{} !== null", by_test_id("dashboard-load-failure"))).await;
    // First the socket, so that nothing is shown before it.
    stage.proxy.set(Lane::Socket, Fault::Pass);
    stage.thaw().await;
    stage.until_now("syncing none SNAPSHOT_FAILED").await;
    stage.proxy.set(Lane::Rest, Fault::Pass);
    stage.converge().await;
    let told = stage.told().await;
    let end = [
        "connecting none SOCKET_FAILED",
        "syncing none SOCKET_FAILED",
        "syncing none SNAPSHOT_FAILED",
        "live live -",
    ];
    assert_eq!(told[told.len() - 4..], end, "{told:#?}");
    assert_eq!(
        stage.seen().await,
        ["disconnected", "disconnected failed", "connected cards"],
        "never a card without a snapshot"
    );
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again_however_it_was_lost() {
    let mut stage = Stage::live().await;

    // Reset, and reset again. While the page's clock stands still, it tries no more often than that.
    stage.freeze().await;
    stage.proxy.set(Lane::Socket, Fault::Reset);
    stage.proxy.cut(Lane::Socket);
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    let lost_again =
        "story.states.filter(({ line }) => line === 'backoff stale SOCKET_FAILED').length === 1";
    stage.pass_until(lost_again, Duration::from_secs(2)).await;
    stage.add("While it was cut off").await;
    stage.proxy.set(Lane::Socket, Fault::Pass);
    stage.thaw().await;
    stage.converge().await;
    stage.assert_told_losses(&["SOCKET_CLOSED", "SOCKET_FAILED"]).await;

    // Refused.
    stage.begin_anew().await;
    stage.freeze().await;
    stage.proxy.refuse().await;
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    stage.add("While nothing listened").await;
    stage.proxy.accept().await;
    stage.thaw().await;
    stage.call("refresh").await;
    stage.converge().await;
    stage.assert_told_a_loss("SOCKET_CLOSED").await;

    // The server is killed, and another one comes up.
    stage.begin_anew().await;
    stage.freeze().await;
    stage.proxy.set_both(&Fault::Reset);
    stage.cut();
    stage.app.stop();
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    stage.add_to_the_table("While it was down").await;
    stage.app.start_again().await;
    stage.proxy.set_both(&Fault::Pass);
    stage.thaw().await;
    stage.call("refresh").await;
    stage.converge().await;
    stage.assert_told_a_loss("SOCKET_CLOSED").await;
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_black_hole_is_noticed_by_the_heartbeat_that_does_not_come() {
    let flags = ["--ping-interval-ms", "500", "--ping-timeout-ms", "2500"];
    let stage = Stage::set(&flags).await;
    stage.converge().await;
    stage.begin().await;
    let since = Instant::now();
    stage.proxy.set_both(&Fault::BlackHole);
    stage.until_told("backoff stale HEARTBEAT_MISSED").await;
    println!("noticed after {:?}, of 3 s promised", since.elapsed());
    stage.add("In the dark").await;
    stage.proxy.set_both(&Fault::Pass);
    stage.cut();
    stage.converge().await;
    let told = stage.told().await;
    assert_eq!(told[..2], ["live live -", "backoff stale HEARTBEAT_MISSED"], "{told:#?}");
    let seen = ["connected cards", "disconnected cards", "connected cards"];
    assert_eq!(stage.seen().await, seen);
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_flapping_link_leads_to_the_banner_and_never_to_a_storm() {
    let stage = Stage::live().await;
    for failure in 1..=4 {
        stage.proxy.cut(Lane::Socket);
        let failed = format!("story.states.some(({{ attempt }}) => attempt === {failure})");
        stage.page.until(&failed).await;
        stage.add(&format!("Flap {failure}")).await;
        stage.call("refresh").await;
        stage.converge().await;
    }
    stage.assert_told_a_loss("SOCKET_CLOSED").await;
    // It was live five times, but never for long enough to be forgiven.
    stage.proxy.set(Lane::Socket, Fault::Reset);
    stage.proxy.cut(Lane::Socket);
    stage.page.until(&format!("{} !== null", by_test_id("degraded-mode-banner"))).await;
    stage.proxy.set(Lane::Socket, Fault::Pass);
    stage.call("refresh").await;
    stage.converge().await;
    stage.page.until("story.screens.at(-1) === 'connected cards restored'").await;
    let seen = stage.seen().await;
    assert!(seen.contains(&"disconnected banner cards".to_owned()), "{seen:#?}");
    assert!(!seen.iter().any(|line| line.starts_with("disc") && line.ends_with("restored")));
    let attempts = stage.proxy.traffic().attempts.len();
    assert!(attempts <= 8, "{attempts} attempts for five losses");
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_browser_that_goes_offline_knows_it_and_comes_back() {
    let stage = Stage::live().await;
    stage.page.browser.offline(true).await.unwrap();
    stage.until_told("backoff stale OFFLINE").await;
    stage.add("While offline").await;
    stage.page.browser.offline(false).await.unwrap();
    stage.converge().await;
    let told = stage.told().await;
    assert_eq!(told[..2], ["live live -", "backoff stale OFFLINE"], "{told:#?}");
    assert_eq!(told.last().unwrap(), "live live -");
    let seen = ["connected cards", "disconnected cards", "connected cards"];
    assert_eq!(stage.seen().await, seen);
    stage.assert_one_of_each().await;
}
