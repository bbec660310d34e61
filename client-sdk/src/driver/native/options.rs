//! What a native program tells the client.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::last_view::Kept;
use crate::machine::Secret;
use crate::state::Diagnostic;

/// Where to connect, and as whom.
#[derive(Clone)]
pub struct Options {
    pub(super) url: String,
    pub(super) base_path: String,
    pub(super) token: TokenProvider,
    pub(super) on_diagnostic: Arc<dyn Fn(Diagnostic) + Send + Sync>,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) last_view: Option<Kept>,
}

/// The app could not give a token now; another attempt is made later. Bears no cause, because
/// causes of this kind tend to hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenUnavailable;

/// What a token provider may give: a token, none, or the news that it cannot.
pub trait IntoToken {
    /// The token, if there is one.
    ///
    /// # Errors
    ///
    /// Where a token exists and cannot be had now.
    fn into_token(self) -> Result<Option<Secret>, TokenUnavailable>;
}

pub(super) type TokenProvider = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<Secret>, TokenUnavailable>> + Send>>
        + Send
        + Sync,
>;

impl Options {
    /// Options for the server at `url`, such as `https://example.org`, with the REST API at
    /// `/api` and without a token.
    ///
    /// The URL is one of `http` or `https`, may have a port and a path, and has no user name, query
    /// or fragment. It is checked by [`start`](super::DashboardClient::start).
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            base_path: "/api".to_owned(),
            token: Arc::new(|| Box::pin(async { Ok(None) })),
            on_diagnostic: Arc::new(drop),
            tls: None,
            last_view: None,
        }
    }

    /// Where below the URL the REST API is: a path such as `/api`, without `.` and `..` parts, query
    /// and fragment. It is checked by [`start`](super::DashboardClient::start).
    #[must_use]
    pub fn base_path(mut self, base_path: impl Into<String>) -> Self {
        self.base_path = base_path.into();
        self
    }

    /// Where tokens come from: asked anew for every attempt and every request, so it should keep
    /// its token while it is valid. Gives a text, an `Option` of one, or a `Result` of either.
    #[must_use]
    pub fn token<F, T>(mut self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output: IntoToken> + Send + 'static,
    {
        self.token = Arc::new(move || {
            let token = catch_unwind(AssertUnwindSafe(&provider));
            Box::pin(async move {
                // A provider that panics could not give a token either.
                let token = AssertUnwindSafe(token.map_err(|_| TokenUnavailable)?);
                let token = token.catch_unwind().await.map_err(|_| TokenUnavailable)?;
                token.into_token()
            })
        });
        self
    }

    /// Receives the client's diagnostics. Must not block.
    #[must_use]
    pub fn on_diagnostic(mut self, receive: impl Fn(Diagnostic) + Send + Sync + 'static) -> Self {
        self.on_diagnostic = Arc::new(receive);
        self
    }

    /// Keeps the last view in a file, and shows it at once after the next start, as stale and with
    /// its age, until there is a newer one.
    ///
    /// `user` tells whose session it is, by whatever id the program knows; it is asked at every start,
    /// [`reauthenticate`](super::DashboardClient::reauthenticate) and write, and must not block.
    /// Another user's view is never shown, and none is kept for `None`. The file, readable by its
    /// owner only, is removed by [`stop`](super::DashboardClient::stop), by `reauthenticate`, and
    /// when the session is refused; dropping the client leaves it.
    #[must_use]
    pub fn last_view(
        mut self,
        file: impl Into<PathBuf>,
        user: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.last_view = Some(Kept { path: file.into(), user: Arc::new(user) });
        self
    }

    /// TLS as the program wants it, instead of the platform's trust store.
    #[must_use]
    pub fn tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("base_path", &self.base_path).finish_non_exhaustive()
    }
}

impl IntoToken for String {
    fn into_token(self) -> Result<Option<Secret>, TokenUnavailable> {
        Ok(Some(Secret::new(self)))
    }
}

impl IntoToken for &str {
    fn into_token(self) -> Result<Option<Secret>, TokenUnavailable> {
        Ok(Some(Secret::new(self)))
    }
}

impl<T: IntoToken> IntoToken for Option<T> {
    fn into_token(self) -> Result<Option<Secret>, TokenUnavailable> {
        self.map_or(Ok(None), T::into_token)
    }
}

impl<T: IntoToken, E> IntoToken for Result<T, E> {
    fn into_token(self) -> Result<Option<Secret>, TokenUnavailable> {
        self.map_err(|_| TokenUnavailable).and_then(T::into_token)
    }
}
