//! Keeps the change log short: counts old rows into each user's base and removes them.
//!
//! A row may go once every node has read it. Nodes poll many times a second, so a row that has been
//! visible for minutes has been read by all that will not have to start over anyway. What decides
//! is not the row's date but a snapshot that was taken that long ago: a row of a transaction that
//! committed late is not in it, however old the row. The snapshot is noted in `dashboard.meta`, and
//! a node whose cursor is older knows that it has missed rows.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Compacts now and then until told to stop.
pub(crate) async fn run(
    pool: PgPool,
    retention: Duration,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let interval = (retention / 4).clamp(Duration::from_millis(250), Duration::from_mins(1));
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        match compact(&pool, retention).await {
            Ok(folded) => {
                metrics.changes_folded.inc_by(folded);
                if std::mem::take(&mut failing) {
                    tracing::info!("the change log is compacted again");
                }
            }
            // Once per failure, not once per attempt: a database may be read-only for long.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "the change log cannot be compacted and will grow");
            }
            Err(_) => {}
        }
    }
}

/// Folds the rows that have been visible for longer than `retention`; says how many. Only one node
/// at a time does it, and the others do nothing.
///
/// # Errors
/// If the database fails; nothing is changed then.
pub async fn compact(pool: &PgPool, retention: Duration) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let mine: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(COMPACTION_LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if !mine {
        return Ok(0);
    }
    // A long fold is better than an abandoned one.
    sqlx::query("set local statement_timeout = 0").execute(&mut *transaction).await?;
    let folded: i64 =
        sqlx::query_scalar(FOLD).bind(retention.as_secs_f64()).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(u64::try_from(folded).unwrap_or_default())
}

/// Any number that nothing else in the database is likely to use.
const COMPACTION_LOCK: i64 = 0x6d6f_635f_666f_6c64;

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
        using horizon
        where changes.xid < pg_snapshot_xmax(horizon.snapshot)
          and pg_visible_in_snapshot(changes.xid, horizon.snapshot)
        returning changes.user_id
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
