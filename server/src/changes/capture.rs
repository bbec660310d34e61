//! Follows the changes, and finds the users who have changes that were not there a moment ago.
//!
//! Every server polls over its own connection. It remembers the number of the last row that it has
//! seen, and the random value in that row. Rows are numbered in the order of their commits, so the
//! unseen ones are those with greater numbers. If the last row is not what it was, the database has been
//! put back to an earlier state, or a standby has taken over that lacked the row. Then a new epoch
//! begins. After a lost connection, the server compares everyone's revision to find out what clients
//! may have seen of later rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::dashboard::cursor::Cursor;
use crate::dashboard::query::{self, QueryError};
use crate::database::Lag;
use crate::metrics::{Metrics, ResultLabel};
use crate::postgres::Pool;
use crate::postgres::session::{self, Purpose};
use crate::sockets::rooms::Rooms;
use crate::supervisor::Progress;
use crate::user::UserId;

/// A poll that takes longer means that the connection is dead.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);
/// An outage that is shorter disturbs no client.
const GRACE: Duration = Duration::from_secs(1);
/// How often to poll while no client is connected: keeps the cursor young.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a server that has just been started waits for one that was there before.
const CONFIRM_WAIT: Duration = Duration::from_secs(2);
/// How long a session may only read after a start of the database before another is tried.
const UNCONFIRMED: Duration = Duration::from_mins(1);
const RECONNECT_MIN: Duration = Duration::from_millis(100);
/// Missed changes wait for this.
const RECONNECT_MAX: Duration = Duration::from_millis(400);
/// How long a goodbye may take at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the refreshes are made of.
#[derive(Debug)]
pub(crate) enum Signal {
    /// These users have changes after the cursor.
    Changes { since: Cursor, users: Vec<Changed> },
    /// The changes cannot be followed, or are not projected, and have not been for longer than anyone
    /// should be left in the belief that they are. Followed by a gap.
    Lost,
    /// Changes may have been missed. From this position on none are.
    Gap(Position),
}

/// A user with changes.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) user: UserId,
    /// When the oldest of them was made.
    pub(crate) oldest: Instant,
}

/// A position within one epoch of the changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    pub(crate) life: String,
    pub(crate) cursor: Cursor,
    /// What shows that the row of that number is still the one that was seen.
    nonce: Option<i64>,
    /// It is known that nothing was lost before.
    is_continuous: bool,
    /// A server has said what the database has since its last start.
    is_confirmed: bool,
}

/// What a look has found.
enum News {
    Changes(Vec<Changed>),
    /// Changes may have been missed: they were removed because they were old.
    Behind,
    /// The database lacks changes that were there. A new epoch has begun.
    Lost,
    /// It is another epoch, of which this server has seen nothing.
    Other,
}

/// Why the change log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A new epoch could not be begun.
    #[error(transparent)]
    Epoch(#[from] QueryError),
    /// No answer. Perhaps the network is broken in silence.
    #[error("the database did not answer for {} s", POLL_TIMEOUT.as_secs())]
    Timeout,
    /// What a standby shows may be old, and its revisions are the primary's.
    #[error("the database is a standby: changes can be followed on the primary only")]
    Standby,
    /// This session may only read. Another may be allowed more by now.
    #[error("nothing may be written since the database was started")]
    ReadOnly,
    /// The row about this installation is gone.
    #[error("dashboard.meta is empty")]
    Empty,
}

/// Follows the change log of one database.
pub(crate) struct Capture {
    /// Tells how to connect, now, and learns of the loss of the connection at once. The connection
    /// is not from it.
    pub(crate) pool: Pool,
    pub(crate) interval: Duration,
    /// Notified when this server has just written changes: no need to wait.
    pub(crate) projected: Arc<Notify>,
    /// How far the projector is, on this server or another.
    pub(crate) lag: Arc<Lag>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) signals: mpsc::Sender<Signal>,
}

impl Capture {
    /// Takes up the change log: from the returned position on, nothing is missed.
    pub(crate) async fn open(&self) -> Result<(PgConnection, Position), CaptureError> {
        let nowhere = Position::default();
        let opened = timeout(POLL_TIMEOUT, self.connect(&nowhere)).await;
        opened.unwrap_or(Err(CaptureError::Timeout))
    }

    /// Follows the change log until it is stopped, through every loss of the connection.
    pub(crate) async fn run(
        self,
        mut connection: PgConnection,
        mut position: Position,
        stop: CancellationToken,
        progress: Progress,
    ) {
        loop {
            let error = tokio::select! {
                () = stop.cancelled() => break,
                error = self.follow(&mut connection, &mut position, &progress) => error,
            };
            let lost = Instant::now();
            self.count("error");
            self.pool.health().lose();
            tracing::warn!(%error, "lost the change log; reconnecting");
            // What is wrong with the old connection may also be wrong with a polite goodbye.
            drop(connection);
            let reopened = tokio::select! {
                () = stop.cancelled() => return,
                reopened = self.reopen(&position, &progress) => reopened,
            };
            (connection, position) = reopened;
            // What the projector could not do while the database was away does not count.
            self.lag.forgive(lost.elapsed());
            tracing::info!("following the change log again");
            self.metrics.capture_gaps.inc();
            if self.signals.send(Signal::Gap(position.clone())).await.is_err() {
                return;
            }
        }
        timeout(CLOSE_TIMEOUT, connection.close()).await.ok();
    }

    /// Connects, and goes on from a position, if all that it had seen is there.
    async fn connect(&self, from: &Position) -> Result<(PgConnection, Position), CaptureError> {
        let mut connection = session::open(&self.pool.connect_options(), Purpose::Follow).await?;
        if sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut connection).await? {
            return Err(CaptureError::Standby);
        }
        let (mut position, news) = self.look(&mut connection, from).await?;
        position.is_continuous = !matches!(news, News::Other);
        position.life = confirm(&mut connection, position.life, position.is_continuous).await?;
        Ok((connection, position))
    }

    /// Connects again, however long it takes. Reports it once it takes too long.
    async fn reopen(&self, from: &Position, progress: &Progress) -> (PgConnection, Position) {
        let reopened = self.reopen_in_silence(from, progress);
        tokio::pin!(reopened);
        if let Ok(opened) = timeout(GRACE, &mut reopened).await {
            return opened;
        }
        tracing::error!("the change log has been lost; telling the sockets");
        self.signals.send(Signal::Lost).await.ok();
        reopened.await
    }

    async fn reopen_in_silence(
        &self,
        from: &Position,
        progress: &Progress,
    ) -> (PgConnection, Position) {
        let mut delay = RECONNECT_MIN;
        let mut told = String::new();
        loop {
            progress.made();
            let opened = timeout(POLL_TIMEOUT, self.connect(from)).await;
            match opened.unwrap_or(Err(CaptureError::Timeout)) {
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
            sleep(delay).await;
            delay = (delay * 2).min(RECONNECT_MAX);
        }
    }

    /// Polls until something goes wrong.
    async fn follow(
        &self,
        connection: &mut PgConnection,
        position: &mut Position,
        progress: &Progress,
    ) -> CaptureError {
        let (mut is_stale, began) = (false, Instant::now());
        loop {
            progress.made();
            if self.rooms.is_empty() {
                // The first socket ends the nap.
                timeout(IDLE_INTERVAL, self.rooms.occupied.notified()).await.ok();
            } else {
                timeout(self.interval, self.projected.notified()).await.ok();
            }
            match timeout(POLL_TIMEOUT, self.poll(connection, position)).await {
                Ok(Ok((next, is_gap))) => {
                    *position = next;
                    // After a gap the server informs all clients again.
                    is_stale = is_stale && !is_gap;
                }
                Ok(Err(error)) => return error,
                Err(_) => return CaptureError::Timeout,
            }
            if !position.is_confirmed && began.elapsed() > UNCONFIRMED {
                return CaptureError::ReadOnly;
            }
            if self.lag.is_stale() != is_stale {
                is_stale = !is_stale;
                self.tell(is_stale, position).await;
            }
        }
    }

    /// Says that changes wait for too long to be projected, or that they no longer do.
    async fn tell(&self, is_stale: bool, position: &Position) {
        let signal = if is_stale {
            let waited_s = self.lag.age().as_secs();
            tracing::error!(waited_s, "changes are not projected; telling the sockets");
            Signal::Lost
        } else {
            tracing::info!("changes are projected again");
            Signal::Gap(position.clone())
        };
        self.signals.send(signal).await.ok();
    }

    /// Tells of what came after a position. Where it is now, and whether something may have been missed.
    async fn poll(
        &self,
        connection: &mut PgConnection,
        at: &Position,
    ) -> Result<(Position, bool), CaptureError> {
        let (mut next, news) = self.look(connection, at).await?;
        if matches!(news, News::Changes(_)) && !next.is_confirmed {
            // Nothing could be written when this connection was made, and perhaps it can be now.
            next.life = confirm(connection, next.life, next.is_continuous).await?;
        }
        self.count("ok");
        self.metrics.looked();
        let is_gap = !matches!(news, News::Changes(_));
        match news {
            News::Behind | News::Lost | News::Other => {
                tracing::warn!("fell behind the changes");
                self.metrics.capture_gaps.inc();
                self.signals.send(Signal::Gap(next.clone())).await.ok();
            }
            News::Changes(users) if users.is_empty() => {}
            News::Changes(users) => {
                self.metrics.changes_captured.inc_by(users.len() as u64);
                self.signals.send(Signal::Changes { since: at.cursor, users }).await.ok();
            }
        }
        Ok((next, is_gap))
    }

    /// Reads what came after a position. Where that is unknown, finds where the changes end now.
    async fn look(
        &self,
        connection: &mut PgConnection,
        at: &Position,
    ) -> Result<(Position, News), CaptureError> {
        let rows = sqlx::query(POLL).bind(at.cursor.0).fetch_all(&mut *connection).await?;
        let now = Instant::now();
        let first = rows.first().ok_or(CaptureError::Empty)?;
        let mut next = Position {
            life: first.try_get("life")?,
            cursor: Cursor(first.try_get("newest")?),
            nonce: first.try_get("nonce")?,
            is_continuous: at.is_continuous,
            is_confirmed: first.try_get("is_confirmed")?,
        };
        let of_last: Option<i64> = first.try_get("of_last")?;
        if next.life != at.life {
            return Ok((next, News::Other));
        }
        if of_last != at.nonce {
            let removed_to: i64 = first.try_get("removed_to")?;
            if of_last.is_none() && removed_to >= at.cursor.0 {
                return Ok((next, News::Behind));
            }
            tracing::warn!("the database lacks changes that were there; a new epoch begins");
            next.life = query::renew_life(connection, &at.life).await?;
            return Ok((next, News::Lost));
        }
        let mut users = Vec::new();
        for row in &rows {
            if let Some(user) = row.try_get::<Option<&str>, _>("user_id")? {
                let age: f64 = row.try_get("age")?;
                let age = Duration::try_from_secs_f64(age).unwrap_or_default();
                let oldest = now.checked_sub(age).unwrap_or(now);
                users.push(Changed { user: UserId::from(user), oldest });
            }
        }
        Ok((next, News::Changes(users)))
    }

    fn count(&self, result: &'static str) {
        self.metrics.capture_polls.get_or_create(&ResultLabel { result }).inc();
    }
}

/// Confirms for all servers that this epoch holds after a restart of the database, unless another server
/// has done so. A server that has just been started itself does not know whether all earlier changes are
/// still there. It leaves the decision to others for a moment, and then begins a new epoch. The numbers
/// of lost changes are never given out again. Returns the epoch that holds then.
async fn confirm(
    connection: &mut PgConnection,
    life: String,
    knows: bool,
) -> Result<String, CaptureError> {
    const IS_KNOWN: &str = "
        select started = pg_postmaster_start_time()
               or current_setting('transaction_read_only') = 'on'
        from dashboard.meta";
    let since = Instant::now();
    loop {
        if sqlx::query_scalar(IS_KNOWN).fetch_one(&mut *connection).await? {
            return Ok(life_now(connection).await?);
        }
        if knows || since.elapsed() > CONFIRM_WAIT {
            break;
        }
        sleep(RECONNECT_MIN).await;
    }
    let life = if knows { life } else { query::renew_life(connection, &life).await? };
    tracing::info!(knows, "the database was started anew; its changes are accounted for");
    sqlx::raw_sql(CONFIRM).execute(&mut *connection).await?;
    Ok(life)
}

/// Whether the changes can be followed by this session. Reads only, and none of them.
///
/// # Errors
/// See [`CaptureError`].
pub(crate) async fn try_look(connection: &mut PgConnection) -> Result<(), CaptureError> {
    let rows = sqlx::query(POLL).bind(i64::MAX).fetch_all(connection).await?;
    rows.first().map(drop).ok_or(CaptureError::Empty)
}

async fn life_now(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("select life from dashboard.current_epoch").fetch_one(connection).await
}

/// Many more numbers are passed over than could have been lost.
const CONFIRM: &str = "
    with this as (
        update dashboard.meta set started = pg_postmaster_start_time()
        where started <> pg_postmaster_start_time()
        returning 1
    )
    select setval('dashboard.changes_id_seq',
                  greatest(nextval('dashboard.changes_id_seq'),
                           (select max(id) from dashboard.changes)) + 1000000)
    from this";

/// What came after the row `$1`, and whether that row is still what it was.
const POLL: &str = "
    select here.life, meta.removed_to,
           (select nonce from dashboard.changes where id = $1) as of_last,
           coalesce(last.id, 0) as newest, last.nonce,
           meta.started = pg_postmaster_start_time() as is_confirmed, fresh.user_id,
           extract(epoch from clock_timestamp() - fresh.oldest)::float8 as age
    from dashboard.current_epoch as here
    cross join dashboard.meta
    left join (
        select id, nonce from dashboard.changes order by id desc limit 1
    ) as last on true
    left join (
        select user_id, min(at) as oldest from dashboard.changes where id > $1 group by user_id
    ) as fresh on true";
