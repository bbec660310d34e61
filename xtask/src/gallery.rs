//! Implements `cargo xtask gallery`: every state of the app, to view, to compare, to accept.

use std::os::unix::process::CommandExt;

use anyhow::{Context, ensure};

use crate::build::{Builder, PRODUCT};
use crate::steps;
use crate::workspace::{cargo, command, path};

/// Serves the gallery in this process's place, with the app as it is being edited, so that Ctrl-C
/// reaches the server and nothing else.
///
/// # Errors
///
/// Where something cannot be built.
pub(crate) fn serve(builder: &mut Builder) -> anyhow::Result<()> {
    builder.sdk()?;
    builder.steps.note("Serve the gallery; Ctrl-C stops it");
    let mut vite = command("vite");
    vite.current_dir(path("dashboard-app")).args(["--config", "gallery/vite.config.ts"]);
    // Returns only if the program cannot be started.
    Err(vite.exec()).context("cannot run Vite")
}

/// Photographs every scene, and compares it with the pictures that are kept, or replaces those.
///
/// # Errors
///
/// Where something cannot be built, or a scene looks otherwise than it did.
pub(crate) fn photograph(builder: &mut Builder, accept: bool) -> anyhow::Result<()> {
    builder.gallery()?;
    builder.browser()?;
    builder.rust_tests()?;
    let title = if accept { "Renew the pictures" } else { "Compare with the pictures" };
    builder.steps.note(title);
    let mut tests = cargo(["nextest", "run", "--no-capture", "--no-fail-fast"]);
    tests.args(["--status-level", "none", "--final-status-level", "none"]);
    tests.args(PRODUCT).args(["--filterset", TESTS]).env("RUST_BACKTRACE", "0");
    if accept {
        tests.env("GALLERY", "accept");
    }
    // They tell their own progress, for as long as it takes.
    steps::check_interrupted()?;
    ensure!(tests.status()?.success(), "the gallery is not as it was; what differs is named above");
    Ok(())
}

/// They need no database.
const TESTS: &str = "package(e2e-tests) and test(/^gallery::every_scene/)";
