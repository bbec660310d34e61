//! Starts the programs that are measured, and reads what the system says about them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::tokens;

/// The kernel's unit of CPU time on every Linux that this runs on.
const TICKS_PER_S: f64 = 100.0;
const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// `dashboard-server`.
    Server,
    /// `benches/node-peer`.
    Node,
    /// What no server could go below: the database, the network, the runtime.
    Floor,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Node => "node",
            Self::Floor => "floor",
        })
    }
}

/// A running program. Dropping this value kills it.
pub(crate) struct Contender {
    child: Child,
    /// For a peer that does not project: a server without clients that projects for it. The peer's figures
    /// leave it out, while the server's own figures include its projecting.
    projector: Option<Box<Self>>,
    kind: Kind,
    database_url: String,
    tls: Option<Certificate>,
    /// `127.0.0.1:port` of what clients use.
    pub(crate) address: String,
    /// The same of the operators' side, where there is one.
    pub(crate) admin: Option<String>,
}

/// A certificate's files, and the certificate to trust.
#[derive(Clone)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    pub(crate) der: CertificateDer<'static>,
}

impl Contender {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(kind: Kind, database_url: &str) -> anyhow::Result<Self> {
        Self::start_with(kind, database_url, &[]).await
    }

    /// The same with further flags.
    pub(crate) async fn start_with(
        kind: Kind,
        database_url: &str,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_at(kind, database_url, None, 0, flags).await?.with_projector().await
    }

    /// The same with HTTPS.
    pub(crate) async fn start_tls(
        kind: Kind,
        database_url: &str,
        tls: Certificate,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_at(kind, database_url, Some(tls), 0, flags).await?.with_projector().await
    }

    /// Kills it and starts it anew at the same address. Returns how long it did not answer.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<Duration> {
        let gone = Instant::now();
        self.child.kill().await?;
        let (_, port) = self.address.rsplit_once(':').context("an address has a port")?;
        let port = port.parse()?;
        let (url, tls) = (self.database_url.clone(), self.tls.clone());
        let projector = self.projector.take();
        *self = Self { projector, ..Self::start_at(self.kind, &url, tls, port, &[]).await? };
        Ok(gone.elapsed())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        if let Some(projector) = &mut self.projector {
            projector.child.kill().await?;
        }
        Ok(())
    }

    /// Asks it to stop, and returns how long that took.
    pub(crate) async fn terminate(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        kill(self.process()?, Signal::SIGTERM)?;
        timeout(STOP_TIMEOUT, self.child.wait()).await.context("it does not stop")??;
        Ok(begun.elapsed())
    }

    /// Resident memory, in KiB.
    pub(crate) fn rss_kib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(self.proc("status")?)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let value = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(value.context("no VmRSS")?.trim().parse()?)
    }

    /// Resident memory once it has stopped to move, in KiB.
    pub(crate) async fn settled_rss_kib(&self) -> anyhow::Result<f64> {
        let mut last = self.rss_kib()?;
        for _ in 0..20 {
            sleep(Duration::from_secs(1)).await;
            let now = self.rss_kib()?;
            if (now - last).abs() < last * 0.002 {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }

    /// CPU time used so far, user and system, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> anyhow::Result<f64> {
        cpu_ms(self.pid()?)
    }

    /// Open files.
    pub(crate) fn files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(self.proc("fd")?)?.count())
    }

    /// Stops it where it is, without its knowing.
    pub(crate) fn stand_still(&self) -> anyhow::Result<()> {
        Ok(kill(self.process()?, Signal::SIGSTOP)?)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) -> anyhow::Result<()> {
        Ok(kill(self.process()?, Signal::SIGCONT)?)
    }

    /// With what projects for it, unless it does so itself.
    async fn with_projector(mut self) -> anyhow::Result<Self> {
        if self.kind == Kind::Node {
            let projector = Self::start_at(Kind::Server, &self.database_url, None, 0, &[]).await?;
            self.projector = Some(Box::new(projector));
        }
        Ok(self)
    }

    fn process(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.pid()?)?))
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the contender has ended")
    }

    fn proc(&self, file: &str) -> anyhow::Result<PathBuf> {
        Ok(Path::new("/proc").join(self.pid()?.to_string()).join(file))
    }

    async fn start_at(
        kind: Kind,
        database_url: &str,
        tls: Option<Certificate>,
        port: u16,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = match kind {
            Kind::Server => server(database_url, tls.as_ref(), port),
            Kind::Node => node(database_url, tls.as_ref(), port),
            Kind::Floor => bail!("the floor is no program"),
        };
        command.args(flags);
        let log = format!("target/bench/{kind}.log");
        let stderr = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {kind}"))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START_TIMEOUT, lines.next_line()).await??;
        let line = line.with_context(|| format!("{kind} ended at its start: see {log}"))?;
        let (address, admin) = addresses(&line).with_context(|| format!("{kind} said {line:?}"))?;
        let database_url = database_url.to_owned();
        let contender = Self { child, projector: None, kind, database_url, tls, address, admin };
        TcpStream::connect(&contender.address).await?;
        Ok(contender)
    }
}

/// The certificate of the server's tests, which is good for 127.0.0.1.
pub(crate) fn certificate() -> anyhow::Result<Certificate> {
    let folder = Path::new("server/tests/keys");
    let (cert, key) = (folder.join("tls-cert.pem"), folder.join("tls-key.pem"));
    let der = CertificateDer::from_pem_file(&cert)?;
    Ok(Certificate { cert, key, der })
}

/// CPU time that a process has used, in milliseconds.
pub(crate) fn cpu_ms(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold blanks.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<f64> {
        Ok(fields.get(at).context("stat is short")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_S * 1e3)
}

/// `dashboard-server` as it comes, but with room for everyone from one address.
fn server(database_url: &str, tls: Option<&Certificate>, port: u16) -> Command {
    let mut command = Command::new("target/release/dashboard-server");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DASHBOARD_") {
            command.env_remove(name);
        }
    }
    command.env("DATABASE_URL", database_url);
    command.env("DASHBOARD_JWT_HS256_SECRET", tokens::SECRET);
    // The load generator's own tables are there.
    command.env("DASHBOARD_SOURCE", "standalone");
    command.args(["--jwt-issuer", tokens::ISSUER, "--jwt-client-ids", tokens::CLIENT_ID]);
    command.args(["--bind", &format!("127.0.0.1:{port}"), "--admin-bind", "127.0.0.1:0"]);
    for limit in ["max-connections", "max-connections-per-address", "max-sockets"] {
        command.args([&format!("--{limit}"), "1000000"]);
    }
    for limit in ["max-sockets-per-user", "requests-per-s", "requests-per-s-per-user"] {
        command.args([&format!("--{limit}"), "100000"]);
    }
    if let Some(tls) = tls {
        command.arg("--tls-cert").arg(&tls.cert).arg("--tls-key").arg(&tls.key);
    }
    command
}

fn node(database_url: &str, tls: Option<&Certificate>, port: u16) -> Command {
    let mut command = Command::new("node");
    command.arg("benches/node-peer/server.js").env("NODE_ENV", "production");
    command.env("DATABASE_URL", database_url).env("PORT", port.to_string());
    command.env("JWT_SECRET", tokens::SECRET).env("JWT_ISSUER", tokens::ISSUER);
    command.env("JWT_CLIENT_ID", tokens::CLIENT_ID);
    if let Some(tls) = tls {
        command.env("TLS_CERT", &tls.cert).env("TLS_KEY", &tls.key);
    }
    command
}

/// Reads `… listening on http://A` and perhaps `, admin http://B`.
fn addresses(line: &str) -> Option<(String, Option<String>)> {
    let (_, rest) = line.split_once("://")?;
    match rest.split_once(", admin http://") {
        Some((public, admin)) => Some((public.to_owned(), Some(admin.to_owned()))),
        None => Some((rest.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_either_line() {
        let ours = "dashboard-server listening on https://127.0.0.1:1, admin http://127.0.0.1:2";
        let both = Some(("127.0.0.1:1".to_owned(), Some("127.0.0.1:2".to_owned())));
        assert_eq!(addresses(ours), both);
        let peer = "listening on http://127.0.0.1:3";
        assert_eq!(addresses(peer), Some(("127.0.0.1:3".to_owned(), None)));
        assert_eq!(addresses("Error: no"), None);
    }

    #[test]
    fn cpu_time_is_read_from_the_system() {
        let used = || cpu_ms(std::process::id()).unwrap();
        let (before, begun) = (used(), Instant::now());
        // However busy the machine is, it comes to this.
        while used() <= before {
            assert!(begun.elapsed() < Duration::from_mins(1), "no time is counted");
        }
    }
}
