//! The handle: its clones, its end, and the runtimes that it works in.

use client_sdk::{DashboardClient, Options, RuntimeFault, StartError, Status};
use tokio::runtime::{Builder, Runtime};

use crate::last_view::{Folder, kept_for};
use crate::life::{options, total, until, until_status};
use crate::server::{PATIENCE, Server, summary_event};

#[tokio::test]
async fn clones_are_the_same_client_and_the_last_one_ends_it() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server)).unwrap();
    let other = client.clone();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    drop(client);
    socket.send(&summary_event(11)).await;
    until(&other, |state| total(state) == Some(11)).await;
    let mut states = other.states();
    drop(other);
    assert!(socket.is_closed_with_a_frame().await);
    let ended = tokio::time::timeout(PATIENCE, async { while states.changed().await.is_ok() {} });
    ended.await.expect("the states end with the last handle");
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What is not done when the runtime goes would not be done any more.
#[test]
fn after_a_shutdown_the_socket_is_closed_and_the_file_written() {
    let outside = runtime();
    let mut server = outside.block_on(Server::start());
    let folder = Folder::new("shutdown");
    let kept = kept_for(&server, &folder, "amber");
    let inside = Builder::new_current_thread().enable_all().build().unwrap();
    let accepted = outside.spawn(async move { (server.accepted().await, server) });
    let other = inside.block_on(async {
        let client = DashboardClient::start(kept).unwrap();
        until_status(&client, Status::Live).await;
        let other = client.clone();
        client.shutdown().await;
        other
    });
    drop(inside);
    assert_eq!((other.state().status, other.state().view.clone()), (Status::Closed, None));
    assert!(folder.text().contains("\"totalMocs\":10"), "a shutdown is no logout");
    outside.block_on(async {
        let (mut socket, _server) = accepted.await.unwrap();
        assert!(socket.is_closed_with_a_frame().await, "the client left without a word");
    });
    // It has ended: there is nothing to wait for, and nothing to start again.
    other.restart();
    other.blocking_shutdown();
}

#[test]
fn a_runtime_without_timers_or_io_is_refused_at_the_start() {
    let start = || DashboardClient::start(Options::new("http://127.0.0.1:1")).map(drop);
    let fault = |started| match started {
        Err(StartError::Runtime(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(start()), RuntimeFault::Missing);
    let within = |builder: &mut Builder| builder.build().unwrap().block_on(async { start() });
    let mut builder = Builder::new_current_thread();
    assert_eq!(fault(within(builder.enable_io())), RuntimeFault::TimeDisabled);
    let mut builder = Builder::new_current_thread();
    assert_eq!(fault(within(builder.enable_time())), RuntimeFault::IoDisabled);
    within(Builder::new_current_thread().enable_all()).unwrap();
}

#[test]
fn a_program_without_a_runtime_goes_live_and_stops() {
    let outside = runtime();
    let mut server = outside.block_on(Server::start());
    let client = DashboardClient::start_on_thread(options(&server)).unwrap();
    let accepted = outside.spawn(async move { (server.accepted().await, server) });
    let state = client.blocking_wait_for(PATIENCE, |state| state.status == Status::Live);
    assert_eq!(total(&state.expect("live")), Some(10));
    let never = client.blocking_wait_for(std::time::Duration::ZERO, |_| false);
    assert!(never.is_none());
    let other = client.clone();
    client.blocking_shutdown();
    let ended = other.blocking_wait_for(PATIENCE, |state| state.status == Status::Live);
    assert!(ended.is_none(), "waits for nothing that can come");
    outside.block_on(async {
        let (mut socket, _server) = accepted.await.unwrap();
        assert!(socket.is_closed_with_a_frame().await);
    });
}
