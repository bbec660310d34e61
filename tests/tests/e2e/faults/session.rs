//! The session ends, is refused, or becomes another user's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use client_sdk::state::{Code, Source, Status};
use e2e_tests::proxy::{Canned, Fault, Lane};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Proxy, Screen, TestApp};
use serde_json::json;

use super::setting::{Setting, USER, told};

#[tokio::test]
async fn a_token_that_runs_out_in_mid_stream_is_renewed_at_once() {
    let app = TestApp::start().await;
    let proxy = Proxy::before(&app.url()).await;
    let (tokens, asked) = (app.tokens.clone(), Arc::new(AtomicU32::new(0)));
    let counter = Arc::clone(&asked);
    let screen = Screen::open_with(&proxy.url(), move || {
        counter.fetch_add(1, Ordering::Relaxed);
        tokens.access(USER)
    });
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    let before = asked.load(Ordering::Relaxed);
    proxy.say(&told("TOKEN_EXPIRED", json!({})));
    screen.until_told(Code::TokenExpired).await;
    writer::add_moc(app.db(), USER, &NewMoc::new("With the new token", "City")).await;
    app.projected().await;
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before + 2, "one for the socket, one for REST");
    assert_eq!(
        screen.timeline()[3..],
        [
            "live -> connecting TOKEN_EXPIRED",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    assert_eq!(screen.sources(), [Source::None, Source::Live, Source::Stale, Source::Live]);
}

#[tokio::test]
async fn d_res_2_a_refusal_after_life_is_final_until_the_app_reauthenticates() {
    let setting = Setting::live().await;
    setting.proxy.say(r#"44/dashboard,{"message":"AUTH_FAILED"}"#);
    let state = setting.screen.until_status(Status::AuthRequired).await;
    assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::AuthFailed));
    assert_eq!((state.freshness.source, state.freshness.next_retry_at), (Source::Stale, None));
    setting.proxy.until("the socket's end", |traffic| traffic.sockets.now == 0).await;
    // Neither a person nor the platform gets it to try.
    setting.screen.client.refresh();
    setting.add("Unseen").await;
    assert_eq!(setting.proxy.traffic().attempts.len(), 1);
    setting.screen.client.reauthenticate();
    setting.converge().await;
    assert_eq!(
        setting.screen.timeline()[3..],
        [
            "live -> authRequired AUTH_FAILED",
            "authRequired -> connecting REAUTHENTICATED",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    assert_eq!(setting.proxy.traffic().attempts.len(), 2);
}

#[tokio::test]
async fn a_session_that_rest_refuses_ends_the_socket_too() {
    let setting = Setting::live().await;
    for (status, code, source) in [
        (401, Code::Unauthorized, Source::Stale),
        // What it may not read, it may not go on showing.
        (403, Code::Forbidden, Source::None),
    ] {
        setting.proxy.set(Lane::Rest, Fault::Answer(Canned::refusal(status)));
        setting.screen.client.refresh();
        let state = setting.screen.until_status(Status::AuthRequired).await;
        assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(code));
        assert_eq!(state.freshness.source, source);
        setting.proxy.until("the socket's end", |traffic| traffic.sockets.now == 0).await;
        setting.proxy.set(Lane::Rest, Fault::Pass);
        setting.screen.client.reauthenticate();
        setting.converge().await;
    }
    setting.assert_one_of_each();
}

#[tokio::test]
async fn another_user_sees_no_trace_of_the_one_before() {
    const OTHER: &str = "other@example.test";
    let app = TestApp::start().await;
    writer::add_moc(app.db(), USER, &NewMoc::new("Theirs", "City")).await;
    writer::add_moc(app.db(), OTHER, &NewMoc::new("Mine", "Space")).await;
    app.projected().await;
    let proxy = Proxy::before(&app.url()).await;
    let (tokens, switched) = (app.tokens.clone(), Arc::new(AtomicBool::new(false)));
    let second = Arc::clone(&switched);
    let screen = Screen::open_with(&proxy.url(), move || {
        tokens.access(if second.load(Ordering::Relaxed) { OTHER } else { USER })
    });
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    // The snapshot hangs, so any rest of the former user's view would stay visible for long.
    proxy.set(Lane::Rest, Fault::Hold);
    switched.store(true, Ordering::Relaxed);
    screen.client.reauthenticate();
    let traffic = proxy.until("a request", |traffic| {
        traffic.requests.get(1).is_some_and(|request| request.status.is_some())
    });
    let traffic = traffic.await;
    assert_eq!(traffic.requests[1].have, None, "their tag is forgotten");
    assert_eq!(screen.view(), None);
    let state = screen.client.state();
    assert_eq!((state.freshness.source, state.freshness.as_of), (Source::None, None));
    proxy.set(Lane::Rest, Fault::Pass);
    let view = screen.until_it_shows(&app.rest(), &app.bearer(OTHER)).await;
    assert_eq!(view.recent_mocs[0].title.as_str(), "Mine");
    assert_eq!(
        screen.sources(),
        [Source::None, Source::Live, Source::None, Source::Live],
        "never called stale: it was gone"
    );
}
