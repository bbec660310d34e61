//! A simulated world with seeded randomness: the server, the network, the machine that the client
//! runs on, the app, and everything that can go wrong with them.
//!
//! A seed makes a schedule of faults; the world leads the life that follows. After every step it is
//! checked that the client never lies and never misbehaves, and after a calm end that it shows what
//! the server has. A seed that fails is shrunk to the faults that matter, and its life is printed.
//!
//! - `SIMULATION_SEED=n`: one seed, and its life is printed
//! - `SIMULATION_SCHEDULES=n`: n schedules, from `SIMULATION_FROM=n` on
//! - `SIMULATION_MINUTES=n`: as many as there is time for (`cargo xtask soak`)
//! - `SIMULATION_KEEP=1`: a seed that fails is added to `seeds.txt`, which every run replays first

mod absurd;
mod checks;
mod decoder;
mod faults;
mod herd;
mod host;
mod life;
mod network;
mod runner;
mod server;
mod shrink;
mod tally;
mod weather;
mod world;

use std::time::Duration;

use faults::Schedule;
use runner::Orders;

/// Schedules in an ordinary run.
const SCHEDULES: u64 = 100_000;
/// A run proves something about events that happen at least once in this number of schedules.
const RARE: u64 = 1_000;
/// A run of fewer schedules is only a sample, and need not be complete.
const ENOUGH: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    let mut count = 0;
    for seed in runner::kept_seeds() {
        runner::must_hold(seed);
        count += 1;
    }
    println!("{count} seeds of seeds.txt");
    assert!(count > 0, "seeds.txt is not read");
}

#[test]
fn the_client_never_lies_and_converges_under_all_faults() {
    if let Some(seed) = number("SIMULATION_SEED") {
        runner::tell(seed);
        return;
    }
    let minutes = number("SIMULATION_MINUTES");
    let tally = runner::run(&Orders {
        from: number("SIMULATION_FROM").unwrap_or_default(),
        schedules: number("SIMULATION_SCHEDULES").unwrap_or(match minutes {
            Some(_) => u64::MAX,
            None => SCHEDULES,
        }),
        time: minutes.map(|minutes| Duration::from_secs(60 * minutes)),
    });
    println!("{}", tally.table());
    // A world in which nothing goes wrong would prove nothing.
    let rare = tally.rare(RARE);
    assert!(tally.schedules < ENOUGH || rare.is_empty(), "too rare to prove anything: {rare:?}");
}

#[test]
fn one_seed_gives_one_life() {
    let lead = |seed| {
        let life = life::lead(Schedule::of(seed));
        (life.story, life.tally)
    };
    assert_eq!(lead(7), lead(7));
    assert_ne!(lead(7), lead(8));
}
