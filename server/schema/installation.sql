-- What is installed here, and what revisions count within.

create table dashboard.meta (
    only_row boolean primary key default true check (only_row),
    -- The fingerprint of what made this schema.
    schema text not null,
    -- The source's name, and its fingerprint with that of its triggers: none while it has not been installed to
    -- the end.
    name text not null,
    source text,
    -- Which triggers there were when all rows were last asked for because of them. Where they are others now, some
    -- were off for a while, or a table is another one: rows may have come unheard.
    triggers text,
    -- Every row of the application's has been looked at once. Until then a dashboard would show too little.
    is_complete boolean not null default false,
    -- When all rows had been asked for; some may still wait.
    swept timestamptz,
    -- When all rows were last looked at by schedule.
    reconciled timestamptz not null default clock_timestamp(),
    -- Names one life of `changes`. Revisions of different lives cannot be compared.
    life text not null default left(replace(gen_random_uuid()::text, '-', ''), 16),
    -- The start of the database after which its changes were found to be all there, or a new life was begun.
    started timestamptz not null default pg_postmaster_start_time(),
    -- Rows of `changes` up to this number may have been removed, but for each user's newest.
    removed_to bigint not null default 0
);

-- The epoch is what revisions count within. The stored name comes back with a backup, the file of the table does
-- not: whatever replaces its rows makes it anew.
--
-- A database that was started anew may have lost its last changes: as a standby that took over, or as a disk
-- that was put back. So after each start a server says whether what it had seen is still there, and begins a new
-- life if not (`changes/capture`). Until then nothing is served. Where nothing may be written it cannot be said, and
-- the epoch is of this start only. None of this needs rights that a managed database does not give.
create view dashboard.current_epoch as
    select life,
           case when is_known then life else life || '_' || start end as epoch,
           is_complete and (is_known or current_setting('transaction_read_only') = 'on') as is_ready
    from (
        select life || '_' || to_hex(pg_relation_filenode('dashboard.changes')::bigint) as life,
               to_hex((extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint) as start,
               started = pg_postmaster_start_time() as is_known,
               is_complete
        from dashboard.meta
    ) as this;
