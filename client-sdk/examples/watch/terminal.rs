//! Draws each new state, asks for another token when the session is refused, and ends on Ctrl-C.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};

use client_sdk::{
    DashboardClient, DashboardState, Options, Source, Status, TokenProvider, TokenRequest,
    TokenUnavailable, View,
};

/// Moves the cursor to the upper left corner and clears what is below.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Who watches.
#[derive(Clone)]
struct Session {
    token: Arc<Mutex<Option<String>>>,
}

impl TokenProvider for Session {
    async fn token(&self, _: TokenRequest) -> Result<Option<String>, TokenUnavailable> {
        self.token.lock().map(|token| token.clone()).map_err(|_| TokenUnavailable)
    }
}

/// Runs until Ctrl-C, or until there is no other token.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .or_else(|| std::env::var("DASHBOARD_URL").ok())
        .unwrap_or_else(|| "http://127.0.0.1:9112".to_owned());
    let token = std::env::var("DASHBOARD_TOKEN").ok();
    let session = Session { token: Arc::new(Mutex::new(token)) };
    let client = DashboardClient::start(Options::new(&url).token_provider(session.clone()))?;
    let watched = tokio::select! {
        watched = watch(&url, &client, &session) => watched,
        stopped = tokio::signal::ctrl_c() => stopped.map_err(Into::into),
    };
    client.shutdown().await;
    println!();
    watched
}

async fn watch(
    url: &str,
    client: &DashboardClient,
    session: &Session,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut states = client.states();
    loop {
        let state = states.borrow_and_update().clone();
        let mut terminal = io::stdout().lock();
        terminal.write_all(REDRAW.as_bytes())?;
        terminal.write_all(draw(url, &state).as_bytes())?;
        let is_refused = state.status == Status::AuthRequired;
        if is_refused {
            terminal.write_all(b"\nA new token, then Enter: ")?;
        }
        terminal.flush()?;
        drop(terminal);
        if is_refused {
            let (sender, line) = tokio::sync::oneshot::channel();
            // Reading blocks. One of the runtime's threads would hold up its end.
            std::thread::spawn(move || sender.send(io::stdin().lines().next()));
            let Some(token) = line.await?.transpose()? else { return Ok(()) };
            if let Ok(mut kept) = session.token.lock() {
                *kept = Some(token.trim().to_owned());
            }
            client.reauthenticate();
        }
        states.changed().await?;
    }
}

fn draw(url: &str, state: &DashboardState) -> String {
    let mut text = String::new();
    let freshness = &state.freshness;
    let dot = if freshness.source == Source::Live { "●" } else { "○" };
    line(&mut text, &format!("{dot} {url}  {} ({})", state.status, freshness.source));
    if let Some(reason) = &freshness.reason {
        line(&mut text, &format!("  {reason}"));
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
