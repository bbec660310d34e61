//! The real program: started, signalled, killed and started again, with its log and exit status.
//!
//! Use it where the process itself matters, or the database below it dies; [`TestApp`](crate::TestApp)
//! runs the same server inside the test and starts faster.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::SystemTime;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::rest::{Credential, Rest};
use crate::tokens::Tokens;
use crate::waiting::{pause, within};

/// What the program is made of.
const SOURCES: [&str; 5] =
    ["server/src", "server/schema", "server/sources", "private-postgres/src", "shared-types/src"];
/// What files and folders of tests among them are called.
const TESTS: [&str; 2] = ["tests", "testing"];

/// A running `dashboard-server`; killed with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    flags: Vec<String>,
    /// `host:port` of the public and of the operators' side.
    addresses: (String, String),
    log: watch::Receiver<String>,
    /// Makes sessions that the server accepts.
    pub tokens: Tokens,
}

impl Process {
    /// Starts the server on that database, with further flags.
    pub async fn start(database_url: &str, flags: &[&str]) -> Self {
        Self::start_with(&[&["--database-url", database_url], flags].concat()).await
    }

    /// The same without a database of ours: the server starts its own, unless the flags name one.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::start_signed(Tokens::new(), flags).await
    }

    async fn start_signed(tokens: Tokens, flags: &[&str]) -> Self {
        let all = [
            &["--jwt-hs256-secret", tokens.secret(), "--jwt-issuer", Tokens::ISSUER][..],
            &["--jwt-client-ids", Tokens::CLIENT_ID],
            flags,
        ];
        let flags: Vec<_> = all.concat().into_iter().map(str::to_owned).collect();
        let anywhere = ["127.0.0.1:0", "127.0.0.1:0"].map(str::to_owned).into();
        match launch(&flags, &anywhere).await {
            Ok((child, addresses, log)) => Self { child, flags, addresses, log, tokens },
            Err((status, log)) => panic!("the server does not start ({status}): {log}"),
        }
    }

    /// Another node of the same installation: the same keys, the same database.
    pub async fn start_like(other: &Self, database_url: &str, flags: &[&str]) -> Self {
        Self::start_signed(
            other.tokens.clone(),
            &[&["--database-url", database_url], flags].concat(),
        )
        .await
    }

    /// What a server says that refuses to start on that database, as `check` has said that it would.
    pub async fn refused(database_url: &str, flags: &[&str]) -> String {
        let (report, log) = Self::checked_and_refused(database_url, flags).await;
        assert!(report.contains("\nNot ready"), "ready, and then refused: {report}");
        log
    }

    /// The same where nothing that changes nothing could tell.
    pub async fn refused_unforeseen(database_url: &str, flags: &[&str]) -> String {
        let (report, log) = Self::checked_and_refused(database_url, flags).await;
        assert!(report.contains("\nReady"), "it could tell: {report}");
        log
    }

    async fn checked_and_refused(database_url: &str, flags: &[&str]) -> (String, String) {
        let secret = Tokens::new();
        let all = [
            &["--jwt-hs256-secret", secret.secret(), "--database-url", database_url][..],
            &["--database-wait-s", "0"],
            flags,
        ];
        let flags: Vec<_> = all.concat().into_iter().map(str::to_owned).collect();
        let anywhere = ["127.0.0.1:0", "127.0.0.1:0"].map(str::to_owned).into();
        let mut check = command(&anywhere);
        let checked = within("the report", check.arg("check").args(&flags).output()).await;
        let checked = checked.expect("the program can be run");
        let report = String::from_utf8_lossy(&checked.stdout).into_owned();
        match launch(&flags, &anywhere).await {
            Ok(_) => panic!("a server has started that should not have"),
            Err((status, log)) => {
                assert_eq!(status.code(), Some(1), "{log}");
                (report, log)
            }
        }
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub async fn kill(&mut self) {
        self.child.start_kill().expect("it runs");
        self.exit().await;
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        let pid = self.child.id().expect("it runs");
        signal("TERM", pid);
    }

    /// Stops it where it is (SIGSTOP), without its knowing.
    pub fn stand_still(&self) {
        signal("STOP", self.child.id().expect("it runs"));
    }

    /// Lets it go on (SIGCONT).
    pub fn go_on(&self) {
        signal("CONT", self.child.id().expect("it runs"));
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        within("the server's end", self.child.wait()).await.expect("it can be waited for")
    }

    /// Starts a process that has ended again, with the same flags at the same addresses.
    pub async fn start_again(&mut self) {
        match launch(&self.flags, &self.addresses).await {
            Ok((child, _, log)) => (self.child, self.log) = (child, log),
            Err((status, log)) => panic!("no second start ({status}): {log}"),
        }
    }

    /// Where the API and the sockets are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses.0)
    }

    /// Where the operators' side is.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.addresses.1)
    }

    /// An HTTP client for it.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(self.url())
    }

    /// An HTTP client for the operators' side.
    #[must_use]
    pub fn admin(&self) -> Rest {
        Rest::new(self.admin_url())
    }

    /// Proves that user by an access token.
    #[must_use]
    pub fn bearer(&self, user: &str) -> Credential {
        Credential::Bearer(self.tokens.access(user))
    }

    /// The metrics as they are now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::new(self.admin().get("/metrics", &Credential::Nobody, &[]).await.body)
    }

    /// See [`Metrics::count`].
    pub async fn count(&self, series: &str) -> u64 {
        self.metrics().await.count(series)
    }

    /// See [`Metrics::value`].
    pub async fn metric(&self, series: &str) -> f64 {
        self.metrics().await.value(series)
    }

    /// Waits until a metric fits.
    pub async fn until_metric(&self, series: &str, fits: impl Fn(f64) -> bool) -> f64 {
        within(series, async {
            loop {
                let value = self.metric(series).await;
                if fits(value) {
                    return value;
                }
                pause().await;
            }
        })
        .await
    }

    /// What it has logged so far, since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until it has logged that.
    pub async fn until_logged(&self, text: &str) {
        let mut log = self.log.clone();
        let logged = log.wait_for(|log| log.contains(text));
        within(&format!("{text:?} in the log"), logged).await.expect("it lives");
    }
}

type Launched = (Child, (String, String), watch::Receiver<String>);

/// Starts the program and waits for its line, or for its end.
async fn launch(
    flags: &[String],
    addresses: &(String, String),
) -> Result<Launched, (ExitStatus, String)> {
    let mut child = command(addresses).args(flags).spawn().expect("the program can be run");
    let log = follow(child.stderr.take().expect("it is piped"));
    let mut said = follow(child.stdout.take().expect("it is piped"));
    let line = within("the server's line", said.wait_for(|said| said.contains('\n'))).await;
    let line = line.map(|said| said.clone());
    let Ok(line) = line else {
        let status = within("its end", child.wait()).await.expect("it can be waited for");
        let mut log = log;
        // Everything has been read once the reader is gone.
        while log.changed().await.is_ok() {}
        let log = log.borrow().clone();
        return Err((status, log));
    };
    let addresses = said_addresses(line.trim()).unwrap_or_else(|| panic!("{line}"));
    Ok((child, addresses, log))
}

/// The program, to listen at these addresses.
fn command((public, admin): &(String, String)) -> Command {
    let mut command = Command::new(program());
    // What the test run's environment holds is none of the server's business, but for where
    // PostgreSQL's programs are.
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| {
        let name = name.to_string_lossy();
        name == "DATABASE_URL" || (name.starts_with("DASHBOARD_") && name != "DASHBOARD_PG_BIN")
    }) {
        command.env_remove(name);
    }
    command.env("DASHBOARD_BIND", public).env("DASHBOARD_ADMIN_BIND", admin);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// `host:port` of both sides, from what the server says where it listens: a line for people, or an
/// object where its logs are JSON.
fn said_addresses(line: &str) -> Option<(String, String)> {
    let line = match serde_json::from_str::<serde_json::Value>(line) {
        Ok(said) => format!("{}, admin {}", said["address"].as_str()?, said["admin"].as_str()?),
        Err(_) => line.strip_prefix("dashboard-server listening on ")?.to_owned(),
    };
    let (public, admin) = line.strip_prefix("http://")?.split_once(", admin http://")?;
    Some((public.to_owned(), admin.to_owned()))
}

/// Gathers what a pipe says; ends with it.
fn follow(pipe: impl AsyncRead + Send + Unpin + 'static) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|all| {
                all.push_str(&line);
                all.push('\n');
            });
        }
    });
    receiver
}

/// Sends a signal, such as `TERM`, to a process that the test has started.
pub(crate) fn signal(name: &str, pid: u32) {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill can be run").success(), "no process {pid}");
}

/// The program beside the tests, which the build of the whole workspace makes.
///
/// # Panics
///
/// Where it is missing, or older than its source.
#[must_use]
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("a test has a program");
    let folder = tests.ancestors().nth(2).expect("tests lie below the programs");
    let program = folder.join("dashboard-server");
    let built = std::fs::metadata(&program).and_then(|meta| meta.modified());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let newest = SOURCES.iter().filter_map(|source| newest(&root.join(source))).max();
    assert!(
        built.is_ok_and(|built| newest.is_some_and(|newest| built >= newest)),
        "{} is missing or older than its source; run `cargo xtask test`, or `cargo build -p \
         dashboard-server`",
        program.display()
    );
    program
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    // A change in the tests alone does not rebuild a program.
    let is_for_tests =
        |path: &Path| path.file_stem().is_some_and(|name| TESTS.iter().any(|tests| name == *tests));
    let paths = entries.map(|entry| entry.path()).filter(|path| !is_for_tests(path));
    let times = paths.filter_map(|path| match path {
        path if path.is_dir() => newest(&path),
        path => std::fs::metadata(path).ok()?.modified().ok(),
    });
    times.max()
}
