//! Chooses which `PostgreSQL` to run: the newest installed one for a new cluster, and for an old cluster
//! the one that made it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Options;
use crate::environment;
use crate::error::Error;
use crate::files::Layout;
use crate::npm;

/// The versions that the product is known to work with.
pub(crate) const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// The folders in which packages put each version into a separate folder: what stands before the
/// version, and after it.
const VERSIONED: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A folder with the programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) folder: PathBuf,
    pub(crate) major: u32,
}

impl Binaries {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Finds binaries for the cluster in `layout`, or brings them.
pub(crate) fn find(
    options: &Options,
    layout: &Layout,
    progress: &mut dyn FnMut(&str),
) -> Result<Binaries, Error> {
    let wanted = layout.cluster_version();
    let mut tried = Vec::new();
    if let Some(best) = installed(options, wanted, &mut tried) {
        return Ok(best);
    }
    if options.binaries.is_some() {
        return Err(Error::NoBinaries { wanted, tried });
    }
    let brought = npm::bring(&layout.npm(), wanted, progress).and_then(|folder| {
        let mut why = Vec::new();
        probe(&folder, &mut why).ok_or_else(|| why.join("; "))
    });
    brought.map_err(|why| {
        tried.push(why);
        Error::NoBinaries { wanted, tried }
    })
}

/// Finds binaries on this machine.
pub(crate) fn installed(
    options: &Options,
    wanted: Option<u32>,
    tried: &mut Vec<String>,
) -> Option<Binaries> {
    let places = match &options.binaries {
        Some(folder) => vec![folder.clone()],
        None => installed_places(),
    };
    let found: Vec<_> = places.iter().filter_map(|folder| probe(folder, tried)).collect();
    choose(found, wanted, tried)
}

fn choose(found: Vec<Binaries>, wanted: Option<u32>, tried: &mut Vec<String>) -> Option<Binaries> {
    let fits = |major| wanted.map_or(MAJORS.contains(&major), |wanted| major == wanted);
    let (fitting, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|binaries| fits(binaries.major));
    tried.extend(others.iter().map(|other| {
        format!("{}: version {}, which does not fit", other.folder.display(), other.major)
    }));
    // The first place wins among equals.
    fitting.into_iter().reduce(|best, next| if next.major > best.major { next } else { best })
}

fn installed_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    for (parent, before, after) in VERSIONED {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.retain(|name| name.starts_with(before));
        names.sort();
        places.extend(names.iter().map(|name| Path::new(parent).join(name).join(after)));
    }
    places.extend(
        ["/opt/homebrew/opt/postgresql/bin", "/usr/local/opt/postgresql/bin"].map(PathBuf::from),
    );
    places.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    places.retain(|place| place.join("postgres").is_file());
    places
}

/// Asks the server in `folder` for its version.
fn probe(folder: &Path, tried: &mut Vec<String>) -> Option<Binaries> {
    let mut fail = |why: String| tried.push(format!("{}: {why}", folder.display()));
    if let Some(missing) =
        ["postgres", "initdb", "pg_ctl"].iter().find(|name| !folder.join(name).is_file())
    {
        fail(format!("has no {missing}"));
        return None;
    }
    let mut postgres = Command::new(folder.join("postgres"));
    environment::limit(&mut postgres);
    match postgres.arg("--version").output() {
        Err(error) => fail(error.to_string()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            if let Some(major) = major_version(&text) {
                return Some(Binaries { folder: folder.to_owned(), major });
            }
            let complaint = String::from_utf8_lossy(&output.stderr);
            fail(format!("tells no version: {} {}", text.trim(), complaint.trim()));
        }
    }
    None
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, `postgres (PostgreSQL) 18beta1`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(folder: &str, major: u32) -> Binaries {
        Binaries { folder: folder.into(), major }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("bash 5\n"), None);
    }

    #[test]
    fn a_new_cluster_gets_the_newest_known_version_and_an_old_one_its_own() {
        let found = || vec![at("/a", 15), at("/b", 17), at("/c", 17), at("/d", 99)];
        let choose = |wanted| choose(found(), wanted, &mut Vec::new());
        assert_eq!(choose(None), Some(at("/b", 17)));
        assert_eq!(choose(Some(15)), Some(at("/a", 15)));
        assert_eq!(choose(Some(16)), None);
    }
}
