//! Work itself: from noted values to the keys of rows, and from those to what users see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::ProjectorError;
use super::lane::{self, Batch, Subject};
use super::map::Map;
use super::pace::{PASS_TIME, Paces};
use super::statements::Touched;

/// How many rows of a feed small work may come to: one part may be in thousands of MOCs.
const SMALL: usize = 200;
/// Where a change concerns more rows than this, all of the feed's are looked at, page by page.
const MAX_FOUND: usize = 100_000;
/// What begins a piece of work. A piece is to take 10 ms; one that takes so much longer is put aside, to be
/// done in parts, and does not hold up the others any further.
pub(super) const SAVEPOINT: &str = "savepoint work; set local statement_timeout = '500ms'";
/// The same for a single row, which has no parts.
pub(super) const SAVEPOINT_OF_ONE: &str = "savepoint work; set local statement_timeout = '1s'";

/// Some batches, under way.
pub(super) struct Work<'a> {
    map: &'a Map,
    paces: &'a mut Paces,
    connection: &'a mut PgConnection,
    started: Instant,
    /// The keys to look at, by the place of their feed.
    keys: BTreeMap<usize, BTreeSet<String>>,
    seen: BTreeMap<String, Seen>,
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
    ) -> Self {
        let (keys, seen) = (BTreeMap::new(), BTreeMap::new());
        Self { map, paces, connection, started: Instant::now(), keys, seen }
    }

    /// Does what there is time for, and keeps the rest. How many users see something new.
    pub(super) async fn run(mut self, batches: &[Batch]) -> Result<usize, ProjectorError> {
        let is_bulk = batches.iter().any(|batch| batch.is_bulk);
        for batch in batches {
            self.expand(batch).await?;
        }
        // Facts come first in a source, and what they lead to is added to the keys of later feeds.
        for feed in 0..self.map.feeds().len() {
            if let Some(keys) = self.keys.remove(&feed) {
                self.project(feed, keys.into_iter().collect(), is_bulk).await?;
            }
        }
        note_changes(self.connection, &self.seen).await?;
        Ok(self.seen.len())
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() >= PASS_TIME
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
        let routes = self.map.routes(watch);
        if batch.keys.is_empty() {
            // Any row.
            for (feed, _) in routes {
                lane::owe_sweep(self.connection, self.map.number(feed)).await?;
            }
            return Ok(());
        }
        let width = self.map.width(batch.subject);
        let mut values = &batch.keys[..];
        while !values.is_empty() {
            let size = self.paces.of(batch.subject) * width;
            if self.is_late() && values.len() < batch.keys.len() {
                return Ok(batch.with(values).keep(self.connection).await?);
            }
            let (piece, rest) = values.split_at(size.min(values.len()));
            values = rest;
            let (began, columns) = (Instant::now(), lane::columns(piece, width));
            for (feed, to) in &routes {
                match to {
                    None => self.add(*feed, piece.iter().flatten().cloned()),
                    Some(to) => self.find(*feed, to, &columns).await?,
                }
            }
            self.paces.learn(batch.subject, piece.len() / width, began.elapsed());
        }
        Ok(())
    }

    fn add(&mut self, feed: usize, keys: impl Iterator<Item = String>) {
        self.keys.entry(feed).or_default().extend(keys);
    }

    /// Asks the source's query which rows of the feed are concerned.
    async fn find(
        &mut self,
        feed: usize,
        to: &str,
        columns: &[Vec<Option<String>>],
    ) -> Result<(), ProjectorError> {
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
            lane::owe_sweep(self.connection, self.map.number(feed)).await?;
        } else {
            self.add(feed, found.into_iter());
        }
        Ok(())
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
        if !is_bulk && keys.len() > SMALL {
            let keys = keys.into_iter().map(Some).collect();
            return Ok(Batch::bulk(number, keys).keep(self.connection).await?);
        }
        let mut is_first = true;
        while !keys.is_empty() {
            if self.is_late() && !is_first {
                let keys = keys.into_iter().map(Some).collect();
                let rest =
                    if is_bulk { Batch::bulk(number, keys) } else { Batch::small(number, keys) };
                return Ok(rest.keep(self.connection).await?);
            }
            is_first = false;
            let rest = keys.split_off(self.paces.of(subject).min(keys.len()));
            let (piece, began) = (std::mem::replace(&mut keys, rest), Instant::now());
            let rows = piece.len();
            let owners = self.project_piece(feed, piece).await?;
            self.paces.learn(subject, rows, began.elapsed());
            if !owners.is_empty() {
                let owners: Vec<_> = owners.into_iter().map(Some).collect();
                for (feed, to) in self.map.routes_of_fact(feed) {
                    self.find(feed, to, std::slice::from_ref(&owners)).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns the owners of facts that changed.
    async fn project_piece(
        &mut self,
        feed: usize,
        keys: Vec<String>,
    ) -> Result<Vec<String>, ProjectorError> {
        let touched: Vec<Touched> = sqlx::query_as(AssertSqlSafe(self.map.statement(feed)))
            .bind(keys)
            .bind(self.map.number(feed))
            .fetch_all(&mut *self.connection)
            .await?;
        let mut owners = Vec::new();
        for row in touched {
            if let Some(key) = row.twice {
                let feed = self.map.feeds()[feed].name.clone();
                return Err(ProjectorError::Twice { feed, key });
            }
            let (Some(user), Some(sections)) = (row.user_id, row.sections) else { continue };
            if sections == 0 {
                owners.push(user);
                continue;
            }
            let seen = self.seen.entry(user).or_default();
            seen.sections |= sections;
            seen.is_mixed |= sections & 4 != 0 && row.added.is_none();
            seen.added.extend(row.added.unwrap_or_default());
        }
        Ok(owners)
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
