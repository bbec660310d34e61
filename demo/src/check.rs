//! Implements `cargo xtask demo --check`: a program checks what a person would look at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use e2e_tests::Browser;
use e2e_tests::browser::{Scheme, by_test_id};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::Arguments;
use crate::catalogue::{Catalogue, USERS};
use crate::stage::{Setting, Stage};
use crate::{coverage, first_view, latency, process, stopped, watch};

/// A cold browser on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Pictures come from elsewhere. Where that cannot be reached, the page shows something else.
const PICTURES_PATIENCE: Duration = Duration::from_secs(8);
const END_PATIENCE: Duration = Duration::from_secs(30);
/// A phone, a tablet, a desktop: one, two and three columns.
pub(crate) const SIZES: [(&str, u32, u32); 3] =
    [("phone", 390, 844), ("tablet", 900, 1180), ("desktop", 1440, 1000)];
/// What the README shows: as wide as all columns take, and down to the end of the first shelf. More than
/// a pixel to each of CSS, as screens have. Not two, because the file would be four times as large.
const PICTURE: (u32, u32, f64) = (1280, 800, 1.25);
const SCHEMES: [(&str, Scheme); 2] = [("light", Scheme::Light), ("dark", Scheme::Dark)];
pub(crate) const USER: &str = USERS[0].0;
/// A MOC that is added while the page is open.
const NEWCOMER: &str = "Apothecary on Candle Lane";

/// Runs the check. Succeeds only if all was seen and nothing is left running.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let tell = |what: &str| println!("     {:5.1} s  {what}", started.elapsed().as_secs_f64());
    let catalogue = Catalogue::load()?;
    let stage = Stage::set(Setting::check(arguments), &catalogue).await?;
    tell(&format!("the server is ready at {}", stage.dashboard_url()));

    // Pictures of an earlier run must not pass for this one's.
    std::fs::remove_dir_all(arguments.output.join("screenshots")).ok();
    let seen = tokio::select! {
        seen = look(&stage, &catalogue, arguments, &tell) => seen,
        outcome = stopped() => outcome.and_then(|()| bail!("interrupted")),
    };
    // Listed while all are there. Afterwards each of them must be gone.
    let children = process::descendants().await?;
    let struck = stage.strike().await;
    seen?;
    struck?;
    process::gone(&children, END_PATIENCE).await.context("something was left running")?;
    tell("everything is stopped, nothing is left running");
    println!("\nThe demo works.");
    Ok(())
}

async fn look(
    stage: &Stage,
    catalogue: &Catalogue,
    arguments: &Arguments,
    tell: &dyn Fn(&str),
) -> anyhow::Result<()> {
    let (_, width, height) = SIZES[2];
    let browser = Browser::open(width, height).await?;
    if arguments.pictures.is_some() {
        // Photographs come from elsewhere and belong to others, so the README shows the covers that the
        // app draws itself, wherever the pictures are taken.
        browser.cdp("Network.enable", json!({})).await?;
        browser.cdp("Network.setBlockedURLs", json!({ "urls": ["https://*"] })).await?;
    }
    log_in(&browser, stage).await?;
    cards_are_filled(&browser, stage.database()).await?;
    tell("the page is live, and every card shows what the database holds");

    new_row_appears(&browser, stage.database()).await?;
    tell("a row inserted by SQL is in Recent and in the counts, without a reload");

    let mut pictures = take_pictures(&browser, &arguments.output.join("screenshots")).await?;
    if let Some(folder) = &arguments.pictures {
        pictures.extend(take_pictures_for_the_readme(&browser, folder).await?);
    }
    for picture in pictures {
        tell(&format!("saved {}", picture.display()));
    }

    let latencies = latency::measure(&browser, stage.database(), USER).await?;
    tell(&latencies.to_string());
    still_the_same_page(&browser).await?;

    let links = every_link_leads_to_the_host(&browser, stage).await?;
    tell(&format!(
        "each of the page's {links} links leads to a page of the host, and back; so does the way out"
    ));
    // The browser ends here, on a thread where it may block.
    tokio::task::spawn_blocking(move || drop(browser)).await?;

    let (name, value) = stage.cookie(USER)?;
    let first_view = first_view::measure(stage.dashboard_url(), (name, &value)).await?;
    tell(&first_view.to_string());
    if let Some(minutes) = arguments.watch_minutes {
        tell(&watch::run(stage, catalogue, minutes, (name, &value)).await?);
    }
    Ok(())
}

async fn log_in(browser: &Browser, stage: &Stage) -> anyhow::Result<()> {
    browser.goto(&stage.login_url()).await?;
    let button = by_test_id(&format!("login-{USER}"));
    browser.evaluate(&format!("{button}.click()")).await?;
    let live = format!("{}?.dataset.connected === 'true'", by_test_id("connection-status"));
    browser.wait_until(&live, PATIENCE).await.context("the page did not become live")?;
    let address = browser.address().await?;
    ensure!(address.starts_with(stage.dashboard_url()), "the login led to {address}");
    // A reload would lose this.
    browser.evaluate("window.__first = true").await?;
    Ok(())
}

async fn cards_are_filled(browser: &Browser, database: &PgPool) -> anyhow::Result<()> {
    for (test_id, text) in expectations(database).await? {
        shows(browser, test_id, &text).await?;
    }
    Ok(())
}

/// For each card, something of the database that must be on it.
async fn expectations(database: &PgPool) -> anyhow::Result<Vec<(&'static str, String)>> {
    // Only constant text is put together.
    let one = async |statement: &str| -> anyhow::Result<String> {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(statement));
        Ok(query.bind(USER).fetch_one(database).await?)
    };
    let partial = format!(
        "select title from ({}) as moc where covered > 0 and covered < total
         order by covered * 100 / total, id limit 1",
        coverage::OF_MOCS
    );
    Ok(vec![
        (
            "total-mocs-count",
            one("select count(*)::text from collection.mocs where user_id = $1").await?,
        ),
        (
            "wishlist-items-count",
            one("select count(*)::text from collection.wishlist_items where user_id = $1").await?,
        ),
        (
            "collection-summary-card",
            one("select count(*)::text from collection.mocs
                 where user_id = $1 and build_status = 'IN_PROGRESS'")
            .await?,
        ),
        (
            "theme-breakdown-card",
            one("select theme from collection.mocs where user_id = $1
                 group by theme order by count(*) desc, theme limit 1")
            .await?,
        ),
        (
            "recent-mocs-card",
            one("select title from collection.mocs where user_id = $1
                 order by created_at desc, id desc limit 1")
            .await?,
        ),
        ("partial-parts-table", one(&partial).await?),
        ("quick-actions-card", "Add New MOC".to_owned()),
    ])
}

async fn new_row_appears(browser: &Browser, database: &PgPool) -> anyhow::Result<()> {
    sqlx::query(
        "insert into collection.mocs (user_id, title, theme) values ($1, $2, 'Modular Buildings')",
    )
    .bind(USER)
    .bind(NEWCOMER)
    .execute(database)
    .await?;
    shows(browser, "recent-mocs-card", NEWCOMER).await?;
    let total: i64 = sqlx::query_scalar("select count(*) from collection.mocs where user_id = $1")
        .bind(USER)
        .fetch_one(database)
        .await?;
    shows(browser, "total-mocs-count", &total.to_string()).await?;
    still_the_same_page(browser).await
}

async fn still_the_same_page(browser: &Browser) -> anyhow::Result<()> {
    let first = browser.evaluate("window.__first === true").await?;
    ensure!(first == Value::Bool(true), "the page was loaded again");
    Ok(())
}

/// Follows all of them, and logs out by the last. Returns how many there were.
async fn every_link_leads_to_the_host(browser: &Browser, stage: &Stage) -> anyhow::Result<usize> {
    let found = browser.evaluate("[...document.links].map(link => link.href)").await?;
    let found: Vec<String> = serde_json::from_value(found)?;
    let links: BTreeSet<String> = found.into_iter().collect();
    let (exits, links): (Vec<_>, Vec<_>) =
        links.into_iter().partition(|link| link.ends_with("/logout"));
    ensure!(links.len() > 3, "there are MOCs to look at, beside the quick actions: {links:?}");
    let back = by_test_id("back");
    for link in &links {
        browser.goto(link).await?;
        let there = browser.evaluate(&format!("{back}?.href ?? document.body.innerText")).await?;
        let expected = format!("{}/", stage.dashboard_url());
        ensure!(there == expected, "{link} leads to no page of the host, but to: {there}");
        let title = browser.evaluate("document.title").await?;
        ensure!(title != "No such page", "the host knows no page for {link}");
    }
    // The session is still there after all that,
    browser.evaluate(&format!("{back}.click()")).await?;
    let live = format!("{}?.dataset.connected === 'true'", by_test_id("connection-status"));
    browser.wait_until(&live, PATIENCE).await.context("the way back led to no live page")?;
    // and ends when its end is asked for.
    let [way_out] = exits.as_slice() else { bail!("one way out, not these: {exits:?}") };
    browser.goto(way_out).await?;
    let button = format!("{} !== null", by_test_id(&format!("login-{USER}")));
    ensure!(browser.evaluate(&button).await? == json!(true), "{way_out} offers no login");
    browser.goto(stage.dashboard_url()).await?;
    let wanted = format!("{} !== null", by_test_id("dashboard-login-needed"));
    browser.wait_until(&wanted, PATIENCE).await.context("the session outlived its end")?;
    Ok(links.len())
}

async fn take_pictures(browser: &Browser, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut pictures = Vec::new();
    for (size, width, height) in SIZES {
        browser.resize(width, height).await?;
        for (colours, scheme) in SCHEMES {
            browser.colours(scheme).await?;
            settle(browser).await?;
            let file = folder.join(format!("{size}-{colours}.png"));
            browser.screenshot(&file).await?;
            pictures.push(file);
        }
    }
    Ok(pictures)
}

/// One of each colour scheme, of what the page shows without scrolling.
async fn take_pictures_for_the_readme(
    browser: &Browser,
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let (width, height, scale) = PICTURE;
    browser.resize_scaled(width, height, scale).await?;
    let mut pictures = Vec::new();
    for (colours, scheme) in SCHEMES {
        browser.colours(scheme).await?;
        settle(browser).await?;
        let file = folder.join(format!("dashboard-{colours}.png"));
        browser.picture(&file).await?;
        pictures.push(file);
    }
    Ok(pictures)
}

/// Waits for what is still on its way: pictures, fonts, and colours that change softly.
pub(crate) async fn settle(browser: &Browser) -> anyhow::Result<()> {
    let complete = "document.fonts.status === 'loaded' &&
                    [...document.images].every(image => image.complete)";
    // Pictures that never come are part of the picture.
    let _ = browser.wait_until(complete, PICTURES_PATIENCE).await;
    let still = "document.getAnimations().every(animation =>
                 animation.playState !== 'running' ||
                 animation.effect.getComputedTiming().endTime === Infinity)";
    browser.wait_until(still, PATIENCE).await.context("the page does not come to rest")?;
    Ok(())
}

pub(crate) async fn shows(browser: &Browser, test_id: &str, text: &str) -> anyhow::Result<()> {
    let condition = format!("{}?.textContent.includes({})", by_test_id(test_id), json!(text));
    browser
        .wait_until(&condition, PATIENCE)
        .await
        .with_context(|| format!("{test_id} does not show {text:?}"))?;
    Ok(())
}
