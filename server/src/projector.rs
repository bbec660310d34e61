//! Projects the application's rows into the read model, led by the triggers' notes.
//!
//! ```text
//! outbox ──take──▶ pending ──▶ work: which rows? what differs? ──▶ read model, changes
//! ```
//!
//! Any server may project, but only one at a time: the one that holds the turn, a row of ours. A transaction
//! takes the notes that have become visible. It does small work at once. It only moves the notes of an import to
//! `pending`, where batches do the work. Each batch is bounded in time, so that nothing that one user does
//! delays another's change by more than a moment.
//!
//! When keys cannot be projected, the projector puts them aside, in halves until it is one key, and tries them
//! again later. The others go on. A crash loses nothing: the transaction that takes a note also does its work, or
//! moves it to `pending`.

mod error;
mod guard;
mod lane;
mod map;
mod pace;
mod statements;
mod sweep;
mod take;
mod task;
mod work;

use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgConnection};

pub use self::error::ProjectorError;
use self::lane::{Batch, Outlook, Subject};
use self::map::Map;
use self::pace::{PIECES, Paces, Room};
use self::take::Take;
pub(crate) use self::task::Task;
use self::work::{Done, Work};
use crate::postgres::session::{self, Purpose};
use crate::source::Installed;

/// For a look without the cursor, and afterwards.
const PATIENT: &str = "set statement_timeout = '12s'";
const IMPATIENT: &str = "set statement_timeout = '2s'";
/// How long plans are kept. They are made once, from statistics that may have been taken of empty tables.
const PLANS: Duration = Duration::from_mins(1);

/// What a pass has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Another server holds the turn. Nothing was checked.
    pub is_elsewhere: bool,
    /// There is more to do now.
    pub has_more: bool,
    /// Notes that were taken.
    pub notes: usize,
    /// Users who see something new.
    pub users: usize,
    /// For how long to leave the database to the application's writers.
    pub rest: Duration,
}

/// Projects the notes of one source.
#[derive(Debug)]
pub struct Projector {
    map: Map,
    /// Of the source that it projects.
    fingerprint: String,
    take: Take,
    paces: Paces,
    room: Room,
    /// How long the work of this pass has taken.
    worked: Duration,
    /// How many rows have failed, as of the last look.
    failed: i64,
    /// It is known that all rows have been read once.
    is_complete: bool,
    /// The user whose bulk work was done last.
    served: String,
    /// How often bulk work has had its turn.
    turns: usize,
    /// When plans were last made anew.
    planned: Option<Instant>,
    /// The first transaction whose notes wait, and since when it has been that.
    oldest: Option<(String, Instant)>,
    /// Since when a feed's query cannot be run.
    held: Option<Instant>,
    /// It has been said which one.
    is_held_told: bool,
    /// Since when the oldest change waits.
    waiting_since: Instant,
    /// It has been said that another version was installed.
    is_superseded: bool,
}

impl Projector {
    /// A projector of an installed source.
    #[must_use]
    pub fn new(installed: Installed) -> Self {
        Self {
            fingerprint: installed.fingerprint.clone(),
            map: Map::new(installed),
            take: Take::default(),
            paces: Paces::default(),
            room: Room::default(),
            worked: Duration::ZERO,
            failed: 0,
            is_complete: false,
            served: "0".to_owned(),
            turns: 0,
            planned: None,
            oldest: None,
            held: None,
            is_held_told: false,
            waiting_since: Instant::now(),
            is_superseded: false,
        }
    }

    /// Whether it projects what is installed.
    #[must_use]
    pub fn is_of(&self, installed: &Installed) -> bool {
        self.fingerprint == installed.fingerprint
    }

    /// Goes on over another connection.
    pub fn reconnected(&mut self) {
        self.take.start_over();
        (self.planned, self.is_complete) = (None, false);
    }

    /// Since when the oldest change waits of those that were there at the last pass.
    #[must_use]
    pub fn waiting_since(&self) -> Instant {
        self.waiting_since
    }

    /// How many rows could not be projected and are tried again now and then, as of the last look. No more than
    /// 1,000 are counted.
    #[must_use]
    pub fn failed(&self) -> i64 {
        self.failed
    }

    /// Takes what has been noted, does what is small, and then a batch of what is not.
    ///
    /// # Errors
    /// [`ProjectorError::Database`] where the connection has to be given up.
    pub async fn pass(&mut self, connection: &mut PgConnection) -> Result<Pass, ProjectorError> {
        let began = Instant::now();
        self.worked = Duration::ZERO;
        let passed = self.small_then_bulk(connection).await;
        if passed.is_err() {
            self.take.forget();
        } else if !self.worked.is_zero() {
            self.paces.learn_overhead(began.elapsed().saturating_sub(self.worked));
        }
        self.is_complete = self.is_complete || passed.is_ok() && complete(connection).await?;
        passed
    }

    async fn small_then_bulk(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Pass, ProjectorError> {
        let mut pass = Pass::default();
        let outlook = self.look(connection).await?;
        self.note_wait(&outlook);
        self.failed = outlook.failed;
        self.tell_held(connection).await?;
        if outlook.oldest_note.is_none() {
            self.take.saw_nothing(outlook.snapshot);
        }
        if !outlook.has_small && !outlook.has_bulk {
            return Ok(pass);
        }
        if self.planned.is_none_or(|at| at.elapsed() > PLANS) {
            sqlx::raw_sql("discard plans").execute(&mut *connection).await?;
            self.planned = Some(Instant::now());
        }
        // What is found here may leave more behind.
        pass.has_more = true;
        let began = Instant::now();
        if outlook.has_small {
            if !self.take_turn(connection).await? {
                self.take.missed_the_turn();
                return Ok(Pass { is_elsewhere: true, ..Pass::default() });
            }
            self.small(connection, &outlook.take_from, &mut pass).await?;
            commit(connection).await?;
            self.take.confirm();
        }
        let (small_took, is_written) = (began.elapsed(), pass.notes > 0);
        if outlook.has_bulk && self.room.is_for_bulk(Instant::now()) {
            if !self.take_turn(connection).await? {
                return Ok(Pass { is_elsewhere: true, ..Pass::default() });
            }
            // Another server may have begun a rest.
            if self.room.is_for_bulk(Instant::now()) {
                let began = Instant::now();
                self.bulk(connection, &mut pass).await?;
                if is_written {
                    self.rest(connection, began.elapsed()).await?;
                }
            }
            commit(connection).await?;
        }
        pass.rest = self.room.rest(Instant::now(), small_took, is_written);
        Ok(pass)
    }

    /// Looks what there is to do. Without the cursor that may take long, behind a transaction that has been open
    /// for long.
    async fn look(&mut self, connection: &mut PgConnection) -> Result<Outlook, sqlx::Error> {
        if let Some(since) = self.take.since() {
            return lane::look(connection, since).await;
        }
        let began = Instant::now();
        sqlx::raw_sql(PATIENT).execute(&mut *connection).await?;
        let outlook = lane::look(connection, take::NOTHING).await?;
        sqlx::raw_sql(IMPATIENT).execute(connection).await?;
        self.take.looked_whole(began.elapsed());
        Ok(outlook)
    }

    /// Notes since when the oldest change waits.
    fn note_wait(&mut self, outlook: &Outlook) {
        let now = Instant::now();
        self.oldest = outlook.oldest_note.as_ref().map(|xid| match self.oldest.take() {
            Some((known, since)) if known == *xid => (known, since),
            _ => (xid.clone(), now),
        });
        self.held = outlook.is_held.then(|| self.held.unwrap_or(now));
        let waited = outlook.waited.and_then(|waited| Duration::try_from_secs_f64(waited).ok());
        let pending = waited.and_then(|waited| now.checked_sub(waited));
        let note = self.oldest.as_ref().map(|(_, since)| *since);
        self.waiting_since = [note, self.held, pending].into_iter().flatten().min().unwrap_or(now);
    }

    /// Says once which queries cannot be run, and when all can again.
    async fn tell_held(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        const HELD: &str = "
            select f.name, s.error from dashboard.sweeps as s
            join dashboard.feeds as f on f.number = s.feed
            where s.error is not null";
        if self.held.is_some() == self.is_held_told {
            return Ok(());
        }
        self.is_held_told = self.held.is_some();
        if self.held.is_none() {
            tracing::info!("all queries of the source can be run again");
            return Ok(());
        }
        let held: Vec<(String, String)> = sqlx::query_as(HELD).fetch_all(connection).await?;
        for (feed, error) in held {
            tracing::error!(feed, error, "a query of the source cannot be run; trying again");
        }
        Ok(())
    }

    /// Takes the notes, and does small work: what waited first.
    async fn small(
        &mut self,
        connection: &mut PgConnection,
        take_from: &str,
        pass: &mut Pass,
    ) -> Result<(), ProjectorError> {
        let taken = self.take.notes(connection, take_from).await?;
        pass.notes = taken.notes;
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
        let done = self.work(connection).run(&batches).await?;
        self.done(done, pass);
        Ok(())
    }

    /// Lets bulk work rest, at all servers.
    async fn rest(
        &mut self,
        connection: &mut PgConnection,
        rest: Duration,
    ) -> Result<(), sqlx::Error> {
        self.room.rests(Instant::now(), rest);
        sqlx::query(
            "update dashboard.turn
             set rests_since = clock_timestamp(), rest = make_interval(secs => $1)",
        )
        .bind(rest.as_secs_f64())
        .execute(connection)
        .await
        .map(drop)
    }

    /// Does a batch of bulk work, or a page of a sweep, or tries a failed row again: in turns, so that none
    /// waits for ever.
    async fn bulk(
        &mut self,
        connection: &mut PgConnection,
        pass: &mut Pass,
    ) -> Result<(), ProjectorError> {
        self.turns = self.turns.wrapping_add(1);
        let mut order = [Bulk::Batch, Bulk::Sweep, Bulk::Failed];
        let first = self.turns % order.len();
        order.rotate_left(first);
        for kind in order {
            let done = match kind {
                Bulk::Batch => self.batch(connection).await?,
                Bulk::Sweep => self.sweep(connection).await?,
                Bulk::Failed => match lane::next_failed(connection).await? {
                    Some((feed, key)) => Some(self.work(connection).retry(feed, &key).await?),
                    None => None,
                },
            };
            if let Some(done) = done {
                self.done(done, pass);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn batch(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<Done>, ProjectorError> {
        let values = |subject| match subject {
            Subject::Feed(_) => self.paces.of(subject) * PIECES as usize,
            // Each leads to rows, which take time as well.
            Subject::Watch(_) => self.paces.of(subject) * self.map.width(subject),
        };
        // Every other time the oldest: while new transactions keep coming, their turn never ends.
        let is_oldest = self.turns.is_multiple_of(2);
        let after = if is_oldest { "0" } else { &self.served };
        let Some((xid, batch)) = lane::next_bulk(connection, after, values).await? else {
            return Ok(None);
        };
        if !is_oldest {
            self.served = xid;
        }
        Ok(Some(self.work(connection).run(&[batch]).await?))
    }

    /// The next page of a sweep.
    async fn sweep(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<Done>, ProjectorError> {
        let Some(sweep) = sweep::next(connection).await? else { return Ok(None) };
        if self.map.feed(sweep.feed).is_none()
            && let Some((name, kind)) = sweep::feed(connection, sweep.feed).await?
        {
            self.map.retire(sweep.feed, name, kind);
        }
        let Some(feed) = self.map.feed(sweep.feed) else {
            sweep.end(connection).await?;
            return Ok(Some(Done::default()));
        };
        let rows = self.paces.of(Subject::Feed(sweep.feed)) * PIECES as usize;
        sqlx::raw_sql("savepoint page").execute(&mut *connection).await?;
        let page = sweep.turn_page(connection, &feed.home, feed.kind, rows).await;
        match page {
            Ok(keys) => {
                sweep.take_over(connection).await?;
                let has_rows = !keys.is_empty();
                let page = Batch::bulk(sweep.feed, keys);
                let done = self.work(connection).sweep(sweep.feed, page).await?;
                if has_rows && !done.has_failed {
                    sweep.go_on(connection).await?;
                }
                Ok(Some(done))
            }
            Err(error) if error.is_the_works() => {
                sqlx::raw_sql("rollback to savepoint page").execute(&mut *connection).await?;
                sweep.put_off(connection, &error.to_string()).await?;
                Ok(Some(Done { has_failed: true, ..Done::default() }))
            }
            Err(error) => Err(error),
        }
    }

    fn work<'a>(&'a mut self, connection: &'a mut PgConnection) -> Work<'a> {
        Work::new(&self.map, &mut self.paces, connection, self.failed > 0)
    }

    /// Begins a transaction and takes the turn. Ends the transaction again where another server has the turn.
    async fn take_turn(&mut self, connection: &mut PgConnection) -> Result<bool, ProjectorError> {
        const TURN: &str = "begin isolation level read committed;
            select meta.source, meta.started = pg_postmaster_start_time(),
                   coalesce(pg_sequence_last_value('dashboard.changes_id_seq'), 0)
                       >= coalesce((select max(id) from dashboard.changes), 0),
                   case when clock_timestamp() between rests_since and rests_since + rest
                        then extract(epoch from rests_since + rest - clock_timestamp())::float8 end
            from dashboard.turn, dashboard.meta
            for update of turn skip locked";
        let turn = sqlx::raw_sql(TURN).fetch_optional(&mut *connection).await?;
        let is_behind = matches!(&turn, Some(turn) if !turn.try_get::<bool, _>(2)?);
        let rest =
            turn.as_ref().map(|turn| turn.try_get::<Option<f64>, _>(3)).transpose()?.flatten();
        if let Some(rest) = rest.and_then(|rest| Duration::try_from_secs_f64(rest).ok()) {
            self.room.rests(Instant::now(), rest);
        }
        let is_taken = match turn {
            None => false,
            Some(turn) if turn.try_get::<Option<&str>, _>(0)? != Some(&self.fingerprint) => {
                if !std::mem::replace(&mut self.is_superseded, true) {
                    tracing::warn!(
                        "another version of the source was installed; a server of that version projects it"
                    );
                }
                false
            }
            // Not before it is known which numbers were given out before the database was started.
            Some(turn) => turn.try_get(1)?,
        };
        if !is_taken {
            sqlx::raw_sql("rollback").execute(connection).await?;
        } else if is_behind {
            // Rows came without their sequence, as replication brings them.
            sqlx::raw_sql(
                "select setval('dashboard.changes_id_seq', max(id)) from dashboard.changes",
            )
            .execute(connection)
            .await?;
        }
        Ok(is_taken)
    }

    fn done(&mut self, done: Done, pass: &mut Pass) {
        self.worked += done.took;
        pass.users += done.users;
        if done.has_failed {
            self.planned = None;
        }
    }
}

#[derive(Clone, Copy)]
enum Bulk {
    Batch,
    Sweep,
    Failed,
}

/// Opens a session for a projector.
///
/// # Errors
/// What the database says, or an I/O error where it says nothing.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    session::open(options, Purpose::Project).await
}

/// Notes that all rows have been read once, where that is so: from then on dashboards are served. What the
/// sweeps have left over is older than their end. What comes later is the business of others.
async fn complete(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const IS_COMPLETE: &str = "
        select is_complete, swept is null and not exists (select from dashboard.sweeps) as has_ended,
               swept is not null and not exists (
                   select from dashboard.pending where feed is not null and since <= swept
               ) as is_done
        from dashboard.meta";
    let (is_complete, has_ended, is_done): (bool, bool, bool) =
        sqlx::query_as(IS_COMPLETE).fetch_one(&mut *connection).await?;
    if !is_complete && has_ended {
        // As it was seen: another installation may have begun since then.
        let noted = "
            update dashboard.meta set swept = clock_timestamp()
            where not exists (select from dashboard.sweeps)";
        sqlx::query(noted).execute(connection).await?;
    } else if !is_complete && is_done {
        let noted = "update dashboard.meta set is_complete = true where swept is not null";
        sqlx::query(noted).execute(connection).await?;
    }
    Ok(is_complete)
}

async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("commit").execute(connection).await.map(drop)
}
