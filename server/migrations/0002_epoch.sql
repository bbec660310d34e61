-- The epoch as a view: a query that reads one takes it in, where the body of a function is planned
-- anew at each call, which cost more than all the rest of asking for a revision.
create view dashboard.current_epoch as
    select epoch
        || '_' || to_hex('dashboard.changes'::regclass::oid::bigint)
        || '_' || ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0') as epoch
    from dashboard.meta;

-- For people, and for nodes of an earlier version.
create or replace function dashboard.epoch() returns text
language sql stable as $$
    select epoch from dashboard.current_epoch
$$;
