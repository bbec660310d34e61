//! Defines the core's time: numbers that a driver hands in.
//!
//! The core has no clock. A driver reads its two clocks, the monotonic one and the wall clock. From
//! both, [`Clock`] makes one [`Moment`], which the driver passes along with every input.

use core::ops::Add;

/// How far the wall clock must run ahead of the monotonic one, between two readings, to count as
/// sleep. Less is the ordinary slewing of a clock that is being set.
const SLEEP_SUSPECTED: u64 = 1_000;

/// How far the wall clock may be from where it is expected, in ms, before it counts as set. The two
/// clocks are not read at once, and browsers round both.
pub const WALL_TOLERANCE: u64 = 100;

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// A span of that number of seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }
}

/// A point on the driver's time line, in milliseconds since about 1970; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// How long ago `earlier` was; zero where it is not in the past.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Millis> for Moment {
    type Output = Self;

    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// Joins a monotonic clock and a wall clock into one time line that also runs during sleep.
///
/// Monotonic clocks stand still while a laptop sleeps on several systems, and wall clocks jump.
/// The time line follows the monotonic clock and takes a forward jump of the wall clock for
/// sleep. Where the clock was merely set forward, the harm is one reconnection; where sleep went
/// unnoticed, a dead connection would be called live.
///
/// It begins where the wall clock stands, so that a moment that was written down in an earlier
/// life of the client can be compared with those of this one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    steady: u64,
    wall: u64,
    now: u64,
    /// How far the wall clock is ahead of the time line. Kept while it is about right, so that one moment
    /// has the same date in all states.
    ahead: i64,
}

impl Clock {
    /// A clock that starts at these readings: `steady` of the monotonic clock in ms since any
    /// start, `wall` in ms since 1970.
    #[must_use]
    pub const fn new(steady: u64, wall: u64) -> Self {
        Self { steady, wall, now: wall, ahead: 0 }
    }

    /// The moment of these readings.
    pub fn read(&mut self, steady: u64, wall: u64) -> Moment {
        let steady = steady.max(self.steady);
        let ran = steady - self.steady;
        let passed = wall.saturating_sub(self.wall);
        let has_slept = passed > ran.saturating_add(SLEEP_SUSPECTED);
        self.now = self.now.saturating_add(if has_slept { passed } else { ran });
        self.steady = steady;
        self.wall = wall;
        let ahead = wall.wrapping_sub(self.now).cast_signed();
        if ahead.abs_diff(self.ahead) > WALL_TOLERANCE {
            self.ahead = ahead;
        }
        self.now()
    }

    /// The moment of the last reading.
    #[must_use]
    pub const fn now(&self) -> Moment {
        Moment(self.now)
    }

    /// That moment, past or future, in ms since 1970; off by [`WALL_TOLERANCE`] at most.
    #[must_use]
    pub const fn wall(&self, moment: Moment) -> u64 {
        moment.0.saturating_add_signed(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_passes_although_the_steady_clock_stood_still() {
        let mut clock = Clock::new(5_000, 1_000_000);
        assert_eq!(clock.read(5_100, 1_000_100), Moment(1_000_100));
        assert_eq!(clock.read(5_200, 1_600_200), Moment(1_600_200), "ten minutes of sleep");
        assert_eq!(clock.read(5_300, 1_600_300), Moment(1_600_300));
    }

    #[test]
    fn a_clock_set_back_or_slewed_does_not_move_the_time_line() {
        let mut clock = Clock::new(0, 1_000_000);
        assert_eq!(clock.read(10, 3_000), Moment(1_000_010), "set back by a quarter of an hour");
        assert_eq!(clock.read(20, 3_900), Moment(1_000_020), "slewed by less than a second");
        assert_eq!(clock.read(15, 3_900), Moment(1_000_020), "never back");
    }

    #[test]
    fn moments_map_to_the_wall() {
        let mut clock = Clock::new(0, 1_000_000);
        clock.read(500, 1_000_500);
        assert_eq!(clock.wall(Moment(1_000_100)), 1_000_100);
        assert_eq!(clock.wall(Moment(1_000_900)), 1_000_900);
        clock.read(600, 500_000);
        assert_eq!(clock.wall(Moment(1_000_100)), 499_500, "half a second ago by a clock set back");
    }

    #[test]
    fn a_moment_has_one_date_although_two_clocks_are_not_read_at_once() {
        let mut clock = Clock::new(0, 1_000_000);
        let dates = [0, 1, 0, 2, 1].map(|late| {
            clock.read(clock.now - 1_000_000 + 100, clock.now + 100 + late);
            clock.wall(Moment(1_000_050))
        });
        assert_eq!(dates, [1_000_050; 5]);
        clock.read(600, 1_000_600 + WALL_TOLERANCE + 1);
        assert_eq!(clock.wall(Moment(1_000_050)), 1_000_050 + WALL_TOLERANCE + 1, "set");
        clock.read(700, 1_000_700);
        assert_eq!(clock.wall(Moment(1_000_050)), 1_000_050, "and set back");
        clock.read(800, 0);
        assert_eq!(clock.wall(Moment(1_000_050)), 0, "there is nothing before 1970");
    }
}
