//! Checks a database for what would keep a source from being read, and says what to do about each finding.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::columns::{columns, is_address, oddities};
use super::install::{owner, parts};
use super::state::{Installed, State, state};
use super::triggers;
use super::{Feed, InstallError, Kind, Origin, Source, Watch, identifier};

/// Tables beyond this many rows are not to be read from end to end.
const LARGE: i64 = 10_000;
/// How many keys are named as examples.
const EXAMPLES: i64 = 5;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The source cannot be read, or changes would be missed.
    pub is_fatal: bool,
    /// What is wrong, and where.
    pub what: String,
    /// SQL that puts it right, or where to look.
    pub fix: Option<String>,
}

impl Finding {
    fn fatal(what: String, fix: Option<String>) -> Self {
        Self { is_fatal: true, what, fix }
    }

    fn warning(what: String, fix: Option<String>) -> Self {
        Self { is_fatal: false, what, fix }
    }
}

/// Looks whether the tables, columns, keys and rights are there, and whether the queries can be run.
/// Changes nothing.
///
/// # Errors
/// Where the database itself fails.
pub async fn check(
    connection: &mut PgConnection,
    source: &Source,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = Vec::new();
    // Only who installs needs more than to read, and a start of the standalone source puts its triggers back.
    let is_installed = match state(connection, source).await? {
        State::Current => true,
        State::Disarmed => !source.is_standalone(),
        _ => false,
    };
    for watch in source.watches() {
        check_watch(connection, source, watch, is_installed, &mut findings).await?;
    }
    // A role that may not install at all has a finding already.
    if !is_installed && !findings.iter().any(|finding| finding.is_fatal) {
        check_schema(connection, &mut findings).await?;
    }
    check_publications(connection, &mut findings).await?;
    // A query cannot be run without its tables. One reason is enough.
    if findings.iter().any(|finding| finding.is_fatal) {
        return Ok(findings);
    }
    for feed in &source.feeds {
        let needed: Vec<_> = ["id", "user_id"].into_iter().chain(columns(feed.kind)).collect();
        // There may be none yet to read, but the plan is to be made as if there were.
        let query = feed.query_over(|_| {
            let columns = ["key", "user_id", "content"];
            format!(
                "select {}",
                columns.map(|name| format!("$1[1] collate \"C\" as {name}")).join(", ")
            )
        });
        let query = format!("select {} from ({query}) as yielded", needed.join(", "));
        let file = format!("{}.sql", feed.name);
        let read = check_query(connection, &file, &query, 1, &mut findings).await?;
        check_watched(connection, feed, &read, &mut findings).await?;
        for route in &feed.routes {
            if let Some(to) = &route.to {
                let (of, width) = match &route.from {
                    Origin::Table(watch) => (&watch.table, watch.key.len()),
                    Origin::Fact(fact) => (fact, 1),
                };
                let what = format!("[{}], the `to` of the watch of {of}", feed.name);
                let query = format!("select found.* from (\n{}\n) as found", without_end(to));
                check_query(connection, &what, &query, width, &mut findings).await?;
            }
        }
    }
    Ok(findings)
}

/// Looks whether an installed source is listened to, and what it could not show as it is.
///
/// # Errors
/// Where the database fails.
pub async fn check_installed(
    connection: &mut PgConnection,
    installed: &Installed,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = Vec::new();
    for (watch, &number) in &installed.watches {
        check_triggers(connection, watch, number, &mut findings).await?;
    }
    for (feed, &number) in installed.source.feeds.iter().zip(&installed.feeds) {
        check_rows(connection, feed, number, &mut findings).await?;
    }
    findings.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(findings)
}

/// Looks whether this role may make the schema `dashboard`, or may install into the one that is there.
async fn check_schema(
    connection: &mut PgConnection,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let (role, database, may_create): (String, String, bool) = sqlx::query_as(
        "select quote_ident(current_user), quote_ident(current_database()),
                has_database_privilege(current_database(), 'create')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let finding = match owner(connection).await? {
        Some((_, true)) => return Ok(()),
        Some((owner, false)) => Finding::fatal(
            InstallError::Schema(owner.clone()).to_string(),
            Some(format!("run it as the role {owner}")),
        ),
        None if may_create => return Ok(()),
        None => Finding::fatal(
            format!("{role} lacks the right to make the schema dashboard"),
            Some(format!(
                "grant create on database {database} to {role}; or \
                 create schema dashboard authorization {role}"
            )),
        ),
    };
    findings.push(finding);
    Ok(())
}

async fn check_watch(
    connection: &mut PgConnection,
    source: &Source,
    watch: &Watch,
    is_installed: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let table = &watch.table;
    let row = sqlx::query(
        "select c.relkind::text as kind,
                has_table_privilege(c.oid, 'select') as may_read,
                pg_has_role(c.relowner, 'usage') as owns,
                quote_ident(pg_get_userbyid(c.relowner)) as owner,
                quote_ident(current_user) as role
         from pg_class as c where c.oid = to_regclass($1)",
    )
    .bind(table)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        let fix = "correct the source, or give the server the database that has it".to_owned();
        findings.push(Finding::fatal(format!("there is no table {table}"), Some(fix)));
        return Ok(());
    };
    if !["r", "p"].contains(&row.try_get("kind")?) {
        let what = format!("{table} is not a table, so its changes cannot be noted");
        let fix = "name the tables behind it, each with a watch".to_owned();
        findings.push(Finding::fatal(what, Some(fix)));
        return Ok(());
    }
    if let Err(error @ InstallError::ForeignPart(_)) = parts(connection, table).await {
        let fix = "keep it out of the table, or out of the source".to_owned();
        findings.push(Finding::fatal(error.to_string(), Some(fix)));
    }
    let role: String = row.try_get("role")?;
    if !row.try_get::<bool, _>("may_read")? {
        findings.push(Finding::fatal(
            format!("{role} lacks the right to select on {table}"),
            Some(format!("grant select on {table} to {role};")),
        ));
    }
    // A trigger that fires for replicated rows can only be set up by the owner.
    if !is_installed && !row.try_get::<bool, _>("owns")? {
        let owner: &str = row.try_get("owner")?;
        findings.push(Finding::fatal(
            format!("{table} belongs to {owner}, so {role} cannot put triggers on it"),
            Some(format!("run this as {owner}: DATABASE_URL says as which role")),
        ));
    }
    for column in &watch.key {
        check_column(connection, source, watch, column, findings).await?;
    }
    Ok(())
}

async fn check_column(
    connection: &mut PgConnection,
    source: &Source,
    watch: &Watch,
    column: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let table = &watch.table;
    let row = sqlx::query(
        "select format_type(a.atttypid, a.atttypmod) as type,
                a.atttypid = any ($3::text[]::regtype[]::oid[]) as is_key,
                exists (
                    select from pg_index as i
                    where i.indrelid = a.attrelid and i.indkey[0] = a.attnum
                      and i.indisvalid and i.indpred is null
                ) as is_indexed
         from pg_attribute as a
         where a.attrelid = to_regclass($1) and a.attname = $2
           and a.attnum > 0 and not a.attisdropped",
    )
    .bind(table)
    .bind(column)
    .bind(triggers::KEY_TYPES)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        let what = format!("{table} has no column {column}");
        let fix =
            "correct `key` in source.toml; if the column was renamed, install again".to_owned();
        findings.push(Finding::fatal(what, Some(fix)));
        return Ok(());
    };
    if !row.try_get::<bool, _>("is_key")? {
        let of_type: &str = row.try_get("type")?;
        let what = format!("{table}.{column} is {of_type}; a key is a uuid, text or an integer");
        findings.push(Finding::fatal(what, None));
    }
    if !row.try_get::<bool, _>("is_indexed")? && is_looked_up(source, watch) {
        let what = format!("{table} has no index that begins with {column}");
        let fix = format!("create index concurrently on {table} ({});", identifier(column));
        findings.push(Finding::warning(what, Some(fix)));
    }
    Ok(())
}

/// A subscriber that lacks our tables stops at the first change of one, and with it all of the application's.
async fn check_publications(
    connection: &mut PgConnection,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let query = "select quote_ident(pubname) from pg_publication where puballtables order by 1";
    let publications: Vec<String> = sqlx::query_scalar(query).fetch_all(connection).await?;
    findings.extend(publications.into_iter().map(|name| {
        let what = format!(
            "the publication {name} is for all tables, so for those of the schema dashboard, too: a \
             subscriber that lacks them stops"
        );
        let fix = "have subscribers use a publication for the application's tables, before a source is \
                   installed; see docs/operations.md, Beside an application";
        Finding::warning(what, Some(fix.to_owned()))
    }));
    Ok(())
}

/// Whether rows of a feed are found by the noted values themselves.
fn is_looked_up(source: &Source, watch: &Watch) -> bool {
    source.feeds.iter().any(|feed| {
        let is_route = |origin: &Origin| matches!(origin, Origin::Table(from) if from == watch);
        feed.home == *watch
            || feed.routes.iter().any(|route| route.to.is_none() && is_route(&route.from))
    })
}

/// Runs a query for no keys at all, and checks how it would be run for some.
async fn check_query(
    connection: &mut PgConnection,
    what: &str,
    query: &str,
    width: usize,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Relation>, sqlx::Error> {
    let types = vec!["text[]"; width].join(", ");
    let none = vec!["'{}'"; width].join(", ");
    let mut transaction = connection.begin().await?;
    let prepared = format!(
        "set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off;
         prepare dashboard_check ({types}) as {query}"
    );
    let ran = async {
        sqlx::raw_sql(AssertSqlSafe(prepared)).execute(&mut *transaction).await?;
        let execute = format!("execute dashboard_check ({none})");
        sqlx::raw_sql(AssertSqlSafe(execute)).execute(&mut *transaction).await?;
        let explain = format!("explain (verbose, format json) execute dashboard_check ({none})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *transaction).await?;
        rows.first().map(plan).transpose()
    };
    let mut read = Vec::new();
    match ran.await {
        Ok(plan) => {
            read = plan.as_ref().map(relations).unwrap_or_default();
            for table in read.iter().filter(|table| table.is_read_whole) {
                check_size(&mut transaction, what, table, findings).await?;
            }
        }
        Err(sqlx::Error::Database(error)) => {
            findings.push(Finding::fatal(format!("{what}: {}", told(&*error)), None));
        }
        Err(error) => return Err(error),
    }
    transaction.rollback().await?;
    // What a transaction has prepared outlives it, and its failure.
    sqlx::raw_sql("deallocate dashboard_check").execute(connection).await.ok();
    Ok(read)
}

/// Looks whether a feed hears of changes in the tables that its query reads.
async fn check_watched(
    connection: &mut PgConnection,
    feed: &Feed,
    read: &[Relation],
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let name = &feed.name;
    let mut heard = vec![feed.home.table.as_str()];
    for route in &feed.routes {
        match &route.from {
            Origin::Table(watch) => heard.push(&watch.table),
            Origin::Fact(fact) if !feed.query.contains(fact.as_str()) => {
                findings.push(Finding::warning(
                    format!("[{name}] watches the fact {fact}, which {name}.sql does not read"),
                    Some(format!("let it read the facts from {fact}, not from their tables")),
                ));
            }
            Origin::Fact(_) => {}
        }
    }
    let (schemas, tables): (Vec<_>, Vec<_>) =
        read.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip();
    let unheard: Vec<String> = sqlx::query_scalar(
        "with heard as materialized (
             select to_regclass(name)::oid as oid from unnest($3::text[]) as name
         )
         select distinct format('%I.%I', n.nspname, c.relname)
         from unnest($1::text[], $2::text[]) as own (schema, name)
         join pg_namespace as n on n.nspname = own.schema
         join pg_class as c on c.relnamespace = n.oid and c.relname = own.name
         left join pg_inherits as i on i.inhrelid = c.oid
         where n.nspname not in ('dashboard', 'pg_catalog', 'information_schema')
           and not exists (
               select from heard
               where oid in (c.oid, i.inhparent, pg_partition_root(c.oid))
           )
         order by 1",
    )
    .bind(schemas)
    .bind(tables)
    .bind(heard)
    .fetch_all(connection)
    .await?;
    for table in unheard {
        findings.push(Finding::warning(
            format!(
                "{name}.sql reads {table}, which [{name}] does not watch: a change there is shown at the \
                 next full look only"
            ),
            Some(format!("add a [[{name}.watch]] of it, unless its rows never change")),
        ));
    }
    Ok(())
}

fn plan(row: &PgRow) -> Result<serde_json::Value, sqlx::Error> {
    row.try_get(0)
}

/// A table that a plan reads.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Relation {
    schema: String,
    name: String,
    /// From end to end, though that was to be avoided.
    is_read_whole: bool,
}

fn relations(plan: &serde_json::Value) -> Vec<Relation> {
    let mut relations = Vec::new();
    let mut nodes = vec![plan];
    while let Some(node) = nodes.pop() {
        match node {
            serde_json::Value::Array(items) => nodes.extend(items),
            serde_json::Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(serde_json::Value::as_str);
                if let (Some(schema), Some(name)) = (text("Schema"), text("Relation Name")) {
                    relations.push(Relation {
                        schema: schema.to_owned(),
                        name: name.to_owned(),
                        is_read_whole: text("Node Type") == Some("Seq Scan"),
                    });
                }
                nodes.extend(fields.values());
            }
            _ => {}
        }
    }
    relations.sort();
    relations.dedup();
    relations
}

async fn check_size(
    connection: &mut PgConnection,
    what: &str,
    Relation { schema, name, .. }: &Relation,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let rows: Option<i64> = sqlx::query_scalar(
        "select max(reltuples)::int8 from pg_class
         where relname = $1
           and relnamespace = (select oid from pg_namespace where nspname = $2)",
    )
    .bind(name)
    .bind(schema)
    .fetch_one(connection)
    .await?;
    if rows.is_some_and(|rows| rows > LARGE) {
        let what = format!("{what} reads all of {schema}.{name}, which is large, for each change");
        let fix = "make an index on the columns by which it is joined or filtered".to_owned();
        findings.push(Finding::warning(what, Some(fix)));
    }
    Ok(())
}

/// What the database says, with its hint.
fn told(error: &dyn DatabaseError) -> String {
    let hint = error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .and_then(sqlx::postgres::PgDatabaseError::hint);
    match hint {
        Some(hint) => format!("{} ({hint})", error.message()),
        None => error.message().to_owned(),
    }
}

async fn check_triggers(
    connection: &mut PgConnection,
    watch: &Watch,
    number: i16,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let again = || Some("dashboard-server source install".to_owned());
    let parts = match parts(connection, &watch.table).await {
        Ok(parts) => parts,
        Err(InstallError::Database(error)) => return Err(error),
        Err(error) => {
            findings.push(Finding::fatal(error.to_string(), None));
            return Ok(());
        }
    };
    for (table, has_parts) in parts {
        let found: Vec<(String, String)> = sqlx::query_as(
            "select tgname::text, tgenabled::text from pg_trigger where tgrelid = to_regclass($1)",
        )
        .bind(&table)
        .fetch_all(&mut *connection)
        .await?;
        for (trigger, state) in triggers::expected(number, has_parts) {
            let what = match found.iter().find(|(name, _)| *name == trigger) {
                Some((_, now)) if now == state => continue,
                None => format!("{table} lacks the trigger {trigger}: changes are missed"),
                Some((_, now)) if now == "D" => {
                    format!("the trigger {trigger} of {table} is disabled: changes are missed")
                }
                Some(_) => format!("the trigger {trigger} of {table} fires at the wrong times"),
            };
            findings.push(Finding::fatal(what, again()));
        }
    }
    Ok(())
}

/// Whether every table that is there has the triggers of what is watched.
pub(crate) async fn is_armed(
    connection: &mut PgConnection,
    watches: &HashMap<Watch, i16>,
) -> Result<bool, sqlx::Error> {
    for (watch, &number) in watches {
        let is_there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(&watch.table)
            .fetch_one(&mut *connection)
            .await?;
        let mut findings = Vec::new();
        if is_there {
            check_triggers(connection, watch, number, &mut findings).await?;
        }
        if !findings.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells the triggers of now from any that were made or switched since, on these tables or on others that took
/// their place.
pub(crate) async fn marks(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let query = "
        select encode(sha256(convert_to(coalesce(string_agg(
                   format('%s %s %s', t.tgrelid, t.oid, t.xmin), ',' order by t.oid), ''), 'UTF8')), 'hex')
        from pg_trigger as t join pg_proc as p on p.oid = t.tgfoid
        where not t.tgisinternal and t.tgname ^@ $1
          and p.pronamespace = to_regnamespace('dashboard')";
    sqlx::query_scalar(query).bind(triggers::PREFIX).fetch_one(connection).await
}

async fn check_rows(
    connection: &mut PgConnection,
    feed: &Feed,
    number: i16,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let table = feed.kind.table();
    for (bit, what) in oddities(feed.kind) {
        let query = format!(
            "select count(*), (array_agg(key order by key))[:{EXAMPLES}]
             from dashboard.{table} where feed = $1 and oddities <> 0 and oddities & $2 <> 0"
        );
        let (count, keys): (i64, Option<Vec<String>>) = sqlx::query_as(AssertSqlSafe(query))
            .bind(number)
            .bind(bit)
            .fetch_one(&mut *connection)
            .await?;
        if count > 0 {
            let keys = keys.unwrap_or_default().join(", ");
            let what = format!("{}.sql: {count} rows {what}, such as {keys}", feed.name);
            findings.push(Finding::warning(what, None));
        }
    }
    if feed.kind == Kind::Mocs {
        check_pictures(connection, feed, number, findings).await?;
    }
    let failed: Vec<(String, String)> = sqlx::query_as(
        "select key, error from dashboard.failed where feed = $1 order by since limit $2",
    )
    .bind(number)
    .bind(EXAMPLES)
    .fetch_all(&mut *connection)
    .await?;
    for (key, error) in failed {
        let what = format!("{}.sql: the row {key} cannot be projected: {error}", feed.name);
        findings.push(Finding::warning(what, None));
    }
    let held: Option<String> =
        sqlx::query_scalar("select error from dashboard.sweeps where feed = $1")
            .bind(number)
            .fetch_optional(connection)
            .await?
            .flatten();
    if let Some(error) = held {
        let what = format!("{}.sql cannot be read: {error}", feed.name);
        findings.push(Finding::fatal(what, None));
    }
    Ok(())
}

/// Counts pictures that are left out where they are read: those whose host SQL cannot judge.
async fn check_pictures(
    connection: &mut PgConnection,
    feed: &Feed,
    number: i16,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    const UNJUDGED: &str = "
        select key, cover_image_url from dashboard.mocs
        where feed = $1 and user_id is not null
          and cover_image_url ~* '^https?://[^/?#]*([[%]|xn--|[^!-~])'
        order by key";
    let mut rows = sqlx::query_as::<_, (String, String)>(UNJUDGED).bind(number).fetch(connection);
    let (mut count, mut examples) = (0, Vec::new());
    while let Some((key, address)) = rows.try_next().await? {
        if !is_address(&address) {
            count += 1;
            examples.push(key);
            examples.truncate(usize::try_from(EXAMPLES).unwrap_or_default());
        }
    }
    if count > 0 {
        let (name, keys) = (&feed.name, examples.join(", "));
        let what = format!(
            "{name}.sql: {count} rows shown without a picture: cover_image_url has no possible host, \
             such as {keys}"
        );
        findings.push(Finding::warning(what, None));
    }
    Ok(())
}

fn without_end(query: &str) -> &str {
    query.trim_end().trim_end_matches(';')
}
