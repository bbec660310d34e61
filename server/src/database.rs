//! The database: the one that is configured, or a private one; its schema; its pool.

mod private;
pub(crate) mod schema;
mod trouble;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgPool};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::config::Config;

use self::private::Private;
pub(crate) use self::trouble::address;
pub use self::trouble::{DatabaseError, Trouble};

/// How long a connection may take to be free, or to be made.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a snapshot waits for its turn before that.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// How many connections to have ready at the start.
const WARM: usize = 4;
/// How long a connection may have lain idle without being asked whether it lives before it is used:
/// the question costs as much as a small query. See [`Trust`] for those that broke meanwhile.
const TRUSTED: Duration = Duration::from_millis(500);
/// Each connection's own settings. With the waits above the limits keep a request at five seconds: a
/// snapshot takes milliseconds, and who waits longer is better off being told so. Every statement
/// here is to read by index whatever its values are, so a plan is made once: for each call anew, as
/// the planner prefers for short arrays, it costs five times what running it does. Such a plan lives
/// until the tables' statistics are taken again. One that was made while they were small would read
/// them from end to end, and go on to do so as they grow: so none may, where an index can be read. Nor
/// may one start processes: no statement here has that much to do, and all share the database's few.
const SETTINGS: &str = "set statement_timeout = '2s'; set lock_timeout = '1500ms'; set jit = off;
                        set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
                        set max_parallel_workers_per_gather = 0";

/// A database whose schema is up to date.
#[derive(Debug)]
pub struct Database {
    /// For queries. Its options are for connections outside the pool, too; a private cluster that
    /// had to move to another port changes them.
    pub pool: PgPool,
    /// Whether its connections may be used as they are.
    pub(crate) trust: Arc<Trust>,
    turns: Semaphore,
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
        let options = schema::options(&url)?;
        schema::migrate(&options, Duration::from_secs(config.database_wait_s)).await?;
        let trust = Arc::new(Trust::default());
        let asks = Arc::clone(&trust);
        let pool = PgPoolOptions::new()
            .max_connections(config.database_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let is_trusted = asks.is_trusted(meta.idle_for);
                Box::pin(async move {
                    if !is_trusted {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(SETTINGS).execute(connection).await.map(drop) })
            })
            .connect_lazy_with(options);
        let private = cluster.map(|cluster| Private::guard(cluster, pool.clone()));
        let turns = config.database_connections.saturating_sub(config.refresh_concurrency).max(1);
        let turns = usize::try_from(turns).unwrap_or(1);
        // Whoever has waited for this server to start comes at once, and should not have to wait for
        // connections as well. Where there are none to be had now, there may be later.
        join_all((0..turns.min(WARM)).map(|_| pool.acquire())).await;
        Ok(Self { pool, trust, turns: Semaphore::new(turns), private })
    }

    /// Waits for a snapshot's turn to use the pool. Snapshots take the connections that refreshes
    /// leave, so nobody queues within the pool: there the wait counts against the time to connect,
    /// and after an outage, when all connections have to be made anew under a flood of requests,
    /// each would reach the front of the queue with too little of it left to ever make one.
    ///
    /// # Errors
    /// As for a pool with no free connection.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, sqlx::Error> {
        let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await;
        turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// Closes the pool, and stops the private cluster if there is one.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(private) = &self.private {
            private.stop().await;
        }
    }
}

/// Which idle connections are believed to live. One connection that breaks is a sign that others
/// have as well.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    lost: Mutex<Option<Instant>>,
}

impl Trust {
    /// A connection has just been found broken.
    pub(crate) fn lose(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_trusted(&self, idle_for: Duration) -> bool {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        idle_for <= TRUSTED && lost.is_none_or(|lost| idle_for < lost.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_asked_after_a_while_or_a_loss() {
        let trust = Trust::default();
        assert!(trust.is_trusted(Duration::ZERO) && trust.is_trusted(TRUSTED));
        assert!(!trust.is_trusted(TRUSTED * 2));
        trust.lose();
        tokio::time::advance(TRUSTED / 2).await;
        // Used before the loss, and after it.
        assert!(!trust.is_trusted(TRUSTED));
        assert!(trust.is_trusted(TRUSTED / 4));
    }
}
