//! Knows the paths below the data directory, and writes files that only their owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The paths below the data directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    /// Makes the data directory if it is absent. The path becomes absolute, because children run
    /// elsewhere.
    pub(crate) fn create(data_dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(data_dir).map_err(Error::io("create the folder", data_dir))?;
        Self::open(data_dir)
    }

    /// The data directory, which must exist.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        let root = data_dir.canonicalize().map_err(Error::io("open the folder", data_dir))?;
        Ok(Self { root })
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn url(&self) -> PathBuf {
        self.root.join("url")
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// Where a cluster is initialised, before it gets its name: an interrupted attempt is never
    /// taken for a cluster.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join("cluster.unfinished")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(crate) fn npm(&self) -> PathBuf {
        self.root.join("npm")
    }

    /// The major version that made the cluster, if there is one.
    pub(crate) fn cluster_version(&self) -> Option<u32> {
        fs::read_to_string(self.cluster().join("PG_VERSION")).ok()?.trim().parse().ok()
    }
}

/// Takes the data directory for this process until the file is dropped.
pub(crate) fn take(layout: &Layout) -> Result<File, Error> {
    let path = layout.lock();
    let file = private(&path).map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { data_dir: layout.root.clone() }),
        Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

/// Whether no process has taken the data directory now. Takes it for a moment.
pub(crate) fn is_free(layout: &Layout) -> Result<(), Error> {
    let path = layout.lock();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { data_dir: layout.root.clone() }),
        Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        Ok(()) => Ok(()),
    }
}

/// Writes a file that only we may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = private(path).map_err(Error::io("open", path))?;
    let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
    written.map_err(Error::io("write", path))
}

/// Removes a file or a folder. One that is absent is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}
