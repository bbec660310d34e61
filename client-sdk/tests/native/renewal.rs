//! How tokens are renewed: what the provider learns, and that it may finish what it began.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_sdk::{
    Code, DashboardClient, DashboardState, Options, Source, Status, TokenProvider as _,
    TokenRequest, TokenUnavailable,
};
use tokio::sync::Notify;

use crate::life::{until, until_status};
use crate::server::{PATIENCE, Server, token_expired};

type Told = Arc<Mutex<Vec<bool>>>;

/// A provider that records its requests, and returns what `answer` makes of the call's number.
fn noting(
    url: &str,
    answer: impl Fn(usize) -> Result<String, TokenUnavailable> + Send + Sync + 'static,
) -> (Options, Told) {
    let told = Told::default();
    let noted = told.clone();
    let options = Options::new(url).token_provider(move |request: TokenRequest| {
        let mut noted = noted.lock().unwrap();
        noted.push(request.last_was_refused);
        let answer = answer(noted.len());
        async { answer }
    });
    (options, told)
}

/// Live, then told that the token ran out, where from now on no socket can be opened.
async fn expired_and_blocked(server: &mut Server, options: Options) -> DashboardClient {
    let client = DashboardClient::start(options).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    server.refuse_sockets(Some("502 Bad Gateway"));
    socket.send(&token_expired()).await;
    until(&client, |state| state.status != Status::Live).await;
    client
}

/// A person who is impatient, until it is as wished.
async fn urged(client: &DashboardClient, is_wished: impl Fn() -> bool) {
    let mut states = client.states();
    let urged = tokio::time::timeout(PATIENCE, async {
        while !is_wished() {
            client.refresh();
            let _ = tokio::time::timeout(Duration::from_millis(20), states.changed()).await;
        }
    });
    assert!(urged.await.is_ok(), "{:?}", client.diagnostics());
}

async fn until_asked(client: &DashboardClient, told: &Told, times: usize) {
    urged(client, || told.lock().unwrap().len() >= times).await;
}

#[tokio::test]
async fn where_sockets_are_blocked_a_refusal_is_reported_until_another_token_is_given() {
    let mut server = Server::start().await;
    // The one that tells of it is answered by an error, the next by a new token, which stays.
    let (options, told) = noting(&server.url, |number| match number {
        1 | 2 => Ok("first".to_owned()),
        3 => Err(TokenUnavailable),
        _ => Ok("second".to_owned()),
    });
    let client = expired_and_blocked(&mut server, options).await;
    until_asked(&client, &told, 7).await;
    assert_eq!(told.lock().unwrap()[..7], [false, false, true, true, false, false, false]);
}

#[tokio::test]
async fn where_sockets_are_blocked_a_snapshot_that_succeeds_takes_the_refusal_back() {
    let mut server = Server::start().await;
    let (options, told) = noting(&server.url, |_| Ok("the same".to_owned()));
    let client = expired_and_blocked(&mut server, options).await;
    until_asked(&client, &told, 4).await;
    assert_eq!(told.lock().unwrap()[..4], [false, false, true, true], "that one was refused");
    urged(&client, || client.state().freshness.source == Source::Polling).await;
    let asked = told.lock().unwrap().len();
    until_asked(&client, &told, asked + 2).await;
    assert_eq!(told.lock().unwrap().last(), Some(&false));
}

fn code(state: &DashboardState) -> Option<Code> {
    state.freshness.reason.as_ref().map(|reason| reason.code)
}

/// In virtual time, which passes while all wait.
#[tokio::test(start_paused = true)]
async fn a_renewal_ends_although_the_attempt_was_given_up() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, done) = (begun.clone(), ended.clone());
    let options = Options::new("http://127.0.0.1:1").token(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let done = done.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            done.notify_one();
            "renewed"
        }
    });
    let client = DashboardClient::start(options).unwrap();
    let state = until_status(&client, Status::Backoff).await;
    assert_eq!(code(&state), Some(Code::TokenTimeout));
    let ended = tokio::time::timeout(Duration::from_mins(5), ended.notified()).await;
    ended.expect("the renewal ends");
    assert_eq!(begun.load(Ordering::Relaxed), 1, "later attempts wait for the same one");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_never_ends_is_given_up_after_a_minute() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let options = Options::new("http://127.0.0.1:1").token(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            if number == 0 {
                pending::<()>().await;
            }
            "token"
        }
    });
    let client = DashboardClient::start(options).unwrap();
    until(&client, |state| code(state) == Some(Code::TokenTimeout)).await;
    let mut states = client.states();
    let asked_anew = states.wait_for(|state| code(state) == Some(Code::SocketFailed));
    let found = tokio::time::timeout(Duration::from_mins(5), asked_anew).await;
    assert!(found.is_ok(), "a provider that hangs once is never asked again");
}

#[tokio::test]
async fn a_new_session_does_not_wait_for_the_old_ones_token() {
    let mut server = Server::start().await;
    let asked = Arc::new(Notify::new());
    let (asking, number) = (asked.clone(), AtomicUsize::new(0));
    let options = Options::new(&server.url).token(move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let asking = asking.clone();
        async move {
            if number == 0 {
                asking.notify_one();
                pending::<()>().await;
            }
            format!("token-{number}")
        }
    });
    let client = DashboardClient::start(options).unwrap();
    asked.notified().await;
    client.reauthenticate();
    let (_socket, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"token-1"}"#);
}

/// Notes that it was dropped.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_renewal_ends_with_the_client() {
    let (asked, ended) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (asking, ends) = (asked.clone(), ended.clone());
    let options = Options::new("http://127.0.0.1:1").token(move || {
        let (asking, ends) = (asking.clone(), Ends(ends.clone()));
        async move {
            asking.notify_one();
            pending::<()>().await;
            drop(ends);
            "never"
        }
    });
    let client = DashboardClient::start(options.clone()).unwrap();
    asked.notified().await;
    client.shutdown().await;
    assert_eq!(ended.load(Ordering::Relaxed), 1, "ended before the shutdown does");

    let client = DashboardClient::start(options).unwrap();
    asked.notified().await;
    drop(client);
    let gone = tokio::time::timeout(PATIENCE, async {
        while ended.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("ended with the last handle");
}

#[tokio::test]
async fn a_provider_that_panics_and_a_token_that_cannot_be_sent_are_told_apart() {
    let told = async |answer: fn() -> Result<&'static str, TokenUnavailable>| {
        let options = Options::new("http://127.0.0.1:1").token(move || async move { answer() });
        let client = DashboardClient::start(options).unwrap();
        let state = until(&client, |state| code(state) == Some(Code::TokenUnavailable)).await;
        let told = format!("{:?}", client.diagnostics());
        assert!(!told.contains("hidden"), "{told}");
        state.freshness.reason.clone().unwrap().message
    };
    assert_eq!(told(|| Err(TokenUnavailable)).await, "the app gave no token");
    assert_eq!(told(|| panic!("hidden")).await, "the app's provider of tokens panicked");
    for token in ["hidden\n", " hidden", "hid\r\nden", "hidden\0"] {
        let options = Options::new("http://127.0.0.1:1").token(move || async move { token });
        let client = DashboardClient::start(options).unwrap();
        let state =
            until(&client, |state| code(state).is_some() && state.status == Status::Backoff).await;
        let reason = state.freshness.reason.clone().unwrap();
        let expected = "the app's token cannot be sent: there is a line break or another control \
                        character in it, or white space around it";
        assert_eq!((reason.code, reason.message.as_str()), (Code::TokenUnavailable, expected));
    }
}

/// The snapshot's request asks for a token too, and has no separate reason.
#[tokio::test]
async fn a_provider_that_panics_for_the_snapshot_is_reported_too() {
    let mut server = Server::start().await;
    let number = AtomicUsize::new(0);
    let options = Options::new(&server.url).token(move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        async move {
            assert_eq!(number, 0, "hidden");
            "token"
        }
    });
    let client = DashboardClient::start(options).unwrap();
    let _socket = server.accepted().await;
    let state = until(&client, |state| code(state) == Some(Code::TokenUnavailable)).await;
    let reason = state.freshness.reason.clone().unwrap();
    assert_eq!(reason.message, "the app's provider of tokens panicked");
}

/// A program tests its own provider without a client.
#[tokio::test]
async fn a_program_can_ask_its_provider_itself() {
    let provider = async |request: TokenRequest| request.last_was_refused.to_string();
    for told in [false, true] {
        let token = provider.token(TokenRequest::new(told)).await;
        assert_eq!(token.unwrap(), Some(told.to_string()));
    }
    assert_eq!(TokenRequest::default(), TokenRequest::new(false));
}
