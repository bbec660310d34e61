//! Knows where files are, and how to call other programs from here.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    // The manifest's folder is a child of the root. The root may have any name.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A path below the root.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// Where cargo builds. Every cargo that we call uses the same folder.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => path("target"),
    }
}

/// A call of a program, run at the root, that finds our tools before the machine's.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", search_path());
    // What the cargo that runs us says about this crate is not about the ones that we call.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if ours || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo …`, the same cargo that runs us.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).env("CARGO_TERM_COLOR", "never");
    command
}

/// `npm …`.
pub(crate) fn npm<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = command("npm");
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// The first program of that name among our tools and on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_in(&search_path(), program)
}

/// The first program of that name on the machine's `PATH`: what a person's shell would start.
pub(crate) fn find_on_machine(program: &str) -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH")?, program)
}

fn find_in(folders: &OsStr, program: &str) -> Option<PathBuf> {
    std::env::split_paths(folders)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The folder that `cargo install` puts our tools below. Independent of `CARGO_TARGET_DIR`, so that
/// they are built once.
pub(crate) fn tools() -> PathBuf {
    path("target/tools")
}

fn search_path() -> OsString {
    let machine = std::env::var_os("PATH").unwrap_or_default();
    let folders = [tools().join("bin"), path("node_modules/.bin")];
    let all = folders.into_iter().chain(std::env::split_paths(&machine));
    // A folder with a separator in its name cannot be on PATH. The machine's own still serves.
    std::env::join_paths(all).unwrap_or(machine)
}
