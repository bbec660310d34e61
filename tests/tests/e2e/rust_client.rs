//! The Rust client that others use, `rust_socketio`, against our server.

use e2e_tests::{Received, TestApp, within, writer};
use futures_util::FutureExt;
use rust_socketio::asynchronous::ClientBuilder;
use rust_socketio::{Event, Payload, TransportType};
use serde_json::{Value, json};
use shared_types::EventType;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const USER: &str = "rust@example.test";

#[tokio::test]
async fn rust_socketio_is_accepted_and_receives_events() {
    let app = TestApp::start().await;
    let (sender, mut events) = unbounded_channel();
    let client = builder(&app, &app.tokens.access(USER), sender).connect().await.unwrap();
    next(&mut events, "connect").await;
    writer::add_wish(app.db(), USER, "Titanic").await;
    let name = EventType::SummaryUpdated.name();
    let envelope = next(&mut events, name).await;
    let event = Received::from_envelope(name, envelope);
    let e2e_tests::Payload::Summary(summary) = event.payload else { panic!("{event}") };
    assert_eq!(summary.total_wishlist_items, 1);
    client.disconnect().await.unwrap();
}

#[tokio::test]
async fn d_ws_4_rust_socketio_is_refused_with_auth_failed() {
    let app = TestApp::start().await;
    let (sender, mut events) = unbounded_channel();
    // It has connected before the namespace answers, and tells the refusal as an error.
    let _client = builder(&app, "not.a.token", sender).connect().await;
    let error = next(&mut events, "error").await;
    assert!(error.to_string().contains("AUTH_FAILED"), "{error}");
}

fn builder(app: &TestApp, token: &str, events: UnboundedSender<(String, Value)>) -> ClientBuilder {
    let (errors, connects) = (events.clone(), events.clone());
    ClientBuilder::new(app.url())
        .namespace("/dashboard")
        .transport_type(TransportType::Websocket)
        .auth(json!({ "token": token }))
        .reconnect(false)
        .on_any(move |event, payload, _| {
            let _ = events.send((event.to_string(), value(payload)));
            async {}.boxed()
        })
        .on(Event::Error, move |payload, _| {
            let _ = errors.send(("error".to_owned(), value(payload)));
            async {}.boxed()
        })
        .on(Event::Connect, move |payload, _| {
            let _ = connects.send(("connect".to_owned(), value(payload)));
            async {}.boxed()
        })
}

fn value(payload: Payload) -> Value {
    match payload {
        Payload::Text(values) => values.into_iter().next().unwrap_or_default(),
        other => json!(format!("{other:?}")),
    }
}

async fn next(events: &mut UnboundedReceiver<(String, Value)>, name: &str) -> Value {
    within(name, async {
        loop {
            let (event, value) = events.recv().await.expect("the client lives");
            if event == name {
                return value;
            }
        }
    })
    .await
}
