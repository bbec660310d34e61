//! Provides a database and a server for each test, tokens, and a client that speaks the bare wire.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use dashboard_server::dashboard::cursor::Cursor;
use dashboard_server::dashboard::query::{self, Owed, Refresh};
use dashboard_server::dashboard::section::Sections;
use dashboard_server::database::Database;
use dashboard_server::projector::{self, Projector};
use dashboard_server::source::{Source, install, load};
use dashboard_server::{Config, Secret, Server};
use futures_util::{FutureExt, SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

/// The certificate of the key beside it. For loopback, and for tests only.
pub(crate) const CERTIFICATE: &[u8] = include_bytes!("../keys/tls-cert.pem");
/// An application's tables, as the source `moc-instructions` reads them.
pub(crate) const EXAMPLE: &str = include_str!("../../sources/moc-instructions/example.sql");
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The answer to a client whose session is not accepted, for any fault in it.
pub(crate) const REFUSED: &str =
    r#"44/dashboard,{"message":"AUTH_FAILED","data":{"code":"AUTH_FAILED"}}"#;
/// The answer to a request behind a proxy that says nothing of TLS.
pub(crate) const NO_TLS: &str = "HTTPS is required: the proxy must set X-Forwarded-Proto: https";
/// Far more than anything here takes, even on a busy machine. A test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How long to wait before a question that nothing else answers is asked again.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Waits a moment before the same question is asked again. The tasks that are to bring the answer about need
/// the processors, which a loop without a pause would take from them.
///
/// It waits in real time, also where a test holds the runtime's clock.
pub(crate) async fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "for what can only be asked again, this is the pause"
    )]
    let waited = tokio::task::spawn_blocking(|| std::thread::sleep(LOOK)).await;
    waited.expect("a thread can sleep");
}

/// A fresh database with the standalone source installed.
pub(crate) struct TestDb {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

/// Runs a test on a fresh database with an empty collection, and always drops the database.
pub(crate) async fn with_database<F: Future<Output = ()>>(test: impl FnOnce(TestDb) -> F) {
    let (name, url) = create_database().await;
    let database = Database::open(&config(&url)).await.unwrap();
    database.close().await;
    let options = PgConnectOptions::from_str(&url).unwrap();
    let pool = PgPoolOptions::new().max_connections(20).connect_lazy_with(options);
    let db = TestDb { url, pool };
    db.settle().await;
    let result = AssertUnwindSafe(test(db)).catch_unwind().await;
    drop_database(&name).await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a test on an application's database, before it has heard of dashboards. Passes its name to the test,
/// and always drops the database.
pub(crate) async fn with_application<F: Future<Output = ()>>(
    test: impl FnOnce(TestDb, String) -> F,
) {
    let (name, url) = create_database().await;
    let options: PgConnectOptions = url.parse().unwrap();
    let db = TestDb { url, pool: PgPool::connect_lazy_with(options) };
    db.run(EXAMPLE).await;
    let result = AssertUnwindSafe(test(db, name.clone())).catch_unwind().await;
    drop_database(&name).await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Installs the source of the application's tables, and projects them. Returns a configuration for
/// servers that read it.
pub(crate) async fn installed(db: &TestDb) -> Config {
    let source = Source::built_in("moc-instructions").unwrap();
    let mut node = db.node().await;
    install(&mut node, &source, &mut |_| {}).await.unwrap();
    node.close().await.ok();
    db.fill(&source).await;
    let mut config = config(&db.url);
    config.source = Some(source.name);
    config
}

/// Reads a user's refresh.
pub(crate) async fn refresh(pool: &PgPool, user: &str, since: Cursor, forced: Sections) -> Refresh {
    let owed = [Owed { user, since, forced }];
    query::refresh(pool, &owed).await.unwrap().remove(0).unwrap()
}

/// Runs a test on a running server.
pub(crate) async fn with_server<F: Future<Output = ()>>(
    test: impl FnOnce(TestDb, TestServer) -> F,
) {
    with_database(|db| async {
        let server = start(config(&db.url)).await;
        let result = AssertUnwindSafe(test(db, server.1)).catch_unwind().await;
        server.0.shutdown().await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

/// An empty database without our schema. The caller drops it.
pub(crate) async fn create_database() -> (String, String) {
    let name = format!("dash_test_{}", uuid::Uuid::new_v4().simple());
    admin(&format!("create database {name}")).await;
    let url = admin_options().database(&name).to_url_lossy();
    (name, url.to_string())
}

pub(crate) async fn drop_database(name: &str) {
    admin(&format!("drop database if exists {name} with (force)")).await;
}

pub(crate) async fn admin(statement: &str) {
    let mut connection = PgConnection::connect_with(&admin_options()).await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.ok();
}

fn admin_options() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL").expect(
        "set DATABASE_URL to a PostgreSQL on which databases may be made (cargo xtask test does)",
    );
    PgConnectOptions::from_str(&url).unwrap()
}

/// A configuration for tests: free ports, quick looks, nothing from the environment. A test that is to see
/// a limit of time reached sets it. A busy machine reaches none of the others.
pub(crate) fn config(url: &str) -> Config {
    let mut config = Config::parse_from(["dashboard-server"]);
    config.database_url = Some(Secret::from(url.to_owned()));
    config.bind = "127.0.0.1:0".parse().unwrap();
    config.admin_bind = "127.0.0.1:0".parse().unwrap();
    config.base_path = "/api".to_owned();
    config.jwt_hs256_secret = Some(Secret::from(SECRET.to_owned()));
    config.jwt_jwks_url = None;
    config.jwt_jwks_file = None;
    config.jwt_issuer = None;
    config.jwt_client_ids = Vec::new();
    config.allowed_origins = Vec::new();
    config.web_root = None;
    config.poll_interval_ms = 5;
    config.coalesce_window_ms = 30;
    config.limits.write_stall_timeout_ms = 600_000;
    config.limits.connect_timeout_ms = 60_000;
    // Here one user is many, and does in a moment what takes others an hour.
    config.limits.max_sockets_per_user = 1_000;
    config.limits.requests_per_s = 100_000;
    config.limits.requests_per_s_per_user = 100_000;
    config.drain_window_ms = 0;
    config.database_wait_s = 5;
    config
}

/// The clock of the test's runtime, and so of the server in it, while it stands still: what waits for
/// time waits for ever, and what happens happens without it. A test that breaks then hangs, and is
/// ended by the runner.
pub(crate) struct Frozen {
    /// Dropping it lets the blocking task end.
    _guard: std::sync::mpsc::Sender<()>,
}

impl Frozen {
    /// A paused clock jumps ahead automatically when the runtime has nothing to do, and waiting for a
    /// socket counts as nothing to do. A blocking task holds it where it is.
    pub(crate) fn start() -> Self {
        let (guard, hold) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || hold.recv());
        tokio::time::pause();
        Self { _guard: guard }
    }

    /// Lets that much time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        // What is about to wait begins to, so that the time counts for it.
        tokio::task::yield_now().await;
        tokio::time::advance(time).await;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

pub(crate) struct TestServer {
    /// One for all requests: making one takes long enough for a server in this runtime to starve.
    client: reqwest::Client,
    pub(crate) base: String,
    pub(crate) admin: String,
}

pub(crate) async fn start(config: Config) -> (Server, TestServer) {
    let server = Box::pin(Server::start(config)).await.unwrap();
    let base = format!("{}://{}", server.scheme(), server.addr());
    let admin = format!("http://{}", server.admin_addr());
    (server, TestServer::at(base, admin))
}

impl TestDb {
    /// Commits a statement.
    pub(crate) async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.pool).await.unwrap();
    }

    /// Projects what has been written, as a server does automatically.
    pub(crate) async fn settle(&self) {
        self.settle_source(&Source::built_in("standalone").unwrap()).await;
    }

    /// The same for another source.
    pub(crate) async fn settle_source(&self, source: &Source) {
        let mut node = self.node().await;
        let installed = load(&mut node, source).await.unwrap();
        let mut projector = Projector::new(installed);
        loop {
            let pass = projector.pass(&mut node).await.unwrap();
            if pass.has_more || pass.is_elsewhere {
                continue;
            }
            // Some may have to wait for a lock.
            if !self.one::<bool>("select exists (select from dashboard.pending)").await {
                break;
            }
            pause().await;
        }
        node.close().await.ok();
    }

    /// Projects all rows for the first time, so that there are dashboards.
    pub(crate) async fn fill(&self, source: &Source) {
        while !self.one::<bool>("select is_complete from dashboard.meta").await {
            self.settle_source(source).await;
        }
    }

    /// Waits until servers have projected all that has been written.
    pub(crate) async fn projected(&self) {
        const WAITS: &str = "
            select exists (select from dashboard.outbox) or exists (select from dashboard.pending)
                or exists (select from dashboard.sweeps) or exists (select from dashboard.failed)
                or not (select is_ready from dashboard.current_epoch)";
        while self.one(WAITS).await {
            pause().await;
        }
    }

    /// The newest change.
    pub(crate) async fn cursor(&self) -> Cursor {
        Cursor(self.one("select coalesce(max(id), 0) from dashboard.changes").await)
    }

    /// Commits a statement, and projects what it wrote.
    pub(crate) async fn write(&self, statement: &str) {
        self.run(statement).await;
        self.settle().await;
    }

    /// The value of a query with one row and one column.
    pub(crate) async fn one<T>(&self, query: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.pool).await.unwrap()
    }

    /// A session with the settings of a server's.
    pub(crate) async fn node(&self) -> PgConnection {
        projector::connect(&self.url.parse().unwrap()).await.unwrap()
    }

    /// A separate connection, for transactions.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnectOptions::from_str(&self.url).unwrap().connect().await.unwrap()
    }
}

/// A token. `kind` is `access` or `id`.
pub(crate) fn token(user: &str, kind: &str, valid_s: i64) -> String {
    let exp = time::OffsetDateTime::now_utc().unix_timestamp() + valid_s;
    let claims =
        json!({ "sub": user, "token_use": kind, "client_id": "app", "aud": "app", "exp": exp });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

pub(crate) fn access(user: &str) -> String {
    token(user, "access", 600)
}

impl TestServer {
    /// A server that runs at these addresses.
    pub(crate) fn at(base: String, admin: String) -> Self {
        Self { client: reqwest::Client::new(), base, admin }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        self.try_get(path, headers).await.unwrap()
    }

    /// The same of a server that may be gone.
    pub(crate) async fn try_get(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<reqwest::Response> {
        let mut request = self.client.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await
    }

    /// A user's snapshot and its revision.
    pub(crate) async fn snapshot(&self, user: &str) -> (Value, u64) {
        let bearer = format!("Bearer {}", access(user));
        let response = self.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 200);
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        let revision = tag.trim_matches('"').split_once('-').unwrap().1.parse().unwrap();
        (response.json().await.unwrap(), revision)
    }

    /// Whether it is ready, and what it says of it.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let answer = self.client.get(format!("{}/readyz", self.admin)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.admin);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Waits until the metrics hold that line.
    pub(crate) async fn await_metric(&self, line: &str) {
        let found = async {
            while !self.metrics().await.lines().any(|have| have == line) {
                pause().await;
            }
        };
        let waited = timeout(PATIENCE, found).await;
        assert!(waited.is_ok(), "no metric {line} in:\n{}", self.metrics().await);
    }

    pub(crate) async fn open(&self, headers: &[(&'static str, &str)]) -> Client {
        self.try_open(headers).await.unwrap()
    }

    async fn try_open(&self, headers: &[(&'static str, &str)]) -> Result<Client, WsError> {
        let url = self.base.replacen("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket";
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let connector = Some(Connector::Rustls(Arc::new(trusting_the_test_certificate())));
        let connect = connect_async_tls_with_config(request, None, true, connector);
        let (stream, _) = Box::pin(connect).await?;
        let mut client = Client { stream: Box::new(stream) };
        let hello = client.next().await.ok_or(WsError::ConnectionClosed)?;
        assert!(hello.starts_with('0'));
        Ok(client)
    }

    /// A client that has entered the namespace.
    pub(crate) async fn connect(&self, user: &str) -> Client {
        let mut client = self.open(&[]).await;
        client.send(&entry(user)).await;
        let answer = client.frame().await;
        assert!(answer.starts_with("40/dashboard,"), "{answer}");
        client
    }

    /// The same at a server that may be gone, or about to go.
    pub(crate) async fn try_connect(&self, user: &str) -> Option<Client> {
        let mut client = self.try_open(&[]).await.ok()?;
        client.stream.send(Message::text(entry(user))).await.ok()?;
        let answer = client.next().await?;
        answer.starts_with("40/dashboard,").then_some(client)
    }
}

/// What a user asks to enter the namespace with.
fn entry(user: &str) -> String {
    format!("40/dashboard,{}", json!({ "token": access(user) }))
}

fn trusting_the_test_certificate() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client that speaks the bare wire.
pub(crate) struct Client {
    pub(crate) stream: Box<WebSocketStream<MaybeTlsStream<TcpStream>>>,
}

impl Client {
    pub(crate) async fn send(&mut self, frame: &str) {
        self.stream.send(Message::text(frame)).await.unwrap();
    }

    /// The next frame that is not a ping.
    pub(crate) async fn frame(&mut self) -> String {
        self.next().await.expect("the connection ended")
    }

    /// The next frame that is not a ping. None at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("nothing came");
            match message {
                Some(Ok(Message::Text(text))) if text == "2" => {
                    self.stream.send(Message::text("3")).await.ok();
                }
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                // The last two: cut off without a goodbye.
                None
                | Some(
                    Ok(Message::Close(_))
                    | Err(WsError::ConnectionClosed | WsError::Io(_) | WsError::Protocol(_)),
                ) => return None,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// The next event: its envelope, whose type equals its name.
    pub(crate) async fn event(&mut self) -> Value {
        let frame = self.frame().await;
        envelope(&frame).unwrap_or_else(|| panic!("{frame}"))
    }

    /// The events of one refresh: those up to the first of each of these types. That the database
    /// cannot be read just now, as a server may find on a busy machine, is none of them.
    pub(crate) async fn events(&mut self, types: &[&str]) -> Vec<Value> {
        let mut events = Vec::new();
        for name in types {
            let event = loop {
                let event = self.event().await;
                if event["payload"]["code"] != "SNAPSHOT_UNAVAILABLE" {
                    break event;
                }
            };
            assert_eq!(event["type"], format!("dashboard:{name}"), "{event}");
            events.push(event);
        }
        events
    }

    /// Waits for an event of that revision or a later one.
    pub(crate) async fn event_at(&mut self, revision: u64) -> Value {
        loop {
            let event = self.event().await;
            if event["revision"].as_u64().unwrap() >= revision {
                return event;
            }
        }
    }
}

/// The envelope in a frame, whose type equals the event's name. None in a frame that is no event.
pub(crate) fn envelope(frame: &str) -> Option<Value> {
    let json = frame.strip_prefix("42/dashboard,")?;
    let Value::Array(parts) = serde_json::from_str(json).unwrap() else { panic!("{frame}") };
    let [name, envelope] = <[Value; 2]>::try_from(parts).unwrap();
    assert_eq!(name, envelope["type"]);
    Some(envelope)
}
