//! Manages what waits, work in `pending` and failed rows: what is next, what is left, what has to wait longer.

use std::time::Duration;

use sqlx::Row;

use crate::source::Kind;
use sqlx::postgres::{PgConnection, PgRow};

/// How many values a row of `pending` holds at most: rows of one to eight columns fit without a rest.
const VALUES_A_ROW: i64 = 840;
/// How many values of small work are taken together.
const SMALL_VALUES: i64 = 400;
/// How long work waits for a lock that another transaction has.
const LOCKED: Duration = Duration::from_millis(100);
/// How long a feed is left alone whose query cannot be run.
pub(super) const HELD: Duration = Duration::from_secs(1);
/// How long a failed row waits before it is tried again: this at first, four times as long each time, and this at
/// most. A database that was slow for a moment has it wait for a moment only.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(5));
/// A row that has failed this often is not tried for each change any more, but when it is due.
const HOPELESS: i32 = 3;

/// What keys are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// Values that a watch noted.
    Watch(i16),
    /// Keys of a feed's rows.
    Feed(i16),
}

/// A piece of work.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) subject: Subject,
    /// The noted values, row after row. None at all of a watch means any row.
    pub(super) keys: Vec<Option<String>>,
    pub(super) is_bulk: bool,
    /// It failed together with others, and is tried alone.
    pub(super) is_alone: bool,
    /// The transaction that it came from: those take turns.
    xid: Option<String>,
    /// How long ago it was first noted, in seconds. None for what has just been noted.
    pub(super) waited: Option<f64>,
}

impl Batch {
    /// What small transactions have just noted.
    pub(super) fn noted(watch: i16, keys: Vec<Option<String>>) -> Self {
        Self { is_bulk: false, ..Self::of(Subject::Watch(watch), keys) }
    }

    /// A few rows of a feed.
    pub(super) fn small(feed: i16, keys: Vec<Option<String>>) -> Self {
        Self { is_bulk: false, ..Self::bulk(feed, keys) }
    }

    /// Many rows of a feed.
    pub(super) fn bulk(feed: i16, keys: Vec<Option<String>>) -> Self {
        Self::of(Subject::Feed(feed), keys)
    }

    fn of(subject: Subject, keys: Vec<Option<String>>) -> Self {
        Self { subject, keys, is_bulk: true, is_alone: false, xid: None, waited: None }
    }

    /// The same, where what it comes from has waited.
    pub(super) fn having_waited(self, waited: Option<f64>) -> Self {
        Self { waited, ..self }
    }

    /// Some of its values.
    pub(super) fn with(&self, values: &[Option<String>]) -> Self {
        Self { keys: values.to_vec(), ..self.clone() }
    }

    /// Two batches of half as many rows, unless it is one row.
    pub(super) fn halves(&self, width: usize) -> Option<(Self, Self)> {
        let rows = self.keys.len() / width;
        if rows < 2 {
            return None;
        }
        let (one, other) = self.keys.split_at(rows / 2 * width);
        Some((self.with(one), self.with(other)))
    }

    /// Writes it down for the next pass.
    pub(super) async fn keep(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.keep_for(connection, self.is_alone, None).await
    }

    /// The same where it failed together with others: it is tried alone.
    pub(super) async fn keep_alone(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        self.keep_for(connection, true, None).await
    }

    /// Puts it off for a short time, where something else is in the way.
    pub(super) async fn keep_waiting(
        &self,
        connection: &mut PgConnection,
        error: &str,
    ) -> Result<(), sqlx::Error> {
        self.keep_for(connection, self.is_alone, Some(error)).await
    }

    async fn keep_for(
        &self,
        connection: &mut PgConnection,
        is_alone: bool,
        error: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let (watch, feed) = match self.subject {
            Subject::Watch(number) => (Some(number), None),
            Subject::Feed(number) => (None, Some(number)),
        };
        let wait = error.map(|_| LOCKED.as_secs_f64());
        sqlx::query(
            "insert into dashboard.pending
                 (watch, feed, keys, is_bulk, xid, is_alone, not_before, error, since)
             select $1, $2, part.keys, $4, coalesce($5::text::xid8, pg_current_xact_id()), $6,
                    coalesce(clock_timestamp() + make_interval(secs => $7), '-infinity'), $8,
                    clock_timestamp() - make_interval(secs => coalesce($10, 0))
             from (
                 select array_agg(key order by place) as keys
                 from unnest($3::text[]) with ordinality as kept (key, place)
                 group by (place - 1) / $9
                 union all
                 select '{}' where $3::text[] = '{}'
             ) as part",
        )
        .bind(watch)
        .bind(feed)
        .bind(&self.keys)
        .bind(self.is_bulk)
        .bind(&self.xid)
        .bind(is_alone)
        .bind(wait)
        .bind(error)
        .bind(VALUES_A_ROW)
        .bind(self.waited)
        .execute(connection)
        .await
        .map(drop)
    }
}

/// What there is to do.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub(super) struct Outlook {
    /// Notes that the cursor has not seen, or small work.
    pub(super) has_small: bool,
    /// Bulk work, sweeps, or failed rows that may be tried again.
    pub(super) has_bulk: bool,
    /// The first transaction of those whose notes the cursor has not seen.
    pub(super) oldest_note: Option<String>,
    /// A snapshot that has seen all transactions without notes that had ended at this look, and none with notes: what
    /// is to be taken is beyond it, also where it becomes visible only now.
    pub(super) take_from: String,
    /// How long the oldest small work waits, in seconds, whether or not it may be tried now.
    pub(super) waited: Option<f64>,
    /// A feed's query cannot be run.
    pub(super) is_held: bool,
    /// How many rows have failed and are tried again now and then. No more than 1,000 are counted.
    pub(super) failed: i64,
    /// What this look saw.
    pub(super) snapshot: String,
}

/// Looks without asking for the turn: most of the time there is nothing to do.
pub(super) async fn look(
    connection: &mut PgConnection,
    since: &str,
) -> Result<Outlook, sqlx::Error> {
    sqlx::query_as(
        "select note.xid::text as oldest_note,
                format('%s:%s:%s', least(pg_snapshot_xmin(pg_current_snapshot()), bound.xid), bound.xid,
                       (select string_agg(running::text, ',' order by running)
                        from pg_snapshot_xip(pg_current_snapshot()) as running
                        where running < bound.xid)) as take_from,
                note.xid is not null
             or exists (
                    select from dashboard.pending
                    where not is_bulk and not_before <= clock_timestamp()
                ) as has_small,
                (select extract(epoch from clock_timestamp() - min(since))::float8
                 from dashboard.pending where not is_bulk) as waited,
                exists (select from dashboard.sweeps where error is not null) as is_held,
                (select count(*) from (select from dashboard.failed limit 1000) as counted)
                    as failed,
                pg_current_snapshot()::text as snapshot,
                exists (
                    select from dashboard.pending
                    where is_bulk and not_before <= clock_timestamp()
                )
             or exists (select from dashboard.sweeps where not_before <= clock_timestamp())
             or exists (select from dashboard.failed where not_before <= clock_timestamp())
                as has_bulk
         from (
             select coalesce(
                 (select xid from dashboard.outbox
                  where xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))
                  order by xid limit 1),
                 (select xid from dashboard.outbox
                  where xid >= pg_snapshot_xmax($1::pg_snapshot)
                  order by xid limit 1)
             ) as xid
         ) as note
         cross join lateral (
             select least(note.xid, pg_snapshot_xmax(pg_current_snapshot())) as xid
         ) as bound",
    )
    .bind(since)
    .fetch_one(connection)
    .await
}

/// Notes that a row has failed, or has failed again. Returns how often it has failed.
pub(super) async fn fail(
    connection: &mut PgConnection,
    feed: i16,
    key: &str,
    error: &str,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(
        "insert into dashboard.failed as known (feed, key, failures, not_before, error)
         values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3), $4)
         on conflict (feed, key) do update
         set failures = known.failures + 1, error = excluded.error,
             not_before = clock_timestamp()
                 + make_interval(secs => least($3 * 4.0 ^ least(known.failures, 16), $5))
         returning failures",
    )
    .bind(feed)
    .bind(key)
    .bind(RETRY.0.as_secs_f64())
    .bind(error)
    .bind(RETRY.1.as_secs_f64())
    .fetch_one(connection)
    .await
}

/// Of these rows those that have failed again and again, and are not to be tried now.
pub(super) async fn hopeless(
    connection: &mut PgConnection,
    feed: i16,
    keys: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select key from dashboard.failed
         where feed = $1 and key = any ($2) and failures >= $3 and not_before > clock_timestamp()",
    )
    .bind(feed)
    .bind(keys)
    .bind(HOPELESS)
    .fetch_all(connection)
    .await
}

/// The failed row that has waited longest of those that may be tried again. After this attempt, it is
/// not tried again at once, no matter how the attempt ends.
pub(super) async fn next_failed(
    connection: &mut PgConnection,
) -> Result<Option<(i16, String)>, sqlx::Error> {
    sqlx::query_as(
        "update dashboard.failed
         set not_before = clock_timestamp() + make_interval(secs => $1)
         where (feed, key) = (
             select feed, key from dashboard.failed
             where not_before <= clock_timestamp()
             order by not_before
             limit 1
         )
         returning feed, key",
    )
    .bind(HELD.as_secs_f64())
    .fetch_optional(connection)
    .await
}

/// Forgets that a row failed.
pub(super) async fn succeed(
    connection: &mut PgConnection,
    feed: i16,
    key: &str,
) -> Result<(), sqlx::Error> {
    let statement = "delete from dashboard.failed where feed = $1 and key = $2";
    sqlx::query(statement).bind(feed).bind(key).execute(connection).await.map(drop)
}

/// The values by column: arrays of one length.
pub(super) fn columns(keys: &[Option<String>], width: usize) -> Vec<Vec<Option<String>>> {
    (0..width).map(|column| keys.iter().skip(column).step_by(width).cloned().collect()).collect()
}

/// Takes the oldest small work that may be tried now: as much as there is time for, except what has failed
/// alone.
pub(super) async fn next_small(connection: &mut PgConnection) -> Result<Vec<Batch>, sqlx::Error> {
    let rows = sqlx::query(
        "with due as materialized (
             select id, is_alone, row_number() over in_order as place,
                    sum(cardinality(keys)) over in_order as keys
             from (
                 select id, is_alone, keys
                 from dashboard.pending
                 where not is_bulk and not_before <= clock_timestamp()
                 order by id
                 limit 100
             ) as oldest
             window in_order as (order by id)
         ),
         chosen as (
             select id from due
             where place = 1
                or (not is_alone and keys <= $1
                    and not exists (select from due as first where first.place = 1 and first.is_alone))
         )
         delete from dashboard.pending
         where id = any (array(select id from chosen))
         returning id, watch, feed, keys, is_bulk, is_alone, xid::text as xid,
                   extract(epoch from clock_timestamp() - since)::float8 as waited",
    )
    .bind(SMALL_VALUES)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Takes bulk work that may be tried now, of the transaction after the one that was `served` last: as many
/// values as `fitting` says of its subject. Returns that transaction, too.
pub(super) async fn next_bulk(
    connection: &mut PgConnection,
    served: &str,
    fitting: impl Fn(Subject) -> usize,
) -> Result<Option<(String, Batch)>, sqlx::Error> {
    let row = sqlx::query(
        "(select id, watch, feed, keys, is_bulk, is_alone, xid::text as xid, 1 as choice,
                 extract(epoch from clock_timestamp() - since)::float8 as waited
          from dashboard.pending
          where is_bulk and not_before <= clock_timestamp() and xid > $1::text::xid8
          order by xid, id
          limit 1)
         union all
         (select id, watch, feed, keys, is_bulk, is_alone, xid::text, 2,
                 extract(epoch from clock_timestamp() - since)::float8
          from dashboard.pending
          where is_bulk and not_before <= clock_timestamp()
          order by xid, id
          limit 1)
         order by choice
         limit 1",
    )
    .bind(served)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut batch = read(&row)?;
    let taken = fitting(batch.subject).min(batch.keys.len());
    let statement = if taken == batch.keys.len() {
        "delete from dashboard.pending where id = $1 and $2 is not null"
    } else {
        "update dashboard.pending set keys = keys[$2 + 1:] where id = $1"
    };
    batch.keys.truncate(taken);
    sqlx::query(statement)
        .bind(row.try_get::<i64, _>("id")?)
        .bind(i32::try_from(taken).unwrap_or(i32::MAX))
        .execute(connection)
        .await?;
    Ok(Some((row.try_get("xid")?, batch)))
}

/// Whether more rows of a feed wait than there are, as far as is known: to look at all is less.
pub(super) async fn is_more_than_all(
    connection: &mut PgConnection,
    feed: i16,
    kind: Kind,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select coalesce(sum(cardinality(keys)), 0) > greatest(
                    (select reltuples from pg_class
                     where oid = to_regclass('dashboard.' || $2)), 1000)
         from dashboard.pending
         where is_bulk and feed = $1",
    )
    .bind(feed)
    .bind(kind.table())
    .fetch_one(connection)
    .await
}

fn read(row: &PgRow) -> Result<Batch, sqlx::Error> {
    let subject = match row.try_get("watch")? {
        Some(watch) => Subject::Watch(watch),
        None => Subject::Feed(row.try_get("feed")?),
    };
    Ok(Batch {
        subject,
        keys: row.try_get("keys")?,
        is_bulk: row.try_get("is_bulk")?,
        is_alone: row.try_get("is_alone")?,
        xid: row.try_get("xid")?,
        waited: row.try_get("waited")?,
    })
}
