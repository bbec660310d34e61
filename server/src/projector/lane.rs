//! Work that waits in `pending`, and sweeps: what is next, what is left of it, what has to wait longer.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use crate::source::{Kind, Watch, identifier};

/// How many values a row of `pending` holds at most: rows of one to eight columns fit without a rest.
const VALUES_A_ROW: i64 = 840;
/// How many values of small work are taken together.
const SMALL_VALUES: i64 = 400;
/// How long work waits that failed for the first time; then twice as long each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(5));

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
    /// The transaction that it came from: those take turns.
    xid: Option<String>,
    failures: i16,
}

impl Batch {
    /// What small transactions have just noted.
    pub(super) fn noted(watch: i16, keys: Vec<Option<String>>) -> Self {
        Self { subject: Subject::Watch(watch), keys, is_bulk: false, xid: None, failures: 0 }
    }

    /// A few rows of a feed.
    pub(super) fn small(feed: i16, keys: Vec<Option<String>>) -> Self {
        Self { is_bulk: false, ..Self::bulk(feed, keys) }
    }

    /// Many rows of a feed.
    pub(super) fn bulk(feed: i16, keys: Vec<Option<String>>) -> Self {
        Self { subject: Subject::Feed(feed), keys, is_bulk: true, xid: None, failures: 0 }
    }

    /// The same keys, as those of a feed's rows.
    pub(super) fn of_feed(&self, feed: i16) -> Self {
        Self { subject: Subject::Feed(feed), ..self.clone() }
    }

    /// Some of its values.
    pub(super) fn with(&self, values: &[Option<String>]) -> Self {
        Self { keys: values.to_vec(), ..self.clone() }
    }

    pub(super) fn is_one_row(&self, width: usize) -> bool {
        self.keys.len() == width
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
        self.keep_for(connection, self.failures, None, None).await
    }

    /// The same where it failed together with others: it is tried by itself.
    pub(super) async fn keep_alone(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        self.keep_for(connection, self.failures.max(1), None, None).await
    }

    /// Writes it down for later, where it is to blame for a failure: for ever longer.
    pub(super) async fn keep_failed(
        &self,
        connection: &mut PgConnection,
        error: &str,
    ) -> Result<(), sqlx::Error> {
        let failures = self.failures.saturating_add(1);
        self.keep_for(connection, failures, Some(wait(failures)), Some(error)).await
    }

    /// Writes it down for a little later, where something else was in the way.
    pub(super) async fn keep_waiting(
        &self,
        connection: &mut PgConnection,
        error: &str,
    ) -> Result<(), sqlx::Error> {
        self.keep_for(connection, self.failures, Some(RETRY.0), Some(error)).await
    }

    async fn keep_for(
        &self,
        connection: &mut PgConnection,
        failures: i16,
        wait: Option<Duration>,
        error: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let (watch, feed) = match self.subject {
            Subject::Watch(number) => (Some(number), None),
            Subject::Feed(number) => (None, Some(number)),
        };
        sqlx::query(
            "insert into dashboard.pending
                 (watch, feed, keys, is_bulk, xid, failures, not_before, error)
             select $1, $2, array_agg(key order by place), $4,
                    coalesce($5::text::xid8, pg_current_xact_id()), $6,
                    coalesce(clock_timestamp() + make_interval(secs => $7), '-infinity'), $8
             from unnest($3::text[]) with ordinality as kept (key, place)
             group by (place - 1) / $9",
        )
        .bind(watch)
        .bind(feed)
        .bind(&self.keys)
        .bind(self.is_bulk)
        .bind(&self.xid)
        .bind(failures)
        .bind(wait.map(|wait| wait.as_secs_f64()))
        .bind(error)
        .bind(VALUES_A_ROW)
        .execute(connection)
        .await
        .map(drop)
    }
}

fn wait(failures: i16) -> Duration {
    let doublings = u32::try_from(failures - 1).unwrap_or_default().min(16);
    (RETRY.0 * 2_u32.pow(doublings)).min(RETRY.1)
}

/// The values by column: arrays of one length.
pub(super) fn columns(keys: &[Option<String>], width: usize) -> Vec<Vec<Option<String>>> {
    (0..width).map(|column| keys.iter().skip(column).step_by(width).cloned().collect()).collect()
}

/// Takes the oldest small work that may be tried now: as much as there is time for, but what has failed by
/// itself.
pub(super) async fn next_small(connection: &mut PgConnection) -> Result<Vec<Batch>, sqlx::Error> {
    let rows = sqlx::query(
        "with due as materialized (
             select id, failures > 0 as is_alone, row_number() over in_order as place,
                    sum(cardinality(keys)) over in_order as keys
             from (
                 select id, failures, keys
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
         returning id, watch, feed, keys, is_bulk, xid::text as xid, failures",
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
        "(select id, watch, feed, keys, is_bulk, xid::text as xid, failures, 1 as choice
          from dashboard.pending
          where is_bulk and not_before <= clock_timestamp() and xid > $1::text::xid8
          order by xid, id
          limit 1)
         union all
         (select id, watch, feed, keys, is_bulk, xid::text, failures, 2
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

fn read(row: &PgRow) -> Result<Batch, sqlx::Error> {
    let subject = match row.try_get("watch")? {
        Some(watch) => Subject::Watch(watch),
        None => Subject::Feed(row.try_get("feed")?),
    };
    Ok(Batch {
        subject,
        keys: row.try_get("keys")?,
        is_bulk: row.try_get("is_bulk")?,
        xid: row.try_get("xid")?,
        failures: row.try_get("failures")?,
    })
}

/// Has all rows of a feed looked at, or once more where that is under way.
pub(super) async fn owe_sweep(connection: &mut PgConnection, feed: i16) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into dashboard.sweeps (feed) values ($1)
         on conflict (feed) do update set again = true",
    )
    .bind(feed)
    .execute(connection)
    .await
    .map(drop)
}

/// A sweep that goes on.
pub(super) struct Sweep {
    pub(super) feed: i16,
    is_at_model: bool,
    after: Option<String>,
}

/// The sweep that was asked for first, of those that may go on now.
pub(super) async fn next_sweep(
    connection: &mut PgConnection,
) -> Result<Option<Sweep>, sqlx::Error> {
    let row = sqlx::query(
        "select feed, is_at_model, after from dashboard.sweeps
         where not_before <= clock_timestamp()
         order by since, feed
         limit 1",
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Sweep { feed: row.try_get(0)?, is_at_model: row.try_get(1)?, after: row.try_get(2)? })
    })
    .transpose()
}

impl Sweep {
    /// The next keys, at most `limit`; the sweep goes on behind them.
    pub(super) async fn turn_page(
        &self,
        connection: &mut PgConnection,
        home: &Watch,
        kind: Kind,
        limit: usize,
    ) -> Result<Vec<Option<String>>, sqlx::Error> {
        let page = if self.is_at_model {
            let table = kind.table();
            format!(
                "select key from dashboard.{table}
                 where feed = {} and key > coalesce($1::text, '') order by key limit $2",
                self.feed
            )
        } else {
            home_page(connection, home, self.after.is_none()).await?
        };
        let asked = i64::try_from(limit).unwrap_or(i64::MAX);
        let keys: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(page))
            .bind(&self.after)
            .bind(asked)
            .fetch_all(&mut *connection)
            .await?;
        let statement = match (keys.len() < limit, self.is_at_model) {
            (false, _) => "update dashboard.sweeps set after = $2 where feed = $1",
            (true, false) => {
                "update dashboard.sweeps set is_at_model = true, after = null
                 where feed = $1 and ($2 is null or true)"
            }
            (true, true) => {
                "with ended as (
                     delete from dashboard.sweeps where feed = $1 and not again
                 )
                 update dashboard.sweeps
                 set is_at_model = false, after = null, again = false, since = clock_timestamp()
                 where feed = $1 and again and ($2 is null or true)"
            }
        };
        sqlx::query(statement)
            .bind(self.feed)
            .bind(keys.last().cloned().flatten())
            .execute(connection)
            .await?;
        Ok(keys)
    }

    /// Lets it wait a little, where something is in the way.
    pub(super) async fn put_off(
        &self,
        connection: &mut PgConnection,
        error: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update dashboard.sweeps
             set not_before = clock_timestamp() + make_interval(secs => $2), error = $3
             where feed = $1",
        )
        .bind(self.feed)
        .bind(1.0)
        .bind(error)
        .execute(connection)
        .await
        .map(drop)
    }

    /// Forgets it: its feed is not of this source.
    pub(super) async fn end(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let statement = "delete from dashboard.sweeps where feed = $1";
        sqlx::query(statement).bind(self.feed).execute(connection).await.map(drop)
    }
}

/// The statement for a page of the application's keys. Its column's type is asked for each time: it may
/// have become another.
async fn home_page(
    connection: &mut PgConnection,
    home: &Watch,
    is_first: bool,
) -> Result<String, sqlx::Error> {
    let [column] = &home.key[..] else { return Err(sqlx::Error::ColumnNotFound(String::new())) };
    let of_type: Option<String> = sqlx::query_scalar(
        "select format_type(atttypid, atttypmod) from pg_attribute
         where attrelid = to_regclass($1) and attname = $2 and not attisdropped",
    )
    .bind(&home.table)
    .bind(column)
    .fetch_optional(connection)
    .await?;
    let of_type = of_type.ok_or_else(|| sqlx::Error::ColumnNotFound(column.clone()))?;
    let (table, column) = (&home.table, identifier(column));
    let after = if is_first {
        "$1::text is null".to_owned()
    } else {
        format!("{column} > $1::text::{of_type}")
    };
    Ok(format!("select {column}::text from {table} where {after} order by {column} limit $2"))
}
