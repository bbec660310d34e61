//! The real app in Chromium, served by the real server: what a collector sees.

use e2e_tests::browser::{Scheme, by_test_id};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Credential, DEADLINE, Oracle, TestApp, Tokens};
use serde_json::json;
use shared_types::ErrorCode;

use crate::page::Page;

const USER: &str = "collector@example.test";
const CARDS: [&str; 5] = [
    "collection-summary-card",
    "theme-breakdown-card",
    "recent-mocs-card",
    "quick-actions-card",
    "partial-parts-table",
];

#[tokio::test]
async fn d_fr_4_d_fr_7_d_fr_10_d_fr_16_every_card_is_filled_and_the_dot_is_live() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    let (view, _) = app.rest().snapshot(&app.bearer(USER)).await;
    page.until_it_shows(&view).await;
    for card in CARDS {
        page.until(&format!("{}.getBoundingClientRect().height > 80", by_test_id(card))).await;
    }
    let status = page.browser.text("connection-status").await.unwrap();
    assert_eq!(status.trim(), "Real-time updates active");
    let actions = page.browser.text("quick-actions-card").await.unwrap();
    for action in ["Add New MOC", "Browse Gallery", "View Wishlist"] {
        assert!(actions.contains(action), "{actions}");
    }
    let shown = page.shown().await;
    assert_eq!(shown["recent"].as_array().unwrap().len(), 4);
    assert!(shown["recent"][0]["text"].as_str().unwrap().contains("just now"), "{shown:#}");
    assert_eq!(shown["partial"][0]["percent"], 40);
    assert!(shown["partial"][0]["text"].as_str().unwrap().contains("View parts"), "{shown:#}");
    page.assert_no_errors().await;
}

#[tokio::test]
async fn d_fr_5_d_fr_11_d_fr_17_changes_appear_without_a_reload() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    page.browser.evaluate("window.sameDocument = true").await.unwrap();

    // A MOC inserted by SQL is the first in Recent, and counted.
    let castle = NewMoc::new("Lion Knights' \"Keep\" <b>", "Castle");
    let moc = writer::add_moc(app.db(), USER, &castle).await;
    check(&app, &page).await;
    let shown = page.shown().await;
    assert_eq!(shown["recent"][0]["title"], castle.title);
    assert_eq!(shown["totals"][0], 5);

    writer::rename_moc(app.db(), moc, "Renamed Keep").await;
    check(&app, &page).await;
    assert_eq!(page.shown().await["recent"][0]["title"], "Renamed Keep");

    writer::set_build_status(app.db(), moc, "BUILT").await;
    check(&app, &page).await;
    assert_eq!(page.shown().await["recent"][0]["status"], "BUILT");

    // Enters the table, moves in it, and leaves it.
    writer::add_parts(app.db(), moc, &[("3001", 11, 10)]).await;
    writer::order_parts(app.db(), USER, ("3001", 11, 1)).await;
    check(&app, &page).await;
    let shown = page.shown().await;
    assert_eq!(
        (&shown["partial"][0]["percent"], &shown["partial"][0]["title"]),
        (&json!(10), &json!("Renamed Keep"))
    );
    writer::order_parts(app.db(), USER, ("3001", 11, 8)).await;
    check(&app, &page).await;
    assert_eq!(page.shown().await["partial"][1]["percent"], 90, "least covered first");
    writer::own_parts(app.db(), USER, ("3001", 11, 1)).await;
    check(&app, &page).await;
    assert_eq!(page.shown().await["partial"].as_array().unwrap().len(), 1);

    writer::add_set(app.db(), USER, "Galaxy Explorer", "Classic Space").await;
    let wish = writer::add_wish(app.db(), USER, "Titanic").await;
    check(&app, &page).await;
    assert_eq!(page.shown().await["totals"][1], 2);
    writer::remove_wish(app.db(), wish).await;
    check(&app, &page).await;

    writer::delete_moc(app.db(), moc).await;
    check(&app, &page).await;
    assert!(!page.text().await.contains("Renamed Keep"));

    writer::add_mocs(app.db(), USER, "Space", 1_000).await;
    check(&app, &page).await;
    assert!(page.browser.text("total-mocs-count").await.unwrap().contains("1,004"));
    let same = page.browser.evaluate("window.sameDocument").await.unwrap();
    assert_eq!(same, true, "the page was never loaded again");
    page.assert_no_errors().await;
}

#[tokio::test]
async fn d_fr_1_a_user_without_data_sees_the_empty_states() {
    let app = TestApp::start_with_web_app().await;
    let page = Page::open(&app, USER).await;
    let text = page.text().await;
    for part in [
        "No MOCs yet",
        "Start building your collection!",
        "No partial orders - all parts accounted for!",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    writer::add_moc(app.db(), USER, &NewMoc::new("The first", "Castle")).await;
    check(&app, &page).await;
    page.assert_no_errors().await;
}

#[tokio::test]
async fn d_ws_7_two_people_at_two_browsers_see_their_own() {
    let app = TestApp::start_with_web_app().await;
    let (amber, birch) = (Page::open(&app, "amber").await, Page::open(&app, "birch").await);
    for (user, title) in [("amber", "Amber's castle"), ("birch", "Birch's rover")] {
        writer::add_moc(app.db(), user, &NewMoc::new(title, "Castle")).await;
    }
    amber.until("document.body.innerText.includes(\"Amber's castle\")").await;
    birch.until("document.body.innerText.includes(\"Birch's rover\")").await;
    assert!(!amber.text().await.contains("Birch"));
    assert!(!birch.text().await.contains("Amber"));
}

#[tokio::test]
async fn d_res_2_an_expired_session_asks_to_log_in_and_a_new_one_works() {
    let app = collection().await;
    let mut claims = Tokens::id_claims(USER);
    claims["exp"] = json!(1_000_000_000);
    let page = Page::open_with_session(&app, &app.tokens.sign(&claims)).await;
    // The cookie is not the page's to read: that there was a session once, it cannot know.
    page.until("document.body.innerText.includes('Sign in to see your dashboard')").await;
    let text = page.text().await;
    assert!(!text.contains("Session expired"), "{text}");
    let login = "[...document.querySelectorAll('a')].find((a) => a.innerText.includes('Log in'))?.getAttribute('href')";
    assert_eq!(page.until(login).await, "/login");
    assert!(!text.contains("Lighthouse"), "{text}");
    // The host's login sets a new cookie and leads back.
    page.browser.set_cookie(&app.url(), "auth_token", &app.tokens.id(USER)).await.unwrap();
    page.browser.reload().await.unwrap();
    page.until_live().await;
    check(&app, &page).await;
}

#[tokio::test]
async fn d_res_3_after_a_restart_of_the_server_the_page_is_right_again() {
    let mut app = collection().await;
    let page = Page::open(&app, USER).await;
    app.stop();
    let dot = by_test_id("connection-status");
    page.until(&format!("{dot}.dataset.connected === 'false'")).await;
    let status = page.browser.text("connection-status").await.unwrap();
    assert_eq!(status.trim(), "Reconnecting to real-time updates...");
    assert!(page.text().await.contains("Lighthouse"), "the view stays on the screen");
    writer::add_moc(app.db(), USER, &NewMoc::new("While it was down", "City")).await;
    app.start_again().await;
    page.until_live().await;
    check(&app, &page).await;
    assert_eq!(page.shown().await["recent"][0]["title"], "While it was down");
}

#[tokio::test]
async fn d_res_4_the_banner_comes_with_degraded_mode_and_goes_with_recovery() {
    let mut app = collection().await;
    let page = Page::open(&app, USER).await;
    app.stop();
    // Five failures: 15 s of waiting at most, half of that as a rule.
    let banner = by_test_id("degraded-mode-banner");
    let patience = DEADLINE * 2;
    page.browser.wait_until(&format!("{banner} !== null"), patience).await.unwrap();
    let text = page.browser.text("degraded-mode-banner").await.unwrap();
    for part in [
        "Limited connectivity",
        "Real-time updates unavailable. Data refreshes every 30 seconds.",
        "Last updated:",
        "Refresh now",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The page shows it only for a while, so the watch starts before the server can be reached.
    let watch = "(new MutationObserver(() => {
       window.restored ||= document.body.innerText.includes('Connection restored')
     }).observe(document.body, { subtree: true, childList: true, characterData: true }), true)";
    page.browser.evaluate(watch).await.unwrap();
    app.start_again().await;
    page.browser.wait_until(&format!("{banner} === null"), patience).await.unwrap();
    page.until_live().await;
    page.until("window.restored").await;
    check(&app, &page).await;
}

#[tokio::test]
async fn the_page_has_no_accessibility_violations() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    let axe = Oracle::package_file("axe-core/axe.min.js");
    for scheme in [Scheme::Light, Scheme::Dark] {
        page.browser.colours(scheme).await.unwrap();
        for width in [390, 900, 1440] {
            page.browser.resize(width, 900).await.unwrap();
            let run = format!(
                "{axe}\naxe.run(document, {{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }})
                   .then(({{ violations }}) => done(violations.map(({{ id, nodes }}) =>
                     [id, ...nodes.map((node) => node.html + ': ' + node.failureSummary)])),
                     (error) => done(String(error)))"
            );
            let violations = page.browser.run(&run).await.unwrap();
            assert_eq!(violations, json!([]), "{scheme:?} at {width}");
        }
    }
}

#[tokio::test]
async fn every_action_is_reached_and_taken_by_keyboard_alone() {
    let app = collection().await;
    for number in 0..12 {
        writer::add_set(app.db(), USER, "A set", &format!("Theme {number}")).await;
    }
    app.projected().await;
    let page = Page::open(&app, USER).await;
    page.browser.resize(390, 844).await.unwrap();
    page.until("document.querySelectorAll('select').length === 3").await;
    // In the order of the document, which on a phone is the order on the screen.
    let actions = page
        .browser
        .evaluate(&format!("[...document.querySelectorAll('a, button, select')].map({NAME})"))
        .await
        .unwrap();
    let mut reached = Vec::new();
    for _ in actions.as_array().unwrap() {
        press(&page, "Tab").await;
        let focused = format!(
            "(({NAME})(document.activeElement) + (document.activeElement.matches(':focus-visible')
               && getComputedStyle(document.activeElement).outlineStyle !== 'none' ? '' : ' unseen'))"
        );
        reached.push(page.browser.evaluate(&focused).await.unwrap());
    }
    assert_eq!(json!(reached), actions);

    // A choice, and more of a list, by keys.
    page.browser.evaluate("(document.querySelector('select').focus(), true)").await.unwrap();
    press(&page, "ArrowDown").await;
    page.until("document.querySelector('select').value === 'nearly'").await;
    let more =
        "[...document.querySelectorAll('button')].find(one => one.innerText === 'Show more')";
    page.browser.evaluate(&format!("({more}.focus(), true)")).await.unwrap();
    press(&page, "Enter").await;
    let themes =
        format!("{}.querySelectorAll('li').length > 10", by_test_id("theme-breakdown-card"));
    page.until(&themes).await;
    page.assert_no_errors().await;
}

/// What an element is called, for people.
const NAME: &str =
    "(one => one.labels?.[0]?.innerText ?? one.getAttribute('aria-label') ?? one.innerText)";

async fn press(page: &Page, key: &str) {
    let text = if key == "Enter" { "\r" } else { "" };
    let code = match key {
        "Tab" => 9,
        "Enter" => 13,
        _ => 40,
    };
    for kind in ["keyDown", "keyUp"] {
        let event = json!({
            "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code,
        });
        page.browser.cdp("Input.dispatchKeyEvent", event).await.unwrap();
    }
}

#[tokio::test]
async fn a_screen_reader_hears_of_a_burst_in_one_sentence() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    let watch = format!(
        "(window.heard = [], new MutationObserver(() => {{
           const said = {0}.innerText.trim()
           if (said !== '') window.heard.push(said)
         }}).observe({0}, {{ subtree: true, childList: true, characterData: true }}), true)",
        by_test_id("changes-announced")
    );
    page.browser.evaluate(&watch).await.unwrap();
    let mut burst = app.db().begin().await.unwrap();
    for number in 0..20 {
        let title = format!("MOC {number}");
        writer::add_moc(&mut *burst, USER, &NewMoc::new(&title, "Castle")).await;
    }
    burst.commit().await.unwrap();
    page.until("window.heard.length > 0").await;
    check(&app, &page).await;
    let heard = page.browser.evaluate("window.heard").await.unwrap();
    assert_eq!(heard, json!(["20 changes: 20 MOCs added."]));

    // As assistive technology has it: the sentence is in a polite live region, the old values nowhere.
    page.browser.cdp("Accessibility.enable", json!({})).await.unwrap();
    let tree = page.browser.cdp("Accessibility.getFullAXTree", json!({})).await.unwrap();
    let spoken: Vec<String> = tree["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["ignored"] == false)
        .map(|node| format!("{} {}", node["role"]["value"], node["name"]["value"]))
        .collect();
    println!("{}", spoken.join("\n"));
    let texts = |text: &str| spoken.iter().filter(|line| line.contains(text)).count();
    assert!(texts("20 changes: 20 MOCs added.") > 0, "{spoken:#?}");
    assert_eq!(texts("StaticText \"4\""), 0, "the old count: {spoken:#?}");
}

#[tokio::test]
async fn the_layout_has_one_two_and_three_columns_and_never_scrolls_sideways() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    for (width, columns) in [(390, 1), (767, 1), (768, 2), (1023, 2), (1024, 3), (1440, 3)] {
        page.browser.resize(width, 900).await.unwrap();
        let tracks = format!(
            "getComputedStyle({}.parentElement).gridTemplateColumns.split(' ').length === {columns}",
            by_test_id("collection-summary-card")
        );
        page.until(&tracks).await;
        let sideways = "document.documentElement.scrollWidth > innerWidth";
        assert_eq!(page.browser.evaluate(sideways).await.unwrap(), false, "at {width}");
    }
}

#[tokio::test]
async fn what_the_page_is_made_of_comes_compressed_and_once() {
    let app = collection().await;
    let page = Page::open(&app, USER).await;
    let loaded = "performance.getEntriesByType('resource')
        .filter(({ name }) => /\\.(js|css|wasm)$/.test(name))
        .map(({ name, encodedBodySize, decodedBodySize }) =>
            [name.split('.').pop(), encodedBodySize < decodedBodySize])
        .sort()";
    let loaded = page.browser.evaluate(loaded).await.unwrap();
    // The module once, although it is asked for early by the page and then by the script.
    assert_eq!(loaded, json!([["css", true], ["js", true], ["wasm", true]]));
    let console = page.browser.console().await.unwrap();
    assert!(!console.iter().any(|line| format!("{line:?}").contains("preload")), "{console:?}");
}

#[tokio::test]
async fn the_page_is_served_with_a_policy_that_it_keeps() {
    let app = collection().await;
    let answer = app.rest().get("/", &Credential::Nobody, &[]).await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").to_owned();
    for part in ["default-src", "script-src 'self' 'wasm-unsafe-eval'", "connect-src 'self'"] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    // A deep link that a browser follows leads to the page; a program gets 404.
    let accept = [("accept", "text/html,application/xhtml+xml;q=0.9")];
    let deep = app.rest().get("/some/page", &Credential::Nobody, &accept).await;
    assert_eq!((deep.status, deep.body), (200, answer.body));
    let missing = app.rest().get("/some/page", &Credential::Nobody, &[]).await;
    assert_eq!((missing.status, missing.error().error.code), (404, ErrorCode::NotFound));
    let page = Page::open(&app, USER).await;
    page.browser.reload().await.unwrap();
    page.until_live().await;
    // A violation of the policy is noted in the console as an error.
    page.assert_no_errors().await;
}

/// A small collection that fills every card, and the app that shows it.
async fn collection() -> TestApp {
    let app = TestApp::start_with_web_app().await;
    let db = app.db();
    for (title, theme, status) in [
        ("Barracuda Bay", "Pirates", "ADDED"),
        ("Night Train", "City", "IN_PROGRESS"),
        ("Blacktron Base", "Classic Space", "BUILT"),
    ] {
        let moc = NewMoc { build_status: status, ..NewMoc::new(title, theme) };
        writer::add_moc(db, USER, &moc).await;
    }
    let lighthouse = writer::add_moc(db, USER, &NewMoc::new("Lighthouse", "City")).await;
    writer::add_parts(db, lighthouse, &[("3005", 4, 50)]).await;
    writer::order_parts(db, USER, ("3005", 4, 20)).await;
    writer::add_set(db, USER, "Main Street", "City").await;
    writer::add_set(db, USER, "Ninjago City", "Ninjago").await;
    writer::add_wish(db, USER, "Eiffel Tower").await;
    app.projected().await;
    app
}

/// Waits until the page shows what a fresh snapshot shows.
async fn check(app: &TestApp, page: &Page) {
    app.projected().await;
    let (view, _) = app.rest().snapshot(&app.bearer(USER)).await;
    page.until_it_shows(&view).await;
}
