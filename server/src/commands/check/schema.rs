//! Checks what is installed, or would be: whether a start succeeds with it, and whether changes are seen afterwards.

use sqlx::postgres::PgConnection;

use super::database::Facts;
use crate::changes::capture;
use crate::commands::check::Report;
use crate::config::Config;
use crate::dashboard::query;
use crate::database::{Cause, schema};
use crate::source::{self, Choice, Finding, InstallError, Source, State};

/// Checks all of the schema.
///
/// # Errors
/// What a start would end with.
pub(super) async fn look(
    facts: &Facts,
    config: &Config,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), Cause> {
    if facts.has_schema {
        let denied: String = sqlx::query_scalar(DENIED).fetch_one(&mut *connection).await?;
        if !denied.is_empty() {
            report.fail(
                "rights",
                format!(
                    "this role may not use {denied}: run the server as the role that made the schema, \
                     or grant what dashboard-server source install prints"
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
    let source = &choice.source;
    let closed = closed(connection, source).await?;
    if !closed.is_empty() {
        let (schemas, role) = (closed.join(", "), &facts.role);
        let text = format!(
            "this role may not use the schema {schemas}, where the source's tables are: grant usage on \
             schema {schemas} to \"{role}\""
        );
        report.fail("rights", text);
        return Ok(());
    }
    if schema::needs_installation(connection, &choice).await? {
        if facts.read_only {
            return Err(Cause::ReadOnly);
        }
        return installation(facts, source, connection, report).await;
    }
    report_source(connection, source, report).await?;
    readable(connection, report).await;
    Ok(())
}

/// What a start would install, and what would keep it from that.
async fn installation(
    facts: &Facts,
    source: &Source,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), Cause> {
    let state = source::state(connection, source).await?;
    if let Some((owner, false)) = source::owner(connection).await? {
        return Err(InstallError::Schema(owner).into());
    }
    let is_made = source::has_collection(connection).await?;
    if !(facts.may_create || facts.has_schema && is_made) {
        report.fail(
            "schema",
            "there is none, and this role may not make it: grant CREATE on the database, or run the first \
             start as a role that has that right",
        );
        return Ok(());
    }
    if is_made {
        // These are the server's own tables, and still others may have come to own or change them.
        let findings = source::check(connection, source).await?;
        let is_stopped = findings.iter().any(|finding| finding.is_fatal);
        tell(findings, report);
        if is_stopped {
            return Ok(());
        }
    } else if let Some(obstacle) = source::collection_obstacle(connection).await? {
        report.fail("schema", obstacle);
        return Ok(());
    }
    let name = &source.name;
    match state {
        State::Disarmed => {
            let installed = source::load(connection, source).await?;
            let findings = source::check_installed(connection, &installed).await?;
            tell(findings.into_iter().map(healed), report);
        }
        State::Outdated => {
            report.ok("schema", format!("a start would install this version of \"{name}\""));
        }
        _ => report.ok(
            "schema",
            format!(
                "a start would make the schemas \"dashboard\" and \"collection\", and install the source \
                 \"{name}\""
            ),
        ),
    }
    Ok(())
}

/// What a start of the standalone source puts right is no reason against it.
fn healed(finding: Finding) -> Finding {
    if !finding.is_fatal {
        return finding;
    }
    Finding { is_fatal: false, fix: Some("a start puts it back".to_owned()), ..finding }
}

/// Whether an installed source can be read, and hears of changes.
async fn report_source(
    connection: &mut PgConnection,
    source: &Source,
    report: &mut Report,
) -> Result<(), Cause> {
    let installed = source::load(connection, source).await?;
    let mut findings = source::check(connection, source).await?;
    findings.extend(source::check_installed(connection, &installed).await?);
    if !findings.iter().any(|finding| finding.is_fatal) {
        report.ok("schema", format!("the source \"{}\" is installed", source.name));
    }
    tell(findings, report);
    Ok(())
}

fn tell(findings: impl IntoIterator<Item = Finding>, report: &mut Report) {
    for Finding { is_fatal, what, fix } in findings {
        let text = fix.map_or(what.clone(), |fix| format!("{what}; {fix}"));
        if is_fatal { report.fail("source", text) } else { report.warn("source", text) }
    }
}

/// Whether the first statements of a server go through: those that follow the changes, and read a dashboard.
async fn readable(connection: &mut PgConnection, report: &mut Report) {
    if let Err(error) = capture::try_look(connection).await {
        report.fail("dashboards", format!("the change log cannot be followed: {error}"));
        return;
    }
    match query::snapshot(connection, "").await {
        Ok(_) => report.ok("dashboards", "can be read"),
        Err(query::QueryError::Incomplete) => report.ok(
            "dashboards",
            "can be read once a server has looked at all of the application's rows for the first time",
        ),
        Err(error) => report.fail("dashboards", format!("cannot be read: {error}")),
    }
}

/// The schemas of the source's tables that this role may not look into.
async fn closed(
    connection: &mut PgConnection,
    source: &Source,
) -> Result<Vec<String>, sqlx::Error> {
    let tables: Vec<_> = source.watches().iter().map(|watch| watch.table.as_str()).collect();
    sqlx::query_scalar(
        "select quote_ident(nspname) from pg_namespace
         where not has_schema_privilege(oid, 'USAGE')
           and nspname in (select (parse_ident(name))[1] from unnest($1::text[]) as name)
         order by 1",
    )
    .bind(tables)
    .fetch_all(connection)
    .await
}

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
        union all
        -- Where the numbers of changes are given out by the server, and not by the table itself.
        select 'dashboard.' || relname
        from pg_class
        where relnamespace = to_regnamespace('dashboard') and relkind = 'S'
          and relname = 'changes_id_seq'
          and not (has_sequence_privilege(oid, 'USAGE') and has_sequence_privilege(oid, 'UPDATE'))
    ) as denied";
