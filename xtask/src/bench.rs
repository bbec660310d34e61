//! Runs the measurements that people ask for. They are commands, never tests, because no machine is like another.

use clap::ValueEnum;

use crate::build::Builder;
use crate::steps;
use crate::workspace::{cargo, command, npm, path, target};

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Bench {
    /// The server, in turns with a Node peer, and the floors under both. What it takes: see
    /// `cargo xtask bench server -- --help`.
    Server,
    /// From a WebSocket message to the app's listener in Chromium, with 2,000 partial rows.
    Apply,
}

/// Builds what is measured, measures it and prints the figures.
///
/// # Errors
///
/// Where a step fails.
pub(crate) fn run(builder: &mut Builder, what: Bench, arguments: &[String]) -> anyhow::Result<()> {
    match what {
        Bench::Server => server(builder, arguments),
        Bench::Apply => apply(builder),
    }
}

fn server(builder: &mut Builder, arguments: &[String]) -> anyhow::Result<()> {
    let mut build =
        cargo(["build", "--release", "--package", "dashboard-server", "--package", "benches"]);
    builder.steps.run("Build the server and the load generator in release", &mut build)?;
    let mut install = npm(["ci", "--no-audit", "--no-fund"]);
    install.current_dir(path("benches/node-peer"));
    builder.steps.run("Install the Node peer", &mut install)?;
    // It tells its own progress, for as long as it takes.
    steps::check_interrupted()?;
    let status = command(target().join("release/benches")).args(arguments).status()?;
    anyhow::ensure!(status.success(), "the measurement failed");
    Ok(())
}

fn apply(builder: &mut Builder) -> anyhow::Result<()> {
    builder.sdk()?;
    builder.browser()?;
    let mut measure = npm(["run", "--silent", "bench:apply", "--workspace", "npm-package"]);
    let outcome = builder.steps.run("Measure in Chromium", &mut measure)?;
    // The first two lines of a log are the command and an empty one.
    for line in outcome.log.lines().skip(2) {
        println!("{line}");
    }
    Ok(())
}
