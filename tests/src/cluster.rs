//! A cluster of the test's own, to be killed, filled and failed over, which no other test shares.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use private_postgres::{Cluster, Options};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::process::signal;
use crate::waiting::{pause, within};

/// The database that the server uses.
const DATABASE: &str = "dashboard";

/// A durable cluster: what was committed survives every crash of the server.
#[derive(Debug)]
pub struct OwnCluster {
    cluster: Option<Cluster>,
    folder: PathBuf,
}

/// A standby of such a cluster.
#[derive(Debug)]
pub struct Standby {
    child: Child,
    url: String,
    port: u16,
    folder: PathBuf,
}

impl OwnCluster {
    /// Starts one, with an empty database.
    pub async fn start() -> Self {
        let folder = new_folder();
        let options = Options::new(&folder);
        let cluster = blocking(move || {
            let cluster = Cluster::start(&options, &mut |_| {})?;
            cluster.create_database(DATABASE)?;
            // What these tests kill are processes, not the operating system: it keeps what was
            // written. And after a crash the server would force every file to disk before it
            // begins, which takes seconds on a busy machine and proves nothing here.
            cluster.execute("alter system set fsync = off")?;
            cluster.execute("select pg_reload_conf()")?;
            Ok::<_, private_postgres::Error>(cluster)
        });
        let cluster = cluster.await.unwrap_or_else(|error| panic!("no cluster: {error}"));
        Self { cluster: Some(cluster), folder }
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster().url(DATABASE)
    }

    /// The account that the server runs under.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        let meta = fs::metadata(self.data()).expect("a cluster has a folder");
        (meta.uid(), meta.gid())
    }

    /// Kills the first of its processes (SIGKILL); the others notice and end.
    pub fn kill(&self) {
        signal("KILL", self.cluster().pid().expect("the cluster runs"));
    }

    /// Starts the killed server again, at the same port, once its last process has ended; returns
    /// when it accepts connections.
    pub async fn start_again(&mut self) {
        let port = self.cluster().port();
        let mut cluster = self.cluster.take().expect("the cluster is ours");
        let cluster = blocking(move || cluster.restart().map(|()| cluster)).await;
        let cluster = cluster.unwrap_or_else(|error| panic!("no second start: {error}"));
        assert_eq!(cluster.port(), port, "another program took the port");
        self.cluster = Some(cluster);
    }

    /// A connection to its database.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("the cluster accepts us")
    }

    /// Runs statements in its database.
    pub async fn execute(&self, statements: &str) {
        execute(&mut self.connect().await, statements).await;
    }

    /// Whether its database accepts further connections. Those that there are stay.
    pub fn accept(&self, further: bool) {
        let statement = format!("alter database {DATABASE} allow_connections {further}");
        self.cluster().execute(&statement).expect("another database is open");
    }

    /// Who may connect from where: one more first line of `pg_hba.conf`.
    pub fn allow(&self, line: &str) {
        let path = self.data().join("pg_hba.conf");
        let former = fs::read_to_string(&path).expect("the file can be read");
        fs::write(&path, format!("{line}\n{former}")).expect("the file can be written");
        self.cluster().execute("select pg_reload_conf()").expect("the file can be reloaded");
    }

    /// Makes a standby that follows this cluster, with further settings.
    pub async fn standby(&self, settings: &[&str]) -> Standby {
        let folder = new_folder();
        let data = folder.join("cluster");
        let mut copy = Command::new(self.cluster().binaries().join("pg_basebackup"));
        copy.args(["-R", "-X", "stream", "-c", "fast", "-d", &self.url(), "-D"]).arg(&data);
        let copied = blocking(move || copy.output()).await.expect("pg_basebackup can be run");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let (uid, gid) = self.owner();
        give(&data, uid, gid);
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.expect("there is a free port").port();
        let mut postgres = Command::new(self.cluster().binaries().join("postgres"));
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]).current_dir(&data);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=."].iter().chain(settings)
        {
            postgres.args(["-c", setting]);
        }
        if uid != fs::metadata("/proc/self").map_or(uid, |meta| meta.uid()) {
            postgres.uid(uid).gid(gid);
        }
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = postgres.spawn().expect("postgres can be run");
        let own = format!(":{}/", self.cluster().port());
        let url = self.url().replace(&own, &format!(":{port}/"));
        Standby { child, url, port, folder }
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("the cluster is ours")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("cluster")
    }
}

impl Standby {
    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection, once it accepts some.
    pub async fn connect(&self) -> PgConnection {
        within("the standby", async {
            loop {
                if let Ok(connection) = PgConnection::connect(&self.url).await {
                    return connection;
                }
                pause().await;
            }
        })
        .await
    }

    /// Makes it a primary.
    pub async fn promote(&self) {
        execute(&mut self.connect().await, "select pg_promote()").await;
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        drop(self.cluster.take());
        // A folder that stays behind in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        // It is ours alone, and nothing of it is kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs statements on a connection.
pub(crate) async fn execute(connection: &mut PgConnection, statements: &str) {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    outcome.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// A folder below the temporary one, which the server's account may enter.
fn new_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("e2e-own-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&folder).expect("a folder can be made");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&folder, open).expect("its mode can be set");
    folder
}

fn give(path: &Path, uid: u32, gid: u32) {
    if chown(path, Some(uid), Some(gid)).is_err() {
        // Not root: then it is ours already.
        return;
    }
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("a folder can be listed").flatten() {
            give(&entry.path(), uid, gid);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic")
}
