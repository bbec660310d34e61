//! What the native driver must get right: the socket, the requests, the token, the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use client_sdk::driver::native::KEPT_DIAGNOSTICS;
use client_sdk::{
    Code, DashboardClient, DashboardState, Diagnostic, Options, Source, StartError, Status,
    TokenUnavailable,
};
use futures_util::StreamExt as _;

use crate::last_view::{Folder, kept_for};
use crate::server::{Answer, PATIENCE, Server, refusal, snapshot, status, summary_event};

/// Waits until the state is as wished.
pub(crate) async fn until(
    client: &DashboardClient,
    wished: impl Fn(&DashboardState) -> bool,
) -> Arc<DashboardState> {
    let mut states = client.states();
    let found = tokio::time::timeout(PATIENCE, states.wait_for(|state| wished(state))).await;
    let Ok(state) = found else {
        panic!("still {:?}", client.state());
    };
    state.expect("the client runs").clone()
}

pub(crate) async fn until_status(client: &DashboardClient, status: Status) -> Arc<DashboardState> {
    until(client, |state| state.status == status).await
}

pub(crate) fn total(state: &DashboardState) -> Option<u32> {
    state.view.as_ref().map(|view| view.summary.total_mocs)
}

pub(crate) fn options(server: &Server) -> Options {
    Options::new(&server.url).token(|| async { "secret-token" })
}

#[tokio::test]
async fn it_goes_live_and_shows_events() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let (mut socket, connect) = server.connected().await;
    assert!(socket.request.starts_with("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"));
    assert!(!socket.request.contains("secret-token"), "never in the URL or a header");
    assert_eq!(connect, r#"40/dashboard,{"token":"secret-token"}"#);
    assert_eq!(server.requests().len(), 0);
    socket.send(r#"40/dashboard,{"sid":"s"}"#).await;

    let state = until_status(&client, Status::Live).await;
    assert_eq!((total(&state), state.freshness.source), (Some(10), Source::Live));
    let request = server.requests().remove(0);
    assert!(request.starts_with("GET /api/dashboard?fresh="), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer secret-token"), "{request}");

    socket.send("2").await;
    assert_eq!(socket.receive().await.as_deref(), Some("3"));
    socket.send_binary(b"\x00\x01").await;
    socket.send("garbage").await;
    socket.send(&summary_event(11)).await;
    let state = until(&client, |state| total(state) == Some(11)).await;
    assert_eq!(state.status, Status::Live);
    let as_of = state.freshness.as_of.expect("a date");
    assert!(as_of > 1_700_000_000_000, "{as_of}");
}

#[tokio::test]
async fn a_lost_connection_comes_back_and_asks_what_changed() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    socket.send(&summary_event(12)).await;
    until(&client, |state| total(state) == Some(12)).await;

    drop(socket);
    let state = until_status(&client, Status::Backoff).await;
    assert_eq!((total(&state), state.freshness.source), (Some(12), Source::Stale));
    assert!(state.freshness.next_retry_at.is_some());
    server.answer_snapshots(snapshot(14));
    let _socket = server.accepted().await;
    let state = until_status(&client, Status::Live).await;
    assert_eq!(total(&state), Some(14));
    let request = server.requests().remove(1);
    assert!(request.lines().next().unwrap().ends_with("&have=e-10 HTTP/1.1"), "{request}");
}

#[tokio::test]
async fn auth_failed_ends_it_until_the_app_reauthenticates() {
    let mut server = Server::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let options = Options::new(&server.url).token(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move { format!("token-{number}") }
    });
    let client = DashboardClient::start(options).unwrap();
    let (mut socket, _) = server.connected().await;
    socket.send(r#"44/dashboard,{"message":"AUTH_FAILED"}"#).await;
    let state = until_status(&client, Status::AuthRequired).await;
    assert_eq!(state.freshness.reason.as_ref().map(|reason| reason.code), Some(Code::AuthFailed));
    assert_eq!(socket.receive().await, None, "the client closed");
    client.refresh();

    client.reauthenticate();
    let (mut socket, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"token-1"}"#, "asked anew, and not in between");
    socket.send("40/dashboard,{}").await;
    until_status(&client, Status::Live).await;
}

#[tokio::test]
async fn where_sockets_fail_it_polls_and_comes_back() {
    let mut server = Server::start().await;
    server.refuse_sockets(Some("502 Bad Gateway"));
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut states = client.states();
    let degraded = tokio::time::timeout(PATIENCE, async {
        loop {
            let state = states.borrow_and_update().clone();
            match state.status {
                Status::Degraded => return state,
                // A person who is impatient; the law of waiting is tested on virtual time.
                Status::Backoff => client.refresh(),
                _ => {}
            }
            states.changed().await.unwrap();
        }
    });
    let state = degraded.await.expect("degraded after five failures");
    assert_eq!(state.freshness.attempt, 5);
    let state = until(&client, |state| state.freshness.source == Source::Polling).await;
    assert_eq!((state.status, total(&state)), (Status::Degraded, Some(10)));

    server.refuse_sockets(None::<String>);
    server.answer_snapshots(snapshot(11));
    client.refresh();
    let _socket = server.accepted().await;
    let state = until_status(&client, Status::Live).await;
    assert_eq!(total(&state), Some(11));
}

#[tokio::test]
async fn a_handshake_that_is_refused_may_say_when_to_come_back() {
    let server = Server::start().await;
    server.refuse_sockets(Some("503 Service Unavailable\r\nRetry-After: 120"));
    let client = DashboardClient::start(options(&server)).unwrap();
    let state = until_status(&client, Status::Backoff).await;
    let (at, as_told) = (state.freshness.next_retry_at, state.freshness.reason.clone());
    assert_eq!(as_told.map(|reason| reason.code), Some(Code::SocketFailed));
    let wait = at.unwrap() - u64::try_from(unix_ms()).unwrap();
    assert!((100_000..=120_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn rest_401_ends_it_too() {
    let mut server = Server::start().await;
    server.answer_snapshots(refusal("401 Unauthorized"));
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut socket = server.accepted().await;
    let state = until_status(&client, Status::AuthRequired).await;
    assert_eq!(state.freshness.reason.as_ref().map(|reason| reason.code), Some(Code::Unauthorized));
    assert_eq!(socket.receive().await, None, "the client closed");
}

#[tokio::test]
async fn rest_403_ends_it_and_shows_nothing() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    server.answer_snapshots(refusal("403 Forbidden"));
    client.refresh();
    let state = until_status(&client, Status::AuthRequired).await;
    assert_eq!(state.freshness.reason.as_ref().map(|reason| reason.code), Some(Code::Forbidden));
    assert_eq!((total(&state), socket.receive().await), (None, None));
}

#[tokio::test]
async fn a_firewalls_page_does_not_end_the_session_and_leaves_both_views() {
    for line in ["401 Unauthorized", "403 Forbidden"] {
        let folder = Folder::new(&line[..3]);
        let mut server = Server::start().await;
        let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
        let socket = server.accepted().await;
        folder.until(|text| text.contains("\"totalMocs\":10")).await;

        // The firewall lets sockets through, and blocks what the client asks for after the next one.
        let body = "<!doctype html><title>Access denied</title>".to_owned();
        server.answer_snapshots(Answer { body, ..status(line) });
        drop(socket);
        let _socket = server.accepted().await;
        let state = until(&client, |state| {
            let code = state.freshness.reason.as_ref().map(|reason| reason.code);
            code == Some(Code::SnapshotFailed)
        });
        let state = state.await;
        assert_eq!((state.status, total(&state)), (Status::Syncing, Some(10)));
        assert!(folder.text().contains("\"totalMocs\":10"), "the last view is kept");
        let status = &line[..3];
        let told = format!(
            "something between the client and the server answered HTTP {status} with a page that \
             is not the server's answer to this request"
        );
        assert!(client.diagnostics().iter().any(|entry| entry.message == told), "{told}");

        server.answer_snapshots(snapshot(11));
        let state = until_status(&client, Status::Live).await;
        assert_eq!(total(&state), Some(11), "asked again by itself");
    }
}

#[tokio::test]
async fn a_redirect_is_no_snapshot_and_gets_no_token() {
    let mut server = Server::start().await;
    let elsewhere = Server::start().await;
    let line = format!("302 Found\r\nLocation: {}/login", elsewhere.url);
    server.answer_snapshots(status(&line));
    let client = DashboardClient::start(options(&server)).unwrap();
    let _socket = server.accepted().await;
    until(&client, |state| {
        let code = state.freshness.reason.as_ref().map(|reason| reason.code);
        code == Some(Code::SnapshotFailed)
    })
    .await;
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn an_app_without_a_token_now_is_asked_again() {
    let mut server = Server::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let options = Options::new(&server.url).token(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move { if number == 0 { Err(TokenUnavailable) } else { Ok("late") } }
    });
    let client = DashboardClient::start(options).unwrap();
    let state = until_status(&client, Status::Backoff).await;
    let code = state.freshness.reason.as_ref().map(|reason| reason.code);
    assert_eq!(code, Some(Code::TokenUnavailable));
    let (_, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"late"}"#);
}

#[tokio::test]
async fn stop_and_drop_close_the_socket() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    client.stop();
    let state = until_status(&client, Status::Closed).await;
    assert_eq!(state.view, None);
    assert_eq!(socket.receive().await, None);

    client.restart();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    let mut states = client.states();
    drop(client);
    assert_eq!(socket.receive().await, None);
    let ended = tokio::time::timeout(PATIENCE, async { while states.changed().await.is_ok() {} });
    ended.await.expect("the driver ends with its client");
}

#[tokio::test]
async fn states_come_as_a_stream_as_well() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut stream = client.stream();
    let accepted = tokio::spawn(async move {
        let socket = server.accepted().await;
        (server, socket)
    });
    while let Some(state) = stream.next().await {
        if state.status == Status::Live {
            break;
        }
    }
    let kept = accepted.await.unwrap();
    drop(client);
    while stream.next().await.is_some() {}
    drop(kept);
}

#[tokio::test]
async fn diagnostics_report_transitions_and_contain_no_token() {
    let mut server = Server::start().await;
    let told: Arc<Mutex<Vec<Diagnostic>>> = Arc::default();
    let sink = told.clone();
    let options = options(&server).on_diagnostic(move |entry| sink.lock().unwrap().push(entry));
    let client = DashboardClient::start(options).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    socket.send("garbage").await;
    socket.send(&summary_event(11)).await;
    until(&client, |state| total(state) == Some(11)).await;
    let told = told.lock().unwrap();
    let codes: Vec<Code> = told.iter().map(|entry| entry.code).collect();
    let expected = [Code::Started, Code::Accepted, Code::Synchronized, Code::FrameMalformed];
    assert_eq!(codes, expected);
    assert!(told.iter().all(|entry| !entry.message.contains("secret-token")));
}

#[tokio::test]
async fn a_start_that_cannot_work_fails_at_once() {
    let start = |url| DashboardClient::start(Options::new(url));
    assert!(matches!(start("ftp://example.org"), Err(StartError::Url(_))));
    let elsewhere =
        std::thread::spawn(|| DashboardClient::start(Options::new("http://127.0.0.1:1")).map(drop));
    assert!(matches!(elsewhere.join().unwrap(), Err(StartError::Runtime(_))));
}

#[expect(clippy::disallowed_methods, reason = "compared with a date that the client told")]
fn unix_ms() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis()
}

#[tokio::test]
async fn the_last_diagnostics_are_at_hand() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    for number in 0..KEPT_DIAGNOSTICS {
        socket.send(&format!("garbage {number}")).await;
    }
    socket.send(&summary_event(11)).await;
    until(&client, |state| total(state) == Some(11)).await;
    let told = client.diagnostics();
    assert_eq!(told.len(), KEPT_DIAGNOSTICS);
    let newest = told.last().unwrap();
    assert_eq!(newest.code, Code::FrameMalformed);
    assert!(newest.message.ends_with(&format!("garbage {}", KEPT_DIAGNOSTICS - 1)), "{newest:?}");
    assert!(told.is_sorted_by_key(|entry| entry.at));
}
