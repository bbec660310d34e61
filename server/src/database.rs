//! Opens the database: the configured one or a private one, with a source installed and a pool. Knows how
//! far the read model lags behind.

mod error;
mod lag;
mod private;
pub(crate) mod schema;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::postgres::Pool;
use crate::postgres::session::Purpose;
use crate::source::{Choice, Source};

pub(crate) use self::error::address;
pub use self::error::{Cause, DatabaseError};
pub(crate) use self::lag::Lag;
use self::private::Private;

/// How long a snapshot waits for its turn before it waits for a connection.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a start waits until the application's rows have been read, and how often it asks.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const FIRST_LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How many connections to have ready at the start.
const WARM: usize = 4;

/// A database in which a source is installed.
#[derive(Debug)]
pub struct Database {
    /// For queries. Its options are for connections outside the pool, too.
    pub pool: Pool,
    /// What dashboards come from.
    pub source: Source,
    /// How far behind it the read model is.
    pub(crate) lag: Arc<Lag>,
    turns: Semaphore,
    private: Option<Private>,
}

impl Database {
    /// Connects to the configured database or starts a private one, and installs the source there.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn open(config: &Config) -> Result<Self, DatabaseError> {
        let (url, cluster) = match &config.database_url {
            Some(url) => (url.expose().to_owned(), None),
            None => private::start(config).await.map(|(url, cluster)| (url, Some(cluster)))?,
        };
        let options = schema::options(&url)?;
        let choice = Choice::of(config.source.as_deref())?;
        let wait = Duration::from_secs(config.database_wait_s);
        schema::prepare(&options, &choice, wait).await?;
        let pool = Pool::new(options, config.database_connections);
        let private = cluster.map(|cluster| Private::guard(cluster, pool.clone()));
        let turns = turns(config);
        // Clients that have waited for this server to start come at once, and should not have to wait
        // for connections as well. Where there are none to be had now, there may be later.
        join_all((0..turns.min(WARM)).map(|_| pool.get())).await;
        let (lag, turns) = (Arc::new(Lag::new(config.poll_interval())), Semaphore::new(turns));
        Ok(Self { pool, source: choice.source, lag, turns, private })
    }

    /// Waits for a snapshot's turn to use the pool. Snapshots take the connections that refreshes
    /// leave, so none queues within the pool: there the wait counts against the time to connect,
    /// and after an outage, when all connections have to be made anew under a flood of requests,
    /// each would reach the front of the queue with too little of it left to ever make one.
    /// After a standstill of the process it also waits for a look for what has been written in that time.
    ///
    /// # Errors
    /// As for a pool with no free connection.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, sqlx::Error> {
        self.lag.looked().await;
        let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await;
        let turn =
            turn.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        // It may have stood still in the queue.
        self.lag.looked().await;
        Ok(turn)
    }

    /// Waits a moment until all of the application's rows have been read once. A small collection takes no
    /// longer. With a large one the server starts all the same, and reports that it is not ready.
    pub async fn first_look(&self) {
        const IS_READY: &str = "select is_ready from dashboard.current_epoch";
        let looked = async {
            loop {
                let mut connection = self.pool.get().await?;
                if sqlx::query_scalar(IS_READY).fetch_one(&mut *connection).await? {
                    return Ok::<_, sqlx::Error>(());
                }
                drop(connection);
                sleep(FIRST_LOOK_INTERVAL).await;
            }
        };
        if !matches!(timeout(FIRST_LOOK, looked).await, Ok(Ok(()))) {
            tracing::warn!(
                "the application's tables are still being read for the first time; until then there \
                 are no dashboards"
            );
        }
    }

    /// Closes the pool, and stops the private cluster if there is one.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(private) = &self.private {
            private.stop().await;
        }
    }
}

/// How many snapshots may be read at the same time.
fn turns(config: &Config) -> usize {
    let turns = config.database_connections.saturating_sub(config.refresh_concurrency).max(1);
    usize::try_from(turns).unwrap_or(1)
}

/// The sessions that a server opens on its own before the first request.
pub(crate) fn first_sessions(config: &Config) -> Vec<Purpose> {
    use Purpose::{Follow, Project, Query};
    let warm = vec![Query; turns(config).min(WARM)];
    [warm, vec![Follow, Project]].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt as _;
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[tokio::test]
    async fn who_stood_still_in_the_queue_waits_for_a_look() {
        let choice = Choice::of(None).unwrap();
        let database = Database {
            pool: Pool::new(PgConnectOptions::new_without_pgpass(), 1),
            source: choice.source,
            lag: Arc::new(Lag::new(Duration::ZERO)),
            turns: Semaphore::new(1),
            private: None,
        };
        let first = database.turn().await.unwrap();
        let mut second = Box::pin(database.turn());
        assert!((&mut second).now_or_never().is_none());
        let before = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        database.lag.caught_up(before, before);
        drop(first);
        assert!((&mut second).now_or_never().is_none());
        database.lag.caught_up(Instant::now(), Instant::now());
        assert!(second.now_or_never().unwrap().is_ok());
    }
}
