//! Implements `cargo xtask planted`: proves that the simulation finds bugs.
//!
//! Each patch in `client-sdk/tests/machine/planted` plants one bug in a copy of the SDK below
//! `target/`. The simulation must fail there, with words that the patch names. So the product
//! needs no switches for bugs, and a patch that no longer applies is noticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::steps::{Steps, shown};
use crate::workspace::{self, cargo, command};

const PATCHES: &str = "client-sdk/tests/machine/planted";
/// The packages that the copies hold.
const PACKAGES: [&str; 2] = ["client-sdk", "shared-types"];
/// What else a build of them reads.
const FILES: [&str; 3] = ["Cargo.lock", "clippy.toml", "rust-toolchain.toml"];
/// The lines of a patch that say which checks find the bug. Which of them is first depends on which life
/// comes first, and the threads that lead them decide that.
const CAUGHT: &str = "Caught by: ";
/// The simulation runs this many lives for a bug. If none meets the bug, it is not found.
const SCHEDULES: &str = "20000";

/// Plants each bug. Returns for each whether it was found, or what happened instead.
///
/// # Errors
///
/// Where a copy cannot be made, or a patch does not apply to it.
pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<Vec<Result<(), String>>> {
    let folder = workspace::path(PATCHES);
    let entries = fs::read_dir(&folder).with_context(|| shown(&folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut patches = paths.collect::<Result<Vec<_>, _>>().with_context(|| shown(&folder))?;
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    if patches.is_empty() {
        bail!("{} holds no patches", shown(&folder));
    }
    patches.iter().map(|patch| plant(steps, patch)).collect()
}

fn plant(steps: &mut Steps, patch: &Path) -> anyhow::Result<Result<(), String>> {
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(patch).with_context(|| shown(patch))?;
    let words: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(CAUGHT)).collect();
    if words.is_empty() {
        bail!("{}: no line \"{CAUGHT}\"", shown(patch));
    }
    let copy = copy(steps, patch, &name)?;

    let mut tests = cargo(["test", "--package", "client-sdk", "--test", "machine"]);
    tests.args(["--", "simulation::the_client_never_lies", "--nocapture"]).current_dir(copy);
    tests.env("CARGO_TARGET_DIR", workspace::target());
    tests.env("SIMULATION_SCHEDULES", SCHEDULES).env("RUST_BACKTRACE", "0");
    let outcome = steps.attempt_failure(
        &format!("Plant {name}, which must make the simulation fail"),
        &mut tests,
    )?;
    let panicked = outcome.log.lines().find(|line| line.starts_with("seed "));
    Ok(match panicked {
        Some(line) if words.iter().any(|words| line.contains(words)) => {
            println!("     found: {}", line.chars().take(80).collect::<String>());
            Ok(())
        }
        Some(line) => Err(format!("{name}: another check failed: {line}")),
        None if outcome.success => Err(format!("{name}: the bug was not found")),
        None => {
            println!("{}", outcome.excerpt());
            Err(format!("{name}: the copy did not run"))
        }
    })
}

/// A small workspace with the bug in it. Files that are as they were keep their time, so that cargo
/// builds again only what changed.
fn copy(steps: &mut Steps, patch: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = workspace::target().join("xtask/planted");
    let (fresh, copy) = (folder.join("fresh"), folder.join(name));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| shown(&fresh))?;
    }
    for (path, bytes) in files(workspace::root(), &PACKAGES, &FILES)? {
        write(&fresh.join(path), &bytes)?;
    }
    let manifest = workspace::path("Cargo.toml");
    let manifest = fs::read_to_string(&manifest).with_context(|| shown(&manifest))?;
    write(&fresh.join("Cargo.toml"), for_copy(&manifest, name)?.as_bytes())?;

    let mut apply = command("git");
    apply.args(["apply", "-C1", "--whitespace=nowarn"]).arg(patch).current_dir(&fresh);
    // The copy is in a folder of our repository, and no part of it.
    apply.env("GIT_CEILING_DIRECTORIES", &folder);
    steps.run(&format!("Apply {name}"), &mut apply)?;

    let files = files(&fresh, &[""], &[])?;
    for (path, bytes) in &files {
        let there = copy.join(path);
        if fs::read(&there).ok().as_ref() != Some(bytes) {
            write(&there, bytes)?;
        }
    }
    Ok(copy)
}

/// The workspace's manifest with our packages only. What it says about others is not read then.
/// They get a version of their own, by which cargo tells what it built of them from what it built
/// of the other copies, and of the product.
fn for_copy(manifest: &str, name: &str) -> anyhow::Result<String> {
    let mut changes = 0;
    let lines = manifest.lines().map(|line| {
        if line.starts_with("members = ") {
            changes += 1;
            format!("members = [\"{}\"]\n", PACKAGES.join("\", \""))
        } else if line.starts_with("version = ") {
            changes += 1;
            format!("version = \"0.0.0-{name}\"\n")
        } else if PACKAGES.iter().any(|package| line.starts_with(&format!("{package}.opt-level"))) {
            // A bug is found in the first lives. To optimise them would take longer than they do.
            String::new()
        } else {
            format!("{line}\n")
        }
    });
    let copy = lines.collect();
    if changes == 2 { Ok(copy) } else { bail!("Cargo.toml has other lines than expected") }
}

/// The files in these folders of `root`, and these files, by their paths below it.
fn files(
    root: &Path,
    folders: &[&str],
    single: &[&str],
) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut paths: Vec<PathBuf> = single.iter().map(|file| root.join(file)).collect();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).with_context(|| shown(&folder))? {
            let path = entry.with_context(|| shown(&folder))?.path();
            if path.is_dir() { pending.push(path) } else { paths.push(path) }
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).with_context(|| shown(&path))?;
            Ok((path.strip_prefix(root)?.to_owned(), bytes))
        })
        .collect()
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| shown(folder))?;
    }
    fs::write(path, bytes).with_context(|| shown(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_distinguished_from_the_product() {
        let manifest =
            "[workspace]\nmembers = [\"a\", \"b\"]\n[workspace.package]\nversion = \"1.2.3\"\n";
        let copy = for_copy(manifest, "bug").unwrap();
        assert!(copy.contains("members = [\"client-sdk\", \"shared-types\"]\n"), "{copy}");
        assert!(copy.contains("version = \"0.0.0-bug\"\n"), "{copy}");
        assert!(for_copy("[workspace]\n", "bug").is_err());
    }
}
