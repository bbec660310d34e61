//! Runs the projector as a task of a server: pass after pass, through every loss of the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::{Pass, Projector, ProjectorError};
use crate::database::Lag;
use crate::metrics::{Metrics, ResultLabel};
use crate::postgres::{Pool, session};
use crate::source::{self, InstallError, Installed, Source};
use crate::supervisor::Progress;

/// What a pass may take: several statements, each of which the database ends within two seconds.
const PASS_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to look while changes come.
const BUSY_INTERVAL: Duration = Duration::from_millis(10);
/// For how long changes are believed to go on coming.
const BUSY: Duration = Duration::from_secs(1);
/// How long to wait before another connection is made.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// What a projector needs, and whom it tells.
pub(crate) struct Task {
    /// Tells how to connect, now. The connection is not from it.
    pub(crate) pool: Pool,
    pub(crate) source: Source,
    /// How often all rows are read again. Never, if zero.
    pub(crate) reconcile_interval: Duration,
    /// How often to look while nothing changes.
    pub(crate) interval: Duration,
    /// Notified when changes have been written.
    pub(crate) projected: Arc<Notify>,
    /// Receives how far the projector is.
    pub(crate) lag: Arc<Lag>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a projector had to be given up.
#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    #[error(transparent)]
    Source(#[from] InstallError),
}

impl Task {
    /// Projects until it is stopped.
    pub(crate) async fn run(self, stop: CancellationToken, progress: Progress) {
        let (mut pause, mut told, mut last) = (RECONNECT_MIN, String::new(), None);
        loop {
            let started = Instant::now();
            let Some(error) = stop.run_until_cancelled(self.project(&mut last, &progress)).await
            else {
                return;
            };
            self.count("error");
            if started.elapsed() > RECONNECT_MAX {
                (pause, told) = (RECONNECT_MIN, String::new());
            }
            // It fails in the same way again and again, and is reported once.
            let error = error.to_string();
            if error != told {
                tracing::warn!(error, "changes cannot be projected; trying again");
                told = error;
            }
            progress.made();
            let paused = timeout(pause, self.lag.returned());
            if stop.run_until_cancelled(paused).await.is_none() {
                return;
            }
            pause = (pause * 2).min(RECONNECT_MAX);
        }
    }

    /// Projects until something goes wrong.
    async fn project(&self, last: &mut Option<Projector>, progress: &Progress) -> TaskError {
        progress.made();
        let (mut connection, installed) = match self.begin().await {
            Ok(begun) => begun,
            Err(error) => return error,
        };
        let mut guard = Guard::new(installed.clone(), self.reconcile_interval);
        // What was learned is kept, if the source is the same.
        let known = last.take().filter(|projector| projector.is_of(&installed));
        let projector = last.insert(known.unwrap_or_else(|| Projector::new(installed)));
        projector.reconnected();
        let mut changed = Instant::now();
        loop {
            progress.made();
            let began = Instant::now();
            let pass = match self.pass(&mut connection, projector, &mut guard).await {
                Ok(pass) => pass,
                Err(error) => {
                    if error.is_read_only() {
                        // Nothing changes there, and that was seen.
                        self.lag.caught_up(projector.waiting_since(), began);
                    }
                    return error.into();
                }
            };
            let waiting_since = projector.waiting_since();
            let since = guard.deaf_since().map_or(waiting_since, |at| at.min(waiting_since));
            self.lag.caught_up(since, began);
            if pass.users > 0 {
                self.projected.notify_one();
            }
            if pass.has_more {
                changed = Instant::now();
                if !pass.rest.is_zero() {
                    sleep(pass.rest).await;
                }
                continue;
            }
            let is_busy = pass.is_elsewhere || changed.elapsed() < BUSY;
            sleep(if is_busy { self.interval.min(BUSY_INTERVAL) } else { self.interval }).await;
        }
    }

    async fn begin(&self) -> Result<(PgConnection, Installed), TaskError> {
        let begin = async {
            let mut connection =
                super::connect(&self.pool.connect_options()).await.map_err(InstallError::from)?;
            let installed = source::load(&mut connection, &self.source).await?;
            Ok((connection, installed))
        };
        let silence = || InstallError::from(session::silence(PASS_TIMEOUT)).into();
        timeout(PASS_TIMEOUT, begin).await.unwrap_or_else(|_| Err(silence()))
    }

    async fn pass(
        &self,
        connection: &mut PgConnection,
        projector: &mut Projector,
        guard: &mut Guard,
    ) -> Result<Pass, ProjectorError> {
        let pass = async {
            guard.look(connection).await?;
            projector.pass(connection).await
        };
        let pass = timeout(PASS_TIMEOUT, pass).await;
        let pass = pass.unwrap_or_else(|_| Err(session::silence(PASS_TIMEOUT).into()))?;
        self.count("ok");
        self.metrics.rows_failed.set(projector.failed());
        self.metrics.notes_projected.inc_by(pass.notes as u64);
        Ok(pass)
    }

    fn count(&self, result: &'static str) {
        self.metrics.projector_passes.get_or_create(&ResultLabel { result }).inc();
    }
}
