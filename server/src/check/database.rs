//! The database's part. Reads only, in a session that could not write.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, FromRow, Row};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::check::Report;
use crate::clock;
use crate::config::Config;
use crate::database::{self, DatabaseError};
use crate::push::capture::CaptureError;
use crate::secret::Secret;

/// All of it; a database that is slower than this is as good as away.
const PATIENCE: Duration = Duration::from_secs(15);
/// Clocks may differ by so much, in seconds.
const SKEW_MAX_S: f64 = 2.0;
/// Connections besides the pool: one follows the changes, one migrates at start.
const OTHER_CONNECTIONS: i64 = 2;

/// What the database says of itself and of us.
#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is the answer to a question of its own")]
struct Facts {
    role: String,
    version: String,
    standby: bool,
    read_only: bool,
    may_create: bool,
    has_schema: bool,
    connection_limit: i64,
    connections: i64,
    clock: OffsetDateTime,
}

/// Looks at the configured database.
pub(super) async fn configured(url: &Secret, config: &Config, report: &mut Report) {
    match timeout(PATIENCE, look(url, config, report)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report.fail("database", error),
        Err(_) => report.fail(
            "database",
            format!("the database does not answer within {} s", PATIENCE.as_secs()),
        ),
    }
}

async fn look(url: &Secret, config: &Config, report: &mut Report) -> Result<(), DatabaseError> {
    let options = database::options(url.expose())?;
    let address = database::address(&options);
    let failed = |source| DatabaseError::Unreachable { address: address.clone(), source };
    let mut connection = database::connect(&options, Duration::ZERO).await?;
    database::version(&mut connection).await?;
    let asked = clock::now();
    let facts: Facts = sqlx::query_as(FACTS).fetch_one(&mut connection).await.map_err(failed)?;
    let answered = clock::now();
    let Facts { version, role, .. } = &facts;
    report.ok("database", format!("PostgreSQL {version} at {address}, as role \"{role}\""));
    if facts.standby {
        report.fail("database", CaptureError::Standby);
    } else if facts.read_only {
        report.fail(
            "database",
            "transactions are read-only here: set default_transaction_read_only to off for this \
             role and database",
        );
    }
    let trip: time::Duration = answered - asked;
    let skew: time::Duration = facts.clock - (asked + trip / 2_i32);
    clocks(skew.as_seconds_f64(), report);
    connections(&facts, config, report);
    sqlx::query("set session characteristics as transaction read only")
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    schema(&facts, &mut connection, report).await.map_err(failed)?;
    connection.close().await.ok();
    Ok(())
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

fn connections(facts: &Facts, config: &Config, report: &mut Report) {
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

async fn schema(
    facts: &Facts,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    if !facts.has_schema {
        let steps: usize = database::migrations().iter().map(|(set, _)| set.iter().count()).sum();
        if facts.may_create {
            report.ok(
                "schema",
                format!("a start would make the schema \"dashboard\" and run {steps} migrations"),
            );
        } else {
            report.fail("schema", DatabaseError::Denied);
        }
        return Ok(());
    }
    let denied: String = sqlx::query_scalar(DENIED).fetch_one(&mut *connection).await?;
    if !denied.is_empty() {
        report.fail(
            "rights",
            format!(
                "this role may not use {denied}: run the server as the role that made the schema"
            ),
        );
        return Ok(());
    }
    report.ok("rights", "this role may use the schema \"dashboard\" and all that is in it");
    let (mut applied, mut pending) = (0, 0);
    for (set, table) in database::migrations() {
        match compare(&set, table, connection).await? {
            Ok(steps) => {
                applied += steps.0;
                pending += steps.1;
            }
            Err(error) => {
                report.fail("schema", DatabaseError::Migrate(error));
                return Ok(());
            }
        }
    }
    if pending == 0 {
        report.ok("schema", format!("is up to date ({applied} migrations)"));
    } else {
        report.ok(
            "schema",
            format!("a start would run {pending} migrations; {applied} have been run"),
        );
    }
    Ok(())
}

/// How many migrations have been run and how many have not; or why a start would refuse.
async fn compare(
    set: &Migrator,
    table: &'static str,
    connection: &mut PgConnection,
) -> Result<Result<(usize, usize), MigrateError>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    let mut done = HashMap::new();
    if exists {
        let query = AssertSqlSafe(format!("select version, success, checksum from {table}"));
        for row in sqlx::query(query).fetch_all(connection).await? {
            let (version, success): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
            let checksum: Vec<u8> = row.try_get(2)?;
            if !success {
                return Ok(Err(MigrateError::Dirty(version)));
            }
            done.insert(version, checksum);
        }
    }
    let mut pending = 0;
    let applied = done.len();
    for migration in set.iter() {
        match done.remove(&migration.version) {
            None => pending += 1,
            Some(checksum) if *checksum == *migration.checksum => {}
            Some(_) => return Ok(Err(MigrateError::VersionMismatch(migration.version))),
        }
    }
    // What is left was made by a version of this server that this one does not know.
    Ok(match done.keys().min() {
        Some(version) => Err(MigrateError::VersionMissing(*version)),
        None => Ok((applied, pending)),
    })
}

const FACTS: &str = "
    select current_user::text as role,
           split_part(current_setting('server_version'), ' ', 1) as version,
           pg_is_in_recovery() as standby,
           current_setting('default_transaction_read_only') = 'on' as read_only,
           has_database_privilege(current_database(), 'CREATE') as may_create,
           exists (select from pg_namespace where nspname = 'dashboard') as has_schema,
           least(current_setting('max_connections')::int8
                     - current_setting('superuser_reserved_connections')::int8,
                 (select nullif(rolconnlimit, -1)::int8 from pg_roles where rolname = current_user),
                 (select nullif(datconnlimit, -1)::int8 from pg_database
                  where datname = current_database())) as connection_limit,
           (select count(*) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()) as connections,
           clock_timestamp() as clock";

/// What of the schema this role may not use as the server has to. Tables of ours are written to.
const DENIED: &str = "
    select coalesce(string_agg(name, ', ' order by name), '')
    from (
        select 'the schema dashboard' as name
        where not (has_schema_privilege('dashboard', 'USAGE')
                   and has_schema_privilege('dashboard', 'CREATE'))
        union all
        select 'dashboard.' || relname
        from pg_class
        where relnamespace = to_regnamespace('dashboard') and relkind in ('r', 'p', 'v')
          and not (has_table_privilege(oid, 'SELECT')
                   and (relname not in ('changes', 'compactions', 'meta', 'revisions')
                        or has_table_privilege(oid, 'INSERT') and has_table_privilege(oid, 'UPDATE')
                           and has_table_privilege(oid, 'DELETE')))
    ) as denied";
