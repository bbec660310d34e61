//! What a careless program, or a file that is no file, might bring about.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use client_sdk::{Code, DashboardClient, Options, Source, Status};

use crate::last_view::{Folder, kept_for, until_told_of_failure};
use crate::life::{options, total, until, until_status};
use crate::server::{PATIENCE, Server, summary_event};

#[tokio::test]
async fn a_receiver_of_diagnostics_that_panics_costs_nothing() {
    let mut server = Server::start().await;
    let options = options(&server).on_diagnostic(|_| panic!("not mine"));
    let client = DashboardClient::start(options).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    socket.send(&summary_event(11)).await;
    until(&client, |state| total(state) == Some(11)).await;
    assert!(client.diagnostics().iter().any(|entry| entry.code == Code::CallbackFailed));
}

#[tokio::test]
async fn a_provider_of_tokens_that_panics_has_none() {
    let mut server = Server::start().await;
    let panics = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&panics);
    let options = Options::new(&server.url).token(move || {
        let panics = asked.load(Ordering::Relaxed);
        async move {
            assert!(!panics, "no token");
            "secret-token"
        }
    });
    let client = DashboardClient::start(options).unwrap();
    // Long before the attempt's ten seconds are over.
    let state = until_status(&client, Status::Backoff).await;
    assert_eq!(state.freshness.reason.as_ref().map(|why| why.code), Some(Code::TokenUnavailable));
    panics.store(false, Ordering::Relaxed);
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
}

#[tokio::test]
async fn a_last_views_user_that_panics_is_none() {
    let folder = Folder::new("panicking-user");
    let mut server = Server::start().await;
    let panics = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&panics);
    let user = move || {
        assert!(!asked.load(Ordering::Relaxed), "not mine");
        Some("amber".to_owned())
    };
    let client = DashboardClient::start(options(&server).last_view(folder.file(), user)).unwrap();
    let mut socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    socket.send(&summary_event(11)).await;
    until(&client, |state| total(state) == Some(11)).await;
    until_told_of_failure(&client).await;
    client.reauthenticate();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    assert_eq!(folder.text(), "", "kept for nobody");
    panics.store(false, Ordering::Relaxed);
    client.reauthenticate();
    let _socket = server.accepted().await;
    folder.until(|text| text.starts_with("amber\n")).await;
}

#[test]
fn a_client_whose_runtime_is_gone_is_not_live() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (client, _socket) = runtime.block_on(async {
        let mut server = Server::start().await;
        let client = DashboardClient::start(options(&server)).unwrap();
        let socket = server.accepted().await;
        until_status(&client, Status::Live).await;
        (client, socket)
    });
    runtime.shutdown_timeout(PATIENCE);
    let state = client.state();
    assert_eq!((state.status, state.freshness.source), (Status::Closed, Source::None));
    assert_eq!(state.view, None);
}

#[tokio::test]
async fn a_view_is_not_kept_as_another_users_by_a_start_that_means_nothing() {
    let folder = Folder::new("restarted");
    let mut server = Server::start().await;
    let user = Arc::new(Mutex::new("amber".to_owned()));
    let asked = Arc::clone(&user);
    let options =
        options(&server).last_view(folder.file(), move || Some(asked.lock().unwrap().clone()));
    let client = DashboardClient::start(options).unwrap();
    let mut socket = server.accepted().await;
    folder.until(|text| text.starts_with("amber\n")).await;
    "birch".clone_into(&mut user.lock().unwrap());
    client.restart();
    let ignored = tokio::time::timeout(PATIENCE, async {
        while !client.diagnostics().iter().any(|entry| entry.code == Code::InputIgnored) {
            tokio::task::yield_now().await;
        }
    });
    assert!(ignored.await.is_ok());
    // The session is still amber's, so amber's view is kept for amber again, and only for amber.
    "amber".clone_into(&mut user.lock().unwrap());
    socket.send(&summary_event(11)).await;
    folder.until(|text| text.starts_with("amber\n") && text.contains("\"totalMocs\":11")).await;
}

#[tokio::test]
async fn what_was_left_half_written_goes_with_the_file() {
    let folder = Folder::new("half-written");
    let mut beside = folder.file().into_os_string();
    beside.push(".new");
    fs::write(&beside, "amber\n1 5 7\n{\"summ").unwrap();
    let server = Server::start().await;
    let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    client.stop();
    let gone = tokio::time::timeout(PATIENCE, async {
        while fs::exists(&beside).unwrap() {
            tokio::task::yield_now().await;
        }
    });
    assert!(gone.await.is_ok(), "nothing of a user is left after a stop");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_put_in_the_files_way_is_not_written_to() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = Folder::new("in-the-way");
    let mut beside = folder.file().into_os_string();
    beside.push(".new");
    let other = folder.file().with_file_name("other");
    fs::write(&other, "precious").unwrap();
    symlink(&other, &beside).unwrap();
    let mut server = Server::start().await;
    let _client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    let _socket = server.accepted().await;
    folder.until(|text| text.contains("\"totalMocs\":10")).await;
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    let mode = fs::symlink_metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_or_a_giant_is_not_read() {
    for kind in ["pipe", "giant"] {
        let folder = Folder::new(kind);
        if kind == "pipe" {
            let made = std::process::Command::new("mkfifo").arg(folder.file()).status().unwrap();
            assert!(made.success());
        } else {
            // Holes only, which cost no room.
            fs::File::create(folder.file()).unwrap().set_len(1 << 40).unwrap();
        }
        let mut server = Server::start().await;
        let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
        let _socket = server.accepted().await;
        until_status(&client, Status::Live).await;
        until_told_of_failure(&client).await;
        client.stop();
        let gone = tokio::time::timeout(PATIENCE, async {
            while fs::symlink_metadata(folder.file()).is_ok() {
                tokio::task::yield_now().await;
            }
        });
        assert!(gone.await.is_ok(), "{kind}: the orders after it are done");
    }
}
