//! Runs the private cluster: starts it where no database is configured, and restarts it when it dies.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use private_postgres::Cluster;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::database::DatabaseError;
use crate::postgres::Pool;

/// The database's name in a private cluster.
const DATABASE: &str = "dashboard";
/// How often to check whether the cluster lives.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long the cluster may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(7);
/// How long to wait after a start that failed, such as for a full disk.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// A private cluster and the task that looks after it.
#[derive(Debug)]
pub(super) struct Private {
    cluster: Arc<Mutex<Option<Cluster>>>,
    stop: CancellationToken,
}

/// Starts the cluster. Returns the address of its database.
pub(super) async fn start(config: &Config) -> Result<(String, Cluster), DatabaseError> {
    let options = private_postgres::Options::new(config.data_dir.join("postgres"));
    let start = move || {
        let cluster = Cluster::start(&options, &mut |step| tracing::info!("{step}"))?;
        cluster.create_database(DATABASE)?;
        Ok::<_, private_postgres::Error>(cluster)
    };
    let started = tokio::task::spawn_blocking(start).await;
    let cluster = started.map_err(|_| DatabaseError::Interrupted)??;
    tracing::info!(
        data = %config.data_dir.display(),
        port = cluster.port(),
        "no DATABASE_URL is set: using a private PostgreSQL"
    );
    Ok((cluster.url(DATABASE), cluster))
}

impl Private {
    /// Watches a cluster from now on, because no other part would start it again. The pool's options
    /// follow the cluster if it has to move to another port.
    pub(super) fn guard(cluster: Cluster, pool: Pool) -> Self {
        let cluster = Arc::new(Mutex::new(Some(cluster)));
        let stop = CancellationToken::new();
        tokio::spawn(watch(Arc::clone(&cluster), pool, stop.clone()));
        Self { cluster, stop }
    }

    /// Stops the cluster permanently.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        let Some(cluster) = self.cluster.lock().await.take() else {
            return;
        };
        let stopping = tokio::task::spawn_blocking(move || cluster.stop());
        match timeout(STOP_TIMEOUT, stopping).await {
            Ok(Ok(Ok(()))) => tracing::info!("the private PostgreSQL has stopped"),
            Ok(Ok(Err(error))) => tracing::error!(%error, "the private PostgreSQL did not stop"),
            Ok(Err(error)) => tracing::error!(%error, "the private PostgreSQL did not stop"),
            // The cluster was asked to stop, and the next start ends one that was left behind.
            Err(_) => {
                tracing::warn!("the private PostgreSQL takes long to stop and was left to it");
            }
        }
    }
}

async fn watch(cluster: Arc<Mutex<Option<Cluster>>>, pool: Pool, stop: CancellationToken) {
    let mut pause = LOOK_INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = LOOK_INTERVAL;
        let mut guarded = Arc::clone(&cluster).lock_owned().await;
        let Some(ended) = guarded.as_mut().map(Cluster::has_ended) else { return };
        if !ended {
            continue;
        }
        tracing::error!("the private PostgreSQL has ended by itself; starting it again");
        let again = tokio::task::spawn_blocking(move || {
            let cluster = guarded.as_mut()?;
            Some(cluster.restart().map(|()| (cluster.url(DATABASE), cluster.port())))
        });
        match again.await {
            Ok(Some(Ok((url, port)))) => {
                follow(&pool, &url);
                tracing::info!(port, "the private PostgreSQL runs again");
            }
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the private PostgreSQL could not be started again");
                pause = RETRY_INTERVAL;
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// Has all later connections go to that address.
fn follow(pool: &Pool, url: &str) {
    if let Ok(moved) = PgConnectOptions::from_str(url) {
        let options = (*pool.connect_options()).clone();
        pool.set_connect_options(options.port(moved.get_port()));
    }
}
