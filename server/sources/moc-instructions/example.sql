-- The tables that this source reads, as far as it reads them, for tests and measurements: as an application
-- has them that lets its two importers write whatever they find.

create table public.moc_instructions (
    id uuid primary key default gen_random_uuid(),
    user_id text not null,
    title text not null,
    description text,
    type text not null,
    author text,
    slug text,
    theme text,
    tags jsonb,
    thumbnail_url text,
    build_status text not null default 'instructions_added',
    want_to_build boolean default false,
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);
create unique index moc_instructions_title on public.moc_instructions (user_id, title);
create unique index moc_instructions_slug on public.moc_instructions (user_id, slug);
create index moc_instructions_created on public.moc_instructions (user_id, created_at);
create index moc_instructions_status on public.moc_instructions (build_status);

create table public.moc_parts_lists (
    id uuid primary key default gen_random_uuid(),
    moc_id uuid not null references public.moc_instructions on delete cascade,
    title text not null default 'Parts',
    purchased boolean default false,
    total_parts_count text,
    acquired_parts_count text default '0',
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);
create index moc_parts_lists_moc on public.moc_parts_lists (moc_id);

create table public.moc_parts (
    id uuid primary key default gen_random_uuid(),
    parts_list_id uuid not null references public.moc_parts_lists on delete cascade,
    part_id text not null,
    part_name text not null default '',
    color text not null,
    quantity integer not null,
    created_at timestamp not null default now()
);
create index moc_parts_list on public.moc_parts (parts_list_id);
create index moc_parts_part on public.moc_parts (part_id);

create table public.parts_inventory (
    id uuid primary key default gen_random_uuid(),
    user_id text not null,
    part_number text not null,
    color text not null,
    quantity integer not null default 0,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
create index parts_inventory_user on public.parts_inventory (user_id);
create index parts_inventory_part on public.parts_inventory (part_number, color);

create table public.sets (
    id uuid primary key default gen_random_uuid(),
    user_id text not null,
    status text not null default 'wanted',
    title text not null default 'A set',
    theme text,
    quantity integer not null default 1,
    sort_order integer,
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);
create index sets_status on public.sets (user_id, status);

create table public.wishlist_items (
    id uuid primary key default gen_random_uuid(),
    user_id text not null,
    title text not null default 'A wish',
    sort_order text not null default 'a0',
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);
create index wishlist_items_order on public.wishlist_items (user_id, sort_order);

create table public.tag_theme_mappings (
    id uuid primary key default gen_random_uuid(),
    tag text not null,
    theme text not null,
    unique (tag, theme)
);
