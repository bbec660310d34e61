//! Removes a source: the triggers, and the schema with all that this server has made, and nothing else.

use sqlx::postgres::PgConnection;

use super::InstallError;
use super::install::{SCHEMA, patiently};
use super::state::whose;
use super::triggers::PREFIX;

/// Takes our triggers off all tables, and the schema away. The application's tables stay as they were
/// before `source install`. `tell` gets each step when it is done.
///
/// # Errors
/// See [`InstallError`].
pub async fn uninstall(
    connection: &mut PgConnection,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), InstallError> {
    for (table, drops) in drops(connection).await? {
        patiently(connection, &table, &drops, tell).await?;
        tell(format!("{table}: is as it was"));
    }
    let drop = [DROP_SCHEMA.to_owned()];
    patiently(connection, "the schema dashboard", &drop, tell).await?;
    tell("schema dashboard: is gone".to_owned());
    Ok(())
}

pub(crate) const DROP_SCHEMA: &str = "drop schema if exists dashboard cascade";

/// For each table the statements that take our triggers off.
///
/// # Errors
/// [`InstallError::NotOurs`] where the schema is another program's, and [`InstallError::Depended`] where others'
/// objects would go with it: then it must not be dropped either.
pub(crate) async fn drops(
    connection: &mut PgConnection,
) -> Result<Vec<(String, Vec<String>)>, InstallError> {
    if let (true, false) = whose(connection).await? {
        return Err(InstallError::NotOurs);
    }
    let others = others(connection).await?;
    if !others.is_empty() {
        return Err(InstallError::Depended(others.join(", ")));
    }
    let triggers: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select format('%I.%I', n.nspname, c.relname) as name,
                array_agg(t.tgname::text order by t.tgname)
         from pg_trigger as t
         join pg_class as c on c.oid = t.tgrelid
         join pg_namespace as n on n.oid = c.relnamespace
         join pg_proc as p on p.oid = t.tgfoid
         where not t.tgisinternal and t.tgparentid = 0 and t.tgname ^@ $1
           and p.pronamespace = to_regnamespace('dashboard')
         group by n.nspname, c.relname
         order by name",
    )
    .bind(PREFIX)
    .fetch_all(connection)
    .await?;
    let drop = |(table, triggers): (String, Vec<String>)| {
        let drop = |trigger| format!("drop trigger if exists {trigger} on {table}");
        let drops = triggers.into_iter().map(drop).collect();
        (table, drops)
    };
    Ok(triggers.into_iter().map(drop).collect())
}

/// What others have made in the schema, or what hangs on something in it: a view, a column of one of its types.
async fn others(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let schema = SCHEMA.concat();
    let within: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, c.oid::regclass::text
         from pg_class as c
         where c.relnamespace = to_regnamespace('dashboard') and c.relkind in ('r', 'p', 'v', 'm', 'f')
         order by 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    let is_ours = |name: &str| {
        let made = |what: &str| {
            let start = format!("create {what} dashboard.{name}");
            schema
                .lines()
                .any(|line| line.strip_prefix(&start).is_some_and(|rest| rest.starts_with(' ')))
        };
        made("table") || made("view")
    };
    let within = within.into_iter().filter(|(name, _)| !is_ours(name));
    let mut others: Vec<String> = within.map(|(_, name)| format!("table or view {name}")).collect();
    let functions: Vec<String> = sqlx::query_scalar(
        "select 'function ' || oid::regprocedure::text from pg_proc
         where pronamespace = to_regnamespace('dashboard')
           and proname <> 'not_a_key' and not proname ^@ 'note_'
         order by 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    others.extend(functions);
    let outside: Vec<String> =
        sqlx::query_scalar(OUTSIDE).bind(PREFIX).fetch_all(connection).await?;
    others.extend(outside);
    Ok(others)
}

/// Objects that depend on one in the schema and are in another. Rules, constraints, defaults, triggers and policies
/// are where their table is.
const OUTSIDE: &str = "
    with ours (class, oid) as (
        select 'pg_class'::regclass::oid, oid from pg_class
        where relnamespace = to_regnamespace('dashboard')
        union all
        select 'pg_type'::regclass::oid, oid from pg_type
        where typnamespace = to_regnamespace('dashboard')
        union all
        select 'pg_proc'::regclass::oid, oid from pg_proc
        where pronamespace = to_regnamespace('dashboard')
    ),
    parts (class, oid, of) as (
        select 'pg_rewrite'::regclass::oid, oid, ev_class from pg_rewrite
        union all
        select 'pg_constraint'::regclass::oid, oid, conrelid from pg_constraint
        union all
        select 'pg_attrdef'::regclass::oid, oid, adrelid from pg_attrdef
        union all
        select 'pg_policy'::regclass::oid, oid, polrelid from pg_policy
        union all
        select 'pg_trigger'::regclass::oid, oid, tgrelid from pg_trigger where not tgname ^@ $1
    )
    select distinct coalesce(
        (select pg_describe_object('pg_class'::regclass, parts.of, 0)
         from parts
         where parts.class = d.classid and parts.oid = d.objid and parts.of <> 0),
        pg_describe_object(d.classid, d.objid, d.objsubid))
    from pg_depend as d
    join ours on ours.class = d.refclassid and ours.oid = d.refobjid
    where d.deptype in ('n', 'a')
      and not exists (select from ours as own where own.class = d.classid and own.oid = d.objid)
      and not exists (
          select from parts join ours as own on own.class = 'pg_class'::regclass and own.oid = parts.of
          where parts.class = d.classid and parts.oid = d.objid
      )
      and not (d.classid = 'pg_trigger'::regclass and exists (
          select from pg_trigger where oid = d.objid and tgname ^@ $1
      ))
    order by 1";
