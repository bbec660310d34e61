//! Deadlines: nothing waits for ever, and nothing waits for time alone.

use std::future::Future;
use std::time::Duration;

/// How long a condition may take. Far more than anything takes on a machine that is busy with other
/// things: this tells a test that hangs, and no test holds the product to a time on the clock. How
/// fast it is, `cargo xtask bench` measures.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Awaits something that must happen; panics with `what` if it does not within [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("waited {} s in vain: {what}", DEADLINE.as_secs());
    };
    value
}
