//! The server under test, in this process, on its own database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use dashboard_server::{Config, Server};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::Database;
use crate::metrics::Metrics;
use crate::projection::projected;
use crate::rest::{Credential, Rest};
use crate::tokens::Tokens;
use crate::waiting::{DEADLINE, pause, within};

/// A running installation: server, database, and the keys to sign in.
pub struct TestApp {
    server: Option<Running>,
    config: Config,
    address: SocketAddr,
    admin: SocketAddr,
    /// Makes sessions that the server accepts.
    pub tokens: Tokens,
    /// The data; dropped with the app.
    pub database: Database,
}

/// A server with a separate runtime: a test's clock may stand still, and a test may block,
/// without the server noticing.
struct Running {
    server: Server,
    runtime: Runtime,
}

impl TestApp {
    /// With the defaults of the product.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further flags of `dashboard-server`, such as `["--base-path", "/v2"]`.
    pub async fn start_with(flags: &[&str]) -> Self {
        let started = Self::try_start_with(flags).await;
        started.unwrap_or_else(|error| panic!("the server does not start: {error}"))
    }

    /// The same, for flags that the server may refuse.
    ///
    /// # Errors
    ///
    /// The words in which the server refuses to start.
    pub async fn try_start_with(flags: &[&str]) -> Result<Self, String> {
        let (tokens, database) = (Tokens::new(), Database::create().await);
        let config = config(&database.url(), tokens.secret(), flags);
        let server = Running::start(&config).await?;
        let (address, admin) = (server.server.addr(), server.server.admin_addr());
        Ok(Self { server: Some(server), config, address, admin, tokens, database })
    }

    /// Serving the built dashboard app.
    pub async fn start_with_web_app() -> Self {
        Self::start_with_web_app_and(&[]).await
    }

    /// The same, with further flags.
    pub async fn start_with_web_app_and(flags: &[&str]) -> Self {
        let root = web_root();
        let root = root.to_string_lossy();
        Self::start_with(&[&["--web-root", &root], flags].concat()).await
    }

    /// Stops the server. Its address stays free for [`start_again`](Self::start_again), unless
    /// another program asks for exactly that port.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Starts a new server at the same addresses, on the same database.
    pub async fn start_again(&mut self) {
        self.stop();
        (self.config.bind, self.config.admin_bind) = (self.address, self.admin);
        let started = Running::start(&self.config).await;
        self.server = Some(started.unwrap_or_else(|error| panic!("no second start: {error}")));
    }

    /// Where the API, the sockets and the web app are, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.config.tls_cert.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// An HTTP client for it.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(self.url())
    }

    /// An HTTP client for the operators' side.
    #[must_use]
    pub fn admin(&self) -> Rest {
        Rest::new(format!("http://{}", self.admin))
    }

    /// The metrics as they are now.
    pub async fn metrics(&self) -> Metrics {
        let answer = self.admin().get("/metrics", &Credential::Nobody, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::new(answer.body)
    }

    /// The metrics, once they fit: much is counted a moment after it was seen outside.
    pub async fn metrics_until(&self, what: &str, fits: impl Fn(&Metrics) -> bool) -> Metrics {
        let mut last = None;
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                let metrics = self.metrics().await;
                if fits(&metrics) {
                    return metrics;
                }
                last = Some(metrics);
                pause().await;
            }
        });
        let Ok(metrics) = found.await else { panic!("waited in vain for {what}:\n{last:?}") };
        metrics
    }

    /// Proves that user by an access token.
    #[must_use]
    pub fn bearer(&self, user: &str) -> Credential {
        Credential::Bearer(self.tokens.access(user))
    }

    /// Proves that user by the session cookie.
    #[must_use]
    pub fn cookie(&self, user: &str) -> Credential {
        Credential::Cookie(self.tokens.id(user))
    }

    /// For a writer that knows nothing of the service.
    #[must_use]
    pub fn db(&self) -> &PgPool {
        self.database.pool()
    }

    /// See [`projected`].
    pub async fn projected(&self) {
        self.database.projected().await;
    }
}

/// Makes a database what a server needs, by letting one run on it until it has looked at every row.
pub(crate) async fn install(url: &str) {
    let server = Running::start(&config(url, Tokens::new().secret(), &[])).await;
    let server = server.unwrap_or_else(|error| panic!("a new database is not taken: {error}"));
    let mut connection = PgConnection::connect(url).await.expect("the new database accepts us");
    projected(&mut connection).await;
    // A database with sessions cannot be copied.
    connection.close().await.expect("a session can be closed");
    server.stop();
}

/// The product's defaults, but for what a test must set and for `flags`.
fn config(database_url: &str, secret: &str, flags: &[&str]) -> Config {
    let defaults = [
        ["--database-url", database_url],
        ["--bind", "127.0.0.1:0"],
        ["--admin-bind", "127.0.0.1:0"],
        ["--jwt-hs256-secret", secret],
        ["--jwt-issuer", Tokens::ISSUER],
        ["--jwt-client-ids", Tokens::CLIENT_ID],
        // A test asks in a moment what a user asks in an hour, and restarts while others wait.
        ["--requests-per-s", "100000"],
        ["--requests-per-s-per-user", "100000"],
        ["--drain-window-ms", "0"],
    ];
    let defaults = defaults.iter().filter(|pair| !flags.contains(&pair[0])).flatten();
    let line = ["dashboard-server"].iter().chain(defaults).chain(flags);
    Config::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"))
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Before the database goes: a server that still reconnects would hold its dropping up.
        self.stop();
    }
}

impl Running {
    async fn start(config: &Config) -> Result<Self, String> {
        let (sender, started) = oneshot::channel();
        let config = config.clone();
        std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            let outcome = runtime.block_on(Server::start(config));
            let outcome = outcome.map_err(|error| error.to_string());
            // A test that has given up takes nothing; the server then ends with its runtime.
            let _ = sender.send(outcome.map(|server| Self { server, runtime }));
        });
        within("the server's start", started).await.expect("the server's thread lives")
    }

    /// Stops the server and waits for its end; in a thread, so that it may be called within the
    /// test's runtime, also while a failed test unwinds.
    fn stop(self) {
        let Self { server, runtime } = self;
        let stopped = std::thread::spawn(move || {
            runtime.block_on(within("the server's end", server.shutdown()));
        });
        assert!(stopped.join().is_ok() || std::thread::panicking(), "the server did not stop");
    }
}

/// The built app, which a command of ours builds and a test never does.
fn web_root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard-app/dist");
    assert!(
        root.join("index.html").is_file(),
        "the dashboard app is not built; run `cargo xtask test`, or `cargo xtask wasm` and then \
         npm run build --workspaces"
    );
    root
}
