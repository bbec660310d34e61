//! Implements `cargo xtask soak`: runs the simulation of the client for as long as a person likes.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::build::{Builder, PRODUCT};
use crate::steps;
use crate::workspace::{self, cargo, command};

/// The test that leads the lives.
const TEST: &str = "simulation::the_client_never_lies_and_converges_under_all_faults";
/// Seeds between two runs that begin in the same second.
const SEEDS_A_SECOND: u64 = 100_000;

/// Runs it in the foreground, where it prints its own progress.
///
/// # Errors
///
/// Where the test cannot be built or run.
pub(crate) fn run(
    builder: &mut Builder,
    minutes: u64,
    seed_from: Option<u64>,
) -> anyhow::Result<ExitCode> {
    // The same signal reaches the test, which ends with its table. This program only waits.
    steps::end_on_signal()?;
    let mut build = cargo(["test", "--no-run", "--test", "machine"]);
    let outcome = builder.steps.run("Build the simulation", build.args(PRODUCT))?;
    let program = executable(&outcome.log).context("cargo did not say what it built")?;
    let from = match seed_from {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * SEEDS_A_SECOND,
    };
    println!("Seeds from {from}, for {minutes} minutes; Ctrl-C ends it with the table so far.");
    let mut soak = command(workspace::path(program));
    soak.args([TEST, "--exact", "--nocapture"]).env("RUST_BACKTRACE", "0");
    soak.env("SIMULATION_MINUTES", minutes.to_string());
    soak.env("SIMULATION_FROM", from.to_string()).env("SIMULATION_KEEP", "1");
    let status = soak.status().with_context(|| format!("cannot run {program}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The path in `Executable tests/machine/main.rs (target/debug/deps/machine-…)`.
fn executable(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.trim_start().starts_with("Executable "))?;
    line.split_once('(')?.1.strip_suffix(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let log = "   Finished `test` profile\n  Executable tests/machine/main.rs (target/d/m-1)\n";
        assert_eq!(executable(log), Some("target/d/m-1"));
        assert_eq!(executable("error: could not compile"), None);
    }
}
