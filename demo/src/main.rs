//! Plays the host application for the demo: a collection in the database, a login page and the pages
//! that the dashboard leads to, and a writer that keeps changing the collection by plain SQL. Run it as
//! `cargo xtask demo`.
//!
//! [`stage`] starts and stops everything. [`catalogue`], [`plan`] and [`seed`] make the collection.
//! [`changes`] alters it, by what [`coverage`] says. [`login`] and [`host`] are the host's pages. For
//! `--check`, [`check`] tests the result in a browser, and [`latency`], [`first_view`] and [`watch`]
//! measure it.

mod catalogue;
mod changes;
mod check;
mod coverage;
mod first_view;
mod host;
mod latency;
mod login;
mod page;
mod plan;
mod process;
mod random;
mod seed;
mod server;
mod stage;
mod watch;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use sqlx::PgPool;
use tokio::signal::unix::{SignalKind, signal};

use crate::catalogue::Catalogue;
use crate::changes::Author;
use crate::stage::Stage;

/// How often the demo changes something.
const PAUSE: Duration = Duration::from_secs(4);

/// Plays the host application. `cargo xtask demo` builds what this needs, and calls it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program dashboard-server.
    #[arg(long)]
    server: PathBuf,
    /// The built dashboard app.
    #[arg(long)]
    app: PathBuf,
    /// Where to put what is made: the web root, logs, screenshots.
    #[arg(long)]
    output: PathBuf,
    /// Where the database lives between runs.
    #[arg(long, default_value = ".data/demo")]
    data: PathBuf,
    /// Look at the page in headless Chromium, measure, save screenshots, and exit.
    #[arg(long)]
    check: bool,
    /// Where the check puts the README's pictures; without it, it takes none.
    #[arg(long, requires = "check")]
    pictures: Option<PathBuf>,
    /// For how many minutes the check watches open pages while the collection changes; without it, not.
    #[arg(long, requires = "check")]
    watch_minutes: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome =
        if arguments.check { check::run(&arguments).await } else { present(&arguments).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until the demo is ended, by Ctrl-C or because the machine shuts down.
async fn stopped() -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// Runs until it is to stop.
async fn present(arguments: &Arguments) -> anyhow::Result<()> {
    let stop = stopped();
    tokio::pin!(stop);
    let catalogue = Catalogue::load()?;
    let setting = Stage::set(stage::Setting::run(arguments), &catalogue);
    tokio::pin!(setting);
    let mut stage = tokio::select! {
        stage = &mut setting => stage?,
        outcome = &mut stop => {
            // A server that is killed while it starts would leave its database running.
            println!("\nStopping as soon as everything has started …");
            setting.await?.strike().await?;
            return outcome;
        }
    };
    println!("{}", stage.instructions());
    let database = stage.database().clone();
    let outcome = tokio::select! {
        outcome = perform(&database, &catalogue, &|change| println!("  {change}")) => outcome,
        outcome = stage.server_ended() => outcome,
        outcome = &mut stop => outcome,
    };
    println!("\nStopping …");
    let struck = stage.strike().await;
    outcome.and(struck)?;
    println!("Everything is stopped. The next demo begins afresh.");
    Ok(())
}

/// Changes something every few seconds, for ever.
async fn perform(
    database: &PgPool,
    catalogue: &Catalogue,
    tell: &dyn Fn(&str),
) -> anyhow::Result<()> {
    let mut author = Author::new(database, catalogue);
    let mut beat = tokio::time::interval(PAUSE);
    loop {
        beat.tick().await;
        let change = author.next().await.context("a change could not be committed")?;
        tell(&change);
    }
}
