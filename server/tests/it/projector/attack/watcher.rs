//! Watches: a bare socket that keeps a view as a client does, and a client that asks for snapshots all the time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::support::{Client, TestServer, access, envelope};

/// Where a server is, if it is.
pub(super) type Place = Option<Arc<TestServer>>;

/// What a user is shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) view: Value,
    /// The revision that each section shows.
    revisions: BTreeMap<&'static str, u64>,
}

/// What has been served, and how often.
#[derive(Default)]
pub(super) struct Ledger {
    events: AtomicU64,
    errors: AtomicU64,
    connects: AtomicU64,
    /// By status, or [`GONE`].
    answers: Mutex<BTreeMap<u16, u64>>,
    users: Mutex<BTreeMap<&'static str, Served>>,
}

/// The newest that a user was served, by any server.
#[derive(Clone, Debug, Default)]
struct Served {
    epoch: String,
    revision: u64,
    /// The last snapshot and its revision.
    snapshot: Option<(u64, Value)>,
}

/// In the place of a status: there was no answer, so the server has stopped.
const GONE: u16 = 0;
const SECTIONS: [&str; 4] = ["summary", "themeBreakdown", "recentMocs", "partialPartsMocs"];

impl Shown {
    fn start(&mut self, view: Value, revision: u64) {
        self.view = view;
        self.revisions = SECTIONS.map(|section| (section, revision)).into();
    }

    /// Nothing has ever changed.
    pub(super) fn is_as_ever(&self) -> bool {
        self.revisions.values().all(|revision| *revision == 0)
    }

    /// Takes an event, unless its section is as new already.
    fn apply(&mut self, event: &Value) {
        let revision = event["revision"].as_u64().unwrap();
        let (section, is_added) = match event["type"].as_str().unwrap() {
            "dashboard:summaryUpdated" => ("summary", false),
            "dashboard:themeBreakdownUpdated" => ("themeBreakdown", false),
            "dashboard:recentMocsUpdated" => ("recentMocs", false),
            "dashboard:recentMocAdded" => ("recentMocs", true),
            "dashboard:partialPartsUpdated" => ("partialPartsMocs", false),
            other => panic!("{other}"),
        };
        let shown = self.revisions.get_mut(section).unwrap();
        // Several additions may have one revision.
        if revision < *shown || revision == *shown && !is_added {
            return;
        }
        *shown = revision;
        if is_added {
            let shown = self.view[section].as_array().unwrap();
            if shown.iter().any(|moc| moc["id"] == event["payload"]["id"]) {
                return;
            }
            let mocs = self.view[section].as_array_mut().unwrap();
            mocs.insert(0, event["payload"].clone());
            mocs.truncate(10);
        } else {
            self.view[section] = event["payload"].clone();
        }
    }
}

impl Ledger {
    /// What has been counted, a kind a line.
    pub(super) fn counts(&self) -> String {
        let mut text = format!(
            "{} events, {} times told of an error, on {} sockets\nsnapshots:",
            self.events.load(Ordering::Relaxed),
            self.errors.load(Ordering::Relaxed),
            self.connects.load(Ordering::Relaxed)
        );
        for (status, count) in &*self.answers.lock().unwrap() {
            write!(text, " {count} with {status}").unwrap();
        }
        text
    }

    fn newest(&self, user: &'static str) -> Served {
        self.users.lock().unwrap().entry(user).or_default().clone()
    }

    /// A snapshot that is no older than anything that the user was served before it was asked for.
    /// Else the status, or [`GONE`].
    async fn snapshot(&self, server: &TestServer, user: &'static str) -> Result<(Value, u64), u16> {
        let before = self.newest(user);
        let bearer = format!("Bearer {}", access(user));
        let answer = server.try_get("/api/dashboard", &[("authorization", &bearer)]).await;
        let status = answer.as_ref().map_or(GONE, |answer| answer.status().as_u16());
        *self.answers.lock().unwrap().entry(status).or_default() += 1;
        // With 503 it has no database just now.
        assert!([GONE, 200, 503].contains(&status), "{status}");
        let answer = answer.ok().filter(|_| status == 200).ok_or(status)?;
        let tag = answer.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
        let (epoch, revision) = tag.split_once('-').unwrap();
        let revision = revision.parse().unwrap();
        let view: Value = answer.json().await.map_err(|_| GONE)?;
        // Sessions come and go. The database and its changes are the same all the time.
        assert!(before.epoch.is_empty() || before.epoch == epoch, "{before:?}, then {epoch}");
        assert!(revision >= before.revision, "{user}: {before:?}, then {revision}");
        if let Some((_, known)) = before.snapshot.filter(|(of, _)| *of == revision) {
            assert_eq!(view, known, "{user}: two states are called {revision}");
        }
        let mut users = self.users.lock().unwrap();
        let newest = users.entry(user).or_default();
        epoch.clone_into(&mut newest.epoch);
        newest.revision = newest.revision.max(revision);
        newest.snapshot = Some((revision, view.clone()));
        Ok((view, revision))
    }

    fn saw(&self, user: &'static str, revision: u64) {
        let mut users = self.users.lock().unwrap();
        let newest = users.entry(user).or_default();
        newest.revision = newest.revision.max(revision);
    }
}

/// Keeps a view of one server's events: a snapshot after each entry, then what is newer. It is never fetched for
/// another reason, so each event counts.
pub(super) async fn follow(
    user: &'static str,
    mut place: watch::Receiver<Place>,
    view: watch::Sender<Shown>,
    ledger: Arc<Ledger>,
) {
    loop {
        let server = place.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        if let Some(client) = server.try_connect(user).await {
            ledger.connects.fetch_add(1, Ordering::Relaxed);
            watch_events(user, client, &server, &view, &ledger).await;
        }
    }
}

async fn watch_events(
    user: &'static str,
    mut client: Client,
    server: &TestServer,
    view: &watch::Sender<Shown>,
    ledger: &Ledger,
) {
    // What comes in that time waits.
    let (body, mut last) = loop {
        match ledger.snapshot(server, user).await {
            Ok(found) => break found,
            Err(GONE) => return,
            Err(_) => yield_now().await,
        }
    };
    view.send_modify(|shown| shown.start(body, last));
    last = 0;
    while let Some(event) = client.next().await.as_deref().and_then(envelope) {
        if event["type"] == "dashboard:error" {
            ledger.errors.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let revision = event["revision"].as_u64().unwrap();
        assert!(revision >= last, "{user}: an event of {revision} after one of {last}");
        last = revision;
        ledger.events.fetch_add(1, Ordering::Relaxed);
        ledger.saw(user, revision);
        view.send_modify(|shown| shown.apply(&event));
    }
}

/// Asks one server and then the other, with each transaction that is written.
pub(super) async fn ask(
    user: &'static str,
    places: [watch::Receiver<Place>; 2],
    mut written: watch::Receiver<u64>,
    ledger: Arc<Ledger>,
) {
    for place in places.iter().cycle() {
        if written.changed().await.is_err() {
            return;
        }
        let server = place.borrow().clone();
        if let Some(server) = server {
            ledger.snapshot(&server, user).await.ok();
        }
    }
}
