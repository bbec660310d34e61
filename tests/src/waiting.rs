//! Deadlines: nothing waits for ever, and nothing waits for time alone.

use std::future::Future;
use std::time::Duration;

/// How long a condition may take. Far more than anything takes on a machine that is busy with other
/// things: this tells a test that hangs, and no test holds the product to a time on the clock. How
/// fast it is, `cargo xtask bench` measures.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// How long to wait before a question that nothing else answers is asked again.
const LOOK: Duration = Duration::from_millis(10);

/// Waits a moment before the same question is asked again. Those who are to bring the answer about need
/// the processors, which a loop without a pause would take from them.
///
/// It waits in real time, also where a test holds the runtime's clock.
pub async fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "for what can only be asked again, this is the pause"
    )]
    let waited = tokio::task::spawn_blocking(|| std::thread::sleep(LOOK)).await;
    waited.expect("a thread can sleep");
}

/// Awaits something that must happen; panics with `what` if it does not within [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("waited {} s in vain: {what}", DEADLINE.as_secs());
    };
    value
}
