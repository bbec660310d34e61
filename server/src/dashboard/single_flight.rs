//! Makes a read once for several callers that wait for it.
//!
//! A caller joins a read of the same user that has not begun, never one that has begun. What a begun
//! read sees may be older than the request, and a client that has just joined its room relies on a
//! snapshot that is not older. So a user has at most one read under way, and one that others still may
//! join. However many tabs come back at once, and however large a collection is, the server asks the
//! database twice at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::user::UserId;

type Pending<T> = BoxFuture<'static, T>;

/// The reads of all users.
pub(crate) struct SingleFlight<T> {
    by_user: Mutex<HashMap<UserId, Entry<T>>>,
}

struct Entry<T> {
    /// The read that has not begun, by its number.
    joinable: Option<(u64, WeakShared<Pending<T>>)>,
    /// Held by the read that is under way.
    under_way: Arc<tokio::sync::Mutex<()>>,
    /// How many there have been.
    count: u64,
    /// How many there are.
    now: usize,
}

/// A read's own place among them. It goes with the read, however the read ends.
pub(crate) struct Ticket<T> {
    reads: Arc<SingleFlight<T>>,
    user: UserId,
    number: u64,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { by_user: Mutex::default() })
    }

    /// Joins a read for that user, or makes one. `read` waits for what it needs, and then calls
    /// [`Ticket::start`] before it reads anything.
    pub(crate) async fn join<R, F>(self: &Arc<Self>, user: &UserId, read: R) -> T
    where
        R: FnOnce(Ticket<T>) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        // In a separate block, so that no caller waits while it holds the lock.
        let flight = {
            let mut by_user = self.lock();
            let entry = by_user.entry(user.clone()).or_insert_with(Entry::new);
            let joinable = entry.joinable.as_ref().and_then(|(_, flight)| flight.upgrade());
            joinable.unwrap_or_else(|| self.prepare(entry, user, read))
        };
        flight.await
    }

    fn prepare<R, F>(
        self: &Arc<Self>,
        entry: &mut Entry<T>,
        user: &UserId,
        read: R,
    ) -> Shared<Pending<T>>
    where
        R: FnOnce(Ticket<T>) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        entry.count += 1;
        entry.now += 1;
        let number = entry.count;
        let ticket = Ticket { reads: Arc::clone(self), user: user.clone(), number };
        let under_way = Arc::clone(&entry.under_way);
        let flight = async move {
            let _only_one = under_way.lock_owned().await;
            read(ticket).await
        };
        let flight = flight.boxed().shared();
        entry.joinable = flight.downgrade().map(|flight| (number, flight));
        flight
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Entry<T>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Entry<T> {
    fn new() -> Self {
        Self { joinable: None, under_way: Arc::default(), count: 0, now: 0 }
    }

    fn close(&mut self, number: u64) {
        self.joinable.take_if(|(joinable, _)| *joinable == number);
    }
}

impl<T> Ticket<T> {
    /// From here on no caller can join.
    pub(crate) fn start(&self) {
        self.change(|entry| entry.close(self.number));
    }

    fn change(&self, change: impl FnOnce(&mut Entry<T>)) {
        let mut by_user = self.reads.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = by_user.get_mut(&self.user) {
            change(entry);
            if entry.now == 0 {
                by_user.remove(&self.user);
            }
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.change(|entry| {
            entry.close(self.number);
            entry.now -= 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::{Notify, Semaphore};

    use super::*;

    /// Reads that wait for a permit to start, and for another to end.
    struct World {
        flights: Arc<SingleFlight<usize>>,
        startures: Arc<Semaphore>,
        ends: Arc<Semaphore>,
        started: Arc<Notify>,
        reads: Arc<AtomicUsize>,
    }

    impl World {
        fn new() -> Self {
            Self {
                flights: SingleFlight::new(),
                startures: Arc::new(Semaphore::new(0)),
                ends: Arc::new(Semaphore::new(0)),
                started: Arc::default(),
                reads: Arc::default(),
            }
        }

        /// Which read the answer is of.
        fn ask(&self, user: &str) -> impl Future<Output = usize> + Send + use<> {
            let (startures, ends) = (Arc::clone(&self.startures), Arc::clone(&self.ends));
            let (started, reads) = (Arc::clone(&self.started), Arc::clone(&self.reads));
            let (flights, user) = (Arc::clone(&self.flights), UserId::from(user));
            async move {
                let read = |ticket: Ticket<usize>| async move {
                    startures.acquire().await.unwrap().forget();
                    ticket.start();
                    started.notify_one();
                    let number = reads.fetch_add(1, Ordering::SeqCst) + 1;
                    ends.acquire().await.unwrap().forget();
                    number
                };
                flights.join(&user, read).await
            }
        }
    }

    #[tokio::test]
    async fn who_asks_before_a_read_begins_shares_it() {
        let world = World::new();
        let mut asking = join_all((0..50).map(|_| world.ask("ada")));
        assert!((&mut asking).now_or_never().is_none());
        world.startures.add_permits(9);
        world.ends.add_permits(9);
        assert_eq!(asking.await, [1; 50]);
        assert_eq!(world.ask("ada").await, 2, "and nobody gets an old one");
    }

    #[tokio::test]
    async fn who_asks_after_a_read_has_begun_waits_for_the_next() {
        let world = World::new();
        let first = tokio::spawn(world.ask("ada"));
        world.startures.add_permits(1);
        world.started.notified().await;
        let later: Vec<_> = (0..50).map(|_| tokio::spawn(world.ask("ada"))).collect();
        world.startures.add_permits(9);
        // Another user does not wait for this one.
        let other = tokio::spawn(world.ask("bob"));
        world.started.notified().await;
        world.ends.add_permits(9);
        assert_eq!(first.await.unwrap(), 1);
        assert_eq!(other.await.unwrap(), 2);
        for answer in later {
            assert_eq!(answer.await.unwrap(), 3);
        }
        assert_eq!(world.reads.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let world = World::new();
        // Before it begins, alone and with another.
        let mut alone = Box::pin(world.ask("ada"));
        assert!((&mut alone).now_or_never().is_none());
        drop(alone);
        assert!(world.flights.lock().is_empty());
        let (mut gone, stays) = (Box::pin(world.ask("ada")), tokio::spawn(world.ask("ada")));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        world.startures.add_permits(1);
        world.started.notified().await;
        // While it is under way.
        let mut next = Box::pin(world.ask("ada"));
        assert!((&mut next).now_or_never().is_none());
        drop(next);
        world.ends.add_permits(1);
        assert_eq!(stays.await.unwrap(), 1);
        assert!(world.flights.lock().is_empty());
    }
}
