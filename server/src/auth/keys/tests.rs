//! Tests of published keys: rotation, strangers, and a provider in every kind of trouble.
//!
//! The provider is real. The tests set the clock forward by hand, so that none waits for intervals.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::auth::tests::{access, config, jwks, signed};
use crate::auth::{Authenticator, TokenKind};

/// Far more than anything on loopback takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the provider answers.
#[derive(Clone)]
enum Answer {
    Body(&'static str, String),
    HangUp,
    /// Nothing, with the connection open.
    Silence,
}

struct Provider {
    url: String,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let provider = Self { url, answer: Arc::new(Mutex::new(answer)), asked: Arc::default() };
        let (answer, asked) = (Arc::clone(&provider.answer), Arc::clone(&provider.asked));
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.lock().unwrap().clone();
                asked.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                match answer {
                    Answer::Body(head, body) => {
                        let length = body.len();
                        let text = format!(
                            "HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\
                             connection: close\r\n\r\n{body}"
                        );
                        // A client that has read enough hangs up.
                        stream.write_all(text.as_bytes()).await.ok();
                    }
                    Answer::HangUp => {}
                    Answer::Silence => silent.push(stream),
                }
            }
        });
        provider
    }

    async fn with_keys(keys: &[(Algorithm, &str)]) -> (Self, Arc<Authenticator>, Metrics) {
        let provider = Self::start(set(keys)).await;
        let (authenticator, metrics) = provider.authenticator().await;
        (provider, authenticator, metrics)
    }

    async fn authenticator(&self) -> (Arc<Authenticator>, Metrics) {
        let config = Config { jwt_jwks_url: Some(self.url.clone()), ..config() };
        let metrics = Metrics::new();
        (Arc::new(Authenticator::new(&config, &metrics).await.unwrap()), metrics)
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn set(keys: &[(Algorithm, &str)]) -> Answer {
    Answer::Body("200 OK", jwks(keys))
}

/// Sets the clock forward. What is due happens at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let come_true = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, come_true).await.is_ok(), "waited in vain: {what}");
}

/// What comes of a token that is signed with that key.
async fn try_key(
    authenticator: &Authenticator,
    algorithm: Algorithm,
    kid: &str,
) -> Result<(), AuthError> {
    let token = signed(algorithm, Some(kid), &access());
    authenticator.verify(&token, TokenKind::Access).await.map(|_| ())
}

fn fetches(metrics: &Metrics, result: &'static str) -> u64 {
    metrics.jwks_fetches.get_or_create(&ResultLabel { result }).get()
}

#[tokio::test]
async fn a_rotation_costs_one_request_and_ends_the_old_key() {
    let (provider, authenticator, metrics) =
        Provider::with_keys(&[(Algorithm::ES256, "old")]).await;
    for _ in 0..20 {
        assert_eq!(try_key(&authenticator, Algorithm::ES256, "old").await, Ok(()));
    }
    assert_eq!(provider.asked(), 1, "known keys are cached");
    provider.answer(set(&[(Algorithm::RS256, "new")]));
    pass(MIN_INTERVAL).await;
    assert_eq!(try_key(&authenticator, Algorithm::RS256, "new").await, Ok(()));
    let withdrawn = try_key(&authenticator, Algorithm::ES256, "old").await;
    assert_eq!(withdrawn, Err(AuthError::UnknownKey));
    assert_eq!(try_key(&authenticator, Algorithm::RS256, "new").await, Ok(()));
    assert_eq!(provider.asked(), 2);
    assert_eq!((fetches(&metrics, "ok"), fetches(&metrics, "error")), (2, 0));
}

#[tokio::test]
async fn a_withdrawn_key_is_noticed_without_a_request() {
    let (provider, authenticator, _) =
        Provider::with_keys(&[(Algorithm::ES256, "a"), (Algorithm::RS256, "b")]).await;
    provider.answer(set(&[(Algorithm::RS256, "b")]));
    pass(MAX_AGE.checked_sub(Duration::from_secs(1)).unwrap()).await;
    assert_eq!(try_key(&authenticator, Algorithm::ES256, "a").await, Ok(()));
    assert_eq!(provider.asked(), 1);
    pass(Duration::from_secs(1)).await;
    let refused = Err(AuthError::UnknownKey);
    until("the key's end", async || {
        try_key(&authenticator, Algorithm::ES256, "a").await == refused
    })
    .await;
    assert_eq!(try_key(&authenticator, Algorithm::RS256, "b").await, Ok(()));
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_one_request_per_interval() {
    let (provider, authenticator, _) = Provider::with_keys(&[(Algorithm::ES256, "e")]).await;
    for round in 0..4 {
        let kids: Vec<_> = (0..50).map(|number| format!("unknown {round} {number}")).collect();
        let storm = kids.iter().map(|kid| try_key(&authenticator, Algorithm::ES256, kid));
        for refused in join_all(storm).await {
            assert_eq!(refused, Err(AuthError::UnknownKey));
        }
        assert_eq!(provider.asked(), 1 + round, "round {round}");
        // An algorithm that no key is for is not worth a request at any time.
        let refused = try_key(&authenticator, Algorithm::RS384, "unknown").await;
        assert_eq!(refused, Err(AuthError::Algorithm));
        pass(MIN_INTERVAL).await;
    }
}

#[tokio::test]
async fn keys_survive_their_provider() {
    let (provider, authenticator, metrics) = Provider::with_keys(&[(Algorithm::ES256, "e")]).await;
    let moved = Provider::start(set(&[(Algorithm::RS256, "r")])).await;
    let redirect = format!("302 Found\r\nlocation: {}", moved.url);
    let rogue = jwks(&[(Algorithm::RS256, "r")]);
    let large = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(MAX_BYTES));
    let troubles = [
        Answer::Body("500 Internal Server Error", rogue.clone()),
        Answer::Body("404 Not Found", rogue.clone()),
        Answer::Body(redirect.leak(), rogue),
        Answer::Body("200 OK", "<html>".to_owned()),
        Answer::Body("200 OK", "{\"keys\":[]}".to_owned()),
        Answer::Body("200 OK", large),
        Answer::HangUp,
    ];
    let count = troubles.len();
    for (done, trouble) in troubles.into_iter().enumerate() {
        provider.answer(trouble);
        pass(MIN_INTERVAL).await;
        let refused = try_key(&authenticator, Algorithm::RS256, "r").await;
        assert_eq!(refused, Err(AuthError::UnknownKey), "trouble {done}");
        assert_eq!(try_key(&authenticator, Algorithm::ES256, "e").await, Ok(()));
        until("one request each", async || provider.asked() == 2 + done).await;
        assert_eq!(fetches(&metrics, "error"), 1 + done as u64);
    }
    assert_eq!(moved.asked(), 0, "redirects are not followed");
    provider.answer(set(&[(Algorithm::RS256, "r")]));
    pass(MIN_INTERVAL).await;
    assert_eq!(try_key(&authenticator, Algorithm::RS256, "r").await, Ok(()));
    assert_eq!((fetches(&metrics, "ok"), fetches(&metrics, "error")), (2, count as u64));
}

#[tokio::test]
async fn a_session_with_a_known_key_does_not_wait_for_a_provider_that_hangs() {
    let (provider, authenticator, metrics) = Provider::with_keys(&[(Algorithm::ES256, "e")]).await;
    provider.answer(Answer::Silence);
    pass(MIN_INTERVAL).await;
    let waiting = Arc::clone(&authenticator);
    let waiting = tokio::spawn(async move { try_key(&waiting, Algorithm::ES256, "?").await });
    until("the request", async || provider.asked() == 2).await;
    assert_eq!(try_key(&authenticator, Algorithm::ES256, "e").await, Ok(()));
    assert!(!waiting.is_finished());
    pass(FETCH_TIMEOUT).await;
    let given_up = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(given_up, Err(AuthError::UnknownKey));
    assert_eq!(fetches(&metrics, "error"), 1);
}

#[tokio::test]
async fn who_gives_up_waiting_does_not_make_the_next_ask_again() {
    let (provider, authenticator, _) = Provider::with_keys(&[(Algorithm::ES256, "e")]).await;
    provider.answer(Answer::Silence);
    pass(MIN_INTERVAL).await;
    let waiting = Arc::clone(&authenticator);
    let waiting = tokio::spawn(async move { try_key(&waiting, Algorithm::ES256, "?").await });
    until("the request", async || provider.asked() == 2).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    pass(FETCH_TIMEOUT).await;
    assert_eq!(try_key(&authenticator, Algorithm::ES256, "?").await, Err(AuthError::UnknownKey));
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn without_any_keys_no_session_is_called_bad_and_none_waits() {
    let provider = Provider::start(Answer::HangUp).await;
    let (authenticator, metrics) = provider.authenticator().await;
    let unavailable = Err(AuthError::KeysUnavailable);
    assert!(!authenticator.is_ready());
    assert_eq!(try_key(&authenticator, Algorithm::ES256, "e").await, unavailable);
    assert_eq!(provider.asked(), 1);
    // The server asks again without a request. While there is no answer, requests still get theirs.
    provider.answer(Answer::Silence);
    pass(MIN_INTERVAL_EMPTY).await;
    until("the second request", async || provider.asked() == 2).await;
    assert_eq!(try_key(&authenticator, Algorithm::ES256, "e").await, unavailable);
    provider.answer(set(&[(Algorithm::ES256, "e")]));
    pass(FETCH_TIMEOUT).await;
    until("the keys", async || authenticator.is_ready()).await;
    assert_eq!(try_key(&authenticator, Algorithm::ES256, "e").await, Ok(()));
    assert_eq!((fetches(&metrics, "ok"), fetches(&metrics, "error")), (1, 2));
}

#[tokio::test]
async fn nothing_is_asked_for_an_authenticator_that_is_gone() {
    let provider = Provider::start(Answer::HangUp).await;
    drop(provider.authenticator().await);
    pass(MAX_AGE).await;
    // All requests that were going to be sent are sent before this.
    let (_again, _) = provider.authenticator().await;
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn errors_do_not_show_the_address() {
    let provider = Provider::start(Answer::HangUp).await;
    let url = provider.url.replace("://", "://user:hunter2@");
    let client = reqwest::Client::new();
    let (known, asked) = (RwLock::default(), tokio::sync::Mutex::default());
    let published = Published { url, client, known, asked, fetches: Family::default() };
    for answer in [
        Answer::HangUp,
        Answer::Body("500 Internal Server Error", String::new()),
        Answer::Body("200 OK", "no json".to_owned()),
        Answer::Body("200 OK", "{\"keys\":[]}".to_owned()),
    ] {
        provider.answer(answer);
        let Err(error) = published.fetch().await else { panic!("there are no keys") };
        let text = format!("{error} {error:?}");
        assert!(text.contains(ADDRESS) || text.contains("Fetch"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("127.0.0.1"), "{text}");
    }
}
