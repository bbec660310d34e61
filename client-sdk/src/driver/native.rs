//! The driver of native programs: tokio, with rustls for both the socket and REST.

mod address;
mod clock;
mod connection;
mod fault;
mod fetch;
mod journal;
mod last_view;
mod options;
mod run;
mod runtime;
mod socket;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, watch};

use crate::decode::json::JsonDecoder;
use crate::endpoint::{Endpoints, InvalidUrl};
use crate::machine::Input;
use crate::state::{DashboardState, Diagnostic};

use self::journal::Journal;
pub use self::journal::KEPT_DIAGNOSTICS;
pub use self::options::Options;
use self::run::Command;
pub use self::runtime::RuntimeFault;
pub use self::token::{IntoToken, TokenProvider, TokenRequest, TokenUnavailable};

/// A running client. A handle: its clones are the same client, and dropping the last of them ends it.
#[derive(Clone)]
#[must_use = "a client ends with its last handle"]
pub struct DashboardClient {
    commands: mpsc::UnboundedSender<Command>,
    states: watch::Receiver<Arc<DashboardState>>,
    journal: Arc<Journal>,
}

/// Why a client could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The option [`url`](Options::new) or [`base_path`](Options::base_path) cannot be the server's
    /// address. Nothing was connected, and no token was asked for.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// Another option cannot be used.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// TLS cannot be set up. The text says why, so the error is not a source besides.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// The HTTP client cannot be set up. The text says why, so the error is not a source besides.
    #[error("the HTTP client cannot be set up: {}", fault::chain(.0))]
    Http(reqwest::Error),
    /// There is no tokio runtime here, or it lacks what a client needs.
    #[error(transparent)]
    Runtime(#[from] RuntimeFault),
    /// The client's own thread cannot be started.
    #[error("the client's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// An option that cannot be used. Tells the option and what is right, never its value, which may
/// be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} {rule}")]
#[non_exhaustive]
pub struct InvalidOption {
    /// The method of [`Options`] that sets it.
    pub option: &'static str,
    /// What is right, as the rest of a sentence that begins with the option's name.
    pub rule: &'static str,
}

impl From<rustls::Error> for StartError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<reqwest::Error> for StartError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error)
    }
}

impl DashboardClient {
    /// Starts a client on the current tokio runtime, which must have I/O and timers. What it lacks is
    /// found out by a trial that panics and is caught, so a panic hook tells of it too. A program with
    /// `panic = "abort"` ends there, instead of getting a [`RuntimeFault`]: tokio has no other way to ask.
    ///
    /// # Errors
    ///
    /// Where the address or the surroundings do not allow it; never for want of a server, which
    /// the client's state tells of.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let runtime = runtime::current()?;
        let (client, driver) = Self::prepare(options)?;
        runtime.spawn(driver);
        Ok(client)
    }

    /// Starts a client on a new thread, for programs without a tokio runtime. The thread ends
    /// with the client.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and where there can be no further thread.
    pub fn start_on_thread(options: Options) -> Result<Self, StartError> {
        let (client, driver) = Self::prepare(options)?;
        runtime::on_thread(driver).map_err(StartError::Thread)?;
        Ok(client)
    }

    fn prepare(
        options: Options,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StartError> {
        let endpoints = Endpoints::read(&options.url, &options.base_path)?;
        let clients = options.connection.clients(&endpoints)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let journal = Arc::new(Journal::new(options.on_diagnostic.clone()));
        let driver =
            run::Driver::new(options, endpoints, clients, Arc::clone(&journal), JsonDecoder);
        let states = driver.states();
        let client = Self { commands, states, journal };
        client.command(Command::Input(Input::Start));
        Ok((client, driver.run(inbox)))
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
    ///
    /// ```
    /// use client_sdk::DashboardClient;
    /// use futures_util::StreamExt as _;
    ///
    /// async fn print(client: &DashboardClient) {
    ///     let mut states = client.stream();
    ///     while let Some(state) = states.next().await {
    ///         println!("{}", state.status);
    ///     }
    /// }
    /// ```
    pub fn stream(&self) -> impl Stream<Item = Arc<DashboardState>> + Send + Unpin + use<> {
        let states = stream::unfold((self.states(), true), async |(mut states, is_first)| {
            if !is_first {
                states.changed().await.ok()?;
            }
            let state = states.borrow_and_update().clone();
            Some((state, (states, false)))
        });
        states.boxed()
    }

    /// Blocks this thread until a state is as wished, and gives that state; none after `timeout`, and
    /// none once the client has ended. For programs without `async`; within it, use
    /// [`states`](Self::states).
    ///
    /// # Panics
    ///
    /// Within async code, as tokio's own calls that block do: on a thread that drives tasks of a tokio
    /// runtime. That is so also in what the client calls, such as the receiver of diagnostics. Use it on
    /// threads of your own, or within `tokio::task::spawn_blocking` or `block_in_place`.
    #[must_use]
    #[track_caller]
    pub fn blocking_wait_for(
        &self,
        timeout: Duration,
        wished: impl FnMut(&DashboardState) -> bool,
    ) -> Option<Arc<DashboardState>> {
        let (mut states, mut wished) = (self.states(), wished);
        let found = states.wait_for(|state| wished(state));
        runtime::block_on(async { found.await.ok().map(|state| state.clone()) }, timeout)?
    }

    /// The last [`KEPT_DIAGNOSTICS`] diagnostics, oldest first: every change of state and every
    /// skipped message, each with its reason. Contains no token, so it can go into a bug report.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.journal.entries()
    }

    /// Says that there is a new session, and connects again.
    /// The only way out of [`Status::AuthRequired`](crate::state::Status::AuthRequired).
    ///
    /// The client's task does it: right after the call, [`state`](Self::state) is still the old one, and
    /// [`states`](Self::states) tells of what follows. So do `refresh`, `stop` and `restart`.
    ///
    /// If the last token was refused, the provider learns it from
    /// [`TokenRequest::last_was_refused`].
    ///
    /// What was shown stays, as stale, where [`Options::last_view`] names the same user as before.
    /// Otherwise it may be another user's, and nothing of it is kept. So the program knows its new user
    /// before this call.
    pub fn reauthenticate(&self) {
        self.command(Command::Reauthenticate);
    }

    /// Asks for fresh data now: a snapshot while connected, an attempt while waiting for one.
    pub fn refresh(&self) {
        self.command(Command::Input(Input::Refresh));
    }

    /// Stops; the state becomes closed and shows nothing. That takes until the client's task comes to it:
    /// who must not show the view any longer waits for [`Status::Closed`](crate::state::Status::Closed).
    pub fn stop(&self) {
        self.command(Command::Input(Input::Stop));
    }

    /// Starts again after [`DashboardClient::stop`].
    pub fn restart(&self) {
        self.command(Command::Input(Input::Start));
    }

    /// Ends the client, even if other handles exist, and waits until its socket is closed, its
    /// requests are given up and the file of its last view, which stays, is written. The state becomes
    /// closed, and the states end.
    ///
    /// Dropping the last handle ends the client too, but does not wait.
    pub async fn shutdown(self) {
        // Both are at once where it has ended already.
        let _ = self.commands.send(Command::Shutdown);
        self.commands.closed().await;
    }

    /// The same for programs without `async`: blocks this thread until all is done.
    ///
    /// # Panics
    ///
    /// Within async code, as [`blocking_wait_for`](Self::blocking_wait_for) does; use
    /// [`shutdown`](Self::shutdown) there.
    #[track_caller]
    pub fn blocking_shutdown(self) {
        let _ = runtime::block_on(self.shutdown(), Duration::MAX);
    }

    fn command(&self, command: Command) {
        // A client that has ended, by a shutdown or with its runtime, obeys no more.
        let _ = self.commands.send(command);
    }
}

impl fmt::Debug for DashboardClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardClient")
            .field("status", &self.state().status)
            .finish_non_exhaustive()
    }
}
