//! Runs the dashboard's server as a child process, on its private database.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use private_postgres::{Cluster, Options};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::login::{CLIENT_ID, ISSUER, Secret};
use crate::process;

/// A cold start makes a database cluster first.
const START_PATIENCE: Duration = Duration::from_mins(2);
const STOP_PATIENCE: Duration = Duration::from_secs(45);
/// Notes which process is the server, for the run after one that was killed.
const PID_FILE: &str = "server.pid";
/// The server's program, which the demo runs without arguments.
const PROGRAM: &str = "dashboard-server";
/// What these say about the machine holds for the server too. We set everything else.
const KEPT: [&str; 3] = ["DASHBOARD_PG_BIN", "DASHBOARD_LOG", "DASHBOARD_LOG_FORMAT"];

/// A server that is ready.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    log: PathBuf,
    /// Where it listens, such as `http://127.0.0.1:9112`.
    pub(crate) address: String,
}

/// The settings of the server.
pub(crate) struct Setup<'a> {
    pub(crate) program: &'a Path,
    pub(crate) data: &'a Path,
    pub(crate) web_root: &'a Path,
    pub(crate) log: &'a Path,
    pub(crate) secret: &'a Secret,
    /// Try the documented ports first.
    pub(crate) usual_ports: bool,
}

impl Server {
    /// Starts it and waits until it serves.
    pub(crate) async fn start(setup: &Setup<'_>) -> anyhow::Result<Self> {
        for step in clear_away(setup.data).await? {
            println!("     {step}");
        }
        let mut command = Command::new(setup.program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("DASHBOARD_") && !KEPT.contains(&text.as_ref()) {
                command.env_remove(&name);
            }
        }
        let [bind, admin] = if setup.usual_ports { [9112, 9113] } else { [0, 0] }.map(usable);
        let log = File::create(setup.log).with_context(|| setup.log.display().to_string())?;
        let mut child = command
            .env_remove("DATABASE_URL")
            .env("DASHBOARD_DATA_DIR", setup.data)
            .env("DASHBOARD_BIND", bind)
            .env("DASHBOARD_ADMIN_BIND", admin)
            .env("DASHBOARD_WEB_ROOT", setup.web_root)
            // Not as an argument: those can be read by every user of the machine.
            .env("DASHBOARD_JWT_HS256_SECRET", setup.secret.expose())
            .env("DASHBOARD_JWT_ISSUER", ISSUER)
            .env("DASHBOARD_JWT_CLIENT_IDS", CLIENT_ID)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in the terminal is for us. We stop the server in our own time.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", setup.program.display()))?;
        let pid = child.id().context("the server has no process id")?;
        let note = note(pid, setup.data).await.context("the server's process cannot be seen")?;
        std::fs::write(setup.data.join(PID_FILE), note)?;

        let ready = tokio::time::timeout(START_PATIENCE, listening(&mut child)).await;
        match ready.unwrap_or_else(|_| bail!("it did not get ready in time")) {
            Ok(address) => {
                let (data, log) = (setup.data.to_owned(), setup.log.to_owned());
                Ok(Self { child, data, log, address })
            }
            Err(error) => {
                // Once its end was taken note of, its number may be another's.
                if let Some(pid) = child.id() {
                    process::terminate(pid)?;
                }
                let ended = tokio::time::timeout(STOP_PATIENCE, child.wait()).await;
                if ended.is_ok() {
                    std::fs::remove_file(setup.data.join(PID_FILE))?;
                    stop_database(setup.data).await?;
                }
                Err(error.context(format!("the server did not start\n{}", tail(setup.log))))
            }
        }
    }

    /// The address of its database.
    pub(crate) fn database_url(&self) -> anyhow::Result<String> {
        private_postgres::running_url(&self.data.join("postgres"))
            .context("the server's private database does not run")
    }

    /// Waits until it ends without being stopped, which it should not.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Where it writes its log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Stops it, and its database with it. Fails, having done so, where the server did not end well.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            process::terminate(pid)?;
        }
        let status = tokio::time::timeout(STOP_PATIENCE, self.child.wait())
            .await
            .context("the server did not stop in time")??;
        std::fs::remove_file(self.data.join(PID_FILE))?;
        if !status.success() {
            if stop_database(&self.data).await? {
                println!("     The server left its database running; that is stopped, too.");
            }
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

/// Ends what a run that was killed has left running, and drops its data. Says what there was to end.
async fn clear_away(data: &Path) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    if end_leftover(data).await? {
        said.push("Stopped the server that an earlier run had left behind.".to_owned());
    }
    said.extend(begin_afresh(data).await?);
    Ok(said)
}

/// Drops what an earlier run left: the collection is planted anew in any case, and the schema of an
/// earlier version of the server may be another. The cluster is kept, as making one takes longer.
async fn begin_afresh(data: &Path) -> anyhow::Result<Vec<String>> {
    let drop = |cluster: &Cluster| cluster.execute("drop database if exists dashboard");
    own_database(data, drop).await.context("cannot drop what an earlier demo left")
}

/// Stops the database of a server that ended without doing so. Says whether it was running.
async fn stop_database(data: &Path) -> anyhow::Result<bool> {
    let said = own_database(data, |_| Ok(())).await;
    Ok(!said.context("cannot stop the server's database")?.is_empty())
}

/// Takes the cluster over, if there is one, and stops it. Says what had to be stopped before.
async fn own_database(
    data: &Path,
    work: impl FnOnce(&Cluster) -> Result<(), private_postgres::Error> + Send + 'static,
) -> anyhow::Result<Vec<String>> {
    let folder = data.join("postgres");
    if !folder.join("cluster/PG_VERSION").exists() {
        return Ok(Vec::new());
    }
    let done = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        let mut note = |step: &str| said.push(step.to_owned());
        let cluster = Cluster::start(&Options::new(folder), &mut note)?;
        work(&cluster)?;
        cluster.stop()?;
        Ok::<_, private_postgres::Error>(said)
    });
    Ok(done.await??)
}

/// Waits for the line that says where it listens, and keeps its output flowing after that.
async fn listening(child: &mut Child) -> anyhow::Result<String> {
    let output = child.stdout.take().context("the server's output is piped")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = address(&line) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
        println!("     {line}");
    }
    bail!("it ended ({})", child.wait().await?)
}

/// What that line says, in either format of the logs.
fn address(line: &str) -> Option<String> {
    if let Ok(said) = serde_json::from_str::<serde_json::Value>(line) {
        return said["address"].as_str().map(ToOwned::to_owned);
    }
    let (_, addresses) = line.split_once("dashboard-server listening on ")?;
    Some(addresses.split(',').next()?.trim().to_owned())
}

/// Ends the server of a run that was killed before it could do so itself. Our caller holds the data
/// folder's lock, so no living run owns that server. Says whether there was one.
async fn end_leftover(data: &Path) -> anyhow::Result<bool> {
    let file = data.join(PID_FILE);
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(false) };
    let left = leftover(&text, data).await;
    if let Some(pid) = left {
        process::terminate(pid)?;
        process::gone(&BTreeSet::from([pid]), STOP_PATIENCE).await?;
    }
    std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
    Ok(left.is_some())
}

/// The process of that note, if it is the one that was noted, and a server of this folder. By now the
/// number may belong to any process, and the folder may be a copy of one whose demo is running.
async fn leftover(text: &str, data: &Path) -> Option<u32> {
    let pid = text.lines().next()?.parse().ok()?;
    let is_same = note(pid, data).await.as_deref() == Some(text);
    let called = process::command_line(pid).await?;
    (is_same && Path::new(&called).file_name()? == PROGRAM).then_some(pid)
}

/// What tells a server from every other process, and its data folder from every copy.
async fn note(pid: u32, data: &Path) -> Option<String> {
    let (began, folder) = (process::began(pid).await?, std::fs::metadata(data).ok()?);
    Some(format!("{pid}\n{began}\n{}:{}\n", folder.dev(), folder.ino()))
}

/// That port if it is free, else whichever is.
fn usable(port: u16) -> String {
    let port = TcpListener::bind(("127.0.0.1", port)).map_or(0, |_| port);
    format!("127.0.0.1:{port}")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(15)..].join("\n    | ");
    format!("    | {last}\n    log: {}", log.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// What a server of the demo needs, in a folder that goes with the test.
    struct Scratch {
        folder: PathBuf,
        secret: Secret,
    }

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("demo-test-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            for part in ["data", "web"] {
                std::fs::create_dir_all(folder.join(part)).unwrap();
            }
            std::fs::write(folder.join("web/index.html"), "<!doctype html>").unwrap();
            Self { folder, secret: Secret::random() }
        }

        async fn start(&self) -> Server {
            self.run(&e2e_tests::program()).await.unwrap()
        }

        async fn run(&self, program: &Path) -> anyhow::Result<Server> {
            let setup = Setup {
                program,
                data: &self.folder.join("data"),
                web_root: &self.folder.join("web"),
                log: &self.folder.join("server.log"),
                secret: &self.secret,
                usual_ports: false,
            };
            Server::start(&setup).await
        }

        /// The first process of the running database.
        fn database(&self) -> BTreeSet<u32> {
            let file = self.folder.join("data/postgres/cluster/postmaster.pid");
            let file = std::fs::read_to_string(file).unwrap();
            BTreeSet::from([file.lines().next().unwrap().trim().parse().unwrap()])
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }

    async fn killed(server: &mut Server) {
        let pid = Pid::from_raw(server.child.id().unwrap().cast_signed());
        kill(pid, Signal::SIGKILL).unwrap();
        assert!(!server.ended().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_killed_servers_database_is_stopped_with_the_demo() {
        let scratch = Scratch::new();
        let mut server = scratch.start().await;
        let database = scratch.database();
        killed(&mut server).await;
        let error = server.stop().await.unwrap_err().to_string();
        assert!(error.contains("the server ended with signal: 9"), "{error}");
        process::gone(&database, STOP_PATIENCE).await.unwrap();
        assert_eq!(clear_away(&scratch.folder.join("data")).await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn what_a_killed_demo_left_running_is_stopped_by_the_next_and_told() {
        let scratch = Scratch::new();
        let data = scratch.folder.join("data");
        let server = scratch.start().await;
        let pid = BTreeSet::from([server.child.id().unwrap()]);
        let database = scratch.database();
        // The server is our child, so its end must be taken note of. A killed demo's is the system's.
        let (mut child, left) =
            (server.child, "Stopped the server that an earlier run had left behind.");
        let reaped = tokio::spawn(async move { child.wait().await });
        assert_eq!(clear_away(&data).await.unwrap(), [left]);
        assert!(reaped.await.unwrap().unwrap().success(), "it stopped its database itself");
        process::gone(&(&pid | &database), STOP_PATIENCE).await.unwrap();

        let mut server = scratch.start().await;
        let database = scratch.database();
        killed(&mut server).await;
        drop(server);
        let left = "Stopped a private PostgreSQL that an earlier run had left behind.";
        assert_eq!(clear_away(&data).await.unwrap(), [left]);
        process::gone(&database, STOP_PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_server_that_was_noted_and_only_in_its_own_folder_is_ended() {
        let scratch = Scratch::new();
        let (own, copy) = (scratch.folder.join("data"), scratch.folder.join("web"));
        // A shell waits for commands that never come.
        let called = |name: &str| {
            let mut shell = Command::new("sh");
            shell.arg0(name).stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
        };
        let (mut server, other) = (called("bin/dashboard-server"), called("an editor"));
        let [pid, other_pid] = [&server, &other].map(|child| child.id().unwrap());
        let noted = note(pid, &own).await.unwrap();
        let began = process::began(pid).await.unwrap();
        let earlier = noted.replace(&format!("\n{began}\n"), "\n1\n");
        assert_ne!(earlier, noted);
        let of_the_other = note(other_pid, &own).await.unwrap();
        for (data, text) in
            [(&copy, &noted), (&own, &earlier), (&own, &of_the_other), (&own, &pid.to_string())]
        {
            std::fs::write(data.join(PID_FILE), text).unwrap();
            assert_eq!(leftover(text, data).await, None, "{text}");
            assert!(!end_leftover(data).await.unwrap());
            assert!(!data.join(PID_FILE).exists());
        }

        std::fs::write(own.join(PID_FILE), &noted).unwrap();
        // A wait would close it, which ends a shell as well.
        let _commands = server.stdin.take();
        let ended = tokio::spawn(async move { server.wait().await });
        assert!(end_leftover(&own).await.unwrap());
        let ended = ended.await.unwrap().unwrap();
        assert_eq!(ended.signal(), Some(Signal::SIGTERM as i32), "{ended}");
        assert!(process::command_line(other_pid).await.is_some());
    }

    #[tokio::test]
    async fn a_server_that_did_not_start_leaves_no_note() {
        let scratch = Scratch::new();
        let error = scratch.run(Path::new("false")).await.err().unwrap();
        assert!(format!("{error:#}").contains("it ended (exit status: 1)"), "{error:#}");
        assert!(!scratch.folder.join("data").join(PID_FILE).exists());
    }

    #[test]
    fn the_address_is_found_in_either_format_of_the_logs() {
        let text = "dashboard-server listening on http://127.0.0.1:1, admin http://127.0.0.1:2";
        let object = r#"{"address":"http://127.0.0.1:1","admin":"http://127.0.0.1:2"}"#;
        for line in [text, object] {
            assert_eq!(address(line).as_deref(), Some("http://127.0.0.1:1"));
        }
        assert_eq!(address("a private PostgreSQL starts"), None);
        assert_eq!(address("{}"), None);
    }
}
