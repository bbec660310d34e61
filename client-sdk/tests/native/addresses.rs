//! Where the token goes: to the address that the program named, or nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client_sdk::endpoint::Endpoints;
use client_sdk::{Code, DashboardClient, Options, StartError, Status};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::life::{options, until, until_status};
use crate::server::Server;

/// A list of `addresses.json`, which the npm package's tests read too:
///
/// - `refusedUrls` and `refusedBasePaths`: what an option is set to, and what is right, as the error says it. `HERE`
///   stands for a host and a port where a listener is; the host alone is `127.0.0.1`.
/// - `accepted`: `url`, base path, the socket's address before its own path, and the snapshot's address.
fn list<const N: usize>(name: &str) -> Vec<[String; N]> {
    let lists: Value = serde_json::from_str(include_str!("../addresses.json")).unwrap();
    let rows: Vec<Vec<String>> = serde_json::from_value(lists[name].clone()).unwrap();
    rows.into_iter().map(|row| row.try_into().unwrap()).collect()
}

#[tokio::test]
async fn impossible_and_unsuitable_addresses_are_refused_and_nothing_is_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let start = |url: String, base_path: String| {
        let counter = asked.clone();
        let options = Options::new(url).base_path(base_path).token(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { "secret-token" }
        });
        DashboardClient::start(options)
    };
    let must_be_refused = |name: &str, url: &str, base_path: &str, rule: &str| {
        let [url, base_path] = [url, base_path].map(|text| text.replace("HERE", &here.to_string()));
        let what = format!("{url:?} {base_path:?}");
        let Err(StartError::Url(error)) = start(url, base_path) else {
            panic!("not refused: {what}");
        };
        let told = error.to_string();
        assert!(told.starts_with(&format!("{name} {rule}")), "{what}: {told}");
        assert!(!told.contains("hidden"), "{what}: {told}");
    };
    for [url, rule] in list("refusedUrls") {
        must_be_refused("url", &url, "/api", &rule);
    }
    for [base_path, rule] in list("refusedBasePaths") {
        must_be_refused("base_path", "http://HERE", &base_path, &rule);
    }

    // Any other connection would be in front of this one.
    let ours = TcpStream::connect(here).await.unwrap();
    let (_, first) = listener.accept().await.unwrap();
    assert_eq!(first, ours.local_addr().unwrap(), "something was connected");
    assert_eq!(asked.load(Ordering::Relaxed), 0, "a token was asked for");
}

#[test]
fn one_reading_of_an_address_makes_both() {
    for [url, base_path, socket, snapshot] in list("accepted") {
        let endpoints = Endpoints::read(&url, &base_path)
            .unwrap_or_else(|error| panic!("{url:?} {base_path:?}: {error}"));
        let path = "/socket.io/?EIO=4&transport=websocket";
        assert_eq!(endpoints.socket, socket + path, "{url:?} {base_path:?}");
        assert_eq!(endpoints.snapshot, snapshot, "{url:?} {base_path:?}");
    }
}

#[tokio::test]
async fn a_path_in_the_address_is_before_both() {
    let mut server = Server::start().await;
    let url = server.url.replace("http://", "HTTP://");
    let client = DashboardClient::start(Options::new(format!("{url}/app/")).base_path("v1/"));
    let client = client.unwrap();
    let socket = server.socket().await;
    assert!(socket.request.starts_with("GET /app/socket.io/?EIO=4&"), "{}", socket.request);
    drop(socket);
    // What is asked while the client waits for its next attempt.
    until(&client, |state| state.view.is_some()).await;
    let request = server.requests().remove(0);
    assert!(request.starts_with("GET /app/v1/dashboard?fresh="), "{request}");
}

#[tokio::test]
async fn a_socket_that_is_sent_elsewhere_does_not_go_there() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = elsewhere.local_addr().unwrap();
    let server = Server::start().await;
    server.refuse_sockets(Some(format!("307 Temporary Redirect\r\nLocation: ws://{there}/")));
    let client = DashboardClient::start(options(&server)).unwrap();
    let state = until_status(&client, Status::Backoff).await;
    assert_eq!(state.freshness.reason.as_ref().map(|why| why.code), Some(Code::SocketFailed));
    let ours = TcpStream::connect(there).await.unwrap();
    let (_, first) = elsewhere.accept().await.unwrap();
    assert_eq!(first, ours.local_addr().unwrap(), "the client followed");
}
