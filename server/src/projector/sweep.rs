//! Sweeps all rows of a feed, page by page: first those of the application, then those of the read model, which
//! the application may no longer have.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::error::ProjectorError;
use super::lane::HELD;
use crate::source::{KEY_TYPES, Kind, MAX_KEY_BYTES, Watch, identifier};

/// Orders a sweep of a feed, or one more where a sweep is under way. The caller holds the turn, so no row is
/// being read now: a sweep that has not begun will see the cause of this call.
pub(super) async fn owe(connection: &mut PgConnection, feed: i16) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into dashboard.sweeps (feed) values ($1)
         on conflict (feed) do update set again = true
         where not sweeps.again and (sweeps.is_at_model or sweeps.after is not null)",
    )
    .bind(feed)
    .execute(connection)
    .await
    .map(drop)
}

/// Orders a sweep of a feed for when its query can be run again.
pub(super) async fn hold(
    connection: &mut PgConnection,
    feed: i16,
    error: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into dashboard.sweeps (feed, not_before, error)
         values ($1, clock_timestamp() + make_interval(secs => $2), $3)
         on conflict (feed) do update
         set again = true, not_before = excluded.not_before, error = excluded.error",
    )
    .bind(feed)
    .bind(HELD.as_secs_f64())
    .bind(error)
    .execute(connection)
    .await
    .map(drop)
}

/// Whether all rows of a feed are certain to be read from now on, so that there is no need to request some: the
/// sweep has not begun, or there will be another. Not where a sweep cannot go on.
pub(super) async fn is_owed_whole(
    connection: &mut PgConnection,
    feed: i16,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
             select from dashboard.sweeps
             where feed = $1 and error is null and (again or not is_at_model and after is null)
         )",
    )
    .bind(feed)
    .fetch_one(connection)
    .await
}

/// A sweep that goes on.
pub(super) struct Sweep {
    pub(super) feed: i16,
    is_at_model: bool,
    after: Option<String>,
}

/// The name and kind of a feed, whether or not the source has it.
pub(super) async fn feed(
    connection: &mut PgConnection,
    number: i16,
) -> Result<Option<(String, Kind)>, sqlx::Error> {
    let query = sqlx::query_as("select name, kind from dashboard.feeds where number = $1");
    let found: Option<(String, String)> = query.bind(number).fetch_optional(connection).await?;
    Ok(found.and_then(|(name, kind)| Some((name, Kind::named(&kind)?))))
}

/// The sweep that was asked for first, of those that may go on now.
pub(super) async fn next(connection: &mut PgConnection) -> Result<Option<Sweep>, sqlx::Error> {
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
    /// The next keys, at most `limit`. The sweep goes on behind them. A feed that is not of the source any more has
    /// no home.
    pub(super) async fn turn_page(
        &self,
        connection: &mut PgConnection,
        home: &Watch,
        kind: Kind,
        limit: usize,
    ) -> Result<Vec<Option<String>>, ProjectorError> {
        let is_at_model = self.is_at_model || home.key.is_empty();
        let page = if is_at_model {
            let table = kind.table();
            // One plan serves all pages: with a choice in it, each would go over all pages before.
            let after = if self.after.is_none() { "$1::text is null" } else { "key > $1" };
            format!(
                "select key from dashboard.{table}
                 where feed = {} and {after} order by key limit $2",
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
        let statement = match (keys.len() < limit, is_at_model) {
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

    /// At its beginning: bulk work that waits for rows of the feed is part of the sweep.
    pub(super) async fn take_over(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.is_at_model || self.after.is_some() {
            return Ok(());
        }
        // Where there is more, it is done beside the sweep.
        let statement = "
            delete from dashboard.pending
            where id = any (array(
                select id from dashboard.pending
                where feed = $1 and is_bulk and not is_alone
                limit 1000
            ))";
        sqlx::query(statement).bind(self.feed).execute(connection).await.map(drop)
    }

    /// Some of its rows have been projected: nothing is in the way any more.
    pub(super) async fn go_on(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let statement =
            "update dashboard.sweeps set error = null where feed = $1 and error is not null";
        sqlx::query(statement).bind(self.feed).execute(connection).await.map(drop)
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
        .bind(HELD.as_secs_f64())
        .bind(error)
        .execute(connection)
        .await
        .map(drop)
    }

    /// Forgets it: there is no such feed.
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
) -> Result<String, ProjectorError> {
    let column = home.key.first().map_or("", String::as_str);
    let of_type: Option<String> = sqlx::query_scalar(
        "select atttypid::regtype::text from pg_attribute
         where attrelid = to_regclass($1) and attname = $2
           and atttypid = any ($3::text[]::regtype[]::oid[])",
    )
    .bind(&home.table)
    .bind(column)
    .bind(KEY_TYPES)
    .fetch_optional(connection)
    .await?;
    let of_type = of_type.ok_or_else(|| ProjectorError::NoKey {
        table: home.table.clone(),
        column: column.to_owned(),
    })?;
    let (table, column) = (&home.table, identifier(column));
    let after = if is_first {
        "$1::text is null".to_owned()
    } else {
        format!("home.{column} > $1::text::{of_type}")
    };
    // In the order of the column, not of its text: what is selected has the column's name.
    Ok(format!(
        "select home.{column}::text from {table} as home
         where {after} and octet_length(home.{column}::text) <= {MAX_KEY_BYTES}
         order by home.{column}
         limit $2"
    ))
}
