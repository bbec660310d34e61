//! Builds the module that browsers load: compiles it, adds its JavaScript glue, and makes it small.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::stamp::Stamp;
use crate::steps::{Steps, shown};
use crate::workspace::{self, cargo, command};

/// What is kept when the module is made small. Not `--all-features`: browsers refuse that.
const OPTIMISE: [&str; 9] = [
    "-Oz",
    "--debuginfo",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];
/// What only people read.
const STRIP: [&str; 2] = ["--strip-debug", "--strip-producers"];
const MODULE: &str = "dashboard_core_bg.wasm";
const GLUE: &str = "dashboard_core.js";

/// The module with the names of its functions, by which its size is explained.
pub(crate) fn named() -> PathBuf {
    workspace::target().join("xtask/wasm-with-names.wasm")
}

/// The module and its glue, as the npm package takes them, and the module with names.
fn products() -> [PathBuf; 3] {
    let home = workspace::path("npm-package/wasm");
    [home.join(MODULE), home.join(GLUE), named()]
}

/// Builds them, skipping what is up to date.
///
/// # Errors
///
/// Where a step fails.
pub(crate) fn build(steps: &mut Steps, bindgen_version: &str) -> anyhow::Result<()> {
    let mut compile = cargo(["build", "--package", "client-module", "--profile", "wasm"]);
    compile.args(["--target", "wasm32-unknown-unknown"]);
    steps.run("Compile the WASM module", &mut compile)?;

    // Cargo knows whether the sources changed. What it made tells whether the rest must run.
    let compiled = workspace::target().join("wasm32-unknown-unknown/wasm/client_module.wasm");
    let tools = format!("{bindgen_version} {} {OPTIMISE:?} {STRIP:?}", optimiser_version()?);
    let stamp = Stamp::of("wasm", std::slice::from_ref(&compiled), &tools)?;
    if stamp.is_fresh(&products()) {
        return Ok(());
    }

    let folder = workspace::target().join("xtask/wasm");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| shown(&folder))?;
    }
    let mut bindgen = command("wasm-bindgen");
    bindgen.args(["--target", "web", "--out-name", "dashboard_core", "--out-dir"]);
    steps.run("Make the glue for the WASM module", bindgen.arg(&folder).arg(&compiled))?;

    let big = folder.join("unoptimised.wasm");
    fs::rename(folder.join(MODULE), &big).with_context(|| shown(&big))?;
    let mut optimise = command("wasm-opt");
    optimise.args(OPTIMISE).arg(&big).arg("--output").arg(named());
    steps.run("Make the WASM module small", &mut optimise)?;
    let mut strip = command("wasm-opt");
    strip.args(STRIP).arg(named()).arg("--output").arg(folder.join(MODULE));
    steps.run("Strip the WASM module", &mut strip)?;
    fs::remove_file(&big).with_context(|| shown(&big))?;

    publish(&folder)?;
    stamp.note()
}

/// Copies the finished files over, so that an interrupted build leaves the old ones.
fn publish(folder: &PathBuf) -> anyhow::Result<()> {
    let home = workspace::path("npm-package/wasm");
    fs::create_dir_all(&home).with_context(|| shown(&home))?;
    for entry in fs::read_dir(folder).with_context(|| shown(folder))? {
        let entry = entry?;
        let to = home.join(entry.file_name());
        fs::copy(entry.path(), &to).with_context(|| shown(&to))?;
    }
    Ok(())
}

fn optimiser_version() -> anyhow::Result<String> {
    let manifest = workspace::path("node_modules/binaryen/package.json");
    let text = fs::read_to_string(&manifest)
        .context("the npm package binaryen is not installed; is it in package.json?")?;
    let version = text.lines().find(|line| line.trim_start().starts_with("\"version\""));
    Ok(version.unwrap_or_default().trim().to_owned())
}
