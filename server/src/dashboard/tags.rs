//! Reads the tag that a user's snapshot would have now. Conditional requests ask for it, and so do sockets
//! when the server accepts them. All of them share their reads (see [`batches`](super::batches)).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared_types::SnapshotTag;
use tokio::time::timeout;

use crate::dashboard::batches::Batches;
use crate::dashboard::query::{self, QueryError};
use crate::database::Database;
use crate::user::UserId;

/// How long the acceptance of a socket waits for its tag. Socket.IO's client for Python gives up after a second
/// by default, and gets in without a database as well.
pub(crate) const PATIENCE: Duration = Duration::from_millis(750);

type Answer = Result<SnapshotTag, Arc<QueryError>>;
/// Answers for several users, in their order.
type Read = dyn Fn(Vec<UserId>) -> BoxFuture<'static, Vec<Answer>> + Send + Sync;

/// The reader of tags.
pub(crate) struct Tags {
    batches: Batches<UserId, Answer>,
    read: Box<Read>,
}

impl Tags {
    /// Reads them from that database.
    pub(crate) fn of(database: Arc<Database>) -> Arc<Self> {
        Self::by(move |users| {
            let database = Arc::clone(&database);
            async move { read(&database, users).await }.boxed()
        })
    }

    /// Has them read by `read`.
    pub(crate) fn by(
        read: impl Fn(Vec<UserId>) -> BoxFuture<'static, Vec<Answer>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { batches: Batches::new(), read: Box::new(read) })
    }

    /// The user's tag, by a read that begins after the call.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub(crate) async fn now(&self, user: &UserId) -> Answer {
        self.wait(user.clone(), &AtomicBool::default()).await
    }

    /// The same for who cannot wait for long: none after [`PATIENCE`], or on a failure.
    pub(crate) async fn soon(self: &Arc<Self>, user: &UserId) -> Option<SnapshotTag> {
        let is_reading = Arc::new(AtomicBool::default());
        let (tags, user, noted) = (Arc::clone(self), user.clone(), Arc::clone(&is_reading));
        let mut tag = async move { tags.wait(user, &noted).await }.boxed();
        match timeout(PATIENCE, &mut tag).await {
            Ok(Ok(tag)) => Some(tag),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a tag could not be read");
                None
            }
            Err(_) => {
                // If the caller that reads for many gave up, that read would begin anew, so it goes on. A
                // caller that only waits just leaves. Otherwise, while the database is slow, thousands would
                // stay and be read for though they are gone.
                if is_reading.load(Ordering::Relaxed) {
                    tokio::spawn(tag);
                }
                None
            }
        }
    }

    /// The user's tag. During the wait, `is_reading` says whether this caller reads for all.
    async fn wait(&self, user: UserId, is_reading: &AtomicBool) -> Answer {
        let read = |users| {
            let answers = (self.read)(users);
            async {
                is_reading.store(true, Ordering::Relaxed);
                let answers = answers.await;
                is_reading.store(false, Ordering::Relaxed);
                answers
            }
        };
        query::in_time(self.batches.join(user, read)).await
    }
}

/// Reads the tags of several users. What fails does so for all of them.
async fn read(database: &Database, users: Vec<UserId>) -> Vec<Answer> {
    let read = async {
        let _turn = database.turn().await?;
        let mut connection = database.pool.get().await?;
        let tags = query::tags(&mut *connection, &users).await?;
        connection.done();
        Ok::<_, QueryError>(tags)
    };
    match read.await {
        Ok(tags) => tags.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(Arc::new(error)); users.len()],
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::{Semaphore, mpsc};
    use tokio::time::Instant;

    use super::*;

    /// Reads that are reported, and wait for a permit to end. None fails.
    fn scripted() -> (Arc<Tags>, mpsc::UnboundedReceiver<usize>, Arc<Semaphore>) {
        let (told, reads) = mpsc::unbounded_channel();
        let ends = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&ends);
        let tags = Tags::by(move |users| {
            told.send(users.len()).unwrap();
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                users.iter().map(|_| Ok("e-17".parse().unwrap())).collect()
            }
            .boxed()
        });
        (tags, reads, ends)
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_wait_takes_no_read_away_from_others() {
        let (tags, mut reads, ends) = scripted();
        let (ada, bob) = (UserId::from("ada"), UserId::from("bob"));
        // Two join while a read is under way. The first of them is to read for both.
        let mut before = Box::pin(tags.now(&ada));
        assert!((&mut before).now_or_never().is_none());
        let (hasty, others) = (Arc::clone(&tags), Arc::clone(&tags));
        let mut hasty = Box::pin(async { hasty.soon(&ada).await });
        assert!((&mut hasty).now_or_never().is_none());
        let patient = async move { others.now(&bob).await };
        let mut patient = Box::pin(patient);
        assert!((&mut patient).now_or_never().is_none());
        ends.add_permits(1);
        assert!(before.await.is_ok());
        let begun = Instant::now();
        assert_eq!(hasty.await, None);
        assert_eq!(begun.elapsed(), PATIENCE);
        ends.add_permits(1);
        assert_eq!(patient.await.unwrap().to_text(), "e-17");
        assert_eq!((reads.recv().await, reads.recv().await), (Some(1), Some(2)));
        assert!(reads.try_recv().is_err(), "the second read was not begun anew");
    }

    /// However many callers come while a read is slow, it goes on. The next read is for those who still wait.
    #[tokio::test(start_paused = true)]
    async fn who_has_given_up_is_not_read_for_and_leaves_nothing_behind() {
        let (tags, mut reads, ends) = scripted();
        let ada = UserId::from("ada");
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let told = join_all((0..1_000).map(|_| tags.soon(&ada))).await;
        assert!(told.iter().all(Option::is_none));
        assert_eq!(tasks(), 1, "of all who wait, one reads");
        let mut patient = Box::pin(tags.now(&ada));
        assert!((&mut patient).now_or_never().is_none());
        ends.add_permits(9);
        assert!(patient.await.is_ok());
        assert_eq!((reads.recv().await, reads.recv().await), (Some(1), Some(1)));
        assert!(reads.try_recv().is_err() && tasks() == 0);
    }

    #[tokio::test]
    async fn a_read_that_fails_is_no_tag() {
        let tags = Tags::by(|users| {
            let error = Arc::new(QueryError::Incomplete);
            async move { vec![Err(error); users.len()] }.boxed()
        });
        assert_eq!(tags.soon(&UserId::from("ada")).await, None);
        let error = tags.now(&UserId::from("ada")).await.unwrap_err();
        assert!(matches!(*error, QueryError::Incomplete));
    }
}
