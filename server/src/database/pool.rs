//! The pool of connections for queries, which a silent network cannot empty.
//!
//! The library asks each connection for a sign of life when it is given back, and waits for the answer
//! without a limit: where packets vanish, every connection that is given back is lost to the pool for
//! good. So connections are given back here within a limit, or closed; and those that lay idle are
//! asked within a limit before they are used.
//!
//! A request waits for a connection for two seconds; making one may take longer, on a machine that has
//! much to catch up with. So it is made to the end, for the next request: if each request took its own
//! attempt along when it gave up, none would ever succeed, and all of them would cost the database.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection, PgPool, Postgres};
use tokio::time::{Instant, timeout};

use super::session::{self, CONNECT_TIMEOUT, Purpose};

/// How long a request waits for a connection to be free, or to be made.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may have lain idle without being asked whether it lives before it is used:
/// the question costs as much as a small query. See [`Trust`] for those that broke meanwhile.
const TRUSTED: Duration = Duration::from_millis(500);
/// How long an idle connection may take to answer that question.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// The same where others have been found broken since it was used. A request has to get through a whole
/// pool of dead connections within few times [`WAIT_TIMEOUT`].
const SUSPECT_PING_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a connection may take to be given back: as long as the statement that was under way, if
/// the one who asked for it went away.
const RETURN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the connections may take to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections for queries.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: PgPool,
    trust: Arc<Trust>,
}

/// A connection of the pool. Dropped, it is given back; or closed, if it does not answer.
pub struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    trust: Arc<Trust>,
}

impl Pool {
    /// A pool that connects when it has to.
    pub(super) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let trust = Arc::new(Trust::default());
        let asks = Arc::clone(&trust);
        let inner = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(CONNECT_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let asks = Arc::clone(&asks);
                Box::pin(async move {
                    let Some(limit) = asks.ping_limit(meta.idle_for) else {
                        return Ok(true);
                    };
                    let answered = timeout(limit, connection.ping()).await;
                    if !matches!(answered, Ok(Ok(()))) {
                        asks.lose();
                    }
                    answered.unwrap_or_else(|_| Err(session::silence(limit))).map(|()| true)
                })
            })
            .after_connect(|connection, _| Box::pin(session::prepare(connection, Purpose::Query)))
            .connect_lazy_with(options);
        Self { inner, trust }
    }

    /// A connection, as soon as one is free or made.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] after two seconds; else what the database says.
    pub async fn get(&self) -> Result<Lease, sqlx::Error> {
        let pool = self.clone();
        let mut lease = Box::pin(async move {
            let connection = Some(pool.inner.acquire().await?);
            Ok(Lease { connection, trust: pool.trust })
        });
        // Most of the time one is free, and no task is needed.
        if let Some(lease) = (&mut lease).now_or_never() {
            return lease;
        }
        match timeout(WAIT_TIMEOUT, tokio::spawn(lease)).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(_)) => Err(sqlx::Error::WorkerCrashed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Which connections are believed to live.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// How to connect, now: a private cluster may have moved.
    pub(crate) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.inner.connect_options()
    }

    /// Has all later connections made that way.
    pub(super) fn set_connect_options(&self, options: PgConnectOptions) {
        self.inner.set_connect_options(options);
    }

    /// How many connections are in use.
    pub(crate) fn used(&self) -> usize {
        let size = usize::try_from(self.inner.size()).unwrap_or_default();
        size.saturating_sub(self.inner.num_idle())
    }

    /// Closes all connections; those that do not answer, without a goodbye.
    pub(super) async fn close(&self) {
        if timeout(CLOSE_TIMEOUT, self.inner.close()).await.is_err() {
            tracing::warn!("connections to the database did not end and were left behind");
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("taken by drop only")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken by drop only")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let trust = Arc::clone(&self.trust);
        tokio::spawn(async move {
            if timeout(RETURN_TIMEOUT, connection.return_to_pool()).await.is_err() {
                // Dropped with the wait: its place in the pool is free.
                trust.lose();
                tracing::warn!("a connection to the database does not answer and was given up");
            }
        });
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

    /// How long a connection may take to show that it lives before it is used; none if it need not.
    fn ping_limit(&self, idle_for: Duration) -> Option<Duration> {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_some_and(|lost| idle_for >= lost.elapsed()) {
            Some(SUSPECT_PING_TIMEOUT)
        } else if idle_for > TRUSTED {
            Some(PING_TIMEOUT)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_asked_after_a_while_or_a_loss() {
        let trust = Trust::default();
        assert_eq!(trust.ping_limit(Duration::ZERO), None);
        assert_eq!(trust.ping_limit(TRUSTED), None);
        assert_eq!(trust.ping_limit(TRUSTED * 2), Some(PING_TIMEOUT));
        trust.lose();
        tokio::time::advance(TRUSTED / 2).await;
        // Used before the loss, and after it.
        assert_eq!(trust.ping_limit(TRUSTED), Some(SUSPECT_PING_TIMEOUT));
        assert_eq!(trust.ping_limit(TRUSTED / 4), None);
    }
}
