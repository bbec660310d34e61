//! Deadlines: nothing waits for ever, and nothing waits for time alone.

use std::future::Future;
use std::time::Duration;

/// How long a condition may take on a machine that is busy with other tests.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits something that must happen; panics with `what` if it does not within [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("waited {} s in vain: {what}", DEADLINE.as_secs());
    };
    value
}
