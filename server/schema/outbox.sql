-- From the application's writes to work for the projector.
--
-- Triggers on the application's tables note which keys were touched (`outbox`). They judge nothing, and
-- nothing in them can fail. Whichever server holds the turn reads the notes, looks the rows up and
-- projects them (read_model.sql). What it cannot do at once waits in `pending`.
--
-- All of it can be rebuilt from the application's tables.

-- What triggers listen to: a table and the columns whose values they note. Numbers are never used again,
-- so a note says for good what it is about.
create table dashboard.watches (
    number smallint generated always as identity primary key,
    -- The table as the source names it: schema and name.
    table_name text not null,
    key_columns text[] not null check (cardinality(key_columns) between 1 and 8),
    unique (table_name, key_columns)
);

create table dashboard.outbox (
    -- The writing transaction: what tells a reader whether it has seen the note yet.
    xid xid8 not null default pg_current_xact_id(),
    id bigint generated always as identity (cache 100),
    watch smallint not null,
    -- How many keys there are; none where the trigger could not tell which rows were touched, so that
    -- it may have been any.
    size integer,
    -- The key columns' values as text: those of the first row, those of the next, and so on.
    keys text[],
    primary key (xid, id)
);

-- Notes come and go all day, so the free space has to be found again soon. Cutting the file short would
-- need a lock that writers wait for.
alter table dashboard.outbox set (autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);

-- Work that is known and not done.
create table dashboard.pending (
    id bigint generated always as identity primary key,
    -- Keys either as noted, of a watch, or as the keys of a feed's rows. No keys of a watch: any row.
    watch smallint,
    feed smallint,
    keys text[] not null,
    -- Small work goes first.
    is_bulk boolean not null,
    -- Transactions with much work take turns.
    xid xid8 not null default pg_current_xact_id(),
    since timestamptz not null default clock_timestamp(),
    -- Failed together with other work, and is to be tried by itself.
    is_alone boolean not null default false,
    -- Something else is in the way until then, and what that is.
    not_before timestamptz not null default '-infinity',
    error text,
    check (num_nonnulls(watch, feed) = 1)
);

create index pending_small on dashboard.pending (id) where not is_bulk;
create index pending_bulk on dashboard.pending (xid, id) where is_bulk;

alter table dashboard.pending set (autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);

-- Rows that cannot be projected. Each is tried again, less and less often.
create table dashboard.failed (
    feed smallint not null,
    key text collate "C" not null,
    failures integer not null,
    not_before timestamptz not null,
    error text not null,
    since timestamptz not null default clock_timestamp(),
    primary key (feed, key)
);

create index failed_due on dashboard.failed (not_before);

-- Feeds whose rows are all to be looked at again, page by page.
create table dashboard.sweeps (
    feed smallint primary key,
    -- First the keys of the application's table, then those of the read model: rows that are gone.
    is_at_model boolean not null default false,
    -- The last key that was looked at.
    after text,
    -- Asked for once more since it began.
    again boolean not null default false,
    since timestamptz not null default clock_timestamp(),
    not_before timestamptz not null default '-infinity',
    error text
);

-- The turn: one row, locked by the server that projects. An advisory lock could be held by any role.
create table dashboard.turn (
    only_row boolean primary key default true check (only_row),
    -- Bulk work rests, at whichever server: since when, and for how long.
    rests_since timestamptz not null default '-infinity',
    rest interval not null default '0'
);

insert into dashboard.turn default values;
