//! Tokens: who gives them, what the provider learns, and how long it may take.

use std::future::pending;
use std::sync::{Arc, Mutex};

use client_sdk::{
    Code, DashboardClient, DashboardState, Options, Status, TokenProvider, TokenRequest,
    TokenUnavailable,
};
use tokio::sync::Notify;

use crate::life::{until, until_status};
use crate::server::Server;

/// A program's session, as a separate type.
#[derive(Clone, Default)]
struct Session {
    told: Arc<Mutex<Vec<bool>>>,
}

impl TokenProvider for Session {
    async fn token(&self, request: TokenRequest) -> Result<Option<String>, TokenUnavailable> {
        let mut told = self.told.lock().map_err(|_| TokenUnavailable)?;
        told.push(request.last_was_refused);
        Ok(Some(format!("token-{}", told.len())))
    }
}

impl Session {
    fn told(&self) -> Vec<bool> {
        self.told.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_provider_learns_that_its_last_token_was_refused() {
    let mut server = Server::start().await;
    let session = Session::default();
    let options = Options::new(&server.url).token_provider(session.clone());
    let client = DashboardClient::start(options).unwrap();
    let (mut socket, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"token-1"}"#);
    socket.send(r#"44/dashboard,{"message":"AUTH_FAILED"}"#).await;
    until_status(&client, Status::AuthRequired).await;
    client.reauthenticate();
    let (mut socket, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"token-2"}"#);
    assert_eq!(session.told(), [false, true]);
    socket.send(r#"40/dashboard,{"sid":"s","tag":"e-0"}"#).await;
    until_status(&client, Status::Live).await;
    assert_eq!(session.told(), [false, true, false], "the second one was accepted");
}

#[tokio::test]
async fn a_closure_may_ask_as_well() {
    let mut server = Server::start().await;
    let provider = async |request: TokenRequest| format!("refused: {}", request.last_was_refused);
    let options = Options::new(&server.url).token_provider(provider);
    let _client = DashboardClient::start(options).unwrap();
    let (_, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"refused: false"}"#);
}

fn code(state: &DashboardState) -> Option<Code> {
    state.freshness.reason.as_ref().map(|reason| reason.code)
}

/// In virtual time, which passes while all wait.
#[tokio::test(start_paused = true)]
async fn a_token_for_the_socket_that_never_comes_has_a_separate_code() {
    let options = Options::new("http://127.0.0.1:1").token(pending::<String>);
    let client = DashboardClient::start(options).unwrap();
    let state = until_status(&client, Status::Backoff).await;
    assert_eq!(code(&state), Some(Code::TokenTimeout));
}

#[tokio::test]
async fn a_token_for_the_snapshot_that_never_comes_has_it_too() {
    let mut server = Server::start().await;
    let asked = Arc::new(Notify::new());
    let (session, asking) = (Session::default(), asked.clone());
    let provider = move |request| {
        let (session, asking) = (session.clone(), asking.clone());
        async move {
            if !session.told().is_empty() {
                asking.notify_one();
                pending::<()>().await;
            }
            session.token(request).await
        }
    };
    let options = Options::new(&server.url).token_provider(provider);
    let client = DashboardClient::start(options).unwrap();
    let _socket = server.accepted().await;
    asked.notified().await;
    tokio::time::pause();
    let state = until(&client, |state| code(state) == Some(Code::TokenTimeout)).await;
    assert_eq!(state.status, Status::Syncing);
}
