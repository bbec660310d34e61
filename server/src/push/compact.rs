//! Keeps the change log short: counts old rows into each user's base and removes them.
//!
//! A row may go once every node has read it. Nodes poll many times a second, so a row that has been
//! visible for minutes has been read by all that will not have to start over anyway. What decides
//! is not the row's date but a snapshot that was taken that long ago: a row of a transaction that
//! committed late is not in it, however old the row. The snapshot is noted in `dashboard.meta`, and
//! a node whose cursor is older knows that it has missed rows.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::database::{Pool, session};
use crate::metrics::Metrics;
use crate::push::supervise::Progress;

/// The longest pause between two passes.
const INTERVAL_MAX: Duration = Duration::from_mins(1);
/// What one pass may take, with the wait for a connection and for the database's answer: more than
/// the statement may take there.
const PASS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many rows one pass folds at most: a second of work, whatever has piled up.
const PASS_ROWS: i64 = 100_000;
/// Where a pass takes too long, as on a slow disk, the next one takes half as many rows, down to this.
const PASS_ROWS_MIN: i64 = 100;
/// A task that has made no progress for so long hangs.
pub(crate) const STALLED_AFTER: Duration = Duration::from_mins(3);

/// Compacts now and then until told to stop.
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
        let Some(folded) = stop.run_until_cancelled(pass).await else { return };
        pause = interval;
        match folded {
            Ok(folded) => {
                metrics.changes_folded.inc_by(folded);
                if std::mem::take(&mut failing) {
                    tracing::info!("the change log is compacted again");
                }
                if folded == limit.unsigned_abs() {
                    // There are more.
                    pause = Duration::ZERO;
                }
                limit = (limit * 2).min(PASS_ROWS);
            }
            Err(error) => {
                limit = (limit / 2).max(PASS_ROWS_MIN);
                // Once per failure, not once per attempt: a database may be read-only for long.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "the change log cannot be compacted and will grow");
                }
            }
        }
    }
}

async fn pass(pool: &Pool, retention: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let pass = async { compact(&mut *pool.get().await?, retention, limit).await };
    timeout(PASS_TIMEOUT, pass).await.unwrap_or_else(|_| Err(session::silence(PASS_TIMEOUT)))
}

/// Folds rows that have been visible for longer than `retention`, `limit` at most; says how many. Only
/// one node at a time does it, and the others do nothing.
///
/// The turn is a row of ours, which only this server may lock: an advisory lock can be held for ever by
/// any role. It ends with the transaction, and the database ends that where this server falls silent.
///
/// # Errors
/// If the database fails; nothing is changed then.
pub async fn compact(
    connection: &mut PgConnection,
    retention: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    const TURN: &str = "select from dashboard.meta for update skip locked";
    let mut transaction = connection.begin().await?;
    if sqlx::query(TURN).fetch_optional(&mut *transaction).await?.is_none() {
        return Ok(0);
    }
    sqlx::query("set local statement_timeout = '8s'").execute(&mut *transaction).await?;
    let folded: i64 = sqlx::query_scalar(FOLD)
        .bind(retention.as_secs_f64())
        .bind(limit)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(folded).unwrap_or_default())
}

/// One statement, so that no reader ever sees a row both gone and uncounted.
const FOLD: &str = "
    with horizon as materialized (
        select taken_at, snapshot
        from dashboard.compactions
        where taken_at <= clock_timestamp() - make_interval(secs => $1)
        order by taken_at desc
        limit 1
    ),
    noted as (
        insert into dashboard.compactions (snapshot) values (pg_current_snapshot())
        on conflict do nothing
    ),
    forgotten as (
        delete from dashboard.compactions
        where taken_at < (select taken_at from horizon)
    ),
    marked as (
        update dashboard.meta set folded = horizon.snapshot
        from horizon
        where meta.folded::text <> horizon.snapshot::text
    ),
    gone as (
        delete from dashboard.changes
        where ctid = any (array(
            select changes.ctid
            from dashboard.changes, horizon
            where changes.xid < pg_snapshot_xmax(horizon.snapshot)
              and pg_visible_in_snapshot(changes.xid, horizon.snapshot)
            limit $2
        ))
        returning user_id
    ),
    counted as (
        select user_id, count(*) as rows from gone group by user_id
    ),
    based as (
        insert into dashboard.revisions (user_id, base)
        select user_id, rows from counted order by user_id
        on conflict (user_id) do update set base = revisions.base + excluded.base
    )
    select coalesce(sum(rows), 0)::bigint from counted";
