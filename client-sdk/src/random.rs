//! Generates the machine's random numbers, from a seed that the driver gives.
//!
//! The core has no source of randomness. The same seed and the same inputs give the same life, so
//! tests can replay one. The generator is good enough to spread retries, and nothing secret is ever
//! drawn from it.

use crate::time::Millis;

/// `SplitMix64`: a counter and a mixing function; any seed is a good seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that the driver seeds from the platform's randomness.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A span drawn uniformly from `low..=high`; `low` where the range is empty.
    pub fn span(&mut self, low: Millis, high: Millis) -> Millis {
        let width = high.0.saturating_sub(low.0).saturating_add(1);
        // The bias of a remainder is beyond notice: spans are 2^40 times shorter than the range.
        Millis(low.0.saturating_add(self.next() % width))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.next()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_stay_in_range_and_fill_it() {
        let mut random = Random::new(7);
        let mut seen = [false; 11];
        for _ in 0..1_000 {
            let span = random.span(Millis(100), Millis(110));
            seen[usize::try_from(span.0 - 100).unwrap()] = true;
        }
        assert_eq!(seen, [true; 11]);
        assert_eq!(random.span(Millis(5), Millis(5)), Millis(5));
        assert_eq!(random.span(Millis(9), Millis(5)), Millis(9));
        random.span(Millis(0), Millis(u64::MAX));
    }

    #[test]
    fn one_seed_one_life() {
        let draw = |seed| Random::new(seed).span(Millis(0), Millis(1 << 40));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
