//! Implements `cargo xtask demo`: builds all that the demo shows, and becomes the demo.

use std::os::unix::process::CommandExt;
use std::path::Path;

use anyhow::Context;

use crate::build::Builder;
use crate::workspace::{self, command};

/// Builds, then runs the demo in this process's place, so that Ctrl-C reaches it and nothing else.
///
/// # Errors
///
/// Where something cannot be built.
pub(crate) fn run(
    builder: &mut Builder,
    check: bool,
    pictures: Option<&Path>,
    watch_minutes: Option<u64>,
) -> anyhow::Result<()> {
    if check {
        builder.browser()?;
    }
    builder.app()?;
    builder.demo()?;

    let programs = workspace::target().join("debug");
    let mut demo = command(programs.join("demo"));
    demo.arg("--server").arg(programs.join("dashboard-server"));
    demo.arg("--app").arg(workspace::path("dashboard-app/dist"));
    demo.arg("--output").arg(workspace::path("target/demo"));
    if check {
        demo.arg("--check");
    }
    if let Some(folder) = pictures {
        demo.arg("--pictures").arg(folder);
    }
    if let Some(minutes) = watch_minutes {
        demo.arg("--watch-minutes").arg(minutes.to_string());
    }
    builder.steps.note(if check { "Check the demo" } else { "Run the demo" });
    // Returns only if the program cannot be started.
    Err(demo.exec()).context("cannot run the demo")
}
