-- MOCs, with their theme and how far their parts are there.
with moc as materialized (
    select id, user_id, title, theme, tags, build_status, created_at, updated_at
    from public.moc_instructions
    where id = any ($1::uuid[]) and lower(type) <> 'set' and build_status <> 'parted_out'
),
-- A MOC without a theme takes the first that one of its tags leads to.
tagged as materialized (
    select moc.id, min(mapping.theme collate "C") as theme
    from moc
    cross join lateral jsonb_array_elements_text(
        case when jsonb_typeof(moc.tags) = 'array' then moc.tags else '[]' end
    ) as own (tag)
    join public.tag_theme_mappings as mapping on lower(mapping.tag) = lower(own.tag)
    where btrim(coalesce(moc.theme, '')) = '' and btrim(mapping.theme) <> ''
    group by moc.id
),
list as materialized (
    select list.id, moc.id as moc_id, moc.user_id, coalesce(list.purchased, false) as is_purchased,
           case when list.total_parts_count ~ '^[0-9]{1,9}$' then list.total_parts_count::bigint
                else 0 end as stated
    from moc
    join public.moc_parts_lists as list on list.moc_id = moc.id
),
part as materialized (
    select list.id as list_id, list.moc_id, list.user_id, list.is_purchased,
           part.part_id, part.color, greatest(part.quantity, 0)::bigint as quantity
    from list
    join public.moc_parts as part on part.parts_list_id = list.id
),
-- What a list without parts says of itself counts, and a purchased list is there whole.
listed as (
    select list.moc_id,
           sum(coalesce(parts.total, list.stated)) as total,
           sum(coalesce(parts.total, list.stated)) filter (where list.is_purchased) as purchased
    from list
    left join (select list_id, sum(quantity) as total from part group by list_id) as parts
        on parts.list_id = list.id
    group by list.moc_id
),
need as materialized (
    select moc_id, user_id, part_id, color, sum(quantity) as quantity
    from part
    where not is_purchased
    group by moc_id, user_id, part_id, color
),
owner as materialized (select distinct user_id from need),
-- What owners have: lots, and the parts of MOCs that they have taken apart for good (stock.sql). Owner by owner, so
-- that it is read by the owner's index however many owners there seem to be.
have as materialized (
    select owner.user_id, lots.part_id, lots.color, lots.quantity
    from owner
    cross join lateral (
        select part_id, color, sum(quantity) as quantity
        from (
            select lot.part_number as part_id, lot.color, lot.quantity::bigint as quantity
            from public.parts_inventory as lot
            where lot.user_id = owner.user_id
            union all
            select part.part_id, part.color, part.quantity
            from stock as given
            cross join lateral jsonb_to_recordset(given.content::jsonb)
                as part (part_id text, color text, quantity bigint)
            where given.user_id = owner.user_id
        ) as each_lot
        group by part_id, color
    ) as lots
),
covered as (
    select need.moc_id, sum(least(need.quantity, greatest(have.quantity, 0))) as covered
    from need
    join have
        on have.user_id = need.user_id
       and have.part_id = need.part_id
       and have.color = need.color
    group by need.moc_id
)
select moc.id,
       moc.user_id,
       moc.title,
       coalesce(nullif(btrim(moc.theme), ''), tagged.theme, 'Uncategorized') as theme,
       case moc.build_status
           when 'building' then 'IN_PROGRESS'
           when 'complete' then 'BUILT'
           else 'ADDED'
       end as build_status,
       -- Keys in a private bucket, for which no lasting address exists.
       null as cover_image_url,
       moc.created_at at time zone 'UTC' as created_at,
       moc.updated_at at time zone 'UTC' as updated_at,
       coalesce(listed.purchased, 0) + coalesce(covered.covered, 0) as covered_parts,
       listed.total as total_parts
from moc
left join tagged on tagged.id = moc.id
left join listed on listed.moc_id = moc.id
left join covered on covered.moc_id = moc.id
