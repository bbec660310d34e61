//! Supervises the tasks that must not end, or hang, before the server does.
//!
//! A server that no longer follows the change log looks healthy and pushes nothing. No other fault would be
//! harder to notice. So when a task of the pipeline panics, ends, or makes no progress, the supervisor counts
//! and logs it, and the whole server ends. Its sockets close, their clients refetch from another server, and
//! the program that started the process starts it again.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// How long a task may take to end once it is asked to stop.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A watchdog that wakes so much later than it was to has been paused itself.
const OVERSLEPT: Duration = Duration::from_secs(5);

/// Runs tasks and notices the first that fails.
#[derive(Clone)]
pub(crate) struct Supervisor {
    tasks: TaskTracker,
    /// Tells the tasks to end.
    stop: CancellationToken,
    failed: CancellationToken,
    metrics: Arc<Metrics>,
}

/// When a task last made progress.
#[derive(Clone)]
pub(crate) struct Progress {
    last: Arc<Mutex<Instant>>,
}

impl Supervisor {
    pub(crate) fn new(stop: CancellationToken, metrics: Arc<Metrics>) -> Self {
        Self { tasks: TaskTracker::new(), stop, failed: CancellationToken::new(), metrics }
    }

    /// Runs a task that ends only when it is stopped, and reports progress more often than every
    /// `stalled_after`.
    pub(crate) fn spawn<F>(
        &self,
        name: &'static str,
        stalled_after: Duration,
        task: impl FnOnce(Progress) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let progress = Progress { last: Arc::new(Mutex::new(Instant::now())) };
        let task = task(progress.clone());
        let supervisor = self.clone();
        let ended = CancellationToken::new();
        let (end, abandoned) = (ended.clone().drop_guard(), self.abandoned(name));
        self.tasks.spawn(async move {
            let _end = end;
            let task = async move {
                #[cfg(debug_assertions)]
                panic_on_demand(name);
                task.await;
            };
            tokio::select! {
                // Nothing of a task that panicked is used again.
                ended = AssertUnwindSafe(task).catch_unwind() => supervisor.ended(name, ended.is_err()),
                () = abandoned => {}
            }
        });
        let supervisor = self.clone();
        self.tasks.spawn(async move {
            let stopped = async {
                tokio::select! {
                    () = supervisor.stop.cancelled() => {}
                    () = ended.cancelled() => {}
                }
            };
            tokio::select! {
                () = stopped => {}
                () = progress.stalled(stalled_after) => supervisor.stalled(name, stalled_after),
            }
        });
    }

    /// Returns once a task has failed.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits until all tasks have ended: two seconds at most, once they are asked to stop.
    pub(crate) async fn ended_all(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn ended(&self, name: &'static str, panicked: bool) {
        if panicked {
            self.metrics.panics.inc();
        }
        if panicked || !self.stop.is_cancelled() {
            tracing::error!(task = name, panicked, "a task ended too early");
            self.failed.cancel();
        }
    }

    fn stalled(&self, name: &'static str, after: Duration) {
        self.metrics.stalls.inc();
        tracing::error!(task = name, after_s = after.as_secs(), "a task makes no progress");
        self.failed.cancel();
    }

    /// Returns once a task has had its time to end.
    fn abandoned(&self, name: &'static str) -> impl Future<Output = ()> + Send + 'static {
        let stop = self.stop.clone();
        async move {
            stop.cancelled().await;
            sleep(END_TIMEOUT).await;
            tracing::warn!(task = name, "a task did not end and was abandoned");
        }
    }
}

impl Progress {
    /// The task goes on.
    pub(crate) fn made(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn stalled(&self, after: Duration) {
        loop {
            let due = *self.last.lock().unwrap_or_else(PoisonError::into_inner) + after;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
            if Instant::now() > due + OVERSLEPT {
                // The whole process stood still: the task has had no more time than this one.
                self.made();
            }
        }
    }
}

/// Names the task that is to panic. Not in a release build.
pub(crate) const PANIC_VARIABLE: &str = "DASHBOARD_PANIC_IN";

/// What no test could bring about from outside: a fault of ours.
#[cfg(debug_assertions)]
fn panic_on_demand(name: &str) {
    assert!(std::env::var(PANIC_VARIABLE).as_deref() != Ok(name), "on demand");
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn supervisor() -> (Supervisor, CancellationToken, Arc<Metrics>) {
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::new()));
        (Supervisor::new(stop.clone(), Arc::clone(&metrics)), stop, metrics)
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_fails_the_server() {
        let (supervisor, _stop, metrics) = supervisor();
        supervisor.spawn("healthy", LONG, |_| pending());
        assert!(supervisor.failed().now_or_never().is_none());
        supervisor.spawn("broken", LONG, |_| async { panic!("on purpose") });
        supervisor.failed().await;
        assert_eq!(metrics.panics.get(), 1);
    }

    #[tokio::test]
    async fn a_task_that_just_ends_fails_the_server_as_well() {
        let (supervisor, _stop, metrics) = supervisor();
        supervisor.spawn("lazy", LONG, |_| async {});
        supervisor.failed().await;
        assert_eq!(metrics.panics.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_fails_the_server_and_one_that_works_does_not() {
        let (supervisor, _stop, metrics) = supervisor();
        supervisor.spawn("busy", LONG, |progress| async move {
            loop {
                progress.made();
                sleep(LONG / 2).await;
            }
        });
        sleep(LONG * 10).await;
        assert!(supervisor.failed().now_or_never().is_none());
        assert_eq!(metrics.stalls.get(), 0);
        supervisor.spawn("stuck", LONG, |_| pending());
        supervisor.failed().await;
        assert_eq!(metrics.stalls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_gives_its_tasks_time() {
        let (supervisor, _stop, metrics) = supervisor();
        supervisor.spawn("stuck", LONG, |_| pending());
        tokio::task::yield_now().await;
        tokio::time::advance(LONG * 3).await;
        tokio::task::yield_now().await;
        assert!(supervisor.failed().now_or_never().is_none());
        supervisor.failed().await;
        assert_eq!(metrics.stalls.get(), 1);
    }

    #[tokio::test]
    async fn a_task_that_ends_when_told_to_has_not_failed() {
        let (supervisor, stop, metrics) = supervisor();
        let told = stop.clone();
        supervisor.spawn("obedient", LONG, |_| async move { told.cancelled().await });
        stop.cancel();
        supervisor.ended_all().await;
        assert!(supervisor.failed().now_or_never().is_none());
        assert_eq!(metrics.panics.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_abandoned() {
        let (supervisor, stop, metrics) = supervisor();
        supervisor.spawn("stuck", LONG, |_| pending());
        stop.cancel();
        supervisor.ended_all().await;
        assert!(supervisor.failed().now_or_never().is_none());
        assert_eq!(metrics.stalls.get(), 0);
    }
}
