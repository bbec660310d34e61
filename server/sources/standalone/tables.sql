-- A collection, for those who have no tables of their own (D-DM-1, D-DM-4). Written to by anyone with the
-- rights; the dashboard only reads.

create schema if not exists collection;

create type collection.build_status as enum ('ADDED', 'IN_PROGRESS', 'BUILT');

create table collection.mocs (
    id uuid primary key default gen_random_uuid(),
    user_id text not null check (octet_length(user_id) between 1 and 255),
    title text not null check (char_length(title) between 1 and 200),
    theme text not null check (char_length(theme) between 1 and 200),
    build_status collection.build_status not null default 'ADDED',
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

create index mocs_by_user on collection.mocs (user_id);

-- What a MOC is built of.
create table collection.moc_parts (
    moc_id uuid not null references collection.mocs on delete cascade,
    part_num text not null,
    color_id integer not null,
    quantity integer not null check (quantity > 0),
    primary key (moc_id, part_num, color_id)
);

-- What a user has, and has ordered.
create table collection.inventory (
    user_id text not null check (octet_length(user_id) between 1 and 255),
    part_num text not null,
    color_id integer not null,
    owned_quantity integer not null default 0 check (owned_quantity >= 0),
    ordered_quantity integer not null default 0 check (ordered_quantity >= 0),
    primary key (user_id, part_num, color_id)
);

create table collection.sets (
    id uuid primary key default gen_random_uuid(),
    user_id text not null check (octet_length(user_id) between 1 and 255),
    title text not null,
    theme text not null check (char_length(theme) between 1 and 200),
    created_at timestamptz not null default now()
);

create table collection.wishlist_items (
    id uuid primary key default gen_random_uuid(),
    user_id text not null check (octet_length(user_id) between 1 and 255),
    title text not null,
    created_at timestamptz not null default now()
);
