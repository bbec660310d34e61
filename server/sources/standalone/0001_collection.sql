-- The standalone source: the collection itself in tables of `dashboard` (D-DM-1 to D-DM-4).
--
-- On a host database views of the same names take the place of these tables.

create type dashboard.build_status as enum ('ADDED', 'IN_PROGRESS', 'BUILT');
create type dashboard.coverage_status as enum ('FULL_INVENTORY', 'PARTIAL_ORDERED', 'NONE');

create table dashboard.mocs (
    id uuid primary key default gen_random_uuid(),
    user_id text not null check (user_id <> ''),
    title text not null check (char_length(title) between 1 and 200),
    theme text not null check (char_length(theme) between 1 and 200),
    build_status dashboard.build_status not null default 'ADDED',
    -- The contract's rule for pictures: an absolute http(s) URL without blanks.
    cover_image_url text check (
        octet_length(cover_image_url) <= 2048
        and cover_image_url ~ '^https?://[^/[:space:][:cntrl:]][^[:space:][:cntrl:]]*$'
    ),
    created_at timestamptz not null default now()
        check (created_at between '1900-01-01Z' and '9999-12-31Z'),
    updated_at timestamptz not null default now()
        check (updated_at between '1900-01-01Z' and '9999-12-31Z')
);

-- The recent list in order, and the counts without a visit to the table.
create index mocs_recent on dashboard.mocs (user_id, created_at desc, id desc)
    include (build_status, theme);

-- How far a MOC's parts are there, kept by triggers (0003_coverage.sql): a row for each MOC that has
-- parts. A MOC without a row has none, and its coverage is NONE.
--
-- A table of its own, so that counting never locks what an application writes. For the same reason
-- it has no foreign key: the check of one locks the row in `mocs`.
create table dashboard.moc_coverage (
    moc_id uuid primary key,
    -- The owner, as in `mocs`.
    user_id text not null,
    covered_parts_count integer not null check (covered_parts_count >= 0),
    total_parts_count integer not null check (total_parts_count > 0),
    -- Rounded down, but a MOC that is partly covered never reads as 0 or 100.
    coverage_percentage integer not null generated always as (
        case
            when covered_parts_count = 0 then 0
            when covered_parts_count >= total_parts_count then 100
            else greatest(1, covered_parts_count::bigint * 100 / total_parts_count)::integer
        end
    ) stored,
    parts_coverage_status dashboard.coverage_status not null generated always as (
        case
            when covered_parts_count = 0 then 'NONE'::dashboard.coverage_status
            when covered_parts_count >= total_parts_count
                then 'FULL_INVENTORY'::dashboard.coverage_status
            else 'PARTIAL_ORDERED'::dashboard.coverage_status
        end
    ) stored,
    -- When the counts last changed.
    updated_at timestamptz not null default now()
        check (updated_at between '1900-01-01Z' and '9999-12-31Z')
);

create index moc_coverage_by_user on dashboard.moc_coverage (user_id, moc_id)
    include (parts_coverage_status);
create index moc_coverage_partial on dashboard.moc_coverage (user_id, moc_id)
    where parts_coverage_status = 'PARTIAL_ORDERED';

-- For people and programs that look: MOCs with their coverage.
create view dashboard.moc_details as
    select m.id, m.user_id, m.title, m.theme, m.build_status, m.cover_image_url,
           coalesce(c.covered_parts_count, 0) as covered_parts_count,
           coalesce(c.total_parts_count, 0) as total_parts_count,
           coalesce(c.coverage_percentage, 0) as coverage_percentage,
           coalesce(c.parts_coverage_status, 'NONE') as parts_coverage_status,
           m.created_at,
           greatest(m.updated_at, c.updated_at) as updated_at
    from dashboard.mocs as m
    left join dashboard.moc_coverage as c on c.moc_id = m.id and c.user_id = m.user_id;

create table dashboard.moc_parts (
    moc_id uuid not null references dashboard.mocs (id) on delete cascade,
    part_num text not null,
    color_id integer not null,
    quantity integer not null check (quantity > 0),
    primary key (moc_id, part_num, color_id)
);

create index moc_parts_by_part on dashboard.moc_parts (part_num, color_id) include (moc_id);

create table dashboard.inventory (
    user_id text not null check (user_id <> ''),
    part_num text not null,
    color_id integer not null,
    owned_quantity integer not null default 0 check (owned_quantity >= 0),
    ordered_quantity integer not null default 0 check (ordered_quantity >= 0),
    primary key (user_id, part_num, color_id)
);

create table dashboard.sets (
    id uuid primary key default gen_random_uuid(),
    user_id text not null check (user_id <> ''),
    title text not null,
    theme text not null check (char_length(theme) between 1 and 200),
    created_at timestamptz not null default now()
);

create index sets_by_theme on dashboard.sets (user_id, theme);

create table dashboard.wishlist_items (
    id uuid primary key default gen_random_uuid(),
    user_id text not null check (user_id <> ''),
    title text not null,
    created_at timestamptz not null default now()
);

create index wishlist_items_by_user on dashboard.wishlist_items (user_id);
