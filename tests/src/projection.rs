//! From what a writer has committed to what dashboards are read from: a running server takes it there a
//! moment later.

use std::time::Duration;

use sqlx::PgConnection;

use crate::waiting::within;

/// How often it is looked: the server has the same processors to work with.
const LOOK: Duration = Duration::from_millis(5);
const DONE: &str = "select not exists (select from dashboard.outbox)
                       and not exists (select from dashboard.pending)
                       and not exists (select from dashboard.sweeps)
                       and (select is_ready from dashboard.current_epoch)";

/// Waits until everything that has been committed so far can be read by dashboards. A server must be
/// running, and nothing may keep it from its work.
pub async fn projected(db: &mut PgConnection) {
    within("everything to be projected", async {
        loop {
            let done = sqlx::query_scalar::<_, bool>(DONE).fetch_one(&mut *db).await;
            if done.expect("the server's tables are there") {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}
