-- Functions with their owner's rights run in the sessions of others, and find there what others put.
--
-- `search_path = ''` was not enough: types and tables of the session's own temporary schema then come
-- before the system's, so a writer's domain `uuid` ran its check with the owner's rights. Named last,
-- that schema is searched last. And every role may call a new function: one could take a user's turn to
-- be counted and keep everybody else's commit waiting. Triggers need no such right.

do $$
declare
    ours record;
    grantee record;
begin
    for ours in
        select oid, oid::regprocedure as signature, proowner, proacl
        from pg_proc
        where pronamespace = 'dashboard'::regnamespace
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', ours.signature);
        -- Default privileges may give the right to roles as well.
        for grantee in
            select distinct acl.grantee as id
            from aclexplode(coalesce(ours.proacl, acldefault('f', ours.proowner))) as acl
            where acl.grantee <> ours.proowner
        loop
            execute format(
                'revoke all on function %s from %s',
                ours.signature,
                case when grantee.id = 0 then 'public' else grantee.id::regrole::text end
            );
        end loop;
    end loop;
end $$;
