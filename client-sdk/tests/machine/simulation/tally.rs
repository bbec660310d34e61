//! How often what happened.

use std::fmt::Write as _;

use client_sdk::state::{Publication, Source, Status};

use super::faults::Kind;

/// Counts of one schedule, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) schedules: u64,
    pub(super) steps: u64,
    pub(super) virtual_ms: u64,
    /// Tabs that were hidden for half an hour or more.
    pub(super) long_hidden: u64,
    faults: Vec<u64>,
    /// Steps that ended in a state.
    live: u64,
    polling: u64,
    degraded: u64,
    refused: u64,
}

impl Tally {
    pub(super) fn count(&mut self, kind: Kind) {
        self.faults.resize(Kind::ALL.len(), 0);
        self.faults[kind as usize] += 1;
    }

    pub(super) fn step(&mut self, state: &Publication) {
        self.steps += 1;
        self.live += u64::from(state.status == Status::Live);
        self.polling += u64::from(state.source == Source::Polling);
        self.degraded += u64::from(state.status == Status::Degraded);
        self.refused += u64::from(state.status == Status::AuthRequired);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.virtual_ms += other.virtual_ms;
        self.long_hidden += other.long_hidden;
        self.live += other.live;
        self.polling += other.polling;
        self.degraded += other.degraded;
        self.refused += other.refused;
        self.faults.resize(Kind::ALL.len(), 0);
        for (count, more) in self.faults.iter_mut().zip(&other.faults) {
            *count += more;
        }
    }

    /// What happened less often than once in `one_in` schedules: such a run proves little.
    pub(super) fn rare(&self, one_in: u64) -> Vec<&'static str> {
        let least = (self.schedules / one_in).max(1);
        self.rows().filter(|(count, _)| *count < least).map(|(_, what)| what).collect()
    }

    /// Every row of the table: how often, and what.
    fn rows(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let faults = Kind::ALL.iter().map(|kind| {
            (self.faults.get(*kind as usize).copied().unwrap_or_default(), kind.name())
        });
        faults.chain([
            (self.long_hidden, "tab hidden for half an hour or more"),
            (self.live, "steps that ended live"),
            (self.degraded, "steps that ended degraded"),
            (self.polling, "steps that ended with a polled view"),
            (self.refused, "steps that ended with a refused session"),
        ])
    }

    /// The table, for people.
    pub(super) fn table(&self) -> String {
        let hours = self.virtual_ms / 3_600_000;
        let mut table = format!(
            "simulation: {} schedules, {} steps, {hours} hours of life\n",
            self.schedules, self.steps
        );
        for (count, what) in self.rows() {
            let _ = writeln!(table, "simulation: {count:>10}  {what}");
        }
        table
    }
}
