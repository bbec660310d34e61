//! The SDK against the official JavaScript server, `socket.io`, which also misbehaves on demand.

use std::time::Duration;

use client_sdk::state::{Code, Source, Status};
use e2e_tests::{Oracle, Screen};
use serde_json::{Value, json};
use shared_types::{EventType, Revision};

use crate::virtual_time::VirtualTime;

const STEP: Duration = Duration::from_millis(250);

#[tokio::test]
async fn d_ws_2_d_fr_4_the_sdk_signs_in_and_shows_the_snapshot() {
    let (mut server, screen) = live(3, "Lighthouse").await;
    let connection = server.until("connection", |_| true).await;
    assert_eq!(connection["auth"], json!({ "token": "token-1" }), "a token in the handshake");
    let request = &server.seen("request")[0];
    let url = request["url"].as_str().unwrap();
    assert!(url.starts_with("/api/dashboard?fresh=") && !url.contains("have"), "{url}");
    assert_eq!(request["headers"]["authorization"], "Bearer token-2", "asked for anew");
    let state = screen.until_status(Status::Live).await;
    assert_eq!(state.freshness.revision.map(Revision::get), Some(3));
    assert_eq!(state.freshness.source, Source::Live);
    assert_eq!(titles(&screen), ["Lighthouse"]);
}

#[tokio::test]
async fn d_ws_6_d_fr_5_d_fr_11_d_fr_17_every_type_of_event_is_applied() {
    let (mut server, screen) = live(3, "Lighthouse").await;
    let mut summary = view("")["summary"].clone();
    summary["totalMocs"] = json!(41);
    emit(&mut server, EventType::SummaryUpdated, 4, summary).await;
    screen.until("41 MOCs", |state| total(state) == Some(41)).await;

    emit(&mut server, EventType::RecentMocAdded, 4, moc("Tower Bridge")).await;
    screen.until("two MOCs", |state| recent(state) == ["Tower Bridge", "Lighthouse"]).await;

    emit(&mut server, EventType::RecentMocsUpdated, 5, json!([moc("Only one")])).await;
    screen.until("one MOC", |state| recent(state) == ["Only one"]).await;

    let mut row = moc("Half there");
    row.as_object_mut().unwrap().remove("createdAt");
    row.as_object_mut().unwrap().remove("coverImageUrl");
    row["coveragePercentage"] = json!(50);
    row["lastUpdatedAt"] = json!("2026-11-23T09:30:00Z");
    emit(&mut server, EventType::PartialPartsUpdated, 5, json!([row])).await;
    let state = screen.until("a row", |state| {
        state.view.as_ref().is_some_and(|view| view.partial_parts_mocs.len() == 1)
    });
    let state = state.await;
    let rows = &state.view.as_ref().unwrap().partial_parts_mocs;
    assert_eq!(rows[0].coverage_percentage.get(), 50);

    let themes = json!([{ "theme": "Space", "mocCount": 7, "setCount": 2 }]);
    emit(&mut server, EventType::ThemeBreakdownUpdated, 6, themes).await;
    let state = screen.until("a theme", |state| {
        state.view.as_ref().is_some_and(|view| view.theme_breakdown.len() == 1)
    });
    assert_eq!(state.await.freshness.revision.map(Revision::get), Some(6));
    assert_eq!(screen.client.state().status, Status::Live);
    assert_eq!(server.seen("connection").len(), 1);
    assert_eq!(server.seen("request").len(), 1, "events alone, no fetching");
}

#[tokio::test]
async fn d_ws_8_d_res_5_unknown_and_malformed_events_are_logged_and_skipped() {
    let (mut server, screen) = live(3, "Lighthouse").await;
    let unknown = envelope("dashboard:somethingNew", 4, json!({ "x": 1 }));
    emit_raw(&mut server, "dashboard:somethingNew", json!([unknown])).await;
    let told = screen.until_told(Code::EventUnknown).await;
    assert!(told.message.contains("dashboard:somethingNew"), "{told:?}");

    let summary = EventType::SummaryUpdated.name();
    let good = view("")["summary"].clone();
    let mut negative = good.clone();
    negative["totalMocs"] = json!(-1);
    let mut huge = good.clone();
    huge["totalMocs"] = json!(1e300);
    let mut without_revision = envelope(summary, 4, good.clone());
    without_revision.as_object_mut().unwrap().remove("revision");
    let malformed = [
        json!([]),
        json!([null]),
        json!(["text"]),
        json!([17]),
        json!([envelope(summary, 4, Value::Null)]),
        json!([envelope(summary, 4, negative)]),
        json!([envelope(summary, 4, huge)]),
        json!([envelope(summary, 4, json!([]))]),
        // The name says one type, the envelope another.
        json!([envelope(EventType::ThemeBreakdownUpdated.name(), 4, good)]),
        json!([without_revision]),
    ];
    let count = malformed.len();
    for args in malformed {
        emit_raw(&mut server, summary, args).await;
    }
    for text in ["42/dashboard,[", "42/dashboard,{}", "42/dashboard,", "42/other,[\"x\"]", "4", "7"]
    {
        server.ask("frame", json!({ "text": text })).await;
    }
    // The next good event is applied: nothing was torn down.
    emit(&mut server, EventType::RecentMocsUpdated, 5, json!([moc("Still here")])).await;
    screen.until("the good event", |state| recent(state) == ["Still here"]).await;
    assert!(screen.count(Code::EventMalformed) >= count, "{:#?}", screen.diagnostics());
    assert!(screen.count(Code::FrameMalformed) >= 1, "{:#?}", screen.diagnostics());
    assert!(screen.diagnostics().iter().all(|told| told.message.chars().count() <= 600));
    assert_eq!(screen.client.state().status, Status::Live);
    assert_eq!(server.seen("disconnection").len(), 0);
    assert_eq!(server.seen("connection").len(), 1);
}

#[tokio::test]
async fn an_event_that_is_not_newer_is_never_applied() {
    let (mut server, screen) = live(7, "Current").await;
    for revision in [0, 6, 7] {
        emit(&mut server, EventType::RecentMocsUpdated, revision, json!([moc("Older")])).await;
    }
    emit(&mut server, EventType::SummaryUpdated, 8, view("")["summary"].clone()).await;
    let newer = |revision: u64| revision == 8;
    screen
        .until("revision 8", |state| state.freshness.revision.is_some_and(|r| newer(r.get())))
        .await;
    assert_eq!(titles(&screen), ["Current"]);
    assert_eq!(screen.count(Code::EventStale), 3);
}

#[tokio::test]
async fn events_during_the_snapshot_are_applied_after_it_if_they_are_newer() {
    let mut server = Oracle::server().await;
    let url = listen(&mut server).await;
    answer(&mut server, 5, "From the snapshot").await;
    server.ask("hold", json!({})).await;
    let screen = open(&url);
    server.until("request", |_| true).await;
    emit(&mut server, EventType::RecentMocsUpdated, 4, json!([moc("Before it")])).await;
    let mut summary = view("")["summary"].clone();
    summary["totalMocs"] = json!(12);
    emit(&mut server, EventType::SummaryUpdated, 6, summary).await;
    assert_eq!(screen.client.state().view, None, "nothing is shown by events alone");
    server.ask("release", json!({})).await;
    screen.until("the newer event", |state| total(state) == Some(12)).await;
    assert_eq!(titles(&screen), ["From the snapshot"]);
}

#[tokio::test]
async fn d_res_2_auth_failed_is_final_until_the_app_reauthenticates() {
    for data in [Value::Null, json!({ "code": "AUTH_FAILED" })] {
        let mut server = Oracle::server().await;
        let url = listen(&mut server).await;
        answer(&mut server, 1, "Lighthouse").await;
        server.ask("refuse", json!({ "message": "AUTH_FAILED", "data": data })).await;
        let screen = open(&url);
        let time = VirtualTime::start();
        let mut refused = false;
        for _ in 0..400 {
            refused |= screen.client.state().status == Status::AuthRequired;
            time.pass(if refused { Duration::from_mins(1) } else { STEP }).await;
            server.ask("count", json!({})).await;
        }
        let state = screen.client.state();
        assert_eq!(state.status, Status::AuthRequired);
        assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::AuthFailed));
        assert_eq!(server.seen("refusal").len(), 1, "one attempt in more than an hour");
        assert_eq!(server.seen("request").len(), 0, "and no polling");
        drop(time);
        server.ask("accept", json!({})).await;
        screen.client.reauthenticate();
        screen.until_status(Status::Live).await;
        assert_eq!(titles(&screen), ["Lighthouse"]);
    }
}

#[tokio::test]
async fn d_res_1_d_res_3_after_a_cut_it_reconnects_and_refetches_before_it_is_live() {
    let (mut server, screen) = live(3, "Before").await;
    answer(&mut server, 9, "Meanwhile").await;
    server.ask("cut", json!({})).await;
    let state = screen.until_status(Status::Backoff).await;
    assert_eq!(state.freshness.source, Source::Stale);
    assert_eq!(titles(&screen), ["Before"], "the view stays on the screen");
    assert_eq!(state.freshness.attempt, 1);
    assert!(state.freshness.next_retry_at.is_some());
    let state = screen.until_status(Status::Live).await;
    assert_eq!(recent(&state), ["Meanwhile"]);
    let requests = server.seen("request");
    assert_eq!(requests.len(), 2);
    assert!(requests[1]["url"].as_str().unwrap().ends_with("&have=e1-3"), "{}", requests[1]);
    let connections = server.seen("connection");
    assert_ne!(connections[0]["auth"], connections[1]["auth"], "a fresh token per attempt");
    emit(&mut server, EventType::RecentMocsUpdated, 10, json!([moc("Again live")])).await;
    screen.until("an event", |state| recent(state) == ["Again live"]).await;
}

#[tokio::test]
async fn a_polite_disconnect_of_the_namespace_is_a_loss_like_any_other() {
    for close in [false, true] {
        let (mut server, screen) = live(3, "Before").await;
        answer(&mut server, 4, "After").await;
        server.ask("disconnect", json!({ "close": close })).await;
        screen.until("the new snapshot", |state| recent(state) == ["After"]).await;
        screen.until_status(Status::Live).await;
    }
}

#[tokio::test]
async fn d_res_4_degraded_mode_polls_and_recovers() {
    let (mut server, screen) = live(3, "Before").await;
    // Only now: until here the clock is the real one.
    let time = VirtualTime::start();
    server.ask("sockets", json!({ "allowed": false })).await;
    server.ask("cut", json!({})).await;
    pass_until(&time, &mut server, &screen, Status::Degraded).await;
    let turned_away = server.seen("turned_away").len();
    assert!((4..=5).contains(&turned_away), "five failures, the cut perhaps included");
    let first = screen.client.state();
    assert_eq!(titles(&screen), ["Before"]);
    assert!(first.freshness.attempt >= 5);

    // It polls, politely, and shows what it finds.
    let begun = server.seen("request").len();
    answer(&mut server, 8, "Polled").await;
    let mut at = Vec::new();
    let started = tokio::time::Instant::now();
    while at.len() < 5 {
        time.pass(STEP).await;
        server.ask("count", json!({})).await;
        let polls = server.seen("request").len() - begun;
        at.extend((at.len()..polls).map(|_| started.elapsed().as_secs_f64()));
        assert!(started.elapsed() < Duration::from_mins(5), "it does not poll: {at:?}");
    }
    for pair in at.windows(2) {
        let gap = pair[1] - pair[0];
        // 30 s ± 10 %, and the steps of this test.
        assert!((26.5..=34.0).contains(&gap), "{at:?}");
    }
    let polls = server.seen("request");
    let last = polls.last().unwrap();
    assert!(last["url"].as_str().unwrap().ends_with("&have=e1-8"), "{last}");
    let state = screen.client.state();
    assert_eq!((state.status, state.freshness.source), (Status::Degraded, Source::Polling));
    assert_eq!(recent(&state), ["Polled"]);
    // The socket is still tried, slowly.
    let tries = server.seen("turned_away").len() - turned_away;
    assert!((3..60).contains(&tries), "{tries} tries in about two minutes");

    // The socket comes back: live, with the missed changes, and no more polling.
    answer(&mut server, 9, "Recovered").await;
    server.ask("sockets", json!({ "allowed": true })).await;
    pass_until(&time, &mut server, &screen, Status::Live).await;
    assert_eq!(recent(&screen.client.state()), ["Recovered"]);
    let requests = server.seen("request").len();
    // Longer than a poll's interval, shorter than the heartbeat's deadline: the server pings in
    // real time.
    for _ in 0..160 {
        time.pass(STEP).await;
        server.ask("count", json!({})).await;
    }
    assert_eq!(server.seen("request").len(), requests, "40 s without a poll");
    drop(time);
    emit(&mut server, EventType::RecentMocsUpdated, 10, json!([moc("Pushed")])).await;
    screen.until("an event", |state| recent(state) == ["Pushed"]).await;
}

#[tokio::test]
async fn a_401_of_the_snapshot_asks_for_a_new_session() {
    let mut server = Oracle::server().await;
    let url = listen(&mut server).await;
    let golden = include_str!("../../../shared-types/goldens/error-body-unauthorized.json");
    let body: serde_json::Value = serde_json::from_str(golden).unwrap();
    server.ask("answer", json!({ "status": 401, "body": body })).await;
    let screen = open(&url);
    let state = screen.until_status(Status::AuthRequired).await;
    assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::Unauthorized));
    assert_eq!(server.seen("request").len(), 1);
    assert_eq!(state.view, None);
}

#[tokio::test]
async fn a_401_that_was_not_made_for_the_request_ends_nothing() {
    let mut server = Oracle::server().await;
    let url = listen(&mut server).await;
    let golden = include_str!("../../../shared-types/goldens/error-body-unauthorized.json");
    server.ask("answer", json!({ "status": 401, "body": golden })).await;
    let screen = open(&url);
    screen.until_told(Code::SnapshotFailed).await;
    answer(&mut server, 1, "At last").await;
    screen.until_status(Status::Live).await;
    assert_eq!(screen.count(Code::Unauthorized), 0);
}

#[tokio::test]
async fn a_snapshot_that_fails_is_fetched_again_on_the_same_connection() {
    let mut server = Oracle::server().await;
    let url = listen(&mut server).await;
    server.ask("answer", json!({ "status": 502, "body": "<html>Bad Gateway</html>" })).await;
    let screen = open(&url);
    screen.until_told(Code::SnapshotFailed).await;
    server.ask("answer", json!({ "body": { "summary": {} }, "etag": "\"e1-1\"" })).await;
    screen.until_told(Code::SnapshotMalformed).await;
    answer(&mut server, 1, "At last").await;
    screen.until_status(Status::Live).await;
    assert_eq!(titles(&screen), ["At last"]);
    assert_eq!(server.seen("connection").len(), 1);
}

/// Lets time pass until the client comes to that status.
async fn pass_until(time: &VirtualTime, server: &mut Oracle, screen: &Screen, status: Status) {
    for _ in 0..2_000 {
        if screen.client.state().status == status {
            return;
        }
        time.pass(STEP).await;
        // A question and its answer: real time, in which sockets get on.
        server.ask("count", json!({})).await;
    }
    panic!("never {}: {:#?}, {:#?}", status.name(), screen.client.state(), screen.diagnostics());
}

/// A server with that snapshot, and a client that is live on it.
async fn live(revision: u64, title: &str) -> (Oracle, Screen) {
    let mut server = Oracle::server().await;
    let url = listen(&mut server).await;
    answer(&mut server, revision, title).await;
    let screen = open(&url);
    screen.until_status(Status::Live).await;
    (server, screen)
}

async fn listen(server: &mut Oracle) -> String {
    let port = server.ask("listen", json!({})).await["port"].clone();
    format!("http://127.0.0.1:{port}")
}

/// A client whose provider gives another token each time it is asked.
fn open(url: &str) -> Screen {
    let count = std::sync::atomic::AtomicU32::new(0);
    Screen::open_with(url, move || {
        format!("token-{}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)
    })
}

async fn answer(server: &mut Oracle, revision: u64, title: &str) {
    let tag = format!("\"e1-{revision}\"");
    server.ask("answer", json!({ "body": view(title), "etag": tag })).await;
}

async fn emit(server: &mut Oracle, event_type: EventType, revision: u64, payload: Value) {
    let name = event_type.name();
    emit_raw(server, name, json!([envelope(name, revision, payload)])).await;
}

async fn emit_raw(server: &mut Oracle, name: &str, args: Value) {
    server.ask("emit", json!({ "event": name, "args": args })).await;
}

fn envelope(name: &str, revision: u64, payload: Value) -> Value {
    let mut envelope = json!({
        "eventId": "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60", "type": name,
        "timestamp": "2026-11-23T09:30:00.123Z", "revision": revision,
    });
    envelope["payload"] = payload;
    envelope
}

/// A snapshot with one MOC of that title.
fn view(title: &str) -> Value {
    json!({
        "summary": {
            "totalMocs": 1, "totalWishlistItems": 0,
            "mocsByBuildStatus": { "ADDED": 1, "IN_PROGRESS": 0, "BUILT": 0 },
            "mocsByCoverageStatus": { "FULL_INVENTORY": 0, "PARTIAL_ORDERED": 0, "NONE": 1 },
        },
        "themeBreakdown": [], "recentMocs": [moc(title)], "partialPartsMocs": [],
    })
}

/// A MOC of that title, with a separate id for each title.
fn moc(title: &str) -> Value {
    let id = uuid::Uuid::from_u128(
        title.bytes().fold(7, |id, byte| id.rotate_left(7) ^ u128::from(byte)),
    );
    json!({
        "id": id.to_string(), "title": title, "theme": "City", "buildStatus": "ADDED",
        "coverImageUrl": null, "createdAt": "2026-11-23T09:30:00Z",
    })
}

fn total(state: &client_sdk::state::DashboardState) -> Option<u32> {
    state.view.as_ref().map(|view| view.summary.total_mocs)
}

fn recent(state: &client_sdk::state::DashboardState) -> Vec<&str> {
    let mocs = state.view.iter().flat_map(|view| view.recent_mocs.iter());
    mocs.map(|moc| moc.title.as_str()).collect()
}

fn titles(screen: &Screen) -> Vec<String> {
    recent(&screen.client.state()).into_iter().map(str::to_owned).collect()
}
