//! The socket lives, and the snapshot does not come, or is none, or is overtaken.

use std::time::Duration;

use e2e_tests::proxy::{Canned, Fault, Lane, Traffic};

use super::stage::Stage;

#[tokio::test]
async fn a_snapshot_that_fails_in_every_way_is_asked_for_again_and_the_socket_stays() {
    let html = Fault::Answer(Canned::html(502));
    let stage = Stage::set_with(&[], |proxy| proxy.set(Lane::Rest, html)).await;
    stage.until_told("syncing none SNAPSHOT_FAILED").await;
    for (fault, code) in [
        (Fault::Answer(Canned::html(200)), "SNAPSHOT_MALFORMED"),
        (Fault::Reset, "SNAPSHOT_FAILED"),
        (Fault::Answer(Canned::new(200)), "SNAPSHOT_MALFORMED"),
        // A firewall's page of any status is no refusal of the session.
        (Fault::Answer(Canned::html(403)), "SNAPSHOT_FAILED"),
        (Fault::Answer(Canned::html(200)), "SNAPSHOT_MALFORMED"),
        (Fault::Answer(Canned::new(401)), "SNAPSHOT_FAILED"),
        (Fault::Answer(Canned::new(200)), "SNAPSHOT_MALFORMED"),
        // And neither is the server's own that a cache has kept.
        (Fault::Answer(Canned::kept_refusal(401)), "SNAPSHOT_FAILED"),
        (Fault::Answer(Canned::new(200)), "SNAPSHOT_MALFORMED"),
        (Fault::Answer(Canned::kept_refusal(403)), "SNAPSHOT_FAILED"),
        (Fault::Answer(Canned::new(200)), "SNAPSHOT_MALFORMED"),
        (Fault::Answer(Canned::new(302).with("Location", "/login")), "SNAPSHOT_FAILED"),
    ] {
        stage.proxy.set(Lane::Rest, fault);
        // In a wait the person may ask for another try.
        stage.call("refresh").await;
        stage.until_now(&format!("syncing none {code}")).await;
    }
    // It hangs: ten seconds, and not one less.
    stage.freeze().await;
    stage.proxy.set(Lane::Rest, Fault::BlackHole);
    stage.call("refresh").await;
    let hanging = |traffic: &Traffic| traffic.requests.last().unwrap().status.is_none();
    stage.proxy.until("a request that hangs", hanging).await;
    let code = "story.states.at(-1).line === 'syncing none SNAPSHOT_TIMEOUT'";
    let patience = 20;
    let script = format!(
        "const begun = clock.now()
         clock.pass(11_000, () => {code}, {patience}).then(() => done(clock.now() - begun))"
    );
    let waited = stage.page.browser.run(&script).await.unwrap().as_f64().unwrap();
    assert!((9_900.0..=10_100.0).contains(&waited), "{waited} ms");
    stage.proxy.set(Lane::Rest, Fault::Pass);
    stage.thaw().await;
    stage.call("refresh").await;
    stage.converge().await;
    assert_eq!(stage.seen().await, ["disconnected", "disconnected failed", "connected cards"]);
    assert_eq!(stage.proxy.traffic().attempts.len(), 1, "the socket stayed");
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn events_that_overtake_the_snapshot_wait_for_it_and_count() {
    let stage = Stage::set_with(&[], |proxy| {
        proxy.set(Lane::Rest, Fault::Hold);
        proxy.keep_events(true);
    });
    let stage = stage.await;
    let answered = |traffic: &Traffic| {
        traffic.requests.first().is_some_and(|request| request.status == Some(200))
    };
    stage.proxy.until("the snapshot at the proxy", answered).await;
    stage.add("Newer than the snapshot").await;
    let traffic = stage.proxy.until("its events", |traffic| traffic.kept.len() >= 3).await;
    stage.proxy.keep_events(false);
    for event in &traffic.kept {
        stage.proxy.say(event);
    }
    assert_eq!(stage.evaluate("client.getState().view").await, serde_json::Value::Null);
    stage.proxy.set(Lane::Rest, Fault::Pass);
    stage.converge().await;
    assert_eq!(stage.page.shown().await["recent"][0]["title"], "Newer than the snapshot");
    assert_eq!(stage.proxy.traffic().requests.len(), 1, "nothing had to be asked for again");
    assert_eq!(stage.seen().await, ["disconnected", "connected cards"]);
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_snapshot_that_is_put_off_is_asked_for_when_the_server_said() {
    let stage = Stage::set(&[]).await;
    stage.converge().await;
    // By the page's clock, which this test sets.
    let date = "new Date(Date.now() + 20_000).toUTCString()";
    for (status, wish) in [(429, "'20'"), (503, "'20'"), (503, date)] {
        let begun = stage.evaluate("Date.now()").await.as_f64().unwrap();
        let wish = stage.evaluate(wish).await.as_str().unwrap().to_owned();
        let before = stage.proxy.traffic();
        let canned = Canned::new(status).with("Retry-After", &wish);
        stage.proxy.set(Lane::Rest, Fault::Answer(canned));
        stage.begin().await;
        stage.call("reauthenticate").await;
        stage.until_told("syncing none SNAPSHOT_FAILED").await;
        stage.freeze().await;
        let due = stage.evaluate("story.states.at(-1).retry").await.as_f64().unwrap();
        let wait = due - stage.evaluate("Date.now()").await.as_f64().unwrap();
        // A date has no fractions of a second.
        assert!(due >= begun + 19_000.0 && wait <= 20_000.0, "Retry-After: {wish}: {wait} ms");
        stage.proxy.set(Lane::Rest, Fault::Pass);
        // Not even a person hurries it.
        stage.call("refresh").await;
        stage.pass(Duration::from_secs_f64(wait / 1_000.0 - 1.0)).await;
        assert_eq!(stage.proxy.traffic().requests.len(), before.requests.len() + 1);
        stage
            .pass_until("story.states.at(-1).line === 'live live -'", Duration::from_secs(2))
            .await;
        stage.thaw().await;
        stage.converge().await;
        let traffic = stage.proxy.traffic();
        assert_eq!(traffic.requests.len(), before.requests.len() + 2, "{wish}");
        assert_eq!(traffic.attempts.len(), before.attempts.len() + 1, "{wish}");
    }
    stage.assert_one_of_each().await;
}
