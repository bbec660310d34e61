-- The change log: what the triggers write, what every server node reads, and what revisions count.
--
-- Everything lives in the schema `dashboard`; `drop schema dashboard cascade` removes it all.

-- One row about this installation.
create table dashboard.meta (
    only_row boolean primary key default true check (only_row),
    -- Names one life of the change log. Revisions of different epochs cannot be compared.
    epoch text not null,
    -- Change rows visible in this snapshot have been folded into `revisions` and are gone.
    folded pg_snapshot not null
);

insert into dashboard.meta (epoch, folded)
values (left(replace(gen_random_uuid()::text, '-', ''), 16), pg_current_snapshot());

-- At most one row per user and statement. `sections` is a bit mask of what the statement changed:
-- 1 summary, 2 theme breakdown, 4 recent list, 8 partial-parts table.
create table dashboard.changes (
    id bigint generated always as identity primary key,
    user_id text not null,
    sections smallint not null check (sections between 1 and 15),
    -- Set when the statement did nothing for this user but insert this one MOC.
    added_moc uuid,
    -- The writing transaction: what tells a server node whether it has seen the row yet.
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp()
);

-- A revision counts one user's rows; a cursor asks for rows of recent transactions.
create index changes_by_user on dashboard.changes (user_id, xid);
create index changes_by_xid on dashboard.changes (xid);

-- Rows come and go all day: the free space has to be found again soon.
alter table dashboard.changes set (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);

-- A user's revision is `base` plus the number of the user's rows in `changes`.
create table dashboard.revisions (
    user_id text primary key,
    base bigint not null check (base > 0)
);

-- Snapshots that compaction took. Rows are folded only once a snapshot that sees them is old
-- enough for every node to have read them.
create table dashboard.compactions (
    taken_at timestamptz primary key default clock_timestamp(),
    snapshot pg_snapshot not null
);

-- The epoch that clients see. A database that is restored or failed over may have lost changes
-- that clients have seen, and then counts on from a lower number; the stored name comes back with
-- the backup. So two things are added that do not: the identity of the table, which a restored dump
-- makes anew, and the timeline, which a promoted standby and a recovery to a point in time begin.
create function dashboard.epoch() returns text
language sql stable as $$
    select epoch
        || '_' || to_hex('dashboard.changes'::regclass::oid::bigint)
        || '_' || ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0')
    from dashboard.meta
$$;
