//! Tests installing and uninstalling, beside an application that works: its writes do not wait behind us, and it
//! gets its database back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dashboard_server::source::{InstallError, Source, install, uninstall};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::migrations::COLLECTION;
use crate::support::{PATIENCE, TestDb, with_application};

/// How many writes have to succeed while a table is held and we ask for it.
const WRITES: usize = 50;
/// How many attempts have to fail in that time: for the first table, which takes about five seconds, and for others.
const ATTEMPTS: (usize, usize) = (9, 2);
const HELD: &str = ": another transaction holds it; trying again";

/// Objects of many kinds, on and beside the tables that a source watches, and two of those in partitions.
const OBJECTS: &str = "
    create type public.mood as enum ('good', 'bad');
    create type public.pair as (a integer, b text);
    create domain public.short as text check (length(value) < 10) default 'none';
    create sequence public.numbers increment 3 cache 5;
    create collation public.plain (locale = 'C');
    create function public.touched() returns trigger language plpgsql as
        'begin new.updated_at := now(); return new; end';
    create function public.seen() returns trigger language plpgsql as 'begin return null; end';
    create function public.heard() returns event_trigger language plpgsql as 'begin end';
    create function public.twice(integer) returns integer language sql immutable as 'select $1 * 2';
    create procedure public.nothing() language sql as '';
    create aggregate public.last (integer) (sfunc = int4larger, stype = integer);
    create operator public.### (leftarg = integer, rightarg = integer, function = int4pl);
    create cast (public.pair as text) with inout;
    create event trigger heard on ddl_command_end execute function public.heard();
    create foreign data wrapper nowhere;
    create server nowhere foreign data wrapper nowhere;
    create text search configuration public.words (copy = simple);

    alter table public.moc_instructions
        add column number bigint generated always as identity,
        add column initial text generated always as (left(title, 1)) stored,
        add column mood public.mood,
        add constraint titled check (title <> '') not valid,
        add constraint one_slug exclude (slug with =);
    create table public.moc_instructions_old () inherits (public.moc_instructions);
    create unlogged table public.drafts (like public.moc_instructions including all);
    create index on public.moc_instructions (lower(title)) where theme is not null;
    create statistics public.together on theme, type from public.moc_instructions;
    create trigger touched before update on public.moc_instructions
        for each row when (old.title is distinct from new.title) execute function public.touched();
    create trigger dashboard_note_of_our_own after insert on public.moc_instructions
        referencing new table as fresh for each statement execute function public.seen();
    create trigger dashboard_note_1_insert after delete on public.sets
        for each row execute function public.seen();
    create constraint trigger later after insert on public.moc_parts deferrable initially deferred
        for each row execute function public.seen();
    alter table public.moc_parts enable always trigger later;
    alter table public.moc_parts_lists disable trigger user;
    alter table public.sets enable row level security;
    create policy own on public.sets for select using (user_id = current_user);
    create rule none as on delete to public.tag_theme_mappings where old.tag = 'kept' do instead nothing;
    create view public.owned as select * from public.sets where status = 'owned';
    create materialized view public.counted as select user_id, count(*) from public.sets group by 1;
    create publication mine for table public.sets, public.moc_parts;
    comment on table public.sets is 'Sets';
    comment on trigger touched on public.moc_instructions is 'Ours';
    alter table public.sets replica identity full, alter column title set statistics 500,
        set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.1);
    cluster public.moc_parts using moc_parts_pkey;
    grant select on public.sets to public;
    alter default privileges grant all on tables to public;
    alter default privileges grant execute on functions to public;
    alter default privileges in schema public grant usage on sequences to public;

    drop table public.wishlist_items;
    create table public.wishlist_items (
        id uuid not null default gen_random_uuid(), user_id text not null, primary key (id, user_id)
    ) partition by hash (user_id);
    create table public.wishes_1 partition of public.wishlist_items
        for values with (modulus 2, remainder 0);
    create table public.wishes_2 partition of public.wishlist_items
        for values with (modulus 2, remainder 1);
    create trigger seen after insert on public.wishlist_items
        for each row execute function public.seen();
    alter table public.parts_inventory rename to lots;
    create table public.parts_inventory (like public.lots including defaults)
        partition by range (quantity);
    alter table public.parts_inventory attach partition public.lots for values from (0) to (10);
    create table public.many partition of public.parts_inventory default partition by list (color);
    create table public.many_red partition of public.many for values in ('red');
    create table public.many_others partition of public.many default;
    create index on public.parts_inventory (user_id)";

/// Waits for the work, which asks for tables that transactions hold, one in turn with another, while the
/// application writes to them. Says how long its longest write to each took.
async fn held_and_written(
    db: &TestDb,
    work: impl FnOnce(PgConnection) -> (JoinHandle<Result<(), InstallError>>, UnboundedReceiver<String>),
) -> BTreeMap<String, Duration> {
    let source = Source::built_in("moc-instructions").unwrap();
    let mut holders = BTreeMap::new();
    for watch in source.watches() {
        let rows = format!("select array_agg(id order by id) from {}", watch.table);
        let rows: Vec<Uuid> = db.one(&rows).await;
        let mut holder = db.connection().await;
        let write = touch(&watch.table, rows[0]);
        holder.execute(sqlx::raw_sql(AssertSqlSafe(format!("begin; {write}")))).await.unwrap();
        holders.insert(watch.table.clone(), (holder, touch(&watch.table, rows[1])));
    }
    let mut writer = db.connection().await;
    writer.execute("set statement_timeout = '60s'").await.unwrap();
    let (work, mut said) = work(db.node().await);
    let (mut longest, mut least) = (BTreeMap::new(), ATTEMPTS.0);
    while !holders.is_empty() {
        let text = timeout(PATIENCE, said.recv()).await.expect("nothing is said").unwrap();
        let Some(table) = text.strip_suffix(HELD) else { continue };
        // It may have asked once more before the transaction ended.
        let Some((mut holder, write)) = holders.remove(table) else { continue };
        let (mut count, mut attempts, mut most) = (0, 1, Duration::ZERO);
        while count < WRITES || attempts < least {
            let began = Instant::now();
            let written = sqlx::query(AssertSqlSafe(write.clone())).execute(&mut writer).await;
            most = most.max(began.elapsed());
            assert_eq!(written.unwrap().rows_affected(), 1, "{write}");
            count += 1;
            while let Ok(text) = said.try_recv() {
                attempts += usize::from(text.strip_suffix(HELD) == Some(table));
            }
        }
        assert!(!work.is_finished(), "{table} is still held");
        holder.execute("commit").await.unwrap();
        holder.close().await.ok();
        longest.insert(format!("{table}, {count} writes during {attempts} attempts"), most);
        least = ATTEMPTS.1;
    }
    work.await.unwrap().unwrap();
    writer.close().await.ok();
    longest
}

fn touch(table: &str, id: Uuid) -> String {
    format!("update {table} set id = id where id = '{id}'")
}

/// What the database's catalogues hold: all but what is counted and estimated there, and the mark of a table
/// that it has had triggers, which stays until the next vacuum.
async fn catalogues(db: &TestDb) -> BTreeSet<String> {
    const CATALOGUES: &str = "
        select string_agg(
            format('select %L || (to_jsonb(c)
                        - array[''relpages'', ''reltuples'', ''relallvisible'', ''relfrozenxid'',
                                ''relminmxid'', ''relhastriggers''])::text
                    from pg_catalog.%I as c %s',
                relname || ' ', relname,
                case when relisshared then 'where dbid = (
                    select oid from pg_database where datname = current_database())' end),
            ' union all ')
        from pg_class
        where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'
          and (not relisshared or relname in ('pg_shdepend'))
          and relname !~ '^pg_statistic(_ext_data)?$'";
    let all: String = db.one(CATALOGUES).await;
    let rows: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&db.pool).await.unwrap();
    rows.into_iter().collect()
}

#[tokio::test]
async fn no_write_of_the_application_waits_behind_an_installation_that_waits() {
    with_application(|db, _| async move {
        db.run(COLLECTION).await;
        let installing = |mut node: PgConnection| {
            let (tell, said) = unbounded_channel();
            let task = tokio::spawn(async move {
                let source = Source::built_in("moc-instructions").unwrap();
                let mut tell = |text| tell.send(text).unwrap_or_default();
                install(&mut node, &source, &mut tell).await.map(drop)
            });
            (task, said)
        };
        println!("longest writes during install: {:#?}", held_and_written(&db, installing).await);
        let uninstalling = |mut node: PgConnection| {
            let (tell, said) = unbounded_channel();
            let task = tokio::spawn(async move {
                let mut tell = |text| tell.send(text).unwrap_or_default();
                uninstall(&mut node, &mut tell).await
            });
            (task, said)
        };
        println!(
            "longest writes during uninstall: {:#?}",
            held_and_written(&db, uninstalling).await
        );
    })
    .await;
}

#[tokio::test]
async fn an_uninstallation_leaves_every_catalogue_as_it_was() {
    with_application(|db, _| async move {
        db.run(OBJECTS).await;
        let before = catalogues(&db).await;
        let source = Source::built_in("moc-instructions").unwrap();
        let mut node = db.node().await;
        for _ in 0..2 {
            install(&mut node, &source, &mut |_| {}).await.unwrap();
        }
        assert!(catalogues(&db).await.len() > before.len());
        db.run("insert into public.wishlist_items (user_id) values ('ada')").await;
        db.run("update public.moc_instructions set title = 'x'; delete from public.sets").await;
        db.settle_source(&source).await;
        uninstall(&mut node, &mut |_| {}).await.unwrap();
        node.close().await.ok();
        let after = catalogues(&db).await;
        assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new(), "more");
        assert_eq!(before.difference(&after).collect::<Vec<_>>(), Vec::<&String>::new(), "less");
    })
    .await;
}
