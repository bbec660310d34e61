//! What a collector reads of the data's freshness, on a phone, far down the page.

use std::time::Duration;

use e2e_tests::browser::by_test_id;
use e2e_tests::proxy::{Canned, Fault, Lane};
use serde_json::Value;

use super::stage::Stage;

/// What is in sight of the bar, and where the page stands: the bar must move nothing.
const IN_SIGHT: &str = r"(() => {
  const bar = document.querySelector('[data-testid=freshness-bar]')
  const box = bar?.getBoundingClientRect()
  const seen = bar !== null && getComputedStyle(bar).visibility === 'visible'
    && box.top >= 0 && box.bottom <= innerHeight && box.width === innerWidth
  return seen ? bar.innerText : null
})()";
const PLACE: &str = "[scrollY, document.documentElement.scrollHeight, \
    document.querySelector('[data-testid=partial-parts-table]').getBoundingClientRect().top]";

/// The page on a phone, live, scrolled to its end.
async fn on_a_phone() -> Stage {
    let stage = Stage::live().await;
    stage.page.browser.resize(390, 844).await.unwrap();
    stage.evaluate("(window.scrollTo(0, document.documentElement.scrollHeight), true)").await;
    stage.page.until("scrollY > 500").await;
    stage
}

#[tokio::test]
async fn d_res_3_a_view_that_is_not_live_says_so_wherever_it_was_scrolled_to() {
    let stage = on_a_phone().await;
    assert_eq!(stage.evaluate(IN_SIGHT).await, Value::Null);
    let place = stage.evaluate(PLACE).await;
    let title = stage.evaluate("document.title").await;
    stage.proxy.set(Lane::Socket, Fault::Reset);
    stage.proxy.set(Lane::Rest, Fault::Reset);
    stage.cut();
    stage.page.until(&format!("{IN_SIGHT}?.startsWith('Reconnecting. Showing data from ')")).await;
    let said = stage.evaluate("document.title").await;
    assert_eq!(said, format!("Reconnecting · {}", title.as_str().unwrap()));
    assert_eq!(stage.evaluate(PLACE).await, place, "nothing has moved");

    // Scrolled to the top, the status itself says it.
    stage.evaluate("(window.scrollTo(0, 0), true)").await;
    stage.page.until(&format!("{} === null", by_test_id("freshness-bar"))).await;
    stage.evaluate("(window.scrollTo(0, document.documentElement.scrollHeight), true)").await;
    stage.page.until(&format!("{IN_SIGHT} !== null")).await;

    stage.proxy.set_both(&Fault::Pass);
    stage.converge().await;
    stage.page.until(&format!("{} === null", by_test_id("freshness-bar"))).await;
    assert_eq!(stage.evaluate("document.title").await, title);
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn d_res_4_the_banner_claims_no_refresh_that_does_not_happen() {
    let stage = on_a_phone().await;
    let banner = by_test_id("degraded-mode-banner");
    stage.freeze().await;
    stage.proxy.set(Lane::Socket, Fault::Reset);
    stage.proxy.set(Lane::Rest, Fault::Answer(Canned::html(502)));
    stage.cut();
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    stage.pass_until(&format!("{banner} !== null"), Duration::from_secs(20)).await;
    let unanswered = format!("{banner}.innerText.includes('The server does not answer.')");
    stage.pass_until(&unanswered, Duration::from_mins(2)).await;
    let text = stage.page.browser.text("degraded-mode-banner").await.unwrap();
    assert!(text.contains("Showing data from "), "{text}");
    assert!(!text.contains("every 30 seconds"), "{text}");
    let counted = format!("/Next try in \\d+ s\\./.test({banner}.innerText)");
    stage.pass_until(&counted, Duration::from_mins(2)).await;
    stage.page.until(&format!("{IN_SIGHT}?.startsWith('The server does not answer.')")).await;

    // A press says that it works, for as long as no time passes, and then that it failed.
    let button = format!("{banner}.querySelector('button')");
    stage.evaluate(&format!("({button}.click(), true)")).await;
    stage.page.until(&format!("{button}.innerText.includes('Refreshing…')")).await;
    let failed = format!("{banner}.innerText.includes('Refreshing failed')");
    stage.pass_until(&failed, Duration::from_secs(15)).await;

    // Requests are answered again, and only then it says so.
    stage.proxy.set(Lane::Rest, Fault::Pass);
    let polled = format!("{banner}.innerText.includes('Data refreshes every 30 seconds.')");
    stage.pass_until(&polled, Duration::from_mins(1)).await;
    assert!(!stage.evaluate(&failed).await.as_bool().unwrap());
    stage.thaw().await;
    stage.proxy.set(Lane::Socket, Fault::Pass);
    stage.evaluate(&format!("({button}.click(), true)")).await;
    stage.converge().await;
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn d_res_2_an_expired_session_leaves_a_way_in_after_the_notice_is_gone() {
    let stage = on_a_phone().await;
    stage.proxy.say(r#"44/dashboard,{"message":"AUTH_FAILED"}"#);
    stage.until_told("authRequired stale AUTH_FAILED").await;
    stage.page.until("document.querySelector('.toast [aria-label=Dismiss]') !== null").await;
    stage.evaluate("(document.querySelector('.toast [aria-label=Dismiss]').click(), true)").await;
    stage.page.until("document.querySelector('.toast') === null").await;
    let link = format!("{}?.querySelector('a')", by_test_id("freshness-bar"));
    stage.page.until(&format!("{IN_SIGHT}?.startsWith('Session expired.')")).await;
    let way_in =
        stage.evaluate(&format!("[{link}.innerText, new URL({link}.href).pathname]")).await;
    assert_eq!(way_in, serde_json::json!(["Log in", "/login"]));
    let beside = "[...document.querySelectorAll('header a')].map((link) => link.innerText)";
    stage.evaluate("(window.scrollTo(0, 0), true)").await;
    stage.page.until(&format!("{beside}.join() === 'Log in'")).await;
    let height = stage
        .evaluate(&format!(
            "{}?.height",
            "document.querySelector('header a').getBoundingClientRect()"
        ))
        .await;
    assert!(height.as_f64().unwrap() >= 44.0, "{height}: large enough for a thumb");
}
