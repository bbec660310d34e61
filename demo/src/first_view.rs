//! Measures how long a first view of the dashboard takes on a slow line and a slow machine.

use std::time::Duration;

use anyhow::Context;
use e2e_tests::Browser;
use serde_json::json;

/// A phone's. What a first view weighs does not depend on it.
const SIZE: (u32, u32) = (390, 844);
/// An odd number, for the median.
const ROUNDS: usize = 3;
/// Milliseconds that each answer takes longer, as with Lighthouse's slow 4G. Connections open at once here.
const LATENCY_MS: u32 = 150;
/// Kilobits a second, down and up.
const LINE: (u32, u32) = (1_600, 750);
/// How many times slower the processor is made.
const SLOWER: u32 = 4;
/// Three slow loads on a machine that does something else, too.
const PATIENCE: Duration = Duration::from_mins(2);

/// Notes the frame in which the cards show data.
const NOTE: &str = "
    const observer = new MutationObserver(() => {
      const count = document.querySelector('[data-testid=\"total-mocs-count\"]')
      if (!count?.textContent.trim() || !document.querySelector('[data-testid=\"recent-moc\"]')) return
      observer.disconnect()
      requestAnimationFrame(() => { window.__data = performance.now() })
    })
    observer.observe(document, { subtree: true, childList: true, characterData: true })";

/// All that is wanted, once it is there. Sizes are those on the line, headers included.
const OUTCOME: &str = "(() => {
      const [text] = performance.getEntriesByName('first-contentful-paint')
      if (!text || !window.__data || document.readyState !== 'complete') return false
      if (document.fonts.status !== 'loaded') return false
      const files = [
        ...performance.getEntriesByType('navigation'),
        ...performance.getEntriesByType('resource'),
      ].filter(file => file.name.startsWith(location.origin))
      const bytes = files.reduce((sum, file) => sum + file.transferSize, 0)
      return [text.startTime, window.__data, bytes, files.length]
    })()";

/// Medians of some first views.
#[derive(Debug, PartialEq)]
pub(crate) struct FirstView {
    /// From the navigation until the first text, in milliseconds.
    text: f64,
    /// Until the cards show data, in milliseconds.
    data: f64,
    bytes: f64,
    files: f64,
}

impl FirstView {
    /// The medians of samples of these four numbers each. None if there are no samples.
    fn median(samples: &[[f64; 4]]) -> Option<Self> {
        let middle = |which: usize| {
            let mut values: Vec<f64> = samples.iter().map(|sample| sample[which]).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Self { text: middle(0)?, data: middle(1)?, bytes: middle(2)?, files: middle(3)? })
    }
}

impl std::fmt::Display for FirstView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, data, bytes, files } = self;
        let (megabits, kilobytes) = (f64::from(LINE.0) / 1_000.0, bytes / 1_000.0);
        write!(
            f,
            "first view, nothing cached, {megabits} Mbit/s and {LATENCY_MS} ms, processor {SLOWER} times \
             slower: text after {text:.0} ms, data after {data:.0} ms; {kilobytes:.0} kB in {files} \
             answers (median of {ROUNDS}; without covers, which come from elsewhere)"
        )
    }
}

/// Opens the dashboard some times in new browsers that are signed in by that cookie.
pub(crate) async fn measure(url: &str, (name, value): (&str, &str)) -> anyhow::Result<FirstView> {
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let browser = Browser::open(SIZE.0, SIZE.1).await?;
        browser.set_cookie(url, name, value).await?;
        browser.before_load(NOTE).await?;
        slow_down(&browser).await?;
        browser.goto(url).await?;
        let seen = browser.wait_until(OUTCOME, PATIENCE).await.context("no first view came")?;
        samples.push(serde_json::from_value(seen.value).context("the page's numbers are odd")?);
        // The browser ends here, on a thread where it may block.
        tokio::task::spawn_blocking(move || drop(browser)).await?;
    }
    FirstView::median(&samples).context("nothing was measured")
}

async fn slow_down(browser: &Browser) -> anyhow::Result<()> {
    let bytes_a_second = |kilobits: u32| kilobits * 1_000 / 8;
    browser.cdp("Network.enable", json!({})).await?;
    // Covers come from anywhere, or not at all: what they weigh is not ours to measure.
    browser.cdp("Network.setBlockedURLs", json!({ "urls": ["https://*"] })).await?;
    let conditions = json!({
        "offline": false,
        "latency": LATENCY_MS,
        "downloadThroughput": bytes_a_second(LINE.0),
        "uploadThroughput": bytes_a_second(LINE.1),
    });
    browser.cdp("Network.emulateNetworkConditions", conditions).await?;
    browser.cdp("Emulation.setCPUThrottlingRate", json!({ "rate": SLOWER })).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_own_median() {
        let samples = [[3.0, 10.0, 5.0, 1.0], [1.0, 30.0, 5.0, 2.0], [2.0, 20.0, 5.0, 9.0]];
        let expected = FirstView { text: 2.0, data: 20.0, bytes: 5.0, files: 2.0 };
        assert_eq!(FirstView::median(&samples), Some(expected));
        assert_eq!(FirstView::median(&[]), None);
    }
}
