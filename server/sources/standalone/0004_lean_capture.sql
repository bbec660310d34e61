-- Updates, captured for less.
--
-- A changed MOC is no longer looked up in `moc_coverage`, neither now nor at commit: it is noted in
-- `maybe_partial`, and whoever reads the partial table knows whether it is there.
--
-- Old and new rows meet in a full join, which cannot be done by nested loops. A session keeps the
-- plan of its first statement, and of one that was made for a single row, a loop over the rows of a
-- large update would take minutes.

create or replace function dashboard.mocs_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- A row that keeps its id and owner changes what differs. Any other row has left one
    -- collection or entered one, which is as much as a deletion or an insertion.
    insert into dashboard.changes (user_id, sections, maybe_partial)
    select user_id, bit_or(sections), array_agg(id) filter (where is_shown_if_partial)
    from (
        select n.id,
               coalesce(n.user_id, o.user_id) as user_id,
               case when n.id is null or o.id is null then 7 else
                   case when o.build_status <> n.build_status then 1 else 0 end
                 | case when o.theme <> n.theme then 2 else 0 end
                 | case when o.title <> n.title or o.theme <> n.theme
                          or o.build_status <> n.build_status
                          or o.cover_image_url is distinct from n.cover_image_url
                          or o.created_at <> n.created_at then 4 else 0 end
               end as sections,
               o.title <> n.title or o.theme <> n.theme
                   or o.build_status <> n.build_status
                   or o.updated_at <> n.updated_at as is_shown_if_partial
        from old_rows as o
        full join new_rows as n on n.id = o.id and n.user_id = o.user_id
    ) as touched
    where sections <> 0 or is_shown_if_partial
    group by user_id;
    return null;
end $$;

create or replace function dashboard.moc_coverage_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- Within a percent something is shown too: a partial row says when its coverage last changed.
    -- A row that is not there shows what NONE does.
    insert into dashboard.changes (user_id, sections)
    select user_id, bit_or(sections)
    from (
        select user_id,
               case when before <> after then 1 else 0 end
             | case when (before = 'PARTIAL_ORDERED' or after = 'PARTIAL_ORDERED') and is_moved
                    then 8 else 0 end as sections
        from (
            select coalesce(n.user_id, o.user_id) as user_id,
                   coalesce(o.parts_coverage_status, 'NONE') as before,
                   coalesce(n.parts_coverage_status, 'NONE') as after,
                   (o.parts_coverage_status, o.coverage_percentage, o.updated_at)
                       is distinct from
                   (n.parts_coverage_status, n.coverage_percentage, n.updated_at) as is_moved
            from old_rows as o
            full join new_rows as n on n.moc_id = o.moc_id and n.user_id = o.user_id
        ) as both_sides
    ) as touched
    where sections <> 0
    group by user_id;
    return null;
end $$;

-- A MOC that changes hands is covered by another inventory.
drop trigger coverage_update on dashboard.mocs;
drop function dashboard.mocs_concern();

create function dashboard.mocs_move() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into dashboard.recounts (mocs, users)
    values (array[new.id], array[old.user_id, new.user_id]);
    return null;
end $$;

-- By row: moves are rare, and the condition spares every other update the call. (A MOC with parts keeps
-- its id: they refer to it.)
create trigger coverage_move after update on dashboard.mocs
    for each row
    when (old.user_id <> new.user_id)
    execute function dashboard.mocs_move();

create or replace function dashboard.recount() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    noted_mocs uuid[];
    noted_users text[];
    noted_lots dashboard.lot[];
    others text[];
begin
    if not exists (select from dashboard.recounts where id = new.id) then
        return null;
    end if;
    with noted as (
        delete from dashboard.recounts
        where xid = pg_current_xact_id()
        returning mocs, users, lots
    )
    select array(select distinct id from noted, unnest(mocs) as id),
           array(select user_id from noted, unnest(users) as user_id
                 union
                 select lot.user_id from noted, unnest(lots) as lot),
           array(select distinct row(lot.*)::dashboard.lot from noted, unnest(lots) as lot)
    into noted_mocs, noted_users, noted_lots;

    -- Before any turn: whoever truncates one of these may be about to ask for a turn.
    lock table dashboard.mocs, dashboard.moc_parts, dashboard.inventory in access share mode;

    -- The owners are who they are once their turns are taken, for a MOC changes hands with the turns
    -- of both. If one has changed hands meanwhile, the turns are given back: taking another one now
    -- would be out of order.
    noted_users := noted_users || array(
        select distinct user_id from dashboard.mocs where id = any (noted_mocs)
    );
    loop
        begin
            perform dashboard.take_coverage_turns(noted_users);
            others := array(
                select distinct user_id
                from dashboard.mocs
                where id = any (noted_mocs) and user_id <> all (noted_users)
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
    return null;
end $$;
