//! Time that passes only when a test says so, while sockets and processes go on in real time.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Virtual time while this value lives.
pub(crate) struct VirtualTime {
    /// Dropping it lets the blocking task end.
    _guard: Sender<()>,
}

impl VirtualTime {
    /// Stops the clock of this test's runtime.
    ///
    /// A paused clock jumps ahead automatically when the runtime has nothing to do, and waiting for
    /// a socket counts as nothing to do. A blocking task holds it where it is.
    pub(crate) fn start() -> Self {
        let (guard, hold) = channel::<()>();
        tokio::task::spawn_blocking(move || hold.recv());
        tokio::time::pause();
        Self { _guard: guard }
    }

    /// Lets that much time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

impl Drop for VirtualTime {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
