//! Where tokens come from.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::machine::Secret;

/// How long a provider may take. Less than the ten seconds of an attempt, so that the state can tell
/// what took so long.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Gives the client its tokens: asked anew for every attempt to connect and every snapshot, so it
/// should keep its token while that is valid. Takes eight seconds at most; a longer wait, an error and
/// a panic make the attempt fail, and another one is made later.
///
/// Implement it for a type that holds what is needed, or give a closure to
/// [`Options::token`](super::Options::token) or
/// [`Options::token_provider`](super::Options::token_provider).
///
/// ```
/// use client_sdk::{TokenProvider, TokenRequest, TokenUnavailable};
///
/// struct Session {
///     /* what it takes to get a token */
/// }
///
/// impl Session {
///     async fn access_token(&self, renewed: bool) -> Result<String, std::io::Error> {
///         # let _ = renewed;
///         # Ok(String::new())
///         // …
///     }
/// }
///
/// impl TokenProvider for Session {
///     async fn token(&self, request: TokenRequest) -> Result<Option<String>, TokenUnavailable> {
///         let token = self.access_token(request.last_was_refused).await;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The server has refused the last token, or it ran out: a kept one is of no use any more.
    pub last_was_refused: bool,
}

/// The app could not give a token now; another attempt is made later. Bears no cause, because
/// causes of this kind tend to hold secrets.
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

/// The program's provider, with what the client knows of its last token.
#[derive(Clone)]
pub(super) struct Tokens {
    provider: Arc<Provider>,
    last_was_refused: Arc<AtomicBool>,
}

type Provider = dyn Fn(TokenRequest) -> Answer + Send + Sync;
type Answer = Pin<Box<dyn Future<Output = Result<Option<String>, TokenUnavailable>> + Send>>;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    Unavailable,
    TimedOut,
}

impl Tokens {
    pub(super) fn of(provider: impl TokenProvider) -> Self {
        let provider = Arc::new(provider);
        let provider = Arc::new(move |request| -> Answer {
            let provider = provider.clone();
            Box::pin(async move { provider.token(request).await })
        });
        Self { provider, last_was_refused: Arc::default() }
    }

    pub(super) async fn next(&self) -> Result<Option<Secret>, NoToken> {
        let last_was_refused = self.last_was_refused.load(Ordering::Relaxed);
        // A provider that panics could not give a token either.
        let asked = AssertUnwindSafe((self.provider)(TokenRequest { last_was_refused }));
        let answer = tokio::time::timeout(LONGEST_WAIT, asked.catch_unwind()).await;
        let answer = answer.map_err(|_| NoToken::TimedOut)?;
        let token = answer.unwrap_or(Err(TokenUnavailable)).map_err(|_| NoToken::Unavailable)?;
        Ok(token.map(Secret::new))
    }

    /// The server has refused the token, or accepted it.
    pub(super) fn note(&self, was_refused: bool) {
        self.last_was_refused.store(was_refused, Ordering::Relaxed);
    }
}

impl NoToken {
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Unavailable => "the app gave no token",
            Self::TimedOut => "the app gave no token within 8 s",
        }
    }
}
