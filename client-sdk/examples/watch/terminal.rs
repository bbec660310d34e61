//! Draws each state anew.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use client_sdk::{DashboardClient, DashboardState, Options, Source, View};

/// Moves the cursor to the upper left corner and clears what is below.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Runs until the client ends, which it does not by itself.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .or_else(|| std::env::var("DASHBOARD_URL").ok())
        .unwrap_or_else(|| "http://127.0.0.1:9112".to_owned());
    let options = Options::new(&url).token(|| async { std::env::var("DASHBOARD_TOKEN").ok() });
    let client = DashboardClient::start(options)?;
    let mut states = client.states();
    loop {
        let text = draw(&url, &states.borrow_and_update());
        let mut terminal = io::stdout().lock();
        terminal.write_all(REDRAW.as_bytes())?;
        terminal.write_all(text.as_bytes())?;
        terminal.flush()?;
        drop(terminal);
        if states.changed().await.is_err() {
            return Ok(());
        }
    }
}

fn draw(url: &str, state: &DashboardState) -> String {
    let mut text = String::new();
    let freshness = &state.freshness;
    let dot = if freshness.source == Source::Live { "●" } else { "○" };
    line(&mut text, &format!("{dot} {url}  {} ({})", state.status.name(), freshness.source.name()));
    if let Some(reason) = &freshness.reason {
        line(&mut text, &format!("  {}: {}", reason.code.name(), reason.message));
    }
    match &state.view {
        Some(view) => draw_view(&mut text, view),
        None => line(&mut text, "\nNothing to show yet."),
    }
    text
}

fn draw_view(text: &mut String, view: &View) {
    let summary = &view.summary;
    let (build, coverage) = (&summary.mocs_by_build_status, &summary.mocs_by_coverage_status);
    line(text, "");
    line(
        text,
        &format!("{} MOCs, {} on the wishlist", summary.total_mocs, summary.total_wishlist_items),
    );
    line(
        text,
        &format!(
            "  added {}, in progress {}, built {}",
            build.added, build.in_progress, build.built
        ),
    );
    line(
        text,
        &format!(
            "  all parts {}, partly ordered {}, none {}",
            coverage.full_inventory, coverage.partial_ordered, coverage.none
        ),
    );
    line(text, "\nThemes");
    for theme in view.theme_breakdown.iter().take(10) {
        line(
            text,
            &format!(
                "  {:<28} {:>4} MOCs {:>4} sets",
                theme.theme, theme.moc_count, theme.set_count
            ),
        );
    }
    line(text, "\nRecent");
    for moc in view.recent_mocs.iter() {
        line(
            text,
            &format!("  {}  {} ({})", moc.created_at, printable(moc.title.as_str()), moc.theme),
        );
    }
    line(text, "\nPartly ordered");
    for moc in view.partial_parts_mocs.iter().take(10) {
        let share = usize::from(moc.coverage_percentage.get()) / 10;
        let bar = ["█".repeat(share), "░".repeat(10 - share)].concat();
        line(
            text,
            &format!(
                "  {bar} {:>3} %  {}",
                moc.coverage_percentage.get(),
                printable(moc.title.as_str())
            ),
        );
    }
}

/// A title may hold anything, also what a terminal would obey.
fn printable(title: &str) -> String {
    title.chars().map(|next| if next.is_control() { ' ' } else { next }).collect()
}

fn line(text: &mut String, content: &str) {
    // Writing into a string does not fail.
    let _ = writeln!(text, "{content}");
}
