//! Joins small reads for many users into one.
//!
//! One read is under way at a time. Requests that come during a read wait for it to end. The first of
//! them then reads for all. So the busier the server, the more requests share a statement, and when it
//! is quiet no request waits. If the request that reads for others goes away, the others ask again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The largest number of keys in one read.
const BATCH: usize = 64;

/// What is asked for by key, and answered with `T`.
pub(crate) struct Batches<K, T> {
    waiting: Mutex<Vec<(K, oneshot::Sender<T>)>>,
    reading: tokio::sync::Mutex<()>,
}

impl<K: Clone, T> Batches<K, T> {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Waits for the answer for `key`. `read` answers for several, in their order. The caller whose turn
    /// it is to read for all calls it.
    pub(crate) async fn join<F>(&self, key: K, read: impl Fn(Vec<K>) -> F) -> T
    where
        F: Future<Output = Vec<T>>,
    {
        let mut answer = self.enlist(key.clone());
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(answer) => return answer,
                    Err(_) => answer = self.enlist(key.clone()),
                },
                _only_one = self.reading.lock() => {
                    let (keys, waiting): (Vec<_>, Vec<_>) = self.board().into_iter().unzip();
                    for (waiting, answer) in waiting.into_iter().zip(read(keys).await) {
                        // A caller that has gone away needs no answer.
                        waiting.send(answer).ok();
                    }
                }
            }
        }
    }

    fn enlist(&self, key: K) -> oneshot::Receiver<T> {
        let (sender, answer) = oneshot::channel();
        self.lock().push((key, sender));
        answer
    }

    /// The callers that have waited longest and still wait.
    fn board(&self) -> Vec<(K, oneshot::Sender<T>)> {
        let mut waiting = self.lock();
        waiting.retain(|(_, answer)| !answer.is_closed());
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(K, oneshot::Sender<T>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    /// Reads that say whom they are for, and wait for a permit to end.
    struct World {
        batches: Arc<Batches<u32, (u32, usize)>>,
        ends: Arc<Semaphore>,
        begun: mpsc::UnboundedSender<Vec<u32>>,
        reads: mpsc::UnboundedReceiver<Vec<u32>>,
    }

    impl World {
        fn new() -> Self {
            let (begun, reads) = mpsc::unbounded_channel();
            Self {
                batches: Arc::new(Batches::new()),
                ends: Arc::new(Semaphore::new(0)),
                begun,
                reads,
            }
        }

        /// The key, and how many were read for together.
        fn ask(&self, key: u32) -> impl Future<Output = (u32, usize)> + Send + use<> {
            let (batches, ends) = (Arc::clone(&self.batches), Arc::clone(&self.ends));
            let begun = self.begun.clone();
            async move {
                let (begun, ends) = (&begun, &ends);
                let read = |keys: Vec<u32>| async move {
                    begun.send(keys.clone()).unwrap();
                    ends.acquire().await.unwrap().forget();
                    keys.iter().map(|key| (*key, keys.len())).collect()
                };
                batches.join(key, read).await
            }
        }
    }

    #[tokio::test]
    async fn who_asks_while_a_read_is_under_way_shares_the_next() {
        let mut world = World::new();
        let first = tokio::spawn(world.ask(0));
        assert_eq!(world.reads.recv().await.unwrap(), [0]);
        let mut later = join_all((0..100).map(|key| world.ask(key)));
        assert!((&mut later).now_or_never().is_none());
        assert!(world.reads.try_recv().is_err(), "one read at a time");
        world.ends.add_permits(9);
        assert_eq!(first.await.unwrap(), (0, 1));
        let answers = later.await;
        let expected = |key| (key, if key < 64 { 64 } else { 36 });
        assert_eq!(answers, (0..100).map(expected).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn if_the_reader_goes_away_the_others_read_for_themselves() {
        let mut world = World::new();
        let mut first = Box::pin(world.ask(1));
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(world.reads.recv().await.unwrap(), [1]);
        let mut second = Box::pin(world.ask(2));
        assert!((&mut second).now_or_never().is_none());
        let mut others = join_all([world.ask(3), world.ask(4)]);
        assert!((&mut others).now_or_never().is_none());
        // While it reads for itself alone, and while it reads for the others, too.
        drop(first);
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(world.reads.recv().await.unwrap(), [2, 3, 4]);
        drop(second);
        world.ends.add_permits(9);
        assert_eq!(others.await, [(3, 2), (4, 2)]);
        assert!(world.batches.lock().is_empty());
    }

    #[tokio::test]
    async fn no_read_is_made_for_callers_that_have_gone_away() {
        let mut world = World::new();
        let first = tokio::spawn(world.ask(1));
        assert_eq!(world.reads.recv().await.unwrap(), [1]);
        let mut gone = Box::pin(world.ask(2));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        world.ends.add_permits(9);
        assert_eq!(first.await.unwrap(), (1, 1));
        assert_eq!(world.ask(3).await, (3, 1));
    }
}
