//! Reads and encodes a whole dashboard once for all requests of a user that wait for it.

use std::sync::Arc;

use bytes::Bytes;
use shared_types::SnapshotTag;

use crate::dashboard::query::{self, QueryError};
use crate::dashboard::single_flight::{SingleFlight, Ticket};
use crate::database::Database;
use crate::user::UserId;

type Answer = Result<Snapshot, Arc<QueryError>>;

/// A dashboard in the form in which it is sent.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) tag: SnapshotTag,
    /// JSON: a `DashboardView`.
    pub(crate) view: Bytes,
}

/// The reader of snapshots.
pub(crate) struct Snapshots {
    database: Arc<Database>,
    reads: Arc<SingleFlight<Answer>>,
}

impl Snapshots {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, reads: SingleFlight::new() }
    }

    /// The user's dashboard, by a read that begins after the call.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub(crate) async fn read(&self, user: &UserId) -> Answer {
        let (database, reader) = (Arc::clone(&self.database), user.clone());
        let read = async move |ticket: Ticket<_>| {
            let _turn = database.turn().await?;
            ticket.start();
            let mut connection = database.pool.get().await?;
            let (tag, view) = query::snapshot(&mut *connection, reader.as_str()).await?;
            connection.done();
            Ok::<_, QueryError>(Snapshot { tag, view: serde_json::to_vec(&view)?.into() })
        };
        let read = |ticket| async move { read(ticket).await.map_err(Arc::new) };
        query::in_time(self.reads.join(user, read)).await
    }
}
