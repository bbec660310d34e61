//! How long the page waits: as the server wishes, and as the law of degraded mode says. The page's
//! time is the test's; sockets and requests are real.

use std::time::Duration;

use e2e_tests::browser::by_test_id;
use e2e_tests::proxy::{Fault, Lane};
use serde_json::json;

use super::stage::Stage;
use crate::faults::setting::told;

#[tokio::test]
async fn a_server_that_drains_is_left_alone_for_as_long_as_it_said() {
    let stage = Stage::live().await;
    stage.freeze().await;
    stage.proxy.say(&told("SERVER_DRAINING", json!({ "reconnectAfterMs": 9_000 })));
    stage.until_told("backoff stale SERVER_DRAINING").await;
    let attempts = stage.proxy.traffic().attempts.len();
    stage.add("While it drained").await;
    stage.call("refresh").await;
    stage.evaluate("(window.dispatchEvent(new Event('online')), true)").await;
    stage.pass(Duration::from_millis(8_900)).await;
    assert_eq!(stage.proxy.traffic().attempts.len(), attempts);
    let live = "story.states.at(-1).line === 'live live -'";
    stage.pass_until(live, Duration::from_millis(200)).await;
    stage.thaw().await;
    stage.converge().await;
    stage.assert_told_a_loss("SERVER_DRAINING").await;
    stage.assert_one_of_each().await;
}

/// A page in degraded mode, whose time stands still: sockets fail, and requests are answered.
async fn without_sockets() -> Stage {
    let stage = Stage::live().await;
    stage.freeze().await;
    stage.proxy.set(Lane::Socket, Fault::Reset);
    stage.proxy.cut(Lane::Socket);
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    let is_told = format!("{} !== null", by_test_id("degraded-mode-banner"));
    stage.pass_until(&is_told, Duration::from_secs(20)).await;
    stage
}

#[tokio::test]
async fn d_res_4_degraded_mode_polls_says_so_and_gives_way_to_the_socket() {
    let stage = without_sockets().await;
    let banner = by_test_id("degraded-mode-banner");
    assert_eq!(stage.proxy.traffic().attempts.len(), 5, "the first, and four in vain");
    let text = stage.page.browser.text("degraded-mode-banner").await.unwrap();
    assert!(text.contains("Last updated:"), "{text}");

    // Polls, and what the banner says between them.
    let begun = stage.proxy.traffic().requests.len();
    let mut gaps = Vec::new();
    for _ in 0..4 {
        let asked = stage.evaluate("traffic.requests").await;
        let another = format!("traffic.requests > {asked} && traffic.pending === 0");
        gaps.push(stage.pass_until(&another, Duration::from_mins(1)).await);
    }
    // The first is a period after the snapshot, of which some had passed.
    for gap in &gaps[1..] {
        assert!((27_000.0..=33_000.0).contains(gap), "{gaps:?}");
    }
    let requests = &stage.proxy.traffic().requests[begun..];
    assert!(requests.iter().all(|request| request.unchanged), "{requests:#?}");
    assert!(requests.iter().all(|request| request.have.is_some()), "{requests:#?}");
    let last = stage.evaluate("story.states.at(-1).line").await;
    assert_eq!(last, "degraded polling SOCKET_FAILED");
    stage.pass(Duration::from_secs(20)).await;
    let text = stage.page.browser.text("degraded-mode-banner").await.unwrap();
    assert!(
        ["19", "20", "21"].iter().any(|age| text.contains(&format!("{age} seconds ago"))),
        "{text}"
    );

    // A change is polled, and the banner stays.
    stage.add("Polled").await;
    let polled = "document.body.innerText.includes('Polled')";
    stage.pass_until(polled, Duration::from_secs(40)).await;
    assert_eq!(stage.evaluate(&format!("{banner} !== null")).await, true);

    // The socket is back: the banner goes when the client is live, and only then the page says so.
    stage.proxy.set(Lane::Socket, Fault::Pass);
    stage.pass_until(&format!("{banner} === null"), Duration::from_mins(1)).await;
    stage.page.until("story.screens.at(-1) === 'connected cards restored'").await;
    stage.thaw().await;
    stage.converge().await;
    let seen = stage.seen().await;
    assert_eq!(
        seen,
        [
            "connected cards",
            "disconnected cards",
            "disconnected banner cards",
            "connected cards restored",
        ]
    );
    let told = stage.told().await;
    assert_eq!(told.last().unwrap(), "live live -", "{told:#?}");
    assert!(told.contains(&"degraded stale SOCKET_FAILED".to_owned()), "{told:#?}");
    stage.assert_one_of_each().await;
}

/// No time passes for the page after the press, so nothing but the press leads to the attempt.
#[tokio::test]
async fn d_res_4_refresh_now_connects_without_waiting() {
    let stage = without_sockets().await;
    let banner = by_test_id("degraded-mode-banner");
    stage.proxy.set(Lane::Socket, Fault::Pass);
    stage.add("Seen after the press").await;
    let attempts = stage.proxy.traffic().attempts.len();
    stage.evaluate(&format!("({banner}.querySelector('button').click(), true)")).await;
    stage.page.until(&format!("{banner} === null")).await;
    assert_eq!(stage.proxy.traffic().attempts.len(), attempts + 1);
    stage.thaw().await;
    stage.converge().await;
    stage.assert_one_of_each().await;
}
