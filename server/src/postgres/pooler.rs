//! Detects a pooler that changes sessions between transactions. A pooler such as `PgBouncer` may lend the
//! database's sessions to its clients by the transaction. Then the settings and prepared statements of a session
//! are gone with its next transaction, and another client finds them. No error would report it: a limit would not
//! hold, or the search path would be another, until a statement is missing or is there already.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};

use super::session::{self, Purpose};

/// How often to look: a pooler may lend its sessions in turn, and the same one may come again by chance.
const ROUNDS: usize = 3;

/// Whether the session with the database is another from transaction to transaction, or is another client's, too.
///
/// # Errors
/// What the database says.
pub(crate) async fn lends_sessions(
    options: &PgConnectOptions,
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let own = process(connection).await?;
    // Where no second session can be opened, the part that needs one reports that.
    let Ok(mut other) = session::open(options, Purpose::Check).await else { return Ok(false) };
    for _ in 0..ROUNDS {
        // Both are open, so they are two sessions. Now the pooler may give away what the first one had.
        if process(&mut other).await? == own {
            return Ok(true);
        }
        // While another holds one, it may have to give the first one a different one.
        match sqlx::raw_sql("begin").execute(&mut other).await {
            Ok(_) => {}
            // No transaction at all: it lends them by the statement.
            Err(sqlx::Error::Database(_)) => return Ok(true),
            Err(error) => return Err(error),
        }
        let held = process(&mut other).await?;
        let now = process(connection).await?;
        sqlx::raw_sql("rollback").execute(&mut other).await?;
        if held == own || now != own {
            return Ok(true);
        }
    }
    other.close().await.ok();
    Ok(false)
}

/// The process that serves a session. Asked without preparing anything.
async fn process(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let row = sqlx::raw_sql("select pg_backend_pid()::text").fetch_one(connection).await?;
    row.try_get(0)
}
