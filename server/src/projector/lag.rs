//! How far behind the projector is: what it shares with those who serve what it has projected.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Clients learn of a change that waits for longer: a dashboard that lacks it must not be called live. Small work
/// never waits nearly as long for large work.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// How long a snapshot waits for a look at the notes where there has been none for [`STALE_AFTER`]. A server that
/// stood still has one within moments; less than the acceptance of a socket waits for its tag.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// Since when the oldest change waits that has not been projected.
#[derive(Debug)]
pub(crate) struct Lag {
    known: Mutex<Known>,
    looked: Notify,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    /// When somebody last began to look for changes.
    looked: Instant,
    /// When it was noticed that this is long ago.
    noticed: Option<Instant>,
}

impl Lag {
    /// Nothing waits.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let known = Known { since: now, looked: now, noticed: None };
        Self { known: Mutex::new(known), looked: Notify::new() }
    }

    /// All that was there at that time has been projected, as a look has found that began at that other one.
    pub(crate) fn caught_up(&self, at: Instant, looked: Instant) {
        *self.known() = Known { since: at, looked, noticed: None };
        self.looked.notify_waiters();
    }

    /// For so long nothing could be projected, and everyone knew.
    pub(crate) fn forgive(&self, away: Duration) {
        let (mut known, now) = (self.known(), Instant::now());
        known.since = (known.since + away).min(now);
        known.looked = (known.looked + away).min(now);
    }

    /// How long the oldest change waits, or how long ago that was last known.
    pub(crate) fn age(&self) -> Duration {
        self.known().since.elapsed()
    }

    /// Whether what is projected may no longer be called current.
    pub(crate) fn is_stale(&self) -> bool {
        self.age() > STALE_AFTER
    }

    /// Waits for the next look where there has been none for long, as in a process that stood still: what it has
    /// projected may lack all that was written meanwhile. Where none comes, all wait together, and only once.
    pub(crate) async fn looked(&self) {
        loop {
            let looked = self.looked.notified();
            let Some(patience) = self.patience() else { return };
            if timeout(patience, looked).await.is_err() {
                return;
            }
        }
    }

    /// For how long the next look is still worth waiting for.
    fn patience(&self) -> Option<Duration> {
        let mut known = self.known();
        if known.looked.elapsed() <= STALE_AFTER {
            return None;
        }
        let noticed = known.noticed.get_or_insert_with(Instant::now);
        LOOK_WITHIN.checked_sub(noticed.elapsed())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// As after a standstill of twice as long as anybody may go without a look.
    fn stood_still() -> (Lag, Instant) {
        let (lag, before) = (Lag::new(), Instant::now().checked_sub(STALE_AFTER * 2).unwrap());
        lag.caught_up(before, before);
        (lag, before)
    }

    #[tokio::test]
    async fn nobody_waits_for_a_look_while_there_are_some() {
        let lag = Lag::new();
        // A change may wait for long all the same.
        lag.caught_up(Instant::now().checked_sub(STALE_AFTER * 2).unwrap(), Instant::now());
        assert!(lag.is_stale());
        assert_eq!(lag.looked().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn after_a_standstill_all_wait_for_a_look_that_began_after_it() {
        let (lag, before) = stood_still();
        let mut waiting = Box::pin(lag.looked());
        assert_eq!((&mut waiting).now_or_never(), None);
        // What was under way has seen nothing of what was written meanwhile.
        lag.caught_up(before, before);
        assert_eq!((&mut waiting).now_or_never(), None);
        lag.caught_up(Instant::now(), Instant::now());
        assert_eq!(waiting.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn where_no_look_comes_nobody_waits_twice() {
        let (lag, _) = stood_still();
        lag.looked().await;
        assert_eq!(lag.looked().now_or_never(), Some(()));
    }
}
