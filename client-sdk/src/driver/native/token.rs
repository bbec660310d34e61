//! Gets the client's tokens from the program's provider.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::machine::Secret;
use crate::state::{Code, Reason};

/// How long an attempt waits for a token. Less than its ten seconds, so that the state can name
/// what caused the delay.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// How long a call of a provider may take. After a call that hangs, the client must ask again.
const LONGEST_CALL: Duration = Duration::from_mins(1);

/// Gives the client its tokens. The client asks for every attempt to connect and every snapshot, so
/// the provider should keep its token while that is valid.
///
/// It must not give a token that has run out. The server refuses such a token, which ends the
/// session with [`Status::AuthRequired`](crate::Status::AuthRequired), and the client asks for no
/// other (D-RES-2). So keep the expiry beside the token, and renew it shortly before. A clock
/// cannot know that the server no longer accepts a token: [`TokenRequest::last_was_refused`]
/// reports that.
///
/// An attempt waits for eight seconds. A longer wait, an error or a panic makes it fail, and the
/// client tries again later. A failed attempt does not drop the future: it may finish what it began
/// within a minute, such as the use of a refresh token that is good for once. There is one call at
/// a time, and all requests for a token in that time get the same answer. A new session, after
/// [`reauthenticate`](super::DashboardClient::reauthenticate) or
/// [`stop`](super::DashboardClient::stop), does not wait for an earlier one's answer, so that two
/// futures may run then. The end of the client, by [`shutdown`](super::DashboardClient::shutdown)
/// or by the drop of its last handle, drops the future wherever it is.
///
/// Implement it for a type that holds what is needed, or give a closure to
/// [`Options::token`](super::Options::token) or
/// [`Options::token_provider`](super::Options::token_provider).
///
/// ```
/// use client_sdk::{TokenProvider, TokenRequest, TokenUnavailable};
///
/// struct Session {
///     /* the token, its expiry, and what it takes to get another one */
/// }
///
/// impl Session {
///     fn is_about_to_expire(&self) -> bool {
///         # false
///         // …
///     }
///
///     async fn access_token(&self, renewed: bool) -> Result<String, std::io::Error> {
///         # let _ = renewed;
///         # Ok(String::new())
///         // …
///     }
/// }
///
/// impl TokenProvider for Session {
///     async fn token(&self, request: TokenRequest) -> Result<Option<String>, TokenUnavailable> {
///         let renewed = request.last_was_refused || self.is_about_to_expire();
///         let token = self.access_token(renewed).await;
///         token.map(Some).map_err(|_| TokenUnavailable)
///     }
/// }
/// ```
pub trait TokenProvider: Send + Sync + 'static {
    /// A token; none where the server is to be asked without one.
    ///
    /// # Errors
    ///
    /// Where a token exists and cannot be had now.
    fn token(
        &self,
        request: TokenRequest,
    ) -> impl Future<Output = Result<Option<String>, TokenUnavailable>> + Send;
}

/// What a token is wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The server said of the last token that it has run out, or refused it: a kept one is of no use any more.
    ///
    /// So it is after the server has said it on a live connection ([`Code::TokenExpired`]), and after
    /// [`reauthenticate`](super::DashboardClient::reauthenticate) where the token had been refused. The
    /// provider is not asked right after a refusal: that ends the session, because it is not to be tried
    /// again (D-RES-2). It lasts until another token was given, or the server took the same one after
    /// all; an error of the provider's leaves it as it is.
    pub last_was_refused: bool,
}

impl TokenRequest {
    /// A request as the client makes it, for a program's tests of its provider.
    #[must_use]
    pub const fn new(last_was_refused: bool) -> Self {
        Self { last_was_refused }
    }
}

/// The app could not give a token now; the client tries again later. Carries no cause, because
/// causes of this kind tend to hold secrets: a program that wants to know logs them itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token can be had now")]
pub struct TokenUnavailable;

/// What a closure may give: a text, an `Option` of one, or a `Result` of either.
pub trait IntoToken {
    /// The token, if there is one.
    ///
    /// # Errors
    ///
    /// Where a token exists and cannot be had now.
    fn into_token(self) -> Result<Option<String>, TokenUnavailable>;
}

impl<F, T> TokenProvider for F
where
    F: Fn(TokenRequest) -> T + Send + Sync + 'static,
    T: Future<Output: IntoToken> + Send,
{
    async fn token(&self, request: TokenRequest) -> Result<Option<String>, TokenUnavailable> {
        self(request).await.into_token()
    }
}

impl IntoToken for String {
    fn into_token(self) -> Result<Option<String>, TokenUnavailable> {
        Ok(Some(self))
    }
}

impl IntoToken for &str {
    fn into_token(self) -> Result<Option<String>, TokenUnavailable> {
        Ok(Some(self.to_owned()))
    }
}

impl<T: IntoToken> IntoToken for Option<T> {
    fn into_token(self) -> Result<Option<String>, TokenUnavailable> {
        self.map_or(Ok(None), T::into_token)
    }
}

impl<T: IntoToken, E> IntoToken for Result<T, E> {
    fn into_token(self) -> Result<Option<String>, TokenUnavailable> {
        self.map_err(|_| TokenUnavailable).and_then(T::into_token)
    }
}

/// The program's provider, with what one client knows of its last token.
#[derive(Clone)]
pub(super) struct Tokens {
    provider: Provider,
    state: Arc<Mutex<State>>,
}

/// The program's provider.
pub(super) type Provider = Arc<dyn Fn(TokenRequest) -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<Option<String>, TokenUnavailable>> + Send>>;
type Given = Result<Option<Secret>, NoToken>;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    Unavailable,
    TimedOut,
    Panicked,
    Unsendable,
}

struct State {
    /// The last token that was given.
    last: Option<Secret>,
    last_was_refused: bool,
    /// How many calls there were.
    calls: u64,
    /// The one that is under way, if it is this session's.
    call: Option<Call>,
    /// All that are under way; none once the client has ended.
    tasks: Option<JoinSet<()>>,
}

/// A call of the provider. All requests for a token wait for the same call while it is under way:
/// two renewals at once would use one refresh token twice.
#[derive(Clone)]
struct Call {
    number: u64,
    /// Whether the provider knows that its last token was refused.
    is_told: bool,
    given: watch::Receiver<Option<Given>>,
}

pub(super) fn provider(provider: impl TokenProvider) -> Provider {
    let provider = Arc::new(provider);
    Arc::new(move |request| {
        let provider = provider.clone();
        Box::pin(async move { provider.token(request).await })
    })
}

impl Tokens {
    pub(super) fn new(provider: Provider) -> Self {
        let state = State {
            last: None,
            last_was_refused: false,
            calls: 0,
            call: None,
            tasks: Some(JoinSet::new()),
        };
        Self { provider, state: Arc::new(Mutex::new(state)) }
    }

    /// A token for an attempt. Where that is given up, the provider goes on all the same: a refresh token
    /// that is good for one use may be on its way.
    pub(super) async fn next(&self) -> Given {
        let given = tokio::time::timeout(LONGEST_WAIT, self.given()).await;
        given.unwrap_or(Err(NoToken::TimedOut))
    }

    async fn given(&self) -> Given {
        loop {
            let Call { is_told, mut given, .. } = self.call().ok_or(NoToken::Unavailable)?;
            let given = given.wait_for(Option::is_some).await;
            // None comes of a call that was ended.
            let given = given.ok().and_then(|given| given.clone());
            let given = given.unwrap_or(Err(NoToken::Unavailable));
            // Asked before the refusal, the provider may have given the refused one.
            if given.is_err() || is_told || !self.lock().last_was_refused {
                return given;
            }
        }
    }

    /// The call that is under way, or a new one.
    fn call(&self) -> Option<Call> {
        let mut state = self.lock();
        if state.call.is_some() {
            return state.call.clone();
        }
        state.calls += 1;
        let (number, last_was_refused) = (state.calls, state.last_was_refused);
        let tasks = state.tasks.as_mut()?;
        while tasks.try_join_next().is_some() {}
        let (sender, given) = watch::channel(None);
        let tokens = self.clone();
        tasks.spawn(async move {
            let given = tokens.ask(TokenRequest { last_was_refused }).await;
            tokens.end_call(number, &given);
            sender.send_replace(Some(given));
        });
        state.call = Some(Call { number, is_told: last_was_refused, given });
        state.call.clone()
    }

    async fn ask(&self, request: TokenRequest) -> Given {
        // A provider that panics could not give a token either.
        let asked = AssertUnwindSafe((self.provider)(request)).catch_unwind();
        match tokio::time::timeout(LONGEST_CALL, asked).await {
            Ok(Ok(Ok(Some(token)))) if !is_sendable(&token) => Err(NoToken::Unsendable),
            Ok(Ok(Ok(token))) => Ok(token.map(Secret::new)),
            Ok(Ok(Err(TokenUnavailable))) => Err(NoToken::Unavailable),
            Ok(Err(_)) => Err(NoToken::Panicked),
            Err(_) => Err(NoToken::TimedOut),
        }
    }

    fn end_call(&self, number: u64, given: &Given) {
        let mut state = self.lock();
        if state.call.take_if(|call| call.number == number).is_none() {
            // An earlier session's.
            return;
        }
        if let Ok(token) = given
            && state.last != *token
        {
            // The server has not refused this one yet.
            state.last.clone_from(token);
            state.last_was_refused = false;
        }
    }

    /// The server has refused the token, or accepted it.
    pub(super) fn note(&self, was_refused: bool) {
        self.lock().last_was_refused = was_refused;
    }

    /// Requests from now on belong to another session. A call that is under way may finish, for a
    /// request that comes back to it, but its answer is dropped.
    pub(super) fn begin_session(&self) {
        self.lock().call = None;
    }

    /// Ends all calls, and waits until they are gone.
    pub(super) async fn end(&self) {
        if let Some(mut tasks) = self.take_tasks() {
            tasks.shutdown().await;
        }
    }

    /// Ends all calls.
    pub(super) fn abort(&self) {
        drop(self.take_tasks());
    }

    fn take_tasks(&self) -> Option<JoinSet<()>> {
        self.lock().tasks.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // None of the program's code runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NoToken {
    pub(super) fn reason(self) -> Reason {
        let code = match self {
            Self::TimedOut => Code::TokenTimeout,
            Self::Unavailable | Self::Panicked | Self::Unsendable => Code::TokenUnavailable,
        };
        Reason::new(code, self.told())
    }

    fn told(self) -> &'static str {
        match self {
            Self::Unavailable => "the app gave no token",
            Self::TimedOut => "the app gave no token within 8 s",
            // What it said may hold the token.
            Self::Panicked => "the app's provider of tokens panicked",
            Self::Unsendable => {
                "the app's token cannot be sent: there is a line break or another control \
                 character in it, or white space around it"
            }
        }
    }
}

/// Whether a header can carry the token unchanged: readers of a header drop white space around it.
fn is_sendable(token: &str) -> bool {
    token.trim() == token && !token.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join;
    use tokio::sync::Semaphore;

    use super::*;

    /// Answers as often as the test lets it, and records each request.
    struct Gate {
        opened: Semaphore,
        told: Mutex<Vec<bool>>,
        /// How many give the same token.
        same: AtomicUsize,
    }

    impl TokenProvider for Arc<Gate> {
        async fn token(&self, request: TokenRequest) -> Result<Option<String>, TokenUnavailable> {
            let number = {
                let mut told = self.told.lock().unwrap();
                told.push(request.last_was_refused);
                told.len().saturating_sub(self.same.load(Ordering::Relaxed))
            };
            self.opened.acquire().await.unwrap().forget();
            Ok(Some(format!("token-{number}")))
        }
    }

    fn gated(same: usize) -> (Arc<Gate>, Tokens) {
        let same = AtomicUsize::new(same);
        let gate = Gate { opened: Semaphore::new(0), told: Mutex::default(), same };
        let gate = Arc::new(gate);
        (gate.clone(), Tokens::new(provider(gate)))
    }

    fn text(given: &Given) -> &str {
        given.as_ref().unwrap().as_ref().unwrap().expose()
    }

    #[tokio::test]
    async fn who_asks_at_once_shares_one_answer_and_who_asks_later_does_not() {
        let (gate, tokens) = gated(0);
        let open = async { gate.opened.add_permits(1) };
        let ((one, other), ()) = join(join(tokens.next(), tokens.next()), open).await;
        assert_eq!((text(&one), text(&other)), ("token-1", "token-1"));
        gate.opened.add_permits(1);
        assert_eq!(text(&tokens.next().await), "token-2");
        assert_eq!(gate.told.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_refused_token_that_was_on_its_way_is_not_given_again() {
        let (gate, tokens) = gated(2);
        gate.opened.add_permits(1);
        assert_eq!(text(&tokens.next().await), "token-0");
        let refuse = async {
            // It has been asked already.
            while gate.told.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
            tokens.note(true);
            gate.opened.add_permits(2);
        };
        let (given, ()) = join(tokens.next(), refuse).await;
        assert_eq!(text(&given), "token-1");
        assert_eq!(*gate.told.lock().unwrap(), [false, false, true]);
    }

    #[tokio::test]
    async fn a_renewed_token_that_was_on_its_way_is_given() {
        let (gate, tokens) = gated(0);
        gate.opened.add_permits(1);
        assert_eq!(text(&tokens.next().await), "token-1");
        let refuse = async {
            while gate.told.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
            tokens.note(true);
            gate.opened.add_permits(1);
        };
        let (given, ()) = join(tokens.next(), refuse).await;
        assert_eq!(text(&given), "token-2");
        assert_eq!(*gate.told.lock().unwrap(), [false, false]);
    }
}
