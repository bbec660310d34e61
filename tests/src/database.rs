//! A database for each test, cloned from a template that a server has run on.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use private_postgres::{Cluster, Options};
use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::projection::projected;

/// What the names of our databases begin with; also the key of the lock on the template.
const PREFIX: &str = "e2e";
const TEMPLATE_LOCK: i64 = 0x6532_6574_656d_706c;

/// The private cluster of this process, while a test needs it.
static RUNNING: Mutex<Weak<Private>> = Mutex::new(Weak::new());

/// A separate database; dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
    pool: PgPool,
}

/// The cluster of `DATABASE_URL`, else a private one that lives as long as a test needs it.
#[derive(Clone, Debug)]
struct Server {
    url: Url,
    private: Option<Arc<Private>>,
}

#[derive(Debug)]
struct Private {
    cluster: Option<Cluster>,
    folder: std::path::PathBuf,
}

impl Database {
    /// An empty installation: the schema is there, no user has data.
    pub async fn create() -> Self {
        let server = Server::get();
        let template = server.template().await;
        let name = format!("{PREFIX}_{}", uuid::Uuid::new_v4().simple());
        server.execute(&format!("create database {name} template {template}")).await;
        let url = server.database(&name);
        let pool = PgPool::connect(url.as_str()).await.expect("the new database accepts us");
        Self { server, name, pool }
    }

    /// Its address, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.database(&self.name).into()
    }

    /// Connections for a writer that knows nothing of the service.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// See [`projected`].
    pub async fn projected(&self) {
        let mut connection = self.pool.acquire().await.expect("the database accepts us");
        projected(&mut connection).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), std::mem::take(&mut self.name));
        // A thread, because this may run inside a runtime, also while a failed test unwinds.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let statement = format!("drop database {name} with (force)");
            runtime.expect("a runtime can be built").block_on(server.execute(&statement));
        });
        let dropped = dropped.join().is_ok();
        assert!(dropped || std::thread::panicking(), "a test's database could not be dropped");
    }
}

impl Server {
    fn get() -> Self {
        if let Ok(url) = std::env::var("DATABASE_URL") {
            let url = url.parse().expect("DATABASE_URL is an address");
            return Self { url, private: None };
        }
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let private = running.upgrade().unwrap_or_else(|| Arc::new(Private::start()));
        *running = Arc::downgrade(&private);
        let url = private.cluster.as_ref().map(|cluster| cluster.url("postgres"));
        let url = url.and_then(|url| url.parse().ok()).expect("a private cluster has an address");
        Self { url, private: Some(private) }
    }

    fn database(&self, name: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(name);
        url
    }

    async fn connect(&self) -> PgConnection {
        let url = self.database("postgres");
        PgConnection::connect(url.as_str()).await.unwrap_or_else(|error| {
            let private = self.private.is_some();
            panic!("PostgreSQL does not answer ({error}); private: {private}, else DATABASE_URL")
        })
    }

    async fn execute(&self, statement: &str) {
        let mut connection = self.connect().await;
        let outcome = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
        outcome.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The name of the template, made by whichever test comes first. A template made from another
    /// schema or source has another name.
    async fn template(&self) -> String {
        let name = format!("{PREFIX}_template_{:016x}", fingerprint());
        let mut connection = self.connect().await;
        let exists = "select exists (select from pg_database where datname = $1 and datistemplate)";
        let exists = sqlx::query_scalar::<_, bool>(exists).bind(&name);
        let lock = sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK);
        lock.execute(&mut connection).await.expect("the lock on the template can be had");
        if !exists.fetch_one(&mut connection).await.expect("databases can be listed") {
            self.execute(&format!("drop database if exists {name} with (force)")).await;
            self.execute(&format!("create database {name}")).await;
            crate::app::install(self.database(&name).as_str()).await;
            let finish = format!("alter database {name} is_template true allow_connections false");
            self.execute(&finish).await;
        }
        // Ends the session, and with it the lock.
        connection.close().await.expect("a session can be closed");
        name
    }
}

impl Private {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("{PREFIX}-{}", uuid::Uuid::new_v4()));
        let cluster = Cluster::start(&Options::throwaway(&folder), &mut |_| {})
            .unwrap_or_else(|error| panic!("no PostgreSQL for the tests: {error}"));
        Self { cluster: Some(cluster), folder }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.cluster.take());
        // A folder that stays behind in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Changes with every file that a new database depends on.
fn fingerprint() -> u64 {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server");
    let mut files = Vec::new();
    for folder in ["schema", "sources"] {
        collect(&server.join(folder), &mut files);
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}

fn collect(folder: &Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).unwrap_or_default()));
        }
    }
}
