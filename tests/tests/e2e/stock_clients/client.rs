//! Clients of Socket.IO that others have written, with as few options as they need. All of them
//! report what they do in one form.

use e2e_tests::{DEADLINE, Oracle, Python};
use futures_util::FutureExt;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event, Payload, TransportType};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A client's name among those of its oracle.
const NAME: &str = "a";

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stock {
    /// `socket.io-client` in Node.js
    Node,
    /// `socketio.Client` of `python-socketio`
    PythonSync,
    /// `socketio.AsyncClient` of `python-socketio`
    PythonAsync,
    /// `rust_socketio`
    Rust,
}

/// The option of a client about transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transports {
    /// Nothing: it begins with polling and changes to a WebSocket.
    Default,
    /// To poll, and nothing else.
    Polling,
    /// To begin with a WebSocket.
    WebSocket,
}

/// A client that has been asked to connect; ends with this value.
#[derive(Debug)]
pub(crate) struct StockClient(Inner);

#[derive(Debug)]
enum Inner {
    Oracle(Oracle),
    Rust(RustClient),
}

struct RustClient {
    /// None where it could not connect.
    _client: Option<Client>,
    happenings: UnboundedReceiver<Value>,
    seen: Vec<Value>,
}

impl StockClient {
    /// Connects to the namespace of a server at that address, with that token.
    pub(crate) async fn connect(
        kind: Stock,
        url: &str,
        token: &str,
        transports: Transports,
    ) -> Self {
        let mut oracle = match kind {
            Stock::Node => Oracle::client().await,
            Stock::PythonSync => Oracle::python(Python::Sync).await,
            Stock::PythonAsync => Oracle::python(Python::Async).await,
            Stock::Rust => {
                return Self(Inner::Rust(RustClient::connect(url, token, transports).await));
            }
        };
        let mut options = json!({ "auth": { "token": token } });
        match transports {
            Transports::Default => {}
            Transports::Polling => options["transports"] = json!(["polling"]),
            Transports::WebSocket => options["transports"] = json!(["websocket"]),
        }
        let url = format!("{url}/dashboard");
        let connect = json!({ "name": NAME, "url": url, "options": options, "defaults": true });
        oracle.ask("connect", connect).await;
        Self(Inner::Oracle(oracle))
    }

    /// The next happening of that name that fits: `connect`, `transport`, `event`, `connect_error`,
    /// `disconnect`, and others by client.
    pub(crate) async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        match &mut self.0 {
            Inner::Oracle(oracle) => oracle.until(name, fits).await,
            Inner::Rust(client) => client.until(name, fits).await,
        }
    }
}

impl RustClient {
    async fn connect(url: &str, token: &str, transports: Transports) -> Self {
        let (sender, happenings) = unbounded_channel();
        let builder = builder(url, token, &sender).transport_type(match transports {
            Transports::Default => TransportType::Any,
            Transports::Polling => TransportType::Polling,
            Transports::WebSocket => TransportType::Websocket,
        });
        let client = Box::pin(builder.connect()).await;
        if let Err(error) = &client {
            let _ = sender.send(json!({ "happened": "failed", "error": error.to_string() }));
        }
        Self { _client: client.ok(), happenings, seen: Vec::new() }
    }

    async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = tokio::time::timeout(DEADLINE, async {
            while let Some(happening) = self.happenings.recv().await {
                self.seen.push(happening.clone());
                if happening["happened"] == name && fits(&happening) {
                    return happening;
                }
            }
            panic!("the client has ended; it saw {:#?}", self.seen)
        });
        let Ok(happening) = found.await else {
            panic!("waited in vain for {name:?}; the client saw {:#?}", self.seen);
        };
        happening
    }
}

impl std::fmt::Debug for RustClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RustClient").field("seen", &self.seen).finish_non_exhaustive()
    }
}

fn builder(url: &str, token: &str, happenings: &UnboundedSender<Value>) -> ClientBuilder {
    let (events, errors, connects) = (happenings.clone(), happenings.clone(), happenings.clone());
    ClientBuilder::new(url)
        .namespace("/dashboard")
        .auth(json!({ "token": token }))
        .on_any(move |event, payload, _| {
            let event = event.to_string();
            let _ =
                events.send(json!({ "happened": "event", "event": event, "args": args(payload) }));
            async {}.boxed()
        })
        // It tells a refusal as an error, in words.
        .on(Event::Error, move |payload, _| {
            let _ = errors.send(json!({ "happened": "connect_error", "message": args(payload) }));
            async {}.boxed()
        })
        .on(Event::Connect, move |_, _| {
            let _ = connects.send(json!({ "happened": "connect" }));
            async {}.boxed()
        })
}

fn args(payload: Payload) -> Value {
    match payload {
        Payload::Text(values) => Value::Array(values),
        other => json!([format!("{other:?}")]),
    }
}
