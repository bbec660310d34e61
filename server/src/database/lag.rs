//! Tracks how far the projector lags behind. The projector shares this with the parts that serve its results.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
// Where tests hold time still, nothing has stood still for long.
use tokio::time::{Instant, timeout};

/// Clients learn of a change that waits for longer: a dashboard without it must not be called live. Small work
/// never waits nearly as long for large work. Where looks are rare, it is twice the time between two of them.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// How long a snapshot waits for a look at the notes where there has been none for as long. A server that
/// stood still has one within moments. This is less than the acceptance of a socket waits for its tag.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// Since when the oldest change waits that has not been projected.
#[derive(Debug)]
pub(crate) struct Lag {
    known: Mutex<Known>,
    looked: Notify,
    /// Notified when the database is there again.
    returned: Notify,
    stale_after: Duration,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    /// When a server last began to look for changes.
    looked: Instant,
    /// When it was noticed that this is long ago.
    noticed: Option<Instant>,
}

impl Lag {
    /// No change waits. While nothing changes, a server looks for changes at this interval.
    pub(crate) fn new(interval: Duration) -> Self {
        let now = Instant::now();
        let known = Known { since: now, looked: now, noticed: None };
        Self {
            known: Mutex::new(known),
            looked: Notify::new(),
            returned: Notify::new(),
            stale_after: STALE_AFTER.max(interval * 2),
        }
    }

    /// All that was there at that time has been projected, as a look has found that began at that other one.
    pub(crate) fn caught_up(&self, at: impl Into<Instant>, looked: impl Into<Instant>) {
        *self.known() = Known { since: at.into(), looked: looked.into(), noticed: None };
        self.looked.notify_waiters();
    }

    /// For this long nothing could be projected, and all users knew. Changes of that time have not been
    /// looked for yet. That is due now, and worth waiting for, also after a wait that failed while no look
    /// could come.
    pub(crate) fn forgive(&self, away: Duration) {
        let mut known = self.known();
        known.since = (known.since + away).min(Instant::now());
        known.noticed = None;
        self.returned.notify_one();
    }

    /// Waits until the database is there again.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }

    /// How long the oldest change waits, or how long ago that was last known.
    pub(crate) fn age(&self) -> Duration {
        self.known().since.elapsed()
    }

    /// Whether what is projected may no longer be called current.
    pub(crate) fn is_stale(&self) -> bool {
        self.age() > self.stale_after
    }

    /// Waits for the next look where there has been none for long, as in a process that stood still: what it has
    /// projected may not include what was written in that time. Where none comes, all wait together, and only once.
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
        if known.looked.elapsed() <= self.stale_after {
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

    const INTERVAL: Duration = Duration::from_millis(25);
    const LONG: Duration = Duration::from_secs(STALE_AFTER.as_secs() * 2);

    /// As after a standstill of twice the time that a server may go without a look.
    fn stood_still() -> (Lag, Instant) {
        let (lag, before) = (Lag::new(INTERVAL), Instant::now().checked_sub(LONG).unwrap());
        lag.caught_up(before, before);
        (lag, before)
    }

    #[tokio::test]
    async fn no_caller_waits_for_a_look_while_there_are_some() {
        let lag = Lag::new(INTERVAL);
        // A change may wait for long all the same.
        lag.caught_up(Instant::now().checked_sub(LONG).unwrap(), Instant::now());
        assert!(lag.is_stale());
        assert_eq!(lag.looked().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn after_a_standstill_all_wait_for_a_look_that_began_after_it() {
        let (lag, before) = stood_still();
        let mut waiting = Box::pin(lag.looked());
        assert_eq!((&mut waiting).now_or_never(), None);
        // What was under way has seen nothing of what was written in that time.
        lag.caught_up(before, before);
        assert_eq!((&mut waiting).now_or_never(), None);
        lag.caught_up(Instant::now(), Instant::now());
        assert_eq!(waiting.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn where_no_look_comes_no_caller_waits_twice() {
        let (lag, _) = stood_still();
        lag.looked().await;
        assert_eq!(lag.looked().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn where_looks_are_rare_no_caller_waits_between_two_of_them() {
        let lag = Lag::new(Duration::from_secs(8));
        for (seconds, is_long) in [(8, false), (17, true)] {
            let before = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            lag.caught_up(before, before);
            assert_eq!(lag.is_stale(), is_long);
            assert_eq!(lag.looked().now_or_never().is_none(), is_long);
        }
    }

    #[tokio::test]
    async fn when_the_database_is_there_again_a_look_is_due_and_waited_for() {
        let (lag, _) = stood_still();
        // While it is away, no look comes.
        lag.looked().await;
        lag.forgive(LONG);
        assert!(!lag.is_stale());
        assert_eq!(lag.returned().now_or_never(), Some(()));
        let mut waiting = Box::pin(lag.looked());
        assert_eq!((&mut waiting).now_or_never(), None);
        lag.caught_up(Instant::now(), Instant::now());
        assert_eq!(waiting.now_or_never(), Some(()));
    }
}
