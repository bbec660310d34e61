//! Reads a user's dashboard: whole for a snapshot, or the sections that changed for a refresh.
//!
//! Each read is one SQL statement, a UNION ALL of the sections and the revision. So the revision is the
//! number of the user's last change that the data includes: the projector writes both in one transaction.
//!
//! A refresh is the same statement with one addition: from the changes after the caller's cursor, it works
//! out itself which sections to read. What it returns at revision R is therefore complete up to R. No
//! change up to R is left for a later event of the same revision, which a client would have to treat as
//! old. A refresh answers for several users at once, because most of its cost is that of any statement.

mod rows;
mod statements;

use std::time::Duration;

use shared_types::{DashboardView, SnapshotTag};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use self::rows::Reader;
use crate::dashboard::cursor::Cursor;
use crate::dashboard::section::Sections;
use crate::user::UserId;

/// How long to wait for an answer of several statements, with all that they wait for. Longer than
/// any one of them may take, so it is what is left when the network fails in silence.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a user's data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database did not answer, or answered with an error.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// It did not answer in time.
    #[error("the database did not answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// Not all of the application's rows have been read yet, so the read model would show too little.
    #[error("the application's tables are still being read for the first time")]
    Incomplete,
    /// The database holds something that the contract cannot express.
    #[error("the database holds a bad value: {0}")]
    Value(&'static str),
    /// What was read cannot be written as JSON, which no type of the contract allows.
    #[error("the dashboard cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What a user's refresh has to read.
#[derive(Clone, Copy, Debug)]
pub struct Owed<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The sections of the changes after this one.
    pub since: Cursor,
    /// Sections that are read in any case.
    pub forced: Sections,
}

/// Something that happened to the recent list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// A MOC, if all that happened was that it was added.
    pub moc: Option<Uuid>,
    /// By that change. Those of one change were added together.
    pub by: Cursor,
}

/// What changed for a user since a cursor.
#[derive(Debug)]
pub struct Refresh {
    /// Epoch and revision of everything below.
    pub tag: SnapshotTag,
    /// The sections that were read: those that changed, and those that were asked for.
    pub sections: Sections,
    /// What happened to the recent list, in the order of the changes.
    pub added: Vec<Added>,
    /// The newest change of all users that the statement saw.
    pub cursor: Cursor,
    /// Changes up to here may have been removed. If this is later than the caller's cursor, some may
    /// have been missed.
    pub removed_to: Cursor,
    /// The sections that were read. The others are empty.
    pub view: DashboardView,
}

/// Waits for reads, but not for ever.
///
/// # Errors
/// [`QueryError::Slow`], and what the reads themselves return.
pub async fn in_time<T, E: From<QueryError>>(
    reads: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(PATIENCE, reads).await.unwrap_or_else(|_| Err(QueryError::Slow.into()))
}

/// Reads a whole dashboard and its tag (D-API-2).
///
/// # Errors
/// See [`QueryError`].
pub async fn snapshot(
    db: impl PgExecutor<'_>,
    user: &str,
) -> Result<(SnapshotTag, DashboardView), QueryError> {
    let rows = sqlx::query(statements::SNAPSHOT.as_str()).bind(user).fetch_all(db).await?;
    let mut reader = Reader::default();
    for row in &rows {
        reader.read(row)?;
    }
    reader.finish()
}

/// Reads only the tags that snapshots would have now: one for each, in the order of `users`.
///
/// # Errors
/// See [`QueryError`].
pub async fn tags(
    db: impl PgExecutor<'_>,
    users: &[UserId],
) -> Result<Vec<SnapshotTag>, QueryError> {
    let users: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let rows = sqlx::query(statements::TAGS.as_str()).bind(users).fetch_all(db).await?;
    rows.iter().map(|row| rows::tag(row.try_get(0)?, row.try_get(1)?)).collect()
}

/// Begins a new epoch of the changes, unless the one that is `known` has ended already: what clients hold
/// cannot be compared with the changes any more. Returns the epoch that holds then.
///
/// # Errors
/// See [`QueryError`].
pub async fn renew_life(db: &mut PgConnection, known: &str) -> Result<String, QueryError> {
    const RENEW: &str = "
        update dashboard.meta set life = left(replace(gen_random_uuid()::text, '-', ''), 16)
        where (select life from dashboard.current_epoch) = $1";
    sqlx::query(RENEW).bind(known).execute(&mut *db).await?;
    Ok(sqlx::query_scalar("select life from dashboard.current_epoch").fetch_one(db).await?)
}

/// Reads what users need: one result for each, in the order of `owed`. One user's data can spoil that
/// user's result, but not the others'.
///
/// # Errors
/// See [`QueryError`]. Where the statement itself fails, it does so for all.
pub async fn refresh(
    db: impl PgExecutor<'_>,
    owed: &[Owed<'_>],
) -> Result<Vec<Result<Refresh, QueryError>>, QueryError> {
    let users: Vec<&str> = owed.iter().map(|owed| owed.user).collect();
    let since: Vec<i64> = owed.iter().map(|owed| owed.since.0).collect();
    let forced: Vec<i16> = owed.iter().map(|owed| owed.forced.bits()).collect();
    let query = sqlx::query(statements::REFRESH.as_str()).bind(users).bind(since).bind(forced);
    let rows = query.fetch_all(db).await?;
    let mut found: Vec<Vec<&PgRow>> = owed.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        // Ordinality counts from one.
        let place = row.try_get::<i64, _>("place")?.checked_sub(1);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let theirs = place.and_then(|place| found.get_mut(place));
        theirs.ok_or(QueryError::Value("a row of nobody"))?.push(row);
    }
    Ok(owed.iter().zip(&found).map(|(owed, rows)| read(owed, rows)).collect())
}

/// Reads one user's rows.
fn read(owed: &Owed<'_>, rows: &[&PgRow]) -> Result<Refresh, QueryError> {
    let mut reader = Reader::default();
    let mut head = None;
    for row in rows {
        if reader.read(row)? == rows::HEAD {
            head = Some(row);
        }
    }
    let head = head.ok_or(rows::NO_HEAD)?;
    let sections = Sections::from_bits(head.try_get("sections")?);
    let added: Option<Vec<Option<Uuid>>> = head.try_get("added")?;
    let added_by: Option<Vec<i64>> = head.try_get("added_by")?;
    let added = added.unwrap_or_default().into_iter().zip(added_by.unwrap_or_default());
    let mut added: Vec<_> = added.map(|(moc, by)| Added { moc, by: Cursor(by) }).collect();
    if owed.forced.contains(Sections::RECENT) {
        // Asked for without regard to the log: what the log says is then not all that happened.
        added.clear();
    }
    let (cursor, removed_to) =
        (Cursor(head.try_get("newest")?), Cursor(head.try_get("removed_to")?));
    let (tag, view) = reader.finish()?;
    Ok(Refresh { tag, sections, added, cursor, removed_to, view })
}
