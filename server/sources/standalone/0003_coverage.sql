-- Coverage is kept, not computed when read (D-DM-2, D-DM-3): whatever changes a MOC's parts or what
-- its owner has or has ordered recounts the MOCs concerned, and no other.
--
-- Two transactions may each add what the other needs: one a lot to a MOC, one that part to the
-- inventory. Neither sees the other's row, so locks on MOCs would not help. Whoever is about to
-- recount therefore first takes the user's turn: a row that both must update. The second waits,
-- then recounts in a new statement, which sees what the first has committed. (Under REPEATABLE
-- READ the second fails with a serialisation error instead, and its retry counts right.)

create table dashboard.coverage_turns (
    user_id text primary key,
    -- Who had the last turn: one transaction writes the row once, however many statements it runs.
    xid xid8 not null
);

create function dashboard.take_coverage_turns(users text[]) returns void
language sql security definer set search_path = '' as $$
    insert into dashboard.coverage_turns (user_id, xid)
    select distinct user_id, pg_current_xact_id()
    from unnest(users) as wanted (user_id)
    order by user_id
    on conflict (user_id) do update
        set xid = excluded.xid
        where coverage_turns.xid <> excluded.xid;
$$;

-- The caller holds the turns of the owners.
create function dashboard.recount_coverage(moc_ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    update dashboard.mocs as m
    set covered_parts_count = counted.covered,
        total_parts_count = counted.total
    from (
        select moc.id,
               -- Absurd quantities may not make the writer's statement fail.
               least(coalesce(sum(least(
                   part.quantity::bigint,
                   coalesce(lot.owned_quantity::bigint + lot.ordered_quantity, 0)
               )), 0), 2147483647)::integer as covered,
               least(coalesce(sum(part.quantity), 0), 2147483647)::integer as total
        from dashboard.mocs as moc
        left join dashboard.moc_parts as part on part.moc_id = moc.id
        left join dashboard.inventory as lot
            on lot.user_id = moc.user_id
           and lot.part_num = part.part_num
           and lot.color_id = part.color_id
        where moc.id = any (moc_ids)
        group by moc.id
    ) as counted
    where m.id = counted.id
      and (m.covered_parts_count <> counted.covered or m.total_parts_count <> counted.total);
$$;

create function dashboard.recount_after_parts(touched uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if touched is null then
        return;
    end if;
    perform dashboard.take_coverage_turns(array(
        select user_id from dashboard.mocs where id = any (touched)
    ));
    perform dashboard.recount_coverage(touched);
end $$;

create function dashboard.moc_parts_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.recount_after_parts((select array_agg(distinct moc_id) from new_rows));
    return null;
end $$;

create function dashboard.moc_parts_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.recount_after_parts((select array_agg(distinct moc_id) from old_rows));
    return null;
end $$;

create function dashboard.moc_parts_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.recount_after_parts((
        select array_agg(distinct moc_id)
        from (select moc_id from old_rows union all select moc_id from new_rows) as touched
    ));
    return null;
end $$;

create function dashboard.moc_parts_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.take_coverage_turns(array(
        select distinct m.user_id
        from dashboard.mocs as m
        where m.total_parts_count <> 0
    ));
    update dashboard.mocs
    set covered_parts_count = 0, total_parts_count = 0
    where id in (select moc_id from dashboard.moc_parts)
      and (covered_parts_count <> 0 or total_parts_count <> 0);
    return null;
end $$;

-- The lots whose usable quantity a statement changed, one row each with its owner.
create type dashboard.lot as (user_id text, part_num text, color_id integer);

create function dashboard.recount_after_inventory(lots dashboard.lot[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if lots is null then
        return;
    end if;
    perform dashboard.take_coverage_turns(array(
        select distinct user_id from unnest(lots) as lot
    ));
    perform dashboard.recount_coverage(array(
        select distinct m.id
        from unnest(lots) as lot
        join dashboard.moc_parts as part
            on part.part_num = lot.part_num and part.color_id = lot.color_id
        join dashboard.mocs as m on m.id = part.moc_id and m.user_id = lot.user_id
    ));
end $$;

create function dashboard.inventory_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.recount_after_inventory((
        select array_agg((user_id, part_num, color_id)::dashboard.lot)
        from new_rows
        where owned_quantity > 0 or ordered_quantity > 0
    ));
    return null;
end $$;

create function dashboard.inventory_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.recount_after_inventory((
        select array_agg((user_id, part_num, color_id)::dashboard.lot)
        from old_rows
        where owned_quantity > 0 or ordered_quantity > 0
    ));
    return null;
end $$;

create function dashboard.inventory_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.recount_after_inventory((
        select array_agg((user_id, part_num, color_id)::dashboard.lot)
        from (
            select user_id, part_num, color_id
            from (
                select user_id, part_num, color_id,
                       owned_quantity::bigint + ordered_quantity as usable
                from new_rows
                union all
                select user_id, part_num, color_id,
                       -(owned_quantity::bigint + ordered_quantity)
                from old_rows
            ) as both_sides
            group by user_id, part_num, color_id
            having sum(usable) <> 0
        ) as changed
    ));
    return null;
end $$;

create function dashboard.inventory_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform dashboard.take_coverage_turns(array(
        select distinct user_id from dashboard.inventory
    ));
    update dashboard.mocs
    set covered_parts_count = 0
    where id in (select moc_id from dashboard.moc_parts)
      and covered_parts_count <> 0;
    return null;
end $$;

-- A MOC that changes hands is covered by another inventory.
create function dashboard.mocs_moved() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    moved uuid[] := (
        select array_agg(n.id)
        from new_rows as n
        join old_rows as o on o.id = n.id
        where o.user_id <> n.user_id
          -- Counts that were written without a list of parts are the writer's.
          and exists (select from dashboard.moc_parts as part where part.moc_id = n.id)
    );
begin
    if moved is not null then
        perform dashboard.recount_after_parts(moved);
    end if;
    return null;
end $$;

create trigger coverage_insert after insert on dashboard.moc_parts
    referencing new table as new_rows
    for each statement execute function dashboard.moc_parts_inserted();
create trigger coverage_update after update on dashboard.moc_parts
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.moc_parts_updated();
create trigger coverage_delete after delete on dashboard.moc_parts
    referencing old table as old_rows
    for each statement execute function dashboard.moc_parts_deleted();
create trigger coverage_truncate before truncate on dashboard.moc_parts
    for each statement execute function dashboard.moc_parts_truncating();

create trigger coverage_insert after insert on dashboard.inventory
    referencing new table as new_rows
    for each statement execute function dashboard.inventory_inserted();
create trigger coverage_update after update on dashboard.inventory
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.inventory_updated();
create trigger coverage_delete after delete on dashboard.inventory
    referencing old table as old_rows
    for each statement execute function dashboard.inventory_deleted();
create trigger coverage_truncate before truncate on dashboard.inventory
    for each statement execute function dashboard.inventory_truncating();

create trigger coverage_moved after update on dashboard.mocs
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.mocs_moved();

-- "Last updated" is when something shown last changed; a writer may still set it (D-FR-15).
create function dashboard.mocs_touch() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end $$;

create trigger touch before update on dashboard.mocs
    for each row
    when (new.updated_at = old.updated_at and (
        old.title <> new.title
        or old.theme <> new.theme
        or old.build_status <> new.build_status
        or old.cover_image_url is distinct from new.cover_image_url
        or old.covered_parts_count <> new.covered_parts_count
        or old.total_parts_count <> new.total_parts_count
    ))
    execute function dashboard.mocs_touch();
