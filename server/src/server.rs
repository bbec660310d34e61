//! Runs one server: starts its parts in order, and stops them in reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::auth::{Authenticator, KeyError};
use crate::changes::capture::CaptureError;
use crate::config::{Config, ConfigError};
use crate::dashboard::snapshots::Snapshots;
use crate::dashboard::tags::Tags;
use crate::database::{Database, DatabaseError};
use crate::http::admin;
use crate::http::app::App;
use crate::http::router::router;
use crate::limits::{FORGET_INTERVAL, Limiter};
use crate::metrics::Metrics;
use crate::net::{ListenError, Listener, Tls};
use crate::push::Push;
use crate::telemetry::TracesError;
use crate::telemetry::traces::Traces;

/// A running server. Stop it with [`Server::shutdown`]: dropping it leaves its tasks running.
#[must_use = "a server runs until it is shut down"]
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    admin_address: SocketAddr,
    public: JoinHandle<()>,
    admin: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    stop: CancellationToken,
    admin_stop: CancellationToken,
}

/// Why a server cannot start. Each reason is in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is unsafe or contradicts itself. Holds all that has to be corrected.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<ConfigError>),
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
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The web root is not a built app.
    #[error("DASHBOARD_WEB_ROOT {0:?} has no index.html: build the app first, or leave it unset")]
    WebRoot(std::path::PathBuf),
}

impl Server {
    /// Starts a server. It answers once this returns.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // Starting takes many steps. Callers need not make room for all of them.
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

    /// Stops in order: not ready any more, sockets closed one after the other over the drain window,
    /// no new connections, requests finished, the private database last.
    pub async fn shutdown(self) {
        let config = &self.app.config;
        self.app.draining.cancel();
        self.app.metrics.draining.set(1);
        tracing::info!(sockets = self.app.push.sockets(), "drain started");
        sleep(Duration::from_millis(config.drain_delay_ms)).await;
        self.app.push.close().await;
        self.stop.cancel();
        ended(self.public.await);
        ended(self.housekeeping.await);
        tracing::info!("drain ended");
        self.admin_stop.cancel();
        ended(self.admin.await);
        self.app.database.close().await;
        self.app.traces.stop().await;
    }

    async fn start_all(config: Config) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        check_web_root(&config)?;
        // What fails fast goes first. The private cluster is not started for a typing error.
        let public = Listener::bind(config.bind).await?;
        let tls = match config.tls_cert.as_deref().zip(config.tls_key.as_deref()) {
            Some((certificate, key)) => Some(Arc::new(Tls::load(certificate, key).await?)),
            None => None,
        };
        let admin = Listener::bind(config.admin_bind).await?;
        let metrics = Arc::new(Metrics::new());
        if let Some(tls) = &tls {
            tls.tell(&metrics);
        }
        let authenticator = Arc::new(Authenticator::new(&config, &metrics).await?);
        let limiter = |behind_proxy| {
            Arc::new(Limiter::new(config.limits.clone(), behind_proxy, Arc::clone(&metrics)))
        };
        // Clients that fill the public side do not keep the operators out.
        let (limiter, admin_limiter) = (limiter(config.behind_proxy), limiter(false));
        let traces = Traces::start(&config)?;
        let database = Arc::new(Database::open(&config).await?);
        let tags = Tags::of(Arc::clone(&database));
        let snapshots = Snapshots::new(Arc::clone(&database));
        let started = Push::start(
            &config,
            &database,
            Arc::clone(&tags),
            Arc::clone(&authenticator),
            Arc::clone(&limiter),
            Arc::clone(&metrics),
            &traces,
        );
        let push = match started.await {
            Ok(push) => push,
            Err(error) => {
                database.close().await;
                return Err(error.into());
            }
        };
        database.first_look().await;
        let draining = CancellationToken::new();
        let app = Arc::new(App {
            config,
            authenticator,
            database,
            tags,
            snapshots,
            limiter,
            metrics,
            traces,
            push,
            draining,
        });
        let (stop, admin_stop) = (CancellationToken::new(), CancellationToken::new());
        let (address, admin_address) = (public.address(), admin.address());
        let housekeeping = housekeeping(Arc::clone(&app), tls.clone(), stop.clone());
        let serve = |listener: Listener, router, tls, limiter, stop: &CancellationToken| {
            tokio::spawn(listener.serve(
                router,
                tls,
                limiter,
                Arc::clone(&app.metrics),
                stop.clone(),
            ))
        };
        let admin_router = admin::router(Arc::clone(&app));
        Ok(Self {
            public: serve(public, router(Arc::clone(&app)), tls, Arc::clone(&app.limiter), &stop),
            admin: serve(admin, admin_router, None, admin_limiter, &admin_stop),
            housekeeping: tokio::spawn(housekeeping),
            app,
            address,
            admin_address,
            stop,
            admin_stop,
        })
    }
}

/// What is done now and then until the server stops.
async fn housekeeping(app: Arc<App>, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    let certificate = async {
        if let Some(tls) = tls {
            let interval = Duration::from_millis(app.config.tls_reload_interval_ms);
            tls.watch(interval, &app.metrics).await;
        }
    };
    let forgetting = async {
        loop {
            sleep(FORGET_INTERVAL).await;
            app.limiter.forget();
        }
    };
    // Dropped wherever it is: a file system that hangs does not hold up the end.
    stop.run_until_cancelled(async { tokio::join!(certificate, forgetting) }).await;
}

/// Refuses a web root that is set to something else than a built app.
pub(crate) fn check_web_root(config: &Config) -> Result<(), StartError> {
    match &config.web_root {
        Some(root) if !root.join("index.html").is_file() => Err(StartError::WebRoot(root.clone())),
        _ => Ok(()),
    }
}

fn ended(result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a listener ended badly");
    }
}
