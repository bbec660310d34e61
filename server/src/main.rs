//! `dashboard-server`: reads the configuration, runs the server, stops it on a signal.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use dashboard_server::{Config, LogFormat, Server, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Frames hold tokens: whatever is asked for, the library that reads them does not log them.
const NEVER_LOGGED: &str = "tungstenite=warn,tokio_tungstenite=warn";

fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = init_logs(&config) {
        eprintln!("dashboard-server: DASHBOARD_LOG is not a filter: {error}");
        return ExitCode::from(2);
    }
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: messages of panics may hold data.
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panic");
    }));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dashboard-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dashboard-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = tokio::select! {
        server = Server::start(config) => server.map_err(explain)?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let line = format!(
        "dashboard-server listening on {scheme}://{}, admin http://{}",
        server.addr(),
        server.admin_addr(),
        scheme = server.scheme(),
    );
    writeln!(std::io::stdout(), "{line}")?;
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = server.failed() => true,
    };
    tracing::info!("stopping");
    tokio::select! {
        () = server.shutdown() => tracing::info!("stopped"),
        // Whoever asks twice does not want to wait.
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    // Not a success, so that whatever started this process starts another.
    if failed { Err("a part of the server broke; see the log".into()) } else { Ok(()) }
}

fn explain(error: StartError) -> Box<dyn std::error::Error> {
    Box::new(error)
}

fn init_logs(config: &Config) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(format!("{},{NEVER_LOGGED}", config.log))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Pretty => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}
