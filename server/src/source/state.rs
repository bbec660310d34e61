//! Determines how far a database is from having a source installed.

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
    if schema != fingerprint(connection, &SCHEMA.concat()).await? || lacks_parts(connection).await?
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
    let (watches, feeds) = known(connection).await?;
    let lacks_watch = source.watches().into_iter().any(|watch| !watches.contains_key(watch));
    let lacks_feed = source
        .feeds
        .iter()
        .any(|feed| !feeds.contains_key(&(feed.name.clone(), feed.kind.name().to_owned())));
    if lacks_watch || lacks_feed {
        return Ok(State::Foreign);
    }
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

/// Whether something of the schema is gone without which nothing is projected: a table, a view, a column, or the one
/// row that servers take the turn by.
async fn lacks_parts(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let schema = SCHEMA.concat();
    let (tables, columns): (Vec<&str>, Vec<&str>) = parts(&schema).into_iter().unzip();
    let lacks: bool = sqlx::query_scalar(
        "select exists (
             select from unnest($1::text[], $2::text[]) as part (name, column_name)
             where not exists (
                 select from pg_class as c join pg_attribute as a on a.attrelid = c.oid
                 where c.relnamespace = to_regnamespace('dashboard') and c.relname = part.name
                   and a.attnum > 0 and not a.attisdropped and a.attname = part.column_name
             )
         )
         or to_regclass('dashboard.current_epoch') is null",
    )
    .bind(tables)
    .bind(columns)
    .fetch_one(&mut *connection)
    .await?;
    if lacks {
        return Ok(true);
    }
    let turn = "select not exists (select from dashboard.turn)";
    sqlx::query_scalar(turn).fetch_one(connection).await
}

/// The tables of a schema with each of their columns, as its text is laid out: four spaces before a column.
fn parts(schema: &str) -> Vec<(&str, &str)> {
    const NO_COLUMNS: [&str; 4] = ["primary", "unique", "check", "constraint"];
    let (mut parts, mut table) = (Vec::new(), None);
    for line in schema.lines() {
        if let Some(rest) = line.strip_prefix("create table dashboard.") {
            table = rest.split(' ').next();
        } else if line.starts_with(')') {
            table = None;
        }
        let column = line.strip_prefix("    ").and_then(|rest| rest.split(' ').next());
        let is_name = |word: &&str| {
            word.starts_with(|c: char| c.is_ascii_lowercase()) && !NO_COLUMNS.contains(word)
        };
        parts.extend(table.zip(column.filter(is_name)));
    }
    parts
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_text_tells_tables_and_columns() {
        let schema = SCHEMA.concat();
        let parts = parts(&schema);
        let tables = schema.matches("create table dashboard.").count();
        let mut named: Vec<_> = parts.iter().map(|(table, _)| *table).collect();
        named.dedup();
        assert_eq!(named.len(), tables);
        let of = |wanted: &str| -> Vec<_> {
            parts.iter().filter(|(table, _)| *table == wanted).map(|(_, column)| *column).collect()
        };
        assert_eq!(of("turn"), ["only_row", "rests_since", "rest"]);
        assert_eq!(of("changes"), ["id", "user_id", "sections", "added", "nonce", "at"]);
        assert_eq!(of("feeds"), ["number", "name", "kind", "is_projected"]);
    }
}
