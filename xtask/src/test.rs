//! Implements `cargo xtask test`: every check and test, in groups, with counts at the end.
//!
//! A group that fails does not stop the others. A group that ran nothing has failed: tests that
//! silently stopped running are worse than tests that fail.

mod counts;
mod groups;
mod scratch;
mod session;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;

use crate::build::Builder;
use crate::steps;
use counts::Counts;
use groups::GROUPS;
use session::Session;

/// What a group came to.
struct Row {
    name: &'static str,
    counts: Counts,
    took: Duration,
}

/// The names that `--only` takes.
pub(crate) fn group_names() -> PossibleValuesParser {
    PossibleValuesParser::new(GROUPS.iter().map(|group| group.name))
}

/// Names the groups.
pub(crate) fn list() {
    for group in &GROUPS {
        println!("{:<10} {}", group.name, group.what);
    }
}

/// Runs the groups of those names, or all.
///
/// # Errors
///
/// Where not even the attempt could be made. The exit code reports failing tests.
pub(crate) fn run(builder: Builder, only: &[String]) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut session = Session::new(builder)?;
    let mut rows = Vec::new();
    for group in GROUPS.iter().filter(|g| only.is_empty() || only.iter().any(|o| o == g.name)) {
        let begun = Instant::now();
        println!("\n── {}: {}", group.name, group.what);
        let counts = match (group.run)(&mut session) {
            Ok(counts) => counts.or_ran_nothing(),
            Err(error) => {
                println!("     {error:#}");
                Counts::failure(format!("{error:#}"))
            }
        };
        rows.push(Row { name: group.name, counts, took: begun.elapsed() });
        if steps::check_interrupted().is_err() {
            break;
        }
    }
    session.end();
    let code = summarise(&rows, started.elapsed());
    // The summary shows what has run until then, also after an interruption.
    steps::check_interrupted()?;
    Ok(code)
}

fn summarise(rows: &[Row], took: Duration) -> ExitCode {
    let failures = rows.iter().flat_map(|row| {
        row.counts.failures.iter().map(move |failure| format!("  {}: {failure}", row.name))
    });
    let failures: Vec<String> = failures.collect();
    if !failures.is_empty() {
        println!("\nWhat failed:\n{}", failures.join("\n"));
    }

    println!("\n{:<10} {:>7} {:>7} {:>9}", "group", "passed", "failed", "time");
    for row in rows {
        let Counts { passed, failed, .. } = row.counts;
        println!("{:<10} {passed:>7} {failed:>7} {:>7.1} s", row.name, row.took.as_secs_f64());
    }
    let passed: usize = rows.iter().map(|row| row.counts.passed).sum();
    let failed: usize = rows.iter().map(|row| row.counts.failed).sum();
    println!("{:<10} {passed:>7} {failed:>7} {:>7.1} s\n", "all", took.as_secs_f64());
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
