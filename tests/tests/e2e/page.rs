//! The dashboard in Chromium: opened with the host's cookie, and read from its DOM.

use std::time::Duration;

use e2e_tests::browser::by_test_id;
use e2e_tests::{Browser, DEADLINE, TestApp};
use serde_json::Value;
use shared_types::DashboardView;

/// How long the page may take; the first load compiles the module.
pub(crate) const PATIENCE: Duration = DEADLINE;

/// What the cards show, in the shape of [`EXPECTED`]. Themes with as many MOCs come by name here;
/// the page may put them in another order.
const SHOWN: &str = r"(() => {
  const card = (id) => document.querySelector(`[data-testid='${id}']`)
  const number = (element) => Number(element.value)
  const figures = (root) => [...root.querySelectorAll('data')].map(number)
  const id = (link) => decodeURIComponent(new URL(link.href).pathname.split('/').pop())
  const row = (element) => ({
    id: id(element.querySelector('a')),
    title: element.querySelector('[title]').title,
    text: element.innerText,
    status: element.querySelector('[data-build-status]').dataset.buildStatus,
    time: element.querySelector('time').dateTime,
  })
  return {
    totals: ['total-mocs-count', 'wishlist-items-count'].map((id) => number(card(id))),
    counts: figures(card('collection-summary-card')).slice(2),
    themes: [...card('theme-breakdown-card').querySelectorAll('li')].map((item) => ({
      theme: item.querySelector('[title]').title, counts: figures(item),
    })).sort((a, b) => b.counts[0] - a.counts[0] || (a.theme < b.theme ? -1 : 1)),
    recent: [...document.querySelectorAll('[data-testid=recent-moc]')].map((element) => ({
      ...row(element), cover: element.querySelector('img')?.src ?? null,
    })),
    partial: [...document.querySelectorAll('[data-testid=partial-parts-row]')].map((element) => ({
      ...row(element),
      percent: Number(element.querySelector('[role=progressbar]').ariaValueNow),
    })),
  }
})()";

/// The same, made from a snapshot.
const EXPECTED: &str = r"((view) => {
  const { totalMocs, totalWishlistItems, mocsByBuildStatus, mocsByCoverageStatus } = view.summary
  const { ADDED, IN_PROGRESS, BUILT } = mocsByBuildStatus
  const { FULL_INVENTORY, PARTIAL_ORDERED, NONE } = mocsByCoverageStatus
  const row = ({ id, title, buildStatus, createdAt, lastUpdatedAt }) => ({
    id, title, status: buildStatus, time: new Date(createdAt ?? lastUpdatedAt).toISOString(),
  })
  return {
    totals: [totalMocs, totalWishlistItems],
    counts: [ADDED, IN_PROGRESS, BUILT, FULL_INVENTORY, PARTIAL_ORDERED, NONE],
    themes: view.themeBreakdown.map(({ theme, mocCount, setCount }) => ({
      theme, counts: [mocCount, setCount],
    })),
    recent: view.recentMocs.map((moc) => ({ ...row(moc), cover: moc.coverImageUrl })),
    partial: view.partialPartsMocs.map((moc) => ({ ...row(moc), percent: moc.coveragePercentage })),
  }
})";

/// A page that shows one user's dashboard.
pub(crate) struct Page {
    pub(crate) browser: Browser,
}

impl Page {
    /// Opens the dashboard as the host application leads to it: with its cookie.
    pub(crate) async fn open(app: &TestApp, user: &str) -> Self {
        let page = Self::open_with_session(app, &app.tokens.id(user)).await;
        page.until_live().await;
        page
    }

    /// Opens it with that session cookie, without a wait for its state.
    pub(crate) async fn open_with_session(app: &TestApp, session: &str) -> Self {
        Self::open_at(&app.url(), session, "").await
    }

    /// Opens it at that address, such as a proxy's, with a script that runs before its own.
    pub(crate) async fn open_at(url: &str, session: &str, script: &str) -> Self {
        let browser = Browser::open(1280, 900).await.unwrap();
        browser.set_cookie(url, "auth_token", session).await.unwrap();
        browser.before_load(script).await.unwrap();
        browser.goto(url).await.unwrap();
        Self { browser }
    }

    /// Waits until an expression is truthy in the page, and returns its value.
    pub(crate) async fn until(&self, condition: &str) -> Value {
        self.browser.wait_until(condition, PATIENCE).await.unwrap().value
    }

    /// Waits for the green dot.
    pub(crate) async fn until_live(&self) {
        let dot = by_test_id("connection-status");
        self.until(&format!("{dot}?.dataset.connected === 'true'")).await;
    }

    /// Waits until the cards show exactly that view.
    pub(crate) async fn until_it_shows(&self, view: &DashboardView) {
        let view = serde_json::to_string(view).unwrap();
        // Texts beside the title are asserted elsewhere.
        let comparable = "(key, value) => key === 'text' ? undefined : value";
        let condition =
            format!("JSON.stringify({SHOWN}, {comparable}) === JSON.stringify({EXPECTED}({view}))");
        if let Err(error) = self.browser.wait_until(&condition, PATIENCE).await {
            let shown = self.browser.evaluate(SHOWN).await;
            panic!("the page does not show {view}\nbut {shown:#?}\n{error:#}");
        }
    }

    /// What the cards show.
    pub(crate) async fn shown(&self) -> Value {
        self.browser.evaluate(SHOWN).await.unwrap()
    }

    /// The page's whole text.
    pub(crate) async fn text(&self) -> String {
        let text = self.browser.evaluate("document.body.innerText").await.unwrap();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Fails if the browser noted an error of the page.
    pub(crate) async fn assert_no_errors(&self) {
        let errors = self.browser.console_errors().await.unwrap();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
