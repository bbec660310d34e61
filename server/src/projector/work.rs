//! Does the work itself: from noted values to the keys of rows, and from those to what users see. It puts
//! aside the rows that fail, and no others with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::error::{Blame, ProjectorError};
use super::lane::{self, Batch, Subject};
use super::map::Map;
use super::pace::Paces;
use super::statements::Touched;
use super::sweep;
use crate::source::MAX_KEY_BYTES;

/// How many rows of a feed small work may lead to, unless it is about as many rows itself: one part may be in
/// thousands of MOCs, but the changes of many users are small work however many they are.
const SMALL: usize = 200;
/// Where a change concerns more rows than this, all of the feed's are read, page by page.
const MAX_FOUND: usize = 100_000;
/// What begins a piece of work. A piece is to take 10 ms. One that takes far longer is put aside, to be
/// done in parts, and does not hold up the others any further.
const SAVEPOINT: &str = "savepoint work; set local statement_timeout = '500ms'";
/// The same for a single row, which has no parts.
const SAVEPOINT_OF_ONE: &str = "savepoint work; set local statement_timeout = '1s'";
/// The same for finding out what depends on facts, within a piece.
const SAVEPOINT_OF_FACTS: &str = "savepoint facts; set local statement_timeout = '500ms'";
const SAVEPOINT_OF_A_FACT: &str = "savepoint facts; set local statement_timeout = '1s'";
/// What is written down about the pieces must not fail for want of time: all of them would be done again.
const NO_HURRY: &str = "set local statement_timeout = '2s'";
const TAKE_BACK: &str = "rollback to savepoint work; set local statement_timeout = '2s'";
const TAKE_BACK_FACTS: &str = "rollback to savepoint facts; set local statement_timeout = '2s'";

/// Some batches, under way.
pub(super) struct Work<'a> {
    map: &'a Map,
    paces: &'a mut Paces,
    connection: &'a mut PgConnection,
    started: Instant,
    /// The keys to read, by the place of their feed.
    keys: BTreeMap<usize, BTreeSet<String>>,
    seen: BTreeMap<String, Seen>,
    /// How long the oldest of the batches has waited. What is kept has waited as long.
    waited: Option<f64>,
    /// Rows have failed, and some may not be worth another try yet.
    skips_failed: bool,
    /// The feed whose sweep this is a page of.
    swept: Option<i16>,
    /// Some of it failed together with others, and is tried alone.
    is_alone: bool,
    /// A row that failed before, and is tried again: its feed and key.
    retried: Option<(i16, String)>,
    has_failed: bool,
}

/// What has become of some work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Users who see something new.
    pub(super) users: usize,
    /// Something was put aside.
    pub(super) has_failed: bool,
    pub(super) took: Duration,
}

/// What a user sees.
#[derive(Default)]
struct Seen {
    sections: i16,
    /// MOCs that are new.
    added: Vec<Uuid>,
    /// Something else has happened to the recent list.
    is_mixed: bool,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        map: &'a Map,
        paces: &'a mut Paces,
        connection: &'a mut PgConnection,
        skips_failed: bool,
    ) -> Self {
        Self {
            skips_failed,
            map,
            paces,
            connection,
            started: Instant::now(),
            keys: BTreeMap::new(),
            seen: BTreeMap::new(),
            waited: None,
            swept: None,
            is_alone: false,
            retried: None,
            has_failed: false,
        }
    }

    /// Does a page of a feed's sweep.
    pub(super) async fn sweep(mut self, feed: i16, page: Batch) -> Result<Done, ProjectorError> {
        self.swept = Some(feed);
        self.run(&[page]).await
    }

    /// Does what there is time for, and keeps the rest.
    pub(super) async fn run(mut self, batches: &[Batch]) -> Result<Done, ProjectorError> {
        let is_bulk = batches.iter().any(|batch| batch.is_bulk);
        self.is_alone = batches.iter().any(|batch| batch.is_alone);
        self.waited = batches.iter().filter_map(|batch| batch.waited).reduce(f64::max);
        for (place, batch) in batches.iter().enumerate() {
            if place > 0 && self.is_late() {
                self.keep(batch.clone()).await?;
            } else {
                self.expand(batch).await?;
            }
        }
        self.finish(is_bulk).await
    }

    /// Tries a row again that failed.
    pub(super) async fn retry(mut self, number: i16, key: &str) -> Result<Done, ProjectorError> {
        let Some(feed) = self.map.place(number) else {
            // Its feed is not of this source.
            lane::succeed(self.connection, number, key).await?;
            return Ok(Done::default());
        };
        self.add(feed, std::iter::once(key.to_owned()));
        self.retried = Some((number, key.to_owned()));
        self.finish(true).await
    }

    /// Reads the rows that were found.
    async fn finish(mut self, is_bulk: bool) -> Result<Done, ProjectorError> {
        // Facts come first in a source, and what they lead to is added to the keys of later feeds.
        for feed in 0..self.map.feeds().len() {
            let Some(keys) = self.keys.remove(&feed) else { continue };
            let number = self.map.number(feed);
            // A fact concerns all rows of its owner: of many facts, the same rows again and again.
            let is_needless = is_bulk
                && !self.is_alone
                && self.swept != Some(number)
                && self.retried.is_none()
                && sweep::is_owed_whole(self.connection, number).await?;
            if !is_needless {
                self.project(feed, keys.into_iter().collect(), is_bulk).await?;
            }
        }
        sqlx::raw_sql(NO_HURRY).execute(&mut *self.connection).await?;
        note_changes(self.connection, &self.seen).await?;
        Ok(Done {
            users: self.seen.len(),
            has_failed: self.has_failed,
            took: self.started.elapsed(),
        })
    }

    /// Writes down what there was no time for.
    async fn keep(&mut self, mut batch: Batch) -> Result<(), ProjectorError> {
        sqlx::raw_sql(NO_HURRY).execute(&mut *self.connection).await?;
        batch.is_alone = self.is_alone;
        Ok(batch.keep(self.connection).await?)
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() >= self.paces.pass_time()
    }

    async fn begin(&mut self, rows: usize) -> Result<(), sqlx::Error> {
        let savepoint = if rows == 1 { SAVEPOINT_OF_ONE } else { SAVEPOINT };
        sqlx::raw_sql(savepoint).execute(&mut *self.connection).await.map(drop)
    }

    /// Takes back what has been done since [`Work::begin`]. Where that cannot be done, the connection is to
    /// blame, or the database.
    async fn take_back(&mut self, error: ProjectorError) -> Result<ProjectorError, ProjectorError> {
        if !error.is_the_works() {
            return Err(error);
        }
        self.has_failed = true;
        sqlx::raw_sql(TAKE_BACK).execute(&mut *self.connection).await?;
        Ok(error)
    }

    /// Finds the keys of the rows that a batch concerns.
    async fn expand(&mut self, batch: &Batch) -> Result<(), ProjectorError> {
        let watch = match batch.subject {
            Subject::Feed(number) => {
                if let Some(feed) = self.map.place(number) {
                    self.add(feed, batch.keys.iter().flatten().cloned());
                }
                return Ok(());
            }
            Subject::Watch(number) => number,
        };
        let width = self.map.width(batch.subject);
        let rows = batch.keys.len() / width;
        let began = Instant::now();
        self.begin(rows).await?;
        let found = self.find_all(watch, &batch.keys, width).await;
        let error = match found {
            Ok(found) => {
                self.paces.learn(batch.subject, rows, began.elapsed());
                for (feed, keys) in found {
                    if !batch.is_bulk && is_fan_out(rows, keys.len()) {
                        let keys = keys.into_iter().map(Some).collect();
                        self.keep(Batch::bulk(self.map.number(feed), keys)).await?;
                    } else {
                        self.add(feed, keys.into_iter());
                    }
                }
                return Ok(());
            }
            Err(error) => self.take_back(error).await?,
        };
        if error.blame() == Blame::Locked {
            return Ok(batch.keep_waiting(self.connection, &error.to_string()).await?);
        }
        if let Some((one, other)) = batch.halves(width) {
            one.keep_alone(self.connection).await?;
            return Ok(other.keep_alone(self.connection).await?);
        }
        // Which rows it concerns cannot be found out.
        tracing::warn!(%error, "looking at all rows of a feed instead");
        for (feed, to) in self.map.routes(watch) {
            if to.is_none() && !batch.keys.is_empty() {
                self.add(feed, batch.keys.iter().flatten().cloned());
            } else {
                sweep::owe(self.connection, self.map.number(feed)).await?;
            }
        }
        Ok(())
    }

    /// The keys of rows that noted values lead to, by the place of their feed. No values: any row.
    async fn find_all(
        &mut self,
        watch: i16,
        values: &[Option<String>],
        width: usize,
    ) -> Result<Vec<(usize, Vec<String>)>, ProjectorError> {
        let columns = lane::columns(values, width);
        let mut all = Vec::new();
        for (feed, to) in self.map.routes(watch) {
            match to {
                _ if values.is_empty() => {
                    sweep::owe(self.connection, self.map.number(feed)).await?;
                }
                None => all.push((feed, values.iter().flatten().cloned().collect())),
                Some(to) => all.push((feed, self.find(feed, to, &columns).await?)),
            }
        }
        Ok(all)
    }

    fn add(&mut self, feed: usize, keys: impl Iterator<Item = String>) {
        // No longer key gets into the outbox either, but a query may yield one.
        let keys = keys.filter(|key| key.len() <= MAX_KEY_BYTES);
        self.keys.entry(feed).or_default().extend(keys);
    }

    /// Asks the source's query which rows of the feed are concerned.
    async fn find(
        &mut self,
        feed: usize,
        to: &str,
        columns: &[Vec<Option<String>>],
    ) -> Result<Vec<String>, ProjectorError> {
        let to = to.trim_end().trim_end_matches(';');
        let statement = format!(
            "select distinct key::text from (\n{to}\n) as found (key) where key is not null
             limit {}",
            MAX_FOUND + 1
        );
        let mut query = sqlx::query_scalar(AssertSqlSafe(statement));
        for column in columns {
            query = query.bind(column);
        }
        let found: Vec<String> = query.fetch_all(&mut *self.connection).await?;
        if found.len() > MAX_FOUND {
            sweep::owe(self.connection, self.map.number(feed)).await?;
            return Ok(Vec::new());
        }
        Ok(found)
    }

    /// Projects rows of a feed, piece by piece.
    async fn project(
        &mut self,
        feed: usize,
        mut keys: Vec<String>,
        is_bulk: bool,
    ) -> Result<(), ProjectorError> {
        let number = self.map.number(feed);
        let subject = Subject::Feed(number);
        let waited = self.waited;
        let batch = |keys: Vec<String>, is_bulk| {
            let keys = keys.into_iter().map(Some).collect();
            let batch =
                if is_bulk { Batch::bulk(number, keys) } else { Batch::small(number, keys) };
            batch.having_waited(waited)
        };
        if self.skips_failed && self.retried.is_none() {
            let hopeless = lane::hopeless(self.connection, number, &keys).await?;
            keys.retain(|key| !hopeless.contains(key));
        }
        let mut is_first = true;
        while !keys.is_empty() {
            if self.is_late() && !is_first {
                return self.keep(batch(keys, is_bulk)).await;
            }
            is_first = false;
            let rest = keys.split_off(self.paces.of(subject).min(keys.len()));
            let piece = std::mem::replace(&mut keys, rest);
            let (rows, began) = (piece.len(), Instant::now());
            self.begin(rows).await?;
            let touched = self.project_piece(feed, &piece).await;
            let took = began.elapsed();
            match touched {
                Ok(touched) => {
                    self.paces.learn(subject, rows, took);
                    if let Some((number, key)) = self.retried.take_if(|row| row.0 == number) {
                        lane::succeed(self.connection, number, &key).await?;
                    }
                    let owners = self.see(touched);
                    if let Some(locked) = self.concern(feed, owners).await? {
                        // With the facts written, it would never be found out again what depends on them.
                        let locked = self.take_back(locked).await?;
                        self.put_aside(feed, batch(piece, is_bulk), &locked).await?;
                    }
                }
                Err(error) => {
                    let error = self.take_back(error).await?;
                    if error.blame() == Blame::Query {
                        // No row is to blame, so none is asked for again before all are.
                        keys.clear();
                    }
                    self.put_aside(feed, batch(piece, is_bulk), &error).await?;
                }
            }
        }
        Ok(())
    }

    async fn put_aside(
        &mut self,
        feed: usize,
        batch: Batch,
        error: &ProjectorError,
    ) -> Result<(), ProjectorError> {
        let (number, text) = (self.map.number(feed), error.to_string());
        match error.blame() {
            Blame::Locked => batch.keep_waiting(self.connection, &text).await?,
            Blame::Query => sweep::hold(self.connection, number, &text).await?,
            Blame::Rows => match (batch.halves(1), batch.keys.first()) {
                (Some((one, other)), _) => {
                    one.keep_alone(self.connection).await?;
                    other.keep_alone(self.connection).await?;
                }
                (None, Some(Some(key))) => {
                    let failures = lane::fail(self.connection, number, key, &text).await?;
                    tell_failed(&self.map.feeds()[feed].name, failures);
                }
                _ => {}
            },
        }
        Ok(())
    }

    async fn project_piece(
        &mut self,
        feed: usize,
        keys: &[String],
    ) -> Result<Vec<Touched>, ProjectorError> {
        let touched: Vec<Touched> = sqlx::query_as(AssertSqlSafe(self.map.statement(feed)))
            .bind(keys)
            .bind(self.map.number(feed))
            .fetch_all(&mut *self.connection)
            .await?;
        match touched.iter().find_map(|row| row.twice.clone()) {
            Some(key) => {
                let feed = self.map.feeds()[feed].name.clone();
                Err(ProjectorError::Twice { feed, key })
            }
            None => Ok(touched),
        }
    }

    /// Gathers which users see what. Returns the owners of facts that changed.
    fn see(&mut self, touched: Vec<Touched>) -> Vec<Option<String>> {
        let mut owners = Vec::new();
        for row in touched {
            let (Some(user), Some(sections)) = (row.user_id, row.sections) else { continue };
            if sections == 0 {
                owners.push(Some(user));
                continue;
            }
            let seen = self.seen.entry(user).or_default();
            seen.sections |= sections;
            seen.is_mixed |= sections & 4 != 0 && row.added.is_none();
            seen.added.extend(row.added.unwrap_or_default());
        }
        owners
    }

    /// Requests that the rows are read again that depend on the facts of these owners. Returns what is in the way, if
    /// that is only a lock.
    async fn concern(
        &mut self,
        fact: usize,
        owners: Vec<Option<String>>,
    ) -> Result<Option<ProjectorError>, ProjectorError> {
        if owners.is_empty() {
            return Ok(None);
        }
        for (feed, to) in self.map.routes_of_fact(fact) {
            let is_one = owners.len() == 1;
            let savepoint = if is_one { SAVEPOINT_OF_A_FACT } else { SAVEPOINT_OF_FACTS };
            sqlx::raw_sql(savepoint).execute(&mut *self.connection).await?;
            match self.find(feed, to, std::slice::from_ref(&owners)).await {
                Ok(found) if is_fan_out(owners.len(), found.len()) => {
                    let number = self.map.number(feed);
                    let kind = self.map.feeds()[feed].kind;
                    sqlx::raw_sql(NO_HURRY).execute(&mut *self.connection).await?;
                    if sweep::is_owed_whole(self.connection, number).await? {
                        continue;
                    }
                    // Of many facts of one owner, the same rows again and again.
                    if lane::is_more_than_all(self.connection, number, kind).await? {
                        sweep::owe(self.connection, number).await?;
                    } else {
                        let keys = found.into_iter().map(Some).collect();
                        self.keep(Batch::bulk(number, keys)).await?;
                    }
                }
                Ok(found) => self.add(feed, found.into_iter()),
                Err(error) if error.blame() == Blame::Locked => return Ok(Some(error)),
                Err(error) if !error.is_the_works() => return Err(error),
                Err(error) => {
                    self.has_failed = true;
                    sqlx::raw_sql(TAKE_BACK_FACTS).execute(&mut *self.connection).await?;
                    tracing::warn!(%error, "looking at all rows of a feed instead");
                    sweep::owe(self.connection, self.map.number(feed)).await?;
                }
            }
        }
        Ok(None)
    }
}

/// Whether a few rows lead to far more, so that others' small work would have to wait.
fn is_fan_out(rows: usize, found: usize) -> bool {
    found > SMALL && found > rows * 4
}

/// The first time only: what keeps failing is tried again and again. Without the reason, which may quote the row.
fn tell_failed(feed: &str, failures: i32) {
    if failures == 1 {
        tracing::warn!(
            feed,
            "a row cannot be projected and is put aside; dashboard.failed says why"
        );
    }
}

/// Notes who sees what.
async fn note_changes(
    connection: &mut PgConnection,
    seen: &BTreeMap<String, Seen>,
) -> Result<(), sqlx::Error> {
    if seen.is_empty() {
        return Ok(());
    }
    let (mut users, mut sections, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for (user, seen) in seen {
        users.push(user.as_str());
        sections.push(seen.sections);
        let new: Vec<_> = seen.added.iter().map(Uuid::to_string).collect();
        let is_told = !seen.is_mixed && !new.is_empty();
        added.push(is_told.then(|| format!("{{{}}}", new.join(","))));
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
