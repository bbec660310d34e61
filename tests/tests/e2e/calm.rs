//! How the page shows changes, in Chromium: what changes moves, and nothing else jumps.

use e2e_tests::browser::by_test_id;
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Browser, TestApp};
use serde_json::json;

use crate::page::Page;

const USER: &str = "collector@example.test";

/// Adds up by how much things jump, as Core Web Vitals count it, and names what jumped.
const WATCH: &str = r"(() => {
  const isWatched = window.jumps !== undefined
  window.jumps = { sum: 0, what: [] }
  if (isWatched) return true
  const named = ({ node, previousRect, currentRect }) => ({
    what: node?.outerHTML?.slice(0, 120) ?? node?.textContent,
    from: [previousRect.x, previousRect.y, previousRect.height],
    to: [currentRect.x, currentRect.y, currentRect.height],
  })
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) {
      window.jumps.sum += value
      window.jumps.what.push({ value, sources: sources.map(named) })
    }
  }).observe({ type: 'layout-shift' })
  return true
})()";
/// Whether everything has come to its place. Marks that fade take longer, and move nothing.
const STILL: &str = "document.getAnimations().every(({ playState, effect }) => \
    playState !== 'running' || effect.getComputedTiming().endTime > 1000)";
const TITLES: &str =
    "[...document.querySelectorAll('[data-testid=recent-moc] [title]')].map(title => title.title)";

async fn collection() -> TestApp {
    let app = TestApp::start_with_web_app().await;
    for number in 0..12 {
        let title = format!("MOC {number}");
        let moc = writer::add_moc(app.db(), USER, &NewMoc::new(&title, "Castle")).await;
        // A phone shows eight rows of parts at first; there is to be room for one more.
        if number >= 7 {
            continue;
        }
        let part = format!("part-{number}");
        writer::add_parts(app.db(), moc, &[(&part, 1, 100)]).await;
        writer::order_parts(app.db(), USER, (&part, 1, 5 * (number + 1))).await;
    }
    for theme in ["Space", "City", "Icons", "Pirates", "Trains", "Creator", "Technic"] {
        writer::add_set(app.db(), USER, "A set", theme).await;
    }
    app.projected().await;
    app
}

/// What Core Web Vitals call good is 0.1; a page that people watch all day has to do better.
#[tokio::test]
async fn changes_move_what_changes_and_nothing_jumps() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    for (width, height) in [(390, 844), (900, 1180), (1440, 1000)] {
        page.browser.resize(width, height).await.unwrap();
        // Themes come last on a phone. There Chromium counts the card above, whose upper edge moves out of
        // sight, as one that jumps.
        for card in ["partial-parts-table", "recent-mocs-card"] {
            let top = format!("({}.scrollIntoView(), true)", by_test_id(card));
            page.browser.evaluate(&top).await.unwrap();
            page.until(STILL).await;
            page.browser.evaluate(WATCH).await.unwrap();
            change_everything(&app, &page).await;
            let jumps = page.browser.evaluate("window.jumps").await.unwrap();
            assert!(jumps["sum"].as_f64().unwrap() < 0.05, "at {width}, from {card}: {jumps:#}");
        }
    }
    page.assert_no_errors().await;
}

async fn change_everything(app: &TestApp, page: &Page) {
    let title = "A very long title that takes as many lines on a shelf as a title may take there";
    let moc = writer::add_moc(app.db(), USER, &NewMoc::new(title, "Space")).await;
    settled(app, page).await;
    let part = moc.to_string();
    writer::add_parts(app.db(), moc, &[(&part, 11, 10)]).await;
    writer::order_parts(app.db(), USER, (&part, 11, 1)).await;
    settled(app, page).await;
    writer::set_build_status(app.db(), moc, "BUILT").await;
    settled(app, page).await;
    writer::order_parts(app.db(), USER, (&part, 11, 8)).await;
    settled(app, page).await;
    writer::delete_moc(app.db(), moc).await;
    settled(app, page).await;
}

/// Waits until the page shows what the database holds, and has come to rest.
async fn settled(app: &TestApp, page: &Page) {
    app.projected().await;
    let (view, _) = app.rest().snapshot(&app.bearer(USER)).await;
    page.until_it_shows(&view).await;
    page.until(STILL).await;
}

#[tokio::test]
async fn a_row_that_changes_place_is_seen_to_move_unless_motion_is_unwanted() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    let browser = &page.browser;
    let watch = r"(() => {
      window.moved = []
      const animate = Element.prototype.animate
      Element.prototype.animate = function (frames, options) {
        if (this.dataset.testid === 'recent-moc') window.moved.push(frames[0])
        return animate.call(this, frames, options)
      }
      return true
    })()";
    browser.evaluate(watch).await.unwrap();
    writer::add_moc(app.db(), USER, &NewMoc::new("First", "Castle")).await;
    page.until("window.moved.length === 9").await;
    let moved = browser.evaluate("window.moved[0].transform").await.unwrap();
    assert!(moved.as_str().unwrap().starts_with("translate(-"), "{moved}");

    let feature = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
    browser.cdp("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await.unwrap();
    browser.evaluate("(window.moved = [], true)").await.unwrap();
    writer::add_moc(app.db(), USER, &NewMoc::new("Second", "Castle")).await;
    page.until("window.moved.length === 9").await;
    assert_eq!(
        browser.evaluate("window.moved.some(({ transform }) => transform)").await.unwrap(),
        false
    );
    // In its place stands a mark, longer than any movement would be.
    let mark = "(() => {
      const mark = document.querySelector('[data-testid=recent-moc] [data-change]')
      const { animationName, animationDuration } = getComputedStyle(mark)
      return [animationName, animationDuration]
    })()";
    assert_eq!(browser.evaluate(mark).await.unwrap(), json!(["still-mark", "4s"]));
}

#[tokio::test]
async fn what_comes_above_pushes_no_row_away_that_is_being_read() {
    let app = collection().await;
    // More than a phone shows: what comes at the top pushes another off the end, and the list grows not.
    for number in 0..4 {
        let title = format!("Beyond {number}");
        let moc = writer::add_moc(app.db(), USER, &NewMoc::new(&title, "Castle")).await;
        writer::add_parts(app.db(), moc, &[(&title, 1, 100)]).await;
        writer::order_parts(app.db(), USER, (&title, 1, 90 + number)).await;
    }
    app.projected().await;
    let page = Page::open(&app, USER).await;
    page.browser.resize(390, 600).await.unwrap();
    let row = "document.querySelectorAll('[data-testid=partial-parts-row]')[4]";
    let read = format!("(window.read = {row}, window.read.scrollIntoView(), true)");
    page.browser.evaluate(&read).await.unwrap();
    page.until("Math.abs(window.read.getBoundingClientRect().top) < 2").await;
    // The farthest that it is from its place, measured in each frame.
    let watch = r"(() => {
      window.farthest = 0
      const look = () => {
        window.farthest = Math.max(window.farthest, Math.abs(window.read.getBoundingClientRect().top))
        requestAnimationFrame(look)
      }
      look()
      return true
    })()";
    page.browser.evaluate(watch).await.unwrap();
    let moc = writer::add_moc(app.db(), USER, &NewMoc::new("Above", "Castle")).await;
    writer::add_parts(app.db(), moc, &[("3001", 11, 100)]).await;
    writer::order_parts(app.db(), USER, ("3001", 11, 1)).await;
    let first = "document.querySelector('[data-testid=partial-parts-row]').innerText";
    page.until(&format!("{first}.includes('Above')")).await;
    page.until(STILL).await;
    let farthest = page.browser.evaluate("window.farthest").await.unwrap();
    assert!(farthest.as_f64().unwrap() < 2.0, "{farthest} px");
}

#[tokio::test]
async fn order_holds_while_a_pointer_is_in_the_list() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    page.until(STILL).await;
    let before = page.browser.evaluate(TITLES).await.unwrap();
    point_at(&page.browser, "[...document.querySelectorAll('[data-testid=recent-moc]')][1]").await;
    writer::add_moc(app.db(), USER, &NewMoc::new("While it is read", "Castle")).await;
    let pill = by_test_id("waiting-changes");
    page.until(&format!("{pill}?.innerText.includes('2 changes')")).await;
    assert_eq!(page.browser.evaluate(TITLES).await.unwrap(), before);
    let total = page.browser.text("total-mocs-count").await.unwrap();
    assert_eq!(total, "13", "figures do not wait");

    point_at(&page.browser, &pill).await;
    press(&page.browser, &pill).await;
    page.until(&format!("{TITLES}[0] === 'While it is read' && {pill} === null")).await;

    // Held anew as it stands; let go by leaving.
    writer::add_moc(app.db(), USER, &NewMoc::new("While it is read on", "Castle")).await;
    page.until(&format!("{pill} !== null")).await;
    point_at(&page.browser, "document.querySelector('h1')").await;
    page.until(&format!("{TITLES}[0] === 'While it is read on' && {pill} === null")).await;
}

#[tokio::test]
async fn a_click_or_a_tap_leaves_no_list_held_behind() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    page.until(STILL).await;
    // The table's: where the page scrolls under a pointer, that may be in another list.
    let pill = format!(
        "{}.querySelector('[data-testid=waiting-changes]')",
        by_test_id("partial-parts-table")
    );
    let badge = "document.querySelector('[data-testid=partial-parts-row] [data-build-status]')";
    let rows = "document.querySelectorAll('[data-testid=partial-parts-row]').length";
    point_at(&page.browser, badge).await;
    press(&page.browser, badge).await;
    point_at(&page.browser, "document.querySelector('h1')").await;
    add_partial(&app, "After a click").await;
    page.until(&format!("{rows} === 8 && {pill} === null")).await;

    // A finger holds the list while it is down. The button, tapped, lets go of it.
    let on = json!({ "enabled": true, "maxTouchPoints": 1 });
    page.browser.cdp("Emulation.setTouchEmulationEnabled", on).await.unwrap();
    touch(&page.browser, "touchStart", Some(badge)).await;
    add_partial(&app, "Under a finger").await;
    page.until(&format!("{pill} !== null && {rows} === 8")).await;
    touch(&page.browser, "touchEnd", None).await;
    page.until(&format!("{rows} === 9 && {pill} === null")).await;

    point_at(&page.browser, badge).await;
    add_partial(&app, "Under a pointer").await;
    page.until(&format!("{pill} !== null && {rows} === 9")).await;
    touch(&page.browser, "touchStart", Some(&pill)).await;
    touch(&page.browser, "touchEnd", None).await;
    point_at(&page.browser, "document.querySelector('h1')").await;
    page.until(&format!("{rows} === 10")).await;
    add_partial(&app, "After a tap").await;
    page.until(&format!("{rows} === 11 && {pill} === null")).await;
}

async fn add_partial(app: &TestApp, title: &str) {
    let moc = writer::add_moc(app.db(), USER, &NewMoc::new(title, "Castle")).await;
    writer::add_parts(app.db(), moc, &[(title, 1, 100)]).await;
    writer::order_parts(app.db(), USER, (title, 1, 1)).await;
}

async fn touch(browser: &Browser, kind: &str, element: Option<&str>) {
    let points = match element {
        Some(element) => {
            let (x, y) = middle(browser, element).await;
            json!([{ "x": x, "y": y }])
        }
        None => json!([]),
    };
    let event = json!({ "type": kind, "touchPoints": points });
    browser.cdp("Input.dispatchTouchEvent", event).await.unwrap();
}

async fn point_at(browser: &Browser, element: &str) {
    mouse(browser, "mouseMoved", element).await;
}

async fn press(browser: &Browser, element: &str) {
    mouse(browser, "mousePressed", element).await;
    mouse(browser, "mouseReleased", element).await;
}

async fn mouse(browser: &Browser, kind: &str, element: &str) {
    let (x, y) = middle(browser, element).await;
    let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
    browser.cdp("Input.dispatchMouseEvent", event).await.unwrap();
}

/// The middle of an element, brought into the window.
async fn middle(browser: &Browser, element: &str) -> (f64, f64) {
    let middle = format!(
        "(() => {{
           const element = {element}
           element.scrollIntoView({{ block: 'nearest' }})
           const {{ left, top, width, height }} = element.getBoundingClientRect()
           return [left + width / 2, top + height / 2]
         }})()"
    );
    let middle = browser.evaluate(&middle).await.unwrap();
    serde_json::from_value(middle).unwrap()
}
