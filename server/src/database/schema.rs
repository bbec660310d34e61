//! Brings the schema up to date, or finds that it is.
//!
//! What is there already is looked at before anything is asked for: a database that may only be
//! read, or a role that may not make a schema, is good enough for a server whose schema is there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::sleep;

use crate::database::trouble::{DatabaseError, Trouble};

/// The first with 64-bit transaction numbers in SQL.
const OLDEST_VERSION: i32 = 13;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Waits for the database and migrates it.
pub(super) async fn migrate(
    options: &PgConnectOptions,
    wait: Duration,
) -> Result<(), DatabaseError> {
    let fail = |trouble| DatabaseError::of(options, trouble);
    let mut connection = connect(options, wait).await?;
    check_server(&mut connection).await.map_err(fail)?;
    let missing = missing(&mut connection).await.map_err(fail)?;
    if missing.is_empty() {
        connection.close().await.ok();
        return Ok(());
    }
    make_schema(&mut connection).await.map_err(fail)?;
    connection.close().await.ok();
    // A pool of one: the library's future over a bare connection cannot move between threads.
    let pool = PgPoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move {
            // What exists already need not be mentioned.
            sqlx::query("set client_min_messages = warning").execute(connection).await.map(drop)
        })
    });
    let pool = pool.connect_lazy_with(options.clone());
    for (mut migrator, table) in missing {
        prepare(&mut migrator, table).run(&pool).await.map_err(|error| fail(error.into()))?;
    }
    pool.close().await;
    Ok(())
}

/// Bookkeeping stays inside the schema: dropping it leaves no trace.
fn steps() -> [(Migrator, &'static str); 2] {
    [
        (sqlx::migrate!("./migrations"), "dashboard.migrations"),
        (sqlx::migrate!("./sources/standalone"), "dashboard.source_migrations"),
    ]
}

fn prepare<'a>(migrator: &'a mut Migrator, table: &'static str) -> &'a Migrator {
    migrator.dangerous_set_table_name(Cow::Borrowed(table))
}

async fn check_server(connection: &mut PgConnection) -> Result<(), Trouble> {
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

/// The steps that have something left to do.
async fn missing(connection: &mut PgConnection) -> Result<Vec<(Migrator, &'static str)>, Trouble> {
    let mut missing = Vec::new();
    for (migrator, table) in steps() {
        if !is_done(connection, &migrator, table).await? {
            missing.push((migrator, table));
        }
    }
    Ok(missing)
}

/// Whether exactly these migrations have been applied.
async fn is_done(
    connection: &mut PgConnection,
    migrator: &Migrator,
    table: &'static str,
) -> Result<bool, Trouble> {
    let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(false);
    }
    // The name is one of two constants.
    let applied = AssertSqlSafe(format!("select version, checksum from {table}"));
    let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(applied).fetch_all(connection).await?;
    let mut known: HashMap<_, _> =
        migrator.iter().map(|step| (step.version, &step.checksum)).collect();
    for (version, checksum) in applied {
        match known.remove(&version) {
            None => return Err(Trouble::Newer(version)),
            Some(ours) if **ours != checksum => return Err(Trouble::Other(version)),
            Some(_) => {}
        }
    }
    Ok(known.is_empty())
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
async fn connect(
    options: &PgConnectOptions,
    wait: Duration,
) -> Result<PgConnection, DatabaseError> {
    let start = Instant::now();
    loop {
        let trouble = match PgConnection::connect_with(options).await {
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
