-- Statement-level triggers that note who must see something new, and where.
--
-- Masks are exact: a statement that changes nothing that is shown writes no row, so the server
-- needs no memory of what it last sent. Bits: 1 summary, 2 themes, 4 recent list, 8 partial table.
-- Functions run with their owner's rights: writers need no grant on the change log.

--
-- What coverage shows is noted when the coverage changes, by triggers on `moc_coverage`. That is
-- in the same transaction, so a reader sees all the rows of a change at once.

create function dashboard.mocs_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections, added_moc)
    select user_id, 7, case when count(*) = 1 then (array_agg(id))[1] end
    from new_rows
    group by user_id;
    return null;
end $$;

create function dashboard.mocs_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 7 from old_rows;
    return null;
end $$;

create function dashboard.mocs_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- A row that keeps its id and owner changes what differs. Any other row has left one
    -- collection or entered one, which is as much as a deletion or an insertion.
    --
    -- Whether the MOC is in the partial table is what is seen now. It may enter it until this
    -- transaction commits: `mocs_concern` in 0003_coverage.sql looks again then.
    insert into dashboard.changes (user_id, sections)
    select user_id, bit_or(sections)
    from (
        select n.user_id,
               case when o.build_status <> n.build_status then 1 else 0 end
             | case when o.theme <> n.theme then 2 else 0 end
             | case when o.title <> n.title or o.theme <> n.theme
                      or o.build_status <> n.build_status
                      or o.cover_image_url is distinct from n.cover_image_url
                      or o.created_at <> n.created_at then 4 else 0 end
             | case when (o.title <> n.title or o.theme <> n.theme
                          or o.build_status <> n.build_status
                          or o.updated_at <> n.updated_at)
                     and exists (
                         select from dashboard.moc_coverage as c
                         where c.moc_id = n.id and c.parts_coverage_status = 'PARTIAL_ORDERED'
                     ) then 8 else 0 end as sections
        from new_rows n
        join old_rows o on o.id = n.id and o.user_id = n.user_id
        union all
        select r.user_id, 7
        from old_rows r
        where not exists (select from new_rows n where n.id = r.id and n.user_id = r.user_id)
        union all
        select r.user_id, 7
        from new_rows r
        where not exists (select from old_rows o where o.id = r.id and o.user_id = r.user_id)
    ) as touched
    where sections <> 0
    group by user_id;
    return null;
end $$;

create function dashboard.mocs_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 7 from dashboard.mocs;
    return null;
end $$;

-- No row and a row that says NONE show the same.
create function dashboard.moc_coverage_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select user_id, 1 | bit_or(case parts_coverage_status when 'PARTIAL_ORDERED' then 8 else 0 end)
    from new_rows
    where parts_coverage_status <> 'NONE'
    group by user_id;
    return null;
end $$;

create function dashboard.moc_coverage_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select user_id, 1 | bit_or(case parts_coverage_status when 'PARTIAL_ORDERED' then 8 else 0 end)
    from old_rows
    where parts_coverage_status <> 'NONE'
    group by user_id;
    return null;
end $$;

create function dashboard.moc_coverage_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- Within a percent something is shown too: a partial row says when its coverage last changed.
    insert into dashboard.changes (user_id, sections)
    select user_id, bit_or(sections)
    from (
        select n.user_id,
               case when o.parts_coverage_status <> n.parts_coverage_status then 1 else 0 end
             | case when (o.parts_coverage_status = 'PARTIAL_ORDERED'
                          or n.parts_coverage_status = 'PARTIAL_ORDERED')
                     and (o.parts_coverage_status <> n.parts_coverage_status
                          or o.coverage_percentage <> n.coverage_percentage
                          or o.updated_at <> n.updated_at) then 8 else 0 end as sections
        from new_rows n
        join old_rows o on o.moc_id = n.moc_id and o.user_id = n.user_id
        union all
        select r.user_id,
               case r.parts_coverage_status when 'PARTIAL_ORDERED' then 9 when 'NONE' then 0 else 1 end
        from old_rows r
        where not exists (
            select from new_rows n where n.moc_id = r.moc_id and n.user_id = r.user_id
        )
        union all
        select r.user_id,
               case r.parts_coverage_status when 'PARTIAL_ORDERED' then 9 when 'NONE' then 0 else 1 end
        from new_rows r
        where not exists (
            select from old_rows o where o.moc_id = r.moc_id and o.user_id = r.user_id
        )
    ) as touched
    where sections <> 0
    group by user_id;
    return null;
end $$;

create function dashboard.sets_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 2 from new_rows;
    return null;
end $$;

create function dashboard.sets_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 2 from old_rows;
    return null;
end $$;

create function dashboard.sets_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- Only owner and theme are counted; what the statement adds and takes away may cancel out.
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 2
    from (
        select user_id, theme, sum(count) as net
        from (
            select user_id, theme, 1 as count from new_rows
            union all
            select user_id, theme, -1 from old_rows
        ) as both_sides
        group by user_id, theme
    ) as counted
    where net <> 0;
    return null;
end $$;

create function dashboard.sets_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 2 from dashboard.sets;
    return null;
end $$;

create function dashboard.wishlist_items_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 1 from new_rows;
    return null;
end $$;

create function dashboard.wishlist_items_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 1 from old_rows;
    return null;
end $$;

create function dashboard.wishlist_items_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select user_id, 1
    from (
        select user_id, 1 as count from new_rows
        union all
        select user_id, -1 from old_rows
    ) as both_sides
    group by user_id
    having sum(count) <> 0;
    return null;
end $$;

create function dashboard.wishlist_items_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 1 from dashboard.wishlist_items;
    return null;
end $$;

-- A transition table admits one kind of event per trigger.
create trigger capture_insert after insert on dashboard.mocs
    referencing new table as new_rows
    for each statement execute function dashboard.mocs_inserted();
create trigger capture_update after update on dashboard.mocs
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.mocs_updated();
create trigger capture_delete after delete on dashboard.mocs
    referencing old table as old_rows
    for each statement execute function dashboard.mocs_deleted();
create trigger capture_truncate before truncate on dashboard.mocs
    for each statement execute function dashboard.mocs_truncating();

create trigger capture_insert after insert on dashboard.moc_coverage
    referencing new table as new_rows
    for each statement execute function dashboard.moc_coverage_inserted();
create trigger capture_update after update on dashboard.moc_coverage
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.moc_coverage_updated();
create trigger capture_delete after delete on dashboard.moc_coverage
    referencing old table as old_rows
    for each statement execute function dashboard.moc_coverage_deleted();

create trigger capture_insert after insert on dashboard.sets
    referencing new table as new_rows
    for each statement execute function dashboard.sets_inserted();
create trigger capture_update after update on dashboard.sets
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.sets_updated();
create trigger capture_delete after delete on dashboard.sets
    referencing old table as old_rows
    for each statement execute function dashboard.sets_deleted();
create trigger capture_truncate before truncate on dashboard.sets
    for each statement execute function dashboard.sets_truncating();

create trigger capture_insert after insert on dashboard.wishlist_items
    referencing new table as new_rows
    for each statement execute function dashboard.wishlist_items_inserted();
create trigger capture_update after update on dashboard.wishlist_items
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.wishlist_items_updated();
create trigger capture_delete after delete on dashboard.wishlist_items
    referencing old table as old_rows
    for each statement execute function dashboard.wishlist_items_deleted();
create trigger capture_truncate before truncate on dashboard.wishlist_items
    for each statement execute function dashboard.wishlist_items_truncating();
