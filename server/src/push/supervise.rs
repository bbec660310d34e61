//! Tasks that must not end before the server does.
//!
//! A node that no longer follows the change log looks healthy and pushes nothing: nothing would be
//! more silently wrong. So a task of the pipeline that panics, or just ends, is counted and logged,
//! and the whole server is given up: its sockets close, their clients refetch elsewhere, and what
//! started the process starts it again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// Runs tasks and notices the first that fails.
#[derive(Clone)]
pub(crate) struct Supervisor {
    tasks: TaskTracker,
    /// Tells the tasks to end.
    stop: CancellationToken,
    failed: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Supervisor {
    pub(crate) fn new(stop: CancellationToken, metrics: Arc<Metrics>) -> Self {
        Self { tasks: TaskTracker::new(), stop, failed: CancellationToken::new(), metrics }
    }

    /// Runs a task that ends when told to stop and not before.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let supervisor = self.clone();
        self.tasks.spawn(async move {
            let task = async move {
                #[cfg(debug_assertions)]
                panic_on_demand(name);
                task.await;
            };
            // Nothing of a task that panicked is used again.
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            if ended.is_err() {
                supervisor.metrics.panics.inc();
            }
            if ended.is_err() || !supervisor.stop.is_cancelled() {
                tracing::error!(task = name, panicked = ended.is_err(), "a task ended too early");
                supervisor.failed.cancel();
            }
        });
    }

    /// Returns once a task has failed.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Names the task that is to panic; not in a release build.
pub(crate) const PANIC_VARIABLE: &str = "DASHBOARD_PANIC_IN";

/// What no test could bring about from outside: a fault of ours.
#[cfg(debug_assertions)]
fn panic_on_demand(name: &str) {
    assert!(std::env::var(PANIC_VARIABLE).as_deref() != Ok(name), "on demand");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> (Supervisor, CancellationToken, Arc<Metrics>) {
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::new()));
        (Supervisor::new(stop.clone(), Arc::clone(&metrics)), stop, metrics)
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_fails_the_server() {
        let (supervisor, _stop, metrics) = supervisor();
        supervisor.spawn("healthy", std::future::pending());
        assert!(supervisor.failed().now_or_never().is_none());
        supervisor.spawn("broken", async { panic!("on purpose") });
        supervisor.failed().await;
        assert_eq!(metrics.panics.get(), 1);
    }

    #[tokio::test]
    async fn a_task_that_just_ends_fails_the_server_as_well() {
        let (supervisor, _stop, metrics) = supervisor();
        supervisor.spawn("lazy", async {});
        supervisor.failed().await;
        assert_eq!(metrics.panics.get(), 0);
    }

    #[tokio::test]
    async fn whoever_ends_when_told_to_has_not_failed() {
        let (supervisor, stop, metrics) = supervisor();
        let told = stop.clone();
        supervisor.spawn("obedient", async move { told.cancelled().await });
        stop.cancel();
        supervisor.ended().await;
        assert!(supervisor.failed().now_or_never().is_none());
        assert_eq!(metrics.panics.get(), 0);
    }
}
