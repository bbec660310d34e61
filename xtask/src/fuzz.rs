//! Implements `cargo xtask fuzz`: runs libFuzzer on each of the targets, for as long as a person likes.
//!
//! It keeps what it finds in `target/fuzz/corpus`, and the next run takes that up. `--keep` adds inputs to
//! the checked-in corpus, `fuzz/corpus`, that reach code which no input there reaches. The tests of
//! `fuzz-targets` replay that corpus. Decision 40 says why the flags are what they are.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::builder::PossibleValuesParser;

use crate::steps::{self, Outcome, Steps, shown};
use crate::tools;
use crate::workspace::{self, cargo};

const TARGETS: [&str; 6] =
    ["client_frames", "server_frames", "packet", "token", "snapshot", "event"];
/// A flag of every call: no sanitizer, which this toolchain lacks, and the product's own code, instead of what
/// its libraries put in its place when a flag says that they are fuzzed.
const STABLE: [&str; 5] = ["--sanitizer", "none", "--no-cfg-fuzzing", "--codegen-units", "8"];
/// Inputs that people wrote are always kept, even if they reach no new code.
const SEED: &str = "seed-";

/// Parses the name of a target.
pub(crate) fn target_names() -> PossibleValuesParser {
    PossibleValuesParser::new(TARGETS)
}

/// Fuzzes one target or all, one after the other.
///
/// # Errors
///
/// Where the targets cannot be built or run.
pub(crate) fn run(
    steps: &mut Steps,
    seconds: u64,
    only: Option<&str>,
    keep: bool,
) -> anyhow::Result<ExitCode> {
    steps::end_on_signal()?;
    tools::cargo_fuzz(steps)?;
    let mut build = fuzz("build");
    // Optimised, and with instruments: minutes, once.
    steps.run("Build the fuzz targets", &mut build)?;
    let mut failed = Vec::new();
    for target in TARGETS.into_iter().filter(|target| only.is_none_or(|only| only == *target)) {
        match fuzz_one(steps, target, seconds)? {
            None if keep => self::keep(steps, target)?,
            None => {}
            Some(input) => failed.push(format!("{target}: {input}")),
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{}", failed.join("\n"));
    Ok(ExitCode::FAILURE)
}

/// What to do about the input that failed, if one did.
fn fuzz_one(steps: &mut Steps, target: &str, seconds: u64) -> anyhow::Result<Option<String>> {
    let (ours, checked_in) = corpora(target);
    fs::create_dir_all(&ours).with_context(|| shown(&ours))?;
    let mut run = fuzz("run");
    run.arg(target).args([&ours, &checked_in]).arg("--");
    run.args(limits()).arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    run.arg(format!("-dict={}", workspace::path("fuzz/dictionary.txt").display()));
    run.env("RUST_BACKTRACE", "0");
    let outcome = steps.attempt(&format!("Fuzz {target} for {seconds} s"), &mut run)?;
    if outcome.success {
        println!("     {}", figures(&outcome.log).unwrap_or_default());
        return Ok(None);
    }
    println!("{}", outcome.excerpt());
    Ok(Some(advice(target, &outcome)))
}

fn advice(target: &str, outcome: &Outcome) -> String {
    let written = outcome.log.lines().find_map(|line| line.split_once("Test unit written to "));
    let Some((_, input)) = written else {
        return format!("did not run to its end; see {}", shown(&outcome.log_path));
    };
    let input = shown(Path::new(input.trim()));
    format!(
        "an input fails: {input}\n  see it fail in a test: cp {input} fuzz/corpus/{target}/ && \
         cargo nextest run -p fuzz-targets {target}\n  make it shorter: {}",
        format_args!("PATH=$PWD/target/tools/bin:$PATH cargo {} {target} {input}", words("tmin"))
    )
}

/// Adds what is worth keeping to the checked-in corpus, and drops from it what is no longer.
fn keep(steps: &mut Steps, target: &str) -> anyhow::Result<()> {
    let (ours, checked_in) = corpora(target);
    for entry in fs::read_dir(&checked_in).with_context(|| shown(&checked_in))? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(SEED) {
            fs::rename(entry.path(), ours.join(entry.file_name()))?;
        }
    }
    let mut merge = fuzz("run");
    merge.arg(target).args([&checked_in, &ours]).arg("--");
    merge.args(limits()).args(["-set_cover_merge=1", "-use_counters=0"]);
    steps.run(&format!("Keep what {target} needs"), &mut merge)?;
    let files = fs::read_dir(&checked_in)?.collect::<Result<Vec<_>, _>>()?;
    let bytes: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|it| it.len()).sum();
    println!("     {} inputs, {} KiB", files.len(), bytes.div_ceil(1024));
    Ok(())
}

fn limits() -> [&'static str; 3] {
    ["-max_len=2048", "-timeout=10", "-rss_limit_mb=2048"]
}

/// The one that grows, and the one that is checked in.
fn corpora(target: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let ours = workspace::target().join("fuzz/corpus").join(target);
    (ours, workspace::path("fuzz/corpus").join(target))
}

fn fuzz(what: &str) -> Command {
    cargo(words(what).split(' '))
}

fn words(what: &str) -> String {
    let target = workspace::target().join("fuzz");
    format!("fuzz {what} --fuzz-dir fuzz --target-dir {} {}", target.display(), STABLE.join(" "))
}

/// The last line of libFuzzer's own log, and how fast it was.
fn figures(log: &str) -> Option<String> {
    let done = log.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: "))?;
    let speed = log.lines().find_map(|line| line.strip_prefix("stat::average_exec_per_sec:"))?;
    let words: Vec<&str> = done.split_whitespace().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    Some(format!(
        "{} inputs, {} a second; edges {}, features {}, corpus {}",
        words.first()?.trim_start_matches('#'),
        speed.trim(),
        after("cov:")?,
        after("ft:")?,
        after("corp:")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_that_there_are() {
        let mut programs: Vec<String> = fs::read_dir(workspace::path("fuzz/fuzz_targets"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        programs.sort();
        let mut targets = TARGETS.map(|target| format!("{target}.rs"));
        targets.sort();
        assert_eq!(programs, targets);
    }

    #[test]
    fn figures_are_found_in_what_libfuzzer_prints() {
        let log = "#2\tINITED cov: 11 ft: 12 corp: 1/1b exec/s: 0 rss: 38Mb\n\
                   #4096\tDONE   cov: 310 ft: 900 corp: 42/3Kb lim: 88 exec/s: 2048 rss: 60Mb\n\
                   Done 4096 runs in 2 second(s)\n\
                   stat::number_of_executed_units: 4096\nstat::average_exec_per_sec:     2048\n";
        let expected = "4096 inputs, 2048 a second; edges 310, features 900, corpus 42/3Kb";
        assert_eq!(figures(log).as_deref(), Some(expected));
        assert_eq!(figures("error: could not compile"), None);
    }
}
