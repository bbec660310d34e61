//! One running server: its parts in the order in which they start, and the reverse to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::auth::{Authenticator, KeyError};
use crate::config::{Config, ConfigError};
use crate::database::{Database, DatabaseError};
use crate::http::admin;
use crate::listener::{ListenError, Listener};
use crate::metrics::Metrics;
use crate::push::Push;
use crate::push::capture::CaptureError;
use crate::router::router;

/// A running server. Stop it with [`Server::shutdown`]: dropping it leaves its tasks running.
#[must_use = "a server runs until it is shut down"]
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    admin_address: SocketAddr,
    public: JoinHandle<()>,
    admin: JoinHandle<()>,
    admin_stop: CancellationToken,
}

/// Why a server cannot start; each in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is unsafe or contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys to check sessions with cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Changes cannot be followed.
    #[error("the change log cannot be followed: {0}")]
    Capture(#[from] CaptureError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The web root is not a built app.
    #[error("DASHBOARD_WEB_ROOT {0:?} has no index.html: build the app first, or leave it unset")]
    WebRoot(std::path::PathBuf),
}

impl Server {
    /// Starts a server; it answers once this returns.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // Starting takes many steps; callers need not make room for all of them.
        Box::pin(Self::start_all(config.without_blanks())).await
    }

    /// Where the API, the sockets and the web root are served.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// The scheme that browsers reach it by without a proxy.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.app.config.tls_cert.is_some() { "https" } else { "http" }
    }

    /// Returns once the server can no longer keep its promises, such as after a panic in the task
    /// that follows the change log. What is left to do is to shut it down and start another.
    pub async fn failed(&self) {
        self.app.push.failed().await;
    }

    /// Stops: no new connections, sockets closed, requests finished, the private database last.
    pub async fn shutdown(self) {
        self.app.stop.cancel();
        self.app.push.close().await;
        ended(self.public.await);
        self.admin_stop.cancel();
        ended(self.admin.await);
        self.app.database.close().await;
    }

    async fn start_all(config: Config) -> Result<Self, StartError> {
        config.check()?;
        if let Some(root) = &config.web_root
            && !root.join("index.html").is_file()
        {
            return Err(StartError::WebRoot(root.clone()));
        }
        // What fails fast goes first; the private cluster is not started for a typing error.
        let mut public = Listener::bind(config.bind).await?;
        if let Some((certificate, key)) = config.tls_cert.as_deref().zip(config.tls_key.as_deref())
        {
            public = public.with_tls(certificate, key)?;
        }
        let admin = Listener::bind(config.admin_bind).await?;
        let authenticator = Arc::new(Authenticator::new(&config).await?);
        let metrics = Arc::new(Metrics::new());
        let database = Database::open(&config).await?;
        let started =
            Push::start(&config, &database, Arc::clone(&authenticator), Arc::clone(&metrics)).await;
        let push = match started {
            Ok(push) => push,
            Err(error) => {
                database.close().await;
                return Err(error.into());
            }
        };
        let stop = CancellationToken::new();
        let app =
            Arc::new(App { config, authenticator, database, metrics, push, stop: stop.clone() });
        let (address, admin_address) = (public.address(), admin.address());
        let admin_stop = CancellationToken::new();
        Ok(Self {
            public: tokio::spawn(public.serve(router(Arc::clone(&app)), stop)),
            admin: tokio::spawn(admin.serve(admin::router(Arc::clone(&app)), admin_stop.clone())),
            app,
            address,
            admin_address,
            admin_stop,
        })
    }
}

fn ended(result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a listener ended badly");
    }
}
