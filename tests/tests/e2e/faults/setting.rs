//! A native client, the real server, and the network between them.

use std::time::Duration;

use client_sdk::state::Status;
use e2e_tests::proxy::Lane;
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Proxy, Screen, TestApp};
use serde_json::{Value, json};
use shared_types::DashboardView;

use crate::virtual_time::VirtualTime;

pub(crate) const USER: &str = "collector@example.test";

/// Where the client's time passes faster than the server's, its pings would come too late.
const PATIENT: [&str; 2] = ["--ping-timeout-ms", "600000"];

/// Flags of a server; unless they say otherwise, its silence is no fault for a long time.
pub(crate) fn patient<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let own = flags.contains(&PATIENT[0]);
    flags.iter().copied().chain(PATIENT.into_iter().filter(|_| !own)).collect()
}

/// How much virtual time passes at once.
const STEP: Duration = Duration::from_millis(250);
/// Turns of the runtime between two steps. In each of them it looks after its sockets.
const TURNS: usize = 50;

pub(super) struct Setting {
    pub(super) app: TestApp,
    pub(super) proxy: Proxy,
    pub(super) screen: Screen,
}

impl Setting {
    /// A client that is about to connect, to a collection of one MOC.
    pub(super) async fn new() -> Self {
        Self::with_flags(&[]).await
    }

    /// The same, with flags of the server.
    pub(super) async fn with_flags(flags: &[&str]) -> Self {
        let app = TestApp::start_with(&patient(flags)).await;
        writer::add_moc(app.db(), USER, &NewMoc::new("Lighthouse", "City")).await;
        app.projected().await;
        let proxy = Proxy::before(&app.url()).await;
        let screen = open(&app, &proxy);
        Self { app, proxy, screen }
    }

    /// A client that is live.
    pub(super) async fn live() -> Self {
        let setting = Self::new().await;
        setting.converge().await;
        setting
    }

    /// Adds a MOC.
    pub(super) async fn add(&self, title: &str) {
        writer::add_moc(self.app.db(), USER, &NewMoc::new(title, "Castle")).await;
    }

    /// Waits until the screen is live and shows the server's snapshot.
    pub(super) async fn converge(&self) -> DashboardView {
        self.app.projected().await;
        self.screen.until_it_shows(&self.app.rest(), &self.app.bearer(USER)).await
    }

    /// There never were two sockets, nor two requests on their way.
    pub(super) fn assert_one_of_each(&self) {
        let traffic = self.proxy.traffic();
        assert_eq!((traffic.sockets.most, traffic.in_flight.most), (1, 1), "{traffic:#?}");
    }

    /// Resets what is open.
    pub(super) fn cut(&self) {
        self.proxy.cut(Lane::Socket);
        self.proxy.cut(Lane::Rest);
    }

    /// Lets time pass in steps until that came. Between two steps, what is on its way arrives.
    pub(super) async fn pass_until(
        &self,
        time: &VirtualTime,
        what: &str,
        came: impl Fn(&Self) -> bool,
    ) {
        for _ in 0..1_000 {
            if came(self) {
                return;
            }
            time.pass(STEP).await;
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            self.proxy.until("no request", |traffic| traffic.in_flight.now == 0).await;
        }
        panic!("never {what}: {:#?}, {:#?}", self.screen.client.state(), self.screen.timeline());
    }

    pub(super) async fn until_status(&self, status: Status) {
        self.screen.until_status(status).await;
    }
}

pub(super) fn open(app: &TestApp, proxy: &Proxy) -> Screen {
    let tokens = app.tokens.clone();
    Screen::open_with(&proxy.url(), move || tokens.access(USER))
}

/// A message of type `dashboard:error`, as the server sends it.
pub(crate) fn told(code: &str, more: Value) -> String {
    let mut payload = json!({ "code": code, "message": "for the test" });
    if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
        payload.extend(more);
    }
    let envelope = json!({
        "eventId": "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60", "type": "dashboard:error",
        "timestamp": "2026-11-23T09:30:00.123Z", "revision": 0, "payload": payload,
    });
    format!("42/dashboard,{}", json!(["dashboard:error", envelope]))
}
