//! Takes the notes that have become visible since the last look.
//!
//! Deleted rows stay in the table for as long as some snapshot may see them. So behind a long transaction, a look
//! at the whole table would slow down with each note. Therefore a look skips what the last one has seen, by
//! transaction number. That number is a cursor, and a cursor that moved too far would lose notes for good. So it
//! moves only once what was taken is committed. Every few seconds, and after each failure, a look works without
//! the cursor.

use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

/// How often a look does without the cursor.
const WHOLE_LOOK: Duration = Duration::from_secs(10);
/// How much sooner it does again, where another server had the turn and nothing could be taken.
const SOONER: Duration = Duration::from_secs(9);
/// How many notes, and how many keys, are taken at once at most.
const MAX_NOTES: i64 = 4_000;
const MAX_KEYS: i64 = 10_000;
/// How many notes of one transaction a look sees.
const NOTES_OF_ONE: i64 = 500;
/// What one transaction may note to count as small.
const SMALL_KEYS: i64 = 50;
/// How often limits may be halved.
const MAX_HALVINGS: u32 = 12;
/// A snapshot that has seen nothing.
pub(super) const NOTHING: &str = "3:3:";

/// The look into the outbox.
#[derive(Debug, Default)]
pub(super) struct Take {
    /// What the last look saw, once all of it was taken.
    cursor: Option<String>,
    /// The same of the look that is not committed yet.
    next: Option<String>,
    looked_whole: Option<Instant>,
    /// The look of this pass did without the cursor, so what is taken has to do without it as well.
    is_whole: bool,
    /// How long the last whole look took. Behind a long transaction a whole look takes long, so it must be rare.
    whole_look: Duration,
    /// How often the limits are halved, because what was taken was too much.
    halvings: u32,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// How many notes were taken.
    pub(super) notes: usize,
    /// More are there.
    pub(super) has_more: bool,
    /// The keys of small transactions, by watch.
    pub(super) small: Vec<(i16, Vec<Option<String>>)>,
}

impl Take {
    /// A pass begins with a look: beyond what it looks. None where it is to do without the cursor. It holds for the
    /// whole pass, for a look without the cursor finds what the cursor passes over.
    pub(super) fn since(&mut self) -> Option<&str> {
        let pause = WHOLE_LOOK.max(self.whole_look * 20);
        let is_due = self.looked_whole.is_none_or(|at| at.elapsed() > pause);
        self.is_whole = is_due || self.cursor.is_none();
        self.cursor.as_deref().filter(|_| !self.is_whole)
    }

    /// A look without the cursor has ended.
    pub(super) fn looked_whole(&mut self, took: Duration) {
        (self.looked_whole, self.whole_look) = (Some(Instant::now()), took);
    }

    /// What the look of this pass has found could not be taken: another server has the turn.
    pub(super) fn missed_the_turn(&mut self) {
        if self.is_whole {
            self.looked_whole = self.looked_whole.and_then(|at| at.checked_sub(SOONER));
        }
    }

    /// A look has found nothing: the next need not go over the same again.
    pub(super) fn saw_nothing(&mut self, snapshot: String) {
        self.cursor = Some(snapshot);
    }

    /// The caller holds the turn, and the look of this pass has found that the snapshot `from` has seen no notes.
    pub(super) async fn notes(
        &mut self,
        connection: &mut PgConnection,
        from: &str,
    ) -> Result<Taken, sqlx::Error> {
        // Without the cursor this need not go over what was deleted before, either.
        let since = self.cursor.as_deref().filter(|_| !self.is_whole).unwrap_or(from);
        let rows = sqlx::query(TAKE)
            .bind(since)
            .bind((MAX_NOTES >> self.halvings).max(1))
            .bind((MAX_KEYS >> self.halvings).max(1))
            .bind(SMALL_KEYS)
            .bind(NOTES_OF_ONE)
            .fetch_all(connection)
            .await?;
        let mut taken = Taken::default();
        for row in &rows {
            self.read(row, &mut taken)?;
        }
        Ok(taken)
    }

    fn read(&mut self, row: &PgRow, taken: &mut Taken) -> Result<(), sqlx::Error> {
        if let Some(snapshot) = row.try_get::<Option<String>, _>("snapshot")? {
            taken.notes = usize::try_from(row.try_get::<i64, _>("notes")?).unwrap_or_default();
            taken.has_more = row.try_get("has_more")?;
            self.next = (!taken.has_more).then_some(snapshot);
        } else {
            taken.small.push((row.try_get("watch")?, row.try_get("keys")?));
        }
        Ok(())
    }

    /// What was taken last is committed.
    pub(super) fn confirm(&mut self) {
        if let Some(next) = self.next.take() {
            self.cursor = Some(next);
        }
        self.halvings = self.halvings.saturating_sub(1);
    }

    /// What was taken is not committed, as far as is known: it is still beyond the cursor. It may have been too
    /// much.
    pub(super) fn forget(&mut self) {
        self.next = None;
        self.halvings = (self.halvings + 1).min(MAX_HALVINGS);
    }

    /// On another connection the database may be another, whose transactions have other numbers.
    pub(super) fn start_over(&mut self) {
        (self.cursor, self.next, self.looked_whole) = (None, None, None);
    }
}

/// Takes small transactions first, before all other work. So the look goes from transaction to
/// transaction, and sees a limited number of notes of each. Of large ones, as they are, it takes what the
/// limits allow.
const TAKE: &str = "
    with recursive seen as materialized (
        select pg_current_snapshot()::text as snapshot
    ),
    step (xid) as (
        (select xid from dashboard.outbox
         where xid >= pg_snapshot_xmax($1::pg_snapshot)
         order by xid
         limit 1)
        union all
        select (select later.xid from dashboard.outbox as later
                where later.xid > step.xid order by later.xid limit 1)
        from step
        where step.xid is not null
    ),
    late as materialized (
        select early.xid
        from unnest(array(select pg_snapshot_xip($1::pg_snapshot))) as early (xid)
        union all
        select xid from step where xid is not null
        limit $2
    ),
    visible as materialized (
        select note.*
        from late
        cross join lateral (
            select ctid as place, xid, id, coalesce(size, 0) as size
            from dashboard.outbox
            where outbox.xid = late.xid
            order by id
            limit $5
        ) as note
        limit $2 + 1
    ),
    weighed as materialized (
        select place,
               row_number() over in_turn as notes, sum(size) over in_turn - size as keys_before
        from (select *, sum(greatest(size, 1)) over (partition by xid) as of_xid from visible) as noted
        window in_turn as (order by of_xid, xid, id)
    ),
    chosen as materialized (
        select place from weighed where notes <= $2 and keys_before < $3
    ),
    taken as (
        delete from dashboard.outbox
        where ctid = any (array(select place from chosen))
        returning xid, id, watch, size, keys
    ),
    judged as materialized (
        -- The last one may have been taken in part only: what is left of it counts anew.
        select *, sum(greatest(size, 1)) over (partition by xid) <= $4 as is_small from taken
    ),
    moved as (
        insert into dashboard.pending (watch, keys, is_bulk, xid)
        select watch, keys, true, xid
        from judged
        where not is_small and size > 20
        union all
        select watch, array_agg(key order by id, place), true, xid
        from (
            select watch, xid, id, key, noted.place,
                   (row_number() over (partition by watch, xid order by id, noted.place) - 1) / 840 as part
            from judged
            cross join lateral unnest(keys) with ordinality as noted (key, place)
            where not is_small and size <= 20
        ) as scattered
        group by watch, xid, part
    ),
    swept as (
        -- It may have been any row.
        insert into dashboard.pending (watch, keys, is_bulk)
        select distinct watch, '{}'::text[], true
        from judged
        where keys is null
    )
    select snapshot, (select count(*) from taken) as notes,
           (select count(*) from visible) > (select count(*) from chosen)
               or (select count(*) from late) >= $2
               or exists (select from visible group by xid having count(*) >= $5) as has_more,
           null::int2 as watch, null::text[] as keys
    from seen
    union all
    select null, null, null, watch, array_agg(key order by id, noted.place)
    from judged
    cross join lateral unnest(keys) with ordinality as noted (key, place)
    where is_small
    group by watch";
