//! Limits how many sockets may arrive at the same time.
//!
//! A client that opens a socket asks for a snapshot next. All clients may come at once, as after a
//! restart. If the server let sockets in as fast as they come, the handshakes of all would come before
//! the first snapshot. So only some may be between their handshake and their snapshot. The handshakes
//! of the rest wait, in the order of their arrival.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a socket that asks for no snapshot keeps its place, at most and at least.
pub(crate) const LONGEST: Duration = Duration::from_millis(250);
const LONGEST_MS: u32 = 250;
const SHORTEST_MS: u32 = 100;
/// A place that was kept for nothing makes the time so much shorter, and one that was taken away too
/// early so much longer.
const SHORTER_MS: u32 = 1;
const LONGER_MS: u32 = 10;

/// The places of the sockets that arrive.
pub(crate) struct Arrivals {
    places: Arc<Semaphore>,
    waiting: AtomicU32,
    /// How long a place is kept for a snapshot that does not come.
    patience_ms: AtomicU32,
}

/// One of the places. Dropping it lets the next socket in.
#[derive(Debug)]
pub(crate) struct Arrival(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl Arrivals {
    pub(crate) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(limit)),
            waiting: AtomicU32::new(0),
            patience_ms: AtomicU32::new(LONGEST_MS),
        }
    }

    /// A place, once one is free. None if that takes longer than `patience`.
    pub(crate) async fn begin(&self, patience: Duration) -> Option<Arrival> {
        let places = Arc::clone(&self.places);
        let permit = if let Ok(permit) = Arc::clone(&places).try_acquire_owned() {
            permit
        } else {
            let _waiting = Waiting::new(&self.waiting);
            timeout(patience, places.acquire_owned()).await.ok()?.ok()?
        };
        Some(Arrival(permit))
    }

    /// Whether a place is waited for.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// How long to keep a place for a snapshot that does not come. It is learnt from what came of the places
    /// that were taken away: clients that never ask are let in quickly, and those that are far
    /// away keep their place until they have asked.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.load(Ordering::Relaxed).into())
    }

    /// That number of places was taken away because their time was over.
    pub(crate) fn taken_away(&self, count: u32) {
        self.learn(|ms| ms.saturating_sub(SHORTER_MS.saturating_mul(count)));
    }

    /// That number of sockets whose place was taken away have asked for their snapshot after all.
    pub(crate) fn came_late(&self, count: u32) {
        self.learn(|ms| ms.saturating_add(LONGER_MS.saturating_mul(count)));
    }

    fn learn(&self, change: impl Fn(u32) -> u32) {
        let change = |ms| Some(change(ms).clamp(SHORTEST_MS, LONGEST_MS));
        // Never an error: the change is always made.
        let _ = self.patience_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Arrival {
    /// For tests of what holds one.
    pub(crate) fn unlimited() -> Self {
        Self(Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn one_too_many_waits_for_a_place_and_those_before_it() {
        let arrivals = Arrivals::new(2);
        let first = arrivals.begin(PATIENCE).await.unwrap();
        let _second = arrivals.begin(PATIENCE).await.unwrap();
        let mut third = Box::pin(arrivals.begin(PATIENCE));
        let mut fourth = Box::pin(arrivals.begin(PATIENCE));
        assert!((&mut third).now_or_never().is_none());
        assert!((&mut fourth).now_or_never().is_none());
        drop(first);
        assert!((&mut fourth).now_or_never().is_none(), "it is the third one's turn");
        let third = third.now_or_never().unwrap().unwrap();
        drop(third);
        assert!(fourth.now_or_never().unwrap().is_some());
    }

    #[test]
    fn a_place_is_kept_for_as_long_as_it_is_of_use() {
        let arrivals = Arrivals::new(1);
        let ms = || arrivals.patience().as_millis();
        assert_eq!((ms(), LONGEST.as_millis()), (250, 250));
        // None asks.
        arrivals.taken_away(30);
        assert_eq!(ms(), 220);
        arrivals.taken_away(1_000);
        assert_eq!(ms(), 100);
        // All ask, a little later.
        for _ in 0..20 {
            arrivals.taken_away(1);
            arrivals.came_late(1);
        }
        assert_eq!(ms(), 250);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_crowded_while_a_socket_waits() {
        let arrivals = Arrivals::new(1);
        let first = arrivals.begin(PATIENCE).await.unwrap();
        assert!(!arrivals.is_crowded());
        let mut second = Box::pin(arrivals.begin(PATIENCE));
        assert!((&mut second).now_or_never().is_none());
        assert!(arrivals.is_crowded());
        drop(first);
        let second = second.now_or_never().unwrap();
        assert!(second.is_some() && !arrivals.is_crowded());
    }

    #[tokio::test(start_paused = true)]
    async fn no_socket_waits_for_ever_or_blocks_others_after_leaving() {
        let arrivals = Arrivals::new(1);
        let first = arrivals.begin(PATIENCE).await.unwrap();
        assert!(arrivals.begin(PATIENCE).await.is_none());
        let mut gone = Box::pin(arrivals.begin(PATIENCE));
        assert!((&mut gone).now_or_never().is_none());
        drop((gone, first));
        assert!(arrivals.begin(PATIENCE).now_or_never().unwrap().is_some());
    }
}
