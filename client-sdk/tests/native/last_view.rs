//! The file of the last view: what is in it, who sees it, and when it goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use client_sdk::{Code, DashboardClient, Options, Source, Status};

use crate::life::{options, total, until, until_status};
use crate::server::{PATIENCE, Server, refusal, summary_event};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("last-view")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// Waits until the file is as wished. There is no signal for files, so this polls the file.
    pub(crate) async fn until(&self, wished: impl Fn(&str) -> bool) {
        let seen = tokio::time::timeout(PATIENCE, async {
            while !wished(&self.text()) {
                tokio::task::yield_now().await;
            }
        });
        assert!(seen.await.is_ok(), "still {:?}", self.text());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn kept_for(server: &Server, folder: &Folder, user: &'static str) -> Options {
    options(server).last_view(folder.file(), move || Some(user.to_owned()))
}

pub(crate) async fn until_told_of_failure(client: &DashboardClient) {
    let told = tokio::time::timeout(PATIENCE, async {
        while !client.diagnostics().iter().any(|entry| entry.code == Code::LastViewFailed) {
            tokio::task::yield_now().await;
        }
    });
    assert!(told.await.is_ok(), "{:?}", client.diagnostics());
}

#[tokio::test]
async fn it_is_shown_after_the_next_start_until_the_snapshot_comes() {
    let folder = Folder::new("next-start");
    let mut server = Server::start().await;
    let client = DashboardClient::start(kept_for(&server, &folder, "amber\n\"1\"")).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    folder.until(|text| text.contains("\"totalMocs\":10")).await;
    drop(client);

    let client = DashboardClient::start(kept_for(&server, &folder, "amber\n\"1\"")).unwrap();
    let state = until(&client, |state| state.view.is_some()).await;
    assert_eq!((total(&state), state.freshness.source), (Some(10), Source::Stale));
    assert!(state.freshness.as_of.is_some_and(|as_of| as_of > 1_700_000_000_000));
    let _socket = server.accepted().await;
    let state = until_status(&client, Status::Live).await;
    assert_eq!(state.freshness.source, Source::Live);
    let conditional = server.requests().iter().filter(|head| head.contains("&have=")).count();
    assert_eq!(conditional, 0, "a file has no authority");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("owner");
    let mut server = Server::start().await;
    let _client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    let _socket = server.accepted().await;
    folder.until(|text| !text.is_empty()).await;
    let mode = fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn another_user_is_not_shown_it_and_it_goes() {
    let folder = Folder::new("another-user");
    let mut server = Server::start().await;
    let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    let _socket = server.accepted().await;
    folder.until(|text| text.contains("\"totalMocs\":10")).await;
    drop(client);
    let client = DashboardClient::start(kept_for(&server, &folder, "birch")).unwrap();
    folder.until(str::is_empty).await;
    assert_eq!(client.state().view, None);
}

#[tokio::test]
async fn stop_and_a_refusal_remove_it() {
    for end in ["stop", "refusal"] {
        let folder = Folder::new(end);
        let mut server = Server::start().await;
        let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
        let mut socket = server.accepted().await;
        folder.until(|text| !text.is_empty()).await;
        // A change that is still waiting to be kept.
        socket.send(&summary_event(11)).await;
        until(&client, |state| total(state) == Some(11)).await;
        if end == "stop" {
            client.stop();
        } else {
            server.answer_snapshots(refusal("401 Unauthorized"));
            client.refresh();
        }
        folder.until(str::is_empty).await;
    }
}

#[tokio::test]
async fn the_same_users_next_session_goes_on_with_the_view() {
    let folder = Folder::new("same-user");
    let mut server = Server::start().await;
    let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    folder.until(|text| !text.is_empty()).await;
    server.answer_snapshots(refusal("401 Unauthorized"));
    client.refresh();
    until_status(&client, Status::AuthRequired).await;
    folder.until(str::is_empty).await;

    server.answer_snapshots(crate::server::snapshot(12));
    client.reauthenticate();
    let (mut socket, _) = server.connected().await;
    let state = client.state();
    assert_eq!((total(&state), state.freshness.source), (Some(10), Source::Stale));
    socket.send(r#"40/dashboard,{"sid":"s"}"#).await;
    until(&client, |state| total(state) == Some(12)).await;
    folder.until(|text| text.contains("\"totalMocs\":12")).await;
}

#[tokio::test]
async fn when_the_programs_user_changed_nothing_more_is_kept() {
    let folder = Folder::new("changed");
    let mut server = Server::start().await;
    let user = Arc::new(Mutex::new("amber".to_owned()));
    let asked = Arc::clone(&user);
    let last_view = move || Some(asked.lock().unwrap().clone());
    let options = options(&server).last_view(folder.file(), last_view);
    let client = DashboardClient::start(options).unwrap();
    let socket = server.accepted().await;
    folder.until(|text| text.starts_with("amber\n")).await;
    "birch".clone_into(&mut user.lock().unwrap());
    drop(socket);
    until_status(&client, Status::Backoff).await;
    server.answer_snapshots(crate::server::snapshot(12));
    client.refresh();
    let _socket = server.accepted().await;
    until(&client, |state| total(state) == Some(12)).await;
    client.reauthenticate();
    folder.until(str::is_empty).await;
    let _socket = server.accepted().await;
    folder.until(|text| text.starts_with("birch\n")).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_or_written_is_reported_and_costs_nothing() {
    let folder = Folder::new("unusable");
    fs::create_dir(folder.file()).unwrap();
    let mut server = Server::start().await;
    let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    until_told_of_failure(&client).await;
}

#[tokio::test]
async fn a_damaged_file_is_reported_and_not_shown() {
    let folder = Folder::new("damaged");
    fs::write(folder.file(), "amber\n1 900 7\n{\"summary\":").unwrap();
    let mut server = Server::start().await;
    let client = DashboardClient::start(kept_for(&server, &folder, "amber")).unwrap();
    let (mut socket, _) = server.connected().await;
    assert_eq!(client.state().view, None);
    socket.send(r#"40/dashboard,{"sid":"s"}"#).await;
    until_status(&client, Status::Live).await;
    until_told_of_failure(&client).await;
}
