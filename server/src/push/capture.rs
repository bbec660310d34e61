//! Follows the change log: who has changes that were not visible a moment ago?
//!
//! Every node polls for itself over one connection of its own, and remembers only its cursor. The
//! rows it has yet to see are those of transactions that the cursor did not see: they began after
//! it, or were in progress then. Both are index lookups. A cursor outlives a moment without sockets,
//! but not the connection: a database that comes back may be another, or have lost transactions
//! whose numbers it uses again, so everyone is then compared by revision instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::database::Pool;
use crate::database::session::{self, Purpose};
use crate::metrics::{Metrics, ResultLabel};
use crate::push::cursor::Cursor;
use crate::push::room::Rooms;
use crate::push::supervise::Progress;
use crate::push::user::UserId;

/// A poll that takes longer means that the connection is dead.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);
/// An outage that is shorter disturbs nobody.
const GRACE: Duration = Duration::from_secs(1);
/// How often to poll while nobody is connected: keeps the cursor young.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
const RECONNECT_MIN: Duration = Duration::from_millis(100);
/// Missed changes wait for this.
const RECONNECT_MAX: Duration = Duration::from_millis(400);
/// How long a goodbye may take at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the refreshes are made of.
#[derive(Debug)]
pub(crate) enum Signal {
    /// These users have changes that the cursor does not see.
    Changes { since: Cursor, users: Vec<Changed> },
    /// The change log cannot be followed, and has not been for longer than anyone should be left
    /// in the belief that it is. Followed by a gap.
    Lost,
    /// Changes may have been missed; from this position on none are.
    Gap(Position),
}

/// A user with changes.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) user: UserId,
    /// When the oldest of them was made.
    pub(crate) oldest: Instant,
}

/// A place in one life of the change log.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) epoch: String,
    pub(crate) cursor: Cursor,
}

/// Why the change log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// No answer; perhaps the network is broken in silence.
    #[error("the database did not answer for {} s", POLL_TIMEOUT.as_secs())]
    Timeout,
    /// A standby cannot tell which transactions were in progress on the primary.
    #[error("the database is a standby: changes can be followed on the primary only")]
    Standby,
    /// Not text that this server knows how to read.
    #[error("the database sent a malformed snapshot")]
    Malformed,
}

/// Follows the change log of one database.
pub(crate) struct Capture {
    /// Tells how to connect, now, and learns of the loss of the connection at once. The connection
    /// is not from it.
    pub(crate) pool: Pool,
    pub(crate) interval: Duration,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) signals: mpsc::Sender<Signal>,
}

impl Capture {
    /// Takes up the change log: from the returned position on, nothing is missed.
    pub(crate) async fn open(&self) -> Result<(PgConnection, Position), CaptureError> {
        timeout(POLL_TIMEOUT, self.connect()).await.map_err(|_| CaptureError::Timeout)?
    }

    /// Follows the change log until told to stop, through every loss of the connection.
    pub(crate) async fn run(
        self,
        mut connection: PgConnection,
        position: Position,
        stop: CancellationToken,
        progress: Progress,
    ) {
        let mut cursor = position.cursor;
        loop {
            let error = tokio::select! {
                () = stop.cancelled() => break,
                error = self.follow(&mut connection, cursor, &progress) => error,
            };
            self.count("error");
            self.pool.trust().lose();
            tracing::warn!(%error, "lost the change log; reconnecting");
            // What is wrong with the old connection may also be wrong with a polite goodbye.
            drop(connection);
            let reopened = tokio::select! {
                () = stop.cancelled() => return,
                reopened = self.reopen(&progress) => reopened,
            };
            connection = reopened.0;
            cursor = reopened.1.cursor.clone();
            tracing::info!("following the change log again");
            self.metrics.capture_gaps.inc();
            if self.signals.send(Signal::Gap(reopened.1)).await.is_err() {
                return;
            }
        }
        timeout(CLOSE_TIMEOUT, connection.close()).await.ok();
    }

    async fn connect(&self) -> Result<(PgConnection, Position), CaptureError> {
        let mut connection = session::open(&self.pool.connect_options(), Purpose::Follow).await?;
        if sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut connection).await? {
            return Err(CaptureError::Standby);
        }
        // A database that may only be read can be followed all the same.
        if sqlx::query_scalar(HAS_FUTURE).fetch_one(&mut connection).await? {
            for statement in FORGET_FUTURE {
                sqlx::query(statement).execute(&mut connection).await?;
            }
        }
        let row = sqlx::query(POSITION).fetch_one(&mut connection).await?;
        let position = Position { epoch: row.try_get(0)?, cursor: cursor(&row, 1)? };
        Ok((connection, position))
    }

    /// Connects again, however long it takes; says so once it takes too long.
    async fn reopen(&self, progress: &Progress) -> (PgConnection, Position) {
        let reopened = self.reopen_in_silence(progress);
        tokio::pin!(reopened);
        if let Ok(opened) = timeout(GRACE, &mut reopened).await {
            return opened;
        }
        tracing::error!("the change log has been lost; telling the sockets");
        self.signals.send(Signal::Lost).await.ok();
        reopened.await
    }

    async fn reopen_in_silence(&self, progress: &Progress) -> (PgConnection, Position) {
        let mut delay = RECONNECT_MIN;
        let mut told = String::new();
        loop {
            progress.made();
            match self.open().await {
                Ok(opened) => return opened,
                Err(error) => {
                    // Several times a second, so only what is new.
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(error, "the change log cannot be reached");
                        told = error;
                    }
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RECONNECT_MAX);
        }
    }

    /// Polls until something goes wrong.
    async fn follow(
        &self,
        connection: &mut PgConnection,
        mut cursor: Cursor,
        progress: &Progress,
    ) -> CaptureError {
        loop {
            progress.made();
            if self.rooms.is_empty() {
                // The first socket ends the nap.
                timeout(IDLE_INTERVAL, self.rooms.occupied.notified()).await.ok();
            } else {
                tokio::time::sleep(self.interval).await;
            }
            match timeout(POLL_TIMEOUT, self.poll(connection, &cursor)).await {
                Ok(Ok(next)) => cursor = next,
                Ok(Err(error)) => return error,
                Err(_) => return CaptureError::Timeout,
            }
        }
    }

    async fn poll(
        &self,
        connection: &mut PgConnection,
        since: &Cursor,
    ) -> Result<Cursor, CaptureError> {
        let rows = sqlx::query(POLL).bind(since.as_str()).fetch_all(&mut *connection).await?;
        let now = Instant::now();
        let first = rows.first().ok_or(CaptureError::Malformed)?;
        let next = cursor(first, 0)?;
        let folded = cursor(first, 1)?;
        if folded > *since || next < *since {
            // Rows were folded before they were read here, or the database went back in time.
            let position = sqlx::query(POSITION).fetch_one(connection).await?;
            let position = Position { epoch: position.try_get(0)?, cursor: next.clone() };
            tracing::warn!("fell behind the change log");
            self.metrics.capture_gaps.inc();
            self.signals.send(Signal::Gap(position)).await.ok();
            return Ok(next);
        }
        let mut users = Vec::new();
        for row in &rows {
            if let Some(user) = row.try_get::<Option<&str>, _>(2)? {
                let age: f64 = row.try_get(3)?;
                let age = Duration::try_from_secs_f64(age).unwrap_or_default();
                let oldest = now.checked_sub(age).unwrap_or(now);
                users.push(Changed { user: UserId::from(user), oldest });
            }
        }
        self.count("ok");
        self.metrics.looked();
        if !users.is_empty() {
            self.metrics.changes_captured.inc_by(users.len() as u64);
            self.signals.send(Signal::Changes { since: since.clone(), users }).await.ok();
        }
        Ok(next)
    }

    fn count(&self, result: &'static str) {
        self.metrics.capture_polls.get_or_create(&ResultLabel { result }).inc();
    }
}

const POSITION: &str = "
    select epoch, pg_current_snapshot()::text from dashboard.current_epoch";

const HAS_FUTURE: &str = "
    select exists (
        select from dashboard.changes where xid >= pg_snapshot_xmax(pg_current_snapshot())
    ) or exists (
        select from dashboard.compactions
        where pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())
    ) or exists (
        select from dashboard.meta
        where pg_snapshot_xmax(folded) > pg_snapshot_xmax(pg_current_snapshot())
    )";

/// What a dump from an older cluster brings along: transactions that are yet to come here. They
/// would look unread for ever.
const FORGET_FUTURE: [&str; 3] = [
    "delete from dashboard.changes where xid >= pg_snapshot_xmax(pg_current_snapshot())",
    "delete from dashboard.compactions
     where pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())",
    "update dashboard.meta set folded = pg_current_snapshot()
     where pg_snapshot_xmax(folded) > pg_snapshot_xmax(pg_current_snapshot())",
];

const POLL: &str = "
    with here as materialized (select pg_current_snapshot()::text as snapshot)
    select here.snapshot, meta.folded::text, fresh.user_id,
           extract(epoch from clock_timestamp() - fresh.oldest)::float8
    from here
    cross join dashboard.meta
    left join (
        select user_id, min(at) as oldest
        from (
            select user_id, at from dashboard.changes
            where xid >= pg_snapshot_xmax($1::pg_snapshot)
            union all
            select user_id, at from dashboard.changes
            where xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))
        ) as unseen
        group by user_id
    ) as fresh on true";

fn cursor(row: &PgRow, column: usize) -> Result<Cursor, CaptureError> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| CaptureError::Malformed)
}
