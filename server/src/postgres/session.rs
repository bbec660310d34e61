//! Opens one session with the database, with the settings that every session needs.
//!
//! Other people choose the defaults of a database and a role. A `search_path` with a schema that others
//! may write to runs their operators with this server's rights. Another isolation level changes what a
//! statement sees. So each session sets its own, by statements, because a pooler in between may refuse
//! them at the start. The limits hold on both sides: this server gives up what does not answer, and the
//! database ends what this server has given up, with its locks.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::{sleep, timeout};

/// How long one attempt to connect may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a database is asked whether it still answers, while something long is awaited of it.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How many probes in a row have to fail before it is believed.
const PROBES: u32 = 3;

/// The database ends a session that is silent in a transaction, or whose network is: its locks would keep
/// the other servers waiting. This server takes a moment between two statements.
const ALL: &str = "
    set search_path = pg_catalog, pg_temp;
    set default_transaction_isolation = 'read committed';
    set row_security = off;
    set idle_in_transaction_session_timeout = '5s';
    set tcp_keepalives_idle = 10;
    set tcp_keepalives_interval = 5;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = '15s'";

/// With the waits for a connection the limits keep a request at five seconds: a snapshot takes
/// milliseconds, and a client that waits longer is better off with an answer that says so.
///
/// Every statement is to read by index, for any values. So a plan is made once: made anew for each call,
/// as the planner prefers for short arrays, it costs five times what running it does. Such a plan lives
/// until the tables' statistics are taken again. One that was made while the tables were small would read
/// them from end to end, and go on to do so as they grow. So no plan may do that where an index can be
/// read. Nor may a plan start processes: no statement here has that much to do, and all share the
/// database's few.
const QUERY: &str = "
    set statement_timeout = '2s'; set lock_timeout = '1500ms'; set jit = off;
    set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
    set max_parallel_workers_per_gather = 0";

/// Below what a poll may take here. Plans must not depend on statistics that lag behind a table whose
/// rows come and go, and must not be compiled.
const FOLLOW: &str = "
    set statement_timeout = '4s'; set lock_timeout = '2s';
    set enable_seqscan = off; set jit = off";

/// A source's queries are to read by key for any statistics, as the pool's do. They are to read by index
/// in order: of a table that seems small a plan would read and sort all of it, for each row. Dates without
/// a zone are UTC. What a migration of the application's holds is left for later at once: it would wait
/// behind us, and in a deadlock with what we hold it could be the one that is ended. A revision that was
/// given out must never be used again, not even after a crash.
const PROJECT: &str = "
    set statement_timeout = '2s'; set lock_timeout = '5ms'; set jit = off;
    set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
    set enable_bitmapscan = off; set max_parallel_workers_per_gather = 0; set timezone = 'UTC'; set synchronous_commit = on";

/// A step that waits for a lock holds up every later user of the table. So it does not wait long, and is
/// tried again. What exists already need not be mentioned. A session that is lost between two steps
/// would keep the other servers from installing.
const INSTALL: &str = "
    set statement_timeout = '1h'; set lock_timeout = '3s'; set client_min_messages = warning;
    set idle_session_timeout = '10s'";

const CHECK: &str = "set statement_timeout = '10s'; set lock_timeout = '2s'";

/// What a session is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Dashboards, revisions, readiness: the pool's.
    Query,
    /// The change log, poll after poll.
    Follow,
    /// Notes, the source's rows, the read model.
    Project,
    /// Installing a source.
    Install,
    /// A look before a start.
    Check,
}

impl Purpose {
    fn settings(self) -> &'static str {
        match self {
            Self::Query => QUERY,
            Self::Follow => FOLLOW,
            Self::Project => PROJECT,
            Self::Install => INSTALL,
            Self::Check => CHECK,
        }
    }
}

/// Opens a session, within [`CONNECT_TIMEOUT`].
///
/// # Errors
/// What the database says, or an I/O error where it says nothing.
pub(crate) async fn open(
    options: &PgConnectOptions,
    purpose: Purpose,
) -> Result<PgConnection, sqlx::Error> {
    let opened = timeout(CONNECT_TIMEOUT, async {
        let mut connection = PgConnection::connect_with(options).await?;
        prepare(&mut connection, purpose).await?;
        Ok(connection)
    });
    opened.await.unwrap_or_else(|_| Err(silence(CONNECT_TIMEOUT)))
}

/// Gives a session that has just been opened its settings, before any other statement.
///
/// # Errors
/// What the database says.
pub(crate) async fn prepare(
    connection: &mut PgConnection,
    purpose: Purpose,
) -> Result<(), sqlx::Error> {
    // Both are constants.
    let settings = AssertSqlSafe(format!("{ALL};{}", purpose.settings()));
    connection.execute(sqlx::raw_sql(settings)).await.map(drop)
}

/// Awaits something long of the session with that number, for as long as the database says that it is
/// at work. A statement that takes an hour and a network that is silent look the same to the session
/// that waits, so others are asked.
///
/// # Errors
/// An I/O error once the database does not answer, or does not know of any work. The work is dropped then.
pub(crate) async fn while_at_work<T>(
    options: &PgConnectOptions,
    session: &AtomicI32,
    work: impl Future<Output = T>,
) -> Result<T, sqlx::Error> {
    let idle = async {
        let mut idle = 0;
        while idle < PROBES {
            sleep(PROBE_INTERVAL).await;
            idle = if is_at_work(options, session.load(Ordering::Relaxed)).await {
                0
            } else {
                idle + 1
            };
        }
    };
    tokio::select! {
        done = work => Ok(done),
        () = idle => Err(silence(PROBE_INTERVAL * PROBES)),
    }
}

async fn is_at_work(options: &PgConnectOptions, session: i32) -> bool {
    const AT_WORK: &str =
        "select exists (select from pg_stat_activity where pid = $1 and state = 'active')";
    let asked = async {
        let mut probe = open(options, Purpose::Check).await?;
        let at_work = sqlx::query_scalar(AT_WORK).bind(session).fetch_one(&mut probe);
        timeout(CONNECT_TIMEOUT, at_work).await.unwrap_or_else(|_| Err(silence(CONNECT_TIMEOUT)))
    };
    match asked.await {
        Ok(at_work) => at_work,
        // It may have no connection to spare: an answer, too.
        Err(error) => matches!(error, sqlx::Error::Database(_)),
    }
}

/// For a connection on which nothing came.
pub(crate) fn silence(limit: Duration) -> sqlx::Error {
    let text = format!("no answer within {} s", limit.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text).into()
}
