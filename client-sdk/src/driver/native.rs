//! The driver of native programs: tokio, with rustls for both the socket and REST.
//!
//! ```no_run
//! use client_sdk::driver::native::{DashboardClient, Options};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new("https://example.org").token(|| async { "an access token" });
//! let client = DashboardClient::start(options)?;
//! let mut states = client.states();
//! while states.changed().await.is_ok() {
//!     let state = states.borrow_and_update().clone();
//!     println!("{}", state.status.name());
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod clock;
mod fetch;
mod journal;
mod last_view;
mod options;
mod run;
mod socket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::{mpsc, watch};

use crate::decode::json::JsonDecoder;
use crate::endpoint::{Endpoints, InvalidUrl};
use crate::machine::Input;
use crate::state::{DashboardState, Diagnostic};

use self::journal::Journal;
pub use self::journal::KEPT_DIAGNOSTICS;
pub use self::options::{IntoToken, Options, TokenUnavailable};

/// How long a connection for snapshots is kept for the next one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A running client. Dropping it stops it.
pub struct DashboardClient {
    commands: mpsc::UnboundedSender<Input>,
    states: watch::Receiver<Arc<DashboardState>>,
    journal: Arc<Journal>,
}

/// Why a client could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The option [`url`](Options::new) or [`base_path`](Options::base_path) cannot be the server's
    /// address. Nothing was connected, and no token was asked for.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[from] reqwest::Error),
    /// There is no tokio runtime here.
    #[error("a client must be started within a tokio runtime")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

impl DashboardClient {
    /// Starts a client on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Where the address or the surroundings do not allow it; never for want of a server, which
    /// the client's state tells of.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Handle::try_current()?;
        let endpoints = Endpoints::read(&options.url, &options.base_path)?;
        let tls = match options.tls.clone() {
            Some(tls) => tls,
            None => Arc::new(default_tls()?),
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            // Shorter than servers keep connections: one that is being closed while a request is on
            // its way fails that request.
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirect would carry the token to an address that nobody named.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let journal = Arc::new(Journal::new(options.on_diagnostic.clone()));
        let driver =
            run::Driver::new(options, endpoints, tls, http, Arc::clone(&journal), JsonDecoder);
        let states = driver.states();
        runtime.spawn(driver.run(inbox));
        let client = Self { commands, states, journal };
        client.command(Input::Start);
        Ok(client)
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> Arc<DashboardState> {
        self.states.borrow().clone()
    }

    /// The states as they come; a slow reader sees the newest, not each.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Arc<DashboardState>> {
        self.states.clone()
    }

    /// The same as a stream: the state now, then each newer one; ends with the client.
    pub fn stream(&self) -> impl Stream<Item = Arc<DashboardState>> + Send + use<> {
        stream::unfold((self.states(), true), async |(mut states, is_first)| {
            if !is_first {
                states.changed().await.ok()?;
            }
            let state = states.borrow_and_update().clone();
            Some((state, (states, false)))
        })
    }

    /// The last [`KEPT_DIAGNOSTICS`] diagnostics, oldest first: every change of state and every
    /// skipped message, each with its reason. Bears no token; fit for a bug report.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.journal.entries()
    }

    /// Says that there is a new session, perhaps another user's: nothing that was shown is kept.
    /// The only way out of [`Status::AuthRequired`](crate::state::Status::AuthRequired).
    pub fn reauthenticate(&self) {
        self.command(Input::Reauthenticate);
    }

    /// Asks for fresh data now: a snapshot while connected, an attempt while waiting for one.
    pub fn refresh(&self) {
        self.command(Input::Refresh);
    }

    /// Stops; the state becomes closed and shows nothing.
    pub fn stop(&self) {
        self.command(Input::Stop);
    }

    /// Starts again after [`DashboardClient::stop`].
    pub fn restart(&self) {
        self.command(Input::Start);
    }

    fn command(&self, input: Input) {
        // The driver ends only after this sender is gone, or with the runtime; then nobody cares.
        let _ = self.commands.send(input);
    }
}

impl fmt::Debug for DashboardClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardClient")
            .field("status", &self.state().status)
            .finish_non_exhaustive()
    }
}

fn default_tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}
