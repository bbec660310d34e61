//! Finds the tokio runtime that a client needs, or runs one on a thread for programs without.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::clock::steady_clock;

/// What the current tokio runtime lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeFault {
    /// There is none. [`DashboardClient::start_on_thread`](super::DashboardClient::start_on_thread)
    /// needs none.
    #[error("a client must be started within a tokio runtime")]
    Missing,
    /// It was built without `enable_time`.
    #[error("the tokio runtime has no timers: build it with enable_time or enable_all")]
    TimeDisabled,
    /// It was built without `enable_io`.
    #[error("the tokio runtime has no I/O: build it with enable_io or enable_all")]
    IoDisabled,
}

/// The current runtime, if it has all that a client needs.
pub(super) fn current() -> Result<Handle, RuntimeFault> {
    let handle = Handle::try_current().map_err(|_| RuntimeFault::Missing)?;
    // tokio tells of neither but by a panic.
    if catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_err() {
        return Err(RuntimeFault::TimeDisabled);
    }
    let register = |socket: UdpSocket| {
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket).map(drop)
    };
    // Where not even this socket can be had, there is nothing to try it with.
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return Ok(handle) };
    match catch_unwind(AssertUnwindSafe(|| register(socket))) {
        Ok(_) => Ok(handle),
        Err(_) => Err(RuntimeFault::IoDisabled),
    }
}

/// Runs the future on a new thread, until it ends.
pub(super) fn on_thread(work: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || runtime.block_on(work);
    thread::Builder::new().name("dashboard-client".to_owned()).spawn(run).map(drop)
}

/// Blocks this thread until the future is ready; none after `timeout`.
///
/// # Panics
///
/// Within async code. There the future may wait for what this very thread has to do.
#[track_caller]
pub(super) fn block_on<T>(future: impl Future<Output = T>, timeout: Duration) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    // tokio knows where a thread may block, and tells by the panic of a call that does. This one has
    // nothing to wait for.
    let (sender, receiver) = oneshot::channel();
    let _ = sender.send(());
    let _ = receiver.blocking_recv();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let start = steady_clock();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = timeout.checked_sub(steady_clock().duration_since(start))?;
        thread::park_timeout(left);
    }
}
