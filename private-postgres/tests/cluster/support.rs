//! Provides folders that vanish, and owners in separate processes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use private_postgres::{Cluster, Error, Options};

/// A folder below the system's temporary one, which every account may enter.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("private-postgres-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub(crate) fn options(&self) -> Options {
        Options::throwaway(&self.0)
    }

    pub(crate) fn start(&self) -> Result<Cluster, Error> {
        Cluster::start(&self.options(), &mut |_| {})
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The program of this crate, owning a cluster.
pub(crate) struct Owner {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Owner {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::started_by(command(folder))
    }

    pub(crate) fn started_by(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("postgres://dashboard:"), "{url:?}");
        Self { child, url: url.trim().to_owned() }
    }

    /// Ends its standard input and waits for it.
    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The program of this crate on that folder.
pub(crate) fn command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_private-postgres"));
    command.arg(&folder.0).arg("--throwaway");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command under an account that is not root. Returns what it said and whether it succeeded.
pub(crate) fn as_ordinary_user(mut command: Command) -> Command {
    if am_root() {
        command.uid(65534).gid(65534);
    }
    command
}

pub(crate) fn output(mut command: Command) -> (bool, String, String) {
    let mut child = command.spawn().unwrap();
    drop(child.stdin.take());
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().success(), out, err)
}

pub(crate) fn am_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn server_pid(folder: &Folder) -> u32 {
    let file = fs::read_to_string(folder.file("cluster/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// Whether that process works in the folder's cluster.
pub(crate) fn serves(pid: u32, folder: &Folder) -> bool {
    let cluster = folder.file("cluster").canonicalize().unwrap();
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster)
}
