//! Measures the server, a Node peer and the floors under both, on this machine, in one run.
//!
//! [`scenario`] holds what is done to a contender. [`contender`] starts one and measures it from outside.
//! [`database`] makes the collection that all of them serve, and [`host`] an application's own database.
//! [`socket`] and [`rest`] are the load generator's two kinds of client. [`figures`] keeps and prints what
//! was measured, and [`plots`] draws it.
//!
//! Contenders take turns within each round, so that a machine that grows slower does so for both.

mod contender;
mod database;
mod figures;
mod host;
mod plots;
mod rest;
mod scenario;
mod socket;
mod tokens;

use std::path::PathBuf;

use clap::Parser;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use crate::contender::Kind;
use crate::database::Database;
use crate::figures::Figures;
use crate::scenario::{Scale, Scenario};

/// Measures the server against a Node peer and the floors. Called by `cargo xtask bench`.
#[derive(Parser)]
#[command(name = "cargo xtask bench server --", max_term_width = 100)]
struct Cli {
    /// How many times each contender is measured; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Only these scenarios (may be repeated). By default all but the soak.
    #[arg(long, value_name = "NAME")]
    only: Vec<Scenario>,
    /// Only this contender.
    #[arg(long)]
    contender: Option<Kind>,
    /// Sockets of the crowd in `connect`, `heartbeat`, `storm` and the larger `latency`.
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// How long the soak lasts, in minutes.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Where the figures go, a JSON object a line; added to what is there.
    #[arg(long, default_value = "target/bench/figures.jsonl")]
    json: PathBuf,
    /// Where the database is kept between runs: it takes a minute to make.
    #[arg(long, default_value = "target/bench/postgres")]
    data_dir: PathBuf,
    /// Measure nothing, but draw what `--json` holds into this folder.
    #[arg(long, value_name = "FOLDER")]
    draw: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(folder) = &cli.draw {
        return plots::draw(&cli.json, folder);
    }
    let database = Database::open(&cli.data_dir).await?;
    // Ending a run also ends the programs that it has started.
    let mut terminated = signal(SignalKind::terminate())?;
    let outcome = tokio::select! {
        outcome = measure(&cli, &database) => outcome,
        _ = ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated.recv() => Err(anyhow::anyhow!("terminated")),
    };
    database.close().await;
    outcome
}

async fn measure(cli: &Cli, database: &Database) -> anyhow::Result<()> {
    let mut figures = Figures::open(&cli.json)?;
    let scale = Scale { sockets: cli.sockets, minutes: cli.minutes };
    let scenarios = if cli.only.is_empty() { Scenario::by_default() } else { cli.only.clone() };
    for round in 1..=cli.rounds {
        for &scenario in &scenarios {
            for kind in scenario.contenders().iter().copied() {
                if cli.contender.is_some_and(|only| only != kind) {
                    continue;
                }
                println!("round {round} of {}: {scenario}, {kind}", cli.rounds);
                let measured = scenario::run(scenario, kind, scale, database).await?;
                figures.add(round, scenario, kind, measured)?;
            }
        }
    }
    println!("\n{}", figures.table());
    Ok(())
}
