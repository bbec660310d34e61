//! How far behind the projector is: what it shares with those who serve what it has projected.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients learn of a change that waits for longer: a dashboard that lacks it must not be called live. Small work
/// never waits nearly as long for large work.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// Since when the oldest change waits that has not been projected.
#[derive(Debug)]
pub(crate) struct Lag {
    since: Mutex<Instant>,
}

impl Lag {
    /// Nothing waits.
    pub(crate) fn new() -> Self {
        Self { since: Mutex::new(Instant::now()) }
    }

    /// All that was there at that time has been projected.
    pub(crate) fn caught_up(&self, at: Instant) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// For so long nothing could be projected, and everyone knew.
    pub(crate) fn forgive(&self, away: Duration) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = (*since + away).min(Instant::now());
    }

    /// How long the oldest change waits, or how long ago that was last known.
    pub(crate) fn age(&self) -> Duration {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether what is projected may no longer be called current.
    pub(crate) fn is_stale(&self) -> bool {
        self.age() > STALE_AFTER
    }
}
