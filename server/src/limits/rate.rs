//! Limits rates per address or user: the library's leaky bucket, with the words of this server.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// This many at once, and then this many in a given time, for each key.
pub(crate) struct Rate<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, DefaultClock>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    /// `rate` in each second, after a burst of `burst`.
    pub(crate) fn per_second((rate, burst): (u32, u32)) -> Self {
        Self::new(Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst)))
    }

    /// As many at once as in a minute.
    pub(crate) fn per_minute(rate: u32) -> Self {
        Self::new(Quota::per_minute(at_least_one(rate)))
    }

    /// One more for that key, or how long to wait.
    pub(crate) fn take(&self, key: &K) -> Result<(), Duration> {
        self.limiter.check_key(key).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Drops the keys that have their whole burst again.
    pub(crate) fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    fn new(quota: Quota) -> Self {
        let clock = DefaultClock::default();
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { limiter, clock }
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate_and_others_are_not_affected() {
        let rate = Rate::per_minute(3);
        for _ in 0..3 {
            assert_eq!(rate.take(&"a"), Ok(()));
        }
        let wait = rate.take(&"a").unwrap_err();
        assert!(wait > Duration::from_secs(10) && wait <= Duration::from_secs(20), "{wait:?}");
        assert_eq!(rate.take(&"b"), Ok(()));
    }

    #[test]
    fn keys_at_rest_are_forgotten_and_others_are_not() {
        let (quick, slow) = (Rate::per_second((1_000_000, 1)), Rate::per_minute(1));
        quick.take(&"a").unwrap();
        slow.take(&"a").unwrap();
        while !quick.limiter.is_empty() {
            quick.forget();
        }
        slow.forget();
        assert!(slow.take(&"a").is_err());
    }
}
