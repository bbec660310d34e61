//! Watches an open dashboard while the collection changes: whether anything jumps, and for how long its one
//! thread is busy. It measures in the page, at three widths at once, by what browsers note themselves.

use std::cell::Cell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e_tests::Browser;
use e2e_tests::browser::by_test_id;
use serde::Deserialize;
use sqlx::PgPool;
use tokio::time::{interval, sleep};
use uuid::Uuid;

use crate::catalogue::Catalogue;
use crate::check::{PATIENCE, SIZES, USER, settle, shows};
use crate::stage::Stage;

/// How many changes come at once in the end, by two writers, at this distance.
const BURST: usize = 200;
const BEAT: Duration = Duration::from_millis(10);
/// A title by which the end of the burst is seen.
const LAST: &str = "The last of many";
/// Where on the page the time is spent, as shares of its height: what is not in sight cannot jump.
const PLACES: [f64; 3] = [0.0, 0.5, 1.0];
/// How many of the largest shifts are reported for each width and span, and from which size on.
const TOLD: usize = 3;
const WORTH_TELLING: f64 = 0.001;

/// Notes shifts of the layout and long tasks, from the start of the page.
const OBSERVE: &str = "
    const place = node => {
      const element = node?.nodeType === Node.ELEMENT_NODE ? node : node?.parentElement
      if (!element) return 'something that is gone'
      const card = element.closest('[data-testid]')?.dataset.testid ?? 'page'
      const text = element.textContent.trim().replace(/\\s+/g, ' ').slice(0, 40)
      return `${card} <${element.localName}> ${text}`.trim()
    }
    const at = box => [box.x, box.y, box.width, box.height].map(Math.round).join(' ')
    const shifts = [], tasks = []
    const noteShifts = entries => {
      for (const { startTime, value, hadRecentInput, sources } of entries) {
        if (hadRecentInput) continue
        shifts.push({
          at: startTime,
          value,
          sources: sources.map(({ node, previousRect, currentRect }) =>
            `${place(node)}: ${at(previousRect)} → ${at(currentRect)}`),
        })
      }
    }
    const noteTasks = entries => {
      for (const { startTime, duration } of entries) tasks.push({ at: startTime, ms: duration })
    }
    const observe = (type, note) => {
      const observer = new PerformanceObserver(list => note(list.getEntries()))
      observer.observe({ type, buffered: true })
      return () => note(observer.takeRecords())
    }
    const flushes = [observe('layout-shift', noteShifts), observe('longtask', noteTasks)]
    window.__noted = () => {
      for (const flush of flushes) flush()
      return { shifts, tasks }
    }";

/// What a page has noted.
#[derive(Debug, Deserialize)]
struct Noted {
    shifts: Vec<Shift>,
    tasks: Vec<Task>,
}

/// Something that was in sight moved without being asked to.
#[derive(Debug, Deserialize)]
struct Shift {
    /// In milliseconds since the navigation.
    at: f64,
    /// How much of the window, and how far: the browser's measure.
    value: f64,
    /// What it was, and its left, top, width and height before and after.
    sources: Vec<String>,
}

/// One task kept the page's thread busy for more than 50 ms.
#[derive(Debug, Deserialize)]
struct Task {
    at: f64,
    ms: f64,
}

/// A part of the time, by the page's clock.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: f64,
    to: f64,
}

/// A page that is being watched.
struct Watched {
    name: &'static str,
    browser: Browser,
    /// When it was loaded, and when the burst began.
    marks: [f64; 2],
}

impl Noted {
    fn shifts(&self, span: Span) -> impl Iterator<Item = &Shift> {
        self.shifts.iter().filter(move |shift| span.contains(shift.at))
    }

    fn sum(&self, span: Span) -> f64 {
        // Not `sum`, which is -0 of nothing.
        self.shifts(span).fold(0.0, |sum, shift| sum + shift.value)
    }

    /// How many there were, the longest, and all together.
    fn tasks(&self, span: Span) -> (usize, f64, f64) {
        let times = self.tasks.iter().filter(|task| span.contains(task.at)).map(|task| task.ms);
        times.fold((0, 0.0, 0.0), |(count, longest, total), ms| {
            (count + 1, f64::max(longest, ms), total + ms)
        })
    }
}

impl Span {
    fn contains(self, at: f64) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// Loading, watched, the burst.
    fn of([loaded, burst]: [f64; 2]) -> [Self; 3] {
        [(0.0, loaded), (loaded, burst), (burst, f64::INFINITY)].map(|(from, to)| Self { from, to })
    }
}

/// Watches for this many minutes, with the demo's usual changes, and then through the burst. Leaves the
/// collection changed.
pub(crate) async fn run(
    stage: &Stage,
    catalogue: &Catalogue,
    minutes: u64,
    cookie: (&str, &str),
) -> anyhow::Result<String> {
    let mut pages = Vec::new();
    for (name, width, height) in SIZES {
        let browser = Browser::open(width, height).await?;
        browser.set_cookie(stage.dashboard_url(), cookie.0, cookie.1).await?;
        browser.before_load(OBSERVE).await?;
        browser.goto(stage.dashboard_url()).await?;
        let live = format!("{}?.dataset.connected === 'true'", by_test_id("connection-status"));
        browser.wait_until(&live, PATIENCE).await.context("the page did not become live")?;
        settle(&browser).await?;
        let loaded = now(&browser).await?;
        pages.push(Watched { name, browser, marks: [loaded, f64::INFINITY] });
    }

    let changes = Cell::new(0);
    let count = |_: &str| changes.set(changes.get() + 1);
    tokio::select! {
        outcome = crate::perform(stage.database(), catalogue, &count) => outcome?,
        outcome = look_around(&pages, Duration::from_mins(minutes)) => outcome?,
    }

    for page in &mut pages {
        // In sight of the counts and the newest, which the burst changes.
        scroll(&page.browser, PLACES[0]).await?;
        page.marks[1] = now(&page.browser).await?;
    }
    let begun = Instant::now();
    burst(stage.database()).await?;
    let took = begun.elapsed().as_secs_f64();
    let mut noted = Vec::new();
    for page in &pages {
        shows(&page.browser, "recent-mocs-card", LAST).await?;
        settle(&page.browser).await?;
        let value = page.browser.evaluate("window.__noted()").await?;
        let of_page: Noted = serde_json::from_value(value).context("the page's notes are odd")?;
        noted.push((page.name, of_page, page.marks));
    }
    // The browsers end here, on a thread where they may block.
    tokio::task::spawn_blocking(move || drop(pages)).await?;
    let changes = changes.get();
    let title = format!(
        "watched for {minutes} min with {changes} changes, then {BURST} within {took:.1} s"
    );
    Ok(report(&title, &noted))
}

async fn look_around(pages: &[Watched], time: Duration) -> anyhow::Result<()> {
    let each = time / u32::try_from(PLACES.len())?;
    for place in PLACES {
        for page in pages {
            scroll(&page.browser, place).await?;
        }
        // Only the time counts here. The watch records what happens in it.
        sleep(each).await;
    }
    Ok(())
}

async fn scroll(browser: &Browser, share: f64) -> anyhow::Result<()> {
    let root = "document.documentElement";
    let top = format!("({root}.scrollHeight - {root}.clientHeight) * {share}");
    browser.evaluate(&format!("window.scrollTo(0, {top})")).await.map(drop)
}

async fn now(browser: &Browser) -> anyhow::Result<f64> {
    browser.evaluate("performance.now()").await?.as_f64().context("the page has no clock")
}

/// Changes many MOCs, each in a separate transaction.
async fn burst(database: &PgPool) -> anyhow::Result<()> {
    let mocs: Vec<Uuid> = sqlx::query_scalar(
        "select id from collection.mocs where user_id = $1 order by created_at desc, id desc",
    )
    .bind(USER)
    .fetch_all(database)
    .await?;
    let newest = *mocs.first().context("there are no MOCs to change")?;
    let ids: Vec<Uuid> = mocs.iter().copied().cycle().take(BURST - 1).collect();
    let (some, others) = ids.split_at(ids.len() / 2);
    tokio::try_join!(advance(database, some), advance(database, others))?;
    sqlx::query("update collection.mocs set title = $2 where id = $1")
        .bind(newest)
        .bind(LAST)
        .execute(database)
        .await?;
    Ok(())
}

async fn advance(database: &PgPool, mocs: &[Uuid]) -> sqlx::Result<()> {
    let mut beat = interval(2 * BEAT);
    for id in mocs {
        beat.tick().await;
        sqlx::query(
            "update collection.mocs
             set updated_at = now(), build_status = case build_status
                 when 'ADDED' then 'IN_PROGRESS' when 'IN_PROGRESS' then 'BUILT' else 'ADDED'
             end::collection.build_status
             where id = $1",
        )
        .bind(id)
        .execute(database)
        .await?;
    }
    Ok(())
}

/// A table, and what moved most.
fn report(title: &str, noted: &[(&str, Noted, [f64; 2])]) -> String {
    let indent = "\n              ";
    let mut text = format!(
        "{title}{indent}            sum of layout shifts       long tasks, watched    long tasks, burst\
         {indent}            load    watched burst      number longest total   number longest total"
    );
    for (name, noted, marks) in noted {
        let [load, watched, burst] = Span::of(*marks);
        let [load, quiet, rush] = [load, watched, burst].map(|span| noted.sum(span));
        let _ = write!(text, "{indent}{name:<10}  {load:<7.4} {quiet:<7.4} {rush:<9.4}");
        for span in [watched, burst] {
            let (number, longest, total) = noted.tasks(span);
            let _ = write!(text, "  {number:>6} {longest:>4.0} ms {total:>5.0} ms");
        }
    }
    for (name, noted, marks) in noted {
        let spans = Span::of(*marks);
        for (when, span) in ["load", "watched", "burst"].into_iter().zip(spans) {
            let mut shifts: Vec<&Shift> =
                noted.shifts(span).filter(|shift| shift.value >= WORTH_TELLING).collect();
            shifts.sort_by(|a, b| b.value.total_cmp(&a.value));
            for shift in shifts.into_iter().take(TOLD) {
                let (value, at) = (shift.value, shift.at / 1_000.0);
                let _ = write!(text, "{indent}{name}, {when}, at {at:.1} s: {value:.4}");
                for source in &shift.sources {
                    let _ = write!(text, "{indent}    {source}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noted() -> Noted {
        serde_json::from_value(json!({
            "shifts": [
                { "at": 10.0, "value": 0.5, "sources": [] },
                { "at": 100.0, "value": 0.125, "sources": ["a card: 0 0 10 10 → 0 5 10 10"] },
                { "at": 150.0, "value": 0.25, "sources": ["another"] },
            ],
            "tasks": [{ "at": 120.0, "ms": 60.0 }, { "at": 300.0, "ms": 80.0 }, { "at": 400.0, "ms": 70.0 }],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_noted_belongs_to_its_span() {
        let [load, watched, burst] = Span::of([100.0, 300.0]);
        let noted = noted();
        let sums = [load, watched, burst].map(|span| noted.sum(span).to_string());
        assert_eq!(sums, ["0.5", "0.375", "0"]);
        assert_eq!(noted.tasks(load), (0, 0.0, 0.0));
        assert_eq!(noted.tasks(watched), (1, 60.0, 60.0));
        assert_eq!(noted.tasks(burst), (2, 80.0, 150.0));
    }

    #[test]
    fn the_largest_shift_is_reported_first_with_what_moved() {
        let text = report("watched", &[("phone", noted(), [100.0, 300.0])]);
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(place("phone, load, at 0.0 s: 0.5000") < place("phone, watched, at 0.1 s: 0.2500"));
        assert!(place("    another") < place("a card: 0 0 10 10 → 0 5 10 10"), "{text}");
    }

    /// A page that jumps, and is busy for a while.
    const PAGE: &str = "data:text/html,<div id=above></div><p data-testid=moved>moved by the other</p>\
        <script>requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {\
          const end = performance.now() %2B 120; while (performance.now() < end);\
          document.getElementById('above').style.height = '200px';\
          requestAnimationFrame(() => setTimeout(() => { window.over = true }))\
        })))</script>";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_notes_what_moved_in_it_and_how_long_it_was_busy() {
        let browser = Browser::open(600, 400).await.unwrap();
        browser.before_load(OBSERVE).await.unwrap();
        browser.goto(PAGE).await.unwrap();
        let both =
            "window.over && __noted().shifts.length > 0 && __noted().tasks.length > 0 && __noted()";
        let seen = browser.wait_until(both, PATIENCE).await.unwrap();
        let noted: Noted = serde_json::from_value(seen.value).unwrap();
        let source = &noted.shifts[0].sources[0];
        assert!(source.starts_with("moved <p> moved by the other: "), "{noted:?}");
        assert!(noted.tasks.iter().any(|task| task.ms >= 100.0), "{noted:?}");
    }
}
