//! What can be configured: one flag and one environment variable each.
//!
//! [`Environment`] looks through the environment, [`Config::parse`](clap::Parser::parse) reads it and
//! the command line; [`Config::check`] refuses what would be unsafe or self-contradictory, in words
//! that say what to do.

mod environment;
mod error;
mod limits;
mod log_filter;
mod place;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, EnumValueParser};
use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

pub use self::environment::{Environment, Misread, Unknown};
pub use self::error::ConfigError;
pub use self::limits::Limits;
pub use self::place::Place;
use self::values::{address, item, key, path, ratio, secret, text, tidy, whole};
use crate::secret::Secret;

const DATABASE: &str = "Database";
const LISTENING: &str = "Listening";
const AUTHENTICATION: &str = "Authentication";
const PUSH: &str = "Push";
const STOPPING: &str = "Stopping";
const LOGS: &str = "Logs";

/// Serves one user's dashboard as a snapshot (REST) and pushes every later change (Socket.IO).
#[derive(Clone, Debug, Parser)]
#[command(name = "dashboard-server", version, about, long_about = None)]
pub struct Config {
    /// The database, as postgres://user:password@host:port/name. Without it the server starts a
    /// private PostgreSQL of its own, with its data below the data directory.
    #[arg(
        long, env = "DATABASE_URL", hide_env_values = true, value_parser = tidy(secret),
        help_heading = DATABASE
    )]
    pub database_url: Option<Secret>,

    /// What dashboards come from: "standalone" (tables of its own in the schema "collection"),
    /// "moc-instructions", or the folder of a source of your own. Without it, standalone, unless the
    /// database holds another application's tables.
    #[arg(long, env = "DASHBOARD_SOURCE", value_parser = text(), help_heading = DATABASE)]
    pub source: Option<String>,

    /// How often all of the source's rows are looked at again, in seconds, for what triggers did not
    /// hear of; 0 for never.
    #[arg(
        long, env = "DASHBOARD_RECONCILE_INTERVAL_S", default_value_t = 86_400,
        value_parser = whole::<u64>(0..=31_536_000), help_heading = DATABASE
    )]
    pub reconcile_interval_s: u64,

    /// Where a private PostgreSQL keeps its data. Survives restarts; delete it to start anew.
    #[arg(
        long, env = "DASHBOARD_DATA_DIR", default_value = ".data", value_parser = path(),
        help_heading = DATABASE
    )]
    pub data_dir: PathBuf,

    /// Connections of the pool to the database at most. Two more are open while the server runs:
    /// one follows the changes, one projects them.
    #[arg(
        long, env = "DASHBOARD_DATABASE_CONNECTIONS", default_value_t = 10,
        value_parser = whole::<u32>(2..=1000), help_heading = DATABASE
    )]
    pub database_connections: u32,

    /// How long to wait at start for a database that does not answer, in seconds.
    #[arg(
        long, env = "DASHBOARD_DATABASE_WAIT_S", default_value_t = 15,
        value_parser = whole::<u64>(0..=86_400), help_heading = DATABASE
    )]
    pub database_wait_s: u64,

    /// Where to serve the API, the sockets and the web root. Plain HTTP is served on loopback only.
    #[arg(
        long, env = "DASHBOARD_BIND", default_value = "127.0.0.1:9112", value_parser = tidy(address),
        help_heading = LISTENING
    )]
    pub bind: SocketAddr,

    /// Where to serve /metrics, /healthz and /readyz. Not for the public.
    #[arg(
        long, env = "DASHBOARD_ADMIN_BIND", default_value = "127.0.0.1:9113",
        value_parser = tidy(address), help_heading = LISTENING
    )]
    pub admin_bind: SocketAddr,

    /// What the paths of the API begin with; "/" for nothing.
    #[arg(
        long, env = "DASHBOARD_BASE_PATH", default_value = "/api", value_parser = text(),
        help_heading = LISTENING
    )]
    pub base_path: String,

    /// The certificate chain to serve HTTPS with, as a PEM file. Needs the key.
    #[arg(long, env = "DASHBOARD_TLS_CERT", value_parser = path(), help_heading = LISTENING)]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key, as a PEM file.
    #[arg(long, env = "DASHBOARD_TLS_KEY", value_parser = path(), help_heading = LISTENING)]
    pub tls_key: Option<PathBuf>,

    /// How often to look whether those two files have changed, in milliseconds.
    #[arg(
        long, env = "DASHBOARD_TLS_RELOAD_INTERVAL_MS", default_value_t = 10_000,
        value_parser = whole::<u64>(10..=3_600_000), help_heading = LISTENING
    )]
    pub tls_reload_interval_ms: u64,

    /// A proxy in front ends TLS: any address may be bound, and the proxy must say of every request
    /// that it came by TLS, as by X-Forwarded-Proto: https.
    #[arg(
        long, env = "DASHBOARD_BEHIND_PROXY", num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true",
        value_parser = tidy(BoolishValueParser::new()), help_heading = LISTENING
    )]
    pub behind_proxy: bool,

    /// Serve sockets over HTTP long-polling too, which Socket.IO's clients begin with by default. With
    /// several servers it needs session affinity at the balancer.
    #[arg(
        long, env = "DASHBOARD_POLLING", num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true",
        value_parser = tidy(BoolishValueParser::new()), help_heading = LISTENING
    )]
    pub polling: bool,

    /// Other origins whose pages may use the API and the cookie, each as scheme, host and, if it is
    /// an unusual one, port; separated by commas. The server's own origin always may.
    #[arg(
        long, env = "DASHBOARD_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = item(),
        help_heading = LISTENING
    )]
    pub allowed_origins: Vec<String>,

    /// A folder of static files to serve beside the API: the built dashboard app.
    #[arg(long, env = "DASHBOARD_WEB_ROOT", value_parser = path(), help_heading = LISTENING)]
    pub web_root: Option<PathBuf>,

    /// The shared secret of HS256 tokens, 32 bytes at least. For development and tests.
    #[arg(
        long, env = "DASHBOARD_JWT_HS256_SECRET", hide_env_values = true, value_parser = key(),
        help_heading = AUTHENTICATION
    )]
    pub jwt_hs256_secret: Option<Secret>,

    /// Where the public keys of RS256 or ES256 tokens are published. HTTPS, or loopback.
    #[arg(
        long, env = "DASHBOARD_JWT_JWKS_URL", value_parser = text(), help_heading = AUTHENTICATION
    )]
    pub jwt_jwks_url: Option<String>,

    /// A file with those public keys, instead of the address.
    #[arg(
        long, env = "DASHBOARD_JWT_JWKS_FILE", value_parser = path(), help_heading = AUTHENTICATION
    )]
    pub jwt_jwks_file: Option<PathBuf>,

    /// What the issuer that a token names must be, letter by letter: a slash at the end counts. Required
    /// with published keys.
    #[arg(
        long, env = "DASHBOARD_JWT_ISSUER", value_parser = text(), help_heading = AUTHENTICATION
    )]
    pub jwt_issuer: Option<String>,

    /// Application ids of which a token must bear one (access tokens as their client, ID tokens as
    /// their audience); separated by commas. Required with published keys.
    #[arg(
        long, env = "DASHBOARD_JWT_CLIENT_IDS", value_delimiter = ',', value_parser = item(),
        help_heading = AUTHENTICATION
    )]
    pub jwt_client_ids: Vec<String>,

    /// The cookie that bears the ID token.
    #[arg(
        long, env = "DASHBOARD_AUTH_COOKIE", default_value = "auth_token", value_parser = text(),
        help_heading = AUTHENTICATION
    )]
    pub auth_cookie: String,

    /// How often to look for notes to project, and, while there are sockets, for changes, in
    /// milliseconds.
    #[arg(
        long, env = "DASHBOARD_POLL_INTERVAL_MS", default_value_t = 25,
        value_parser = whole::<u64>(1..=10_000), help_heading = PUSH
    )]
    pub poll_interval_ms: u64,

    /// A user whose data keeps changing gets one refresh per window, in milliseconds. The first
    /// change after a quiet window goes out at once.
    #[arg(
        long, env = "DASHBOARD_COALESCE_WINDOW_MS", default_value_t = 100,
        value_parser = whole::<u64>(0..=60_000), help_heading = PUSH
    )]
    pub coalesce_window_ms: u64,

    /// How many refreshes to run at the same time, each of users who are due together; fewer than
    /// the database connections.
    #[arg(
        long, env = "DASHBOARD_REFRESH_CONCURRENCY", default_value_t = 6,
        value_parser = whole::<u32>(1..=1000), help_heading = PUSH
    )]
    pub refresh_concurrency: u32,

    /// How often a socket is asked whether it lives, in milliseconds.
    #[arg(
        long, env = "DASHBOARD_PING_INTERVAL_MS", default_value_t = 10_000,
        value_parser = whole::<u64>(100..=600_000), help_heading = PUSH
    )]
    pub ping_interval_ms: u64,

    /// How late that may be, in milliseconds, until a client gives the server up. The server itself waits
    /// four times as long for an answer.
    #[arg(
        long, env = "DASHBOARD_PING_TIMEOUT_MS", default_value_t = 5_000,
        value_parser = whole::<u64>(100..=600_000), help_heading = PUSH
    )]
    pub ping_timeout_ms: u64,

    /// How long change rows are kept, in seconds; each user's newest stays for good. A node that
    /// was away for longer compares revisions instead.
    #[arg(
        long, env = "DASHBOARD_CHANGE_RETENTION_S", default_value_t = 600,
        value_parser = whole::<u64>(1..=86_400), help_heading = PUSH
    )]
    pub change_retention_s: u64,

    /// What clients and strangers may take.
    #[command(flatten)]
    pub limits: Limits,

    /// How long to wait between saying that this node is not ready and the first closing of a
    /// socket, in milliseconds: as long as a load balancer takes to notice.
    #[arg(
        long, env = "DASHBOARD_DRAIN_DELAY_MS", default_value_t = 0,
        value_parser = whole::<u64>(0..=600_000), help_heading = STOPPING
    )]
    pub drain_delay_ms: u64,

    /// Over how long to spread the closing of the sockets when the server stops, in milliseconds, so
    /// that their clients do not come back all at once.
    #[arg(
        long, env = "DASHBOARD_DRAIN_WINDOW_MS", default_value_t = 5_000,
        value_parser = whole::<u64>(0..=600_000), help_heading = STOPPING
    )]
    pub drain_window_ms: u64,

    /// After how long, on average, those clients are asked to come back, in milliseconds: at once
    /// where another node is there, else as long as a restart takes.
    #[arg(
        long, env = "DASHBOARD_RECONNECT_AFTER_MS", default_value_t = 1_000,
        value_parser = whole::<u32>(0..=600_000), help_heading = STOPPING
    )]
    pub reconnect_after_ms: u32,

    /// What to log, as a filter of levels and modules: info, or debug,sqlx=info.
    #[arg(
        long, env = "DASHBOARD_LOG", default_value = "info", value_parser = text(),
        help_heading = LOGS
    )]
    pub log: String,

    /// How to write logs.
    #[arg(
        long, env = "DASHBOARD_LOG_FORMAT", default_value = "pretty",
        value_parser = tidy(EnumValueParser::<LogFormat>::new()), help_heading = LOGS
    )]
    pub log_format: LogFormat,

    /// Where to send traces, as the address of an OTLP receiver (HTTP, protobuf), whose port is 4318
    /// by custom. Without it there are none.
    #[arg(
        long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = text(), help_heading = LOGS
    )]
    pub otlp_endpoint: Option<String>,

    /// Which share of the traces to send, from 0 to 1. A caller's own trace goes by its own flag.
    #[arg(
        long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_parser = tidy(ratio),
        help_heading = LOGS
    )]
    pub otlp_ratio: f64,
}

/// How to write logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Takes what is set to nothing for unset, as compose files and shells write it.
    #[must_use]
    pub fn without_blanks(mut self) -> Self {
        let blank = |secret: &Secret| secret.expose().trim().is_empty();
        self.database_url = self.database_url.filter(|url| !blank(url));
        self.jwt_hs256_secret = self.jwt_hs256_secret.filter(|secret| !blank(secret));
        let texts = [
            &mut self.source,
            &mut self.jwt_jwks_url,
            &mut self.jwt_issuer,
            &mut self.otlp_endpoint,
        ];
        for text in texts {
            *text = text.take().filter(|text| !text.trim().is_empty());
        }
        let paths =
            [&mut self.jwt_jwks_file, &mut self.tls_cert, &mut self.tls_key, &mut self.web_root];
        for path in paths {
            *path = path.take().filter(|path| !path.as_os_str().is_empty());
        }
        for list in [&mut self.allowed_origins, &mut self.jwt_client_ids] {
            list.retain_mut(|item| {
                *item = item.trim().to_owned();
                !item.is_empty()
            });
        }
        self
    }

    /// Refuses what would be unsafe or self-contradictory.
    ///
    /// # Errors
    /// Everything that is to be mended, each in words for the operator.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        let mut faults = self.key_faults();
        let mut refuse = |refused: bool, fault: ConfigError| {
            if refused {
                faults.push(fault);
            }
        };
        refuse(self.tls_cert.is_some() != self.tls_key.is_some(), ConfigError::HalfTls);
        let secured = self.tls_cert.is_some() || self.behind_proxy;
        for address in [self.bind, self.admin_bind] {
            refuse(!address.ip().is_loopback() && !secured, ConfigError::PlainHttp(address));
        }
        refuse(collide(self.bind, self.admin_bind), ConfigError::OneAddress(self.bind.port()));
        let path_char = |c: char| c.is_ascii_alphanumeric() || "-_.~/".contains(c);
        let is_path = self.base_path.starts_with('/') && self.base_path.chars().all(path_char);
        refuse(!is_path, ConfigError::BasePath);
        for text in &self.allowed_origins {
            let meant = canonical_origin(text);
            let is_origin = meant.as_ref() == Some(text);
            refuse(!is_origin, ConfigError::Origin { text: text.clone(), meant });
        }
        let cookie_char = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_cookie = !self.auth_cookie.is_empty() && self.auth_cookie.chars().all(cookie_char);
        refuse(!is_cookie, ConfigError::Cookie);
        let (refreshes, connections) = (self.refresh_concurrency, self.database_connections);
        refuse(refreshes >= connections, ConfigError::Concurrency { refreshes, connections });
        faults.extend(self.log_filter().err());
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What to log.
    ///
    /// # Errors
    /// If `DASHBOARD_LOG` is not a filter.
    pub fn log_filter(&self) -> Result<EnvFilter, ConfigError> {
        log_filter::log_filter(&self.log)
    }

    /// The prefix of the API's paths: empty, or beginning and not ending with a slash.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.base_path.trim_end_matches('/')
    }

    /// See [`Config::poll_interval_ms`].
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    /// See [`Config::coalesce_window_ms`].
    #[must_use]
    pub fn coalesce_window(&self) -> Duration {
        Duration::from_millis(self.coalesce_window_ms)
    }

    /// See [`Config::change_retention_s`].
    #[must_use]
    pub fn change_retention(&self) -> Duration {
        Duration::from_secs(self.change_retention_s)
    }

    /// Whether browsers reach this server by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.tls_cert.is_some() || self.behind_proxy
    }

    /// What is wrong with the keys that sessions are to be checked with.
    pub(crate) fn key_faults(&self) -> Vec<ConfigError> {
        let published = self.jwt_jwks_url.is_some() || self.jwt_jwks_file.is_some();
        let weak = |secret: &Secret| secret.expose().len() < 32;
        let plain = |url: &str| !is_trusted_url(url);
        let kinds = [
            self.jwt_hs256_secret.is_some(),
            self.jwt_jwks_url.is_some(),
            self.jwt_jwks_file.is_some(),
        ];
        let kinds = kinds.into_iter().filter(|is_set| *is_set).count();
        let open = kinds == 1
            && published
            && (self.jwt_issuer.is_none() || self.jwt_client_ids.is_empty());
        let faults = [
            (kinds == 0, ConfigError::NoKeys),
            (kinds > 1, ConfigError::ManyKeys),
            (self.jwt_hs256_secret.as_ref().is_some_and(weak), ConfigError::WeakSecret),
            (open, ConfigError::OpenIssuer),
            (self.jwt_jwks_url.as_deref().is_some_and(plain), ConfigError::PlainJwks),
        ];
        faults.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)).collect()
    }
}

/// Whether not both can be listened on. 0.0.0.0 takes all IPv4 addresses of the machine, [::] all.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |one: SocketAddr, other: SocketAddr| {
        one.ip() == other.ip() || one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    one.port() != 0 && one.port() == other.port() && (takes(one, other) || takes(other, one))
}

/// The origin that an address is of, written as browsers write it: in lower case, without path and
/// default port.
fn canonical_origin(text: &str) -> Option<String> {
    let address = text.parse::<http::Uri>().ok()?;
    let scheme = address.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let default = if scheme == "https" { ":443" } else { ":80" };
    let place = address.authority()?.as_str().to_ascii_lowercase();
    let place = place.strip_suffix(default).unwrap_or(&place);
    let place_char = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    place.chars().all(place_char).then(|| format!("{scheme}://{place}"))
}

/// Whether what comes from there is that host's word: by HTTPS, or from this machine.
pub(crate) fn is_trusted_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
