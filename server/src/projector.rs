//! From notes to what dashboards are read from.
//!
//! ```text
//! outbox ──take──▶ pending ──▶ expand (which rows?) ──▶ project (what differs?) ──▶ read model, changes
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
mod statements;
mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use self::lane::{Batch, Subject, Sweep};
use self::statements::Touched;
use self::take::Take;
use crate::database::session::{self, Purpose};
use crate::source::{Installed, Origin};

/// How many keys small work has at most, after it has been expanded: one part may be in thousands of MOCs.
const SMALL: usize = 200;
/// How long a batch of bulk work is to take. How many keys that is depends on the source.
const BATCH_TIME: Duration = Duration::from_millis(30);
const BATCH_MIN: usize = 5;
const BATCH_MAX: usize = 1_000;
/// Where a change concerns more rows than this, all of the feed's are looked at, page by page.
const MAX_EXPANDED: usize = 100_000;

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
    installed: Installed,
    /// The statement that projects rows, for each feed.
    statements: Vec<String>,
    take: Take,
    /// How many keys a bulk batch has, so that it takes [`BATCH_TIME`].
    batch: usize,
    /// Whose bulk work was done last.
    served: String,
}

/// The keys to look at, by the place of their feed.
type Keys = BTreeMap<usize, BTreeSet<String>>;
/// What users see: sections, and MOCs that are new, where nothing else happened to the recent list.
type Seen = BTreeMap<String, (i16, Vec<uuid::Uuid>)>;

impl Projector {
    /// A projector of an installed source.
    #[must_use]
    pub fn new(installed: Installed) -> Self {
        let statements = installed.source.feeds.iter().map(statements::project).collect();
        let (take, served) = (Take::default(), "0".to_owned());
        Self { installed, statements, take, batch: SMALL, served }
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
        if !take_turn(connection).await? {
            return Ok(Pass { is_elsewhere: true, ..pass });
        }
        let taken = self.take.notes(connection).await?;
        pass.notes = taken.notes;
        pass.has_more = taken.has_more;
        let mut batches: Vec<Batch> = Vec::new();
        for (watch, keys) in taken.small {
            batches.push(Batch::noted(watch, keys));
        }
        if batches.is_empty() {
            batches.extend(lane::next_small(connection).await?);
        }
        pass.has_more |= !batches.is_empty();
        pass.users += self.attempt(connection, batches).await?;
        commit(connection).await?;
        self.take.confirm();

        if !take_turn(connection).await? {
            return Ok(pass);
        }
        let started = Instant::now();
        if let Some(batch) = self.next_bulk(connection).await? {
            pass.has_more = true;
            let keys = batch.keys.len() / self.width(batch.subject);
            pass.users += self.attempt(connection, vec![batch]).await?;
            self.adapt(keys, started.elapsed());
        } else if let Some(sweep) = lane::next_sweep(connection).await? {
            pass.has_more = true;
            pass.users += self.sweep(connection, &sweep).await?;
            self.adapt(self.batch, started.elapsed());
        }
        commit(connection).await?;
        Ok(pass)
    }

    async fn next_bulk(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<Batch>, sqlx::Error> {
        let mut served = std::mem::take(&mut self.served);
        let width = |subject| self.width(subject);
        let next = lane::next_bulk(connection, &mut served, self.batch, width).await;
        self.served = served;
        next
    }

    /// Makes the next batch as large as fits into its time; never more than twice as large.
    fn adapt(&mut self, keys: usize, took: Duration) {
        if keys < self.batch && took < BATCH_TIME {
            return;
        }
        let fitting = keys as u128 * BATCH_TIME.as_micros() / took.as_micros().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(BATCH_MAX);
        self.batch = fitting.min(self.batch * 2).clamp(BATCH_MIN, BATCH_MAX);
    }

    /// Projects the batches together. Where that fails, nothing of it is done, and each is put aside by
    /// itself.
    async fn attempt(
        &self,
        connection: &mut PgConnection,
        batches: Vec<Batch>,
    ) -> Result<usize, ProjectorError> {
        if batches.is_empty() {
            return Ok(0);
        }
        sqlx::raw_sql("savepoint work").execute(&mut *connection).await?;
        match self.project(connection, &batches).await {
            Ok(users) => Ok(users),
            Err(error) if is_the_works(&error) => {
                sqlx::raw_sql("rollback to savepoint work").execute(&mut *connection).await?;
                let is_alone = batches.len() == 1;
                for batch in batches {
                    self.put_aside(connection, batch, is_alone.then_some(&error)).await?;
                }
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// `error` is why this batch failed; none where it failed together with others.
    async fn put_aside(
        &self,
        connection: &mut PgConnection,
        batch: Batch,
        error: Option<&ProjectorError>,
    ) -> Result<(), ProjectorError> {
        let Some(error) = error else {
            return Ok(batch.keep(connection).await?);
        };
        let text = error.to_string();
        if is_locked(error) {
            return Ok(batch.keep_waiting(connection, &text).await?);
        }
        if let Some((one, other)) = batch.halves(self.width(batch.subject)) {
            one.keep(connection).await?;
            return Ok(other.keep(connection).await?);
        }
        let Subject::Watch(watch) = batch.subject else {
            tracing::warn!(error = text, "a row cannot be projected and will be tried again");
            return Ok(batch.keep_failed(connection, &text).await?);
        };
        // Either a query that leads to rows is to blame, or one of those rows. The rows are looked at
        // one by one where their keys are known; where they are not, all rows are.
        for (feed, to) in self.routes(watch).collect::<Vec<_>>() {
            let feed = self.installed.feeds[feed];
            if to.is_none() {
                batch.of_feed(feed).keep(connection).await?;
            } else {
                tracing::warn!(error = text, "looking at all rows of a feed instead");
                lane::owe_sweep(connection, feed).await?;
            }
        }
        Ok(())
    }

    async fn project(
        &self,
        connection: &mut PgConnection,
        batches: &[Batch],
    ) -> Result<usize, ProjectorError> {
        let mut keys = Keys::new();
        let is_bulk = batches.iter().any(|batch| batch.is_bulk);
        for batch in batches {
            self.expand(connection, batch, &mut keys).await?;
        }
        let mut seen = Seen::new();
        // Facts come first in a source, and what they lead to is added to the keys of later feeds.
        for feed in 0..self.statements.len() {
            let Some(of_feed) = keys.remove(&feed) else { continue };
            if of_feed.len() > if is_bulk { self.batch.max(SMALL) } else { SMALL } {
                let number = self.installed.feeds[feed];
                let keys = of_feed.into_iter().map(Some).collect();
                Batch::bulk(number, keys).keep(connection).await?;
                continue;
            }
            let owners = self.project_feed(connection, feed, of_feed, &mut seen).await?;
            if !owners.is_empty() {
                self.concern(connection, feed, &owners, &mut keys).await?;
            }
        }
        note_changes(connection, &seen).await?;
        Ok(seen.len())
    }

    /// Finds the keys of the feeds' rows that a batch concerns.
    async fn expand(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        keys: &mut Keys,
    ) -> Result<(), ProjectorError> {
        let watch = match batch.subject {
            Subject::Feed(number) => {
                if let Some(feed) = self.installed.feeds.iter().position(|known| *known == number) {
                    keys.entry(feed).or_default().extend(batch.keys.iter().flatten().cloned());
                }
                return Ok(());
            }
            Subject::Watch(number) => number,
        };
        let columns = lane::columns(&batch.keys, self.width(batch.subject));
        for (feed, to) in self.routes(watch).collect::<Vec<_>>() {
            match to {
                // Any row.
                _ if batch.keys.is_empty() => {
                    lane::owe_sweep(connection, self.installed.feeds[feed]).await?;
                }
                None => keys.entry(feed).or_default().extend(batch.keys.iter().flatten().cloned()),
                Some(to) => {
                    let found = find(connection, to, &columns).await?;
                    self.add(connection, feed, found, keys).await?;
                }
            }
        }
        Ok(())
    }

    /// Finds the keys of the rows that depend on the facts of these owners.
    async fn concern(
        &self,
        connection: &mut PgConnection,
        fact: usize,
        owners: &[String],
        keys: &mut Keys,
    ) -> Result<(), ProjectorError> {
        let fact = &self.installed.source.feeds[fact].name;
        let owners: Vec<_> = owners.iter().cloned().map(Some).collect();
        for (feed, of_feed) in self.installed.source.feeds.iter().enumerate() {
            for route in &of_feed.routes {
                if let (Origin::Fact(from), Some(to)) = (&route.from, &route.to)
                    && from == fact
                {
                    let found = find(connection, to, std::slice::from_ref(&owners)).await?;
                    self.add(connection, feed, found, keys).await?;
                }
            }
        }
        Ok(())
    }

    async fn add(
        &self,
        connection: &mut PgConnection,
        feed: usize,
        found: Vec<String>,
        keys: &mut Keys,
    ) -> Result<(), ProjectorError> {
        if found.len() > MAX_EXPANDED {
            lane::owe_sweep(connection, self.installed.feeds[feed]).await?;
        } else {
            keys.entry(feed).or_default().extend(found);
        }
        Ok(())
    }

    /// Returns the owners of facts that changed.
    async fn project_feed(
        &self,
        connection: &mut PgConnection,
        feed: usize,
        keys: BTreeSet<String>,
        seen: &mut Seen,
    ) -> Result<Vec<String>, ProjectorError> {
        let keys: Vec<_> = keys.into_iter().collect();
        let touched: Vec<Touched> = sqlx::query_as(AssertSqlSafe(self.statements[feed].as_str()))
            .bind(keys)
            .bind(self.installed.feeds[feed])
            .fetch_all(connection)
            .await?;
        let mut owners = Vec::new();
        for row in touched {
            if let Some(key) = row.twice {
                let feed = self.installed.source.feeds[feed].name.clone();
                return Err(ProjectorError::Twice { feed, key });
            }
            let (Some(user), Some(sections)) = (row.user_id, row.sections) else { continue };
            if sections == 0 {
                owners.push(user);
            } else {
                let (of_user, added) = seen.entry(user).or_default();
                *of_user |= sections;
                added.extend(row.added.unwrap_or_default());
            }
        }
        Ok(owners)
    }

    /// Looks at the next page of a feed's rows.
    async fn sweep(
        &mut self,
        connection: &mut PgConnection,
        sweep: &Sweep,
    ) -> Result<usize, ProjectorError> {
        let feed = self.installed.feeds.iter().position(|known| *known == sweep.feed);
        let Some(feed) = feed.map(|feed| &self.installed.source.feeds[feed]) else {
            return Ok(sweep.end(connection).await.map(|()| 0)?);
        };
        sqlx::raw_sql("savepoint page").execute(&mut *connection).await?;
        let page = sweep.turn_page(connection, &feed.home, feed.kind, self.batch).await;
        let keys = match page.map_err(ProjectorError::from) {
            Ok(keys) => keys,
            Err(error) if is_the_works(&error) => {
                tracing::warn!(%error, feed = feed.name, "the rows of a feed cannot be gone through");
                sqlx::raw_sql("rollback to savepoint page").execute(&mut *connection).await?;
                sweep.put_off(connection, &error.to_string()).await?;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        self.attempt(connection, vec![Batch::bulk(sweep.feed, keys)]).await
    }

    /// Where a watch leads.
    fn routes(&self, watch: i16) -> impl Iterator<Item = (usize, Option<&str>)> {
        let numbers = &self.installed.watches;
        self.installed.source.feeds.iter().enumerate().flat_map(move |(place, feed)| {
            let home = (numbers.get(&feed.home) == Some(&watch)).then_some((place, None));
            let routes = feed.routes.iter().filter_map(move |route| match &route.from {
                Origin::Table(from) if numbers.get(from) == Some(&watch) => {
                    Some((place, route.to.as_deref()))
                }
                _ => None,
            });
            home.into_iter().chain(routes)
        })
    }

    /// How many values are noted of each row.
    fn width(&self, subject: Subject) -> usize {
        let Subject::Watch(number) = subject else { return 1 };
        let watch = self.installed.watches.iter().find(|(_, known)| **known == number);
        watch.map_or(1, |(watch, _)| watch.key.len())
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

/// The keys that a source's `to` leads to.
async fn find(
    connection: &mut PgConnection,
    to: &str,
    columns: &[Vec<Option<String>>],
) -> Result<Vec<String>, sqlx::Error> {
    let to = to.trim_end().trim_end_matches(';');
    let statement = format!(
        "select distinct key::text from (\n{to}\n) as found (key) where key is not null
         limit {}",
        MAX_EXPANDED + 1
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for column in columns {
        query = query.bind(column);
    }
    let rows: Vec<PgRow> = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Notes who sees what.
async fn note_changes(connection: &mut PgConnection, seen: &Seen) -> Result<(), sqlx::Error> {
    if seen.is_empty() {
        return Ok(());
    }
    let (mut users, mut sections, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for (user, (of_user, new)) in seen {
        users.push(user.as_str());
        sections.push(*of_user);
        let new: Vec<_> = new.iter().map(uuid::Uuid::to_string).collect();
        added.push((!new.is_empty()).then(|| format!("{{{}}}", new.join(","))));
    }
    sqlx::query(
        "insert into dashboard.changes (user_id, sections, added, nonce)
         select user_id, sections, added::uuid[], (random() * 9007199254740991)::bigint
         from unnest($1::text[], $2::int2[], $3::text[]) as seen (user_id, sections, added)",
    )
    .bind(users)
    .bind(sections)
    .bind(added)
    .execute(connection)
    .await
    .map(drop)
}

/// Whether the work is to blame, rather than the connection or the database.
fn is_the_works(error: &ProjectorError) -> bool {
    match error {
        ProjectorError::Twice { .. } => true,
        ProjectorError::Database(sqlx::Error::Database(error)) => {
            // A session that is ended, a full disk, a database that may not be written to.
            let code = error.code().unwrap_or_default();
            code == "57014"
                || !["57", "58", "53", "25", "XX"].iter().any(|class| code.starts_with(class))
        }
        ProjectorError::Database(error) => {
            use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode};
            matches!(error, ColumnDecode { .. } | ColumnNotFound(_) | Decode(_))
        }
    }
}

fn is_locked(error: &ProjectorError) -> bool {
    matches!(error, ProjectorError::Database(sqlx::Error::Database(error))
        if error.code().is_some_and(|code| code == "55P03" || code == "40P01"))
}
