//! Lists the migrations, with what the application writes afterwards and what its user is to see then.

use super::Cure::{Adapted, Installed, PutBack};
use super::Outcome::{Right, Stale};
use super::{Edit, Migration};

/// What ada has before each migration.
pub(crate) const COLLECTION: &str = "
    insert into public.moc_instructions (user_id, title, type, tags, theme, created_at)
    select name, title, 'moc', tags::jsonb, theme, created_at::timestamp
    from unnest(array['ada', 'bob']) as users (name),
         (values ('Castle', '[\"fort\"]', null, '2026-01-02 03:04'),
                 ('Ruin', '[]', 'City', '2026-01-01 01:02')) as mocs (title, tags, theme, created_at);
    insert into public.moc_parts_lists (moc_id, title)
    select id, user_id from public.moc_instructions where title = 'Castle';
    insert into public.moc_parts (parts_list_id, part_id, color, quantity)
    select id, part, title, 10 from public.moc_parts_lists, unnest(array['3001', '3003']) as part;
    insert into public.parts_inventory (user_id, part_number, color, quantity)
    select name, part, name, 4 from unnest(array['ada', 'bob']) as name,
                                    unnest(array['3001', '3004']) as part;
    insert into public.sets (user_id, status, theme, title)
    select name, status, 'City', title
    from unnest(array['ada', 'bob']) as name,
         (values ('owned', 'Kept'), ('owned', 'Sold'), ('wanted', 'Missed')) as s (status, title);
    insert into public.wishlist_items (user_id, title)
    values ('ada', 'A wish'), ('ada', 'Granted'), ('bob', 'A wish'), ('carl', 'Given');
    insert into public.tag_theme_mappings (tag, theme) values ('fort', 'Castle'), ('bob', 'Town')";
pub(super) const BEFORE: &str =
    "Castle ADDED 03:04, Ruin ADDED 01:02 | 3 wishes | Castle 1+0, City 1+2 | 20 %";

/// What others write all the while: each to a table, in words that are right before and after.
pub(super) const STREAM: [(&str, &str); 7] = [
    (
        "moc_instructions",
        "insert into public.moc_instructions (user_id, title, type) values ('bob', 'Castle', 'moc')
         on conflict (user_id, title) do update set updated_at = now()",
    ),
    (
        "moc_parts_lists",
        "update public.moc_parts_lists set purchased = not purchased where title = 'bob'",
    ),
    ("moc_parts", "update public.moc_parts set quantity = quantity + 1 where color = 'bob'"),
    (
        "parts_inventory",
        "update public.parts_inventory set quantity = quantity + 1 where user_id = 'bob'",
    ),
    (
        "sets",
        "update public.sets set status = case status when 'owned' then 'wanted' else 'owned' end
         where user_id = 'bob'",
    ),
    ("wishlist_items", "update public.wishlist_items set updated_at = now() where user_id = 'bob'"),
    (
        "tag_theme_mappings",
        "insert into public.tag_theme_mappings (tag, theme) values ('bob', 'Town')
         on conflict (tag, theme) do update set tag = excluded.tag",
    ),
];

/// To MOCs, as they are written before and after most migrations.
const MOCS: &[&str] = &[
    "insert into public.moc_instructions (user_id, title, type, theme, created_at, build_status)
     values ('ada', 'Tower', 'moc', 'Space', '2026-01-03 05:06Z', 'complete')
     on conflict (user_id, title) do update set theme = excluded.theme",
    "update public.moc_instructions set theme = 'City', build_status = 'building'
     where user_id = 'ada' and title = 'Castle'",
    "delete from public.moc_instructions where user_id = 'ada' and title = 'Ruin'",
];
const MOCS_SEEN: &str =
    "Tower BUILT 05:06, Castle IN_PROGRESS 03:04 | 3 wishes | City 1+2, Space 1+0 | 20 %";

const PARTS: &[&str] = &[
    "insert into public.moc_parts (id, parts_list_id, part_id, color, quantity)
     select '30000000-0000-4000-8000-000000000000', id, '3002', 'ada', 5
     from public.moc_parts_lists where title = 'ada'
     on conflict (id) do update set quantity = excluded.quantity",
    "update public.moc_parts set quantity = 30 where color = 'ada' and part_id = '3002'",
    "delete from public.moc_parts where color = 'ada' and part_id = '3003'",
];
const PARTS_SEEN: &str =
    "Castle ADDED 03:04, Ruin ADDED 01:02 | 3 wishes | Castle 1+0, City 1+2 | 10 %";

const SETS: &[&str] = &[
    "insert into public.sets (id, user_id, status)
     values ('50000000-0000-4000-8000-000000000000', 'ada', 'owned')
     on conflict (id) do update set status = excluded.status",
    "update public.sets set status = 'owned' where user_id = 'ada' and status = 'wanted'",
    "delete from public.sets where user_id = 'ada' and title = 'Sold'",
];
const SETS_SEEN: &str = "Castle ADDED 03:04, Ruin ADDED 01:02 | 2 wishes \
                         | Castle 1+0, City 1+2, Uncategorized 0+1 | 20 %";

const WISHES: &[&str] = &[
    "insert into public.wishlist_items (id, user_id)
     values ('60000000-0000-4000-8000-000000000000', 'ada')
     on conflict (id) do update set title = excluded.title",
    "update public.wishlist_items set user_id = 'ada' where user_id = 'carl'",
    "delete from public.wishlist_items where title = 'Granted'",
];
const WISHES_SEEN: &str =
    "Castle ADDED 03:04, Ruin ADDED 01:02 | 4 wishes | Castle 1+0, City 1+2 | 20 %";

const TAGS_SEEN: &str =
    "Castle ADDED 03:04, Ruin ADDED 01:02 | 3 wishes | Bastion 1+0, City 1+2 | 20 %";

const fn edit(file: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit { file, from, to }
}

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "add a column",
        ddl: &["alter table public.moc_instructions add column instructions_url text"],
        writes: &[
            "insert into public.moc_instructions
                 (user_id, title, type, theme, created_at, build_status, instructions_url)
             values ('ada', 'Tower', 'moc', 'Space', '2026-01-03 05:06Z', 'complete', 'here')
             on conflict (user_id, title) do update set instructions_url = excluded.instructions_url",
            "update public.moc_instructions
             set theme = 'City', build_status = 'building', instructions_url = 'there'
             where user_id = 'ada' and title = 'Castle'",
            "delete from public.moc_instructions where user_id = 'ada' and title = 'Ruin'",
        ],
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "add a column with a default that rewrites the table",
        ddl: &["alter table public.moc_parts
                add column tracking_id uuid not null default gen_random_uuid()"],
        writes: PARTS,
        seen: PARTS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "drop a column that is not read",
        ddl: &["alter table public.moc_instructions drop column description"],
        writes: MOCS,
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "drop sets.theme (announced)",
        ddl: &["alter table public.sets drop column theme"],
        writes: SETS,
        seen: "Castle ADDED 03:04, Ruin ADDED 01:02 | 2 wishes \
               | Castle 1+0, City 1+0, Uncategorized 0+3 | 20 %",
        outcome: Stale {
            names: "theme",
            cure: Adapted(&[edit("sets.sql", "user_id, theme", "user_id, null as theme")]),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "rename a column that is read, and back",
        ddl: &["alter table public.moc_instructions rename column build_status to status"],
        writes: &[
            "insert into public.moc_instructions (user_id, title, type, theme, created_at, status)
             values ('ada', 'Tower', 'moc', 'Space', '2026-01-03 05:06Z', 'complete')
             on conflict (user_id, title) do update set status = excluded.status",
            "update public.moc_instructions set theme = 'City', status = 'building'
             where user_id = 'ada' and title = 'Castle'",
            "delete from public.moc_instructions where user_id = 'ada' and title = 'Ruin'",
        ],
        seen: MOCS_SEEN,
        outcome: Stale {
            names: "build_status",
            cure: PutBack("alter table public.moc_instructions rename column status to build_status"),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "rename a column that triggers name",
        ddl: &["alter table public.parts_inventory rename column part_number to part"],
        writes: &[
            "insert into public.parts_inventory (id, user_id, part, color, quantity)
             values ('40000000-0000-4000-8000-000000000000', 'ada', '3003', 'ada', 6)
             on conflict (id) do update set quantity = excluded.quantity",
            "update public.parts_inventory set quantity = 10 where user_id = 'ada' and part = '3001'",
            "delete from public.parts_inventory where user_id = 'ada' and part = '3004'",
        ],
        seen: "Castle ADDED 03:04, Ruin ADDED 01:02 | 3 wishes | Castle 1+0, City 1+2 | 80 %",
        outcome: Stale {
            names: "part_number",
            cure: Adapted(&[
                edit("source.toml", "\"user_id\", \"part_number\"", "\"user_id\", \"part\""),
                edit("mocs.sql", "lot.part_number", "lot.part"),
            ]),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "retype text to varchar(200)",
        ddl: &["alter table public.moc_instructions alter column title type varchar(200)"],
        writes: MOCS,
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "retype integer to bigint",
        ddl: &["alter table public.moc_parts alter column quantity type bigint"],
        writes: PARTS,
        seen: PARTS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "retype timestamp to timestamptz",
        ddl: &["alter table public.moc_instructions
                alter column created_at type timestamptz using created_at at time zone 'UTC',
                alter column updated_at type timestamptz using updated_at at time zone 'UTC'"],
        writes: MOCS,
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "retype a key from uuid to text",
        ddl: &[
            "alter table public.wishlist_items alter column id drop default",
            "alter table public.wishlist_items alter column id type text using id::text",
            "alter table public.wishlist_items alter column id set default gen_random_uuid()::text",
        ],
        writes: WISHES,
        seen: WISHES_SEEN,
        outcome: Stale {
            names: "old_wishlist.sql: operator does not exist: text = uuid",
            cure: Adapted(&[
                edit("old_wishlist.sql", "$1::uuid[]", "$1::text[]"),
                edit("old_wishlist.sql", "bought.id = wish.id", "bought.id::text = wish.id"),
            ]),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "rename tag_theme_mappings (announced)",
        ddl: &["alter table public.tag_theme_mappings rename to theme_mappings"],
        ends: Some("tag_theme_mappings"),
        writes: &[
            "insert into public.theme_mappings (tag, theme) values ('fort', 'Antique')
             on conflict (tag, theme) do update set theme = excluded.theme",
            "update public.theme_mappings set theme = 'Bastion'
             where tag = 'fort' and theme = 'Castle'",
            "delete from public.theme_mappings where theme = 'Antique'",
        ],
        seen: TAGS_SEEN,
        outcome: Stale {
            names: "public.tag_theme_mappings",
            cure: Adapted(&[
                edit("source.toml", "public.tag_theme_mappings", "public.theme_mappings"),
                edit("mocs.sql", "public.tag_theme_mappings", "public.theme_mappings"),
            ]),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "drop wishlist_items (announced)",
        ddl: &["drop table public.wishlist_items"],
        ends: Some("wishlist_items"),
        writes: SETS,
        seen: "Castle ADDED 03:04, Ruin ADDED 01:02 | 0 wishes \
               | Castle 1+0, City 1+2, Uncategorized 0+1 | 20 %",
        outcome: Stale {
            names: "public.wishlist_items",
            cure: Adapted(&[edit(
                "source.toml",
                "[old_wishlist]\nkind = \"wishlist\"\ntable = \"public.wishlist_items\"\nkey = \"id\"\n\n\
                 [[old_wishlist.watch]]\ntable = \"public.sets\"\nkey = \"id\"\n",
                "",
            )]),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "drop a table with cascade, and create it anew",
        ddl: &[
            "lock table public.sets",
            "create table public.sets_kept as select * from public.sets",
            "drop table public.sets cascade",
            "create table public.sets (
                 id uuid primary key default gen_random_uuid(), user_id text not null,
                 status text not null default 'wanted', title text not null default 'A set',
                 theme text, quantity integer not null default 1, sort_order integer,
                 created_at timestamp not null default now(),
                 updated_at timestamp not null default now()
             )",
            "create index sets_status on public.sets (user_id, status)",
            "insert into public.sets select * from public.sets_kept",
            "drop table public.sets_kept",
        ],
        writes: SETS,
        seen: SETS_SEEN,
        outcome: Stale { names: "public.sets lacks the trigger", cure: Installed },
        ..Migration::PLAIN
    },
    Migration {
        name: "put a partitioned table in place of a table",
        ddl: &[
            "lock table public.moc_parts",
            "create table public.moc_parts_new (
                 like public.moc_parts including defaults, primary key (id, parts_list_id),
                 foreign key (parts_list_id) references public.moc_parts_lists on delete cascade
             ) partition by hash (parts_list_id)",
            "create table public.moc_parts_0 partition of public.moc_parts_new
                 for values with (modulus 2, remainder 0)",
            "create table public.moc_parts_1 partition of public.moc_parts_new
                 for values with (modulus 2, remainder 1)",
            "insert into public.moc_parts_new select * from public.moc_parts",
            "drop table public.moc_parts",
            "alter table public.moc_parts_new rename to moc_parts",
            "create index moc_parts_list on public.moc_parts (parts_list_id)",
            "create index moc_parts_part on public.moc_parts (part_id)",
        ],
        writes: &[
            "insert into public.moc_parts (id, parts_list_id, part_id, color, quantity)
             select '30000000-0000-4000-8000-000000000000', id, '3002', 'ada', 5
             from public.moc_parts_lists where title = 'ada'
             on conflict (id, parts_list_id) do update set quantity = excluded.quantity",
            PARTS[1],
            PARTS[2],
        ],
        seen: PARTS_SEEN,
        outcome: Stale { names: "public.moc_parts lacks the trigger", cure: Installed },
        ..Migration::PLAIN
    },
    Migration {
        name: "create an index concurrently, and drop another",
        ddl: &[
            "create index concurrently moc_instructions_theme
             on public.moc_instructions (user_id, theme)",
            "drop index public.moc_instructions_created",
            "drop index concurrently public.moc_instructions_status",
        ],
        is_one_transaction: false,
        writes: MOCS,
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "add and drop constraints of several tables",
        ddl: &[
            "alter table public.sets add constraint sets_quantity check (quantity > 0)",
            "alter table public.parts_inventory
             add constraint parts_inventory_lot unique (user_id, part_number, color)",
            "alter table public.moc_parts drop constraint moc_parts_parts_list_id_fkey",
            "alter table public.moc_parts add constraint moc_parts_list_fk
             foreign key (parts_list_id) references public.moc_parts_lists on delete cascade not valid",
            "alter table public.moc_parts validate constraint moc_parts_list_fk",
        ],
        writes: PARTS,
        seen: PARTS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "fill a column in, and set it not null",
        ddl: &[
            "update public.sets set theme = 'Other' where theme is null",
            "alter table public.sets alter column theme set default 'Other'",
            "alter table public.sets alter column theme set not null",
        ],
        writes: SETS,
        seen: "Castle ADDED 03:04, Ruin ADDED 01:02 | 2 wishes \
               | Castle 1+0, City 1+2, Other 0+1 | 20 %",
        ..Migration::PLAIN
    },
    Migration {
        name: "put an enum in place of text",
        ddl: &[
            "create type public.build_status as enum
                 ('instructions_added', 'building', 'complete', 'parted_out')",
            "alter table public.moc_instructions alter column build_status drop default",
            "alter table public.moc_instructions alter column build_status type public.build_status
             using build_status::public.build_status",
            "alter table public.moc_instructions
             alter column build_status set default 'instructions_added'",
        ],
        writes: MOCS,
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "move a table to another schema, and back",
        ddl: &[
            "create schema catalogue",
            "alter table public.tag_theme_mappings set schema catalogue",
        ],
        ends: Some("tag_theme_mappings"),
        writes: &[
            "insert into catalogue.tag_theme_mappings (tag, theme) values ('fort', 'Antique')
             on conflict (tag, theme) do update set theme = excluded.theme",
            "update catalogue.tag_theme_mappings set theme = 'Bastion'
             where tag = 'fort' and theme = 'Castle'",
            "delete from catalogue.tag_theme_mappings where theme = 'Antique'",
        ],
        seen: TAGS_SEEN,
        outcome: Stale {
            names: "public.tag_theme_mappings",
            cure: PutBack("alter table catalogue.tag_theme_mappings set schema public"),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "rename a table, with a view in its place",
        ddl: &[
            "alter table public.tag_theme_mappings rename to theme_mappings",
            "create view public.tag_theme_mappings as select * from public.theme_mappings",
        ],
        writes: &[
            "insert into public.tag_theme_mappings (tag, theme) values ('fort', 'Antique')
             on conflict (tag, theme) do update set theme = excluded.theme",
            "update public.theme_mappings set theme = 'Bastion'
             where tag = 'fort' and theme = 'Castle'",
            "delete from public.tag_theme_mappings where theme = 'Antique'",
        ],
        seen: TAGS_SEEN,
        outcome: Stale {
            names: "public.tag_theme_mappings is not a table",
            cure: PutBack(
                "drop view public.tag_theme_mappings;
                 alter table public.theme_mappings rename to tag_theme_mappings",
            ),
        },
        ..Migration::PLAIN
    },
    Migration {
        name: "rewrite tables: vacuum full, cluster",
        ddl: &[
            "vacuum full public.moc_instructions",
            "cluster public.moc_parts using moc_parts_pkey",
            "vacuum (full, analyze) public.sets",
        ],
        is_one_transaction: false,
        writes: MOCS,
        seen: MOCS_SEEN,
        ..Migration::PLAIN
    },
    Migration {
        name: "row-level security on a table",
        ddl: &[
            "alter table public.wishlist_items enable row level security",
            "create policy own on public.wishlist_items
             using (user_id = current_setting('application.user', true))",
        ],
        has_role: true,
        writes: WISHES,
        seen: WISHES_SEEN,
        outcome: Stale {
            names: "row-level security policy for table \"wishlist_items\"",
            cure: PutBack("alter table public.wishlist_items disable row level security"),
        },
        ..Migration::PLAIN
    },
];

impl Migration {
    /// In one transaction, and no one has to do anything about it.
    const PLAIN: Self = Self {
        name: "",
        ddl: &[],
        is_one_transaction: true,
        has_role: false,
        ends: None,
        writes: &[],
        seen: "",
        outcome: Right,
    };
}
