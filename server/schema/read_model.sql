-- What dashboards are read from: the application's rows, as the source maps them.
--
-- Only the holder of the turn writes here. Text is compared byte by byte: nothing is sorted for people.

-- Where rows come from: a query of the source.
create table dashboard.feeds (
    number smallint generated always as identity primary key,
    name text not null unique,
    kind text not null check (kind in ('fact', 'mocs', 'sets', 'wishlist')),
    -- Its rows have been looked at, or are about to be.
    is_projected boolean not null default false
);

create type dashboard.build_status as enum ('ADDED', 'IN_PROGRESS', 'BUILT');
create type dashboard.coverage_status as enum ('FULL_INVENTORY', 'PARTIAL_ORDERED', 'NONE');

-- In each table: a row without an owner is one that the rules leave out, kept for `oddities` to say so. The
-- key comes first in the index: a plan that was made while a feed was small would else read all of it.
create table dashboard.mocs (
    feed smallint not null,
    -- The application's own key.
    key text collate "C" not null,
    -- The same for clients: a UUID.
    id uuid not null,
    user_id text collate "C",
    title text not null,
    theme text collate "C" not null,
    build_status dashboard.build_status not null,
    cover_image_url text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    covered_parts integer not null,
    total_parts integer not null,
    coverage_percentage integer not null,
    coverage_status dashboard.coverage_status not null,
    oddities integer not null,
    primary key (key, feed)
);

-- The recent list in order, and the counts without a visit to the table.
create index mocs_recent on dashboard.mocs (user_id, created_at desc, id desc)
    include (build_status, coverage_status, theme);
-- No column that changes often: an update that touches no index is cheap.
create index mocs_partial on dashboard.mocs (user_id) where coverage_status = 'PARTIAL_ORDERED';
create index mocs_odd on dashboard.mocs (feed, key) where oddities <> 0;

create table dashboard.sets (
    feed smallint not null,
    key text collate "C" not null,
    user_id text collate "C",
    theme text collate "C" not null,
    oddities integer not null,
    primary key (key, feed)
);

create index sets_by_theme on dashboard.sets (user_id, theme);
create index sets_odd on dashboard.sets (feed, key) where oddities <> 0;

create table dashboard.wishlist_items (
    feed smallint not null,
    key text collate "C" not null,
    user_id text collate "C",
    oddities integer not null,
    primary key (key, feed)
);

create index wishlist_items_by_user on dashboard.wishlist_items (user_id);
create index wishlist_items_odd on dashboard.wishlist_items (feed, key) where oddities <> 0;

-- What rows of other feeds depend on, and are made of. When a fact comes, goes or changes, its owner's rows are looked at
-- again: a query could not find them once what they depended on is gone.
create table dashboard.facts (
    feed smallint not null,
    key text collate "C" not null,
    user_id text collate "C",
    content text collate "C" not null,
    oddities integer not null,
    primary key (key, feed)
);

create index facts_by_user on dashboard.facts (feed, user_id);
create index facts_odd on dashboard.facts (feed, key) where oddities <> 0;

-- Who has to see something new. Ids are given out by the holder of the turn only, one transaction after
-- the other, so they are in the order of the commits: a cache of numbers would break that.
create table dashboard.changes (
    id bigint generated always as identity (cache 1) primary key,
    user_id text collate "C" not null,
    -- 1 summary, 2 theme breakdown, 4 recent list, 8 partial-parts table.
    sections smallint not null,
    -- MOCs that were added, where nothing else has happened to the recent list.
    added uuid[],
    -- What shows that this row is still the one that was seen under its number.
    nonce bigint not null,
    at timestamptz not null default clock_timestamp()
);

-- A user's revision is the number of the user's newest row.
create index changes_by_user on dashboard.changes (user_id, id desc);

alter table dashboard.changes set (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05,
    vacuum_truncate = off
);
