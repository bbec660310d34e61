//! The session ends, is refused, or becomes another user's.

use std::time::Duration;

use e2e_tests::proxy::{Canned, Fault, Lane};
use e2e_tests::writer::{self, NewMoc};
use serde_json::json;

use super::stage::Stage;
use crate::faults::setting::told;

#[tokio::test]
async fn d_res_2_a_session_that_runs_out_is_renewed_and_one_that_is_refused_is_not() {
    let stage = Stage::live().await;
    stage.proxy.say(&told("TOKEN_EXPIRED", json!({})));
    stage.until_told("connecting stale TOKEN_EXPIRED").await;
    stage.converge().await;
    assert_eq!(
        stage.told().await,
        [
            "live live -",
            "connecting stale TOKEN_EXPIRED",
            "syncing stale TOKEN_EXPIRED",
            "live live -",
        ]
    );

    stage.begin().await;
    stage.proxy.say(r#"44/dashboard,{"message":"AUTH_FAILED"}"#);
    stage.until_told("authRequired stale AUTH_FAILED").await;
    stage.page.until("document.body.innerText.includes('Session expired')").await;
    let attempts = stage.proxy.traffic().attempts.len();
    // Neither a person nor time gets it to try.
    stage.call("refresh").await;
    stage.freeze().await;
    stage.pass(Duration::from_mins(10)).await;
    stage.thaw().await;
    assert_eq!(stage.proxy.traffic().attempts.len(), attempts);
    stage.call("reauthenticate").await;
    stage.converge().await;
    assert_eq!(
        stage.told().await,
        [
            "live live -",
            "authRequired stale AUTH_FAILED",
            "connecting none -",
            "syncing none -",
            "live live -",
        ]
    );
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn d_res_2_a_session_that_rest_refuses_ends_the_socket_too() {
    let stage = Stage::live().await;
    for (status, line) in
        [(401, "authRequired stale UNAUTHORIZED"), (403, "authRequired none FORBIDDEN")]
    {
        stage.proxy.set(Lane::Rest, Fault::Answer(Canned::refusal(status)));
        stage.begin().await;
        stage.call("refresh").await;
        stage.until_told(line).await;
        stage.page.until("document.body.innerText.includes('Session expired')").await;
        stage.proxy.until("the socket's end", |traffic| traffic.sockets.now == 0).await;
        stage.proxy.set(Lane::Rest, Fault::Pass);
        stage.call("reauthenticate").await;
        stage.converge().await;
        let expected = ["live live -", line, "connecting none -", "syncing none -", "live live -"];
        assert_eq!(stage.told().await, expected);
    }
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn another_user_sees_no_trace_of_the_one_before() {
    const OTHER: &str = "other@example.test";
    let stage = Stage::live().await;
    writer::add_moc(stage.app.db(), OTHER, &NewMoc::new("Mine", "Space")).await;
    stage.app.projected().await;
    stage.proxy.set(Lane::Rest, Fault::Hold);
    let url = stage.proxy.url();
    let session = stage.app.tokens.id(OTHER);
    stage.page.browser.set_cookie(&url, "auth_token", &session).await.unwrap();
    let before = stage.proxy.traffic().requests.len();
    stage.call("reauthenticate").await;
    // The snapshot hangs, so any rest of the former user's view would stay visible for long.
    stage.page.until("!document.body.innerHTML.includes('Lighthouse')").await;
    let traffic = stage.proxy.until("a request", |traffic| traffic.requests.len() > before).await;
    assert_eq!(traffic.requests[before].have, None, "their tag is forgotten");
    assert_eq!(stage.evaluate("client.getState().view").await, serde_json::Value::Null);
    stage.proxy.set(Lane::Rest, Fault::Pass);
    stage.page.until("document.body.innerText.includes('Mine')").await;
    stage.page.until_live().await;
    let (view, _) = stage.app.rest().snapshot(&stage.app.bearer(OTHER)).await;
    stage.page.until_it_shows(&view).await;
    assert_eq!(
        stage.told().await,
        ["live live -", "connecting none -", "syncing none -", "live live -"],
        "never called stale: it was gone"
    );
    let trace = "JSON.stringify(client.getState()).includes('Lighthouse')
      || document.documentElement.outerHTML.includes('Lighthouse')";
    assert_eq!(stage.evaluate(trace).await, false);
    stage.assert_one_of_each().await;
}
