//! Measurements that people ask for: commands, never tests, because no machine is like another.

use clap::ValueEnum;

use crate::build::Builder;
use crate::workspace::npm;

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Bench {
    /// From a WebSocket message to the app's listener in Chromium, with 2,000 partial rows.
    Apply,
}

/// Builds what is measured, measures it and prints the figures.
///
/// # Errors
///
/// Where a step fails.
pub(crate) fn run(builder: &mut Builder, what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Apply => {
            builder.sdk()?;
            builder.browser()?;
            let mut measure = npm(["run", "--silent", "bench:apply", "--workspace", "npm-package"]);
            let outcome = builder.steps.run("Measure in Chromium", &mut measure)?;
            // The first two lines of a log are the command and an empty one.
            for line in outcome.log.lines().skip(2) {
                println!("{line}");
            }
        }
    }
    Ok(())
}
