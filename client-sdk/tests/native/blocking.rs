//! The calls that block, where they may be used and where they would wait for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_sdk::{Code, DashboardClient, Options, Status};
use tokio::runtime::{Builder, Runtime};

use crate::last_view::{Folder, kept_for};
use crate::life::{options, until_status};
use crate::server::{PATIENCE, Server};

/// What the call's panic says; none where it does not panic.
fn panic_of(call: impl FnOnce()) -> Option<String> {
    let thrown = catch_unwind(AssertUnwindSafe(call)).err()?;
    let text = thrown.downcast_ref::<String>().cloned();
    text.or_else(|| thrown.downcast_ref::<&str>().map(|text| (*text).to_owned()))
}

fn client() -> DashboardClient {
    DashboardClient::start(Options::new("http://127.0.0.1:1")).unwrap()
}

/// On a separate thread: if the call hangs, the test must end all the same.
fn within(runtime: Runtime, spawned: bool) -> [Option<String>; 2] {
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        let work = async {
            let client = client();
            let never = |client: &DashboardClient| {
                let _ = client.blocking_wait_for(Duration::ZERO, |_| false);
            };
            [panic_of(|| never(&client)), panic_of(|| client.blocking_shutdown())]
        };
        let told = runtime.block_on(async {
            if spawned { tokio::spawn(work).await.unwrap() } else { work.await }
        });
        // The test may be over.
        let _ = sender.send(told);
    });
    told.recv_timeout(PATIENCE).expect("a panic instead of a wait for ever")
}

#[test]
fn within_async_code_they_panic_with_words() {
    let one = Builder::new_current_thread().enable_all().build().unwrap();
    let many = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for (runtime, spawned) in [(one, false), (many, true)] {
        for told in within(runtime, spawned) {
            let told = told.expect("a panic");
            assert!(
                told.contains("Cannot block the current thread from within a runtime"),
                "{told}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_tokio_lets_a_thread_block_they_work() {
    let mut server = Server::start().await;
    let started = DashboardClient::start(options(&server)).unwrap();
    let other = started.clone();
    let live = tokio::task::spawn_blocking(move || {
        started.blocking_wait_for(PATIENCE, |state| state.status == Status::Live)
    });
    let _socket = server.accepted().await;
    assert!(live.await.unwrap().is_some());
    tokio::task::block_in_place(|| {
        assert!(other.blocking_wait_for(PATIENCE, |state| state.view.is_some()).is_some());
        other.blocking_shutdown();
    });
}

/// The client waits there for the receiver, which waits for the client.
#[tokio::test]
async fn a_receiver_of_diagnostics_that_blocks_is_reported() {
    let folder = Folder::new("blocking");
    // A file that cannot be written is reported too, and from other threads than the client's.
    std::fs::create_dir(folder.file()).unwrap();
    let mut server = Server::start().await;
    let slot: Arc<Mutex<Option<DashboardClient>>> = Arc::default();
    let taken = slot.clone();
    let options = kept_for(&server, &folder, "amber").on_diagnostic(move |entry| {
        let client = taken.lock().unwrap().clone();
        if let Some(client) = client.filter(|_| entry.code == Code::LastViewFailed) {
            client.blocking_shutdown();
        }
    });
    let client = DashboardClient::start(options).unwrap();
    *slot.lock().unwrap() = Some(client.clone());
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    let told = tokio::time::timeout(PATIENCE, async {
        while !client.diagnostics().iter().any(|entry| entry.code == Code::CallbackFailed) {
            tokio::task::yield_now().await;
        }
    });
    assert!(told.await.is_ok(), "{:?}", client.diagnostics());
    let ended = tokio::time::timeout(PATIENCE, client.shutdown()).await;
    assert!(ended.is_ok(), "the client waits for its receiver, which waits for the client");
}
