//! Checks the database. Only reads, in a session that could not write.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, FromRow};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::commands::check::Report;
use crate::config::Config;
use crate::database::{self, DatabaseError, schema};
use crate::postgres::session::{self, Purpose};
use crate::secret::Secret;

/// The time for all of it. A database that is slower than this is as good as away.
const PATIENCE: Duration = Duration::from_secs(15);
/// Clocks may differ by so much, in seconds.
const SKEW_MAX_S: f64 = 2.0;
/// How often to try to open what a start opens, and how long to wait in between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// Connections besides the pool: one follows the changes, one projects, one installs at the start.
const OTHER_CONNECTIONS: i64 = 3;

/// What the database says of itself and of us.
#[derive(FromRow)]
pub(super) struct Facts {
    pub(super) role: String,
    version: String,
    encoding: String,
    pub(super) read_only: bool,
    pub(super) may_create: bool,
    pub(super) has_schema: bool,
    connection_limit: i64,
    connections: i64,
    clock: OffsetDateTime,
}

/// Checks the configured database. A server of ours that runs here has connections that it will give back.
pub(super) async fn configured(
    url: &Secret,
    config: &Config,
    is_running: bool,
    report: &mut Report,
) {
    match timeout(PATIENCE, look(url, config, report)).await {
        Ok(Ok(facts)) => connections(url, &facts, config, is_running, report).await,
        Ok(Err(error)) => report.fail("database", error),
        Err(_) => report.fail(
            "database",
            format!("the database does not answer within {} s", PATIENCE.as_secs()),
        ),
    }
}

async fn look(url: &Secret, config: &Config, report: &mut Report) -> Result<Facts, DatabaseError> {
    let options = schema::options(url.expose())?;
    let fail = |cause| DatabaseError::of(&options, cause);
    let mut connection = schema::connect(&options, Purpose::Check, Duration::ZERO).await?;
    schema::check_server(&options, &mut connection).await.map_err(fail)?;
    let facts = facts(&mut connection, &database::address(&options), report).await;
    let facts = facts.map_err(|error| fail(error.into()))?;
    let looked = super::schema::look(&facts, config, &mut connection, report).await;
    if let Err(cause) = looked {
        report.fail("schema", fail(cause));
    }
    connection.close().await.ok();
    Ok(facts)
}

/// Asks the database who it is, in a session that cannot write from then on.
async fn facts(
    connection: &mut PgConnection,
    address: &str,
    report: &mut Report,
) -> Result<Facts, sqlx::Error> {
    let asked = clock::now();
    let facts: Facts = sqlx::query_as(FACTS).fetch_one(&mut *connection).await?;
    let answered = clock::now();
    let Facts { version, role, .. } = &facts;
    report.ok("database", format!("PostgreSQL {version} at {address}, as role \"{role}\""));
    let Facts { encoding, .. } = &facts;
    if encoding != "UTF8" {
        report.warn(
            "database",
            format!(
                "its encoding is {encoding}, and dashboards are in UTF-8: a user or a row that cannot be \
                 said in both is answered with an error; have the database in UTF8 (create database … \
                 encoding 'UTF8' template template0)"
            ),
        );
    }
    if facts.read_only {
        report.warn(
            "database",
            "transactions are read-only here (default_transaction_read_only): dashboards are served, \
             but nothing can be projected",
        );
    }
    let trip: time::Duration = answered - asked;
    let skew: time::Duration = facts.clock - (asked + trip / 2_i32);
    clocks(skew.as_seconds_f64(), report);
    let reading = "set session characteristics as transaction read only";
    sqlx::query(reading).execute(connection).await?;
    Ok(facts)
}

fn clocks(seconds: f64, report: &mut Report) {
    if seconds.abs() <= SKEW_MAX_S {
        report.ok("clocks", "this machine and the database agree");
        return;
    }
    let which = if seconds > 0.0 { "ahead of" } else { "behind" };
    report.warn(
        "clocks",
        format!(
            "the database's clock is {:.1} s {which} this machine's: have both set by NTP, or \
             sessions end at the wrong time and changes look late",
            seconds.abs()
        ),
    );
}

/// Opens what a start opens, at the same time, because neither the database's numbers nor a pooler's say how many
/// connections can be opened. Then compares the numbers.
async fn connections(
    url: &Secret,
    facts: &Facts,
    config: &Config,
    is_running: bool,
    report: &mut Report,
) {
    let Ok(options) = schema::options(url.expose()) else { return };
    let first = database::first_sessions(config);
    if let Err(error) = open_all(&options, &first).await {
        let cause = match error {
            // Silent connections were checked before. This one waits for another's end.
            sqlx::Error::Io(error) if error.kind() == ErrorKind::TimedOut => {
                "they were not to be had in time: where a pooler is in between, raise its pool (PgBouncer: \
                 default_pool_size)"
                    .to_owned()
            }
            error => DatabaseError::of(&options, error.into()).to_string(),
        };
        let count = first.len();
        let text = format!("a start needs {count} connections at the same time, and {cause}");
        if is_running {
            report.warn("connections", format!("{text}; the server that runs here holds some"));
        } else {
            report.fail("connections", text);
        }
        return;
    }
    let wanted = i64::from(config.database_connections) + OTHER_CONNECTIONS;
    let (limit, used) = (facts.connection_limit, facts.connections);
    if wanted <= limit - used {
        report.ok(
            "connections",
            format!("{wanted} are needed, {} of {limit} are free", limit - used),
        );
        return;
    }
    report.warn(
        "connections",
        format!(
            "{wanted} are needed, and {} of {limit} are free: raise max_connections (or the role's or \
             the database's limit), or lower DASHBOARD_DATABASE_CONNECTIONS",
            (limit - used).max(0)
        ),
    );
}

/// Opens these sessions and then closes them. One that has just been closed may count for a moment.
async fn open_all(options: &PgConnectOptions, purposes: &[Purpose]) -> Result<(), sqlx::Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let sessions = join_all(purposes.iter().map(|purpose| session::open(options, *purpose)));
        let (sessions, failed): (Vec<_>, Vec<_>) =
            sessions.await.into_iter().partition(Result::is_ok);
        join_all(sessions.into_iter().flatten().map(Connection::close)).await;
        match failed.into_iter().find_map(Result::err) {
            None => return Ok(()),
            Some(sqlx::Error::Database(_)) if attempts < ATTEMPTS => sleep(PAUSE).await,
            Some(error) => return Err(error),
        }
    }
}

const FACTS: &str = "
    select current_user::text as role,
           split_part(current_setting('server_version'), ' ', 1) as version,
           current_setting('server_encoding') as encoding,
           current_setting('default_transaction_read_only') = 'on' as read_only,
           has_database_privilege(current_database(), 'CREATE') as may_create,
           exists (select from pg_namespace where nspname = 'dashboard') as has_schema,
           least(current_setting('max_connections')::int8
                     - current_setting('superuser_reserved_connections')::int8,
                 -- A superuser is not held to these.
                 (select nullif(rolconnlimit, -1)::int8 from pg_roles
                  where rolname = current_user and not rolsuper),
                 (select nullif(datconnlimit, -1)::int8 from pg_database, pg_roles
                  where datname = current_database()
                    and rolname = current_user and not rolsuper)) as connection_limit,
           (select count(*) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()) as connections,
           clock_timestamp() as clock";
