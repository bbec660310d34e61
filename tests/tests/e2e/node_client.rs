//! The official JavaScript client, `socket.io-client`, against our server.

use std::time::Duration;

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Oracle, Received, TestApp};
use serde_json::{Value, json};
use shared_types::EventType;

const USER: &str = "node@example.test";

#[tokio::test]
async fn d_ws_1_d_ws_2_accepts_a_token_in_the_handshake() {
    let app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let auth = json!({ "auth": { "token": app.tokens.access(USER) } });
    connect(&mut client, &app, "a", auth).await;
    client.until("connect", |_| true).await;
    let state = client.ask("state", json!({ "name": "a" })).await;
    assert_eq!(state["connected"], true);
}

#[tokio::test]
async fn d_ws_2_accepts_the_session_cookie() {
    let app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let cookie = format!("theme=dark; auth_token={}", app.tokens.id(USER));
    let headers = json!({ "cookie": cookie, "origin": app.url() });
    connect(&mut client, &app, "a", json!({ "extraHeaders": headers })).await;
    client.until("connect", |_| true).await;
}

#[tokio::test]
async fn d_ws_4_refuses_with_auth_failed_and_the_client_does_not_retry() {
    let app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let impatient = json!({ "reconnectionDelay": 1, "reconnectionDelayMax": 1 });
    for (name, auth) in [
        ("none", json!({})),
        ("empty", json!({ "auth": { "token": "" } })),
        ("garbage", json!({ "auth": { "token": "not.a.token" } })),
        ("id", json!({ "auth": { "token": app.tokens.id(USER) } })),
        ("shape", json!({ "auth": { "token": { "sub": USER } } })),
    ] {
        let mut options = impatient.clone();
        options.as_object_mut().unwrap().extend(auth.as_object().unwrap().clone());
        connect(&mut client, &app, name, options).await;
        let error = client.until("connect_error", |error| error["name"] == name).await;
        assert_eq!(error["message"], "AUTH_FAILED", "{name}");
        assert_eq!(error["data"], json!({ "code": "AUTH_FAILED" }), "{name}");
        assert_eq!(error["active"], false, "{name}: the client has given up");
        let state = client.ask("state", json!({ "name": name })).await;
        assert_eq!(state["engine"], "closed", "{name}");
    }
    // A whole session later, none of them has tried again, at a delay of 1 ms.
    let auth = json!({ "auth": { "token": app.tokens.access(USER) } });
    connect(&mut client, &app, "good", auth).await;
    client.until("connect", |event| event["name"] == "good").await;
    assert_eq!(client.seen("reconnect_attempt"), [Value::Null; 0]);
    assert_eq!(client.seen("connect_error").len(), 5);
}

#[tokio::test]
async fn d_ws_5_d_ws_6_receives_every_type_of_event_in_its_envelope() {
    let app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let auth = json!({ "auth": { "token": app.tokens.access(USER) } });
    connect(&mut client, &app, "a", auth).await;
    client.until("connect", |_| true).await;

    let moc = writer::add_moc(app.db(), USER, &NewMoc::new("Lighthouse", "City")).await;
    for event_type in
        [EventType::SummaryUpdated, EventType::ThemeBreakdownUpdated, EventType::RecentMocAdded]
    {
        envelope(&mut client, event_type).await;
    }
    writer::rename_moc(app.db(), moc, "Taller Lighthouse").await;
    let list = envelope(&mut client, EventType::RecentMocsUpdated).await;
    assert_eq!(list["payload"][0]["title"], "Taller Lighthouse");
    writer::add_parts(app.db(), moc, &[("3001", 1, 4)]).await;
    writer::own_parts(app.db(), USER, ("3001", 1, 1)).await;
    let rows = envelope(&mut client, EventType::PartialPartsUpdated).await;
    assert_eq!(rows["payload"][0]["coveragePercentage"], 25);
    assert_eq!(rows["payload"][0]["id"], moc.to_string());

    // One argument each, ids that sort by time, revisions that never fall.
    let events = client.seen("event");
    assert!(
        events.iter().all(|event| event["args"].as_array().is_some_and(|args| args.len() == 1))
    );
    let ids: Vec<_> = events.iter().map(|event| event["args"][0]["eventId"].to_string()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.as_bytes()[15] == b'7'), "{ids:?}");
    let revisions = events.iter().map(|event| event["args"][0]["revision"].as_u64());
    assert!(revisions.is_sorted());
}

#[tokio::test]
async fn d_ws_6_errors_are_events_too() {
    let app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let token = app.tokens.access(USER);
    connect(&mut client, &app, "a", json!({ "auth": { "token": token } })).await;
    client.until("connect", |_| true).await;
    // The data of the summary cannot be read: clients learn that they may be stale.
    hide(&app, "wishlist_items", "hidden").await;
    writer::add_moc(app.db(), USER, &NewMoc::new("Unseen", "City")).await;
    let unavailable = envelope(&mut client, EventType::Error).await;
    assert_eq!(unavailable["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
    hide(&app, "hidden", "wishlist_items").await;
    let summary = envelope(&mut client, EventType::SummaryUpdated).await;
    assert_eq!(summary["payload"]["totalMocs"], 1, "told as soon as it can be read again");
    // The session runs out: the client learns why, and is disconnected.
    let token = app.tokens.access_for(USER, Duration::from_secs(8));
    connect(&mut client, &app, "b", json!({ "auth": { "token": token } })).await;
    let expired = envelope(&mut client, EventType::Error).await;
    assert_eq!(expired["payload"]["code"], "TOKEN_EXPIRED");
    client.until("disconnect", |event| event["name"] == "b").await;
}

#[tokio::test]
async fn reconnects_after_the_server_was_restarted() {
    let mut app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let options = json!({
        "auth": { "token": app.tokens.access(USER) }, "reconnectionDelay": 20,
        "reconnectionDelayMax": 50,
    });
    connect(&mut client, &app, "a", options).await;
    client.until("connect", |_| true).await;
    app.stop();
    client.until("disconnect", |_| true).await;
    app.start_again().await;
    client.until("connect", |_| true).await;
    writer::add_wish(app.db(), USER, "Titanic").await;
    envelope(&mut client, EventType::SummaryUpdated).await;
}

async fn hide(app: &TestApp, table: &str, name: &str) {
    let statement = format!("alter table dashboard.{table} rename to {name}");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(app.db()).await.unwrap();
}

async fn connect(client: &mut Oracle, app: &TestApp, name: &str, options: Value) {
    let url = format!("{}/dashboard", app.url());
    client.ask("connect", json!({ "name": name, "url": url, "options": options })).await;
}

/// Waits for an event of that type, held against the contract; returns its envelope.
async fn envelope(client: &mut Oracle, event_type: EventType) -> Value {
    let name = event_type.name();
    let event = client.until("event", |event| event["event"] == name).await;
    let envelope = event["args"][0].clone();
    let read = Received::from_envelope(name, envelope.clone());
    assert_eq!(read.event_type, event_type);
    envelope
}
