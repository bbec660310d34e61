-- Every value that the types of the application's tables allow and its screens do not expect: 10,000 MOCs, and
-- sets, wishes, parts and themes to match. What a row holds depends on its number alone, and whether it belongs to the first
-- half or to the second on its kind and number: each oddity meets each other one in either order.

create or replace function pg_temp.pick(choices anyarray, salt text) returns anyelement
    language sql immutable
    as $$ select choices[1 + abs(hashtextextended(salt, 0) % cardinality(choices))] $$;

create or replace function pg_temp.owners() returns text[] language sql immutable as $$
    select array[
        '', 'a', repeat('u', 255), repeat('u', 256), repeat('é', 127) || 'x', repeat('é', 128),
        'ada', 'Ada', ' ada', 'ada ', 'O''Brien', '"quoted"', E'back\\slash', E'new\nline', E'\t',
        E'\x01\x7f', E'\\u0000', '%_', 'null', '{a,b}', '0', '日本', '🧱', E'\u200b', E'e\u0301', 'é'
    ] || (select array_agg('user-' || n) from generate_series(1, 16) as n)
$$;

create or replace function pg_temp.titles(n integer) returns text[] language sql immutable as $$
    select array[
        'Castle ' || n, lpad(n::text, 200, 'x'), lpad(n::text, 201, 'x'), repeat('é', 200) || n,
        repeat('🧱', 201) || n, n || repeat('🧱', 150), E'\x01\x1f\x7f ' || n, E'\u0085\u2028\u202e\ufeff\uffff' || n,
        E'\\u0000 \\x00 \\0 ' || n, '"''` ' || n, E'\\" ' || n, E'line\r\nbreak\t' || n, '  ' || n || '  ',
        '</script> ' || n, E'\U0010ffff' || n, '👩‍👩‍👧 ' || n, E'\u0301' || n, repeat('long ', 60) || n
    ]
$$;

create or replace function pg_temp.themes() returns text[] language sql immutable as $$
    select array[
        null, null, null, null, '', ' ', '     ', 'City', ' City ', 'city', repeat('x', 300),
        repeat('🧱', 201), repeat(' ', 250) || 'Late', '  ' || repeat('y', 199) || '  z', E'\t', E'\nLine',
        '"', 'Uncategorized', E'\x02', E'\\u0000', 'Été'
    ]
$$;

create or replace function pg_temp.tags() returns jsonb[] language sql immutable as $$
    select array[
        null, 'null', '"castle"', '{"castle": 1}', '[]', '7', 'true', '["castle"]',
        '["CASTLE", "Red"]', '[null]', '[null, "RED"]', '[7, 1000, -0]', '[true, ["red"]]',
        '["", "  "]', '["été"]', '["unknown", "many"]', '[" castle"]', '["null"]', '["blank"]',
        '["\\u0000", "\u0001"]', '["late"]', '["red", "castle", "7"]'
    ]::jsonb[]
$$;

create or replace function pg_temp.statuses() returns text[] language sql immutable as $$
    select array[
        'instructions_added', 'instructions_added', 'building', 'building', 'building', 'complete',
        'complete', 'complete', 'parted_out', 'BUILDING', 'Building', 'COMPLETE', 'Parted_Out',
        'PARTED_OUT', ' parted_out', 'ADDED', 'IN_PROGRESS', 'BUILT', 'odd', '', ' complete', '🧱'
    ]
$$;

create or replace function pg_temp.types() returns text[] language sql immutable as $$
    select array['moc', 'moc', 'moc', 'moc', 'MOC', 'Moc', 'set', 'SET', 'Set', 'sEt', ' set', '', 'other']
$$;

create or replace function pg_temp.times(n integer) returns timestamp[] language sql immutable as $$
    select array[
        'infinity', '-infinity', '0044-03-15 BC', '4713-01-01 BC', '20000-01-01',
        '294276-12-31 23:59:59.999999', '1899-12-31 23:59:59.999999', '1900-01-01', '9999-12-31',
        '9999-12-31 00:00:00.000001', '9999-12-30 23:59:59.999999', '2026-01-02 03:04:05.678',
        '2024-02-29 12:00:00.1',
        '2026-01-01'::timestamp + n * interval '1 minute 7 milliseconds'
    ]::timestamp[]
$$;

create or replace function pg_temp.quantities() returns integer[] language sql immutable as $$
    select array[1, 1, 1, 2, 2, 3, 5, 8, 40, 0, -3, -2147483648, 2147483647]
$$;

create or replace function pg_temp.parts() returns text[] language sql immutable as $$
    select array['3001', '3001', '3001', '3001 ', '3002', '', E'\x01', '30"01', 'é', 'É']
$$;

create or replace function pg_temp.colors() returns text[] language sql immutable as $$
    select array['red', 'red', 'red', 'Red', 'RED', 'red ', '', 'grün']
$$;

-- Seldom false: after each MOC that gives its parts away, all of its owner's are looked at again.
create or replace function pg_temp.wants() returns boolean[] language sql immutable as $$
    select array[true, true, true, true, null, null, null, false]
$$;

create or replace function pg_temp.flags() returns boolean[] language sql immutable as $$
    select array[true, false, false, null]
$$;

-- Whether a row is written now: those of the first half, or all that are not there yet.
create or replace function pg_temp.is_due(kind text, n bigint) returns boolean language sql immutable as $$
    select not :is_first_half or hashtextextended(kind || n || 'half', 0) % 2 = 0
$$;

insert into public.tag_theme_mappings (id, tag, theme)
select md5('mapping' || n)::uuid, tag, theme
from (
    select tag, theme, row_number() over () as n
    from (
        values ('castle', ''), ('castle', '  '), ('castle', 'Keep'), ('Castle', ' Abbey '),
               ('CASTLE', E'\tTab'), ('red', 'zoo'), ('RED', 'Zoo'), ('red', repeat('m', 300)),
               ('7', 'Seven'), ('1000', 'Thousand'), ('TRUE', 'Yes'), ('null', 'Of the text null'),
               ('', 'Of no tag'), ('  ', 'Of blanks'), ('été', 'Été'), ('blank', ''), ('blank', '   '),
               (E'\\u0000', 'Escape'), (E'\x01', E'\x02'), ('late', repeat(' ', 250) || 'Late'),
               ('late', '🧱'), ('["red"]', 'Nested')
    ) as listed (tag, theme)
    union all
    select 'many', 'Theme ' || i, 100 + i from generate_series(1, 40) as i
) as mapping
where pg_temp.is_due('mapping', n)
on conflict do nothing;

-- An owner's titles are all different, so there is one of nothing and one of a blank for each.
insert into public.moc_instructions
    (id, user_id, title, description, type, theme, tags, thumbnail_url, build_status, want_to_build,
     created_at, updated_at)
select md5('moc' || n)::uuid,
       case when n <= 2 * cardinality(pg_temp.owners())
            then (pg_temp.owners())[1 + (n - 1) % cardinality(pg_temp.owners())]
            else pg_temp.pick(pg_temp.owners(), 'owner' || n) end,
       case when n <= cardinality(pg_temp.owners()) then ''
            when n <= 2 * cardinality(pg_temp.owners()) then ' '
            else pg_temp.pick(pg_temp.titles(n), 'title' || n) end,
       repeat(E'\\', n % 3),
       pg_temp.pick(pg_temp.types(), 'type' || n),
       pg_temp.pick(pg_temp.themes(), 'theme' || n),
       pg_temp.pick(pg_temp.tags(), 'tags' || n),
       pg_temp.pick(array[null, '', 'private/key.jpg', 'https://example.org/a.jpg'], 'thumbnail' || n),
       pg_temp.pick(pg_temp.statuses(), 'status' || n),
       pg_temp.pick(pg_temp.wants(), 'want' || n),
       pg_temp.pick(pg_temp.times(n), 'created' || n),
       pg_temp.pick(pg_temp.times(n), 'updated' || n)
from generate_series(1, 10000) as n
where pg_temp.is_due('moc', n)
on conflict (id) do nothing;

-- None for most MOCs, several for some.
insert into public.moc_parts_lists (id, moc_id, purchased, total_parts_count)
select md5('list' || n)::uuid,
       moc.id,
       pg_temp.pick(pg_temp.flags(), 'purchased' || n),
       pg_temp.pick(array[null, '', '12', '0', '000000012', '999999999', '1234567890', 'a lot', ' 7',
                          '7 ', '-5', '+5', '7.0', '1e3', '٣', E'7\n'], 'stated' || n)
from generate_series(1, 6000) as n
join public.moc_instructions as moc on moc.id = md5('moc' || 1 + abs(hashtextextended('of' || n, 0) % 10000))::uuid
where pg_temp.is_due('list', n)
on conflict (id) do nothing;

-- Several times the same part, and many lists without any.
insert into public.moc_parts (id, parts_list_id, part_id, color, quantity)
select md5('part' || n)::uuid,
       list.id,
       pg_temp.pick(pg_temp.parts(), 'part' || n),
       pg_temp.pick(pg_temp.colors(), 'color' || n),
       pg_temp.pick(pg_temp.quantities(), 'quantity' || n)
from generate_series(1, 12000) as n
join public.moc_parts_lists as list on list.id = md5('list' || 1 + abs(hashtextextended('in' || n, 0) % 6000))::uuid
where pg_temp.is_due('part', n)
on conflict (id) do nothing;

insert into public.parts_inventory (id, user_id, part_number, color, quantity)
select md5('lot' || n)::uuid,
       pg_temp.pick(pg_temp.owners(), 'has' || n),
       pg_temp.pick(pg_temp.parts(), 'lot part' || n),
       pg_temp.pick(pg_temp.colors(), 'lot color' || n),
       pg_temp.pick(array[1, 2, 3, 5, 8, 0, -1, -2147483648, 2147483647], 'lot quantity' || n)
from generate_series(1, 120) as n
where pg_temp.is_due('lot', n)
on conflict (id) do nothing;

insert into public.sets (id, user_id, status, theme)
select md5('set' || n)::uuid,
       pg_temp.pick(pg_temp.owners(), 'set owner' || n),
       pg_temp.pick(array['owned', 'owned', 'wanted', 'wanted', 'Owned', 'WANTED', ' owned', 'sold', ''], 'set status' || n),
       pg_temp.pick(pg_temp.themes(), 'set theme' || n)
from generate_series(1, 2000) as n
where pg_temp.is_due('set', n)
on conflict (id) do nothing;

-- Every other has the id of a set, maybe of another owner's.
insert into public.wishlist_items (id, user_id)
select md5(case n % 2 when 0 then 'set' else 'wish' end || n)::uuid,
       pg_temp.pick(pg_temp.owners(), 'wish owner' || n)
from generate_series(1, 3000) as n
where pg_temp.is_due('wish', n)
on conflict (id) do nothing;
