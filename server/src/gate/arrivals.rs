//! How many sockets may arrive at the same time.
//!
//! Whoever opens a socket asks for a snapshot next. When everybody comes at once, as after a
//! restart, sockets that are let in as fast as they come put the handshakes of all before the
//! snapshot of anybody. So only some may be on their way from the one to the other, and the rest wait
//! for theirs to begin, in the order of their coming.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The places of those who arrive.
pub(crate) struct Arrivals(Arc<Semaphore>);

/// One of them; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Arrival(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Arrivals {
    pub(crate) fn new(limit: u32) -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS))))
    }

    /// A place, once one is free. None if that takes longer than so long.
    pub(crate) async fn begin(&self, patience: Duration) -> Option<Arrival> {
        timeout(patience, Arc::clone(&self.0).acquire_owned()).await.ok()?.ok().map(Arrival)
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

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_nor_in_the_way_after_leaving() {
        let arrivals = Arrivals::new(1);
        let first = arrivals.begin(PATIENCE).await.unwrap();
        assert!(arrivals.begin(PATIENCE).await.is_none());
        let mut gone = Box::pin(arrivals.begin(PATIENCE));
        assert!((&mut gone).now_or_never().is_none());
        drop((gone, first));
        assert!(arrivals.begin(PATIENCE).now_or_never().unwrap().is_some());
    }
}
