//! The database's part. Reads only, in a session that could not write.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, FromRow};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::check::Report;
use crate::clock;
use crate::config::Config;
use crate::database::session::Purpose;
use crate::database::{self, DatabaseError, Trouble, schema};
use crate::secret::Secret;
use crate::source::{self, Choice, Finding, InstallError, Source, State};

/// All of it; a database that is slower than this is as good as away.
const PATIENCE: Duration = Duration::from_secs(15);
/// Clocks may differ by so much, in seconds.
const SKEW_MAX_S: f64 = 2.0;
/// Connections besides the pool: one follows the changes, one projects, one installs at the start.
const OTHER_CONNECTIONS: i64 = 3;

/// What the database says of itself and of us.
#[derive(FromRow)]
struct Facts {
    role: String,
    version: String,
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
    let options = schema::options(url.expose())?;
    let fail = |trouble| DatabaseError::of(&options, trouble);
    let mut connection = schema::connect(&options, Purpose::Check, Duration::ZERO).await?;
    schema::check_server(&options, &mut connection).await.map_err(fail)?;
    let facts = facts(&mut connection, &database::address(&options), report).await;
    let facts = facts.map_err(|error| fail(error.into()))?;
    connections(&facts, config, report);
    let looked = look_at_schema(&facts, config, &mut connection, report).await;
    if let Err(trouble) = looked {
        report.fail("schema", fail(trouble));
    }
    connection.close().await.ok();
    Ok(())
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

async fn look_at_schema(
    facts: &Facts,
    config: &Config,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), Trouble> {
    if facts.has_schema {
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
    }
    let choice = match Choice::of(config.source.as_deref()) {
        Ok(choice) => choice,
        Err(error) => {
            report.fail("source", error);
            return Ok(());
        }
    };
    let (source, name) = (&choice.source, &choice.source.name);
    let is_needed = schema::needs_installation(connection, &choice).await?;
    let state = source::state(connection, source).await?;
    if is_needed && facts.read_only {
        return Err(Trouble::ReadOnly);
    }
    if is_needed && state == State::Absent {
        if !facts.may_create {
            return Err(Trouble::Denied(
                "the schema is not there, and this role may not make it".into(),
            ));
        }
        report.ok(
            "schema",
            format!(
                "a start would make the schemas \"dashboard\" and \"collection\", and install the source \
                 \"{name}\""
            ),
        );
        return Ok(());
    }
    match state {
        State::Outdated => {
            if let Some((owner, false)) = source::owner(connection).await? {
                return Err(InstallError::Schema(owner).into());
            }
            report.ok("schema", format!("a start would install this version of \"{name}\""));
            return Ok(());
        }
        State::Disarmed => {}
        _ => report.ok("schema", format!("the source \"{name}\" is installed")),
    }
    report_source(connection, source, report).await
}

/// Whether an installed source can be read, and hears of changes.
async fn report_source(
    connection: &mut PgConnection,
    source: &Source,
    report: &mut Report,
) -> Result<(), Trouble> {
    let installed = source::load(connection, source).await?;
    let mut findings = source::check(connection, source).await?;
    findings.extend(source::check_installed(connection, &installed).await?);
    for Finding { is_fatal, what, fix } in findings {
        let text = fix.map_or(what.clone(), |fix| format!("{what}; {fix}"));
        if is_fatal { report.fail("source", text) } else { report.warn("source", text) }
    }
    Ok(())
}

const FACTS: &str = "
    select current_user::text as role,
           split_part(current_setting('server_version'), ' ', 1) as version,
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

/// What of the schema this role may not use as the server has to.
const DENIED: &str = "
    select coalesce(string_agg(name, ', ' order by name), '')
    from (
        select 'the schema dashboard' as name
        where not has_schema_privilege('dashboard', 'USAGE')
        union all
        select 'dashboard.' || relname
        from pg_class
        where relnamespace = to_regnamespace('dashboard') and relkind in ('r', 'p', 'v')
          and not (has_table_privilege(oid, 'SELECT')
                   and (relkind = 'v'
                        or has_table_privilege(oid, 'INSERT') and has_table_privilege(oid, 'UPDATE')
                           and has_table_privilege(oid, 'DELETE')))
    ) as denied";
