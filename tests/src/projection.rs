//! From what a writer has committed to what dashboards are read from: a running server takes it there a
//! moment later.

use std::time::Instant;

use sqlx::PgConnection;

use crate::waiting::{DEADLINE, pause};

/// What is left to do; null where nothing is.
const LEFT: &str = "
    select case when notes + batches + sweeps > 0 or not is_ready
           then format('%s notes, %s batches of %s keys (%s failed), %s sweeps, ready: %s',
                       notes, batches, keys, failed, sweeps, is_ready) end
    from (select count(*) as notes from dashboard.outbox) as outbox,
         (select count(*) as batches, sum(cardinality(keys)) as keys, count(error) as failed
          from dashboard.pending) as pending,
         (select count(*) as sweeps from dashboard.sweeps) as sweeps,
         dashboard.current_epoch";

/// Waits until everything that has been committed so far can be read by dashboards. A server must be
/// running, and nothing may keep it from its work. However slow the machine, less and less is left:
/// only where nothing has changed for [`DEADLINE`] is it given up.
pub async fn projected(db: &mut PgConnection) {
    let (mut left, mut since) = (None, Instant::now());
    loop {
        let now = sqlx::query_scalar::<_, Option<String>>(LEFT).fetch_one(&mut *db).await;
        let now = now.expect("the server's tables are there");
        if now.is_none() {
            return;
        }
        if now != left {
            (left, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < DEADLINE,
            "nothing has been projected for {DEADLINE:?}: {left:?}"
        );
        pause().await;
    }
}
