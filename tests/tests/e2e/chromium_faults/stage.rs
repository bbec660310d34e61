//! The app in Chromium, the real server, and the network between them.

use std::time::Duration;

use e2e_tests::proxy::{Lane, Traffic};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Proxy, TestApp};
use serde_json::Value;

use crate::faults::setting::{USER, patient};
use crate::page::Page;

const INSTRUMENTS: &str = include_str!("../../../pages/instruments.js");
/// The way back to live after a loss, with any reason until then.
pub(super) const AGAIN: [&str; 3] = ["connecting", "syncing", "live"];

pub(super) struct Stage {
    pub(super) app: TestApp,
    pub(super) proxy: Proxy,
    pub(super) page: Page,
}

impl Stage {
    /// The dashboard of a collection of one MOC, without a wait for its state.
    pub(super) async fn set(flags: &[&str]) -> Self {
        Self::set_with(flags, |_| ()).await
    }

    /// The same, on a network that was spoilt before.
    pub(super) async fn set_with(flags: &[&str], spoil: impl FnOnce(&Proxy)) -> Self {
        let app = TestApp::start_with_web_app_and(&patient(flags)).await;
        writer::add_moc(app.db(), USER, &NewMoc::new("Lighthouse", "City")).await;
        app.projected().await;
        let proxy = Proxy::before(&app.url()).await;
        spoil(&proxy);
        let page = Page::open_at(&proxy.url(), &app.tokens.id(USER), INSTRUMENTS).await;
        Self { app, proxy, page }
    }

    /// The dashboard, live.
    pub(super) async fn live() -> Self {
        let stage = Self::set(&[]).await;
        stage.converge().await;
        stage.begin().await;
        stage
    }

    /// Adds a MOC. From then on snapshots have it: the page's time, where it is the test's, may pass faster
    /// than the server's.
    pub(super) async fn add(&self, title: &str) {
        self.add_to_the_table(title).await;
        self.app.projected().await;
    }

    /// Adds a MOC that a server may read, now or once there is one.
    pub(super) async fn add_to_the_table(&self, title: &str) {
        writer::add_moc(self.app.db(), USER, &NewMoc::new(title, "Castle")).await;
    }

    /// Waits until the dot is green, and the cards show the server's snapshot.
    pub(super) async fn converge(&self) {
        self.page.until_live().await;
        self.app.projected().await;
        let (view, _) = self.app.rest().snapshot(&self.app.bearer(USER)).await;
        self.page.until_it_shows(&view).await;
        self.page.until_live().await;
    }

    /// Forgets the story so far, but for where it stands.
    pub(super) async fn begin(&self) {
        self.evaluate(
            "(story.states.splice(0, story.states.length - 1),
              story.screens.splice(0, story.screens.length - 1), true)",
        )
        .await;
    }

    /// Loads the page again, up to live, and begins the story there: the failures of its former life are
    /// no part of how patient the client is in this one.
    pub(super) async fn begin_anew(&self) {
        self.page.browser.reload().await.unwrap();
        self.converge().await;
        self.begin().await;
    }

    /// What the client said since then, as `status source CODE`. Repeated steps are there once, as
    /// the number of failed retries is not fixed.
    pub(super) async fn told(&self) -> Vec<String> {
        collapse(strings(&self.evaluate("story.states.map(({ line }) => line)").await))
    }

    /// What was on the screen since then.
    pub(super) async fn seen(&self) -> Vec<String> {
        collapse(strings(&self.evaluate("story.screens").await))
    }

    /// Waits until the client says that; `line` is `status source CODE`.
    pub(super) async fn until_told(&self, line: &str) {
        self.page.until(&format!("story.states.some((state) => state.line === '{line}')")).await;
    }

    /// Waits until the client stands there.
    pub(super) async fn until_now(&self, line: &str) {
        self.page.until(&format!("story.states.at(-1).line === '{line}'")).await;
    }

    /// The story of a loss with that reason, while the view stayed, up to live again.
    pub(super) async fn assert_told_a_loss(&self, code: &str) {
        self.assert_told_losses(&[code]).await;
    }

    /// The story of a loss and of failures to connect, while the view stayed, up to live again.
    pub(super) async fn assert_told_losses(&self, codes: &[&str]) {
        let mut expected = vec!["live live -".to_owned()];
        for code in codes {
            expected.extend(["backoff", AGAIN[0]].map(|status| format!("{status} stale {code}")));
        }
        let last = codes.last().unwrap();
        expected.extend([format!("{} stale {last}", AGAIN[1]), "live live -".to_owned()]);
        assert_eq!(self.told().await, expected);
        let seen = ["connected cards", "disconnected cards", "connected cards"];
        assert_eq!(self.seen().await, seen);
    }

    /// There never were two sockets, nor two requests on their way, by the page's own count.
    pub(super) async fn assert_one_of_each(&self) {
        let most = self.evaluate("[traffic.mostSockets, traffic.mostRequests]").await;
        assert_eq!(most, serde_json::json!([1, 1]));
    }

    /// Stops the page's clock: its timers wait, and what comes from the network arrives.
    pub(super) async fn freeze(&self) {
        self.evaluate("(clock.freeze(), true)").await;
    }

    /// Lets the page's clock go on.
    pub(super) async fn thaw(&self) {
        self.evaluate("(clock.thaw(), true)").await;
    }

    /// Lets the page's frozen time pass until something is true in the page; tells how much passed,
    /// in milliseconds.
    pub(super) async fn pass_until(&self, condition: &str, longest: Duration) -> f64 {
        let script = format!(
            "const begun = clock.now()
             clock.pass({}, () => {condition}).then((came) => done([came, clock.now() - begun]))",
            longest.as_millis()
        );
        let outcome = self.page.browser.run(&script).await.unwrap();
        let told = self.told().await;
        assert_eq!(outcome[0], true, "{condition} within {longest:?}, after {told:#?}");
        outcome[1].as_f64().unwrap()
    }

    /// Lets that much of the page's frozen time pass.
    pub(super) async fn pass(&self, span: Duration) {
        let script = format!("clock.pass({}).then(done)", span.as_millis());
        self.page.browser.run(&script).await.unwrap();
    }

    pub(super) async fn evaluate(&self, expression: &str) -> Value {
        self.page.browser.evaluate(expression).await.unwrap()
    }

    /// Calls a method of the app's client.
    pub(super) async fn call(&self, method: &str) {
        self.evaluate(&format!("(client.{method}(), true)")).await;
    }

    /// Changes that the client does not hear of; their events, in the server's order.
    pub(super) async fn kept_events(&self) -> Vec<String> {
        let before = self.proxy.traffic().kept.len();
        self.proxy.keep_events(true);
        for number in 1..=3 {
            self.add(&format!("Change {number}")).await;
            let events = before + 3 * number;
            let enough = move |traffic: &Traffic| traffic.kept.len() >= events;
            self.proxy.until("the change's events", enough).await;
        }
        self.proxy.keep_events(false);
        self.proxy.traffic().kept.split_off(before)
    }

    /// Resets what is open.
    pub(super) fn cut(&self) {
        self.proxy.cut(Lane::Socket);
        self.proxy.cut(Lane::Rest);
    }
}

fn strings(value: &Value) -> Vec<String> {
    let lines = value.as_array().into_iter().flatten();
    lines.map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
}

fn collapse(lines: Vec<String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for line in lines {
        told.push(line);
        for span in 1..=4 {
            let end = told.len();
            if end >= 2 * span && told[end - span..] == told[end - 2 * span..end - span] {
                told.truncate(end - span);
            }
        }
    }
    told
}
