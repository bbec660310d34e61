//! The database: the one that is configured, or a private one; its schema; its pool.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Duration, Instant};

use private_postgres::Cluster;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection, PgPool};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::config::Config;

/// The database's name in a private cluster.
const PRIVATE_DATABASE: &str = "dashboard";
/// How long a request waits for a free connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The first with 64-bit transaction numbers in SQL.
const OLDEST_VERSION: i32 = 13;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A database whose schema is up to date.
#[derive(Debug)]
pub struct Database {
    /// For queries.
    pub pool: PgPool,
    /// For connections outside the pool.
    pub options: PgConnectOptions,
    cluster: Mutex<Option<Cluster>>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address cannot be read. Not shown: it may hold a password.
    #[error("DATABASE_URL is not an address such as postgres://user:password@host:5432/name")]
    Url,
    /// It does not answer.
    #[error(
        "the database at {address} does not answer ({source}); is it running, and may this \
         machine and user connect to it?"
    )]
    Unreachable {
        /// Host, port and name, without user and password.
        address: String,
        /// What the client library says.
        source: sqlx::Error,
    },
    /// The private cluster cannot be started.
    #[error(
        "no DATABASE_URL is set, and a private PostgreSQL cannot be started: {0}; set DATABASE_URL \
         to use one of your own"
    )]
    Private(#[from] private_postgres::Error),
    /// The schema cannot be brought up to date.
    #[error(
        "the schema \"dashboard\" cannot be brought up to date: {0}; if another version of this server \
         made it, run that version or a later one, or start with an empty database"
    )]
    Migrate(#[from] MigrateError),
    /// Too old for what the change log needs.
    #[error("the database is PostgreSQL {0}; version 13 or later is required")]
    Version(i32),
    /// The schema cannot be made.
    #[error("the schema \"dashboard\" cannot be made: {0}")]
    Schema(sqlx::Error),
    /// The same, for want of a right.
    #[error(
        "this user may not make the schema \"dashboard\": grant CREATE on the database, or make the \
         schema and grant it to this user"
    )]
    Denied,
    /// The task that starts the private cluster was ended.
    #[error("starting the private PostgreSQL was interrupted")]
    Interrupted,
}

impl Database {
    /// Connects to the configured database or starts a private one, and migrates it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn open(config: &Config) -> Result<Self, DatabaseError> {
        let (url, cluster) = match &config.database_url {
            Some(url) => (url.expose().to_owned(), None),
            None => start_private(config).await?,
        };
        let options = options(&url)?;
        migrate(&options, Duration::from_secs(config.database_wait_s)).await?;
        let pool = PgPoolOptions::new()
            .max_connections(config.database_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    for setting in ["set statement_timeout = '10s'", "set jit = off"] {
                        sqlx::query(setting).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone());
        Ok(Self { pool, options, cluster: Mutex::new(cluster) })
    }

    /// Closes the pool, and stops the private cluster if there is one.
    pub async fn close(&self) {
        self.pool.close().await;
        let Some(cluster) = self.cluster.lock().await.take() else {
            return;
        };
        match tokio::task::spawn_blocking(move || cluster.stop()).await {
            Ok(Ok(())) => tracing::info!("the private PostgreSQL has stopped"),
            Ok(Err(error)) => tracing::error!(%error, "the private PostgreSQL did not stop"),
            Err(error) => tracing::error!(%error, "the private PostgreSQL did not stop"),
        }
    }
}

/// Reads the database's address.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url)?;
    Ok(options.application_name("dashboard-server"))
}

/// The version of the database, unless it is too old.
pub(crate) async fn version(connection: &mut PgConnection) -> Result<i32, DatabaseError> {
    let version: i32 =
        sqlx::query_scalar("select current_setting('server_version_num')::int / 10000")
            .fetch_one(connection)
            .await
            .map_err(DatabaseError::Schema)?;
    if version < OLDEST_VERSION { Err(DatabaseError::Version(version)) } else { Ok(version) }
}

/// What makes the schema, and where each set keeps its books. That is inside the schema: dropping it
/// leaves no trace.
pub(crate) fn migrations() -> [(Migrator, &'static str); 2] {
    [
        (sqlx::migrate!("./migrations"), "dashboard.migrations"),
        (sqlx::migrate!("./sources/standalone"), "dashboard.source_migrations"),
    ]
}

async fn start_private(config: &Config) -> Result<(String, Option<Cluster>), DatabaseError> {
    let options = private_postgres::Options::new(config.data_dir.join("postgres"));
    let start = move || {
        let cluster = Cluster::start(&options, &mut |step| tracing::info!("{step}"))?;
        cluster.create_database(PRIVATE_DATABASE)?;
        Ok::<_, private_postgres::Error>(cluster)
    };
    let started = tokio::task::spawn_blocking(start).await;
    let cluster = started.map_err(|_| DatabaseError::Interrupted)??;
    tracing::info!(
        data = %config.data_dir.display(),
        port = cluster.port(),
        "no DATABASE_URL is set: using a private PostgreSQL"
    );
    Ok((cluster.url(PRIVATE_DATABASE), Some(cluster)))
}

async fn migrate(options: &PgConnectOptions, wait: Duration) -> Result<(), DatabaseError> {
    let mut connection = connect(options, wait).await?;
    version(&mut connection).await?;
    // Asking for a schema that is there already would need the right to make one.
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_namespace where nspname = 'dashboard')")
            .fetch_one(&mut connection)
            .await
            .map_err(DatabaseError::Schema)?;
    if !exists {
        let made =
            sqlx::query("create schema if not exists dashboard").execute(&mut connection).await;
        match made {
            // Another node that starts just now was quicker.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
                return Err(DatabaseError::Denied);
            }
            made => made.map(drop).map_err(DatabaseError::Schema)?,
        }
    }
    connection.close().await.ok();
    // A pool of one: the library's future over a bare connection cannot move between threads.
    let pool = PgPoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move {
            // What exists already need not be mentioned.
            sqlx::query("set client_min_messages = warning").execute(connection).await.map(drop)
        })
    });
    let pool = pool.connect_lazy_with(options.clone());
    for (mut migrator, table) in migrations() {
        migrator.dangerous_set_table_name(Cow::Borrowed(table)).run(&pool).await?;
    }
    pool.close().await;
    Ok(())
}

/// A database that is about to start deserves some patience.
pub(crate) async fn connect(
    options: &PgConnectOptions,
    wait: Duration,
) -> Result<PgConnection, DatabaseError> {
    let start = Instant::now();
    loop {
        let source = match PgConnection::connect_with(options).await {
            Ok(connection) => return Ok(connection),
            Err(source) => source,
        };
        // A wrong password or name will not become right.
        let hopeless = matches!(&source, sqlx::Error::Database(error)
            if error.code().is_some_and(|code| ["28", "3D"].iter().any(|c| code.starts_with(c))));
        if hopeless || start.elapsed() >= wait {
            return Err(DatabaseError::Unreachable { address: address(options), source });
        }
        tracing::warn!(error = %source, address = address(options), "waiting for the database");
        sleep(RETRY_INTERVAL).await;
    }
}

/// Host, port and name, without user and password.
pub(crate) fn address(options: &PgConnectOptions) -> String {
    let name = options.get_database().unwrap_or("(default)");
    format!("{}:{}/{name}", options.get_host(), options.get_port())
}
