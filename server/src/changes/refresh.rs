//! Refreshes users: takes the users that changed, lets the coalescer decide which users to refresh together
//! and when, reads the sections, and hands the events to the rooms.

mod reader;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared_types::{ErrorEvent, ErrorEventCode, Revision};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use self::reader::Reader;
use crate::changes::capture::{Position, Signal};
use crate::changes::coalesce::{Coalescer, Dirty, Outcome};
use crate::dashboard::cursor::Cursor;
use crate::dashboard::query::{self, QueryError};
use crate::dashboard::section::Sections;
use crate::sockets::end_reason::EndReason;
use crate::sockets::message::Message;
use crate::supervisor::Progress;
use crate::user::UserId;

/// How many users to compare in one statement.
const COMPARE_CHUNK: usize = 1000;

/// While the change log is lost, how often to look for users who got a snapshot all the same. A client
/// may be called live without being watched for this time, and for twice this time at most.
const TELL_INTERVAL: Duration = Duration::from_secs(2);
/// How often an idle refresher reports that it lives.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// How soon a comparison of revisions that failed is made again.
const COMPARE_AGAIN: Duration = Duration::from_millis(100);

/// The task between the change log and the rooms.
pub(crate) struct Refresher {
    reader: Arc<Reader>,
    coalescer: Coalescer,
    /// How many refreshes may run at the same time.
    concurrency: usize,
    position: Position,
    /// While the change log is lost: when to look again for whom to tell.
    tell_at: Option<Instant>,
    /// A comparison of revisions that is still to be made, and how often it has failed.
    compare: Option<(Instant, u32)>,
    running: HashMap<Id, Batch>,
    /// Each returns up to where its users have been sent everything, in their order. None for users who
    /// have not been sent everything.
    tasks: JoinSet<Vec<Option<Cursor>>>,
}

/// The users of a refresh, and what each of them needs.
type Batch = Arc<[(UserId, Dirty)]>;

impl Refresher {
    pub(crate) fn new(
        reader: Reader,
        coalescer: Coalescer,
        concurrency: usize,
        position: Position,
    ) -> Self {
        Self {
            reader: Arc::new(reader),
            coalescer,
            concurrency,
            position,
            tell_at: None,
            compare: None,
            running: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Works until it is stopped.
    pub(crate) async fn run(
        mut self,
        mut signals: mpsc::Receiver<Signal>,
        stop: CancellationToken,
        progress: Progress,
    ) {
        let work = Box::pin(self.work(&mut signals, &progress));
        stop.run_until_cancelled(work).await;
    }

    /// Works as long as there are signals.
    async fn work(&mut self, signals: &mut mpsc::Receiver<Signal>, progress: &Progress) {
        loop {
            progress.made();
            self.start();
            // A refresh that ends makes room. Until then it does not matter which users are due.
            let due = self.coalescer.next_due().filter(|_| self.has_room());
            let (due, tell_at) = (until(due), until(self.tell_at));
            let compare_at = until(self.compare.map(|(at, _)| at));
            tokio::select! {
                signal = signals.recv() => match signal {
                    Some(signal) => self.take(signal, progress).await,
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                () = due => {}
                () = tell_at => self.tell(self.reader.rooms.take_stale_again()),
                () = compare_at => self.compare(progress).await,
                () = sleep(IDLE_INTERVAL) => {}
            }
        }
    }

    /// Starts the refreshes that are due.
    fn start(&mut self) {
        while self.has_room() {
            let now = Instant::now();
            let due = self.coalescer.next(now);
            if due.is_empty() {
                return;
            }
            let (mut batch, gone): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|(user, _)| self.reader.rooms.contains(user));
            for (user, dirty) in gone {
                self.coalescer.finished(&user, Outcome::Sent(dirty.since), now);
            }
            for (user, dirty) in &mut batch {
                // A refresh may have seen more than it was asked for. That is not sent again.
                let sent = self.reader.rooms.sent(user).and_then(Cursor::of);
                dirty.since = dirty.since.max(sent.unwrap_or_default());
            }
            if !batch.is_empty() {
                let batch = Batch::from(batch);
                let task = self.tasks.spawn(Arc::clone(&self.reader).refresh(Arc::clone(&batch)));
                self.running.insert(task.id(), batch);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.concurrency
    }

    async fn take(&mut self, signal: Signal, progress: &Progress) {
        let now = Instant::now();
        match signal {
            Signal::Changes { since, users } => {
                // Until it is known who has missed something, a refresh must not send only what has
                // changed since: its revision would say that nothing was missed.
                let forced = if self.compare.is_some() { Sections::ALL } else { Sections::NONE };
                for changed in users {
                    // Users without a socket here cost nothing further.
                    if self.reader.rooms.contains(&changed.user) {
                        let dirty = Dirty { since, forced, oldest: changed.oldest, seen: now };
                        self.coalescer.mark(&changed.user, dirty, now);
                    }
                }
                self.position.cursor = since;
            }
            Signal::Lost => self.tell(self.reader.rooms.take_all_stale()),
            Signal::Gap(position) => {
                self.start_over(position, now);
                self.compare(progress).await;
            }
        }
    }

    /// Informs users that the server does not know whether what they see is current.
    fn tell(&mut self, users: Vec<UserId>) {
        for user in users {
            self.reader.rooms.notify(&user, snapshot_unavailable);
        }
        self.tell_at = Some(Instant::now() + TELL_INTERVAL);
    }

    fn mark(&mut self, user: &UserId, forced: Sections, now: Instant) {
        let since = self.position.cursor;
        let dirty = Dirty { since, forced, oldest: now, seen: now };
        self.coalescer.mark(user, dirty, now);
    }

    /// Goes on from another place in the change log.
    fn start_over(&mut self, position: Position, now: Instant) {
        if position.life != self.position.life {
            // Another epoch of the change log: what the clients hold cannot be compared with it.
            tracing::warn!("the change log was made anew; all sockets have to start over");
            self.reader.rooms.forget_revisions();
            self.reader.registry.close_all(EndReason::EpochChanged);
        }
        self.coalescer.start_over(position.cursor, now);
        self.position = position;
        self.compare = Some((now, 0));
    }

    /// Finds out who has missed something, by comparing revisions.
    async fn compare(&mut self, progress: &Progress) {
        let rooms = Arc::clone(&self.reader.rooms);
        let (occupants, mut revisions) = (rooms.occupants(), Vec::new());
        for chunk in occupants.chunks(COMPARE_CHUNK) {
            let users: Vec<_> = chunk.iter().map(|occupant| occupant.user.clone()).collect();
            progress.made();
            match query::in_time(self.reader.tags(&users)).await {
                Ok(tags) => revisions.extend(tags.into_iter().map(|tag| tag.revision)),
                Err(error) => return self.compare_again(&error),
            }
        }
        self.compare = None;
        let (was_told, now) = (self.tell_at.take().is_some(), Instant::now());
        let mut lost = false;
        for (occupant, revision) in occupants.into_iter().zip(revisions) {
            if Some(revision) < occupant.seen {
                lost = true;
            } else if Some(revision) != occupant.sent {
                self.mark(&occupant.user, Sections::ALL, now);
            } else if was_told {
                // Nothing new, but the sign that the database can be read again: clients
                // that have failed to fetch do not wait any longer then.
                self.mark(&occupant.user, Sections::SUMMARY, now);
            }
        }
        if lost {
            self.renew_life().await;
        }
    }

    /// No refresh can replace the comparison: what a refresh reads may be older than what is shown.
    fn compare_again(&mut self, error: &QueryError) {
        let failures = self.compare.map_or(1, |(_, failures)| failures + 1);
        tracing::warn!(%error, "revisions could not be compared and will be again");
        // The first time, the database has most likely only just come back.
        if failures == 2 {
            self.tell(self.reader.rooms.take_all_stale());
        }
        self.compare = Some((Instant::now() + COMPARE_AGAIN * failures.min(10), failures));
    }

    /// The database has lost what clients have seen: revisions mean nothing any more, and a client
    /// that came back would wait for one that may never come.
    async fn renew_life(&mut self) {
        match query::in_time(self.reader.renew_life(&self.position.life)).await {
            Ok(life) => {
                tracing::warn!("the database has lost changes; all sockets have to start over");
                self.position.life = life;
            }
            Err(error) => tracing::error!(%error, "a new epoch could not be begun"),
        }
        self.reader.rooms.forget_revisions();
        self.reader.registry.close_all(EndReason::RevisionLost);
    }

    fn ended(&mut self, ended: Result<(Id, Vec<Option<Cursor>>), JoinError>) {
        let (id, sent) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                if error.is_panic() {
                    self.reader.metrics.panics.inc();
                    tracing::error!("a refresh panicked");
                }
                // It has sent no user anything, as far as is known.
                (error.id(), Vec::new())
            }
        };
        let Some(batch) = self.running.remove(&id) else {
            return;
        };
        let (mut sent, now) = (sent.into_iter(), Instant::now());
        for (user, dirty) in &*batch {
            let outcome = match sent.next().flatten() {
                Some(cursor) => Outcome::Sent(cursor),
                None => Outcome::Failed(*dirty),
            };
            if matches!(outcome, Outcome::Failed(_)) && !self.coalescer.is_failing(user) {
                // Once per failure, not once per attempt.
                self.reader.rooms.notify(user, snapshot_unavailable);
            }
            self.coalescer.finished(user, outcome, now);
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn snapshot_unavailable(revision: Revision) -> Option<Message> {
    let event = ErrorEvent {
        code: ErrorEventCode::SnapshotUnavailable,
        message: "The dashboard cannot be read at the moment".to_owned(),
        reconnect_after_ms: None,
    };
    Message::error(revision, &event).ok()
}
