//! The database: the one that is configured, or a private one; its schema; its pool.

mod private;
mod schema;
mod trouble;

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config::Config;

use self::private::Private;
pub use self::trouble::{DatabaseError, Trouble};

/// How long a request waits for a free connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Each connection's own limits. With the wait for a connection they keep a request below five
/// seconds: a snapshot takes milliseconds, and who waits longer is better off being told so.
const LIMITS: [&str; 3] =
    ["set statement_timeout = '2500ms'", "set lock_timeout = '2s'", "set jit = off"];

/// A database whose schema is up to date.
#[derive(Debug)]
pub struct Database {
    /// For queries. Its options are for connections outside the pool, too; a private cluster that
    /// had to move to another port changes them.
    pub pool: PgPool,
    private: Option<Private>,
}

impl Database {
    /// Connects to the configured database or starts a private one, and migrates it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn open(config: &Config) -> Result<Self, DatabaseError> {
        let (url, cluster) = match &config.database_url {
            Some(url) => (url.expose().to_owned(), None),
            None => private::start(config).await.map(|(url, cluster)| (url, Some(cluster)))?,
        };
        let options = PgConnectOptions::from_str(&url).map_err(|_| DatabaseError::Url)?;
        let options = options.application_name("dashboard-server");
        schema::migrate(&options, Duration::from_secs(config.database_wait_s)).await?;
        let pool = PgPoolOptions::new()
            .max_connections(config.database_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    for setting in LIMITS {
                        sqlx::query(setting).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        let private = cluster.map(|cluster| Private::guard(cluster, pool.clone()));
        Ok(Self { pool, private })
    }

    /// Closes the pool, and stops the private cluster if there is one.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(private) = &self.private {
            private.stop().await;
        }
    }
}
