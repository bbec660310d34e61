//! The machine that the client runs on: two clocks that disagree, and a timer that is late.

use client_sdk::driver::LONGEST_NAP;
use client_sdk::time::{Clock, Moment};

/// Timers of a hidden tab fire once in this number of milliseconds.
const THROTTLE: u64 = 60_000;
const STEADY_START: u64 = 1_000;
/// In November 2026.
const WALL_START: u64 = 1_795_000_000_000;

/// Clocks and timer as a driver sees them. The world's own time is [`Host::now`].
pub(super) struct Host {
    clock: Clock,
    /// The world's time in ms, which runs always.
    pub(super) now: u64,
    /// How much of it was slept away.
    asleep: u64,
    steady_runs_asleep: bool,
    /// What people and time servers did to the wall clock, in ms.
    set: i64,
    pub(super) is_hidden: bool,
    /// When the tab was last seen again, in ms awake.
    shown_at: Option<u64>,
    /// When the driver's timer fires, in the world's time.
    pub(super) alarm: Option<u64>,
}

impl Host {
    pub(super) fn new(steady_runs_asleep: bool) -> Self {
        Self {
            clock: Clock::new(STEADY_START, WALL_START),
            now: 0,
            asleep: 0,
            steady_runs_asleep,
            set: 0,
            is_hidden: false,
            shown_at: None,
            alarm: None,
        }
    }

    /// Reads both clocks, as a driver does before each input.
    pub(super) fn read(&mut self) -> Moment {
        let (steady, wall) = (self.steady(), self.wall());
        self.clock.read(steady, wall)
    }

    fn steady(&self) -> u64 {
        STEADY_START + if self.steady_runs_asleep { self.now } else { self.awake() }
    }

    /// The tab is seen again.
    pub(super) fn show(&mut self) {
        self.is_hidden = false;
        self.shown_at = Some(self.awake());
    }

    /// Whether the tab is hidden, or was `ago` milliseconds ago.
    pub(super) fn was_hidden(&self, ago: u64) -> bool {
        self.is_hidden || self.shown_at.is_some_and(|at| self.awake() - at <= ago)
    }

    /// The reading of the wall clock.
    pub(super) fn wall(&self) -> u64 {
        (WALL_START + self.now).saturating_add_signed(self.set)
    }

    /// The joined clock, after the last reading.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The world's time without sleep.
    pub(super) fn awake(&self) -> u64 {
        self.now - self.asleep
    }

    /// Sets the timer as the drivers do.
    pub(super) fn set_alarm(&mut self, due: Option<Moment>) {
        let nap = due.map(|due| due.since(self.clock.now()).min(LONGEST_NAP).0);
        self.alarm = nap.map(|nap| {
            let at = self.now + nap;
            if self.is_hidden { at.next_multiple_of(THROTTLE) } else { at }
        });
    }

    /// Sleeps: the timer's rest is still to pass afterwards.
    pub(super) fn sleep(&mut self, span: u64) {
        self.now += span;
        self.asleep += span;
        self.alarm = self.alarm.map(|alarm| alarm + span);
    }

    /// Another process: its clock starts again, and its tab is not hidden.
    pub(super) fn restart(&mut self) {
        self.clock = Clock::new(self.steady(), self.wall());
        (self.is_hidden, self.alarm) = (false, None);
    }

    /// Someone sets the wall clock.
    pub(super) fn set_wall(&mut self, by: i64) {
        self.set += by;
    }
}
