//! Keeps the table of changes small: removes rows that every server has read.
//!
//! Servers poll many times a second. So a row that has been there for minutes has been read by every server
//! that does not have to start over anyway. A user's newest row stays for good, because its number is the
//! user's revision. `dashboard.meta` notes how far rows may have been removed. A server that has not read
//! that far knows that it may have missed some.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::postgres::{Pool, session};
use crate::supervisor::Progress;

/// The longest pause between two passes.
const INTERVAL_MAX: Duration = Duration::from_mins(1);
/// What one pass may take, with the wait for a connection and for the database's answer: more than
/// the statement may take there.
const PASS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many rows one pass reads: a second of work, however many rows have piled up.
const PASS_ROWS: i64 = 100_000;
/// Where a pass takes too long, as on a slow disk, the next one takes half as many rows, down to this.
const PASS_ROWS_MIN: i64 = 100;
/// A task that has made no progress for this long hangs.
pub(crate) const STALLED_AFTER: Duration = Duration::from_mins(3);

/// What a pass has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows that were removed.
    pub rows: u64,
    /// There are more rows to check.
    pub has_more: bool,
}

/// Removes old rows now and then until it is stopped.
pub(crate) async fn run(
    pool: Pool,
    retention: Duration,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    progress: Progress,
) {
    let interval = (retention / 4).clamp(Duration::from_millis(250), INTERVAL_MAX);
    let mut pause = interval;
    let (mut failing, mut limit) = (false, PASS_ROWS);
    loop {
        progress.made();
        let pass = async {
            sleep(pause).await;
            pass(&pool, retention, limit).await
        };
        let Some(removed) = stop.run_until_cancelled(pass).await else { return };
        pause = interval;
        match removed {
            Ok(removed) => {
                metrics.changes_removed.inc_by(removed.rows);
                if std::mem::take(&mut failing) {
                    tracing::info!("old changes are removed again");
                }
                if removed.has_more {
                    pause = Duration::ZERO;
                }
                limit = (limit * 2).min(PASS_ROWS);
            }
            Err(error) => {
                limit = (limit / 2).max(PASS_ROWS_MIN);
                // Once per failure, not once per attempt: a database may be read-only for long.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "old changes cannot be removed and will pile up");
                }
            }
        }
    }
}

async fn pass(pool: &Pool, retention: Duration, limit: i64) -> Result<Removed, sqlx::Error> {
    let pass = async { remove(&mut *pool.get().await?, retention, limit).await };
    timeout(PASS_TIMEOUT, pass).await.unwrap_or_else(|_| Err(session::silence(PASS_TIMEOUT)))
}

/// Checks `limit` rows that are older than `retention` and were not checked before, and removes what
/// they make superfluous: their users' older rows. Only one server at a time does it, and the others do
/// nothing.
///
/// The turn is a lock on a row of our own table, which no other role may lock. An advisory lock would not
/// do: any role can take one and keep it. The turn ends with the transaction, and the database ends the
/// transaction of a server that falls silent.
///
/// # Errors
/// If the database fails. Nothing is changed then.
pub async fn remove(
    connection: &mut PgConnection,
    retention: Duration,
    limit: i64,
) -> Result<Removed, sqlx::Error> {
    const TURN: &str = "select removed_to from dashboard.meta for update skip locked";
    let mut transaction = connection.begin().await?;
    let from: Option<i64> = sqlx::query_scalar(TURN).fetch_optional(&mut *transaction).await?;
    let Some(from) = from else { return Ok(Removed::default()) };
    sqlx::query("set local statement_timeout = '8s'").execute(&mut *transaction).await?;
    let (rows, looked): (i64, i64) = sqlx::query_as(REMOVE)
        .bind(retention.as_secs_f64())
        .bind(limit)
        .bind(from)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Removed { rows: rows.unsigned_abs(), has_more: looked == limit })
}

/// A row that has become old makes all older ones of its user superfluous. So of the checked rows, one
/// stays for each user, until a younger one has become old.
const REMOVE: &str = "
    with old as materialized (
        select id, user_id
        from (
            select id, user_id, at from dashboard.changes where id > $3 order by id limit $2
        ) as next
        where at <= clock_timestamp() - make_interval(secs => $1)
    ),
    newest as materialized (
        select user_id, max(id) as id from old group by user_id
    ),
    gone as (
        delete from dashboard.changes
        using newest
        where changes.user_id = newest.user_id and changes.id < newest.id
        returning changes.id
    ),
    noted as (
        update dashboard.meta set removed_to = last.id
        from (select max(id) as id from old) as last
        where last.id is not null
    )
    select (select count(*) from gone), (select count(*) from old)";
