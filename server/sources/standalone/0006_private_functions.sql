-- Functions with their owner's rights run in the sessions of others, and find there what others put.
--
-- `search_path = ''` was not enough: types and tables of the session's own temporary schema then come
-- before the system's, so a writer's domain `uuid` ran its check with the owner's rights. Named last,
-- that schema is searched last. And every role may call a new function: one could take a user's turn to
-- be counted and keep everybody else's commit waiting. Triggers need no such right.

-- Functions of triggers are made anew. Others may have put them on tables of their own, where a column
-- of a type of theirs brings a cast of theirs along; and what a trigger may call is asked only when the
-- trigger is made. Those triggers go with the old functions.
do $$
declare
    ours record;
    definition text;
begin
    for ours in
        select f.oid, pg_get_functiondef(f.oid) as function_definition,
               array(
                   select pg_get_triggerdef(t.oid)
                   from pg_trigger as t
                   join pg_class as c on c.oid = t.tgrelid
                   where t.tgfoid = f.oid and c.relnamespace = f.pronamespace and not t.tgisinternal
                   order by t.oid
               ) as triggers
        from pg_proc as f
        where f.pronamespace = 'dashboard'::regnamespace and f.prorettype = 'trigger'::regtype
    loop
        execute format('drop function %s cascade', ours.oid::regprocedure);
        execute ours.function_definition;
        foreach definition in array ours.triggers loop
            execute definition;
        end loop;
    end loop;
end $$;

-- Whatever this role's default privileges give to others.
do $$
declare
    taken record;
    grantee record;
begin
    for taken in
        select 'routine' as kind, oid::regprocedure::text as name, proowner as owner,
               coalesce(proacl, acldefault('f', proowner)) as acl
        from pg_proc
        where pronamespace = 'dashboard'::regnamespace and prokind <> 'a'
        union all
        -- All but the collection itself, which applications write.
        select case when relkind = 'S' then 'sequence' else 'table' end, oid::regclass::text, relowner,
               coalesce(relacl, acldefault(case when relkind = 'S' then 's' else 'r' end::"char", relowner))
        from pg_class
        where relnamespace = 'dashboard'::regnamespace and relkind in ('r', 'p', 'v', 'S')
          and relname <> all ('{mocs,moc_parts,inventory,sets,wishlist_items,moc_details}')
    loop
        if taken.kind = 'routine' then
            execute format('alter routine %s set search_path = pg_catalog, pg_temp', taken.name);
        end if;
        for grantee in
            select distinct entry.grantee as id
            from aclexplode(taken.acl) as entry
            where entry.grantee <> taken.owner
        loop
            execute format(
                'revoke all on %s %s from %s cascade',
                taken.kind,
                taken.name,
                case when grantee.id = 0 then 'public' else grantee.id::regrole::text end
            );
        end loop;
    end loop;
end $$;

-- No session has a longer user id, so such a row is of no user. Without a limit a writer could fill
-- the change log, and the memory of those who read it, with little effort.
alter table dashboard.mocs add constraint mocs_user_id_length
    check (octet_length(user_id) <= 255) not valid;
alter table dashboard.inventory add constraint inventory_user_id_length
    check (octet_length(user_id) <= 255) not valid;
alter table dashboard.sets add constraint sets_user_id_length
    check (octet_length(user_id) <= 255) not valid;
alter table dashboard.wishlist_items add constraint wishlist_items_user_id_length
    check (octet_length(user_id) <= 255) not valid;
