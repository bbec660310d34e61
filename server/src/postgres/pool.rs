//! Pools the connections for queries, so that a silent network cannot empty the pool.
//!
//! A connection goes back to the pool unchanged once its statement has been read to its end. Where that is not
//! known, because the caller went away or the statement failed, the pool asks the connection for a sign of life
//! first, within a limit. It closes the connection if none comes. It asks connections that lay idle before they
//! are used. It asks seldom, because each question is a round trip, and costs as much as a small query.
//!
//! A request waits for a connection for two seconds. Making one may take longer, on a machine that has much to
//! catch up with. So the pool makes it to the end, for the next request. If each request that gave up ended its
//! attempt, no attempt would ever succeed, and all of them would cost the database.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};
use futures_util::FutureExt;
use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use tokio::time::{Instant, interval, sleep, timeout};

use super::session::{self, CONNECT_TIMEOUT, Purpose};

/// How long a request waits for a connection to be free, or to be made.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// As long as that one waits for its place in the pool. A separate limit holds for what is then under way.
const TIMEOUTS: Timeouts = Timeouts { wait: Some(WAIT_TIMEOUT), create: None, recycle: None };
/// How long a connection may have lain idle and still be used without a sign of life first.
/// See [`ConnectionHealth`] for those that broke in that time.
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
/// How long to wait before a database that refuses connections is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How long a connection may lie idle, and how old it may become: what it has gathered over there, in
/// plans and in memory, goes with it.
const IDLE_MAX: Duration = Duration::from_mins(10);
const AGE_MAX: Duration = Duration::from_mins(30);
/// How often idle connections are checked for that.
const TIDY_INTERVAL: Duration = Duration::from_secs(30);

/// Connections for queries.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: managed::Pool<Sessions>,
}

/// A connection of the pool. Dropped, it is given back once it has answered, or closed if it does not.
pub struct Lease {
    object: Option<Object<Sessions>>,
}

impl Pool {
    /// A pool that connects when it has to.
    pub(crate) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let sessions = Sessions {
            options: Mutex::new(Arc::new(options)),
            health: ConnectionHealth::default(),
        };
        let inner = managed::Pool::builder(sessions)
            .max_size(usize::try_from(max_connections).unwrap_or(usize::MAX))
            // The needed connections are used again at once. The others grow old, and go.
            .queue_mode(QueueMode::Lifo)
            .timeouts(TIMEOUTS)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("with limits it needs a runtime, and has one");
        tokio::spawn(tidy(inner.weak()));
        Self { inner }
    }

    /// A connection, as soon as one is free or made.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] after two seconds. Otherwise what the database says.
    pub async fn get(&self) -> Result<Lease, sqlx::Error> {
        let pool = self.inner.clone();
        let mut lease = Box::pin(async move {
            let object = pool.get().await.map_err(error)?;
            Ok(Lease { object: Some(object) })
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
    pub(crate) fn health(&self) -> &ConnectionHealth {
        &self.inner.manager().health
    }

    /// How to connect, now: a private cluster may have moved.
    pub(crate) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.inner.manager().options()
    }

    /// Has all later connections made that way.
    pub(crate) fn set_connect_options(&self, options: PgConnectOptions) {
        let mut current =
            self.inner.manager().options.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(options);
    }

    /// How many connections are in use.
    #[must_use]
    pub fn used(&self) -> usize {
        let status = self.inner.status();
        status.size.saturating_sub(status.available)
    }

    /// Closes all connections. Those that do not answer get no goodbye.
    pub(crate) async fn close(&self) {
        let idle = self.inner.retain(|_, _| false).removed;
        self.inner.close();
        if timeout(CLOSE_TIMEOUT, say_goodbye(idle)).await.is_err() {
            tracing::warn!("connections to the database did not end and were left behind");
        }
    }
}

impl Lease {
    /// Gives the connection back at once. Only for a connection whose statements have all been read to
    /// their end, and which is in no transaction.
    pub fn done(mut self) {
        if let Some(object) = self.object.take() {
            give_back(object);
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.object.as_ref().expect("taken by drop only").connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        let session = self.object.as_mut().expect("taken by drop only");
        session.idle_since = None;
        &mut session.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        if object.idle_since.is_some() {
            // It was not used.
            return;
        }
        tokio::spawn(async move {
            match timeout(RETURN_TIMEOUT, is_free(&mut object.connection)).await {
                Ok(Ok(true)) => return give_back(object),
                Ok(Ok(false) | Err(sqlx::Error::Database(_))) => {
                    tracing::debug!("a connection was left in a transaction");
                }
                Ok(Err(_)) | Err(_) => {
                    if let Some(pool) = Object::pool(&object) {
                        pool.manager().health.lose();
                    }
                    tracing::warn!("a connection to the database does not answer and was given up");
                }
            }
            // Its place in the pool is free.
            drop(Object::take(object));
        });
    }
}

/// Whether a connection has nothing under way, once what was under way has ended.
async fn is_free(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // A statement that begins no transaction is in one that was left open. Prepared ones begin it with a message
    // of their own.
    const BEGINS: &str = "select now() = statement_timestamp()";
    let row = match sqlx::raw_sql(BEGINS).fetch_one(&mut *connection).await {
        // That may be of the statement that was given up.
        Err(sqlx::Error::Database(_)) => sqlx::raw_sql(BEGINS).fetch_one(connection).await,
        answered => answered,
    };
    row?.try_get(0)
}

fn give_back(mut object: Object<Sessions>) {
    object.idle_since = Some(Instant::now());
}

fn error(error: PoolError<sqlx::Error>) -> sqlx::Error {
    match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => sqlx::Error::PoolClosed,
        PoolError::Timeout(_) => sqlx::Error::PoolTimedOut,
        other => sqlx::Error::Configuration(Box::new(other)),
    }
}

/// Closes connections that have lain idle for long, or are old, as long as there is a pool.
async fn tidy(pool: managed::WeakPool<Sessions>) {
    let mut ticks = interval(TIDY_INTERVAL);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let outdated = pool.retain(|session, metrics| !session.is_outdated(&metrics)).removed;
        drop(pool);
        timeout(CLOSE_TIMEOUT, say_goodbye(outdated)).await.ok();
    }
}

async fn say_goodbye(sessions: Vec<Session>) {
    join_all(sessions.into_iter().map(|session| session.connection.close())).await;
}

/// A connection, and what the pool knows about it.
struct Session {
    connection: PgConnection,
    /// Since when it has been free. None while statements may be under way.
    idle_since: Option<Instant>,
}

impl Session {
    /// Whether it has been free long enough, or is old enough, that it is to be closed.
    fn is_outdated(&self, metrics: &Metrics) -> bool {
        self.idle_since.is_none_or(|since| since.elapsed() > IDLE_MAX) || metrics.age() > AGE_MAX
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("idle_since", &self.idle_since).finish_non_exhaustive()
    }
}

/// How the pool's connections are made, and checked before they are used again.
#[derive(Debug)]
struct Sessions {
    options: Mutex<Arc<PgConnectOptions>>,
    health: ConnectionHealth,
}

impl Sessions {
    fn options(&self) -> Arc<PgConnectOptions> {
        Arc::clone(&self.options.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl managed::Manager for Sessions {
    type Type = Session;
    type Error = sqlx::Error;

    /// A database that is about to start refuses connections, as one does that has no more to give: both
    /// pass, so it is tried again for a while.
    async fn create(&self) -> Result<Session, sqlx::Error> {
        let began = Instant::now();
        loop {
            match session::open(&self.options(), Purpose::Query).await {
                Ok(connection) => {
                    return Ok(Session { connection, idle_since: Some(Instant::now()) });
                }
                Err(error) if is_passing(&error) && began.elapsed() < CONNECT_TIMEOUT => {
                    sleep(RETRY_INTERVAL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<sqlx::Error> {
        let Some(since) = session.idle_since else {
            return Err(RecycleError::message("statements may be under way"));
        };
        let Some(limit) = self.health.ping_limit(since.elapsed()) else { return Ok(()) };
        let answered = timeout(limit, session.connection.ping()).await;
        let answered = answered.unwrap_or_else(|_| Err(session::silence(limit)));
        answered.map_err(|error| {
            self.health.lose();
            error.into()
        })
    }
}

/// Whether the next attempt to connect may go better.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}

/// Which idle connections are believed to live. One connection that breaks is a sign that others
/// have as well.
#[derive(Debug, Default)]
pub(crate) struct ConnectionHealth {
    lost: Mutex<Option<Instant>>,
}
impl ConnectionHealth {
    /// A connection has just been found broken.
    pub(crate) fn lose(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long a connection may take to show that it lives before it is used. None if it need not.
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
        let health = ConnectionHealth::default();
        assert_eq!(health.ping_limit(Duration::ZERO), None);
        assert_eq!(health.ping_limit(TRUSTED), None);
        assert_eq!(health.ping_limit(TRUSTED * 2), Some(PING_TIMEOUT));
        health.lose();
        tokio::time::advance(TRUSTED / 2).await;
        // Used before the loss, and after it.
        assert_eq!(health.ping_limit(TRUSTED), Some(SUSPECT_PING_TIMEOUT));
        assert_eq!(health.ping_limit(TRUSTED / 4), None);
    }
}
