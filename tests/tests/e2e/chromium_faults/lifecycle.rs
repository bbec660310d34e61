//! The page's own life: hidden, frozen, asleep; started, stopped, and listened to by careless code.

use e2e_tests::proxy::Lane;
use serde_json::json;

use super::stage::Stage;

#[tokio::test]
async fn a_page_that_was_frozen_or_asleep_does_not_believe_its_old_view() {
    let stage = Stage::set(&["--ping-interval-ms", "10000", "--ping-timeout-ms", "5000"]).await;
    stage.converge().await;
    stage.begin().await;

    // The browser freezes the page, as it does with tabs that were hidden for long.
    stage
        .evaluate(
            "(['freeze', 'resume'].forEach((name) => document.addEventListener(name, () => {
           story.screens.push(name)
         })), true)",
        )
        .await;
    let lifecycle = |to: &str| json!({ "state": to });
    stage.page.browser.cdp("Page.setWebLifecycleState", lifecycle("frozen")).await.unwrap();
    stage.add("While it was frozen").await;
    stage.page.browser.cdp("Page.setWebLifecycleState", lifecycle("active")).await.unwrap();
    stage.converge().await;
    let seen = stage.seen().await;
    assert!(seen.contains(&"freeze".to_owned()) && seen.contains(&"resume".to_owned()), "{seen:?}");

    // The machine sleeps for an hour: the steady clock stood still, the wall's did not.
    stage.begin().await;
    stage.evaluate("(clock.setWall(3_600_000), client.refresh(), true)").await;
    stage.until_told("connecting stale HEARTBEAT_MISSED").await;
    stage.add("After the sleep").await;
    stage.converge().await;
    assert_eq!(
        stage.told().await,
        [
            "live live -",
            "connecting stale HEARTBEAT_MISSED",
            "syncing stale HEARTBEAT_MISSED",
            "live live -",
        ]
    );

    // No timer ran for long, and both clocks went on: a tab in the background.
    stage.begin().await;
    stage.freeze().await;
    stage.evaluate("(clock.skip(600_000), clock.thaw(), true)").await;
    stage.until_told("backoff stale HEARTBEAT_MISSED").await;
    stage.converge().await;
    stage.assert_told_a_loss("HEARTBEAT_MISSED").await;

    // The clock is set back by a day: no reason to believe less.
    stage.begin().await;
    stage.evaluate("(clock.setWall(-86_400_000), client.refresh(), true)").await;
    stage.add("Yesterday").await;
    stage.converge().await;
    let told = stage.told().await;
    assert!(told.iter().all(|line| line == "live live -"), "{told:#?}");
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_page_that_was_hidden_asks_when_it_is_seen_again() {
    let stage = Stage::live().await;
    let requests = stage.proxy.traffic().requests.len();
    // What the browser says when a tab is brought to the front.
    stage.evaluate("(document.dispatchEvent(new Event('visibilitychange')), true)").await;
    let traffic = stage
        .proxy
        .until("a comparison", |traffic| {
            traffic.requests.get(requests).is_some_and(|request| request.status.is_some())
        })
        .await;
    assert!(traffic.requests[requests].unchanged);
    stage.converge().await;
    let told = stage.told().await;
    assert!(told.iter().all(|line| line == "live live -"), "{told:#?}");
}

#[tokio::test]
async fn a_client_started_and_stopped_in_a_hurry_has_one_socket_and_one_life() {
    let stage = Stage::live().await;
    // Twice, as React's StrictMode mounts, and far more often.
    for times in [1, 25] {
        stage.begin().await;
        let script = format!(
            "((() => {{
               for (let time = 0; time < {times}; time += 1) {{
                 client.stop(); client.start(); client.reauthenticate(); client.refresh()
               }}
             }})(), true)"
        );
        stage.evaluate(&script).await;
        stage.converge().await;
        let told = stage.told().await;
        assert_eq!(told[..2], ["live live -", "closed none -"], "{told:#?}");
        assert_eq!(told.last().unwrap(), "live live -");
        assert!(!told.iter().any(|line| line.contains("stale")), "{told:#?}");
    }
    stage.proxy.until("one socket", |traffic| traffic.sockets.now == 1).await;
    // Stopped while the socket opens, and while the snapshot is on its way.
    for status in ["connecting", "syncing"] {
        stage.begin().await;
        let script = format!(
            "const unsubscribe = client.subscribe((state) => {{
               if (state.status !== '{status}') return
               unsubscribe()
               client.stop()
               client.start()
             }})
             client.reauthenticate()
             done(true)"
        );
        stage.page.browser.run(&script).await.unwrap();
        stage.until_told("closed none -").await;
        stage.converge().await;
    }
    stage.proxy.until("one socket", |traffic| traffic.sockets.now == 1).await;
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn listeners_that_throw_or_call_back_do_not_disturb_the_dashboard() {
    let stage = Stage::live().await;
    stage
        .evaluate(
            "(client.subscribe(() => { throw new Error('careless') }),
              client.subscribe((state) => {
                client.refresh()
                client.getState()
                client.subscribe(() => {})()
                if (state.status === 'backoff') client.reauthenticate()
              }), true)",
        )
        .await;
    stage.add("Heard by all").await;
    stage.converge().await;
    stage.proxy.cut(Lane::Socket);
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    stage.add("And after a loss").await;
    stage.converge().await;
    stage.page.until("story.states.at(-1).line === 'live live -'").await;
    stage.assert_one_of_each().await;
    let errors = stage.page.browser.console_errors().await.unwrap();
    assert!(errors.iter().any(|error| error.message.contains("careless")), "{errors:#?}");
}
