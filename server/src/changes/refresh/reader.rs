//! Reads what a batch of users needs in a refresh, and hands the events to their rooms.

use std::sync::Arc;
use std::time::Instant;

use shared_types::SnapshotTag;

use super::Batch;
use crate::changes::coalesce::Dirty;
use crate::changes::events;
use crate::dashboard::cursor::Cursor;
use crate::dashboard::query::{self, Owed, QueryError, Refresh};
use crate::dashboard::section::Sections;
use crate::metrics::{Metrics, ResultLabel};
use crate::postgres::Pool;
use crate::sockets::registry::Registry;
use crate::sockets::rooms::Rooms;
use crate::telemetry::traces::{Change, Traces};
use crate::user::UserId;

/// What a refresh needs.
pub(crate) struct Reader {
    pub(crate) pool: Pool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
}

#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("an event could not be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Reader {
    /// Sends users everything that they need.
    pub(super) async fn refresh(self: Arc<Self>, batch: Batch) -> Vec<Option<Cursor>> {
        let started = Instant::now();
        let read = query::in_time(self.read(&batch)).await;
        let done = Instant::now();
        let sent: Vec<_> = match read {
            Ok(read) => batch
                .iter()
                .zip(read)
                .map(|((user, dirty), read)| self.send(user, dirty, read, (started, done)))
                .collect(),
            Err(error) => {
                tracing::warn!(users = batch.len(), %error, "a refresh failed and will be retried");
                vec![None; batch.len()]
            }
        };
        self.metrics.refresh_duration.observe(started.elapsed().as_secs_f64());
        for sent in &sent {
            let label = ResultLabel { result: if sent.is_some() { "ok" } else { "error" } };
            self.metrics.refreshes.get_or_create(&label).inc();
        }
        sent
    }

    /// The tags that snapshots of these users would have now.
    pub(super) async fn tags(&self, users: &[UserId]) -> Result<Vec<SnapshotTag>, QueryError> {
        let mut connection = self.pool.get().await?;
        let tags = query::tags(&mut *connection, users).await?;
        connection.done();
        Ok(tags)
    }

    /// Begins a new epoch of the changes, unless another server has. Returns it.
    pub(super) async fn renew_life(&self, known: &str) -> Result<String, QueryError> {
        query::renew_life(&mut *self.pool.get().await?, known).await
    }

    async fn read(
        &self,
        batch: &[(UserId, Dirty)],
    ) -> Result<Vec<Result<Refresh, QueryError>>, QueryError> {
        let owed: Vec<_> = batch
            .iter()
            .map(|(user, dirty)| Owed {
                user: user.as_str(),
                since: dirty.since,
                forced: dirty.forced,
            })
            .collect();
        let mut connection = self.pool.get().await?;
        let mut read = query::refresh(&mut *connection, &owed).await?;
        // The rows that would say which sections changed may have been removed in between.
        let is_blind = |owed: &Owed<'_>, read: &Refresh| {
            read.removed_to > owed.since && owed.forced != Sections::ALL
        };
        let blind: Vec<usize> = (0..owed.len())
            .filter(|&place| read[place].as_ref().is_ok_and(|read| is_blind(&owed[place], read)))
            .collect();
        if !blind.is_empty() {
            let everything: Vec<_> =
                blind.iter().map(|&place| Owed { forced: Sections::ALL, ..owed[place] }).collect();
            let again = query::refresh(&mut *connection, &everything).await?;
            for (place, again) in blind.into_iter().zip(again) {
                read[place] = again;
            }
        }
        connection.done();
        Ok(read)
    }

    /// Sends a user what was read. Returns up to where it was, if it could be.
    fn send(
        &self,
        user: &UserId,
        dirty: &Dirty,
        read: Result<Refresh, QueryError>,
        (started, done): (Instant, Instant),
    ) -> Option<Cursor> {
        let encoded =
            read.map_err(RefreshError::from).and_then(|read| Ok((events::messages(&read)?, read)));
        let (messages, read) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::warn!(%user, %error, "a refresh failed and will be retried");
                return None;
            }
        };
        let revision = read.tag.revision;
        let sockets = self.rooms.deliver(user, revision, &messages);
        if !messages.is_empty() {
            self.metrics.change_to_emit.observe(dirty.oldest.elapsed().as_secs_f64());
            self.traces.change(&Change {
                user,
                sections: read.sections,
                revision: revision.get(),
                sockets,
                made: dirty.oldest,
                seen: dirty.seen,
                started,
                read: done,
            });
        }
        Some(read.cursor)
    }
}
