//! Official clients with their default options, which begin with HTTP long-polling: what their
//! developers see. Each test prints it.

use e2e_tests::{Browser, Oracle, Site, TestApp, within};
use rust_socketio::asynchronous::ClientBuilder;
use serde_json::{Value, json};
use shared_types::ErrorBody;

const USER: &str = "stock@example.test";

#[tokio::test]
async fn socket_io_in_chromium_shows_what_to_set_to_pages_that_may_use_the_server() {
    let (allowed, foreign) = (Site::start().await, Site::start().await);
    let app = TestApp::start_with(&["--allowed-origins", allowed.origin()]).await;
    let browser = Browser::open(800, 600).await.unwrap();
    let own = app.url();
    for origin in [allowed.origin(), &own, foreign.origin()] {
        browser.goto(origin).await.unwrap();
        browser.console().await.unwrap();
        for options in [json!({}), json!({ "withCredentials": true })] {
            let seen = connect(&browser, &app, &options).await;
            let console = browser.console().await.unwrap();
            println!("{origin} with {options}: {seen:#}\nconsole: {console:#?}");
            assert_eq!(seen["message"], "xhr poll error");
            let blames_cors = console.iter().any(|line| line.message.contains("CORS policy"));
            if origin == foreign.origin() {
                // As for everything else of the server: the operator has not allowed that page.
                assert_eq!((&seen["description"], &seen["text"]), (&json!(0), &json!("")));
                assert!(blames_cors, "{console:#?}");
            } else {
                assert_eq!(seen["description"], 400);
                assert_is_told(seen["text"].as_str().unwrap());
                assert!(!blames_cors, "{console:#?}");
            }
        }
        // What the text says to set is what it takes, also for a page without a right to the cookie.
        let seen = connect(&browser, &app, &json!({ "transports": ["websocket"] })).await;
        assert_eq!(seen, json!({ "connected": true }), "{origin}");
    }
}

#[tokio::test]
async fn socket_io_in_chromium_shows_why_the_namespace_refuses() {
    let site = Site::start().await;
    let app = TestApp::start_with(&["--auth-failures-per-minute", "1"]).await;
    let browser = Browser::open(800, 600).await.unwrap();
    browser.goto(site.origin()).await.unwrap();
    for (namespace, message, code) in [
        ("/dashboard", "AUTH_FAILED", "AUTH_FAILED"),
        // Beyond the limit of its address.
        ("/dashboard", "AUTH_FAILED", "AUTH_FAILED"),
        ("/", "Invalid namespace", "INVALID_NAMESPACE"),
    ] {
        let options = json!({ "transports": ["websocket"], "auth": { "token": "nonsense" } });
        let seen = connect_to(&browser, &app, namespace, &options).await;
        println!("{namespace}: {seen}");
        assert_eq!((&seen["message"], &seen["data"]), (&json!(message), &json!({ "code": code })));
    }
}

#[tokio::test]
async fn socket_io_in_node_shows_what_to_set() {
    let app = TestApp::start().await;
    let mut client = Oracle::client().await;
    let url = format!("{}/dashboard", app.url());
    let options = json!({ "auth": { "token": app.tokens.access(USER) } });
    let connect = json!({ "name": "a", "url": url, "options": options, "defaults": true });
    client.ask("connect", connect).await;
    let seen = client.until("connect_error", |_| true).await;
    println!("Node: {seen:#}");
    assert_eq!((&seen["message"], &seen["status"]), (&json!("xhr poll error"), &json!(400)));
    assert_is_told(seen["text"].as_str().unwrap());
}

/// It reads whatever comes as a packet, whatever the status says: the protocol's page names its words.
#[tokio::test]
async fn rust_socketio_shows_an_error_that_the_protocol_s_page_explains() {
    let app = TestApp::start().await;
    let builder = ClientBuilder::new(app.url()).namespace("/dashboard").reconnect(false);
    let connected = within("an answer", Box::pin(builder.connect())).await;
    let error = connected.err().expect("it begins with another transport");
    println!("rust_socketio: {error}: {error:?}");
    let page = include_str!("../../../docs/protocol.md");
    for words in [error.to_string(), format!("{error:?}")] {
        assert!(page.contains(&format!("`{words}`")), "{words}");
    }
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

/// What the developer of the page sees of a client with those options and a session.
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
         const socket = io('{url}', {{ forceNew: true, ...{options} }})
         const finish = (seen) => {{ socket.close(); done(seen) }}
         socket.on('connect', () => finish({{ connected: true }}))
         socket.on('connect_error', ({{ message, description, context, data }}) =>
           finish({{ message, description, data, text: context?.responseText }}))"
    );
    browser.run(&script).await.unwrap()
}
