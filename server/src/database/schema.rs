//! Brings the schema up to date, or finds that it is.
//!
//! What is there already is looked at before anything is asked for: a database that may only be
//! read, or a role that may not make a schema, is good enough for a server whose schema is there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{sleep, timeout};

use crate::database::session::{self, Purpose};
use crate::database::trouble::{DatabaseError, Trouble};

/// The first with 64-bit transaction numbers in SQL.
const OLDEST_VERSION: i32 = 13;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to see what is missing.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How far a set of migrations has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) applied: usize,
    pub(crate) pending: usize,
}

/// Reads the database's address.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url)?;
    Ok(options.application_name("dashboard-server"))
}

/// Waits for the database and migrates it.
pub(super) async fn migrate(
    options: &PgConnectOptions,
    wait: Duration,
) -> Result<(), DatabaseError> {
    let fail = |trouble| DatabaseError::of(options, trouble);
    let start = Instant::now();
    loop {
        let connection = connect(options, Purpose::Migrate, wait).await?;
        match bring_up(options, connection).await {
            // A step holds up later users of a table while it waits for earlier ones: it gives way,
            // and is tried again.
            Err(trouble @ Trouble::Locked(_)) if start.elapsed() < wait => {
                tracing::warn!(error = %fail(trouble), "trying again");
                sleep(RETRY_INTERVAL).await;
            }
            brought_up => return brought_up.map_err(fail),
        }
    }
}

/// Runs the steps that are missing.
async fn bring_up(options: &PgConnectOptions, mut connection: PgConnection) -> Result<(), Trouble> {
    let looked = async {
        check_server(&mut connection).await?;
        let missing = missing(&mut connection).await?;
        if !missing.is_empty() {
            make_schema(&mut connection).await?;
        }
        Ok::<_, Trouble>(missing)
    };
    let looked = timeout(LOOK_TIMEOUT, looked).await;
    let missing = match looked {
        Ok(looked) => looked?,
        Err(_) => return Err(session::silence(LOOK_TIMEOUT).into()),
    };
    drop(connection);
    if missing.is_empty() {
        return Ok(());
    }
    let session = Arc::new(AtomicI32::new(0));
    let number = Arc::clone(&session);
    // A pool of one: the library's future over a bare connection cannot move between threads.
    let pool = PgPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
        let number = Arc::clone(&number);
        Box::pin(async move {
            session::prepare(connection, Purpose::Migrate).await?;
            let own = sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await?;
            number.store(own, Ordering::Relaxed);
            Ok(())
        })
    });
    let pool = pool.connect_lazy_with(options.clone());
    let migrated = session::while_at_work(options, &session, run(missing, &pool)).await;
    migrated.unwrap_or_else(|error| Err(error.into()))
}

async fn run(
    missing: Vec<(Migrator, &'static str, Progress)>,
    pool: &PgPool,
) -> Result<(), Trouble> {
    for (mut migrator, table, Progress { applied, pending }) in missing {
        migrator.dangerous_set_table_name(Cow::Borrowed(table));
        migrator.run(pool).await?;
        // The steps of a set are numbered from 1, and only ever added to.
        tracing::info!(set = table, from = applied, to = applied + pending, "database migrated");
    }
    pool.close().await;
    Ok(())
}

/// What makes the schema, and where each set keeps its books. That is inside the schema: dropping it
/// leaves no trace.
pub(crate) fn migrations() -> [(Migrator, &'static str); 2] {
    [
        (sqlx::migrate!("./migrations"), "dashboard.migrations"),
        (sqlx::migrate!("./sources/standalone"), "dashboard.source_migrations"),
    ]
}

/// Refuses a database of which changes could not be followed.
pub(crate) async fn check_server(connection: &mut PgConnection) -> Result<(), Trouble> {
    let (version, is_standby): (i32, bool) = sqlx::query_as(
        "select current_setting('server_version_num')::int / 10000, pg_is_in_recovery()",
    )
    .fetch_one(connection)
    .await?;
    if version < OLDEST_VERSION {
        return Err(Trouble::Version(version));
    }
    if is_standby { Err(Trouble::Standby) } else { Ok(()) }
}

/// The sets that have something left to do.
async fn missing(
    connection: &mut PgConnection,
) -> Result<Vec<(Migrator, &'static str, Progress)>, Trouble> {
    let mut missing = Vec::new();
    for (set, table) in migrations() {
        let progress = progress(&set, table, connection).await?;
        if progress.pending > 0 {
            missing.push((set, table, progress));
        }
    }
    Ok(missing)
}

/// How many migrations of a set have been run and how many have not; or why a start would refuse.
pub(crate) async fn progress(
    set: &Migrator,
    table: &'static str,
    connection: &mut PgConnection,
) -> Result<Progress, Trouble> {
    let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    let mut known: HashMap<_, _> = set.iter().map(|step| (step.version, &step.checksum)).collect();
    let mut applied = 0;
    if exists {
        // The name is one of two constants.
        let query = AssertSqlSafe(format!("select version, success, checksum from {table}"));
        let rows: Vec<(i64, bool, Vec<u8>)> = sqlx::query_as(query).fetch_all(connection).await?;
        for (version, success, checksum) in rows {
            match known.remove(&version) {
                None => return Err(Trouble::Newer(version)),
                Some(ours) if **ours != checksum || !success => {
                    return Err(Trouble::Other(version));
                }
                Some(_) => applied += 1,
            }
        }
    }
    Ok(Progress { applied, pending: known.len() })
}

async fn make_schema(connection: &mut PgConnection) -> Result<(), Trouble> {
    // Asking for a schema that is there already would need the right to make one.
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_namespace where nspname = 'dashboard')")
            .fetch_one(&mut *connection)
            .await?;
    if exists {
        return Ok(());
    }
    match sqlx::query("create schema if not exists dashboard").execute(connection).await {
        // Another node that starts just now was quicker.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        made => Ok(made.map(drop)?),
    }
}

/// A database that is about to start deserves some patience.
pub(crate) async fn connect(
    options: &PgConnectOptions,
    purpose: Purpose,
    wait: Duration,
) -> Result<PgConnection, DatabaseError> {
    let start = Instant::now();
    loop {
        let trouble = match session::open(options, purpose).await {
            Ok(connection) => return Ok(connection),
            Err(error) => Trouble::from(error),
        };
        let error = DatabaseError::of(options, trouble);
        if error.is_lasting() || start.elapsed() >= wait {
            return Err(error);
        }
        tracing::warn!(%error, "waiting for the database");
        sleep(RETRY_INTERVAL).await;
    }
}
