//! Launches, awaits and stops the server process: ours, or one that an earlier owner left behind.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Durability;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::environment;
use crate::error::Error;
use crate::files::Layout;

/// Long enough to replay the log after a crash.
const START_PATIENCE: Duration = Duration::from_mins(5);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long processes of a killed server may take to notice that it is gone.
const REMNANT_PATIENCE: Duration = Duration::from_secs(20);
const LOG_MAX_BYTES: u64 = 8 << 20;
const TAIL_LINES: usize = 12;

const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    // In the cluster's own folder, which is the server's working directory.
    "unix_socket_directories=.",
    "unix_socket_permissions=0700",
    "lc_messages=C",
    "timezone=UTC",
    "log_timezone=UTC",
    "logging_collector=off",
    "log_destination=stderr",
    // What a small machine with an SSD wants: short queries, few connections.
    "jit=off",
    "random_page_cost=1.1",
];
const DURABLE_SETTINGS: &[&str] =
    &["max_connections=100", "wal_compression=on", "password_encryption=scram-sha-256"];
const THROWAWAY_SETTINGS: &[&str] = &[
    "max_connections=400",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=1GB",
    "checkpoint_timeout=1d",
    // SCRAM's 4,096 rounds are most of what a connection costs a client that is not optimised. The
    // password is random, and new at each start.
    "password_encryption=md5",
];

/// How to run the programs of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) binaries: Binaries,
    pub(crate) account: Account,
    pub(crate) layout: Layout,
}

/// A server that we launched.
#[derive(Debug)]
pub(crate) struct Postmaster {
    child: Child,
    events: Mutex<Receiver<Event>>,
}

#[derive(Debug)]
enum Event {
    Ready,
    /// Every process of the server has closed its end. Holds the last lines that it said.
    Ended(Vec<String>),
}

enum Launch {
    Ready(Postmaster),
    Refused(Vec<String>),
}

impl Runner {
    /// Initialises a cluster.
    pub(crate) fn initialise(&self, role: &str, durability: Durability) -> Result<(), Error> {
        let folder = self.layout.unfinished();
        crate::files::remove(&folder)?;
        self.account.own_folder(&folder)?;
        let mut initdb = self.command("initdb");
        let method = match durability {
            Durability::Durable => "scram-sha-256",
            Durability::Throwaway => "md5",
        };
        initdb
            .args(["--username", role, "--auth-local=trust", "--auth-host", method])
            .args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--pgdata"])
            .arg(&folder);
        if durability == Durability::Throwaway {
            initdb.arg("--no-sync");
        }
        run(&mut initdb, "initialise the PostgreSQL data")?;
        let cluster = self.layout.cluster();
        fs::rename(&folder, &cluster).map_err(Error::io("move the new cluster to", &cluster))
    }

    /// Stops a server that runs on the cluster without an owner. Returns whether there was one.
    pub(crate) fn stop_orphan(&self) -> Result<bool, Error> {
        let cluster = self.layout.cluster();
        let running = recorded_pid(&cluster).filter(|pid| is_postmaster(*pid, &cluster));
        let Some(pid) = running else {
            // After a crash the number may belong to any process by now, and the server would
            // take that process for itself. We hold the lock and no server lives here, so the
            // file means nothing.
            crate::files::remove(&cluster.join("postmaster.pid"))?;
            return Ok(false);
        };
        let stop = |mode: &str| {
            let mut pg_ctl = self.command("pg_ctl");
            pg_ctl.args(["stop", "--silent", "--wait", "--timeout=60", "--mode", mode, "--pgdata"]);
            run(pg_ctl.arg(&cluster), "stop the PostgreSQL server that was left behind")
        };
        match stop("fast") {
            Err(_) if is_postmaster(pid, &cluster) => stop("immediate").map(|_| true),
            _ => Ok(true),
        }
    }

    /// Launches the server at that port if it is free, else at another one, and waits until it
    /// accepts connections.
    pub(crate) fn launch(
        &self,
        durability: Durability,
        mut wanted: Option<u16>,
    ) -> Result<(Postmaster, u16), Error> {
        let begun = Instant::now();
        loop {
            let port = wanted.map_or_else(free_port, Ok)?;
            let said = match self.launch_at(port, durability)? {
                Launch::Ready(postmaster) => return Ok((postmaster, port)),
                Launch::Refused(said) => said.join("\n"),
            };
            // Another program took the port, or processes of a killed server still hold its
            // memory and are about to notice.
            let passing = ["could not bind", "pre-existing shared memory", "still in use"];
            wanted = wanted.filter(|_| !said.contains(passing[0]));
            let hopeful = passing.iter().any(|reason| said.contains(reason));
            if !hopeful || begun.elapsed() > REMNANT_PATIENCE {
                return Err(Error::Failed { doing: "start the PostgreSQL server", said });
            }
        }
    }

    fn launch_at(&self, port: u16, durability: Durability) -> Result<Launch, Error> {
        let log = Log::open(self.layout.log())?;
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.layout.cluster()).args(["-p", &port.to_string()]);
        let extra = match durability {
            Durability::Durable => DURABLE_SETTINGS,
            Durability::Throwaway => THROWAWAY_SETTINGS,
        };
        for setting in SETTINGS.iter().chain(extra) {
            postgres.args(["-c", setting]);
        }
        // A separate process group: Ctrl-C reaches us, and we stop the server when we are done with it.
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let program = self.binaries.program("postgres");
        let mut child = postgres.spawn().map_err(Error::io("run", &program))?;
        let (sender, events) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || follow(BufReader::new(stderr), log, &sender));
        }
        let mut postmaster = Postmaster { child, events: Mutex::new(events) };
        match postmaster.next_event(START_PATIENCE) {
            Ok(Event::Ready) => Ok(Launch::Ready(postmaster)),
            Ok(Event::Ended(said)) => {
                postmaster.child.wait().map_err(Error::io("wait for", &program))?;
                Ok(Launch::Refused(said))
            }
            Err(_) => {
                postmaster.stop(self)?;
                let said = format!("it was not ready after {} s", START_PATIENCE.as_secs());
                Err(Error::Failed { doing: "start the PostgreSQL server", said })
            }
        }
    }

    /// A program of the cluster, run as its account with nothing of our environment that would
    /// change what it does, or that is none of its business.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        environment::limit(&mut command);
        command.current_dir(&self.layout.root);
        self.account.apply(&mut command);
        command
    }
}

impl Postmaster {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the first of its processes has ended. Others may be about to notice.
    pub(crate) fn has_ended(&mut self) -> bool {
        // A child that cannot be asked about is none.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the server: politely, then firmly, then by force.
    pub(crate) fn stop(&mut self, runner: &Runner) -> Result<(), Error> {
        if self.has_ended() {
            // Its number may be another process's by now. What is left of it ends on its own.
            self.ended_within(STOP_PATIENCE);
            return Ok(());
        }
        let pid = self.pid().to_string();
        let ended = ["INT", "QUIT"].into_iter().any(|signal| {
            let mut pg_ctl = runner.command("pg_ctl");
            // A server that has ended on its own cannot be signalled. Its end is found below.
            let _ = pg_ctl.args(["kill", signal, &pid]).output();
            self.ended_within(STOP_PATIENCE)
        });
        let program = runner.binaries.program("postgres");
        if !ended {
            self.child.kill().map_err(Error::io("kill", &program))?;
        }
        self.child.wait().map_err(Error::io("wait for", &program))?;
        Ok(())
    }

    fn ended_within(&mut self, patience: Duration) -> bool {
        loop {
            match self.next_event(patience) {
                Ok(Event::Ready) => {}
                Ok(Event::Ended(_)) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    fn next_event(&mut self, patience: Duration) -> Result<Event, RecvTimeoutError> {
        let events = self.events.get_mut().unwrap_or_else(PoisonError::into_inner);
        events.recv_timeout(patience)
    }
}

/// Whether a server runs on the cluster, no matter which process launched it.
pub(crate) fn is_running(cluster: &Path) -> bool {
    recorded_pid(cluster).is_some_and(|pid| is_postmaster(pid, cluster))
}

/// The process that `postmaster.pid` names.
fn recorded_pid(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether that process is the cluster's server: numbers are used again.
fn is_postmaster(pid: u32, cluster: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        // The server works in its data directory, and nothing else does.
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster);
    }
    let ps = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    ps.is_ok_and(|output| {
        let command = String::from_utf8_lossy(&output.stdout);
        command.contains("postgres") && command.contains(&*cluster.to_string_lossy())
    })
}

fn free_port() -> Result<u16, Error> {
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
    Ok(bound.map_err(Error::io("find a free port on", Path::new("127.0.0.1")))?.port())
}

fn run(command: &mut Command, doing: &'static str) -> Result<Output, Error> {
    let program = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(Error::io("run", &program))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { doing, said: format!("{} ({})\n{said}", program.display(), output.status) })
}

/// Reads what the server says until its last process has ended.
fn follow(stderr: impl BufRead, mut log: Log, events: &Sender<Event>) {
    let mut tail = VecDeque::new();
    for line in stderr.split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        log.write(&line);
        if line.contains("database system is ready to accept connections") {
            // There is no receiver any more once the owner is being dropped.
            let _ = events.send(Event::Ready);
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let _ = events.send(Event::Ended(tail.into()));
}

/// The server's log, of bounded size: when it is full it becomes `postgres.log.old`.
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let file = Self::create(&path).map_err(Error::io("open", &path))?;
        Ok(Self { path, file, bytes: 0 })
    }

    fn create(path: &Path) -> std::io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    /// A log that cannot be written is no reason to stop.
    fn write(&mut self, line: &str) {
        if self.bytes > LOG_MAX_BYTES {
            let _ = fs::rename(&self.path, self.path.with_extension("log.old"));
            if let Ok(file) = Self::create(&self.path) {
                *self = Self { path: self.path.clone(), file, bytes: 0 };
            }
        }
        let _ = writeln!(self.file, "{line}");
        self.bytes += line.len() as u64 + 1;
    }
}
