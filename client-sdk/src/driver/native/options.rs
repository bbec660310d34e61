//! The options that a native program gives the client.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connection, Proxy};
use super::last_view::Kept;
use super::token::{self, IntoToken, Provider, TokenProvider, TokenRequest};
use crate::state::Diagnostic;

/// Where to connect, and as whom.
#[derive(Clone)]
pub struct Options {
    pub(super) url: String,
    pub(super) base_path: String,
    pub(super) tokens: Provider,
    pub(super) on_diagnostic: Arc<dyn Fn(Diagnostic) + Send + Sync>,
    pub(super) connection: Connection,
    pub(super) last_view: Option<Kept>,
}

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
            tokens: token::provider(async |_: TokenRequest| None::<String>),
            on_diagnostic: Arc::new(drop),
            connection: Connection::default(),
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

    /// Where tokens come from; see [`TokenProvider`] for when it is asked.
    ///
    /// The closure gives a future of a text, of an `Option` of one, or of a `Result` of either. What
    /// it needs it has to own, and each future its own share of that:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # struct Session;
    /// # impl Session { async fn token(&self) -> Result<String, std::io::Error> { Ok(String::new()) } }
    /// # let session = Arc::new(Session);
    /// let options = client_sdk::Options::new("https://example.org").token(move || {
    ///     let session = session.clone();
    ///     async move { session.token().await }
    /// });
    /// ```
    #[must_use]
    pub fn token<F, T>(self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output: IntoToken> + Send + 'static,
    {
        self.token_provider(move |_: TokenRequest| provider())
    }

    /// The same for a provider that wants to know why it is asked: a type of the program's own, or a
    /// closure that takes a [`TokenRequest`].
    #[must_use]
    pub fn token_provider(mut self, provider: impl TokenProvider) -> Self {
        self.tokens = token::provider(provider);
        self
    }

    /// Receives the client's diagnostics, within the client's own task: it must not block, and calls
    /// that block panic there. A panic loses that one diagnostic and is reported by
    /// [`diagnostics`](super::DashboardClient::diagnostics).
    #[must_use]
    pub fn on_diagnostic(mut self, receive: impl Fn(Diagnostic) + Send + Sync + 'static) -> Self {
        self.on_diagnostic = Arc::new(receive);
        self
    }

    /// Keeps the last view in a file, and shows it at once after the next start, as stale and with
    /// its age, until there is a newer one.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// let user = Arc::new(Mutex::new(Some("amber".to_owned())));
    /// let options = client_sdk::Options::new("https://example.org")
    ///     .last_view("last-view", move || user.lock().unwrap().clone());
    /// ```
    ///
    /// `user` names the user of the session, by any id that the program knows. The client calls it
    /// at every start, [`reauthenticate`](super::DashboardClient::reauthenticate) and write. It
    /// must not block. A panic counts as no user. Another user's view is never shown, and none is
    /// kept for `None`. The file, readable by its owner only, is removed by
    /// [`stop`](super::DashboardClient::stop), when the session is refused, and by a
    /// `reauthenticate` for another user; dropping the client leaves it.
    #[must_use]
    pub fn last_view(
        mut self,
        file: impl Into<PathBuf>,
        user: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.last_view = Some(Kept { path: file.into(), user: Arc::new(user) });
        self
    }

    /// Trusts servers whose certificates were signed by one of these, such as those of a private
    /// authority, and no others. PEM, one certificate or several. Without this option the platform's
    /// trust store decides.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.connection.root_certificates = Some(pem.into());
        self
    }

    /// Shows this certificate to servers and proxies that ask for one. PEM: the certificate, those that
    /// lead to its authority, and the private key, in any order.
    #[must_use]
    pub fn identity(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.connection.identity = Some(pem.into());
        self
    }

    /// Sends this header with each request, those for sockets too. May be called several times. The
    /// value stands in no error and no log. Headers that the client sets itself, such as
    /// `Authorization`, are refused at the start.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.connection.headers.push((name.into(), value.into()));
        self
    }

    /// How long connecting may take: the lookup of the name, TCP, the proxy and TLS. An attempt as a
    /// whole, and a snapshot as a whole, take ten seconds at most (D-RES-1), so more has no effect.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connection.connect_timeout = Some(timeout);
        self
    }

    /// TLS as the program wants it, for what [`root_certificates`](Self::root_certificates) and
    /// [`identity`](Self::identity) cannot say; takes the place of both.
    #[must_use]
    pub fn tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.connection.tls = Some(tls);
        self
    }

    /// Reaches the server through the proxy at that URL, such as `http://proxy.example.org:3128` or
    /// `http://user:password@proxy.example.org:3128`, by `CONNECT`.
    ///
    /// Without this option the variables `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment
    /// hold. Either way the same holds for the socket and for snapshots, a server on this machine
    /// (`localhost`, `127.0.0.1`, `[::1]`) is reached directly, and so is one whose URL begins with
    /// `http://`, because the proxy could read the token. To name a proxy for such a URL is an error.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.connection.proxy = Proxy::At(url.into());
        self
    }

    /// Reaches the server directly, and ignores the proxies that the environment names.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.connection.proxy = Proxy::Direct;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("base_path", &self.base_path).finish_non_exhaustive()
    }
}
