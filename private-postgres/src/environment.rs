//! Chooses what `PostgreSQL`'s programs get of our environment: what they need, and nothing else. The program
//! that owns the cluster has its secrets there. While the server's processes run, they show their environment
//! to all processes of their account, and to superusers by SQL.

use std::ffi::OsStr;
use std::process::Command;

/// Where programs and libraries are, and where files may be put. What begins with `PG` is not among them: it would
/// change what the programs do. Nor is systemd's `NOTIFY_SOCKET`: the server would say that our owner is ready.
const KEPT: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TZ"];

/// Lets a command have those variables only, and speak as we read it.
pub(crate) fn limit(command: &mut Command) {
    command.env_clear();
    command.envs(std::env::vars_os().filter(|(name, _)| is_kept(name)));
    command.env("LC_ALL", "C");
}

fn is_kept(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| KEPT.contains(&name) || name.starts_with("LC_"))
}
