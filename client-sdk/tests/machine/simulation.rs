//! A simulated world with seeded randomness: the server, the network with its faults, the app.
//!
//! After every step it is checked that the client never lies and never misbehaves, and after a
//! calm end that it shows what the server has. A failing seed is printed; run it alone with
//! `SIMULATION_SEED=n`, or more of them with `SIMULATION_SEEDS=n`.

mod checks;
mod server;
mod world;

use std::collections::BTreeMap;

use world::World;

/// Seeds in an ordinary run; each lives for about 27 virtual minutes.
const SEEDS: u64 = 150;

#[test]
fn whatever_happens_the_client_does_not_lie_and_converges() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let ran_all = seeds.end - seeds.start >= SEEDS;
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds {
        let world = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world
        });
        let Ok(world) = world else {
            panic!("seed {seed} failed; run it alone with SIMULATION_SEED={seed}");
        };
        for (what, count) in world.happened {
            *happened.entry(what).or_default() += count;
        }
    }
    for (what, count) in &happened {
        println!("{count:>9} {what}");
    }
    // A world in which nothing goes wrong would prove nothing.
    for what in world::EVERYTHING {
        assert!(!ran_all || happened.get(what).is_some_and(|count| *count > 10), "rare: {what}");
    }
}

#[test]
fn one_seed_gives_one_life() {
    let life = |seed| {
        let mut world = World::new(seed);
        world.run();
        (world.happened, world.bench.statuses)
    };
    assert_eq!(life(7), life(7));
    assert_ne!(life(7), life(8));
}
