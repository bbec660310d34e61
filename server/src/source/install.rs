//! Puts a source's triggers onto an application's tables, in short steps, and takes them off again.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::sleep;

use super::check::marks;
use super::state::{Installed, State, fingerprint, known, load, state};
use super::triggers;
use super::{Source, Watch};
use crate::postgres::message_of;

/// How long a step waits for a table: the application's writes wait behind it.
const LOCK_TIMEOUT: &str = "100ms";
/// How often a step is tried where another transaction holds the table.
const ATTEMPTS: u32 = 60;
/// How long it then waits for that transaction to end, without holding anyone up.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) const SCHEMA: [&str; 3] = [
    include_str!("../../schema/outbox.sql"),
    include_str!("../../schema/read_model.sql"),
    include_str!("../../schema/installation.sql"),
];
/// This comment marks the schema as this server's, however much is left of it.
pub(super) const MARK: &str =
    "Made by dashboard-server; dashboard-server source uninstall removes it.";
/// Standalone has its own tables, which no application makes.
const COLLECTION: &str = include_str!("../../sources/standalone/tables.sql");

/// Takes back what a role's default privileges give away of what it makes: for other tables that may be right.
pub(super) const CLOSE: &str = "
    do $$
    declare opened record;
    begin
        for opened in
            select c.oid::regclass as name, acl.grantee,
                   case c.relkind when 'S' then 'sequence' else 'table' end as kind
            from pg_class as c cross join lateral aclexplode(c.relacl) as acl
            where c.relnamespace = 'dashboard'::regnamespace and acl.grantee <> c.relowner
        loop
            execute format('revoke all on %s %s from %s', opened.kind, opened.name,
                case opened.grantee when 0 then 'public' else opened.grantee::regrole::text end);
        end loop;
    end $$";
/// The same of functions, which no role but their owner ever has to call: triggers do so without a right.
pub(super) const CLOSE_FUNCTIONS: &str = "
    do $$
    declare opened record;
    begin
        for opened in
            select p.oid::regprocedure as name, acl.grantee
            from pg_proc as p
            cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as acl
            where p.pronamespace = 'dashboard'::regnamespace and acl.grantee <> p.proowner
        loop
            execute format('revoke all on function %s from %s', opened.name,
                case opened.grantee when 0 then 'public' else opened.grantee::regrole::text end);
        end loop;
    end $$";

/// A sweep of a feed that the source has no more takes its rows out of the read model.
pub(super) const OWE_LAST_SWEEPS: &str = "
    insert into dashboard.sweeps (feed) select number from dashboard.feeds where not is_projected
    on conflict (feed) do update set again = true";
/// Gives a feed's name free for one of another kind: the rows that it has are in another table.
pub(super) const FREE_NAME: &str = "
    update dashboard.feeds set name = format('%s (%s, %s)', name, kind, number) where name = ";

/// Why a source cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The database failed.
    #[error("the database failed: {}", message_of(.0))]
    Database(#[from] sqlx::Error),
    /// A table is in use by a transaction that does not end.
    #[error("{0} is locked by a transaction that does not end; end it, and try again")]
    Locked(String),
    /// A table that the source names is not there, or is none whose changes could be noted.
    #[error("{0} is not a table of this database")]
    NoTable(String),
    /// A part of a table is in another database, which cannot be heard.
    #[error("{0} is a foreign table; changes of it cannot be noted")]
    ForeignPart(String),
    /// A key of a type whose text could not be relied on.
    #[error("{table}.{column} is {of_type}; a key is a uuid, text or an integer")]
    NotAKey {
        /// Schema and name.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        of_type: String,
    },
    /// A schema of another role's: what is in it would run with this role's rights.
    #[error("the schema dashboard belongs to {0}; drop it, or install as that role")]
    Schema(String),
    /// The source, or this version of it, has not been installed.
    #[error("the source {0} is not installed in this database, or not this version of it")]
    Missing(String),
    /// Another source is there, whose rows would stay.
    #[error(
        "the source {0} is installed in this database: set DASHBOARD_SOURCE to it, or remove it first \
         (dashboard-server source uninstall)"
    )]
    Other(String),
    /// The schema was not made by this version of the server.
    #[error(
        "there is a schema \"dashboard\" of another version of this server, or one that is no longer \
         whole: remove it (dashboard-server source uninstall), which loses nothing of the application's"
    )]
    Foreign,
    /// The schema is another program's.
    #[error(
        "there is a schema \"dashboard\" that this server has not made: rename it, or use another \
         database, or, if nothing in it is needed, drop it; nothing was changed"
    )]
    NotOurs,
    /// With the schema other programs' objects would go.
    #[error(
        "with the schema \"dashboard\" these would be dropped, which this server has not made: {0}; \
         move or drop them first; nothing was changed"
    )]
    Depended(String),
}

impl InstallError {
    /// For a database where another source is installed.
    pub(crate) async fn of_another(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let name = sqlx::query_scalar("select name from dashboard.meta");
        Ok(Self::Other(name.fetch_one(connection).await?))
    }
}

/// Installs a source. Afterwards each change of its tables is noted, and all of its rows are due for a
/// look. It keeps what is there already, so it can be repeated after a failure. It reports each step when
/// the step is done.
///
/// # Errors
/// See [`InstallError`].
pub async fn install(
    connection: &mut PgConnection,
    source: &Source,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<Installed, InstallError> {
    match state(connection, source).await? {
        State::NotOurs => return Err(InstallError::NotOurs),
        State::Foreign => return Err(InstallError::Foreign),
        State::Other => return Err(InstallError::of_another(connection).await?),
        State::Absent | State::Outdated | State::Disarmed | State::Current => {}
    }
    for watch in source.watches() {
        parts(connection, &watch.table).await?;
    }
    make_schema(connection, source).await?;
    tell("schema dashboard: is there".to_owned());
    let installed = register(connection, source).await?;
    sqlx::raw_sql(triggers::NOT_A_KEY).execute(&mut *connection).await?;
    for watch in source.watches() {
        let number = installed.watches[watch];
        let functions = triggers::functions(watch, number).join(";\n");
        sqlx::raw_sql(AssertSqlSafe(functions)).execute(&mut *connection).await?;
        check_key(connection, watch).await?;
        for (table, has_parts) in parts(connection, &watch.table).await? {
            let triggers = triggers::triggers(&table, has_parts, number);
            patiently(connection, &table, &triggers, tell).await?;
            tell(format!("{table}: changes are noted by {}", watch.key.join(", ")));
        }
    }
    sqlx::raw_sql(CLOSE_FUNCTIONS).execute(&mut *connection).await?;
    // Only now: the sweep finds a row that was touched before its trigger was there. Where rows have never been
    // read, what is shown would be too little.
    let marks = marks(connection).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "update dashboard.meta
         set source = $1,
             triggers = $3,
             swept = null,
             is_complete = is_complete and not exists (
                 select from dashboard.feeds where number = any ($2) and not is_projected
             )",
    )
    .bind(&installed.fingerprint)
    .bind(&installed.feeds)
    .bind(marks)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("update dashboard.feeds set is_projected = number = any ($1)")
        .bind(&installed.feeds)
        .execute(&mut *transaction)
        .await?;
    owe_sweeps(&mut transaction, &installed).await?;
    // Of feeds that the source has no more nothing may be left to be shown.
    sqlx::raw_sql(OWE_LAST_SWEEPS).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(installed)
}

/// Requests that all rows of a source are read again.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn owe_sweeps(
    connection: &mut PgConnection,
    installed: &Installed,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into dashboard.sweeps (feed) select unnest($1::int2[])
         on conflict (feed) do update set again = true",
    )
    .bind(&installed.feeds)
    .execute(connection)
    .await
    .map(drop)
}

/// Makes the tables of the standalone source, unless they are there.
///
/// # Errors
/// Where the database fails.
pub async fn make_collection(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if has_collection(connection).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(COLLECTION).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Whether the tables of the standalone source have been made.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn has_collection(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // Without a right in that schema, too.
    let query = "select exists (
                     select from pg_class
                     where relnamespace = to_regnamespace('collection') and relname = 'mocs'
                 )";
    sqlx::query_scalar(query).fetch_one(connection).await
}

/// What keeps the tables of the standalone source from being made where there are none, if anything does: a schema of
/// that name that may not be written to, or in which something has their names.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn collection_obstacle(
    connection: &mut PgConnection,
) -> Result<Option<String>, sqlx::Error> {
    let names = COLLECTION.lines().filter_map(|line| {
        let rest = ["create table collection.", "create type collection.", "create index "]
            .into_iter()
            .find_map(|made| line.strip_prefix(made))?;
        rest.split(' ').next()
    });
    let names: Vec<&str> = names.collect();
    sqlx::query_scalar(
        "select case
             when not (has_schema_privilege(oid, 'CREATE') and has_schema_privilege(oid, 'USAGE')) then
                 format('the schema collection belongs to %I, and this role may not make tables in it: '
                        'grant usage, create on schema collection to %I',
                        pg_get_userbyid(nspowner), current_user)
             when taken.names is not null then
                 format('the schema collection has no table mocs, and has %s, which a start would make: '
                        'rename that schema, or remove what is in it', taken.names)
         end
         from pg_namespace cross join lateral (
             select string_agg(distinct name, ', ') as names
             from (select relname, relnamespace from pg_class
                   union all select typname, typnamespace from pg_type) as own (name, home)
             where home = pg_namespace.oid and name = any ($1::text[])
         ) as taken
         where nspname = 'collection'",
    )
    .bind(names)
    .fetch_optional(connection)
    .await
    .map(Option::flatten)
}

/// Refuses keys whose text could not be relied on.
async fn check_key(connection: &mut PgConnection, watch: &Watch) -> Result<(), InstallError> {
    let odd: Option<(String, String)> = sqlx::query_as(
        "select attname::text, format_type(atttypid, atttypmod) from pg_attribute
         where attrelid = to_regclass($1) and attname = any ($2)
           and atttypid <> all ($3::text[]::regtype[]::oid[])
         limit 1",
    )
    .bind(&watch.table)
    .bind(&watch.key)
    .bind(triggers::KEY_TYPES)
    .fetch_optional(connection)
    .await?;
    match odd {
        Some((column, of_type)) => {
            Err(InstallError::NotAKey { table: watch.table.clone(), column, of_type })
        }
        None => Ok(()),
    }
}

/// A table, its partitions and those that inherit from it, and whether each is in parts itself.
pub(super) async fn parts(
    connection: &mut PgConnection,
    table: &str,
) -> Result<Vec<(String, bool)>, InstallError> {
    let parts: Vec<(String, bool, bool)> = sqlx::query_as(
        "with recursive part as (
             select to_regclass($1)::oid as oid
             union
             select inherits.inhrelid
             from part join pg_inherits as inherits on inherits.inhparent = part.oid
         )
         select format('%I.%I', n.nspname, c.relname), c.relkind = 'p', c.relkind = 'f'
         from part
         join pg_class as c on c.oid = part.oid
         join pg_namespace as n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'f')
         order by c.oid",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    // The application's own statements would fail: triggers cannot gather what they do over there.
    if let Some((part, ..)) = parts.iter().find(|(.., is_foreign)| *is_foreign) {
        return Err(InstallError::ForeignPart(part.clone()));
    }
    if parts.is_empty() {
        return Err(InstallError::NoTable(table.to_owned()));
    }
    Ok(parts.into_iter().map(|(name, has_parts, _)| (name, has_parts)).collect())
}

/// The owner of the schema `dashboard`, if there is one, and whether it and all in it are this role's.
pub(crate) async fn owner(
    connection: &mut PgConnection,
) -> Result<Option<(String, bool)>, sqlx::Error> {
    sqlx::query_as(
        "select pg_get_userbyid(n.nspowner)::text,
                pg_get_userbyid(n.nspowner) = current_user
                and not exists (
                    select from pg_class as c
                    where c.relnamespace = n.oid and c.relowner <> n.nspowner
                )
                and not exists (
                    select from pg_proc as p
                    where p.pronamespace = n.oid and p.proowner <> n.nspowner
                )
         from pg_namespace as n where n.nspname = 'dashboard'",
    )
    .fetch_optional(connection)
    .await
}

async fn make_schema(connection: &mut PgConnection, source: &Source) -> Result<(), InstallError> {
    let owner = owner(connection).await?;
    if let Some((owner, false)) = &owner {
        return Err(InstallError::Schema(owner.clone()));
    }
    let is_made: bool = sqlx::query_scalar("select to_regclass('dashboard.meta') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if is_made {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    if owner.is_none() {
        sqlx::raw_sql("create schema dashboard").execute(&mut *transaction).await?;
    }
    for statements in SCHEMA {
        sqlx::raw_sql(statements).execute(&mut *transaction).await?;
    }
    sqlx::raw_sql(CLOSE).execute(&mut *transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("comment on schema dashboard is '{MARK}'")))
        .execute(&mut *transaction)
        .await?;
    let fingerprint = fingerprint(&mut transaction, &SCHEMA.concat()).await?;
    sqlx::query("insert into dashboard.meta (schema, name) values ($1, $2)")
        .bind(fingerprint)
        .bind(&source.name)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// The numbers of the source's watches and feeds. What has none gets one.
async fn register(
    connection: &mut PgConnection,
    source: &Source,
) -> Result<Installed, InstallError> {
    let (watches, feeds) = known(connection).await?;
    for watch in source.watches().into_iter().filter(|watch| !watches.contains_key(watch)) {
        sqlx::query("insert into dashboard.watches (table_name, key_columns) values ($1, $2)")
            .bind(&watch.table)
            .bind(&watch.key)
            .execute(&mut *connection)
            .await?;
    }
    for feed in &source.feeds {
        let kind = feed.kind.name();
        if !feeds.contains_key(&(feed.name.clone(), kind.to_owned())) {
            sqlx::query(AssertSqlSafe(format!("{FREE_NAME}$1")))
                .bind(&feed.name)
                .execute(&mut *connection)
                .await?;
            sqlx::query("insert into dashboard.feeds (name, kind) values ($1, $2)")
                .bind(&feed.name)
                .bind(kind)
                .execute(&mut *connection)
                .await?;
        }
    }
    load(connection, source).await
}

/// Runs the statements in one transaction that waits only a moment for the table, again and again.
pub(super) async fn patiently(
    connection: &mut PgConnection,
    table: &str,
    statements: &[String],
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), InstallError> {
    let text = format!("set local lock_timeout = '{LOCK_TIMEOUT}';\n{}", statements.join(";\n"));
    for _ in 0..ATTEMPTS {
        let mut transaction = connection.begin().await?;
        let done = sqlx::raw_sql(AssertSqlSafe(text.clone())).execute(&mut *transaction).await;
        match done {
            Ok(_) => return Ok(transaction.commit().await?),
            Err(error) if is_locked(&error) => {
                transaction.rollback().await?;
                tell(format!("{table}: another transaction holds it; trying again"));
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(InstallError::Locked(table.to_owned()))
}

/// A lock that could not be had in time, or a deadlock.
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == "55P03" || code == "40P01")
}
