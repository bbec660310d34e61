//! Finds changes that triggers miss. Checks now and then whether the triggers are still there. Sweeps all rows
//! where they were not, and on a schedule.

use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::source::{self, InstallError, Installed};

/// How often to look whether the triggers are there.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often all rows are swept while triggers are missing: nothing else reports changes then.
const DEAF_SWEEP: Duration = Duration::from_mins(1);

/// What watches over a source.
#[derive(Debug)]
pub(super) struct Guard {
    installed: Installed,
    /// How often all rows are swept in any case. Never, if zero.
    reconcile_interval: Duration,
    next_look: Instant,
    /// Since when triggers have been missing, and when all rows were last swept because of that.
    deaf: Option<(Instant, Instant)>,
}

impl Guard {
    pub(super) fn new(installed: Installed, reconcile_interval: Duration) -> Self {
        Self { installed, reconcile_interval, next_look: Instant::now(), deaf: None }
    }

    /// Since when changes may have gone unheard.
    pub(super) fn deaf_since(&self) -> Option<Instant> {
        self.deaf.map(|(since, _)| since)
    }

    /// Looks, if it is time to.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) async fn look(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK_INTERVAL;
        let is_armed = source::is_armed(connection, &self.installed.watches).await?
            || self.rearm(connection).await?;
        match self.deaf {
            None if is_armed => {
                if self.look_whether_they_are_the_same(connection).await? {
                    tracing::warn!(
                        source = self.installed.source.name,
                        "triggers were made anew or switched, so changes may have been missed; all rows \
                         are looked at again"
                    );
                }
            }
            None => {
                tracing::error!(
                    source = self.installed.source.name,
                    "triggers are missing or switched off, so changes are missed; see dashboard-server \
                     check; until they are back all rows are looked at every minute"
                );
                self.deaf = Some((now, now));
                self.owe_sweeps(connection).await?;
            }
            Some(_) if is_armed => {
                tracing::info!("all triggers are there again");
                self.deaf = None;
                if !self.look_whether_they_are_the_same(connection).await? {
                    self.owe_sweeps(connection).await?;
                }
            }
            Some((since, swept)) if now - swept >= DEAF_SWEEP => {
                self.deaf = Some((since, now));
                self.owe_sweeps(connection).await?;
            }
            Some(_) => {}
        }
        if !self.reconcile_interval.is_zero() && self.is_due(connection).await? {
            tracing::info!("all rows are looked at again, as they are from time to time");
            self.owe_sweeps(connection).await?;
        }
        Ok(())
    }

    /// A table that was restored is another one. It may have all of its triggers, but they have seen none of its
    /// rows. Triggers that were off for a moment look as before. So where the triggers are not the known ones, all
    /// rows are swept. Returns true for one server only.
    async fn look_whether_they_are_the_same(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        const KNOWN: &str = "select triggers from dashboard.meta";
        const NOTE: &str =
            "update dashboard.meta set triggers = $1 where triggers is distinct from $1";
        let marks = source::marks(connection).await?;
        let known: Option<String> = sqlx::query_scalar(KNOWN).fetch_one(&mut *connection).await?;
        if known.as_ref() == Some(&marks) {
            return Ok(false);
        }
        let mut transaction = connection.begin().await?;
        let noted = sqlx::query(NOTE).bind(&marks).execute(&mut *transaction).await?;
        // What was installed by hand has just been swept.
        let is_owed = noted.rows_affected() > 0 && known.is_some();
        if is_owed {
            self.owe_sweeps(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(is_owed)
    }

    /// Puts triggers back onto tables that are the server's own to change.
    async fn rearm(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let source = &self.installed.source;
        if !source.is_standalone() {
            return Ok(false);
        }
        let mut tell = |step: String| tracing::debug!(step, "putting triggers back");
        match source::install(connection, source, &mut tell).await {
            Ok(_) => {
                tracing::warn!("triggers were missing or switched off, and were put back");
                Ok(true)
            }
            Err(InstallError::Database(error)) if error.as_database_error().is_none() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "triggers cannot be put back");
                Ok(false)
            }
        }
    }

    /// Whether all rows are to be swept on schedule. True for one server only.
    async fn is_due(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        const IS_DUE: &str = "
            select reconciled < clock_timestamp() - make_interval(secs => $1) from dashboard.meta";
        const NOTE: &str = "
            update dashboard.meta set reconciled = clock_timestamp()
            where reconciled < clock_timestamp() - make_interval(secs => $1)";
        let interval = self.reconcile_interval.as_secs_f64();
        let is_due: bool =
            sqlx::query_scalar(IS_DUE).bind(interval).fetch_one(&mut *connection).await?;
        if !is_due {
            return Ok(false);
        }
        let noted = sqlx::query(NOTE).bind(interval).execute(connection).await?;
        Ok(noted.rows_affected() > 0)
    }

    async fn owe_sweeps(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        source::owe_sweeps(connection, &self.installed).await
    }
}
