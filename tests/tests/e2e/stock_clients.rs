//! Clients of Socket.IO that others have written, with their default options, which begin with HTTP
//! long-polling: they connect, change to a WebSocket, and receive each kind of event; and the same
//! where they may only poll.

mod client;

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Browser, Oracle, Payload, Received, Site, TestApp, within};
use serde_json::{Value, json};
use shared_types::{ErrorBody, ErrorEventCode, EventType};

use self::client::Stock::{Node, PythonAsync, PythonSync, Rust};
use self::client::{Stock, StockClient, Transports};

const USER: &str = "stock@example.test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_socket_io_in_node_receives_every_event() {
    everything(Node, Transports::Default).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_socket_io_in_node_receives_every_event_by_polling() {
    everything(Node, Transports::Polling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_python_socketio_receives_every_event() {
    everything(PythonSync, Transports::Default).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_python_socketio_receives_every_event_by_polling() {
    everything(PythonSync, Transports::Polling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_async_python_socketio_receives_every_event() {
    everything(PythonAsync, Transports::Default).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_async_python_socketio_receives_every_event_by_polling() {
    everything(PythonAsync, Transports::Polling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_rust_socketio_receives_every_event() {
    everything(Rust, Transports::Default).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_rust_socketio_receives_every_event_by_polling() {
    everything(Rust, Transports::Polling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_ws_6_rust_socketio_receives_every_event_by_websocket() {
    everything(Rust, Transports::WebSocket).await;
}

#[tokio::test]
async fn d_ws_4_d_res_2_stock_clients_are_refused_with_auth_failed_and_do_not_retry() {
    for transports in [Transports::Default, Transports::Polling, Transports::WebSocket] {
        for kind in [Node, PythonSync, PythonAsync, Rust] {
            let app = TestApp::start().await;
            let mut client =
                StockClient::connect(kind, &app.url(), "not.a.token", transports).await;
            let error = client.until("connect_error", |_| true).await;
            println!("{kind:?}, {transports:?}: {error}");
            if kind == Rust {
                // Its error is a text.
                assert!(error["message"].to_string().contains("AUTH_FAILED"), "{error}");
            } else {
                assert_eq!(error["message"], "AUTH_FAILED", "{kind:?}");
                assert_eq!(error["data"], json!({ "code": "AUTH_FAILED" }), "{kind:?}");
            }
            match kind {
                Node => assert_eq!(error["active"], false),
                PythonSync | PythonAsync => drop(client.until("failed", |_| true).await),
                Rust => {}
            }
            // Its connection is over, and it has no other. rust_socketio connects again after any end.
            let metrics = app.metrics_until("the end", |m| m.count("dashboard_transports") == 0);
            let refused = metrics.await.count("dashboard_refusals_total{reason=\"malformed\"}");
            assert!(refused == 1 || kind == Rust, "{kind:?}, {transports:?}: {refused}");
        }
    }
}

#[tokio::test]
async fn socket_io_in_chromium_connects_from_pages_that_may_use_the_server() {
    let (allowed, foreign) = (Site::start().await, Site::start().await);
    let app = TestApp::start_with(&["--allowed-origins", allowed.origin()]).await;
    let browser = Browser::open(800, 600).await.unwrap();
    let own = app.url();
    for origin in [allowed.origin(), &own, foreign.origin()] {
        browser.goto(origin).await.unwrap();
        browser.console().await.unwrap();
        for options in [
            json!({}),
            json!({ "withCredentials": true }),
            json!({ "transports": ["polling"] }),
            json!({ "transports": ["websocket"] }),
        ] {
            let seen = connect(&browser, &app, &options).await;
            let console = browser.console().await.unwrap();
            println!("{origin} with {options}: {seen:#}\nconsole: {console:#?}");
            let blames_cors = console.iter().any(|line| line.message.contains("CORS policy"));
            let transports = options["transports"].as_array();
            let last = transports.map_or("websocket", |names| names[0].as_str().unwrap());
            let begins_with_polling = transports.is_none_or(|names| names[0] == "polling");
            if origin == foreign.origin() && begins_with_polling {
                // As for everything else of the server: the operator has not allowed that page.
                assert_eq!(seen["message"], "xhr poll error");
                assert_eq!((&seen["description"], &seen["text"]), (&json!(0), &json!("")));
                assert!(blames_cors, "{console:#?}");
            } else {
                // A page without a right to the cookie has its token.
                assert_eq!(seen, json!({ "connected": true, "transport": last }), "{origin}");
                assert!(!blames_cors, "{console:#?}");
            }
        }
    }
}

#[tokio::test]
async fn socket_io_in_chromium_receives_events_over_either_transport() {
    let site = Site::start().await;
    let app = TestApp::start_with(&["--allowed-origins", site.origin()]).await;
    let browser = Browser::open(800, 600).await.unwrap();
    browser.goto(site.origin()).await.unwrap();
    for transport in ["polling", "websocket"] {
        let user = format!("{transport}@example.test");
        let auth = json!({ "token": app.tokens.access(&user) });
        let options =
            if transport == "polling" { json!({ "transports": ["polling"] }) } else { json!({}) };
        let client = Oracle::package_file("socket.io-client/dist/socket.io.min.js");
        let url = format!("{}/dashboard", app.url());
        let script = format!(
            "{client}
             window.told = []
             const options = {options}
             const socket = io('{url}', {{ forceNew: true, ...options, auth: {auth} }})
             socket.onAny((name, event) => window.told.push([name, event]))
             socket.on('connect', () => {{
               const {{ engine }} = socket.io
               const check = () => engine.transport.name === '{transport}' && done(true)
               engine.on('upgrade', check)
               check()
             }})"
        );
        browser.run(&script).await.unwrap();
        writer::add_wish(app.db(), &user, "Titanic").await;
        let name = EventType::SummaryUpdated.name();
        let condition = format!("window.told.find(([name]) => name === '{name}')");
        browser.wait_until(&condition, e2e_tests::DEADLINE).await.unwrap();
        let envelope = browser.evaluate(&format!("{condition}[1]")).await.unwrap();
        let Payload::Summary(summary) = Received::from_envelope(name, envelope).payload else {
            panic!("no summary")
        };
        assert_eq!(summary.total_wishlist_items, 1);
    }
}

#[tokio::test]
async fn socket_io_in_chromium_shows_why_the_namespace_refuses() {
    let site = Site::start().await;
    let flags = ["--auth-failures-per-minute", "1", "--allowed-origins", site.origin()];
    let app = TestApp::start_with(&flags).await;
    let browser = Browser::open(800, 600).await.unwrap();
    browser.goto(site.origin()).await.unwrap();
    for transports in [json!(["websocket"]), json!(["polling"]), json!(["polling", "websocket"])] {
        for (namespace, message, code) in [
            ("/dashboard", "AUTH_FAILED", "AUTH_FAILED"),
            // Beyond the limit of its address.
            ("/dashboard", "AUTH_FAILED", "AUTH_FAILED"),
            ("/", "Invalid namespace", "INVALID_NAMESPACE"),
        ] {
            let options = json!({ "transports": transports, "auth": { "token": "nonsense" } });
            let seen = connect_to(&browser, &app, namespace, &options).await;
            println!("{namespace}: {seen}");
            let data = json!({ "code": code });
            assert_eq!((&seen["message"], &seen["data"]), (&json!(message), &data));
        }
    }
}

/// Where polling is switched off, the server tells developers what to set.
#[tokio::test]
async fn without_polling_socket_io_shows_what_to_set() {
    let site = Site::start().await;
    let flags = ["--polling=false", "--allowed-origins", site.origin()];
    let app = TestApp::start_with(&flags).await;
    let token = app.tokens.access(USER);
    let mut client = StockClient::connect(Node, &app.url(), &token, Transports::Default).await;
    let seen = client.until("connect_error", |_| true).await;
    println!("Node: {seen:#}");
    assert_eq!((&seen["message"], &seen["status"]), (&json!("xhr poll error"), &json!(400)));
    assert_is_told(seen["text"].as_str().unwrap());
    let browser = Browser::open(800, 600).await.unwrap();
    browser.goto(site.origin()).await.unwrap();
    let seen = connect(&browser, &app, &json!({})).await;
    println!("Chromium: {seen:#}");
    assert_eq!((&seen["message"], &seen["description"]), (&json!("xhr poll error"), &json!(400)));
    assert_is_told(seen["text"].as_str().unwrap());
    let seen = connect(&browser, &app, &json!({ "transports": ["websocket"] })).await;
    assert_eq!(seen, json!({ "connected": true, "transport": "websocket" }));
    // It reads an answer of any status as a packet: the protocol's page names its words.
    let mut client = StockClient::connect(Rust, &app.url(), &token, Transports::Default).await;
    let error = client.until("failed", |_| true).await;
    println!("rust_socketio: {error}");
    let page = include_str!("../../../docs/protocol.md");
    assert!(page.contains(&format!("`{}`", error["error"].as_str().unwrap())), "{error}");
}

/// A client connects, changes its transport if it may, and receives each kind of event.
async fn everything(kind: Stock, transports: Transports) {
    let mut app = TestApp::start().await;
    let token = app.tokens.access(USER);
    let mut client = StockClient::connect(kind, &app.url(), &token, transports).await;
    client.until("connect", |_| true).await;
    let polling = u64::from(transports == Transports::Polling);
    app.metrics_until("its transport", |metrics| {
        metrics.count("dashboard_transports") == 1
            && metrics.count("dashboard_polling_transports") == polling
    })
    .await;
    if kind != Rust {
        let name = if polling == 1 { "polling" } else { "websocket" };
        client.until("transport", |told| told["transport"] == name).await;
    }
    let moc = writer::add_moc(app.db(), USER, &NewMoc::new("Castle", "castle")).await;
    // Python's sync client calls each listener in a separate thread: the order is not the server's.
    let mut expected = vec![
        EventType::SummaryUpdated,
        EventType::ThemeBreakdownUpdated,
        EventType::RecentMocAdded,
    ];
    while !expected.is_empty() {
        let is_expected =
            |told: &Value| expected.iter().any(|event_type| told["event"] == event_type.name());
        let told = client.until("event", is_expected).await;
        if told["event"] == EventType::SummaryUpdated.name() {
            assert_eq!(told["args"][0]["payload"]["totalMocs"], 1, "{told}");
        }
        expected.retain(|event_type| told["event"] != event_type.name());
    }
    writer::rename_moc(app.db(), moc, "Keep").await;
    let Payload::RecentMocs(recent) = next(&mut client, EventType::RecentMocsUpdated).await else {
        panic!("no recent list")
    };
    assert_eq!(recent[0].title.as_str(), "Keep");
    writer::add_parts(app.db(), moc, &[("3001", 4, 10)]).await;
    writer::order_parts(app.db(), USER, ("3001", 4, 5)).await;
    next(&mut client, EventType::PartialPartsUpdated).await;
    let stopped = tokio::task::spawn_blocking(move || app.stop());
    let Payload::Error(error) = next(&mut client, EventType::Error).await else {
        panic!("no error")
    };
    assert_eq!(error.code, ErrorEventCode::ServerDraining);
    within("the server's end", stopped).await.unwrap();
}

/// What the next event of that type says.
async fn next(client: &mut StockClient, event_type: EventType) -> Payload {
    let name = event_type.name();
    let told = client.until("event", |told| told["event"] == name).await;
    Received::from_envelope(name, told["args"][0].clone()).payload
}

/// The text names each client's own option.
fn assert_is_told(text: &str) {
    let body: ErrorBody = serde_json::from_str(text).unwrap();
    for option in [
        "transports: ['websocket']",
        "transports=['websocket']",
        ".transport_type(TransportType::Websocket)",
    ] {
        assert!(body.error.message.contains(option), "{text}");
    }
}

/// What the developer of the page sees of a client with those options and a session: once it has
/// the transport that it ends with.
async fn connect(browser: &Browser, app: &TestApp, options: &Value) -> Value {
    let mut options = options.clone();
    options["auth"] = json!({ "token": app.tokens.access(USER) });
    connect_to(browser, app, "/dashboard", &options).await
}

async fn connect_to(browser: &Browser, app: &TestApp, namespace: &str, options: &Value) -> Value {
    let client = Oracle::package_file("socket.io-client/dist/socket.io.min.js");
    let url = format!("{}{namespace}", app.url());
    let script = format!(
        "{client}
         const options = {options}
         const socket = io('{url}', {{ forceNew: true, ...options }})
         const finish = (seen) => {{ socket.close(); done(seen) }}
         const connected = (transport) => finish({{ connected: true, transport }})
         socket.on('connect', () => {{
           const {{ engine }} = socket.io
           const {{ name }} = engine.transport
           const isLast = name === 'websocket' || options.transports?.length === 1
           if (isLast) connected(name)
           else engine.on('upgrade', (transport) => connected(transport.name))
         }})
         socket.on('connect_error', ({{ message, description, context, data }}) =>
           finish({{ message, description, data, text: context?.responseText }}))"
    );
    browser.run(&script).await.unwrap()
}
