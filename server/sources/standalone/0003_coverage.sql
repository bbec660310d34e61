-- Coverage is kept, not computed when read (D-DM-2, D-DM-3): whatever changes a MOC's parts or what
-- its owner has or has ordered recounts the MOCs concerned, and no other.
--
-- A statement only notes what it concerns; the counting happens once, at commit. Three things
-- follow from how it is done:
--
-- Counts are right. Two transactions may each add what the other needs: one a lot to a MOC, one that
-- part to the inventory. Neither sees the other's row, so locks on MOCs would not help. Whoever is
-- about to recount therefore first takes the owner's turn: a row that both must update. The second
-- waits for the first to commit, then recounts in a new statement, which sees what that committed.
-- A MOC that changes hands takes the turns of both owners. (Under REPEATABLE READ the second fails
-- with a serialisation error instead, and its retry counts right.)
--
-- Nobody waits in a circle. A transaction that has a turn is at its commit: its statements are
-- done, so it waits for nothing that a statement locks. It waits for nothing but further turns, and
-- all take those in the order of the users. What it then writes, `moc_coverage`, only holders of the
-- owner's turn write; and no statement of an application locks a row there. (The one exception is
-- what a writer asks for: `set constraints ... immediate` takes turns in mid-transaction.)
--
-- It costs little. However many statements a transaction has, it counts each MOC once.

create table dashboard.coverage_turns (
    user_id text primary key,
    -- Who had the last turn: one transaction writes the row once.
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

-- A part that a user has.
create type dashboard.lot as (user_id text, part_num text, color_id integer);

-- What the transactions under way will have to count: at most one row a statement. Rows are gone
-- when their transaction commits, so nobody ever sees another's.
create table dashboard.recounts (
    id bigint generated always as identity primary key,
    xid xid8 not null default pg_current_xact_id(),
    -- MOCs whose parts or owner changed, and owners that they had.
    mocs uuid[] not null default '{}',
    users text[] not null default '{}',
    -- Lots whose usable quantity changed.
    lots dashboard.lot[] not null default '{}',
    -- MOCs that kept parts and owner, but changed what the partial table shows if they are in it.
    shown uuid[] not null default '{}'
);

create index recounts_by_xid on dashboard.recounts (xid);

alter table dashboard.recounts set (autovacuum_vacuum_scale_factor = 0.02);

-- The caller holds the turns of the owners.
create function dashboard.recount_coverage(moc_ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    delete from dashboard.moc_coverage as c
    where c.moc_id = any (moc_ids)
      and not exists (select from dashboard.moc_parts as part where part.moc_id = c.moc_id);

    insert into dashboard.moc_coverage as c
        (moc_id, user_id, covered_parts_count, total_parts_count)
    select moc.id,
           moc.user_id,
           -- Absurd quantities may not make the writer's transaction fail.
           least(sum(least(
               part.quantity::bigint,
               coalesce(lot.owned_quantity::bigint + lot.ordered_quantity, 0)
           )), 2147483647)::integer,
           least(sum(part.quantity), 2147483647)::integer
    from dashboard.mocs as moc
    join dashboard.moc_parts as part on part.moc_id = moc.id
    left join dashboard.inventory as lot
        on lot.user_id = moc.user_id
       and lot.part_num = part.part_num
       and lot.color_id = part.color_id
    where moc.id = any (moc_ids)
    group by moc.id
    on conflict (moc_id) do update
        set user_id = excluded.user_id,
            covered_parts_count = excluded.covered_parts_count,
            total_parts_count = excluded.total_parts_count,
            updated_at = now()
        where c.user_id <> excluded.user_id
           or c.covered_parts_count <> excluded.covered_parts_count
           or c.total_parts_count <> excluded.total_parts_count;
$$;

-- At commit, for each noted row; the first takes them all.
create function dashboard.recount() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    noted_mocs uuid[];
    noted_users text[];
    noted_lots dashboard.lot[];
    noted_shown uuid[];
    others text[];
begin
    if not exists (select from dashboard.recounts where id = new.id) then
        return null;
    end if;
    with noted as (
        delete from dashboard.recounts
        where xid = pg_current_xact_id()
        returning mocs, users, lots, shown
    )
    select array(select distinct id from noted, unnest(mocs) as id),
           array(select user_id from noted, unnest(users) as user_id
                 union
                 select lot.user_id from noted, unnest(lots) as lot),
           array(select distinct row(lot.*)::dashboard.lot from noted, unnest(lots) as lot),
           array(select distinct id from noted, unnest(shown) as id)
    into noted_mocs, noted_users, noted_lots, noted_shown;

    -- Before any turn: whoever truncates one of these may be about to ask for a turn.
    lock table dashboard.mocs, dashboard.moc_parts, dashboard.inventory in access share mode;

    -- The owners are who they are once their turns are taken, for a MOC changes hands with the turns
    -- of both. If one has changed hands meanwhile, the turns are given back: taking another one now
    -- would be out of order.
    noted_users := noted_users || array(
        select distinct user_id from dashboard.mocs where id = any (noted_mocs || noted_shown)
    );
    loop
        begin
            perform dashboard.take_coverage_turns(noted_users);
            others := array(
                select distinct user_id
                from dashboard.mocs
                where id = any (noted_mocs || noted_shown) and user_id <> all (noted_users)
            );
            exit when cardinality(others) = 0;
            raise exception using errcode = 'MOC01', message = 'a MOC has changed hands';
        exception when sqlstate 'MOC01' then
            noted_users := noted_users || others;
        end;
    end loop;

    perform dashboard.recount_coverage(array(
        select id from unnest(noted_mocs) as id
        union
        select moc.id
        from unnest(noted_lots) as lot
        join dashboard.moc_parts as part
            on part.part_num = lot.part_num and part.color_id = lot.color_id
        join dashboard.mocs as moc on moc.id = part.moc_id and moc.user_id = lot.user_id
    ));

    insert into dashboard.changes (user_id, sections)
    select distinct user_id, 8
    from dashboard.moc_coverage
    where moc_id = any (noted_shown) and parts_coverage_status = 'PARTIAL_ORDERED';
    return null;
end $$;

create constraint trigger recount after insert on dashboard.recounts
    deferrable initially deferred
    for each row execute function dashboard.recount();

create function dashboard.moc_parts_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs)
    select array_agg(distinct moc_id) from new_rows having count(*) > 0;
    return null;
end $$;

create function dashboard.moc_parts_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- Parts that go with their MOC are noted with it, once and not MOC by MOC.
    insert into dashboard.recounts (mocs)
    select array_agg(distinct moc_id)
    from old_rows
    where exists (select from dashboard.mocs where id = moc_id)
    having count(*) > 0;
    return null;
end $$;

create function dashboard.moc_parts_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs)
    select array_agg(distinct moc_id)
    from (select moc_id from old_rows union all select moc_id from new_rows) as touched
    having count(*) > 0;
    return null;
end $$;

create function dashboard.moc_parts_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs)
    select array_agg(distinct moc_id) from dashboard.moc_parts having count(*) > 0;
    return null;
end $$;

create function dashboard.inventory_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (lots)
    select array_agg((user_id, part_num, color_id)::dashboard.lot)
    from new_rows
    where owned_quantity > 0 or ordered_quantity > 0
    having count(*) > 0;
    return null;
end $$;

create function dashboard.inventory_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (lots)
    select array_agg((user_id, part_num, color_id)::dashboard.lot)
    from old_rows
    where owned_quantity > 0 or ordered_quantity > 0
    having count(*) > 0;
    return null;
end $$;

create function dashboard.inventory_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (lots)
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
    having count(*) > 0;
    return null;
end $$;

create function dashboard.inventory_truncating() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs)
    select array_agg(moc_id)
    from dashboard.moc_coverage
    where covered_parts_count > 0
    having count(*) > 0;
    return null;
end $$;

-- A MOC that changes hands is covered by another inventory. One that is renamed may be in the
-- partial table when this transaction commits, though it is not yet; if it is already, then
-- `mocs_updated` in 0002_capture.sql has said so.
create function dashboard.mocs_concern() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs, users, shown)
    select coalesce(array_agg(id) filter (where moved), '{}'),
           coalesce(array_agg(distinct user_id) filter (where moved), '{}'),
           coalesce(array_agg(id) filter (where not moved), '{}')
    from (
        select n.id, n.user_id, false as moved
        from new_rows n
        join old_rows o on o.id = n.id and o.user_id = n.user_id
        where (o.title <> n.title or o.theme <> n.theme
               or o.build_status <> n.build_status
               or o.updated_at <> n.updated_at)
          and not exists (
              select from dashboard.moc_coverage as c
              where c.moc_id = n.id and c.parts_coverage_status = 'PARTIAL_ORDERED'
          )
        union all
        select r.id, r.user_id, true
        from old_rows r
        where not exists (select from new_rows n where n.id = r.id and n.user_id = r.user_id)
        union all
        select r.id, r.user_id, true
        from new_rows r
        where not exists (select from old_rows o where o.id = r.id and o.user_id = r.user_id)
    ) as touched
    having count(*) > 0;
    return null;
end $$;

create function dashboard.mocs_leave() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs, users)
    select array_agg(id), array_agg(distinct user_id) from old_rows having count(*) > 0;
    return null;
end $$;

create function dashboard.mocs_leave_all() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs, users)
    select array_agg(id), array_agg(distinct user_id) from dashboard.mocs having count(*) > 0;
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

create trigger coverage_update after update on dashboard.mocs
    referencing old table as old_rows new table as new_rows
    for each statement execute function dashboard.mocs_concern();
create trigger coverage_delete after delete on dashboard.mocs
    referencing old table as old_rows
    for each statement execute function dashboard.mocs_leave();
create trigger coverage_truncate before truncate on dashboard.mocs
    for each statement execute function dashboard.mocs_leave_all();

-- "Last updated" is when something shown last changed; a writer may still set it (D-FR-15).
-- `moc_coverage` has its own, and what is shown is the later of the two.
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
    ))
    execute function dashboard.mocs_touch();
