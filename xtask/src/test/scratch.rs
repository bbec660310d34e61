//! Provides a folder for what the tests throw away: databases, and the profiles of browsers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::workspace::{self, command};

/// Linux' file system in memory.
const MEMORY: &str = "/dev/shm";
/// What must be free in it, in KiB. The tests take a third of that.
const NEEDED: u64 = 6 << 20;

/// A folder that goes with this value. It is in memory where there is enough: the tests make and drop
/// thousands of databases, and a file system on a disk takes a fifth of their time for that.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn create() -> io::Result<Self> {
        // The same one for each run of this checkout: what a run that was killed has left, also a
        // PostgreSQL, is found by the next.
        let mut hasher = DefaultHasher::new();
        workspace::root().hash(&mut hasher);
        Self::at(if has_room() {
            Path::new(MEMORY).join(format!("dashboard-tests-{:016x}", hasher.finish()))
        } else {
            workspace::target().join("xtask/scratch")
        })
    }

    fn at(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run takes what stays behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether that much is free there, and in the machine's memory, and programs may be run there, as some tests
/// write some.
fn has_room() -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if !runs_programs(&mounts) {
        return false;
    }
    let free = command("df").args(["--output=avail", "--block-size=1K"]).arg(MEMORY).output();
    let free = free.ok().and_then(|output| available(&String::from_utf8_lossy(&output.stdout)));
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| in_memory(&text));
    free.is_some_and(|free| free >= NEEDED) && memory.is_some_and(|memory| memory >= NEEDED)
}

/// What `/proc/mounts` says of [`MEMORY`].
fn runs_programs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        let (folder, options) = (fields.next(), fields.nth(1).unwrap_or_default());
        folder == Some(MEMORY) && options.split(',').all(|option| option != "noexec")
    })
}

/// What `df --output=avail` says: a heading, and a number.
fn available(text: &str) -> Option<u64> {
    text.lines().nth(1)?.trim().parse().ok()
}

/// What `/proc/meminfo` says may be taken, in KiB.
fn in_memory(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("MemAvailable:")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_understood() {
        assert_eq!(available("    Avail\n  6291456\n"), Some(6 << 20));
        assert_eq!(available("df: /dev/shm: No such file or directory\n"), None);
        let text = "MemTotal:       24683652 kB\nMemAvailable:   22119040 kB\nBuffers: 1 kB\n";
        assert_eq!(in_memory(text), Some(22_119_040));
        assert_eq!(in_memory("MemTotal: 1 kB"), None);
        assert!(runs_programs("/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw,relatime 0 0\n"));
        assert!(!runs_programs("shm /dev/shm tmpfs rw,nosuid,nodev,noexec,size=65536k 0 0\n"));
        assert!(!runs_programs("/dev/vda / ext4 rw 0 0\n"));
    }

    #[test]
    fn it_goes_with_what_is_in_it() {
        let folder = std::env::temp_dir().join(format!("xtask-scratch-{}", std::process::id()));
        let scratch = Scratch::at(folder).unwrap();
        let file = scratch.folder().join("file");
        fs::write(&file, "x").unwrap();
        drop(scratch);
        assert!(!file.exists());
    }
}
