//! Runs steps that a person can follow: numbered, timed, logged, with a sign of life in the long ones.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::workspace;

/// How often a silent step says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How often a log is read.
const LOOK: Duration = Duration::from_millis(100);
/// How much of a failed step's log is shown: programs put the reason first or last.
const HEAD_LINES: usize = 12;
const TAIL_LINES: usize = 40;

/// Set when a person, or a machine that shuts down, wants us to stop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C ends the run the ordinary way: the running program gets the same signal, its
/// step fails, and the owner of each resource stops it.
///
/// # Errors
///
/// Where the system has no signals for us.
pub(crate) fn end_on_signal() -> anyhow::Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))
        .context("cannot listen for Ctrl-C")
}

/// Fails after Ctrl-C.
///
/// # Errors
///
/// With the word for it.
pub(crate) fn check_interrupted() -> anyhow::Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs steps and tells about them.
pub(crate) struct Steps {
    verbose: bool,
    count: usize,
}

/// How a step ended, and what it printed.
pub(crate) struct Outcome {
    /// Whether the program exited with 0.
    pub(crate) success: bool,
    /// Everything that it printed, both streams in order.
    pub(crate) log: String,
    /// Where that is kept.
    pub(crate) log_path: PathBuf,
}

impl Outcome {
    /// Both ends of the log, for a person.
    pub(crate) fn excerpt(&self) -> String {
        // The first two lines are ours: the command, and an empty one.
        let lines: Vec<&str> = self.log.trim_end().lines().skip(2).collect();
        let mut text = String::new();
        let mut show = |lines: &[&str]| {
            for line in lines {
                text.push_str("    | ");
                text.push_str(line);
                text.push('\n');
            }
        };
        if lines.len() <= HEAD_LINES + TAIL_LINES {
            show(&lines);
        } else {
            show(&lines[..HEAD_LINES]);
            show(&["…"]);
            show(&lines[lines.len() - TAIL_LINES..]);
        }
        text + "    log: " + &shown(&self.log_path)
    }
}

impl Steps {
    pub(crate) fn new(verbose: bool) -> Self {
        Self { verbose, count: 0 }
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    ///
    /// With the end of the log, where the program fails or is not there.
    pub(crate) fn run(&mut self, title: &str, command: &mut Command) -> anyhow::Result<Outcome> {
        let outcome = self.attempt(title, command)?;
        if outcome.success {
            return Ok(outcome);
        }
        if !self.verbose {
            eprintln!("{}", outcome.excerpt());
        }
        bail!("{title}: failed (log: {})", shown(&outcome.log_path))
    }

    /// Runs a command whose failure the caller judges.
    ///
    /// # Errors
    ///
    /// Where the program is not there, or the log cannot be written.
    pub(crate) fn attempt(
        &mut self,
        title: &str,
        command: &mut Command,
    ) -> anyhow::Result<Outcome> {
        self.follow_to_the_end(title, command, ["done", "FAILED"])
    }

    /// The same for a command that is right to fail.
    ///
    /// # Errors
    ///
    /// See [`Steps::attempt`].
    pub(crate) fn attempt_failure(
        &mut self,
        title: &str,
        command: &mut Command,
    ) -> anyhow::Result<Outcome> {
        self.follow_to_the_end(title, command, ["NOTHING FAILED", "failed, as it must,"])
    }

    fn follow_to_the_end(
        &mut self,
        title: &str,
        command: &mut Command,
        [success, failure]: [&str; 2],
    ) -> anyhow::Result<Outcome> {
        check_interrupted()?;
        self.count += 1;
        let number = self.count;
        let started = Instant::now();
        println!("[{number:>2}] {title}");
        let log_path = log_path(title)?;
        let mut log = File::create(&log_path).with_context(|| shown(&log_path))?;
        writeln!(log, "$ {}\n", shown_command(command))?;

        let status = self.follow(command, &log_path, &log, started)?;
        let seconds = started.elapsed().as_secs_f64();
        let verdict = if status.success() { success } else { failure };
        println!("     {verdict} in {seconds:.1} s");
        // Test programs may print bytes that are not text.
        let bytes = fs::read(&log_path).with_context(|| shown(&log_path))?;
        let log = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Outcome { success: status.success(), log, log_path })
    }

    /// Tells about something that needed no program.
    pub(crate) fn note(&mut self, title: &str) {
        self.count += 1;
        println!("[{:>2}] {title}", self.count);
    }

    fn follow(
        &self,
        command: &mut Command,
        log_path: &Path,
        log: &File,
        started: Instant,
    ) -> anyhow::Result<ExitStatus> {
        let clone = || log.try_clone().map(Stdio::from);
        command.stdin(Stdio::null()).stdout(clone()?).stderr(clone()?);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // The receiver is gone only if this program is ending.
            let _ = tell.send(child.wait());
        });

        let mut reader = File::open(log_path).with_context(|| shown(log_path))?;
        let mut last_sign = Instant::now();
        loop {
            let status = match told.recv_timeout(LOOK) {
                Ok(status) => Some(status?),
                Err(RecvTimeoutError::Timeout) => None,
                Err(error @ RecvTimeoutError::Disconnected) => return Err(error.into()),
            };
            if self.verbose {
                std::io::copy(&mut reader, &mut std::io::stdout())?;
            } else if status.is_none() && last_sign.elapsed() >= HEARTBEAT {
                last_sign = Instant::now();
                let line = last_line(&mut reader)?;
                println!("     … {:>4} s  {line}", started.elapsed().as_secs());
            }
            if let Some(status) = status {
                return Ok(status);
            }
        }
    }
}

/// A path as a person would type it from the root.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

fn log_path(title: &str) -> anyhow::Result<PathBuf> {
    let folder = workspace::target().join("xtask/logs");
    fs::create_dir_all(&folder).with_context(|| shown(&folder))?;
    let name: String = title
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    Ok(folder.join(words.join("-") + ".log"))
}

fn shown_command(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}

/// The last line with something in it, cut to the width of a terminal.
fn last_line(file: &mut File) -> anyhow::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Ok(line.trim().chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_what_its_program_printed() {
        let mut steps = Steps::new(false);
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let outcome = steps.attempt("xtask's own test: prints", &mut command).unwrap();
        assert!(!outcome.success);
        assert!(outcome.log.contains("out\nerr\n"), "{}", outcome.log);
        assert!(outcome.log_path.ends_with("xtask-s-own-test-prints.log"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let mut command = Command::new("no-such-program-anywhere");
        let error = Steps::new(false).run("xtask's own test: absent", &mut command);
        assert!(format!("{:#}", error.err().unwrap()).contains("no-such-program-anywhere"));
    }
}
