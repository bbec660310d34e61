//! Finds, identifies and ends other processes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

/// How often a process that is to end is checked.
const LOOK: Duration = Duration::from_millis(20);

/// Asks a process to end. One that has ended already is no error.
pub(crate) fn terminate(pid: u32) -> anyhow::Result<()> {
    match kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("process {pid} cannot be ended")),
    }
}

/// Waits until none of these is there any more.
pub(crate) async fn gone(pids: &BTreeSet<u32>, patience: Duration) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(LOOK);
    let all_gone = async {
        while pids.iter().any(|pid| is_there(*pid)) {
            look.tick().await;
        }
    };
    if tokio::time::timeout(patience, all_gone).await.is_err() {
        let mut left = Vec::new();
        for pid in pids.iter().filter(|pid| is_there(**pid)) {
            left.push(format!("{pid} ({})", command_line(*pid).await.unwrap_or_default()));
        }
        bail!("still running after {} s: {}", patience.as_secs(), left.join(", "));
    }
    Ok(())
}

/// How a process was called. None if it is not there.
pub(crate) async fn command_line(pid: u32) -> Option<String> {
    said_by_ps("command=", pid).await
}

async fn said_by_ps(what: &str, pid: u32) -> Option<String> {
    let mut ps = Command::new("ps");
    ps.args(["-o", what, "-p", &pid.to_string()]).env("LC_ALL", "C").env("TZ", "UTC");
    let line = String::from_utf8_lossy(&ps.output().await.ok()?.stdout).trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// When a process began, as far as the system tells: no later one with its number says the same.
pub(crate) async fn began(pid: u32) -> Option<String> {
    // `ps` works it out from the clock, so that it may be a second off after the clock was set.
    if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it, in parentheses, may hold anything.
        return stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(ToOwned::to_owned);
    }
    said_by_ps("lstart=", pid).await
}

/// Every process below this one, children of children included.
pub(crate) async fn descendants() -> anyhow::Result<BTreeSet<u32>> {
    let output = Command::new("ps").args(["-e", "-o", "pid=,ppid="]).output().await?;
    let table = String::from_utf8_lossy(&output.stdout);
    let pairs = table.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    Ok(below(std::process::id(), &pairs.collect::<Vec<_>>()))
}

fn below(root: u32, pairs: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        let children = pairs.iter().filter(|(_, above)| *above == parent).map(|(pid, _)| *pid);
        open.extend(children.filter(|child| found.insert(*child)));
    }
    found
}

fn is_there(pid: u32) -> bool {
    // This sends no signal. It only asks whether one could be sent. Without the right to send one, the
    // process exists.
    kill(Pid::from_raw(pid.cast_signed()), None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_found() {
        let pairs = [(2, 1), (3, 2), (4, 3), (5, 1), (9, 8)];
        assert_eq!(below(2, &pairs), BTreeSet::from([3, 4]));
        assert_eq!(below(1, &pairs), BTreeSet::from([2, 3, 4, 5]));
        assert_eq!(below(7, &pairs), BTreeSet::new());
    }

    #[tokio::test]
    async fn a_process_is_seen_and_seen_off() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id().unwrap();
        assert!(descendants().await.unwrap().contains(&pid));
        assert!(command_line(pid).await.unwrap().contains("cat"));
        assert!(said_by_ps("lstart=", pid).await.unwrap().contains(':'));
        let when = began(pid).await.unwrap();
        assert_eq!(began(pid).await.as_ref(), Some(&when));
        assert_ne!(began(std::process::id()).await.unwrap(), when);
        terminate(pid).unwrap();
        child.wait().await.unwrap();
        gone(&BTreeSet::from([pid]), Duration::from_mins(1)).await.unwrap();
        assert_eq!(command_line(pid).await, None);
        assert_eq!(began(pid).await, None);
        terminate(pid).unwrap();
    }
}
