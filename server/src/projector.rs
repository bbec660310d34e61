//! From notes to what dashboards are read from.
//!
//! ```text
//! outbox ──take──▶ pending ──▶ work: which rows? what differs? ──▶ read model, changes
//! ```
//!
//! Any server may project, one at a time: the one that holds the turn, a row of ours. A transaction takes
//! the notes that have become visible. Small work it does itself, at once; what an import has left it only
//! moves to `pending`, where it is done in batches. Each batch is bounded in time, so that nothing that
//! one user does delays another's change by more than a moment.
//!
//! What cannot be projected is put aside, in halves until it is one key, and tried again later: the others
//! go on. Nothing is lost by a crash: what was taken and not done was not committed.

mod lane;
mod map;
mod pace;
mod statements;
mod take;
mod work;

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};

use self::lane::{Batch, Subject};
use self::map::Map;
use self::pace::Paces;
pub(crate) use self::statements::{columns, oddities};
use self::take::Take;
use self::work::Work;
use crate::database::session::{self, Purpose};
use crate::source::Installed;

/// How long plans are kept. They are made once, from statistics that may have been taken of empty tables.
const PLANS: Duration = Duration::from_mins(1);

/// Why a pass came to nothing. What it had taken is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The connection is of no use any more, or the database refuses to be written to.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A feed's query yields a row twice.
    #[error("the query of {feed} yields the key {key} more than once")]
    Twice {
        /// The feed's name.
        feed: String,
        /// The key.
        key: String,
    },
}

/// What a pass has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Another server holds the turn. Nothing was looked at.
    pub is_elsewhere: bool,
    /// There is more to do now.
    pub has_more: bool,
    /// Notes that were taken.
    pub notes: usize,
    /// Users who see something new.
    pub users: usize,
}

/// Projects the notes of one source.
#[derive(Debug)]
pub struct Projector {
    map: Map,
    take: Take,
    paces: Paces,
    /// Whose bulk work was done last.
    served: String,
    /// When plans were last made anew.
    planned: Option<Instant>,
}

impl Projector {
    /// A projector of an installed source.
    #[must_use]
    pub fn new(installed: Installed) -> Self {
        Self {
            map: Map::new(installed),
            take: Take::default(),
            paces: Paces::default(),
            served: "0".to_owned(),
            planned: None,
        }
    }

    /// Takes what has been noted, does what is small, and then a batch of what is not.
    ///
    /// # Errors
    /// [`ProjectorError::Database`] where the connection has to be given up.
    pub async fn pass(&mut self, connection: &mut PgConnection) -> Result<Pass, ProjectorError> {
        let passed = self.small_then_bulk(connection).await;
        if passed.is_err() {
            self.take.forget();
        }
        passed
    }

    async fn small_then_bulk(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Pass, ProjectorError> {
        let mut pass = Pass::default();
        if self.planned.is_none_or(|at| at.elapsed() > PLANS) {
            sqlx::raw_sql("discard plans").execute(&mut *connection).await?;
            self.planned = Some(Instant::now());
        }
        if !take_turn(connection).await? {
            return Ok(Pass { is_elsewhere: true, ..pass });
        }
        self.small(connection, &mut pass).await?;
        commit(connection).await?;
        self.take.confirm();
        if take_turn(connection).await? {
            self.bulk(connection, &mut pass).await?;
            commit(connection).await?;
        }
        Ok(pass)
    }

    /// Takes the notes, and does small work: what waited first.
    async fn small(
        &mut self,
        connection: &mut PgConnection,
        pass: &mut Pass,
    ) -> Result<(), ProjectorError> {
        let taken = self.take.notes(connection).await?;
        let fresh: Vec<_> =
            taken.small.into_iter().map(|(watch, keys)| Batch::noted(watch, keys)).collect();
        let mut batches = lane::next_small(connection).await?;
        if batches.is_empty() {
            batches = fresh;
        } else {
            for batch in fresh {
                batch.keep(connection).await?;
            }
        }
        pass.notes = taken.notes;
        pass.has_more |= taken.has_more || !batches.is_empty();
        pass.users += self.attempt(connection, batches).await?;
        Ok(())
    }

    /// Does a batch of bulk work; or, if there is none, a page of a sweep.
    async fn bulk(
        &mut self,
        connection: &mut PgConnection,
        pass: &mut Pass,
    ) -> Result<(), ProjectorError> {
        let rows = |subject| self.paces.of(subject) * self.map.width(subject);
        let batch = lane::next_bulk(connection, &self.served, rows).await?;
        if let Some((xid, batch)) = batch {
            self.served = xid;
            pass.has_more = true;
            pass.users += self.attempt(connection, vec![batch]).await?;
        } else if let Some(sweep) = lane::next_sweep(connection).await? {
            pass.has_more = true;
            if let Some(page) = self.turn_page(connection, &sweep).await? {
                pass.users += self.attempt(connection, vec![page]).await?;
            }
        }
        Ok(())
    }

    /// The next page of a sweep: none where its rows cannot be gone through now, or at its end.
    async fn turn_page(
        &mut self,
        connection: &mut PgConnection,
        sweep: &lane::Sweep,
    ) -> Result<Option<Batch>, ProjectorError> {
        let Some(feed) = self.map.feed(sweep.feed) else {
            sweep.end(connection).await?;
            return Ok(None);
        };
        let rows = self.paces.of(Subject::Feed(sweep.feed));
        sqlx::raw_sql("savepoint page").execute(&mut *connection).await?;
        let page = sweep.turn_page(connection, &feed.home, feed.kind, rows).await;
        match page.map_err(ProjectorError::from) {
            Ok(keys) => Ok((!keys.is_empty()).then(|| Batch::bulk(sweep.feed, keys))),
            Err(error) if is_the_works(&error) => {
                tracing::warn!(%error, feed = feed.name, "a feed's rows cannot be gone through");
                sqlx::raw_sql("rollback to savepoint page").execute(&mut *connection).await?;
                sweep.put_off(connection, &error.to_string()).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Projects the batches together; how many users see something new. Where that fails, nothing of it is
    /// done, and each is put aside by itself.
    async fn attempt(
        &mut self,
        connection: &mut PgConnection,
        batches: Vec<Batch>,
    ) -> Result<usize, ProjectorError> {
        if batches.is_empty() {
            return Ok(0);
        }
        let is_one_row =
            batches.len() == 1 && batches[0].is_one_row(self.map.width(batches[0].subject));
        let savepoint = if is_one_row { work::SAVEPOINT_OF_ONE } else { work::SAVEPOINT };
        sqlx::raw_sql(savepoint).execute(&mut *connection).await?;
        let work = Work::new(&self.map, &mut self.paces, connection);
        match work.run(&batches).await {
            Ok(users) => Ok(users),
            Err(error) if is_the_works(&error) => {
                self.planned = None;
                sqlx::raw_sql("rollback to savepoint work").execute(&mut *connection).await?;
                let is_alone = batches.len() == 1;
                for batch in batches {
                    if is_alone {
                        self.put_aside(connection, &batch, &error).await?;
                    } else {
                        batch.keep_alone(connection).await?;
                    }
                }
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_aside(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        error: &ProjectorError,
    ) -> Result<(), ProjectorError> {
        let text = error.to_string();
        if is_locked(error) {
            return Ok(batch.keep_waiting(connection, &text).await?);
        }
        if let Some((one, other)) = batch.halves(self.map.width(batch.subject)) {
            one.keep_alone(connection).await?;
            return Ok(other.keep_alone(connection).await?);
        }
        let Subject::Watch(watch) = batch.subject else {
            tracing::warn!(error = text, "a row cannot be projected and will be tried again");
            return Ok(batch.keep_failed(connection, &text).await?);
        };
        // Either a query that leads to rows is to blame, or one of those rows. The rows are looked at
        // one by one where their keys are known; where they are not, all rows are.
        for (feed, to) in self.map.routes(watch) {
            let feed = self.map.number(feed);
            if to.is_none() {
                batch.of_feed(feed).keep_alone(connection).await?;
            } else {
                tracing::warn!(error = text, "looking at all rows of a feed instead");
                lane::owe_sweep(connection, feed).await?;
            }
        }
        Ok(())
    }
}

/// Opens a session for a projector.
///
/// # Errors
/// What the database says; an I/O error where it says nothing.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    session::open(options, Purpose::Project).await
}

/// Begins a transaction and takes the turn; or ends it again, where another server has it.
async fn take_turn(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const TURN: &str = "begin isolation level read committed;
        select true from dashboard.turn for update skip locked";
    let turn = sqlx::raw_sql(TURN).fetch_optional(&mut *connection).await?;
    if turn.is_none() {
        sqlx::raw_sql("rollback").execute(connection).await?;
    }
    Ok(turn.is_some())
}

async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("commit").execute(connection).await.map(drop)
}

/// Whether the work is to blame, rather than the connection or the database.
fn is_the_works(error: &ProjectorError) -> bool {
    match error {
        ProjectorError::Twice { .. } => true,
        ProjectorError::Database(sqlx::Error::Database(error)) => {
            // A session that is ended, a full disk, a database that may not be written to.
            let code = error.code().unwrap_or_default();
            let is_elsewhere =
                ["25", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class));
            code == "57014" || !is_elsewhere
        }
        ProjectorError::Database(error) => {
            use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode};
            matches!(error, ColumnDecode { .. } | ColumnNotFound(_) | Decode(_))
        }
    }
}

/// Whether something else is in the way: a lock that could not be had in time, or a deadlock.
fn is_locked(error: &ProjectorError) -> bool {
    matches!(error, ProjectorError::Database(sqlx::Error::Database(error))
        if error.code().is_some_and(|code| code == "55P03" || code == "40P01"))
}
