//! How far a database is from having a source installed.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

use super::install::{MARK, SCHEMA};
use super::{InstallError, Source, Watch, triggers};

/// A source in a database: the numbers that its watches and feeds have there.
#[derive(Clone, Debug)]
pub struct Installed {
    /// What was installed.
    pub source: Source,
    /// Tells it from any other version of itself.
    pub(crate) fingerprint: String,
    pub(crate) watches: HashMap<Watch, i16>,
    /// In the order of the source's feeds.
    pub(crate) feeds: Vec<i16>,
}

/// How far a database is from what a server needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing of ours is there.
    Absent,
    /// A schema `dashboard` is there that another program has made, for what is its own.
    NotOurs,
    /// A schema `dashboard` is there, made by another version of this server, or no longer whole.
    Foreign,
    /// Another source is installed.
    Other,
    /// The source is not installed, or was not to the end, or another version of it is.
    Outdated,
    /// It is installed, and a table lacks a trigger, or has one switched off.
    Disarmed,
    /// All is there.
    Current,
}

/// Looks how far the database is from having this source installed. Writes nothing.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn state(
    connection: &mut PgConnection,
    source: &Source,
) -> Result<State, sqlx::Error> {
    let (is_used, is_ours) = whose(connection).await?;
    match (is_used, is_ours) {
        (false, _) => return Ok(State::Absent),
        (true, false) => return Ok(State::NotOurs),
        (true, true) => {}
    }
    let meta = sqlx::query_as("select schema, name, source from dashboard.meta")
        .fetch_optional(&mut *connection)
        .await;
    let (schema, name, installed): (String, String, Option<String>) = match meta {
        Ok(Some(meta)) => meta,
        Ok(None) => return Ok(State::Foreign),
        // No such table, or other columns.
        Err(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| code == "42P01" || code == "42703") =>
        {
            return Ok(State::Foreign);
        }
        Err(error) => return Err(error),
    };
    if schema != fingerprint(connection, &SCHEMA.concat()).await?
        || lacks_tables(connection).await?
    {
        return Ok(State::Foreign);
    }
    if name != source.name {
        return Ok(State::Other);
    }
    let wanted = fingerprint(connection, &whole(source)).await?;
    if installed.as_ref() != Some(&wanted) {
        return Ok(State::Outdated);
    }
    let (watches, _) = known(connection).await?;
    let is_armed = super::check::is_armed(connection, &watches).await?;
    Ok(if is_armed { State::Current } else { State::Disarmed })
}

/// Whether anything is in the schema `dashboard`, and whether this server made it: by its comment, or by the table
/// `meta`, where a restore has left the comment out.
pub(super) async fn whose(connection: &mut PgConnection) -> Result<(bool, bool), sqlx::Error> {
    sqlx::query_as(
        // Without a right in that schema, too.
        "select exists (
                    select from pg_depend
                    where refclassid = 'pg_namespace'::regclass and refobjid = home.oid
                      and deptype = 'n'
                ),
                coalesce(obj_description(home.oid, 'pg_namespace') = $1, false)
                    or (select count(*) = 5
                        from pg_class as meta
                        join pg_attribute as own on own.attrelid = meta.oid and not own.attisdropped
                        where meta.relnamespace = home.oid and meta.relname = 'meta'
                          and own.attname in ('schema', 'name', 'source', 'life', 'removed_to'))
         from (select to_regnamespace('dashboard')::oid as oid) as home",
    )
    .bind(MARK)
    .fetch_one(connection)
    .await
}

/// Whether a table or view of the schema is gone.
async fn lacks_tables(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let schema = SCHEMA.concat();
    let tables = schema.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("create table dashboard.")
            .or_else(|| line.strip_prefix("create view dashboard."))?;
        rest.split(' ').next()
    });
    let tables: Vec<&str> = tables.collect();
    sqlx::query_scalar(
        "select count(*) < cardinality($1::text[]) from pg_class
         where relnamespace = to_regnamespace('dashboard') and relname = any ($1::text[])",
    )
    .bind(tables)
    .fetch_one(connection)
    .await
}

/// All that makes a source what it is, with the triggers that this version of the server writes for it.
pub(super) fn whole(source: &Source) -> String {
    let triggers = source.watches().into_iter().flat_map(|watch| {
        let (functions, triggers) =
            (triggers::functions(watch, 0), triggers::triggers("", true, 0));
        functions.into_iter().chain(triggers)
    });
    format!("{source:?}\n{}", triggers.collect::<Vec<_>>().join("\n"))
}

pub(super) async fn fingerprint(
    connection: &mut PgConnection,
    text: &str,
) -> Result<String, sqlx::Error> {
    let query = "select encode(sha256(convert_to($1, 'UTF8')), 'hex')";
    sqlx::query_scalar(query).bind(text).fetch_one(connection).await
}

/// Looks up a source that is installed, perhaps in another version: that is projected by others.
///
/// # Errors
/// [`InstallError::Missing`] where it is not, or lacks what this version names.
pub async fn load(
    connection: &mut PgConnection,
    source: &Source,
) -> Result<Installed, InstallError> {
    let missing = || InstallError::Missing(source.name.clone());
    let state = state(connection, source).await?;
    if !matches!(state, State::Current | State::Disarmed | State::Outdated) {
        return Err(missing());
    }
    let (known_watches, known_feeds) = known(connection).await?;
    let watches = source.watches().into_iter().map(|watch| {
        let number = known_watches.get(watch).copied().ok_or_else(missing)?;
        Ok((watch.clone(), number))
    });
    let watches = watches.collect::<Result<_, InstallError>>()?;
    let feeds = source.feeds.iter().map(|feed| {
        let known = known_feeds.get(&(feed.name.clone(), feed.kind.name().to_owned()));
        known.copied().ok_or_else(missing)
    });
    let feeds = feeds.collect::<Result<_, InstallError>>()?;
    let fingerprint = fingerprint(connection, &whole(source)).await?;
    Ok(Installed { source: source.clone(), fingerprint, watches, feeds })
}

/// The numbers of watches, and those of feeds by name and kind.
pub(super) async fn known(
    connection: &mut PgConnection,
) -> Result<(HashMap<Watch, i16>, HashMap<(String, String), i16>), sqlx::Error> {
    let watches: Vec<(String, Vec<String>, i16)> =
        sqlx::query_as("select table_name, key_columns, number from dashboard.watches")
            .fetch_all(&mut *connection)
            .await?;
    let feeds: Vec<(String, String, i16)> =
        sqlx::query_as("select name, kind, number from dashboard.feeds")
            .fetch_all(connection)
            .await?;
    Ok((
        watches.into_iter().map(|(table, key, number)| (Watch { table, key }, number)).collect(),
        feeds.into_iter().map(|(name, kind, number)| ((name, kind), number)).collect(),
    ))
}

/// Whether there are tables of other applications in the database.
pub(crate) async fn holds_other_tables(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = "
        select exists (
            select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and n.nspname !~ '^pg_'
              and n.nspname not in ('dashboard', 'collection', 'information_schema')
              and not exists (
                  select from pg_depend as d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
              )
        )";
    sqlx::query_scalar(query).fetch_one(connection).await
}
